//! Operators on texts.

use super::{
    evaluate::{Evaluator, Step},
    op::{OnTexts, Op},
    semver::Relation,
    value::Val,
};

impl<'v> Evaluator<'_, 'v> {
    pub(crate) fn write(
        &self,
        operator: OnTexts,
        operands: &'v [Op],
        data: &Val<'v>,
    ) -> Step<Val<'v>> {
        match operator {
            OnTexts::Cat => self.cat(operands, data),
            OnTexts::Substring => self.substring(operands, data),
            OnTexts::StartsWith => self.affix(operands, data, |text, part| text.starts_with(part)),
            OnTexts::EndsWith => self.affix(operands, data, |text, part| text.ends_with(part)),
            OnTexts::SemVer => self.versions(operands, data),
        }
    }

    fn cat(&self, operands: &'v [Op], data: &Val<'v>) -> Step<Val<'v>> {
        if let [only] = operands {
            return Ok(Val::Text(self.as_text(&self.run(only, data)?)?));
        }
        let mut all = String::new();
        for operand in operands {
            let text = self.as_text(&self.run(operand, data)?)?;
            self.spend_text(text.len())?;
            all.push_str(&text);
        }
        self.spend_text(all.len())?;
        Ok(Val::text(all))
    }

    /// A part of a text, from a letter on, or that many before its end. It has so many letters; or
    /// it ends so many before the end.
    fn substring(&self, operands: &'v [Op], data: &Val<'v>) -> Step<Val<'v>> {
        let source = self.operand(operands, 0, data)?;
        let text = self.as_word(&source)?;
        self.spend_text(3 * text.len())?;
        let letters = text.chars().count();
        let whole = |at| -> Step<f64> {
            let number = self.as_number(&self.operand(operands, at, data)?)?;
            Ok(if number.is_nan() { 0.0 } else { number.trunc() })
        };
        let (start, length) = (whole(1)?, whole(2)?);
        let start = if start < 0.0 { count(start + letters as f64) } else { count(start) };
        let rest = letters.saturating_sub(start);
        let length = match operands.len() {
            0..=2 => rest,
            _ if length < 0.0 => count(rest as f64 + length),
            _ => count(length).min(rest),
        };
        Ok(Val::text(text.chars().skip(start).take(length).collect()))
    }

    /// Whether the first of two texts is so with the other; nothing if there are not two.
    fn affix(
        &self,
        operands: &'v [Op],
        data: &Val<'v>,
        is_so: impl Fn(&str, &str) -> bool,
    ) -> Step<Val<'v>> {
        let [text, part] = operands else { return Ok(Val::Null) };
        let (Val::Text(text), Val::Text(part)) = (self.run(text, data)?, self.run(part, data)?)
        else {
            return Ok(Val::Null);
        };
        self.spend_text(part.len())?;
        Ok(Val::Bool(is_so(&text, &part)))
    }

    /// How two versions relate; nothing if they are none.
    fn versions(&self, operands: &'v [Op], data: &Val<'v>) -> Step<Val<'v>> {
        let [left, relation, right] = operands else { return Ok(Val::Null) };
        let (left, right) = (self.run(left, data)?, self.run(right, data)?);
        let Val::Text(relation) = self.run(relation, data)? else { return Ok(Val::Null) };
        let (left, right) = (self.as_text(&left)?, self.as_text(&right)?);
        self.spend_text(left.len() + right.len())?;
        let holds = Relation::of(&relation).and_then(|relation| relation.holds(&left, &right));
        Ok(holds.map_or(Val::Null, Val::Bool))
    }
}

/// A number of letters.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the conversion saturates, which is what is wanted"
)]
fn count(number: f64) -> usize {
    number as usize
}
