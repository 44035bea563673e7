//! What differs between two texts, as `diff -u` shows it.

use crate::cli::Paint;

/// A line of one text, of the other, or of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line<'t> {
    Same(&'t str),
    Gone(&'t str),
    Come(&'t str),
}

/// The differences between `was` and `is`, with a few lines around each.
pub(super) fn shown(name: &str, was: &str, is: &str, paint: Paint) -> String {
    let lines = compared(was, is);
    let mut out = paint.bold(&format!("--- {name}\n+++ {name} (formatted)"));
    out.push('\n');
    // The numbers of the lines that come next in either text.
    let (mut left, mut right) = (1, 1);
    let mut at = 0;
    while let Some(first) = lines[at..].iter().position(|line| !matches!(line, Line::Same(_))) {
        let start = at + first.saturating_sub(AROUND);
        let until = end_of_hunk(&lines, at + first);
        (left, right) = (left + start - at, right + start - at);
        let hunk = &lines[start..until];
        let lefts = hunk.iter().filter(|line| !matches!(line, Line::Come(_))).count();
        let rights = hunk.iter().filter(|line| !matches!(line, Line::Gone(_))).count();
        let place = |from: usize, count: usize| {
            // An empty stretch is named by the line before it.
            format!("{},{count}", if count == 0 { from - 1 } else { from })
        };
        let head = format!("@@ -{} +{} @@", place(left, lefts), place(right, rights));
        out.push_str(&paint.blue(&head));
        out.push('\n');
        for line in hunk {
            out.push_str(&match line {
                Line::Same(text) => format!(" {}{}", bare(text), ending(text)),
                Line::Gone(text) => paint.red(&format!("-{}", bare(text))) + ending(text),
                Line::Come(text) => paint.green(&format!("+{}", bare(text))) + ending(text),
            });
        }
        (left, right) = (left + lefts, right + rights);
        at = until;
    }
    out
}

/// How many lines of `is` were not there, or, if there are none, how many are gone.
pub(super) fn changed(was: &str, is: &str) -> usize {
    let lines = compared(was, is);
    let come = lines.iter().filter(|line| matches!(line, Line::Come(_))).count();
    if come > 0 { come } else { lines.iter().filter(|it| matches!(it, Line::Gone(_))).count() }
}

/// The end of the hunk whose first change is at `first`: where enough lines are the same.
fn end_of_hunk(lines: &[Line<'_>], first: usize) -> usize {
    let mut end = first + 1;
    for (at, line) in lines.iter().enumerate().skip(first) {
        if !matches!(line, Line::Same(_)) {
            end = at + 1;
        } else if at - end >= 2 * AROUND {
            break;
        }
    }
    (end + AROUND).min(lines.len())
}

/// Both texts as one list of lines. Right for any two texts, and short where one was only tidied up:
/// after a difference, both go on where they soonest agree again.
fn compared<'t>(was: &'t str, is: &'t str) -> Vec<Line<'t>> {
    let (was, is): (Vec<&str>, Vec<&str>) = (split(was), split(is));
    let mut lines = Vec::with_capacity(was.len().max(is.len()));
    let (mut left, mut right) = (0, 0);
    while left < was.len() && right < is.len() {
        if was[left] == is[right] {
            lines.push(Line::Same(was[left]));
            (left, right) = (left + 1, right + 1);
            continue;
        }
        let (mut gone, mut come) = next_agreement(&was[left..], &is[right..]);
        // Empty lines before it are the same as well.
        while gone > 0 && come > 0 && was[left + gone - 1] == is[right + come - 1] {
            (gone, come) = (gone - 1, come - 1);
        }
        lines.extend(was[left..left + gone].iter().map(|line| Line::Gone(line)));
        lines.extend(is[right..right + come].iter().map(|line| Line::Come(line)));
        (left, right) = (left + gone, right + come);
    }
    lines.extend(was[left..].iter().map(|line| Line::Gone(line)));
    lines.extend(is[right..].iter().map(|line| Line::Come(line)));
    lines
}

/// How many lines each side leaves out until both have the same line. An empty line proves nothing.
fn next_agreement(was: &[&str], is: &[&str]) -> (usize, usize) {
    for skipped in 1..AHEAD_MAX {
        for gone in 0..=skipped {
            let come = skipped - gone;
            let (Some(left), Some(right)) = (was.get(gone), is.get(come)) else { continue };
            if left == right && !left.trim().is_empty() {
                return (gone, come);
            }
        }
    }
    (AHEAD_MAX.min(was.len()), AHEAD_MAX.min(is.len()))
}

/// Lines with their ends: a last one without is another than one with.
fn split(text: &str) -> Vec<&str> {
    text.split_inclusive('\n').collect()
}

fn bare(line: &str) -> &str {
    line.trim_end_matches(['\r', '\n'])
}

/// What follows a line that is shown.
fn ending(line: &str) -> &'static str {
    if line.ends_with('\n') { "\n" } else { "\n\\ No newline at end of file\n" }
}

/// Lines around a change.
const AROUND: usize = 3;
/// Lines that are looked through for the next agreement: more than a list is long, and few enough
/// for a file of 4 MiB to take no time.
const AHEAD_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(was: &str, is: &str, wanted: &str) {
        let text = shown("f", was, is, Paint::PLAIN);
        assert_eq!(text, format!("--- f\n+++ f (formatted)\n{wanted}"), "{text}");
        let (mut left, mut right) = (Vec::new(), Vec::new());
        for line in compared(was, is) {
            if let Line::Same(text) | Line::Gone(text) = line {
                left.push(text);
            }
            if let Line::Same(text) | Line::Come(text) = line {
                right.push(text);
            }
        }
        assert_eq!((left, right), (split(was), split(is)));
    }

    #[test]
    fn hunks_have_their_places() {
        check("a\nb\nc\n", "a\nB\nc\n", "@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n");
        check("a\n", "x\na\n", "@@ -1,1 +1,2 @@\n+x\n a\n");
        check("", "x\n", "@@ -0,0 +1,1 @@\n+x\n");
        check("x\n", "", "@@ -1,1 +0,0 @@\n-x\n");
        check("x", "x\n", "@@ -1,1 +1,1 @@\n-x\n\\ No newline at end of file\n+x\n");
        let numbers = |from, to| (from..to).map(|n| format!("{n}\n")).collect::<String>();
        check(
            &format!("{}x\n{}y\n", numbers(1, 10), numbers(11, 30)),
            &format!("{}X\n{}", numbers(1, 10), numbers(11, 30)),
            "@@ -7,7 +7,7 @@\n 7\n 8\n 9\n-x\n+X\n 11\n 12\n 13\n@@ -27,4 +27,3 @@\n 27\n 28\n 29\n-y\n",
        );
        // Six lines between two changes hold one hunk together.
        check(
            &format!("x\n{}y\n", numbers(1, 7)),
            &format!("X\n{}Y\n", numbers(1, 7)),
            "@@ -1,8 +1,8 @@\n-x\n+X\n 1\n 2\n 3\n 4\n 5\n 6\n-y\n+Y\n",
        );
    }

    #[test]
    fn texts_that_never_agree_are_told_too() {
        let (was, is) = ("a\n".repeat(250), "b\n".repeat(260));
        let text = shown("f", &was, &is, Paint::PLAIN);
        assert!(text.contains("@@ -1,250 +1,260 @@"), "{text}");
        assert_eq!(changed(&was, &is), 260);
        assert_eq!(changed("a\n\n\nb\n", "a\n\nb\n"), 1);
    }
}
