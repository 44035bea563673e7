//! `gnomon events`: what has happened lately, and what happens.

use super::{FAILED, Failure, Paint, arguments::EventsArguments, live::Door};
use crate::{
    clock,
    control::{
        api::{Page, series::Entry},
        ctl,
    },
};

/// Shows the newest entries of the journal, and goes on if that is asked for.
pub(super) fn events(door: &Door, arguments: &EventsArguments) -> Result<(), Failure> {
    let limit = arguments.last.max(1);
    let page: Page<Entry> = door.read(&format!("/v1/journal?limit={limit}"))?;
    let newest = page.items.first().map_or(0, |entry| entry.id);
    let mut shown = Page { items: page.items, ..page };
    shown.items.truncate(usize::from(arguments.last));
    if door.json && !arguments.follow {
        return door.console.json(&shown);
    }
    let today = clock::wall().as_secs() / DAY;
    for entry in shown.items.iter().rev() {
        show(door, entry, today)?;
    }
    if !arguments.follow {
        return Ok(());
    }
    follow(door, newest)
}

/// Shows what comes, until nobody tells any more.
fn follow(door: &Door, mut newest: u64) -> Result<(), Failure> {
    let socket = door.socket();
    let mut failed = None;
    let ended = ctl::listen(&socket, "/v1/events", newest, |event, data| {
        if event != "entry" {
            return true;
        }
        let Ok(entry) = serde_json::from_str::<Entry>(data) else { return true };
        if entry.id <= newest {
            return true;
        }
        newest = entry.id;
        failed = show(door, &entry, clock::wall().as_secs() / DAY).err();
        failed.is_none()
    });
    if let Some(failed) = failed {
        return Err(failed);
    }
    ended.map_err(|failure| Failure::call(failure, &socket))?;
    Err(Failure::new(FAILED, "the proxy has ended, or another has taken its place")
        .help("say it again to go on"))
}

fn show(door: &Door, entry: &Entry, today: u64) -> Result<(), Failure> {
    if door.json {
        let line = serde_json::to_string(entry);
        let line = line.map_err(|error| Failure::new(FAILED, error.to_string()))?;
        return door.console.line(line);
    }
    door.console.line(render(entry, today, door.console.paint()))
}

/// One in a line; the date where it is not today's.
fn render(entry: &Entry, today: u64, paint: Paint) -> String {
    let seconds = entry.at / 1000;
    let (day, time) = moment(seconds);
    let when = if seconds / DAY == today { time } else { format!("{day} {time}") };
    let subject = entry.subject.as_ref().map_or_else(String::new, |it| format!("{it}: "));
    let text = entry.text.replace('\n', "\n    ");
    let text = if entry.failed { paint.red(&text) } else { text };
    let why = entry.reason.as_ref().map_or_else(String::new, |why| format!(": {why}"));
    let by = format!("({}{why})", entry.by);
    format!("{when} {:<8} {}{text} {}", entry.kind, paint.bold(&subject), paint.dim(&by))
}

/// The day and the time of day, in UTC.
fn moment(seconds: u64) -> (String, String) {
    let at = i64::try_from(seconds).ok().and_then(|at| jiff::Timestamp::from_second(at).ok());
    let at = at.unwrap_or_default();
    (at.strftime("%Y-%m-%d").to_string(), at.strftime("%H:%M:%SZ").to_string())
}

const DAY: u64 = 86_400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_one_line_with_who_and_why() {
        let entry = Entry {
            at: 1_795_440_831_520,
            kind: "split".to_owned(),
            subject: Some("shop".to_owned()),
            text: "v2 20 % -> 30 %".to_owned(),
            by: "ann".to_owned(),
            reason: Some("looks good".to_owned()),
            ..Entry::default()
        };
        let expected = "13:33:51Z split    shop: v2 20 % -> 30 % (ann: looks good)";
        assert_eq!(render(&entry, entry.at / 1000 / DAY, Paint::PLAIN), expected);
        let other = render(&entry, 0, Paint::PLAIN);
        assert_eq!(other, format!("2026-11-23 {expected}"));
    }
}
