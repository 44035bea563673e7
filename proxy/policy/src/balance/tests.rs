//! Choosing, by hand and by count.

use std::sync::Arc;

use gnomon_config::model::Key;

use super::*;

struct Stub {
    in_flight: u32,
    available: bool,
    seed: u64,
}

impl View for Stub {
    fn in_flight(&self) -> u32 {
        self.in_flight
    }
    fn available(&self) -> bool {
        self.available
    }
    fn seed(&self) -> u64 {
        self.seed
    }
}

fn stubs(loads: &[u32]) -> Vec<Stub> {
    let seeds = (0_u16..).map(|port| seed(&Endpoint::Name("origin".into(), port)));
    loads
        .iter()
        .zip(seeds)
        .map(|(&in_flight, seed)| Stub { in_flight, available: true, seed })
        .collect()
}

fn by_hash() -> Balance {
    Balance::Hash(Key::Header(Arc::from("x-user")))
}

fn counts(endpoints: &[Stub], balance: &Balance, tried: &[usize]) -> Vec<u32> {
    let (mut luck, mut cursor) = (Luck::seeded(1), 0);
    let mut counts = vec![0; endpoints.len()];
    for key in 0..10_000 {
        let key = matches!(balance, Balance::Hash(_)).then(|| mix(key));
        let pick = Pick { balance, key, tried };
        if let Some(index) = choose(endpoints, &pick, &mut cursor, &mut luck) {
            counts[index] += 1;
        }
    }
    counts
}

#[test]
fn every_way_spreads_over_equals_and_skips_what_was_tried() {
    for balance in [Balance::P2c, Balance::RoundRobin, Balance::LeastConn, by_hash()] {
        let endpoints = stubs(&[3, 3, 3, 3]);
        for count in counts(&endpoints, &balance, &[]) {
            assert!((2300..2700).contains(&count), "{balance:?}: {count}");
        }
        let without = counts(&endpoints, &balance, &[2]);
        assert_eq!(without[2], 0);
        assert!(without.iter().sum::<u32>() == 10_000 && without[0] > 3000);
        assert_eq!(counts(&endpoints, &balance, &[0, 1, 2, 3]), [0; 4]);
        assert_eq!(counts(&[], &balance, &[]), [0; 0]);
    }
}

#[test]
fn the_unavailable_are_skipped_unless_all_are() {
    for balance in [Balance::P2c, Balance::RoundRobin, Balance::LeastConn, by_hash()] {
        let mut endpoints = stubs(&[0, 0, 0]);
        endpoints[0].available = false;
        assert_eq!(counts(&endpoints, &balance, &[])[0], 0);
        endpoints.iter_mut().for_each(|endpoint| endpoint.available = false);
        assert!(counts(&endpoints, &balance, &[]).iter().all(|&count| count > 2500));
        // The last one left that was not tried is unavailable: it is still better than nothing.
        assert_eq!(counts(&endpoints, &balance, &[0, 1]), [0, 0, 10_000]);
    }
}

#[test]
fn the_most_loaded_of_three_never_wins_two_choices() {
    let loads = counts(&stubs(&[1, 2, 9]), &Balance::P2c, &[]);
    assert_eq!(loads[2], 0);
    assert!(loads[0] > loads[1]);
    assert_eq!(counts(&stubs(&[4, 2, 9]), &Balance::LeastConn, &[]), [0, 10_000, 0]);
}

#[test]
fn of_very_many_the_least_loaded_come_near_the_least() {
    let loads: Vec<u32> = (0..1000).map(|index| index * 7919 % 1000).collect();
    let mut endpoints = stubs(&loads);
    endpoints[..500].iter_mut().for_each(|endpoint| endpoint.available = false);
    let counts = counts(&endpoints, &Balance::LeastConn, &[600]);
    assert!(counts[..500].iter().all(|&count| count == 0) && counts[600] == 0);
    assert_eq!(counts.iter().sum::<u32>(), 10_000);
    let in_lightest_fifth = counts.iter().zip(&loads).filter(|&(_, &load)| load < 200);
    assert!(in_lightest_fifth.map(|(count, _)| count).sum::<u32>() > 9_900);
}

#[test]
fn turns_are_taken_in_order() {
    let (endpoints, mut cursor, mut luck) = (stubs(&[0, 0, 0]), 0, Luck::seeded(1));
    let pick = Pick { balance: &Balance::RoundRobin, key: None, tried: &[] };
    let turns: Vec<_> =
        (0..5).filter_map(|_| choose(&endpoints, &pick, &mut cursor, &mut luck)).collect();
    assert_eq!(turns, [0, 1, 2, 0, 1]);
}

#[test]
fn adding_an_endpoint_moves_only_the_keys_it_takes() {
    let (few, many) = (stubs(&[0; 9]), stubs(&[0; 10]));
    let (mut luck, mut cursor, balance) = (Luck::seeded(1), 0, by_hash());
    let mut moved = 0;
    for key in 0..10_000 {
        let pick = Pick { balance: &balance, key: Some(mix(key)), tried: &[] };
        let before = choose(&few, &pick, &mut cursor, &mut luck);
        let after = choose(&many, &pick, &mut cursor, &mut luck);
        if before != after {
            assert_eq!(after, Some(9));
            moved += 1;
        }
    }
    assert!((850..1150).contains(&moved), "{moved}");
}
