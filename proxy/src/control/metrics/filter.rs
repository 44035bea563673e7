//! Which series somebody wants: `?upstream=shop&arm=stable&arm=canary`.

use super::{
    super::api::{Kind, Refused},
    catalogue::{ALL, Family},
};

/// The values that each label may have. Without any, everything passes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filter(Vec<(String, Vec<String>)>);

impl Filter {
    /// What a query's pairs ask for; several values of one label mean any of them.
    pub(crate) fn of(pairs: Vec<(String, String)>) -> Result<Self, Refused> {
        let mut filter = Self::default();
        for (label, value) in pairs {
            if !ALL.iter().any(|family| family.labels.contains(&label.as_str())) {
                let error = format!("no metric has a label `{label}`");
                return Err(Refused::new(Kind::Request, error)
                    .help("say, for instance, ?upstream=shop&arm=stable&arm=canary"));
            }
            match filter.0.iter_mut().find(|(known, _)| *known == label) {
                Some((_, values)) => values.push(value),
                None => filter.0.push((label, vec![value])),
            }
        }
        Ok(filter)
    }

    /// Whether a family has all the labels that are asked for.
    pub(super) fn wants(&self, family: &Family) -> bool {
        self.0.iter().all(|(label, _)| family.labels.contains(&label.as_str()))
    }

    /// Whether a series of it has any of the values.
    pub(super) fn passes(&self, family: &Family, values: &[&str]) -> bool {
        self.0.iter().all(|(label, wanted)| {
            let mut pairs = family.labels.iter().zip(values);
            let value = pairs.find(|(name, _)| *name == label).map(|(_, value)| *value);
            wanted.iter().any(|wanted| value == Some(wanted))
        })
    }
}
