//! What an expression is compiled to.

use super::pattern::Pattern;

/// One operation of a condition, with those that it needs.
#[derive(Debug)]
pub(super) enum Node {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(Box<str>),
    /// A list or a map of literals.
    Constant(serde_json::Value),
    Claims,
    Args,
    Tool,
    Client,
    /// The element of the list that the comprehension around it goes through. There is only one around it.
    Item,
    Select(Box<Node>, Box<str>),
    Has(Box<Node>, Box<str>),
    Index(Box<Node>, Box<Node>),
    List(Box<[Node]>),
    Not(Box<Node>),
    Negate(Box<Node>),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    /// Condition, then, else.
    Either(Box<Node>, Box<Node>, Box<Node>),
    Equals {
        left: Box<Node>,
        right: Box<Node>,
        wanted: bool,
    },
    Compare(Comparison, Box<Node>, Box<Node>),
    In(Box<Node>, Box<Node>),
    Arithmetic(Arithmetic, Box<Node>, Box<Node>),
    Call(Function, Box<Node>),
    Search(Search, Box<Node>, Box<Node>),
    Matches(Box<Node>, Pattern),
    Comprehension {
        macro_: Macro,
        over: Box<Node>,
        /// What is asked of each element; for a `map` of two arguments, nothing.
        predicate: Option<Box<Node>>,
        /// What a `map` makes of it.
        transform: Option<Box<Node>>,
    },
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Comparison {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
}

/// Functions of one value.
#[derive(Debug, Clone, Copy)]
pub(super) enum Function {
    Size,
    Int,
    Uint,
    Double,
    String,
}

/// Functions that look for one text in another.
#[derive(Debug, Clone, Copy)]
pub(super) enum Search {
    Contains,
    StartsWith,
    EndsWith,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Macro {
    All,
    Exists,
    ExistsOne,
    Map,
    Filter,
}
