//! What a route has counted stays with its name.

use super::*;

fn config(text: &str) -> Config {
    let text = format!(
        "listen = \"127.0.0.1:0\"\nupstream.o.versions.v1 = [\"127.0.0.1:1\"]\n\
         upstream.o.versions.v2 = [\"127.0.0.1:2\"]\nupstream.o.split = {{ v1 = 100 }}\n{text}"
    );
    let loaded = gnomon_config::parse("test", &text, &gnomon_config::Options::default());
    loaded.unwrap_or_else(|problems| panic!("{}", problems.render(false))).config
}

const A: &str = "route.a = { match = { path = \"/a\" }, to = \"o\" }\n";
const B: &str = "route.b = { match = { path = \"/b\" }, to = \"o\" }\n";

#[test]
fn a_reload_that_moves_a_route_keeps_its_counts() {
    let one = RouteBook::new(&config(&[A, B].concat()), 2, None);
    let cells = one.cells(1, RouteIx(1), VersionIx(1)).unwrap();
    cells.classes[1].add(7);
    cells.times.record(Time::FirstByte, 5_000_000);
    let two = RouteBook::new(&config(B), 2, Some(&one));
    let all: Vec<_> = two.all().collect();
    assert_eq!(all.len(), 1);
    let ((route, upstream, version), cells) = &all[0];
    assert_eq!((&**route, &**upstream, &**version), ("b", "o", "v2"));
    assert_eq!((cells.len(), cells[0].classes[1].read()), (1, 7));
    let mut sums = vec![0; golden::CELLS];
    cells[0].times.add_to(Time::FirstByte, &mut sums);
    let median = golden::quantile(&sums, 0.5).unwrap();
    assert!((4_700_000..5_300_000).contains(&median), "{median}");
    cells[0].times.add_to(Time::Failed, &mut sums);
    assert_eq!((sums.iter().sum::<u64>(), cells[0].times.sum_micros(Time::FirstByte)), (1, 5000));
}

#[test]
fn what_answers_by_itself_has_no_cells() {
    let text = "route.r = { match = { path = \"/r\" }, respond = { status = 200 } }\n";
    let book = RouteBook::new(&config(&[text, A].concat()), 1, None);
    assert!(book.cells(0, RouteIx(1), VersionIx(1)).is_some());
    assert!(book.cells(0, RouteIx(1), VersionIx(2)).is_none());
    assert_eq!(book.all().count(), 1);
}
