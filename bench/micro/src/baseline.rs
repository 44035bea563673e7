//! What was counted before, and what has become of it.
//!
//! Instructions depend on the compiler, so with another one the counts are shown and not judged.
//! They depend on the C library too, but only the part of them that it carries out itself: with
//! another library, the rest is judged.

use std::{collections::BTreeMap, fmt, process::Command};

use crate::callgrind::Count;

/// What else than the code the counts come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Makers {
    /// Its version, its target and its flags.
    pub(crate) compiler: String,
    /// The C library.
    pub(crate) libc: String,
}

impl Makers {
    /// Those of this program.
    pub(crate) fn here() -> Self {
        let said = Command::new("getconf").arg("GNU_LIBC_VERSION").output();
        let said = said.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
        let libc = said.ok().filter(|said| !said.is_empty());
        Self {
            compiler: env!("COMPILER").to_owned(),
            libc: libc.unwrap_or_else(|| "unknown".to_owned()),
        }
    }
}

/// Whether all cases were counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    Whole,
    Part,
}

/// What was written down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Baseline {
    makers: Makers,
    counts: BTreeMap<String, Count>,
}

impl Baseline {
    /// Reads what [`Display`](fmt::Display) wrote.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut baseline = Self::default();
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        for line in lines {
            let (key, rest) = line.split_once(' ').unwrap_or((line, ""));
            let rest = rest.trim();
            match key {
                "compiler" => rest.clone_into(&mut baseline.makers.compiler),
                "libc" => rest.clone_into(&mut baseline.makers.libc),
                _ => {
                    let count = counted(rest).ok_or_else(|| format!("no counts: `{line}`"))?;
                    baseline.counts.insert(key.to_owned(), count);
                }
            }
        }
        Ok(baseline)
    }

    /// Names of the cases, in order.
    #[cfg(test)]
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.counts.keys().map(String::as_str)
    }

    /// With these counts in the place of what it had.
    pub(crate) fn updated(
        self,
        makers: Makers,
        counts: &[(&str, Count)],
        extent: Extent,
    ) -> Result<Self, String> {
        let kept = match extent {
            Extent::Whole => BTreeMap::new(),
            Extent::Part if self.makers == makers => self.counts,
            Extent::Part => {
                return Err("the others were counted with another compiler or library: update \
                            all of them"
                    .to_owned());
            }
        };
        let new = counts.iter().map(|&(name, count)| (name.to_owned(), count));
        Ok(Self { makers, counts: kept.into_iter().chain(new).collect() })
    }

    pub(crate) fn compare(
        &self,
        makers: &Makers,
        counts: &[(&str, Count)],
        extent: Extent,
    ) -> Comparison {
        let judged = match (&self.makers, makers) {
            (then, now) if then == now => Judged::All,
            (then, now) if then.compiler == now.compiler => Judged::Own,
            _ => Judged::Nothing,
        };
        let row = |&(name, now): &(&str, Count)| Row {
            name: name.to_owned(),
            now,
            then: self.counts.get(name).copied(),
        };
        let is_gone = |name: &&String| counts.iter().all(|(counted, _)| counted != name);
        let gone = match extent {
            Extent::Whole => self.counts.keys().filter(is_gone).cloned().collect(),
            Extent::Part => Vec::new(),
        };
        let makers = (self.makers.clone(), makers.clone());
        Comparison { rows: counts.iter().map(row).collect(), gone, judged, makers }
    }
}

impl fmt::Display for Baseline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("# Instructions of each case, all and without those of the C library.\n")?;
        f.write_str("# Written by `cargo x micro --update`, compared by `cargo x micro`.\n")?;
        writeln!(f, "compiler {}", self.makers.compiler)?;
        writeln!(f, "libc {}", self.makers.libc)?;
        for (name, count) in &self.counts {
            writeln!(f, "{name:<32} {:>9} {:>9}", count.all, count.own)?;
        }
        Ok(())
    }
}

fn counted(text: &str) -> Option<Count> {
    let mut numbers = text.split_whitespace().map(|number| number.parse().ok());
    let count = Count { all: numbers.next()??, own: numbers.next()?? };
    numbers.next().is_none().then_some(count)
}

/// Which counts can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Judged {
    /// Same compiler, same library.
    All,
    /// Same compiler, another library.
    Own,
    /// Another compiler.
    Nothing,
}

/// Now and then.
#[derive(Debug)]
pub(crate) struct Comparison {
    rows: Vec<Row>,
    /// Cases that were written down and are no more.
    gone: Vec<String>,
    judged: Judged,
    /// Then and now.
    makers: (Makers, Makers),
}

#[derive(Debug)]
struct Row {
    name: String,
    now: Count,
    then: Option<Count>,
}

impl Row {
    /// The two numbers to compare, then and now.
    fn pair(&self, judged: Judged) -> Option<(u64, u64)> {
        let then = self.then?;
        match judged {
            Judged::All | Judged::Nothing => Some((then.all, self.now.all)),
            Judged::Own => Some((then.own, self.now.own)),
        }
    }

    /// In percent.
    fn change(&self, judged: Judged) -> Option<f64> {
        let (then, now) = self.pair(judged)?;
        Some((now as f64 / then as f64 - 1.0) * 100.0)
    }
}

impl Comparison {
    /// Why the change may not be merged as it is.
    pub(crate) fn verdict(&self) -> Result<(), String> {
        let new = self.rows.iter().filter(|row| row.then.is_none()).map(|row| &row.name);
        let unknown: Vec<_> = new.chain(&self.gone).map(String::as_str).collect();
        if !unknown.is_empty() {
            return Err(format!("new or gone: {}; {UPDATE}", unknown.join(", ")));
        }
        let slower = self.where_pair(|then, now| now * 100 > then * (100 + TOLERANCE));
        if self.judged == Judged::Nothing || slower.is_empty() {
            return Ok(());
        }
        Err(format!("more than {TOLERANCE} % above the baseline: {}; {UPDATE}", slower.join(", ")))
    }

    /// Names of the cases of whose two numbers, then and now, this holds.
    fn where_pair(&self, holds: impl Fn(u64, u64) -> bool) -> Vec<&str> {
        let is_it = |row: &&Row| row.pair(self.judged).is_some_and(|(then, now)| holds(then, now));
        self.rows.iter().filter(is_it).map(|row| row.name.as_str()).collect()
    }
}

impl fmt::Display for Comparison {
    /// The table, and below it what else there is to say.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<32} {:>12} {:>9} {:>9} {:>9}",
            "case", "instructions", "of libc", "baseline", "change"
        )?;
        for row in &self.rows {
            let (name, now) = (&row.name, row.now);
            write!(f, "{name:<32} {:>12} {:>9}", now.all, now.all.saturating_sub(now.own))?;
            match (row.pair(self.judged), row.change(self.judged)) {
                (Some((then, _)), Some(change)) => writeln!(f, " {then:>9} {change:>+7.1} %")?,
                _ => writeln!(f, " {:>9} {:>9}", "–", "new")?,
            }
        }
        let (then, now) = &self.makers;
        match self.judged {
            Judged::All => {}
            Judged::Own => writeln!(
                f,
                "The library was {}, this is {}: its part is left out of baseline and change.",
                then.libc, now.libc
            )?,
            Judged::Nothing => writeln!(
                f,
                "The compiler was {}, this is {}: nothing is judged.",
                then.compiler, now.compiler
            )?,
        }
        let faster = self.where_pair(|then, now| now * 100 < then * (100 - TOLERANCE));
        if self.judged != Judged::Nothing && !faster.is_empty() {
            writeln!(f, "Cheaper than the baseline: {}; {UPDATE}", faster.join(", "))?;
        }
        Ok(())
    }
}

/// Percent. What a compiler makes of a neighbouring function moves a count by one or two.
const TOLERANCE: u64 = 3;

const UPDATE: &str = "if it is meant, `cargo x micro --update` and say why in the commit";

#[cfg(test)]
mod tests {
    use super::*;

    fn makers(compiler: &str, libc: &str) -> Makers {
        Makers { compiler: compiler.to_owned(), libc: libc.to_owned() }
    }

    fn baseline() -> Baseline {
        let counts = [("a", Count { all: 1000, own: 100 }), ("b", Count { all: 2000, own: 2000 })];
        let empty = Baseline::default();
        empty.updated(makers("rustc 1 x86", "glibc 2"), &counts, Extent::Whole).unwrap()
    }

    fn verdict(makers: &Makers, a: Count, b: Count) -> Result<(), String> {
        baseline().compare(makers, &[("a", a), ("b", b)], Extent::Whole).verdict()
    }

    #[test]
    fn a_baseline_is_read_as_it_was_written() {
        assert_eq!(Baseline::parse(&baseline().to_string()), Ok(baseline()));
        for text in ["a", "a 1", "a 1 2 3", "a 1 -2"] {
            assert!(Baseline::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn three_percent_more_is_too_much_and_less_is_welcome() {
        let same = makers("rustc 1 x86", "glibc 2");
        let b = Count { all: 2000, own: 2000 };
        assert_eq!(verdict(&same, Count { all: 1030, own: 130 }, b), Ok(()));
        assert_eq!(verdict(&same, Count { all: 500, own: 50 }, b), Ok(()));
        let why = verdict(&same, Count { all: 1031, own: 100 }, b).unwrap_err();
        assert!(why.contains(": a;"), "{why}");
        let cheaper = [("a", Count { all: 969, own: 100 }), ("b", b)];
        let said = baseline().compare(&same, &cheaper, Extent::Whole).to_string();
        assert!(said.contains("Cheaper than the baseline: a;"), "{said}");
    }

    #[test]
    fn with_another_library_only_our_part_counts() {
        let other = makers("rustc 1 x86", "glibc 3");
        let b = Count { all: 9000, own: 2000 };
        assert_eq!(verdict(&other, Count { all: 9000, own: 100 }, b), Ok(()));
        assert!(verdict(&other, Count { all: 1000, own: 104 }, b).is_err());
    }

    #[test]
    fn with_another_compiler_nothing_is_judged() {
        let other = makers("rustc 2 x86", "glibc 2");
        let much = Count { all: 9000, own: 9000 };
        assert_eq!(verdict(&other, much, much), Ok(()));
        let said = baseline().compare(&other, &[("a", much)], Extent::Part).to_string();
        assert!(said.contains("nothing is judged"), "{said}");
    }

    #[test]
    fn a_case_is_written_down_or_not_there() {
        let same = makers("rustc 1 x86", "glibc 2");
        let [a, b, c] = ["a", "b", "c"].map(|name| (name, Count { all: 1000, own: 100 }));
        let verdict = |counts: &[_], extent| baseline().compare(&same, counts, extent).verdict();
        assert!(verdict(&[a, b, c], Extent::Whole).unwrap_err().contains("gone: c;"));
        assert!(verdict(&[a], Extent::Whole).unwrap_err().contains("gone: b;"));
        assert_eq!(verdict(&[a], Extent::Part), Ok(()));
    }

    #[test]
    fn a_part_is_updated_only_beside_its_like() {
        let a = [("a", Count { all: 7, own: 7 })];
        let same = makers("rustc 1 x86", "glibc 2");
        let updated = baseline().updated(same, &a, Extent::Part).unwrap();
        assert_eq!(updated.names().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(updated.counts["a"], a[0].1);
        assert!(baseline().updated(makers("rustc 2 x86", ""), &a, Extent::Part).is_err());
    }
}
