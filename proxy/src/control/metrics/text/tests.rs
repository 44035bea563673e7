//! Both formats, to the byte.

use super::{
    super::catalogue::{BUILD, CPU, DURATION, REQUESTS, SATURATION},
    *,
};

fn histogram() -> Histogram {
    let at = Duration::from_millis(1_795_404_675_123);
    let slow = Exemplar { id: *b"00000000000000aa0000000000000001", nanos: 3_250_000_000, at };
    let exemplars = vec![None, None, Some(slow)];
    Histogram { buckets: vec![(0.0025, 3), (1.0, 4)], count: 5, sum: 7.25, exemplars }
}

fn page(format: Format, pairs: &[(&str, &str)], series_max: u32) -> Page {
    let pairs = pairs.iter().map(|(label, value)| ((*label).to_owned(), (*value).to_owned()));
    let settings = Metrics { max_series: series_max, ..Metrics::default() };
    Page::new(format, Filter::of(pairs.collect()).unwrap(), &settings)
}

fn write(page: &mut Page) {
    page.family(&BUILD).add(&["0.1.0"], true);
    page.family(&CPU).add(&[], 1.5);
    let mut requests = page.family(&REQUESTS);
    requests.add(&["shop", "v1", "stable", "2xx"], 41);
    requests.add(&["shop", "v2", "canary", "2xx"], 1);
    let mut durations = page.family(&DURATION);
    durations.add_histogram(&["shop", "v2", "canary", "ok"], &histogram());
}

const OPEN: &str = "\
# HELP gnomon_build Which gnomon this is.
# TYPE gnomon_build info
gnomon_build_info{version=\"0.1.0\"} 1
# HELP process_cpu_seconds Time that all threads of the process have worked.
# TYPE process_cpu_seconds counter
# UNIT process_cpu_seconds seconds
process_cpu_seconds_total 1.5
# HELP gnomon_requests Requests, by class of the status; none where the client left before there was one.
# TYPE gnomon_requests counter
gnomon_requests_total{upstream=\"shop\",version=\"v1\",arm=\"stable\",code=\"2xx\"} 41
gnomon_requests_total{upstream=\"shop\",version=\"v2\",arm=\"canary\",code=\"2xx\"} 1
# HELP gnomon_request_duration_seconds From a request's head to its reply's last byte; error is a status of 500 and above.
# TYPE gnomon_request_duration_seconds histogram
# UNIT gnomon_request_duration_seconds seconds
gnomon_request_duration_seconds_bucket{upstream=\"shop\",version=\"v2\",arm=\"canary\",outcome=\"ok\",le=\"0.0025\"} 3
gnomon_request_duration_seconds_bucket{upstream=\"shop\",version=\"v2\",arm=\"canary\",outcome=\"ok\",le=\"1.0\"} 4
gnomon_request_duration_seconds_bucket{upstream=\"shop\",version=\"v2\",arm=\"canary\",outcome=\"ok\",le=\"+Inf\"} 5 # {request_id=\"00000000000000aa0000000000000001\"} 3.25 1795404675.123
gnomon_request_duration_seconds_sum{upstream=\"shop\",version=\"v2\",arm=\"canary\",outcome=\"ok\"} 7.25
gnomon_request_duration_seconds_count{upstream=\"shop\",version=\"v2\",arm=\"canary\",outcome=\"ok\"} 5
# EOF
";

#[test]
fn openmetrics_to_the_byte() {
    let mut page = page(Format::Open, &[], 100);
    write(&mut page);
    assert_eq!(page.end(), OPEN);
}

#[test]
fn the_older_format_has_the_same_samples_and_other_heads() {
    let mut page = page(Format::Plain, &[], 100);
    write(&mut page);
    let plain = page.end();
    let samples = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(|line| line.split(" # ").next().unwrap_or_default().to_owned()).collect()
    };
    assert!(OPEN.contains(" # {") && !plain.contains(" # {"), "only one has exemplars");
    assert_eq!(samples(&plain), samples(OPEN));
    let heads: Vec<&str> = plain.lines().filter(|line| line.starts_with("# TYPE")).collect();
    assert_eq!(
        heads,
        [
            "# TYPE gnomon_build_info gauge",
            "# TYPE process_cpu_seconds_total counter",
            "# TYPE gnomon_requests_total counter",
            "# TYPE gnomon_request_duration_seconds histogram",
        ]
    );
    assert!(!plain.contains("# UNIT") && !plain.contains("# EOF"), "{plain}");
}

#[test]
fn labels_are_escaped_and_odd_values_are_named() {
    let mut page = page(Format::Open, &[], 100);
    let mut series = page.family(&SATURATION);
    series.add(&["a\"b\\c\nd é"], f64::INFINITY);
    series.add(&["b"], f64::NAN);
    series.add(&["c"], -f64::INFINITY);
    let text = page.end();
    let lines: Vec<&str> = text.lines().skip(3).collect();
    let name = "gnomon_saturation_ratio";
    assert_eq!(
        lines,
        [
            format!("{name}{{component=\"a\\\"b\\\\c\\nd é\"}} +Inf"),
            format!("{name}{{component=\"b\"}} NaN"),
            format!("{name}{{component=\"c\"}} -Inf"),
            "# EOF".to_owned(),
        ]
    );
}

#[test]
fn what_is_beyond_the_bound_is_left_out_whole_and_counted() {
    // Room for all but one of the histogram's five series.
    let mut page = page(Format::Open, &[], 8);
    write(&mut page);
    assert_eq!(page.dropped(), 5);
    page.make_room();
    page.family(&SATURATION).add(&["core"], 0.5);
    let text = page.end();
    assert!(!text.contains("gnomon_request_duration_seconds"), "{text}");
    assert!(text.contains("gnomon_requests_total{upstream=\"shop\",version=\"v2\""), "{text}");
    assert!(text.ends_with("gnomon_saturation_ratio{component=\"core\"} 0.5\n# EOF\n"), "{text}");
}

#[test]
fn a_filter_takes_any_of_its_values_and_only_who_has_the_label() {
    let mut page = page(Format::Plain, &[("arm", "canary"), ("upstream", "shop")], 100);
    write(&mut page);
    let text = page.end();
    assert!(text.lines().all(|line| line.starts_with('#') || line.contains("arm=\"canary\"")));
    assert!(text.contains("gnomon_requests_total{") && !text.contains("process_cpu"), "{text}");
    let mut page = self::page(Format::Plain, &[("arm", "canary"), ("arm", "stable")], 100);
    write(&mut page);
    assert!(page.end().contains("arm=\"stable\""));
    let mut page = self::page(Format::Plain, &[("arm", "nobody")], 100);
    write(&mut page);
    assert_eq!(page.end(), "");
    let unknown = Filter::of(vec![("nix".to_owned(), String::new())]).unwrap_err();
    assert!(unknown.error.contains("`nix`"), "{unknown}");
}

#[test]
fn the_preferred_format_is_written() {
    let prometheus = "application/openmetrics-text;version=1.0.0,\
                      application/openmetrics-text;version=0.0.1;q=0.75,\
                      text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    let table = [
        (prometheus, Format::Open),
        ("application/openmetrics-text; version=\"1.0.0\"; escaping=allow-utf-8", Format::Open),
        ("application/openmetrics-text;q=0.3, text/plain;q=0.9", Format::Plain),
        ("text/plain;version=0.0.4;q=0.9,application/openmetrics-text", Format::Open),
        ("application/openmetrics-text;version=0.0.1", Format::Plain),
        ("application/openmetrics-text;q=0", Format::Plain),
        ("application/openmetrics-text;q=much,*/*", Format::Plain),
        ("text/html,*/*;q=0.8", Format::Plain),
        ("*/*", Format::Plain),
        ("", Format::Plain),
    ];
    for (accept, expected) in table {
        assert_eq!(Format::of(accept), expected, "{accept}");
    }
}
