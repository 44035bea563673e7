//! A strict reader of what Prometheus scrapes, in both formats. It knows nothing of how it is
//! written, and forgives nothing.

use std::collections::{BTreeMap, BTreeSet};

/// A sample: its name, its labels, its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// With the suffix of a histogram's part.
    pub name: String,
    /// In the order in which they were written.
    pub labels: Vec<(String, String)>,
    /// Its value.
    pub value: f64,
}

/// A family and its samples.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    /// As samples of counters and infos are called, whatever the format.
    pub name: String,
    /// `counter`, `gauge`, `histogram` or `info`.
    pub kind: String,
    /// In the order in which they were written.
    pub samples: Vec<Sample>,
}

/// Everything that was scraped.
#[derive(Clone, Debug, PartialEq)]
pub struct Exposition(pub Vec<Family>);

impl Exposition {
    /// The sum of all samples of this name that have these labels.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let samples = self.0.iter().flat_map(|family| &family.samples);
        let has = |sample: &&Sample| {
            let has = |(name, value): &(&str, &str)| {
                sample.labels.iter().any(|(n, v)| n == name && v == value)
            };
            sample.name == name && labels.iter().all(has)
        };
        samples.filter(has).map(|sample| sample.value).sum()
    }
}

/// Reads OpenMetrics 1.0 if `open`, else the text format 0.0.4.
///
/// # Panics
/// At the first line that is not as the format wants it.
#[must_use]
pub fn parse(text: &str, open: bool) -> Exposition {
    let body = if open {
        text.strip_suffix("# EOF\n").expect("it ends in # EOF and a line end")
    } else {
        text
    };
    assert!(body.is_empty() || body.ends_with('\n'), "the last line has an end");
    let (mut families, mut seen, mut series) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    for line in body.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (stem, help) = rest.split_once(' ').expect(line);
            assert!(!help.is_empty() && seen.insert(stem.to_owned()), "{line}");
            let (name, samples) = (stem.to_owned(), Vec::new());
            families.push(Family { name, kind: String::new(), samples });
            continue;
        }
        let family: &mut Family = families.last_mut().expect("HELP comes first");
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (stem, kind) = rest.split_once(' ').expect(line);
            assert!(stem == family.name && family.kind.is_empty(), "{line}");
            family.kind = kind.to_owned();
            match (open, kind) {
                (true, "counter") => family.name.push_str("_total"),
                (true, "info") => family.name.push_str("_info"),
                (true, "gauge" | "histogram") | (false, "counter" | "gauge" | "histogram") => {}
                _ => panic!("{line}"),
            }
        } else if let Some(rest) = line.strip_prefix("# UNIT ") {
            let (stem, unit) = rest.split_once(' ').expect(line);
            assert!(open && stem.ends_with(&format!("_{unit}")), "{line}");
            assert!(family.name.starts_with(stem) && family.samples.is_empty(), "{line}");
        } else {
            let sample = sample(bare(line, open));
            assert!(!family.kind.is_empty(), "TYPE comes before {line}");
            check_name(family, &sample);
            assert!(series.insert((sample.name.clone(), sample.labels.clone())), "twice: {line}");
            family.samples.push(sample);
        }
    }
    for family in &families {
        assert!(!family.samples.is_empty(), "{} has no samples", family.name);
        check_values(family);
    }
    Exposition(families)
}

fn check_name(family: &Family, sample: &Sample) {
    let fits = match family.kind.as_str() {
        "histogram" => ["_bucket", "_sum", "_count"]
            .iter()
            .any(|suffix| sample.name.strip_suffix(suffix) == Some(&family.name)),
        _ => sample.name == family.name,
    };
    assert!(fits, "{} is no sample of {}", sample.name, family.name);
}

fn check_values(family: &Family) {
    for sample in &family.samples {
        let is_count = family.kind == "counter" || family.kind == "histogram";
        assert!(!is_count || sample.value >= 0.0, "{sample:?}");
        assert!(family.kind != "info" || (sample.value - 1.0).abs() < f64::EPSILON, "{sample:?}");
    }
    if family.kind == "histogram" {
        check_histogram(family);
    }
}

/// One histogram: its buckets by their bounds, and what else there is.
#[derive(Default)]
struct Parts<'a> {
    buckets: Vec<(f64, f64)>,
    rest: Vec<&'a Sample>,
}

/// Buckets rise and are cumulative, the last is everything, and there are a sum and a count.
fn check_histogram(family: &Family) {
    let mut all: BTreeMap<_, Parts<'_>> = BTreeMap::new();
    for sample in &family.samples {
        let mut labels = sample.labels.clone();
        let bound = labels.iter().position(|(name, _)| name == "le").map(|at| labels.remove(at).1);
        let Parts { buckets, rest } = all.entry(labels).or_default();
        match bound {
            Some(bound) => buckets.push((number(&bound), sample.value)),
            None => rest.push(sample),
        }
    }
    for (labels, Parts { buckets, rest }) in all {
        let rises = |pair: &[(f64, f64)]| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1;
        assert!(buckets.windows(2).all(rises), "{labels:?}: {buckets:?}");
        let (bound, whole) = buckets.last().copied().expect("there are buckets");
        let of = |suffix| rest.iter().find(|sample| sample.name.ends_with(suffix));
        let count = of("_count").expect("there is a count").value;
        let sum = of("_sum").expect("there is a sum").value;
        assert!(bound == f64::INFINITY && (whole - count).abs() < 0.5, "{labels:?}: {buckets:?}");
        assert!((count > 0.0) == (sum > 0.0), "{labels:?}: {count} and {sum}");
    }
}

/// A sample without its exemplar, which may only follow a bucket in OpenMetrics.
fn bare(line: &str, open: bool) -> &str {
    let Some((bare, exemplar)) = line.split_once(" # ") else { return line };
    let Sample { labels, value, .. } = sample(bare);
    let bound = labels.iter().find(|(name, _)| name == "le").map(|(_, bound)| number(bound));
    assert!(open && value > 0.0, "{line}");
    let (exemplar, at) = exemplar.rsplit_once(' ').expect(line);
    let exemplar = sample(&format!("exemplar{exemplar}"));
    let letters: usize = exemplar.labels.iter().map(|(name, value)| name.len() + value.len()).sum();
    assert!(letters <= 128 && number(at) > 1e9, "{line}");
    assert!(bound.is_some_and(|bound| exemplar.value <= bound), "{line}");
    bare
}

fn sample(line: &str) -> Sample {
    let is_name = |byte: char| byte.is_ascii_alphanumeric() || byte == '_' || byte == ':';
    let end = line.find(|letter| !is_name(letter)).expect(line);
    let (name, mut rest) = line.split_at(end);
    assert!(
        !name.is_empty() && !name.starts_with(|letter: char| letter.is_ascii_digit()),
        "{line}"
    );
    let mut labels = Vec::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            let (label, value) = rest.split_once("=\"").expect(line);
            assert!(!label.is_empty() && label.chars().all(is_name), "{line}");
            assert!(!labels.iter().any(|(known, _)| known == label), "{line}");
            let (value, behind) = quoted(value, line);
            labels.push((label.to_owned(), value));
            match behind.strip_prefix(',') {
                Some(next) => rest = next,
                None => {
                    rest = behind.strip_prefix('}').expect(line);
                    break;
                }
            }
        }
    }
    let value = rest.strip_prefix(' ').expect(line);
    Sample { name: name.to_owned(), labels, value: number(value) }
}

/// The value up to its closing quote, without escapes, and what follows.
fn quoted<'a>(text: &'a str, line: &str) -> (String, &'a str) {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return (value, &text[at + 1..]),
            '\\' => value.push(match letters.next() {
                Some((_, '\\')) => '\\',
                Some((_, '"')) => '"',
                Some((_, 'n')) => '\n',
                other => panic!("an escape that is none, {other:?}: {line}"),
            }),
            other => value.push(other),
        }
    }
    panic!("no closing quote: {line}");
}

fn number(text: &str) -> f64 {
    match text {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        "NaN" => f64::NAN,
        _ => {
            let digits = |letter: char| letter.is_ascii_digit() || ".-e".contains(letter);
            assert!(text.chars().all(digits), "not a number: {text}");
            text.parse().unwrap_or_else(|_| panic!("not a number: {text}"))
        }
    }
}
