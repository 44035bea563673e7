//! When a rollout may raise a weight.

use crate::{code, known, model::Window, problem::Wrong};

/// Monday first.
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const DAY_MINUTES: u16 = 24 * 60;

/// Reads `"mon-fri 09:00-17:00"`, `"mon,wed 10:00-12:00"` or `"* 00:00-24:00"`.
pub(crate) fn window(text: &str) -> Result<Window, Wrong> {
    let wrong =
        |label: &str| Wrong::new(code::WINDOW, format!("`{text}` does not say when")).label(label);
    let (days, times) = text
        .split_once(' ')
        .ok_or_else(|| wrong("expected days and times: \"mon-fri 09:00-17:00\""))?;
    let days = days_of(days).map_err(|unknown| {
        let guess = known::nearest(&unknown, DAYS.into_iter());
        wrong("the days are mon, tue, wed, thu, fri, sat and sun, or * for all")
            .help(guess.map(|guess| format!("did you mean \"{guess}\"?")))
    })?;
    let (from, to) = times
        .trim()
        .split_once('-')
        .and_then(|(from, to)| Some((minutes(from)?, minutes(to)?)))
        .ok_or_else(|| wrong("times are written HH:MM-HH:MM, within 00:00 to 24:00"))?;
    if from == to {
        return Err(wrong("this window is never open"));
    }
    if from > to {
        let (from, to) = (show(from), show(to));
        return Err(wrong("a window does not go over midnight")
            .help(format!("write two: \"… {from}-24:00\" and \"… 00:00-{to}\"")));
    }
    Ok(Window { days, from, to })
}

/// Which days a list names; else the name that is none.
fn days_of(text: &str) -> Result<[bool; 7], String> {
    if text == "*" {
        return Ok([true; 7]);
    }
    let day = |name: &str| DAYS.iter().position(|day| *day == name).ok_or_else(|| name.to_owned());
    let mut days = [false; 7];
    for range in text.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (mut at, last) = (day(first)?, day(last)?);
        days[last] = true;
        // Over the end of the week if need be: `fri-mon`.
        while at != last {
            days[at] = true;
            at = (at + 1) % DAYS.len();
        }
    }
    Ok(days)
}

/// Minutes after midnight of `HH:MM`.
fn minutes(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let two = |digits: &str| {
        let is_plain = digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit());
        digits.parse::<u16>().ok().filter(|_| is_plain)
    };
    let (hours, minutes) = (two(hours)?, two(minutes)?);
    let total = hours * 60 + minutes;
    (minutes < 60 && total <= DAY_MINUTES).then_some(total)
}

fn show(minutes: u16) -> String {
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

/// A window as one would write it in the file, its days by name.
pub(crate) fn show_window(window: &Window) -> String {
    let named = DAYS.iter().zip(window.days).filter(|(_, on)| *on).map(|(day, _)| *day);
    let days =
        if window.days == [true; 7] { "*".into() } else { named.collect::<Vec<_>>().join(",") };
    format!("{days} {}-{}", show(window.from), show(window.to))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(text: &str) -> String {
        let window = window(&format!("{text} 00:00-24:00")).expect("these are days");
        window.days.iter().map(|on| if *on { 'x' } else { '.' }).collect()
    }

    #[test]
    fn days_are_lists_of_ranges_that_may_go_over_the_weekend() {
        for (text, expected) in [
            ("*", "xxxxxxx"),
            ("mon-fri", "xxxxx.."),
            ("mon,wed", "x.x...."),
            ("sun", "......x"),
            ("fri-mon", "x...xxx"),
            ("mon-tue,thu,sat-sun", "xx.x.xx"),
            ("wed-wed", "..x...."),
        ] {
            assert_eq!(days(text), expected, "{text}");
        }
    }

    #[test]
    fn every_set_of_days_reads_as_it_shows() {
        for set in 1..128_u32 {
            let days = std::array::from_fn(|day| set >> day & 1 == 1);
            let one = Window { days, from: 9, to: 1440 };
            assert_eq!(window(&show_window(&one)), Ok(one));
        }
    }

    #[test]
    fn times_are_minutes_of_one_day() {
        let at = |text| window(text).map(|window| (window.from, window.to));
        assert_eq!(at("* 09:00-17:30"), Ok((540, 1050)));
        assert_eq!(at("* 00:00-24:00"), Ok((0, 1440)));
        assert_eq!(at("*  23:59-24:00"), Ok((1439, 1440)));
        for text in [
            "",
            "*",
            "* ",
            "* 09:00",
            "* 9:00-17:00",
            "* 09:00-17:60",
            "* 00:00-24:01",
            "* 25:00-26:00",
            "* 09:00-09:00",
            "* 22:00-02:00",
            "monday 09:00-17:00",
            "mon- 09:00-17:00",
            "Mon 09:00-17:00",
            ",mon 09:00-17:00",
            "mon,*  09:00-17:00",
            "* +9:00-17:00",
            "* 09:00 - 17:00",
        ] {
            assert!(window(text).is_err(), "{text:?}");
        }
        assert!(window("* 22:00-02:00").unwrap_err().help.unwrap().contains("22:00-24:00"));
        assert!(window("mno 09:00-17:00").unwrap_err().help.unwrap().contains("mon"));
    }
}
