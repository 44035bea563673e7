//! Operators on lists.

use super::{
    evaluate::{Evaluator, Spent, Step},
    op::{OnLists, Op},
    value::{Built, Items, Val},
};

impl<'v> Evaluator<'_, 'v> {
    pub(crate) fn go_through(
        &self,
        operator: OnLists,
        operands: &'v [Op],
        data: &Val<'v>,
    ) -> Step<Val<'v>> {
        match operator {
            OnLists::All => Ok(Val::Bool(self.any(operands, data, false)? == Some(false))),
            OnLists::None => Ok(Val::Bool(self.any(operands, data, true)? != Some(true))),
            OnLists::Some => Ok(Val::Bool(self.any(operands, data, true)? == Some(true))),
            OnLists::Filter => self.filter(operands, data),
            OnLists::Map => self.map(operands, data),
            OnLists::Reduce => self.reduce(operands, data),
            OnLists::Merge => self.merge(operands, data),
            OnLists::In => self.is_in(operands, data),
            OnLists::Missing => self.missing(operands, data),
            OnLists::MissingSome => self.missing_some(operands, data),
        }
    }

    /// What the first operand lists, if it is a list.
    fn subject(&self, operands: &'v [Op], data: &Val<'v>) -> Step<Option<Items<'v>>> {
        Ok(self.operand(operands, 0, data)?.items())
    }

    /// What the second operand says of an element.
    fn of(&self, operands: &'v [Op], element: &Val<'v>) -> Step<Val<'v>> {
        self.spend(1)?;
        self.operand(operands, 1, element)
    }

    /// Whether any element counts as this; absent if there is none.
    fn any(&self, operands: &'v [Op], data: &Val<'v>, wanted: bool) -> Step<Option<bool>> {
        let Some(items) = self.subject(operands, data)?.filter(|items| items.len() > 0) else {
            return Ok(None);
        };
        for item in items.iter() {
            if self.of(operands, &item)?.is_true() == wanted {
                return Ok(Some(true));
            }
        }
        Ok(Some(false))
    }

    fn filter(&self, operands: &'v [Op], data: &Val<'v>) -> Step<Val<'v>> {
        let mut kept = Vec::new();
        for item in self.subject(operands, data)?.iter().flat_map(Items::iter) {
            if self.of(operands, &item)?.is_true() {
                kept.push(item);
            }
        }
        self.build(kept)
    }

    fn map(&self, operands: &'v [Op], data: &Val<'v>) -> Step<Val<'v>> {
        let items = self.subject(operands, data)?;
        let items = items.iter().flat_map(Items::iter);
        self.build(items.map(|item| self.of(operands, &item)).collect::<Step<_>>()?)
    }

    fn reduce(&self, operands: &'v [Op], data: &Val<'v>) -> Step<Val<'v>> {
        let items = self.subject(operands, data)?;
        let initial = self.operand(operands, 2, data)?;
        let mut all = if matches!(initial, Val::Undefined) { Val::Null } else { initial };
        for item in items.iter().flat_map(Items::iter) {
            let pair = Built::new(vec![item, all], true).ok_or(Spent)?;
            all = self.of(operands, &Val::Built(pair.into()))?;
        }
        Ok(all)
    }

    fn merge(&self, operands: &'v [Op], data: &Val<'v>) -> Step<Val<'v>> {
        let mut all = Vec::new();
        for operand in operands {
            let value = self.run(operand, data)?;
            match value.items() {
                Some(items) => {
                    self.spend(items.len())?;
                    all.extend(items.iter());
                }
                None => all.push(value),
            }
        }
        self.build(all)
    }

    /// Whether a list has an element, or a text a part.
    fn is_in(&self, operands: &'v [Op], data: &Val<'v>) -> Step<Val<'v>> {
        let (part, whole) = (self.operand(operands, 0, data)?, self.operand(operands, 1, data)?);
        if let Val::Text(text) = &whole {
            let part = self.as_word(&part)?;
            self.spend_text(text.len() + part.len())?;
            return Ok(Val::Bool(!text.is_empty() && text.contains(&*part)));
        }
        let Some(items) = whole.items() else { return Ok(Val::Bool(false)) };
        // Sixteen comparisons cost what an operator does.
        self.spend(items.len() / 16)?;
        Ok(Val::Bool(items.iter().any(|item| item.is_same(&part))))
    }

    fn missing(&self, operands: &'v [Op], data: &Val<'v>) -> Step<Val<'v>> {
        let names = self.all(operands, data)?;
        let listed = names.first().and_then(Val::items);
        match listed {
            Some(items) => self.build(self.missing_of(items.iter(), data)?),
            None => self.build(self.missing_of(names.into_iter(), data)?),
        }
    }

    fn missing_some(&self, operands: &'v [Op], data: &Val<'v>) -> Step<Val<'v>> {
        let needed = self.as_number(&self.operand(operands, 0, data)?)?;
        let Some(names) = self.operand(operands, 1, data)?.items() else {
            return self.build(Vec::new());
        };
        let missing = self.missing_of(names.iter(), data)?;
        let found = names.len().saturating_sub(missing.len());
        self.build(if found as f64 >= needed { Vec::new() } else { missing })
    }

    /// The names under which nothing stands, or an empty text.
    fn missing_of(
        &self,
        names: impl Iterator<Item = Val<'v>>,
        data: &Val<'v>,
    ) -> Step<Vec<Val<'v>>> {
        let mut missing = Vec::new();
        for name in names {
            self.spend(1)?;
            let found = self.find(&self.as_text(&name)?, data)?.unwrap_or(Val::Null);
            let is_empty = matches!(&found, Val::Text(text) if text.is_empty());
            if found.is_absent() || is_empty {
                missing.push(name);
            }
        }
        Ok(missing)
    }
}
