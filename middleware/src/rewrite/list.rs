//! What a policy changes in a list.

use std::sync::Arc;

use http::Method;
use serde_json::value::RawValue;

use super::answer::{Answer, Element, ListMember, ResultMember};
pub(crate) use super::json::Unreadable;
use super::json::{Edits, Value};
use super::task_list::without_tasks;
use crate::policy::{Access, Policy, Rule, shows};
use crate::possession::Caller;
use crate::request::{Classified, Era, Incoming, ObjectKind, Operation, RequestId};

/// One kind of list: where a result has it, and what names its elements.
#[derive(Debug)]
pub(super) struct List {
    kind: ObjectKind,
    pub(super) member: &'static str,
    pub(super) name: &'static str,
}

const TOOLS: List = List { kind: ObjectKind::Tool, member: "tools", name: "name" };
const PROMPTS: List = List { kind: ObjectKind::Prompt, member: "prompts", name: "name" };
const RESOURCES: List = List { kind: ObjectKind::Resource, member: "resources", name: "uri" };
const TEMPLATES: List = List { kind: ObjectKind::Resource, member: "resourceTemplates", name: "uriTemplate" };

/// Every list, for answers of which nobody knows what they answer.
const ALL: [List; 4] = [TOOLS, PROMPTS, RESOURCES, TEMPLATES];

/// For whom a list is, and by what it is shortened: what the decision on its request was taken by.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub(crate) policy: Arc<Policy>,
    /// Whose token came with the request, whoever the server thinks it is serving.
    pub(crate) caller: Option<Caller>,
    pub(crate) era: Era,
}

/// Rewrites the lists in answers, by the policy that allowed the request.
#[derive(Debug, Clone)]
pub(crate) struct ListRewriter {
    view: View,
    answers: Answers,
}

/// What comes back.
#[derive(Debug, Clone)]
enum Answers {
    /// One answer, which must have this list.
    One(&'static [List]),
    /// Those to a batch, in which the answers to these requests must have these lists.
    Batch(Arc<[(RequestId, &'static [List])]>),
    /// Any messages.
    Any,
}

/// The list that answers a method.
fn list_of(kind: ObjectKind, method: &str) -> &'static [List] {
    match (kind, method) {
        (ObjectKind::Tool, _) => &[TOOLS],
        (ObjectKind::Prompt, _) => &[PROMPTS],
        (ObjectKind::Resource, "resources/templates/list") => &[TEMPLATES],
        (ObjectKind::Resource, _) => &[RESOURCES],
    }
}

impl ListRewriter {
    /// For what answers a request; `None` where no list can be in it.
    pub(crate) fn of(
        view: impl FnOnce() -> View,
        request: &Incoming<'_>,
        http_method: &Method,
    ) -> Option<Self> {
        match request {
            _ if http_method == Method::GET => Some(Self::for_stream(view())),
            Incoming::One(Classified { operation: Operation::List(kind, method), .. }) => {
                Some(Self::for_answer(view(), *kind, method))
            }
            Incoming::One(_) => None,
            Incoming::Batch(messages) => {
                let lists = || {
                    messages.iter().filter_map(|message| match message.operation {
                        Operation::List(kind, method) => Some((message.id.clone(), kind, method)),
                        _ => None,
                    })
                };
                // One without an id wants no answer, and may get one from some servers.
                lists().next()?;
                let asked = lists().filter_map(|(id, kind, method)| Some((id?, kind, method)));
                Some(Self::for_batch(view(), asked))
            }
        }
    }

    /// For the answer to a list request. What is no list of that kind is withheld.
    pub(crate) fn for_answer(view: View, kind: ObjectKind, method: &str) -> Self {
        Self { view, answers: Answers::One(list_of(kind, method)) }
    }

    /// For the answers to a batch that has these list requests, each with its id, kind and method. They come in an array,
    /// or one by one on a stream, in whatever order (JSON-RPC 2.0 §6).
    pub(crate) fn for_batch<'a>(
        view: View,
        lists: impl IntoIterator<Item = (RequestId, ObjectKind, &'a str)>,
    ) -> Self {
        let lists = lists.into_iter().map(|(id, kind, method)| (id, list_of(kind, method))).collect();
        Self { view, answers: Answers::Batch(lists) }
    }

    /// For a `GET` stream of earlier revisions: one that is resumed may repeat the answer to any request, lists too.
    pub(crate) fn for_stream(view: View) -> Self {
        Self { view, answers: Answers::Any }
    }

    /// Whether the answer is known to be a list.
    pub(super) fn expects_list(&self) -> bool {
        !matches!(self.answers, Answers::Any)
    }

    /// Rewrites one JSON-RPC message, or an array of them where there may be one; `None` where it is to stay as it is: a
    /// notification, a request of the server, an error in place of the list, another answer on a stream.
    pub(crate) fn message(&self, text: &str) -> Result<Option<String>, Unreadable> {
        match &self.answers {
            Answers::One(lists) => self.rewrite(text, lists, true),
            Answers::Batch(_) | Answers::Any if text.trim_start().starts_with('[') => {
                let mut edits = Edits::default();
                for message in elements(text)? {
                    if let Some(changed) = self.one_of_many(message.text)? {
                        edits.replace(message.range(), |text| text.push_str(&changed));
                    }
                }
                Ok((!edits.is_empty()).then(|| edits.apply(text)))
            }
            Answers::Batch(_) | Answers::Any => self.one_of_many(text),
        }
    }

    /// Rewrites a message that answers what its id says, or whatever it may be.
    fn one_of_many(&self, text: &str) -> Result<Option<String>, Unreadable> {
        if !text.trim_start().starts_with('{') {
            return Ok(None);
        }
        if let Answers::Batch(asked) = &self.answers
            && let [Some(id)] = Value::whole(text).members(["id"])?
            && let Some(id) = RequestId::from_json(id.text)
            && let Some((_, lists)) = asked.iter().find(|(asked, _)| asked.decoded() == id.decoded())
        {
            return self.rewrite(text, lists, true);
        }
        // A list under an id that is spelled as nobody asked may be one to some clients even so.
        let changed = self.rewrite(text, &ALL, false)?;
        match self.answers {
            Answers::Any => Ok(without_tasks(changed.as_deref().unwrap_or(text))?.or(changed)),
            Answers::One(_) | Answers::Batch(_) => Ok(changed),
        }
    }

    /// Rewrites an answer with these lists; `expected` where they must be there.
    fn rewrite(&self, text: &str, lists: &[List], expected: bool) -> Result<Option<String>, Unreadable> {
        let answer = Answer::read(text, lists)?;
        let (false, Some(result)) = (answer.has_method, answer.result) else {
            return Ok(None);
        };
        let found = match result {
            ResultMember::Object(found) => found,
            ResultMember::Other if expected => {
                return Err(Unreadable("expected `result` to be an object".to_owned()));
            }
            ResultMember::Other => return Ok(None),
        };
        let mut edits = Edits::default();
        for (list, found) in lists.iter().zip(found) {
            match found {
                Some(ListMember::Array(elements)) => {
                    self.edit(&mut edits, list, &elements)?;
                    if self.view.era == Era::Modern && self.view.policy.lists_per_caller(list.kind) {
                        keep_private(&mut edits, text)?;
                    }
                }
                _ if expected => {
                    return Err(Unreadable(format!("expected a list in `result.{}`", list.member)));
                }
                _ => {}
            }
        }
        Ok((!edits.is_empty()).then(|| edits.apply(text)))
    }

    fn edit(&self, edits: &mut Edits, list: &List, elements: &[Element<'_>]) -> Result<(), Unreadable> {
        edits.make_room(elements.len());
        let mut kept_any = false;
        let mut before: Option<&Element<'_>> = None;
        for (index, element) in elements.iter().enumerate() {
            let Some(name) = element.name else {
                return Err(Unreadable(format!("expected a `{}` in each of `{}`", list.name, list.member)));
            };
            let name = name.as_string()?;
            let rule = self.view.policy.rule(list.kind, &name);
            if shows(rule, &name, self.view.caller.as_ref()) {
                kept_any = true;
                if list.kind == ObjectKind::Tool {
                    secure(edits, element, rule)?;
                }
            } else {
                // With the comma before it, or behind it while nothing is kept.
                let gap = match (before.filter(|_| kept_any), elements.get(index + 1)) {
                    (Some(before), _) => before.end..element.end,
                    (None, Some(next)) => element.start..next.start,
                    (None, None) => element.start..element.end,
                };
                edits.replace(gap, |_| {});
            }
            before = Some(element);
        }
        Ok(())
    }
}

/// A list that is not the same for everyone must not be kept for everyone (MCP 2026-07-28, caching), on none of its
/// pages: what is missing from one shows when it is held against another's.
fn keep_private(edits: &mut Edits, text: &str) -> Result<(), Unreadable> {
    let [Some(result)] = Value::whole(text).members(["result"])? else {
        return Ok(());
    };
    let [scope] = result.members(["cacheScope"])?;
    if scope.is_none_or(|scope| scope.text != "\"private\"") {
        // The list is a member, so that there is one to put another behind.
        let members = result.text.strip_suffix('}').unwrap_or(result.text).trim_end();
        edits.set(scope.as_ref(), result.start + members.len(), "cacheScope", |text| {
            text.push_str("\"private\"");
        });
    }
    Ok(())
}

/// The messages of an array.
fn elements(text: &str) -> Result<Vec<Value<'_>>, Unreadable> {
    let raw: Vec<&RawValue> = serde_json::from_str(text).map_err(|error| Unreadable(error.to_string()))?;
    Ok(raw.into_iter().map(|raw| Value::of(text, raw)).collect())
}

/// Puts the rule into the tool's descriptor. What the upstream says of it does not count: what is enforced is published.
fn secure(edits: &mut Edits, tool: &Element<'_>, rule: &Rule) -> Result<(), Unreadable> {
    if let Some(key) = tool.repeated {
        return Err(Unreadable(format!("the key `{key}` is given twice")));
    }
    let alone = |text: &mut String| {
        text.push_str("{\"securitySchemes\":");
        write_security_schemes(rule, text);
        text.push('}');
    };
    match &tool.meta {
        Some(meta) if meta.is_object() => {
            let [declared] = meta.members(["securitySchemes"])?;
            if let Some(declared) = declared {
                edits.replace(declared.range(), |text| write_security_schemes(rule, text));
            } else {
                // Behind the last member, before what white space the upstream put there.
                let members = meta.text.strip_suffix('}').unwrap_or(meta.text).trim_end();
                let comma = if members.ends_with('{') { "" } else { "," };
                let end = meta.start + members.len();
                edits.replace(end..end, |text| {
                    text.push_str(comma);
                    text.push_str("\"securitySchemes\":");
                    write_security_schemes(rule, text);
                });
            }
        }
        meta => edits.set(meta.as_ref(), tool.members_end, "_meta", alone),
    }
    edits.set(tool.security_schemes.as_ref(), tool.members_end, "securitySchemes", |text| {
        write_security_schemes(rule, text);
    });
    Ok(())
}

/// `noauth` is callable anonymously, `oauth2` needs a token, both is optional: the two types that clients know.
///
/// A scheme can say only that all of its scopes are needed. Of a rule's alternatives it names the one that a challenge
/// would ask for: whoever gets that is served.
fn write_security_schemes(rule: &Rule, text: &mut String) {
    let (open, signed_in) = (rule.is_open(), matches!(rule.access(), Access::OAuth2 | Access::Optional));
    text.push('[');
    if open {
        text.push_str(r#"{"type":"noauth"}"#);
    }
    if open && signed_in {
        text.push(',');
    }
    if signed_in {
        text.push_str(r#"{"type":"oauth2","scopes":["#);
        for (index, scope) in rule.asked_scopes(None).enumerate() {
            text.push_str(if index == 0 { "\"" } else { ",\"" });
            // A scope token has neither quotes, backslashes nor control characters (RFC 6749 §3.3): it is a JSON string as it is.
            text.push_str(scope);
            text.push('"');
        }
        text.push_str("]}");
    }
    text.push(']');
}

#[cfg(test)]
mod per_caller_tests;
#[cfg(test)]
mod tests;
