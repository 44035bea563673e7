//! flagd's draw: the same user gets the same variant as from flagd itself.

use super::{
    evaluate::{Evaluator, Step},
    murmur3,
    op::{Bucket, Fractional, Op},
    value::Val,
};
use crate::context::TARGETING_KEY;

/// Weights at most, all together.
const WEIGHT_MAX: i64 = i32::MAX as i64;

/// What is drawn from, once weights are known.
type Weighed<'v> = (Drawn<'v>, i64);

enum Drawn<'v> {
    /// To be evaluated if it is drawn.
    Op(&'v Op),
    Value(Val<'v>),
}

impl<'v> Evaluator<'_, 'v> {
    /// What a draw comes to: nothing without a user, and nothing if it is not written right.
    pub(crate) fn draw(&self, draw: &'v Fractional, data: &Val<'v>) -> Step<Val<'v>> {
        let Some(hash) = self.hash(draw.by.as_ref(), data)? else { return Ok(Val::Null) };
        let (mut total, mut end) = (0, 0);
        for bucket in &draw.buckets {
            let Some((_, weight)) = self.weigh(bucket, data)? else { return Ok(Val::Null) };
            total += weight;
        }
        if total == 0 || total > WEIGHT_MAX {
            return Ok(Val::Null);
        }
        let at = (i64::from(hash) * total) >> 32;
        for bucket in &draw.buckets {
            let Some((drawn, weight)) = self.weigh(bucket, data)? else { return Ok(Val::Null) };
            end += weight;
            if at < end {
                return self.drawn(drawn, data);
            }
        }
        Ok(Val::Null)
    }

    /// The hash of what the draw depends on.
    fn hash(&self, by: Option<&'v Op>, data: &Val<'v>) -> Step<Option<u32>> {
        match by.map(|by| self.run(by, data)).transpose()? {
            Some(Val::Text(text)) => {
                self.spend_text(text.len())?;
                Ok(Some(murmur3(&[text.as_bytes()])))
            }
            None | Some(Val::Null | Val::Undefined) => {
                let user = self.find(TARGETING_KEY, &Val::Whole)?;
                let Some(Val::Text(user)) = user.filter(Val::is_true) else { return Ok(None) };
                self.spend_text(user.len())?;
                Ok(Some(murmur3(&[self.flag.as_bytes(), user.as_bytes()])))
            }
            Some(_) => Ok(None),
        }
    }

    /// Nothing if it has no weight that is one.
    fn weigh(&self, bucket: &'v Bucket, data: &Val<'v>) -> Step<Option<Weighed<'v>>> {
        let (drawn, weight) = match bucket {
            Bucket::Pair(variant, None) => return Ok(Some((Drawn::Op(variant), 1))),
            Bucket::Pair(variant, Some(weight)) => (Drawn::Op(variant), self.run(weight, data)?),
            Bucket::Computed(op) => {
                let Some(items) = self.run(op, data)?.items() else { return Ok(None) };
                let Some(variant) = items.get(0) else { return Ok(None) };
                (Drawn::Value(variant), items.get(1).unwrap_or(Val::Null))
            }
        };
        Ok(weight_of(&weight).map(|weight| (drawn, weight)))
    }

    fn drawn(&self, drawn: Drawn<'v>, data: &Val<'v>) -> Step<Val<'v>> {
        let value = match drawn {
            Drawn::Op(op) => self.run(op, data)?,
            Drawn::Value(value) => value,
        };
        Ok(if value.is_compound() { Val::Null } else { value })
    }
}

/// A whole number, one if there is none, and zero below that.
#[expect(clippy::cast_possible_truncation, reason = "it is whole and within bounds")]
fn weight_of(weight: &Val<'_>) -> Option<i64> {
    if matches!(weight, Val::Null) {
        return Some(1);
    }
    let Val::Number(number) = weight else { return None };
    let is_weight = number.fract() == 0.0 && *number <= WEIGHT_MAX as f64;
    is_weight.then_some(number.max(0.0) as i64)
}
