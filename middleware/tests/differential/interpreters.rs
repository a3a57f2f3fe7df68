//! The other readers, as processes that live as long as the run.

use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Ends the bodies of one question: the interpreter writes out what it holds back.
const FLUSH: [u8; 4] = [0xFF; 4];

pub(crate) struct Interpreters(Vec<Interpreter>);

struct Interpreter {
    name: &'static str,
    child: Child,
    bodies: Option<BufWriter<ChildStdin>>,
    lines: BufReader<ChildStdout>,
}

/// One interpreter's line for each body: `!` where it rejects the body, else `O:` and one message, or `B:` and the
/// messages of a batch, separated by `;`. A message is the fields that `compare.rs` names, separated by `,`: a string is
/// `s` and its UTF-16LE in hexadecimal, a list `[…]` with `+` between, anything else `-`.
pub(crate) struct Answers {
    pub(crate) interpreter: &'static str,
    pub(crate) lines: Vec<String>,
}

impl Interpreters {
    pub(crate) fn start() -> Self {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential");
        let go = go_binary(&here);
        let with = |program: &str, arguments: &[&str]| {
            let mut command = Command::new(program);
            command.args(arguments).current_dir(&here);
            command
        };
        let go = go.to_str().unwrap();
        Self(vec![
            Interpreter::start("node", with("node", &["node.mjs"])),
            Interpreter::start("python", with("python3", &["-B", "python.py"])),
            Interpreter::start("go struct", with(go, &["struct"])),
            Interpreter::start("go map", with(go, &["map"])),
        ])
    }

    /// What each of them reads in each body.
    pub(crate) fn read(&mut self, bodies: &[&[u8]]) -> Vec<Answers> {
        std::thread::scope(|scope| {
            let asked: Vec<_> =
                self.0.iter_mut().map(|interpreter| scope.spawn(|| interpreter.read(bodies))).collect();
            asked.into_iter().map(|answers| answers.join().unwrap()).collect()
        })
    }
}

impl Interpreter {
    fn start(name: &'static str, mut command: Command) -> Self {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap_or_else(|error| {
                panic!("expected to start {command:?}, but: {error}; `tests/setup` installs it")
            });
        let bodies = child.stdin.take().map(|stdin| BufWriter::with_capacity(1 << 20, stdin));
        let lines = BufReader::with_capacity(1 << 20, child.stdout.take().unwrap());
        Self { name, child, bodies, lines }
    }

    fn read(&mut self, bodies: &[&[u8]]) -> Answers {
        let (name, to) = (self.name, self.bodies.as_mut().unwrap());
        let lines = std::thread::scope(|scope| {
            // Beside the reading, because neither side's pipe holds everything.
            scope.spawn(|| {
                for body in bodies {
                    to.write_all(&u32::try_from(body.len()).unwrap().to_be_bytes()).unwrap();
                    to.write_all(body).unwrap();
                }
                to.write_all(&FLUSH).unwrap();
                to.flush().unwrap();
            });
            let mut lines = Vec::with_capacity(bodies.len());
            for _ in bodies {
                let mut line = String::new();
                self.lines.read_line(&mut line).unwrap();
                assert_eq!(line.pop(), Some('\n'), "{name} has ended after {} bodies", lines.len());
                lines.push(line);
            }
            lines
        });
        Answers { interpreter: name, lines }
    }
}

impl Drop for Interpreter {
    fn drop(&mut self) {
        // Its input ends, and so does it.
        self.bodies = None;
        let _ = self.child.wait();
    }
}

/// Built once a process; Go keeps what it has built before.
fn go_binary(here: &Path) -> PathBuf {
    static BUILT: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();
    let build = || {
        let binary = Path::new(env!("CARGO_TARGET_TMPDIR")).join("differential-go");
        let mut command = Command::new("go");
        command.arg("build").arg("-o").arg(&binary).arg("main.go").current_dir(here);
        let status = command.status().unwrap_or_else(|error| {
            panic!("expected to start {command:?}, but: {error}; `tests/setup` installs it")
        });
        assert!(status.success(), "{command:?}: {status}");
        binary
    };
    BUILT.get_or_init(build).clone()
}
