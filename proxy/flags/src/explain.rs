//! Why a flag comes to what it does, for people. The same evaluation, told as it goes.

use std::fmt;

use crate::{
    Context, FlagIx, FlagSet, Reason, Resolution,
    set::{Memberships, Program},
};

/// What a rule came to for one context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleOutcome {
    /// It decides.
    Holds,
    /// It is for other groups.
    Elsewhere,
    /// It is for other users, by name.
    Unlisted,
    /// The user's position is beyond its share.
    Beyond,
    /// It has to know the user and does not.
    NoKey,
}

impl fmt::Display for RuleOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Holds => "it decides",
            Self::Elsewhere => "it is for other groups",
            Self::Unlisted => "it is for other users",
            Self::Beyond => "the user's position is beyond its share",
            Self::NoKey => "nothing tells the user apart",
        })
    }
}

/// What a flag comes to, and what was looked at for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// What it comes to.
    pub resolution: Resolution,
    /// The rules that were looked at, by index, in order; none of a flag of a source.
    pub rules: Vec<(usize, RuleOutcome)>,
}

impl Explanation {
    /// The rule that decided, by index.
    #[must_use]
    pub fn decider(&self) -> Option<usize> {
        let holds = |(_, outcome): &&(usize, RuleOutcome)| *outcome == RuleOutcome::Holds;
        self.rules.iter().find(holds).map(|(rule, _)| *rule)
    }
}

impl FlagSet {
    /// What a flag comes to for `context`, at `now` in seconds since 1970, and why.
    pub fn explain(&self, flag: FlagIx, context: &impl Context, now: u64) -> Explanation {
        let mut rules = Vec::new();
        let of = self.flag(flag);
        let resolution = match &of.program {
            Program::Rules(program) if of.enabled => {
                let memberships = Memberships::default();
                let told = |rule, outcome| rules.push((rule, outcome));
                program.walk(&self.groups, context, now, &memberships, told)
            }
            Program::Rules(_) => Resolution::nothing(Reason::Disabled),
            Program::Logic(_) => self.evaluate(flag, context, now),
        };
        Explanation { resolution, rules }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use gnomon_config::{
        Config,
        model::{
            Share,
            flag::{Flag, Flags, Group, Place, Portion, Rule, VariantValue},
        },
    };
    use serde_json::{Map, json};

    use super::*;
    use crate::{JsonContext, Overrides, flagd::Definitions};

    fn config() -> Config {
        let options = gnomon_config::Options::default();
        gnomon_config::parse("test", "listen = \"127.0.0.1:0\"", &options).unwrap().config
    }

    fn rule(groups: &[usize], portion: Option<u32>) -> Rule {
        Rule {
            groups: groups.to_vec(),
            not: Vec::new(),
            users: Vec::new(),
            portion: portion.map(|share| Portion::Fixed(Share(share))),
            serve: vec![(0, 1)],
        }
    }

    fn flag(rules: Vec<Rule>) -> Flag {
        let bool = |name: &str, value| (name.into(), VariantValue::Bool(value));
        Flag {
            name: "f".into(),
            enabled: true,
            variants: vec![bool("on", true), bool("off", false)],
            default: 1,
            by: None,
            salt: "f".into(),
            rules,
            start: None,
            end: None,
            owner: "".into(),
            description: "".into(),
            expires: None,
            judge: None,
        }
    }

    #[test]
    fn it_says_what_the_evaluation_says_and_which_rule_it_was() {
        let staff = Group { name: "staff".into(), users: Some(Arc::new([])), ..Group::default() };
        let by = Some(Place::Key(gnomon_config::model::Key::Header("x-user".into())));
        let nobody = Rule { users: vec!["ann".into()], ..rule(&[], None) };
        let rules = vec![rule(&[0], None), nobody, rule(&[], Some(0)), rule(&[], Some(100_000))];
        let flags = Flags { groups: vec![staff], own: vec![flag(rules)], by, ..Flags::default() };
        let config = Arc::new(Config { flags, ..config() });
        let set = FlagSet::compile(config, &Definitions::default(), &Overrides::default());
        let set = set.unwrap();
        let flag = set.find("f").unwrap();
        use RuleOutcome::{Beyond, Elsewhere, Holds, NoKey, Unlisted};
        for (said, outcomes, decider) in [
            (json!({"targetingKey": "bob"}), vec![Elsewhere, Unlisted, Beyond, Holds], Some(3)),
            (json!({"targetingKey": "ann"}), vec![Elsewhere, Holds], Some(1)),
            (json!({}), vec![Elsewhere, NoKey, NoKey, NoKey], None),
        ] {
            let said: &Map<_, _> = said.as_object().unwrap();
            let context = JsonContext { terms: set.terms(), said };
            let explanation = set.explain(flag, &context, 0);
            assert_eq!(explanation.resolution, set.evaluate(flag, &context, 0), "{said:?}");
            let rules: Vec<_> = explanation.rules.iter().map(|(_, outcome)| *outcome).collect();
            assert_eq!(rules, outcomes, "{said:?}");
            assert_eq!(explanation.decider(), decider, "{said:?}");
        }
    }
}
