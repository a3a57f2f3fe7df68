//! From text to [`Node`]s, and everything that is refused on the way. Once, when a policy is loaded.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;

use cel::common::ast::{CallExpr, EntryExpr, Expr, LiteralValue, MapExpr, SourceInfo, operators};
use cel::{Env, IdedExpr};

use super::ConditionError;
use super::pattern::Pattern;
use super::program::{Arithmetic, Comparison, Function, Macro, Node, Search};
use crate::document::nearest;

/// The longest expression, in bytes.
const LONGEST_SOURCE: usize = 4 * 1024;
/// The most operations in one expression.
const MOST_NODES: usize = 500;
/// How deep operations may be nested.
const DEEPEST: usize = 64;
/// The most comprehensions in one expression, none of them in another.
const MOST_COMPREHENSIONS: usize = 8;
/// The parser recurses; no expression of the length that is allowed needs a fraction of this.
const PARSER_STACK: usize = 32 * 1024 * 1024;

const VARIABLES: [&str; 4] = ["claims", "args", "tool", "client"];
const FUNCTIONS: [&str; 15] = [
    "has",
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "matches",
    "int",
    "uint",
    "double",
    "string",
    "all",
    "exists",
    "exists_one",
    "map",
    "filter",
];

/// An expression that has passed.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) program: Node,
    /// Every field and every text in the expression: among them are all the keys that it can ask for by name.
    pub(super) names: BTreeSet<Box<str>>,
    pub(super) reads_args: bool,
}

pub(super) fn compile(text: &str) -> Result<Compiled, ConditionError> {
    if text.len() > LONGEST_SOURCE {
        return Err(whole(format!(
            "expected an expression of at most {LONGEST_SOURCE} bytes, but found {}",
            text.len()
        )));
    }
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .stack_size(PARSER_STACK)
            .spawn_scoped(scope, || on_this_stack(text))
            .map_err(|error| whole(format!("no thread to read the expression: {error}")))?
            .join()
            // The parser is not ours: what it cannot bear is no expression.
            .unwrap_or_else(|_| {
                Err(whole("expected an expression, but found what no parser can read".to_owned()))
            })
    })
}

fn on_this_stack(text: &str) -> Result<Compiled, ConditionError> {
    // Without macros: `has` and comprehensions stay the calls that they are written as.
    let program = Env::default().with_optional_support(false).compile(text).map_err(|errors| match errors
        .errors
        .first()
    {
        Some(first) => ConditionError { offset: offset_of(text, first.pos), message: syntax(&first.msg) },
        None => whole("expected an expression".to_owned()),
    })?;
    let mut compiler = Compiler {
        text,
        source: program.source_info(),
        nodes: 0,
        comprehensions: 0,
        item: None,
        names: BTreeSet::new(),
        reads_args: false,
    };
    let node = compiler.node(program.expression(), 0)?;
    Ok(Compiled { program: node, names: compiler.names, reads_args: compiler.reads_args })
}

/// The parser's words, without its list of all the tokens that could have been there.
fn syntax(message: &str) -> String {
    let found = message.split(" expecting ").next().unwrap_or_default();
    let found = found.trim_start_matches("Syntax error: ").replace("'<EOF>'", "the end");
    format!(
        "expected an expression, but found {}",
        found.replace("mismatched input ", "").replace("extraneous input ", "")
    )
}

fn whole(message: String) -> ConditionError {
    ConditionError { offset: None, message }
}

/// From line and column, both counted from 1, to characters from the start.
fn offset_of(text: &str, (line, column): (isize, isize)) -> Option<usize> {
    let before = NonZeroUsize::new(usize::try_from(line).ok()?)?.get().saturating_sub(1);
    let lines: usize = text.split_inclusive('\n').take(before).map(|line| line.chars().count()).sum();
    Some(lines.saturating_add(usize::try_from(column).ok()?.saturating_sub(1)))
}

struct Compiler<'s> {
    text: &'s str,
    source: &'s SourceInfo,
    nodes: usize,
    comprehensions: usize,
    /// The name of the element within a comprehension.
    item: Option<String>,
    names: BTreeSet<Box<str>>,
    reads_args: bool,
}

type Compile = Result<Node, ConditionError>;

impl Compiler<'_> {
    fn fault<T>(&self, at: &IdedExpr, message: impl Into<String>) -> Result<T, ConditionError> {
        // The parser counts bytes here.
        let before = self
            .source
            .offset_for(at.id)
            .and_then(|(start, _)| usize::try_from(start).ok().and_then(|start| self.text.get(..start)));
        Err(ConditionError { offset: before.map(|text| text.chars().count()), message: message.into() })
    }

    fn node(&mut self, expr: &IdedExpr, depth: usize) -> Compile {
        self.nodes += 1;
        if self.nodes > MOST_NODES {
            return self.fault(expr, format!("expected at most {MOST_NODES} operations, but found more"));
        }
        if depth > DEEPEST {
            return self.fault(expr, format!("expected at most {DEEPEST} levels, but found more"));
        }
        let depth = depth + 1;
        match &expr.expr {
            Expr::Literal(literal) => self.literal(expr, literal),
            Expr::Ident(name) => self.variable(expr, name),
            Expr::Select(select) => {
                self.names.insert(select.field.as_str().into());
                Ok(Node::Select(self.boxed(&select.operand, depth)?, select.field.as_str().into()))
            }
            Expr::List(list) => {
                let nodes: Vec<Node> =
                    list.elements.iter().map(|element| self.node(element, depth)).collect::<Result<_, _>>()?;
                // A list of literals needs to be made only once.
                Ok(match nodes.iter().map(constant).collect::<Option<Vec<_>>>() {
                    Some(constants) => Node::Constant(serde_json::Value::Array(constants)),
                    None => Node::List(nodes.into()),
                })
            }
            Expr::Map(map) => self.map(expr, map, depth),
            Expr::Call(call) => self.call(expr, call, depth),
            Expr::Comprehension(_) | Expr::Struct(_) | Expr::Unspecified => {
                self.fault(expr, "expected an expression over `claims`, `args`, `tool` and `client`, but found a message of a type")
            }
        }
    }

    fn boxed(&mut self, expr: &IdedExpr, depth: usize) -> Result<Box<Node>, ConditionError> {
        self.node(expr, depth).map(Box::new)
    }

    fn literal(&mut self, at: &IdedExpr, literal: &LiteralValue) -> Compile {
        Ok(match literal {
            LiteralValue::Null => Node::Null,
            LiteralValue::Boolean(value) => Node::Bool(*value.inner()),
            LiteralValue::Int(value) => Node::Int(*value.inner()),
            LiteralValue::UInt(value) => Node::Uint(*value.inner()),
            LiteralValue::Double(value) => Node::Double(*value.inner()),
            LiteralValue::String(value) => {
                self.names.insert(value.inner().into());
                Node::Text(value.inner().into())
            }
            LiteralValue::Bytes(_) => {
                return self.fault(at, "expected a text, but found bytes, which nothing in a request is");
            }
        })
    }

    fn variable(&mut self, at: &IdedExpr, name: &str) -> Compile {
        Ok(match name {
            _ if self.item.as_deref() == Some(name) => Node::Item,
            "claims" => Node::Claims,
            "args" => {
                self.reads_args = true;
                Node::Args
            }
            "tool" => Node::Tool,
            "client" => Node::Client,
            unknown => {
                return self.fault(
                    at,
                    meant("variable", unknown, "`claims`, `args`, `tool` or `client`", &VARIABLES),
                );
            }
        })
    }

    fn map(&mut self, at: &IdedExpr, map: &MapExpr, depth: usize) -> Compile {
        let mut object = serde_json::Map::new();
        for entry in &map.entries {
            let EntryExpr::MapEntry(entry) = &entry.expr else {
                return self.fault(at, "expected a map of literals");
            };
            let key = self.node(&entry.key, depth)?;
            let value = self.node(&entry.value, depth)?;
            let (Node::Text(key), Some(value)) = (key, constant(&value)) else {
                return self.fault(
                    &entry.key,
                    "expected a map of literals, with texts as keys, but found another expression",
                );
            };
            if object.insert(key.to_string(), value).is_some() {
                return self.fault(
                    &entry.key,
                    format!("expected each key once, but found `{}` again", key.escape_debug()),
                );
            }
        }
        Ok(Node::Constant(serde_json::Value::Object(object)))
    }

    fn call(&mut self, at: &IdedExpr, call: &CallExpr, depth: usize) -> Compile {
        match (call.func_name.as_str(), call.target.as_deref(), call.args.as_slice()) {
            (operators::LOGICAL_NOT, None, [of]) => Ok(Node::Not(self.boxed(of, depth)?)),
            (operators::NEGATE, None, [of]) => Ok(Node::Negate(self.boxed(of, depth)?)),
            (operators::CONDITIONAL, None, [condition, then, otherwise]) => Ok(Node::Either(
                self.boxed(condition, depth)?,
                self.boxed(then, depth)?,
                self.boxed(otherwise, depth)?,
            )),
            (name, None, [left, right]) if is_operator(name) => {
                let (left, right) = (self.boxed(left, depth)?, self.boxed(right, depth)?);
                self.binary(at, name, left, right)
            }
            ("has", None, [of]) => match &of.expr {
                Expr::Select(select) => {
                    self.names.insert(select.field.as_str().into());
                    Ok(Node::Has(self.boxed(&select.operand, depth)?, select.field.as_str().into()))
                }
                _ => {
                    self.fault(at, "expected a field, as in `has(args.limit)`, but found another expression")
                }
            },
            ("size", None, [of]) | ("size", Some(of), []) => self.function(Function::Size, of, depth),
            ("int", None, [of]) => self.function(Function::Int, of, depth),
            ("uint", None, [of]) => self.function(Function::Uint, of, depth),
            ("double", None, [of]) => self.function(Function::Double, of, depth),
            ("string", None, [of]) => self.function(Function::String, of, depth),
            ("contains", Some(text), [part]) => self.search(Search::Contains, text, part, depth),
            ("startsWith", Some(text), [part]) => self.search(Search::StartsWith, text, part, depth),
            ("endsWith", Some(text), [part]) => self.search(Search::EndsWith, text, part, depth),
            ("matches", Some(text), [pattern]) | ("matches", None, [text, pattern]) => {
                self.matches(text, pattern, depth)
            }
            ("all", Some(over), [item, body]) => {
                self.comprehension(at, Macro::All, over, item, Some(body), None, depth)
            }
            ("exists", Some(over), [item, body]) => {
                self.comprehension(at, Macro::Exists, over, item, Some(body), None, depth)
            }
            ("exists_one" | "existsOne", Some(over), [item, body]) => {
                self.comprehension(at, Macro::ExistsOne, over, item, Some(body), None, depth)
            }
            ("filter", Some(over), [item, body]) => {
                self.comprehension(at, Macro::Filter, over, item, Some(body), None, depth)
            }
            ("map", Some(over), [item, transform]) => {
                self.comprehension(at, Macro::Map, over, item, None, Some(transform), depth)
            }
            ("map", Some(over), [item, body, transform]) => {
                self.comprehension(at, Macro::Map, over, item, Some(body), Some(transform), depth)
            }
            (known, ..) if FUNCTIONS.contains(&known) => {
                self.fault(at, format!("expected other arguments to `{known}`, or in another place"))
            }
            (unknown, ..) => {
                let known = FUNCTIONS.map(|name| format!("`{name}`")).join(", ");
                self.fault(at, meant("function", unknown, &known, &FUNCTIONS))
            }
        }
    }

    fn binary(&self, at: &IdedExpr, name: &str, left: Box<Node>, right: Box<Node>) -> Compile {
        Ok(match name {
            operators::LOGICAL_AND => Node::And(left, right),
            operators::LOGICAL_OR => Node::Or(left, right),
            operators::EQUALS => Node::Equals { left, right, wanted: true },
            operators::NOT_EQUALS => Node::Equals { left, right, wanted: false },
            operators::LESS => Node::Compare(Comparison::Less, left, right),
            operators::LESS_EQUALS => Node::Compare(Comparison::LessOrEqual, left, right),
            operators::GREATER => Node::Compare(Comparison::Greater, left, right),
            operators::GREATER_EQUALS => Node::Compare(Comparison::GreaterOrEqual, left, right),
            operators::IN => Node::In(left, right),
            operators::INDEX => Node::Index(left, right),
            operators::ADD => Node::Arithmetic(Arithmetic::Add, left, right),
            operators::SUBSTRACT => Node::Arithmetic(Arithmetic::Subtract, left, right),
            operators::MULTIPLY => Node::Arithmetic(Arithmetic::Multiply, left, right),
            operators::DIVIDE => Node::Arithmetic(Arithmetic::Divide, left, right),
            operators::MODULO => Node::Arithmetic(Arithmetic::Modulo, left, right),
            _ => return self.fault(at, "expected another operator"),
        })
    }

    fn function(&mut self, function: Function, of: &IdedExpr, depth: usize) -> Compile {
        Ok(Node::Call(function, self.boxed(of, depth)?))
    }

    fn search(&mut self, search: Search, text: &IdedExpr, part: &IdedExpr, depth: usize) -> Compile {
        Ok(Node::Search(search, self.boxed(text, depth)?, self.boxed(part, depth)?))
    }

    fn matches(&mut self, text: &IdedExpr, pattern: &IdedExpr, depth: usize) -> Compile {
        let Expr::Literal(LiteralValue::String(literal)) = &pattern.expr else {
            return self.fault(
                pattern,
                "expected a pattern as a literal text, because it is compiled when the policy is loaded, but found another expression",
            );
        };
        match Pattern::new(literal.inner()) {
            Ok(pattern) => Ok(Node::Matches(self.boxed(text, depth)?, pattern)),
            Err(why) => self.fault(pattern, format!("expected a {why}")),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "these are the parts of a comprehension")]
    fn comprehension(
        &mut self,
        at: &IdedExpr,
        macro_: Macro,
        over: &IdedExpr,
        item: &IdedExpr,
        predicate: Option<&IdedExpr>,
        transform: Option<&IdedExpr>,
        depth: usize,
    ) -> Compile {
        if self.item.is_some() {
            return self.fault(at, "expected no comprehension within another, whose time would grow with the square of the arguments");
        }
        self.comprehensions += 1;
        if self.comprehensions > MOST_COMPREHENSIONS {
            return self
                .fault(at, format!("expected at most {MOST_COMPREHENSIONS} comprehensions, but found more"));
        }
        let over = self.boxed(over, depth)?;
        let name = match &item.expr {
            Expr::Ident(name) if !name.starts_with('.') => name.clone(),
            _ => return self.fault(item, "expected a name for the element, but found another expression"),
        };
        if VARIABLES.contains(&name.as_str()) {
            return self
                .fault(item, format!("expected a name of its own for the element, but found `{name}`"));
        }
        self.item = Some(name);
        let predicate = predicate.map(|body| self.boxed(body, depth)).transpose();
        let transform = transform.map(|body| self.boxed(body, depth)).transpose();
        self.item = None;
        Ok(Node::Comprehension { macro_, over, predicate: predicate?, transform: transform? })
    }
}

fn is_operator(name: &str) -> bool {
    name.starts_with('_') || name == operators::IN
}

fn meant(what: &str, unknown: &str, known: &str, words: &[&'static str]) -> String {
    let unknown_quoted = unknown.chars().take(60).collect::<String>();
    let message = format!("unknown {what} `{}`", unknown_quoted.escape_debug());
    match nearest(unknown, words.iter().copied()) {
        Some(meant) => format!("{message}; did you mean `{meant}`?"),
        None => format!("{message}; expected {known}"),
    }
}

/// The value of a literal, or of a list or map of literals.
fn constant(node: &Node) -> Option<serde_json::Value> {
    Some(match node {
        Node::Null => serde_json::Value::Null,
        Node::Bool(value) => (*value).into(),
        Node::Int(value) => (*value).into(),
        Node::Uint(value) => (*value).into(),
        Node::Double(value) => serde_json::Number::from_f64(*value)?.into(),
        Node::Text(value) => value.as_ref().into(),
        Node::Constant(value) => value.clone(),
        _ => return None,
    })
}
