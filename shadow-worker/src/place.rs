//! Whether a concrete place in a document is one that a pattern means.
//!
//! Everything else asks [`relation`], so that one function decides.

use gnomon_config::json_path::{JsonPath, Step};

/// A step of a concrete place: a field's name, or an item of an array, whichever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At<'a> {
    /// The field of this name.
    Field(&'a str),
    /// Some item; none if indices are left out, as in the paths of differences.
    Item(Option<usize>),
}

/// How a place lies to those that a pattern means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    /// It is one, or lies inside one.
    Inside,
    /// One may lie inside it.
    Above,
    /// Neither.
    Apart,
}

/// How `place` lies to the places that `steps` mean. An item without index fits every index.
pub(crate) fn relation(steps: &[Step], place: &[At<'_>]) -> Relation {
    // A longer pattern than any document is deep is taken for its beginning: more is hidden.
    let steps = &steps[..steps.len().min(STEPS_MAX)];
    let end = 1_u128 << steps.len();
    // Bit n: the first n steps fit so far, as in an automaton.
    let mut states = closed(steps, 1);
    for at in place {
        if states & end != 0 {
            return Relation::Inside;
        }
        let mut next = 0;
        for (bit, step) in steps.iter().enumerate().filter(|(bit, _)| states >> bit & 1 == 1) {
            if *step == Step::Deep {
                next |= 1 << bit;
            } else if fits(step, *at) {
                next |= 1 << (bit + 1);
            }
        }
        states = closed(steps, next);
    }
    match states {
        0 => Relation::Apart,
        states if states & end != 0 => Relation::Inside,
        _ => Relation::Above,
    }
}

/// `states`, and those that are reached from them without a step down.
fn closed(steps: &[Step], mut states: u128) -> u128 {
    for (bit, step) in steps.iter().enumerate() {
        if *step == Step::Deep && states >> bit & 1 == 1 {
            states |= 1 << (bit + 1);
        }
    }
    states
}

fn fits(step: &Step, at: At<'_>) -> bool {
    match (step, at) {
        (Step::Field(name), At::Field(field)) => **name == *field,
        (Step::Index(wanted), At::Item(Some(index))) => *wanted == index,
        (Step::AnyField, At::Field(_))
        | (Step::AnyIndex, At::Item(_))
        | (Step::Index(_), At::Item(None)) => true,
        (Step::Field(_) | Step::AnyField, At::Item(_))
        | (Step::Index(_) | Step::AnyIndex, At::Field(_))
        | (Step::Deep, _) => false,
    }
}

/// The steps of a path such as `$.a['b c'].items[*].d` or `$..token`; none if it is not one.
pub(crate) fn parse(text: &str) -> Option<Vec<Step>> {
    Some(JsonPath::parse(text).ok()?.steps().to_vec())
}

/// `steps` of a concrete path, as a place. None if it holds wildcards other than `[*]`.
pub(crate) fn concrete(steps: &[Step]) -> Option<Vec<At<'_>>> {
    steps
        .iter()
        .map(|step| match step {
            Step::Field(name) => Some(At::Field(name)),
            // A field that is called `*` has no other spelling without brackets.
            Step::AnyField => Some(At::Field("*")),
            Step::Index(index) => Some(At::Item(Some(*index))),
            Step::AnyIndex => Some(At::Item(None)),
            Step::Deep => None,
        })
        .collect()
}

/// Steps of a path: documents are not nested deeper, and one bit more fits a `u128`.
const STEPS_MAX: usize = 127;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, path: &str) -> Relation {
        let (pattern, path) = (parse(pattern).unwrap(), parse(path).unwrap());
        relation(&pattern, &concrete(&path).unwrap())
    }

    #[test]
    fn places_are_inside_above_or_apart() {
        use Relation::{Above, Apart, Inside};
        let cases = [
            ("$.a.b", "$.a.b", Inside),
            ("$.a.b", "$.a.b.c[*]", Inside),
            ("$.a.b", "$.a", Above),
            ("$.a.b", "$", Above),
            ("$.a.b", "$.b", Apart),
            ("$..token", "$.x[*].token", Inside),
            ("$..token", "$.x", Above),
            ("$..token", "$.token.of.it", Inside),
            ("$.items[0].id", "$.items[*].id", Inside),
            ("$.items[*].id", "$.items[3].id", Inside),
            ("$.items[1]", "$.items[3]", Apart),
            ("$.*.id", "$.a.id", Inside),
            ("$.a[\"b.c\"]", "$.a['b.c']", Inside),
            ("$..a..b", "$.x.a.y.b", Inside),
            ("$", "$.a", Inside),
        ];
        for (pattern, path, want) in cases {
            assert_eq!(check(pattern, path), want, "{pattern} {path}");
        }
    }

    #[test]
    fn what_is_not_a_path_is_refused() {
        for text in ["", "a.b", "$.", "$..", "$a", "$.a[", "$.a[x]", "$.a[\"b]"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
