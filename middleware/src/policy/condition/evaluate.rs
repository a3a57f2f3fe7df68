//! Evaluating a compiled condition, in a bounded number of steps.
//!
//! The `cel` crate's own interpreter has no budget: a hostile list could keep it busy for seconds. So this one counts.

use std::borrow::Cow;
use std::cell::Cell;
use std::cmp::Ordering;

use serde_json::{Map, Value as Json};

use super::ConditionFailure;
use super::program::{Arithmetic, Comparison, Function, Macro, Node, Search};
use super::value::{List, Value};

/// What one evaluation may take; a step is the cost of one simple operation.
pub(super) const MOST_STEPS: u32 = 20_000;

/// Why an evaluation ends early.
#[derive(Debug)]
pub(super) enum Stop {
    /// An error of the expression, which `||`, `&&`, `all` and `exists` may yet make good.
    Error(Cow<'static, str>),
    /// The end of the budget, which nothing makes good.
    Exhausted,
}

impl From<Stop> for ConditionFailure {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Error(why) => Self::Error(why),
            Stop::Exhausted => Self::TooMuchWork,
        }
    }
}

type Evaluated<'v> = Result<Value<'v>, Stop>;

fn error<T>(why: impl Into<Cow<'static, str>>) -> Result<T, Stop> {
    Err(Stop::Error(why.into()))
}

fn unfit<T>(operation: &str, value: &Value<'_>) -> Result<T, Stop> {
    error(format!("`{operation}` does not take {}", value.kind()))
}

/// One evaluation over one request.
#[derive(Debug)]
pub(super) struct Evaluation<'v> {
    claims: &'v Map<String, Json>,
    args: &'v Map<String, Json>,
    tool: &'v str,
    client: &'v str,
    steps: Cell<u32>,
}

impl<'v> Evaluation<'v> {
    pub(super) fn new(
        claims: &'v Map<String, Json>,
        args: &'v Map<String, Json>,
        tool: &'v str,
        client: &'v str,
    ) -> Self {
        Self { claims, args, tool, client, steps: Cell::new(MOST_STEPS) }
    }

    pub(super) fn run(&self, program: &'v Node) -> Result<Value<'v>, ConditionFailure> {
        Ok(self.node(program, None)?)
    }

    fn spend(&self, steps: usize) -> Result<(), Stop> {
        let left = u32::try_from(steps).ok().and_then(|steps| self.steps.get().checked_sub(steps));
        self.steps.set(left.unwrap_or(0));
        left.map(|_| ()).ok_or(Stop::Exhausted)
    }

    fn node(&self, node: &'v Node, item: Option<&Value<'v>>) -> Evaluated<'v> {
        self.spend(1)?;
        let value = |node| self.node(node, item);
        match node {
            Node::Null => Ok(Value::Null),
            Node::Bool(value) => Ok(Value::Bool(*value)),
            Node::Int(value) => Ok(Value::Int(*value)),
            Node::Uint(value) => Ok(Value::Uint(*value)),
            Node::Double(value) => Ok(Value::Double(*value)),
            Node::Text(value) => Ok(Value::Text(Cow::Borrowed(value))),
            Node::Constant(value) => Ok(value.into()),
            Node::Claims => Ok(Value::Map(self.claims)),
            Node::Args => Ok(Value::Map(self.args)),
            Node::Tool => Ok(Value::Text(Cow::Borrowed(self.tool))),
            Node::Client => Ok(Value::Text(Cow::Borrowed(self.client))),
            Node::Item => match item {
                Some(Value::Text(Cow::Owned(text))) => {
                    self.spend(text.len() / 32)?;
                    Ok(Value::Text(Cow::Owned(text.clone())))
                }
                Some(item) => Ok(item.clone()),
                None => error("no element here"),
            },
            Node::Select(of, field) => match value(of)? {
                Value::Map(map) => match map.get(&**field) {
                    Some(found) => Ok(found.into()),
                    None => error(format!("no key `{field}`")),
                },
                other => unfit(&format!(".{field}"), &other),
            },
            Node::Has(of, field) => match value(of)? {
                Value::Map(map) => Ok(Value::Bool(map.contains_key(&**field))),
                other => unfit("has", &other),
            },
            Node::Index(of, index) => Self::index(&value(of)?, &value(index)?),
            Node::List(nodes) => {
                let values: Vec<Value<'v>> = nodes.iter().map(value).collect::<Result<_, _>>()?;
                Ok(Value::List(List::Made(values.into())))
            }
            Node::Not(of) => match value(of)? {
                Value::Bool(value) => Ok(Value::Bool(!value)),
                other => unfit("!", &other),
            },
            Node::Negate(of) => match value(of)? {
                Value::Int(number) => number.checked_neg().map(Value::Int).map_or_else(overflow, Ok),
                Value::Double(number) => Ok(Value::Double(-number)),
                other => unfit("-", &other),
            },
            Node::And(left, right) => either_way(false, value(left), || value(right)),
            Node::Or(left, right) => either_way(true, value(left), || value(right)),
            Node::Either(condition, then, otherwise) => match value(condition)? {
                Value::Bool(true) => value(then),
                Value::Bool(false) => value(otherwise),
                other => unfit("?:", &other),
            },
            Node::Equals { left, right, wanted } => {
                Ok(Value::Bool(self.equal(&value(left)?, &value(right)?)? == *wanted))
            }
            Node::Compare(comparison, left, right) => {
                let order = self.order(&value(left)?, &value(right)?)?;
                Ok(Value::Bool(match comparison {
                    Comparison::Less => order.is_lt(),
                    Comparison::LessOrEqual => order.is_le(),
                    Comparison::Greater => order.is_gt(),
                    Comparison::GreaterOrEqual => order.is_ge(),
                }))
            }
            Node::In(wanted, within) => self.contains(&value(wanted)?, &value(within)?),
            Node::Arithmetic(operator, left, right) => {
                self.arithmetic(*operator, value(left)?, value(right)?)
            }
            Node::Call(function, of) => self.call(*function, value(of)?),
            Node::Search(search, text, part) => match (value(text)?, value(part)?) {
                (Value::Text(text), Value::Text(part)) => {
                    self.spend((text.len() + part.len()) / 32)?;
                    Ok(Value::Bool(match search {
                        Search::Contains => text.contains(&*part),
                        Search::StartsWith => text.starts_with(&*part),
                        Search::EndsWith => text.ends_with(&*part),
                    }))
                }
                (Value::Text(_), other) | (other, _) => unfit("a search in a text", &other),
            },
            Node::Matches(of, pattern) => match value(of)? {
                Value::Text(text) => {
                    // The one operation whose time also grows with the expression.
                    self.spend(pattern.steps(text.len()))?;
                    Ok(Value::Bool(pattern.is_in(&text)))
                }
                other => unfit("matches", &other),
            },
            Node::Comprehension { macro_, over, predicate, transform } => {
                self.comprehension(*macro_, &value(over)?, predicate.as_deref(), transform.as_deref())
            }
        }
    }

    fn index(of: &Value<'v>, index: &Value<'v>) -> Evaluated<'v> {
        let found = match (of, index) {
            (Value::Map(map), Value::Text(key)) => map.get(&**key).map(Value::from),
            (Value::List(list), Value::Int(index)) => {
                usize::try_from(*index).ok().and_then(|at| list.get(at))
            }
            (Value::List(list), Value::Uint(index)) => {
                usize::try_from(*index).ok().and_then(|at| list.get(at))
            }
            (Value::List(list), Value::Double(index)) if index.fract() == 0.0 => {
                truncated::<usize>(*index).and_then(|at| list.get(at))
            }
            (Value::Map(_) | Value::List(_), other) | (other, _) => return unfit("[]", other),
        };
        found.map_or_else(|| error("nothing at that index"), Ok)
    }

    fn equal(&self, left: &Value<'v>, right: &Value<'v>) -> Result<bool, Stop> {
        self.spend(1)?;
        match (left, right) {
            (Value::Null, Value::Null) => Ok(true),
            (Value::Bool(left), Value::Bool(right)) => Ok(left == right),
            (Value::Text(left), Value::Text(right)) => {
                if left.len() != right.len() {
                    return Ok(false);
                }
                self.spend(left.len() / 32)?;
                Ok(left == right)
            }
            (Value::List(left), Value::List(right)) => {
                if left.len() != right.len() {
                    return Ok(false);
                }
                for (left, right) in left.iter().zip(right.iter()) {
                    if !self.equal(&left, &right)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            (Value::Map(left), Value::Map(right)) => {
                if left.len() != right.len() {
                    return Ok(false);
                }
                for (key, left) in *left {
                    self.spend(1 + key.len() / 32)?;
                    match right.get(key) {
                        Some(right) if self.equal(&left.into(), &right.into())? => {}
                        _ => return Ok(false),
                    }
                }
                Ok(true)
            }
            (left, right) => Ok(left.compare_numbers(right) == Some(Ordering::Equal)),
        }
    }

    fn order(&self, left: &Value<'v>, right: &Value<'v>) -> Result<Ordering, Stop> {
        match (left, right) {
            (Value::Bool(left), Value::Bool(right)) => Ok(left.cmp(right)),
            // By code points, as bytes in UTF-8 are.
            (Value::Text(left), Value::Text(right)) => {
                self.spend(left.len().min(right.len()) / 32)?;
                Ok(left.cmp(right))
            }
            _ => left
                .compare_numbers(right)
                .map_or_else(|| error(format!("{} cannot be compared to {}", left.kind(), right.kind())), Ok),
        }
    }

    fn contains(&self, wanted: &Value<'v>, within: &Value<'v>) -> Evaluated<'v> {
        match (wanted, within) {
            (_, Value::List(list)) => {
                for element in list.iter() {
                    if self.equal(wanted, &element)? {
                        return Ok(Value::Bool(true));
                    }
                }
                Ok(Value::Bool(false))
            }
            (Value::Text(key), Value::Map(map)) => {
                self.spend(key.len() / 32)?;
                Ok(Value::Bool(map.contains_key(&**key)))
            }
            // Keys of other maps than those of JSON.
            (Value::Bool(_) | Value::Int(_) | Value::Uint(_) | Value::Double(_), Value::Map(_)) => {
                Ok(Value::Bool(false))
            }
            (key, Value::Map(_)) => unfit("in", key),
            (_, other) => unfit("in", other),
        }
    }

    fn arithmetic(&self, operator: Arithmetic, left: Value<'v>, right: Value<'v>) -> Evaluated<'v> {
        match (left, right) {
            (Value::Int(left), Value::Int(right)) => match operator {
                Arithmetic::Add => left.checked_add(right),
                Arithmetic::Subtract => left.checked_sub(right),
                Arithmetic::Multiply => left.checked_mul(right),
                Arithmetic::Divide => left.checked_div(right),
                Arithmetic::Modulo => left.checked_rem(right),
            }
            .map(Value::Int)
            .map_or_else(overflow, Ok),
            (Value::Uint(left), Value::Uint(right)) => match operator {
                Arithmetic::Add => left.checked_add(right),
                Arithmetic::Subtract => left.checked_sub(right),
                Arithmetic::Multiply => left.checked_mul(right),
                Arithmetic::Divide => left.checked_div(right),
                Arithmetic::Modulo => left.checked_rem(right),
            }
            .map(Value::Uint)
            .map_or_else(overflow, Ok),
            (Value::Double(left), Value::Double(right)) => Ok(Value::Double(match operator {
                Arithmetic::Add => left + right,
                Arithmetic::Subtract => left - right,
                Arithmetic::Multiply => left * right,
                Arithmetic::Divide => left / right,
                Arithmetic::Modulo => return error("`%` does not take a double"),
            })),
            (Value::Text(left), Value::Text(right)) if matches!(operator, Arithmetic::Add) => {
                self.spend((left.len() + right.len()) / 32)?;
                Ok(Value::Text(Cow::Owned(left.into_owned() + &right)))
            }
            (Value::List(left), Value::List(right)) if matches!(operator, Arithmetic::Add) => {
                self.spend(left.len() + right.len())?;
                Ok(Value::List(List::Made(left.iter().chain(right.iter()).collect())))
            }
            (left, right) => error(format!("no arithmetic of {} and {}", left.kind(), right.kind())),
        }
    }

    fn call(&self, function: Function, of: Value<'v>) -> Evaluated<'v> {
        if let Value::Text(text) = &of {
            self.spend(text.len() / 32)?;
        }
        match function {
            Function::Size => {
                let size = match &of {
                    Value::Text(text) => text.chars().count(),
                    Value::List(list) => list.len(),
                    Value::Map(map) => map.len(),
                    other => return unfit("size", other),
                };
                i64::try_from(size).ok().map(Value::Int).map_or_else(overflow, Ok)
            }
            Function::Int => match of {
                Value::Int(number) => Some(number),
                Value::Uint(number) => i64::try_from(number).ok(),
                // Neither end of the range is in it: what is there may have been rounded to it.
                Value::Double(number) => truncated(number).filter(|whole| *whole != i64::MIN),
                Value::Text(text) => text.parse().ok(),
                other => return unfit("int", &other),
            }
            .map_or_else(|| error("not in the range of `int`"), |number| Ok(Value::Int(number))),
            Function::Uint => match of {
                Value::Uint(number) => Some(number),
                Value::Int(number) => u64::try_from(number).ok(),
                // Not even -0.5, which would be 0 without its fraction.
                Value::Double(number) if number < 0.0 => None,
                Value::Double(number) => truncated(number),
                Value::Text(text) => text.parse().ok(),
                other => return unfit("uint", &other),
            }
            .map_or_else(|| error("not in the range of `uint`"), |number| Ok(Value::Uint(number))),
            #[expect(clippy::cast_precision_loss, reason = "CEL rounds to the nearest double")]
            Function::Double => match of {
                Value::Double(number) => Ok(Value::Double(number)),
                Value::Int(number) => Ok(Value::Double(number as f64)),
                Value::Uint(number) => Ok(Value::Double(number as f64)),
                Value::Text(text) => {
                    text.parse().map_or_else(|_| error("no `double`"), |number| Ok(Value::Double(number)))
                }
                other => unfit("double", &other),
            },
            Function::String => match of {
                Value::Text(text) => Ok(Value::Text(text)),
                Value::Bool(value) => Ok(Value::Text(value.to_string().into())),
                Value::Int(number) => Ok(Value::Text(number.to_string().into())),
                Value::Uint(number) => Ok(Value::Text(number.to_string().into())),
                Value::Double(number) => {
                    let text = number.to_string();
                    self.spend(text.len() / 32)?;
                    Ok(Value::Text(text.into()))
                }
                other => unfit("string", &other),
            },
        }
    }

    fn comprehension(
        &self,
        macro_: Macro,
        over: &Value<'v>,
        predicate: Option<&'v Node>,
        transform: Option<&'v Node>,
    ) -> Evaluated<'v> {
        let elements: Box<dyn Iterator<Item = Value<'v>> + '_> = match over {
            Value::List(list) => Box::new(list.iter()),
            Value::Map(map) => Box::new(map.keys().map(|key| Value::Text(Cow::Borrowed(key)))),
            other => return unfit("a comprehension", other),
        };
        let mut made = Vec::new();
        let mut holds_for = 0_u32;
        let mut deferred = None;
        for element in elements {
            self.spend(1)?;
            let holds = match predicate.map(|predicate| self.node(predicate, Some(&element))) {
                None => true,
                Some(Ok(Value::Bool(holds))) => holds,
                Some(failed) => {
                    let stop = match failed {
                        Err(stop) => stop,
                        Ok(other) => Stop::Error(
                            format!("expected true or false of each element, but found {}", other.kind())
                                .into(),
                        ),
                    };
                    match (macro_, stop) {
                        // Another element may decide all the same.
                        (Macro::All | Macro::Exists, Stop::Error(why)) => {
                            deferred.get_or_insert(why);
                            continue;
                        }
                        (_, stop) => return Err(stop),
                    }
                }
            };
            match (macro_, holds) {
                (Macro::All, false) => return Ok(Value::Bool(false)),
                (Macro::Exists, true) => return Ok(Value::Bool(true)),
                (Macro::ExistsOne, true) => holds_for = holds_for.saturating_add(1),
                (Macro::Filter, true) => made.push(element),
                (Macro::Map, true) => {
                    if let Some(transform) = transform {
                        made.push(self.node(transform, Some(&element))?);
                    }
                }
                _ => {}
            }
        }
        match (macro_, deferred) {
            (_, Some(why)) => Err(Stop::Error(why)),
            (Macro::All, None) => Ok(Value::Bool(true)),
            (Macro::Exists, None) => Ok(Value::Bool(false)),
            (Macro::ExistsOne, None) => Ok(Value::Bool(holds_for == 1)),
            (Macro::Map | Macro::Filter, None) => Ok(Value::List(List::Made(made.into()))),
        }
    }
}

fn overflow<T>() -> Result<T, Stop> {
    error("a result out of range, or a division by zero")
}

/// A double without its fraction, where `T` can hold it: CEL refuses what does not fit, and does not round.
fn truncated<T: TryFrom<i128>>(number: f64) -> Option<T> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a cast to i128 saturates, far beyond what `T` holds"
    )]
    let whole = number.trunc() as i128;
    number.is_finite().then(|| T::try_from(whole).ok()).flatten()
}

/// `&&`, which `false` decides, and `||`, which `true` does: whatever is on the other side, an error too.
fn either_way<'v>(
    decisive: bool,
    left: Evaluated<'v>,
    right: impl FnOnce() -> Evaluated<'v>,
) -> Evaluated<'v> {
    let as_bool = |side: Evaluated<'v>| match side {
        Ok(Value::Bool(value)) => Ok(value),
        Ok(other) => unfit(if decisive { "||" } else { "&&" }, &other),
        Err(stop) => Err(stop),
    };
    let left = match as_bool(left) {
        Ok(left) if left == decisive => return Ok(Value::Bool(decisive)),
        Err(Stop::Exhausted) => return Err(Stop::Exhausted),
        left => left,
    };
    match as_bool(right()) {
        Ok(right) if right == decisive => Ok(Value::Bool(decisive)),
        Err(Stop::Exhausted) => Err(Stop::Exhausted),
        right => left.and(right).map(Value::Bool),
    }
}
