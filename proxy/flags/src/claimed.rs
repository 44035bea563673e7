//! Whether anybody asks for claims: to verify a token costs what a request must not cost for nothing.

use gnomon_config::model::flag::{Flag, Flags, Place, Rule};

use crate::set::FlagIx;

/// Whether any of the watched flags may ask for a claim.
pub(crate) fn is_asked_for(terms: &Flags, watched: &[FlagIx]) -> bool {
    let is_claim = |place: Option<&Place>| matches!(place, Some(Place::Claim(_)));
    let claiming = claiming(terms);
    let by_rule = |rule: &Rule| {
        rule.groups.iter().chain(&rule.not).any(|group| claiming & 1 << (group & 63) != 0)
    };
    let by_own = |flag: &Flag| is_claim(flag.by.as_ref()) || flag.rules.iter().any(by_rule);
    // What an application's rules ask for is known when they run.
    let by_foreign = || terms.context.iter().any(|(_, place)| is_claim(Some(place)));
    // Users may be told apart for what origins are told, too.
    !watched.is_empty() && is_claim(terms.by.as_ref())
        || watched.iter().any(|flag| terms.own.get(flag.0 as usize).map_or_else(by_foreign, by_own))
}

/// The groups that ask for a claim, a bit for each.
fn claiming(terms: &Flags) -> u64 {
    let mut claiming = 0;
    // Each stands after those that it refers to.
    for (at, group) in terms.groups.iter().enumerate() {
        let places = group.conditions.iter().map(|(place, _)| place).chain(&group.by);
        let asks = places.into_iter().any(|place| matches!(place, Place::Claim(_)))
            || group.any.iter().any(|other| claiming & 1 << (other & 63) != 0);
        claiming |= u64::from(asks) << (at & 63);
    }
    claiming
}

#[cfg(test)]
mod tests {
    use gnomon_config::model::{Condition, flag::Group};

    use super::*;

    fn claim() -> Place {
        Place::Claim("role".into())
    }

    fn flag(groups: &[usize], not: &[usize]) -> Flag {
        let rule = Rule {
            groups: groups.to_vec(),
            not: not.to_vec(),
            users: Vec::new(),
            portion: None,
            serve: vec![(0, 1)],
        };
        Flag {
            name: "cart".into(),
            enabled: true,
            variants: Vec::new(),
            default: 0,
            by: None,
            salt: "cart".into(),
            rules: vec![rule],
            start: None,
            end: None,
            owner: "".into(),
            description: "".into(),
            expires: None,
            judge: None,
        }
    }

    #[test]
    fn claims_are_asked_for_where_a_watched_flag_comes_to_them() {
        let staff =
            Group { conditions: vec![(claim(), Condition::Present(true))], ..Group::default() };
        let wider = Group { any: vec![0], ..Group::default() };
        let mut terms = Flags {
            groups: vec![staff, wider, Group::default()],
            own: vec![flag(&[2], &[]), flag(&[1], &[]), flag(&[], &[0])],
            ..Flags::default()
        };
        let asked = |terms: &Flags, watched: &[u32]| {
            is_asked_for(terms, &watched.iter().copied().map(FlagIx).collect::<Vec<_>>())
        };
        assert!(!asked(&terms, &[]) && !asked(&terms, &[0]));
        assert!(asked(&terms, &[0, 1]) && asked(&terms, &[2]));
        // A foreign flag asks for whatever has a name.
        assert!(!asked(&terms, &[3]));
        terms.context = vec![("role".into(), claim())];
        assert!(asked(&terms, &[3]) && !asked(&terms, &[0]));
        terms.by = Some(claim());
        assert!(asked(&terms, &[0]) && !asked(&terms, &[]));
        (terms.by, terms.own[0].by) = (None, Some(claim()));
        assert!(asked(&terms, &[0]));
    }
}
