//! What a core keeps of tokens: never what is not so, and never more than it may.

use std::sync::LazyLock;

use jsonwebtoken::Algorithm;
use serde_json::json;

use super::*;
use crate::jwt::testing::{Issuer, NOW, verifier};

static ISSUER: LazyLock<Issuer> = LazyLock::new(|| Issuer::new(Algorithm::HS256, Some("one")));

struct Core {
    cells: Arc<CoreCells>,
    claims: Claims,
}

impl Core {
    fn new() -> Self {
        let cells = Arc::new(CoreCells::default());
        Self { claims: Claims::new(Arc::clone(&cells)), cells }
    }

    /// Checks so far: ok, bad, expired, refused.
    fn counts(&self) -> [u64; 4] {
        self.cells.jwt_checks.each_ref().map(crate::cells::Cell::read)
    }

    fn user(&self, verifier: &Arc<Verifier>, token: &str, now: u64) -> Option<String> {
        let claims = self.claims.of(verifier, token.as_bytes(), now)?;
        claims["sub"].as_str().map(str::to_owned)
    }

    fn entries(&self) -> (usize, usize, usize) {
        let known = self.claims.known.borrow();
        let known = known.as_ref().unwrap();
        let of = |count: usize| count;
        (
            of(known.good.places.iter().flatten().count()),
            of(known.bad.places.iter().flatten().count()),
            known.held,
        )
    }
}

fn token(user: &str, end: u64) -> String {
    ISSUER.sign(&json!({ "sub": user, "exp": end }))
}

/// A token that says what it likes, and that nobody signed.
fn forged(user: &str) -> String {
    let good = token(user, NOW + 1000);
    let (signed, _) = good.rsplit_once('.').unwrap();
    format!("{signed}.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
}

#[test]
fn a_token_is_checked_once_and_believed_until_its_end() {
    let (core, verifier) = (Core::new(), verifier(&[&ISSUER]));
    assert!(core.claims.known.borrow().is_none(), "who has no tokens pays nothing");
    let ann = token("ann", NOW + 100);
    for now in [NOW, NOW + 1, NOW + 129] {
        assert_eq!(core.user(&verifier, &ann, now).as_deref(), Some("ann"));
    }
    assert_eq!(core.counts(), [1, 0, 0, 0]);
    for _ in 0..2 {
        assert_eq!(core.user(&verifier, &ann, NOW + 130), None);
    }
    assert_eq!(core.counts(), [1, 0, 1, 0]);
    // The two that are told apart by their signatures alone are told apart.
    assert_eq!(core.user(&verifier, &forged("ann"), NOW), None);
    assert_eq!(core.counts(), [1, 1, 1, 0]);
}

#[test]
fn what_is_not_believed_is_not_checked_again_at_once() {
    let (core, verifier) = (Core::new(), verifier(&[&ISSUER]));
    let bad = forged("ann");
    for now in [NOW, NOW + 1, NOW + BAD_FOR - 1] {
        assert_eq!(core.user(&verifier, &bad, now), None);
    }
    assert_eq!(core.counts(), [0, 1, 0, 0]);
    assert_eq!(core.user(&verifier, &bad, NOW + BAD_FOR), None);
    assert_eq!(core.counts(), [0, 2, 0, 0]);
    // What is only early is looked at again when its time has come.
    let early = ISSUER.sign(&json!({ "sub": "bob", "exp": NOW + 99, "nbf": NOW + 35 }));
    assert_eq!(core.user(&verifier, &early, NOW + 4), None);
    assert_eq!(core.user(&verifier, &early, NOW + 5).as_deref(), Some("bob"));
    // What is no token, or of no key of ours, is not even counted.
    let before = core.counts();
    for text in
        ["", "a.b.c", &"x".repeat(9000), &Issuer::new(Algorithm::EdDSA, None).sign(&json!({}))]
    {
        assert_eq!(core.user(&verifier, text, NOW), None);
    }
    assert_eq!(core.counts(), before);
}

#[test]
fn nothing_outlives_the_keys_it_was_verified_with() {
    let core = Core::new();
    let (old, new) =
        (verifier(&[&ISSUER]), verifier(&[&Issuer::new(Algorithm::ES256, Some("one"))]));
    let ann = token("ann", NOW + 100);
    assert!(core.user(&old, &ann, NOW).is_some());
    assert!(core.user(&new, &ann, NOW).is_none());
    assert_eq!(core.entries(), (0, 0, 0));
    // Nor is anything still refused that is good now.
    let bob = forged("bob");
    assert!(core.user(&old, &bob, NOW).is_none());
    assert!(core.user(&old, &ann, NOW).is_some());
    assert_eq!(core.counts(), [2, 1, 0, 0]);
}

#[test]
fn a_flood_of_tokens_costs_a_bounded_time_and_pushes_no_user_out() {
    let (core, verifier) = (Core::new(), verifier(&[&ISSUER]));
    let users: Vec<String> = (0..100).map(|user| token(&user.to_string(), NOW + 100)).collect();
    for user in &users {
        assert!(core.user(&verifier, user, NOW).is_some());
    }
    for number in 0..3 * u64::from(CHECKS_SAVED) {
        assert!(core.user(&verifier, &forged(&number.to_string()), NOW).is_none());
    }
    let most = u64::from(CHECKS_SAVED);
    assert_eq!(core.counts(), [100, most - 100, 0, 2 * most + 100]);
    // Who was known stays known.
    assert!(users.iter().all(|user| core.user(&verifier, user, NOW).is_some()));
    let late = token("late", NOW + 100);
    assert!(core.user(&verifier, &late, NOW).is_none());
    core.claims.refill();
    assert!(core.user(&verifier, &late, NOW).is_some());
    for number in 0..u64::from(CHECKS_A_TICK) {
        core.user(&verifier, &forged(&format!("again {number}")), NOW);
    }
    assert_eq!(core.counts()[1], most - 100 + u64::from(CHECKS_A_TICK) - 1);
    for _ in 0..1000 {
        core.claims.refill();
    }
    assert_eq!(core.claims.left.get(), CHECKS_SAVED);
}

#[test]
fn a_dear_check_is_paid_as_such() {
    for (algorithm, cost) in [(Algorithm::ES384, 4), (Algorithm::ES256, 1), (Algorithm::RS256, 1)] {
        let (core, issuer) = (Core::new(), Issuer::new(algorithm, None));
        let token = issuer.sign(&json!({ "sub": "ann", "exp": NOW + 100 }));
        core.claims.left.set(cost - 1);
        assert_eq!(core.user(&verifier(&[&issuer]), &token, NOW), None);
        core.claims.left.set(cost);
        assert!(core.user(&verifier(&[&issuer]), &token, NOW).is_some());
        assert_eq!((core.claims.left.get(), core.counts()), (0, [1, 0, 0, 1]));
    }
}

#[test]
fn what_is_kept_is_bounded_in_number_and_bytes() {
    let (core, verifier) = (Core::new(), verifier(&[&ISSUER]));
    for user in 0..3 * GOOD_MAX {
        core.claims.left.set(1);
        assert!(core.user(&verifier, &token(&user.to_string(), NOW + 100), NOW).is_some());
    }
    let (good, bad, held) = core.entries();
    assert!(good > GOOD_MAX * 9 / 10 && good <= GOOD_MAX && bad == 0, "{good} {bad}");
    assert!(held < GOOD_MAX * 400, "{held}");
    // Claims that are small as text and large in memory: 2,800 numbers of one digit.
    let fat = |user: usize| {
        ISSUER.sign(&json!({ "sub": user.to_string(), "exp": NOW + 100, "all": vec![1; 2800] }))
    };
    for user in 0..300 {
        core.claims.left.set(1);
        assert!(core.user(&verifier, &fat(user), NOW).is_some());
        assert!(core.entries().2 <= HELD_MAX);
    }
    // The sum is what is there, whatever came and went.
    let known = core.claims.known.borrow();
    let known = known.as_ref().unwrap();
    let sum: usize = known.good.places.iter().flatten().map(|entry| entry.value.bytes).sum();
    assert_eq!(sum, known.held);
    assert!(known.held > HELD_MAX / 2);
}

#[test]
fn a_full_row_gives_up_what_is_over_then_what_was_unused_longest() {
    let mut table = Table::new(8);
    // Eight apart: all in one row.
    let hash = |number: u128| number * 8;
    for number in 0..4 {
        assert_eq!(table.put(hash(number), 100, 0, number), None);
        table.find(hash(number), 0);
    }
    table.find(hash(0), 0);
    assert_eq!(table.put(hash(4), 50, 0, 4), Some(1));
    table.find(hash(4), 0);
    // The fifth is past its time, though it was asked for last.
    assert_eq!(table.put(hash(5), 100, 60, 5), Some(4));
    assert_eq!(table.put(hash(5), 100, 60, 6), Some(5));
    assert_eq!(table.find(hash(5), 99), Some(&6));
    assert_eq!(table.find(hash(5), 100), None);
    assert_eq!(table.find(hash(1), 0), None);
    let mut left: Vec<_> = std::iter::from_fn(|| table.drop_next()).collect();
    left.sort_unstable();
    assert_eq!(left, [0, 2, 3, 6]);
}
