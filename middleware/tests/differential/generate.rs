//! Envelopes by chance: well-formed ones, then spelled otherwise, then spoilt.

/// A source of bodies that is the same for the same seed.
pub(crate) struct Envelopes(u64);

/// A JSON value as it will be spelled: keys and values are source text, quotes and escapes included.
#[derive(Clone)]
enum Node {
    Text(String),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
}

const METHODS: [&str; 20] = [
    "tools/call",
    "tools/call",
    "tools/call",
    "resources/read",
    "resources/subscribe",
    "resources/unsubscribe",
    "prompts/get",
    "completion/complete",
    "subscriptions/listen",
    "tasks/get",
    "tasks/cancel",
    "tasks/update",
    "tasks/result",
    "tools/list",
    "ping",
    "initialize",
    "server/discover",
    "notifications/cancelled",
    "vendor/x",
    "TOOLS/CALL",
];

const STRINGS: [&str; 28] = [
    "a",
    "b",
    "echo",
    "notes_add",
    "ui://x/y",
    "file:///a/b",
    "",
    " ",
    "é",
    "e\\u0301",
    "\\u0000",
    "\\ud83d\\ude00",
    "😀",
    "\\u0061",
    "\\/",
    "\\n",
    "__proto__",
    "name",
    "tools/call",
    "2026-07-28",
    "2025-03-26",
    "ref/prompt",
    "ref/resource",
    "\\u2028",
    "ſ",
    "\\u212a",
    "\\ud800",
    "\\udc00x",
];

const SCALARS: [&str; 26] = [
    "null",
    "true",
    "false",
    "0",
    "-0",
    "1",
    "-1",
    "1.0",
    "1e0",
    "1E400",
    "1e-400",
    "9007199254740993",
    "12345678901234567890123",
    "0.1",
    "[]",
    "{}",
    "[[]]",
    "[{}]",
    "{\"\":0}",
    "NaN",
    "01",
    "+1",
    "1.",
    "0x1",
    "nul",
    "'a'",
];

/// Keys of ours, for members in places where they do not belong.
const KEYS: [&str; 20] = [
    "jsonrpc",
    "id",
    "method",
    "params",
    "result",
    "error",
    "name",
    "uri",
    "ref",
    "type",
    "_meta",
    "arguments",
    "notifications",
    "resourceSubscriptions",
    "taskIds",
    "taskId",
    "task",
    "inputResponses",
    "x",
    "__proto__",
];

const VERSION: &str = "io.modelcontextprotocol/protocolVersion";

impl Envelopes {
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// SplitMix64: small, and good enough for picking.
    fn random(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.random() % u64::try_from(bound).unwrap()).unwrap()
    }

    fn one_in(&mut self, odds: usize) -> bool {
        self.below(odds) == 0
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }

    /// One more body; about half of them are spoilt in some way.
    pub(crate) fn next_body(&mut self) -> Vec<u8> {
        let mut message = if self.one_in(25) {
            let length = self.below(4);
            Node::List((0..length).map(|_| self.message()).collect())
        } else {
            self.message()
        };
        for _ in 0..self.below(3) {
            self.respell(&mut message);
        }
        if self.one_in(2) {
            for _ in 0..=self.below(2) {
                self.spoil(&mut message);
            }
        }
        let mut body = String::new();
        let spaced = self.one_in(4);
        self.write(&message, spaced, &mut body);
        let mut body = body.into_bytes();
        if self.one_in(12) {
            self.damage(&mut body);
        }
        body
    }

    /// A message as it should be.
    fn message(&mut self) -> Node {
        let mut members = vec![("jsonrpc", text("2.0"))];
        match self.below(12) {
            0 => {}
            1..=3 => members.push(("id", Node::Text(format!("\"{}\"", self.pick(&STRINGS[..20]))))),
            _ => members.push(("id", Node::Text(self.below(100_000).to_string()))),
        }
        if self.one_in(15) {
            let key = self.pick(&["result", "error"]);
            members.push((key, self.value(2)));
        } else {
            let method = self.pick(&METHODS);
            members.push(("method", text(method)));
            members.push(("params", self.params(method)));
        }
        if self.one_in(6) {
            members.push(("x", self.value(1)));
        }
        self.object(members)
    }

    fn params(&mut self, method: &str) -> Node {
        let name = text(self.pick(&STRINGS[..24]));
        let mut members = match method {
            "tools/call" => vec![("name", name), ("arguments", self.value(3))],
            "prompts/get" => vec![("name", name)],
            "resources/read" | "resources/subscribe" | "resources/unsubscribe" => vec![("uri", name)],
            "completion/complete" => {
                let (kind, key) =
                    if self.one_in(2) { ("ref/prompt", "name") } else { ("ref/resource", "uri") };
                let reference = self.object(vec![("type", text(kind)), (key, name)]);
                vec![("ref", reference)]
            }
            "subscriptions/listen" => {
                let listed = |generator: &mut Self| {
                    let length = generator.below(3);
                    Node::List((0..length).map(|_| text(generator.pick(&STRINGS[..24]))).collect())
                };
                let notifications = vec![("resourceSubscriptions", listed(self)), ("taskIds", listed(self))];
                vec![("notifications", self.object(notifications))]
            }
            method if method.starts_with("tasks/") => vec![("taskId", name)],
            _ => vec![("cursor", name)],
        };
        if self.one_in(3) {
            let meta = vec![
                (VERSION, text("2026-07-28")),
                ("io.modelcontextprotocol/clientCapabilities", Node::Object(Vec::new())),
            ];
            members.push(("_meta", self.object(meta)));
        }
        if self.one_in(5) {
            let key = self.pick(&KEYS[6..]);
            members.push((key, self.value(1)));
        }
        self.object(members)
    }

    fn object(&mut self, mut members: Vec<(&str, Node)>) -> Node {
        if self.one_in(3) {
            members.reverse();
        }
        Node::Object(members.into_iter().map(|(key, value)| (format!("\"{key}\""), value)).collect())
    }

    fn value(&mut self, depth: usize) -> Node {
        match self.below(6) {
            0 if depth > 0 => {
                let length = self.below(3);
                Node::List((0..length).map(|_| self.value(depth - 1)).collect())
            }
            1..=3 if depth > 0 => {
                let length = self.below(3);
                let members = (0..length).map(|_| (self.pick(&KEYS), self.value(depth - 1))).collect();
                self.object(members)
            }
            4 => text(self.pick(&STRINGS[..26])),
            _ => Node::Text(self.pick(&SCALARS[..19]).to_owned()),
        }
    }

    /// Some object of the tree, the outer ones more often.
    fn some_object<'a>(&mut self, node: &'a mut Node) -> Option<&'a mut Vec<(String, Node)>> {
        match node {
            Node::Text(_) => None,
            Node::List(items) if items.is_empty() => None,
            Node::List(items) => {
                let at = self.below(items.len());
                self.some_object(&mut items[at])
            }
            Node::Object(members) => {
                let inner: Vec<usize> =
                    (0..members.len()).filter(|at| matches!(members[*at].1, Node::Object(_))).collect();
                if inner.is_empty() || self.one_in(2) {
                    return Some(members);
                }
                let at = inner[self.below(inner.len())];
                self.some_object(&mut members[at].1)
            }
        }
    }

    /// Another spelling of the same message.
    fn respell(&mut self, message: &mut Node) {
        let Some(members) = self.some_object(message) else { return };
        if members.is_empty() {
            return;
        }
        let (at, other) = (self.below(members.len()), self.below(members.len()));
        match self.below(3) {
            0 => members.swap(at, other),
            1 => members[at].0 = self.escaped(&members[at].0.clone()),
            _ => {
                if let Node::Text(value) = &members[at].1
                    && value.starts_with('"')
                {
                    members[at].1 = Node::Text(self.escaped(&value.clone()));
                }
            }
        }
    }

    /// The text with one of its plain letters as an escape.
    fn escaped(&mut self, quoted: &str) -> String {
        if quoted.contains('\\') {
            return quoted.to_owned();
        }
        let characters: Vec<char> = quoted.chars().collect();
        let at = self.below(characters.len());
        let upper = self.one_in(2);
        let spelled = |(place, c): (usize, &char)| match (place == at && *c != '"', upper) {
            (true, false) if u32::from(*c) < 0x1_0000 => format!("\\u{:04x}", u32::from(*c)),
            (true, true) if u32::from(*c) < 0x1_0000 => format!("\\u{:04X}", u32::from(*c)),
            _ => c.to_string(),
        };
        characters.iter().enumerate().map(spelled).collect()
    }

    /// A change by which somebody could understand something else.
    fn spoil(&mut self, message: &mut Node) {
        let (value, key) = (self.value(1), format!("\"{}\"", self.pick(&KEYS)));
        let string = text(self.pick(&STRINGS));
        let scalar = Node::Text(self.pick(&SCALARS).to_owned());
        let Some(members) = self.some_object(message) else { return };
        let place = self.below(members.len() + 1);
        if members.is_empty() {
            members.push((key, value));
            return;
        }
        let at = self.below(members.len());
        let again = members[at].clone();
        match self.below(9) {
            0 => members.insert(place, again),
            1 => members.insert(place, (again.0, string)),
            2 => members.insert(place, (self.folded(&again.0), string)),
            3 => members.insert(place, (self.escaped(&again.0), string)),
            4 => members[at].0 = self.folded(&again.0),
            5 => members.insert(place, (key, value)),
            6 => members[at].1 = if self.one_in(2) { scalar } else { string },
            7 => drop(members.remove(at)),
            _ => {
                let levels = if self.one_in(4) { 130 } else { 20 };
                let deep = (0..levels).fold(again.1, |inner, _| Node::List(vec![inner]));
                members.insert(place, ("\"x\"".to_owned(), deep));
            }
        }
    }

    /// The key as a parser that folds may take it, and one that does not may not.
    fn folded(&mut self, key: &str) -> String {
        let at = self.below(key.chars().count());
        let all = self.one_in(3);
        let fold = |(place, c): (usize, char)| match c {
            _ if !all && place != at => c,
            's' => 'ſ',
            'k' => '\u{212A}',
            c if c.is_ascii_lowercase() => c.to_ascii_uppercase(),
            c => c.to_ascii_lowercase(),
        };
        key.chars().enumerate().map(fold).collect()
    }

    fn write(&mut self, node: &Node, spaced: bool, body: &mut String) {
        if spaced && self.one_in(3) {
            body.push_str(self.pick(&[" ", "\t", "\r", "\n", "  "]));
        }
        match node {
            Node::Text(text) => body.push_str(text),
            Node::List(items) => {
                body.push('[');
                for (at, item) in items.iter().enumerate() {
                    body.push_str(if at == 0 { "" } else { "," });
                    self.write(item, spaced, body);
                }
                body.push(']');
            }
            Node::Object(members) => {
                body.push('{');
                for (at, (key, value)) in members.iter().enumerate() {
                    body.push_str(if at == 0 { "" } else { "," });
                    body.push_str(key);
                    body.push(':');
                    self.write(value, spaced, body);
                }
                body.push('}');
            }
        }
        if spaced && self.one_in(5) {
            body.push_str(self.pick(&[" ", "\t", "\r", "\n"]));
        }
    }

    /// Bytes that are not what they were.
    fn damage(&mut self, body: &mut Vec<u8>) {
        const PIECES: [&[u8]; 16] = [
            b"\xEF\xBB\xBF",
            b"\0",
            b"//",
            b"/**/",
            b",",
            b"}",
            b"]",
            b"\"",
            b"\\",
            b" ",
            b"\n",
            b"\xFF",
            b"\xC0\x80",
            b"\xED\xA0\x80",
            b"\\ud800",
            b"{}",
        ];
        let at = self.below(body.len() + 1);
        match self.below(5) {
            0 => body.truncate(at),
            1 => body.splice(at..at, PIECES[self.below(PIECES.len())].iter().copied()).for_each(drop),
            2 => body.extend_from_slice(PIECES[self.below(PIECES.len())]),
            3 if at < body.len() => body[at] ^= 1 << self.below(8),
            _ if at < body.len() => drop(body.remove(at)),
            _ => {}
        }
    }
}

fn text(content: &str) -> Node {
    Node::Text(format!("\"{content}\""))
}
