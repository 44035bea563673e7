//! JSONLogic, as flagd's targeting rules are written in it: compiled once, evaluated often.
//!
//! Operators and their conversions are those of the reference implementation in JavaScript, with
//! flagd's own beside them. Three things differ from the reference. `$flagd` is known inside of lists
//! too. `>` and `>=` take a third value as `<` and `<=` do, since flagd does so. And an evaluation has
//! a budget ([`STEPS_MAX`]), or one rule could hold up a core.

mod compile;
mod evaluate;
mod fractional;
mod lists;
mod murmur;
mod number;
mod op;
mod semver;
#[cfg(test)]
mod tests;
mod text;
mod value;

use std::sync::Arc;

use serde_json::Value;

pub use compile::{Compiler, FLAWS_MAX, Flaw};
pub(crate) use compile::{EVALUATORS, escape, shorten};
use evaluate::Evaluator;
pub(crate) use murmur::murmur3;
use op::Op;
use value::Val;

use crate::{Context, ErrorCode};

/// Levels of a rule at most, shared parts included.
pub const DEPTH_MAX: usize = 64;

/// Parts of a rule at most, each shared part counted wherever it is used.
pub const PARTS_MAX: usize = 100_000;

/// Steps of an evaluation at most: one for each operator, each element of a list that is gone
/// through and each 256 bytes of text that are read or made.
pub const STEPS_MAX: u32 = 20_000;

/// A rule, compiled. Clones share it.
#[derive(Clone, PartialEq)]
pub struct Expression(Arc<Op>);

impl std::fmt::Debug for Expression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// What a rule says of a flag.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome<'a> {
    /// Nothing: the default variant it is.
    Nothing,
    /// The variant of this name.
    Variant(std::borrow::Cow<'a, str>),
    /// Something that names no variant: a list, or an object.
    Other,
}

impl Expression {
    /// Compiles a rule that refers to no other.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn compile(rule: &Value) -> Result<Self, Vec<Flaw>> {
        let mut compiler = Compiler::default();
        compiler.compile(rule, "").ok_or_else(|| compiler.take_flaws())
    }

    /// What it says of `flag` for `context`, at `now` in seconds since 1970.
    ///
    /// # Errors
    /// [`ErrorCode::General`] if it takes too many steps.
    pub fn decide<'a>(
        &'a self,
        context: &'a impl Context,
        flag: &'a str,
        now: u64,
    ) -> Result<Outcome<'a>, ErrorCode> {
        let look = |name: &str| context.attribute(name);
        let evaluator = Evaluator::new(&look, flag, now);
        let value = evaluator.run(&self.0, &Val::Whole).map_err(|_| ErrorCode::General)?;
        Ok(value.outcome())
    }

    /// What it comes to for any data, as JSONLogic alone has it. What JSON has no word for, as a
    /// number that is none, is null.
    ///
    /// # Errors
    /// [`ErrorCode::General`] if it takes too many steps.
    #[cfg(test)]
    pub(crate) fn apply(&self, data: &Value) -> Result<Value, ErrorCode> {
        let evaluator = Evaluator::new(&|_| None, "", 0);
        let value = evaluator.run(&self.0, &Val::of(data)).map_err(|_| ErrorCode::General)?;
        Ok(value.to_json())
    }
}
