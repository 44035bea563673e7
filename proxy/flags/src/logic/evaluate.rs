//! Evaluates a rule.

use std::{cell::Cell, cmp::Ordering};

use serde_json::Value;

use super::{
    STEPS_MAX, number,
    op::{Comparison, Math, Op, Operator},
    value::{Built, Text, Val},
};
use crate::context::Attribute;

/// An evaluation took more than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spent;

pub(crate) type Step<T> = Result<T, Spent>;

/// How attributes of a context are found.
type Look<'e, 'v> = &'e dyn Fn(&str) -> Option<Attribute<'v>>;

/// One evaluation.
pub(crate) struct Evaluator<'e, 'v> {
    look: Look<'e, 'v>,
    pub(crate) flag: &'v str,
    now: u64,
    /// Steps that are left.
    left: Cell<u32>,
}

impl<'e, 'v> Evaluator<'e, 'v> {
    pub(crate) fn new(look: Look<'e, 'v>, flag: &'v str, now: u64) -> Self {
        Self { look, flag, now, left: Cell::new(STEPS_MAX) }
    }

    /// What a part comes to where `data` is what names refer to.
    pub(crate) fn run(&self, op: &'v Op, data: &Val<'v>) -> Step<Val<'v>> {
        self.spend(1)?;
        match op {
            Op::Constant(value) => Ok(Val::of(value)),
            Op::List(ops) => self.build(self.all(ops, data)?),
            Op::Var { name, default } => match (self.find(name, data)?, default) {
                (Some(value), _) => Ok(value),
                (None, Some(default)) => self.run(default, data),
                (None, None) => Ok(Val::Null),
            },
            Op::Call(operator, operands) => self.call(*operator, operands, data),
            Op::Fractional(fractional) => self.draw(fractional, data),
            Op::Shared(shared) => self.run(&shared.root, data),
        }
    }

    /// Takes steps from what is left.
    pub(crate) fn spend(&self, steps: usize) -> Step<()> {
        let steps = u32::try_from(steps).map_err(|_| Spent)?;
        self.left.set(self.left.get().checked_sub(steps).ok_or(Spent)?);
        Ok(())
    }

    /// Takes what it costs to read or make so much text.
    pub(crate) fn spend_text(&self, length: usize) -> Step<()> {
        self.spend(length / 256)
    }

    pub(crate) fn build(&self, items: Vec<Val<'v>>) -> Step<Val<'v>> {
        Ok(Val::Built(Built::new(items, false).ok_or(Spent)?.into()))
    }

    pub(crate) fn all(&self, operands: &'v [Op], data: &Val<'v>) -> Step<Vec<Val<'v>>> {
        operands.iter().map(|operand| self.run(operand, data)).collect()
    }

    /// The operand at a place; undefined if there is none.
    pub(crate) fn operand(&self, operands: &'v [Op], at: usize, data: &Val<'v>) -> Step<Val<'v>> {
        operands.get(at).map_or(Ok(Val::Undefined), |operand| self.run(operand, data))
    }

    fn call(&self, operator: Operator, operands: &'v [Op], data: &Val<'v>) -> Step<Val<'v>> {
        match operator {
            Operator::If => self.choose(operands, data),
            Operator::And => self.first(operands, data, |value| !value.is_true()),
            Operator::Or => self.first(operands, data, Val::is_true),
            Operator::Not => Ok(Val::Bool(!self.operand(operands, 0, data)?.is_true())),
            Operator::Truth => Ok(Val::Bool(self.operand(operands, 0, data)?.is_true())),
            Operator::Log => self.operand(operands, 0, data),
            Operator::Var => self.var(operands, data),
            Operator::Compare(comparison) => {
                Ok(Val::Bool(self.relate(comparison, operands, data)?))
            }
            Operator::Math(math) => self.calculate(math, operands, data),
            Operator::Text(on_texts) => self.write(on_texts, operands, data),
            Operator::List(on_lists) => self.go_through(on_lists, operands, data),
        }
    }

    fn choose(&self, operands: &'v [Op], data: &Val<'v>) -> Step<Val<'v>> {
        let mut pairs = operands.chunks_exact(2);
        for pair in &mut pairs {
            if self.run(&pair[0], data)?.is_true() {
                return self.run(&pair[1], data);
            }
        }
        pairs.remainder().first().map_or(Ok(Val::Null), |otherwise| self.run(otherwise, data))
    }

    /// The first value that is so, or else the last.
    fn first(
        &self,
        operands: &'v [Op],
        data: &Val<'v>,
        is_so: impl Fn(&Val<'v>) -> bool,
    ) -> Step<Val<'v>> {
        let mut last = Val::Undefined;
        for operand in operands {
            last = self.run(operand, data)?;
            if is_so(&last) {
                break;
            }
        }
        Ok(last)
    }

    fn var(&self, operands: &'v [Op], data: &Val<'v>) -> Step<Val<'v>> {
        let name = self.operand(operands, 0, data)?;
        if name.is_absent() {
            return Ok(data.clone());
        }
        let found = self.find(&self.as_text(&name)?, data)?;
        match found {
            Some(value) => Ok(value),
            None if operands.len() > 1 => self.operand(operands, 1, data),
            None => Ok(Val::Null),
        }
    }

    /// What stands under a name, dots leading inside.
    pub(crate) fn find(&self, name: &str, data: &Val<'v>) -> Step<Option<Val<'v>>> {
        self.spend_text(name.len())?;
        if name.is_empty() {
            return Ok(Some(data.clone()));
        }
        if let Some(property) = name.strip_prefix("$flagd") {
            return Ok(self.property(property));
        }
        let mut parts = name.split('.');
        let first = parts.next().unwrap_or_default();
        let Some(mut value) = self.child(data, first) else {
            // A name of `flags.context` may have a dot in it.
            let whole = || if first == name { None } else { self.child(data, name) };
            return Ok(whole());
        };
        for part in parts {
            let Some(inner) = value.child(part) else { return Ok(None) };
            value = inner;
        }
        Ok(Some(value))
    }

    fn child(&self, data: &Val<'v>, name: &str) -> Option<Val<'v>> {
        if !matches!(data, Val::Whole) {
            return data.child(name);
        }
        Some(match (self.look)(name)? {
            Attribute::Text(text) => Val::Text(Text::from(text)),
            Attribute::Json(value) => Val::of(value),
        })
    }

    /// What flagd itself adds to each context.
    fn property(&self, name: &str) -> Option<Val<'v>> {
        match name {
            ".flagKey" => Some(Val::Text(Text::Borrowed(self.flag))),
            ".timestamp" => Some(Val::Number(self.now as f64)),
            _ => None,
        }
    }

    /// `String(value)`.
    pub(crate) fn as_word(&self, value: &Val<'v>) -> Step<Text<'v>> {
        if matches!(value, Val::Undefined) {
            return Ok(Text::Borrowed("undefined"));
        }
        if matches!(value, Val::Null) { Ok(Text::Borrowed("null")) } else { self.as_text(value) }
    }

    /// The same, with nothing for what is not there.
    pub(crate) fn as_text(&self, value: &Val<'v>) -> Step<Text<'v>> {
        Ok(match value {
            Val::Undefined | Val::Null => Text::Borrowed(""),
            Val::Bool(true) => Text::Borrowed("true"),
            Val::Bool(false) => Text::Borrowed("false"),
            Val::Number(number) => number::write(*number).into(),
            Val::Text(text) => text.clone(),
            Val::Json(Value::Array(_)) | Val::Built(_) => {
                let Some(items) = value.items() else { return Ok(OBJECT) };
                let mut all = String::new();
                for (item, at) in items.iter().zip(0..) {
                    let text = self.as_text(&item)?;
                    self.spend(1)?;
                    self.spend_text(text.len())?;
                    all.push_str(if at == 0 { "" } else { "," });
                    all.push_str(&text);
                }
                Text::Shared(all.into())
            }
            Val::Json(_) | Val::Whole => OBJECT,
        })
    }

    /// `Number(value)`.
    pub(crate) fn as_number(&self, value: &Val<'v>) -> Step<f64> {
        Ok(match value {
            Val::Undefined => f64::NAN,
            Val::Null => 0.0,
            Val::Bool(value) => f64::from(u8::from(*value)),
            Val::Number(number) => *number,
            Val::Text(_) | Val::Json(_) | Val::Built(_) | Val::Whole => {
                let text = self.as_text(value)?;
                self.spend_text(text.len())?;
                number::read(&text)
            }
        })
    }

    /// Whether both are equal after conversion: `==`.
    fn is_equal(&self, left: &Val<'v>, right: &Val<'v>) -> Step<bool> {
        Ok(match (left, right) {
            (Val::Text(left), Val::Text(right)) => {
                self.spend_text(left.len().min(right.len()))?;
                **left == **right
            }
            _ if left.is_absent() || right.is_absent() => left.is_absent() && right.is_absent(),
            _ if left.is_compound() && right.is_compound() => left.is_same(right),
            (Val::Text(text), other) | (other, Val::Text(text)) if other.is_compound() => {
                *self.as_text(other)? == **text
            }
            _ => self.as_number(left)? == self.as_number(right)?,
        })
    }

    /// Whether two values are as they should, or three in a row.
    fn relate(&self, comparison: Comparison, operands: &'v [Op], data: &Val<'v>) -> Step<bool> {
        let left = self.operand(operands, 0, data)?;
        let right = self.operand(operands, 1, data)?;
        let is_so: fn(Ordering) -> bool = match comparison {
            Comparison::Equal => return self.is_equal(&left, &right),
            Comparison::NotEqual => return Ok(!self.is_equal(&left, &right)?),
            Comparison::StrictEqual => return self.is_same(&left, &right),
            Comparison::StrictNotEqual => return Ok(!self.is_same(&left, &right)?),
            Comparison::Less => Ordering::is_lt,
            Comparison::LessOrEqual => Ordering::is_le,
            Comparison::Greater => Ordering::is_gt,
            Comparison::GreaterOrEqual => Ordering::is_ge,
        };
        let holds = self.compare(&left, &right)?.is_some_and(is_so);
        let beyond = self.operand(operands, 2, data)?;
        if !holds || matches!(beyond, Val::Undefined) {
            return Ok(holds);
        }
        Ok(self.compare(&right, &beyond)?.is_some_and(is_so))
    }

    /// Whether both are the same, with the same kind: `===`.
    fn is_same(&self, left: &Val<'v>, right: &Val<'v>) -> Step<bool> {
        if let (Val::Text(left), Val::Text(right)) = (left, right) {
            self.spend_text(left.len().min(right.len()))?;
        }
        Ok(left.is_same(right))
    }

    /// Nothing if one of them is no number.
    fn compare(&self, left: &Val<'v>, right: &Val<'v>) -> Step<Option<Ordering>> {
        let is_text = |value: &Val<'v>| matches!(value, Val::Text(_)) || value.is_compound();
        if is_text(left) && is_text(right) {
            let (left, right) = (self.as_text(left)?, self.as_text(right)?);
            self.spend_text(left.len().min(right.len()))?;
            return Ok(Some((*left).cmp(&*right)));
        }
        Ok(self.as_number(left)?.partial_cmp(&self.as_number(right)?))
    }

    fn calculate(&self, math: Math, operands: &'v [Op], data: &Val<'v>) -> Step<Val<'v>> {
        let number = |at| self.as_number(&self.operand(operands, at, data)?);
        Ok(Val::Number(match math {
            Math::Add => self.fold(operands, data, 0.0, |sum, next| sum + next)?,
            Math::Multiply if operands.len() == 1 => return self.operand(operands, 0, data),
            Math::Multiply => self.fold(operands, data, 1.0, |product, next| product * next)?,
            Math::Subtract if operands.len() < 2 => -number(0)?,
            Math::Subtract => number(0)? - number(1)?,
            Math::Divide => number(0)? / number(1)?,
            Math::Remainder => number(0)? % number(1)?,
            Math::Max => self.best(operands, data, f64::NEG_INFINITY, |next, best| next > best)?,
            Math::Min => self.best(operands, data, f64::INFINITY, |next, best| next < best)?,
        }))
    }

    /// The best of all numbers, which is none if one of them is none.
    fn best(
        &self,
        operands: &'v [Op],
        data: &Val<'v>,
        worst: f64,
        is_better: impl Fn(f64, f64) -> bool,
    ) -> Step<f64> {
        let mut best = worst;
        for operand in operands {
            let next = self.as_number(&self.run(operand, data)?)?;
            if is_better(next, best) || next.is_nan() {
                best = next;
            }
        }
        Ok(best)
    }

    /// Sums and products read what a text begins with: `parseFloat(value)`.
    fn fold(
        &self,
        operands: &'v [Op],
        data: &Val<'v>,
        start: f64,
        join: impl Fn(f64, f64) -> f64,
    ) -> Step<f64> {
        let mut all = start;
        for operand in operands {
            let next = match self.run(operand, data)? {
                Val::Number(number) => number,
                Val::Undefined | Val::Null | Val::Bool(_) => f64::NAN,
                value @ (Val::Text(_) | Val::Json(_) | Val::Built(_) | Val::Whole) => {
                    let text = self.as_text(&value)?;
                    self.spend_text(text.len())?;
                    number::read_start(&text)
                }
            };
            all = join(all, next);
        }
        Ok(all)
    }
}

const OBJECT: Text<'static> = Text::Borrowed("[object Object]");
