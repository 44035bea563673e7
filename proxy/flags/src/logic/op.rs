//! A rule as a tree that can be evaluated.

use std::sync::Arc;

use serde_json::Value;

/// A part of a rule.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Op {
    /// A value in which nothing is left to evaluate.
    Constant(Value),
    /// A list in which something is.
    List(Box<[Self]>),
    /// What stands under a name.
    Var { name: Box<str>, default: Option<Box<Self>> },
    /// An operator, and what it is given.
    Call(Operator, Box<[Self]>),
    /// flagd's draw.
    Fractional(Box<Fractional>),
    /// A rule of `$evaluators`.
    Shared(Arc<Shared>),
}

/// A rule that others refer to, compiled once.
pub(crate) struct Shared {
    pub(crate) name: Box<str>,
    pub(crate) root: Op,
    /// Its parts, and those of what it refers to.
    pub(crate) parts: usize,
    /// Its levels, likewise.
    pub(crate) depth: usize,
    /// Tells it from others of its name.
    pub(crate) print: u64,
}

// Written out, rules that refer to rules twice could be as long as nobody can wait for.
impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}#{:016x}", self.name, self.print)
    }
}

impl PartialEq for Shared {
    fn eq(&self, other: &Self) -> bool {
        self.print == other.print && self.name == other.name
    }
}

/// A draw among variants by weight.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fractional {
    /// What the draw depends on; otherwise on the flag and its user.
    pub(crate) by: Option<Op>,
    pub(crate) buckets: Box<[Bucket]>,
}

/// What can be drawn, and how likely.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Bucket {
    /// Variant and weight, as far as there is one.
    Pair(Op, Option<Op>),
    /// Something that has to come to a list of both.
    Computed(Op),
}

/// What can be done with values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    And,
    Compare(Comparison),
    If,
    List(OnLists),
    Log,
    Math(Math),
    Not,
    Or,
    Text(OnTexts),
    Truth,
    /// A name that has to be computed first.
    Var,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    NotEqual,
    StrictEqual,
    StrictNotEqual,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Math {
    Add,
    Divide,
    Max,
    Min,
    Multiply,
    Remainder,
    Subtract,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnTexts {
    Cat,
    EndsWith,
    SemVer,
    StartsWith,
    Substring,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnLists {
    All,
    Filter,
    In,
    Map,
    Merge,
    Missing,
    MissingSome,
    None,
    Reduce,
    Some,
}

impl Operator {
    pub(crate) fn of(name: &str) -> Option<Self> {
        let named = NAMES.iter().find(|(known, _)| *known == name);
        named.map(|(_, operator)| *operator)
    }
}

pub(crate) const NAMES: [(&str, Operator); 38] = [
    ("!", Operator::Not),
    ("!!", Operator::Truth),
    ("!=", Operator::Compare(Comparison::NotEqual)),
    ("!==", Operator::Compare(Comparison::StrictNotEqual)),
    ("%", Operator::Math(Math::Remainder)),
    ("*", Operator::Math(Math::Multiply)),
    ("+", Operator::Math(Math::Add)),
    ("-", Operator::Math(Math::Subtract)),
    ("/", Operator::Math(Math::Divide)),
    ("<", Operator::Compare(Comparison::Less)),
    ("<=", Operator::Compare(Comparison::LessOrEqual)),
    ("==", Operator::Compare(Comparison::Equal)),
    ("===", Operator::Compare(Comparison::StrictEqual)),
    (">", Operator::Compare(Comparison::Greater)),
    (">=", Operator::Compare(Comparison::GreaterOrEqual)),
    ("?:", Operator::If),
    ("all", Operator::List(OnLists::All)),
    ("and", Operator::And),
    ("cat", Operator::Text(OnTexts::Cat)),
    ("ends_with", Operator::Text(OnTexts::EndsWith)),
    ("filter", Operator::List(OnLists::Filter)),
    ("if", Operator::If),
    ("in", Operator::List(OnLists::In)),
    ("log", Operator::Log),
    ("map", Operator::List(OnLists::Map)),
    ("max", Operator::Math(Math::Max)),
    ("merge", Operator::List(OnLists::Merge)),
    ("min", Operator::Math(Math::Min)),
    ("missing", Operator::List(OnLists::Missing)),
    ("missing_some", Operator::List(OnLists::MissingSome)),
    ("none", Operator::List(OnLists::None)),
    ("or", Operator::Or),
    ("reduce", Operator::List(OnLists::Reduce)),
    ("sem_ver", Operator::Text(OnTexts::SemVer)),
    ("some", Operator::List(OnLists::Some)),
    ("starts_with", Operator::Text(OnTexts::StartsWith)),
    ("substr", Operator::Text(OnTexts::Substring)),
    ("var", Operator::Var),
];
