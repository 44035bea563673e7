//! What a part of a rule comes to.

use std::{borrow::Cow, rc::Rc};

use serde_json::Value;

use super::{DEPTH_MAX, Outcome, STEPS_MAX, number};

/// A value, for one evaluation.
#[derive(Clone, Debug)]
pub(crate) enum Val<'v> {
    /// What an operator was not given.
    Undefined,
    Null,
    Bool(bool),
    Number(f64),
    Text(Text<'v>),
    /// A list or an object of a rule or of a context.
    Json(&'v Value),
    /// What was made meanwhile.
    Built(Rc<Built<'v>>),
    /// The whole context.
    Whole,
}

/// A text.
#[derive(Clone, Debug)]
pub(crate) enum Text<'v> {
    Borrowed(&'v str),
    Shared(Rc<str>),
}

impl std::ops::Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Shared(text) => text,
        }
    }
}

impl<'v> From<Cow<'v, str>> for Text<'v> {
    fn from(text: Cow<'v, str>) -> Self {
        match text {
            Cow::Borrowed(text) => Self::Borrowed(text),
            Cow::Owned(text) => Self::Shared(text.into()),
        }
    }
}

/// A list that an evaluation has made, or the two values that `reduce` hands on.
#[derive(Debug)]
pub(crate) struct Built<'v> {
    pub(crate) items: Vec<Val<'v>>,
    pub(crate) is_pair: bool,
    depth: usize,
    size: usize,
}

impl<'v> Built<'v> {
    /// Nothing if it is too deep or too large, counting what it shares with others.
    pub(crate) fn new(items: Vec<Val<'v>>, is_pair: bool) -> Option<Self> {
        let (mut depth, mut size) = (1, 1 + items.len());
        for item in &items {
            if let Val::Built(inner) = item {
                depth = depth.max(inner.depth + 1);
                size += inner.size;
            }
        }
        let fits = depth <= DEPTH_MAX && size <= STEPS_MAX as usize;
        fits.then_some(Self { items, is_pair, depth, size })
    }
}

/// The elements of a list.
#[derive(Clone, Debug)]
pub(crate) enum Items<'v> {
    Json(&'v [Value]),
    Built(Rc<Built<'v>>),
}

impl<'v> Items<'v> {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Json(items) => items.len(),
            Self::Built(built) => built.items.len(),
        }
    }

    pub(crate) fn get(&self, at: usize) -> Option<Val<'v>> {
        match self {
            Self::Json(items) => items.get(at).map(Val::of),
            Self::Built(built) => built.items.get(at).cloned(),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Val<'v>> {
        (0..self.len()).filter_map(|at| self.get(at))
    }
}

impl<'v> Val<'v> {
    pub(crate) fn of(value: &'v Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(number) => Self::Number(number.as_f64().unwrap_or(f64::NAN)),
            Value::String(text) => Self::Text(Text::Borrowed(text)),
            Value::Array(_) | Value::Object(_) => Self::Json(value),
        }
    }

    pub(crate) fn text(text: String) -> Self {
        Self::Text(Text::Shared(text.into()))
    }

    /// Its elements, if it is a list.
    pub(crate) fn items(&self) -> Option<Items<'v>> {
        if let Self::Built(built) = self {
            return (!built.is_pair).then(|| Items::Built(Rc::clone(built)));
        }
        let Self::Json(Value::Array(items)) = self else { return None };
        Some(Items::Json(items))
    }

    pub(crate) fn is_absent(&self) -> bool {
        matches!(self, Self::Null | Self::Undefined)
    }

    /// Whether it counts as true.
    pub(crate) fn is_true(&self) -> bool {
        match self {
            Self::Undefined | Self::Null => false,
            Self::Bool(value) => *value,
            Self::Number(number) => *number != 0.0 && !number.is_nan(),
            Self::Text(text) => !text.is_empty(),
            Self::Json(Value::Array(items)) => !items.is_empty(),
            Self::Built(built) => !built.items.is_empty(),
            Self::Json(_) | Self::Whole => true,
        }
    }

    /// Whether both are the same, with the same kind: `===`.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Undefined, Self::Undefined)
            | (Self::Null, Self::Null)
            | (Self::Whole, Self::Whole) => true,
            (Self::Bool(left), Self::Bool(right)) => left == right,
            (Self::Number(left), Self::Number(right)) => left == right,
            (Self::Text(left), Self::Text(right)) => **left == **right,
            (Self::Json(left), Self::Json(right)) => std::ptr::eq(*left, *right),
            (Self::Built(left), Self::Built(right)) => Rc::ptr_eq(left, right),
            _ => false,
        }
    }

    /// Whether it is an object or a list.
    pub(crate) fn is_compound(&self) -> bool {
        matches!(self, Self::Json(_) | Self::Built(_) | Self::Whole)
    }

    /// What stands under a name in it.
    pub(crate) fn child(&self, name: &str) -> Option<Self> {
        match self {
            Self::Json(Value::Object(map)) => map.get(name).map(Val::of),
            Self::Json(Value::Array(items)) => items.get(index(name)?).map(Val::of),
            Self::Built(built) => {
                let at = match name {
                    _ if !built.is_pair => index(name)?,
                    "current" => 0,
                    "accumulator" => 1,
                    _ => return None,
                };
                built.items.get(at).cloned()
            }
            Self::Undefined
            | Self::Null
            | Self::Bool(_)
            | Self::Number(_)
            | Self::Text(_)
            | Self::Json(_)
            | Self::Whole => None,
        }
    }

    /// What it says of a flag.
    pub(crate) fn outcome(self) -> Outcome<'v> {
        match self {
            Self::Undefined | Self::Null => Outcome::Nothing,
            Self::Bool(true) => Outcome::Variant(Cow::Borrowed("true")),
            Self::Bool(false) => Outcome::Variant(Cow::Borrowed("false")),
            Self::Number(number) => Outcome::Variant(number::write(number)),
            Self::Text(Text::Borrowed(text)) => Outcome::Variant(Cow::Borrowed(text)),
            Self::Text(Text::Shared(text)) => Outcome::Variant(Cow::Owned(text.to_string())),
            Self::Json(_) | Self::Built(_) | Self::Whole => Outcome::Other,
        }
    }

    /// The same as JSON, as far as it is any.
    #[cfg(test)]
    pub(crate) fn to_json(&self) -> Value {
        match self {
            Self::Undefined | Self::Null | Self::Whole => Value::Null,
            Self::Bool(value) => Value::Bool(*value),
            Self::Number(number) => Value::from(*number),
            Self::Text(text) => Value::from(&**text),
            Self::Json(value) => (*value).clone(),
            Self::Built(built) => built.items.iter().map(Self::to_json).collect(),
        }
    }
}

/// A place in a list, as text.
fn index(name: &str) -> Option<usize> {
    let is_plain = name == "0" || !name.starts_with(['0', '+']);
    name.parse().ok().filter(|_| is_plain)
}
