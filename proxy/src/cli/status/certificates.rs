//! The certificates that listeners show, and for how long they may.

use super::super::Paint;
use crate::control::api::{CertificateStatus, ListenerStatus};

/// A line for each. `now` is in seconds since 1970.
pub(super) fn shown(listeners: &[ListenerStatus], now: i64, paint: Paint) -> String {
    let mut text = String::new();
    let mut last = "";
    for listener in listeners {
        // A listener with several addresses shows the same at each.
        if listener.name == last {
            continue;
        }
        last = &listener.name;
        for certificate in &listener.certificates {
            text.push_str(&line(&listener.name, certificate, now, paint));
        }
    }
    text
}

fn line(listener: &str, it: &CertificateStatus, now: i64, paint: Paint) -> String {
    let more = it.names.len().saturating_sub(NAMES_SHOWN);
    let mut names = it.names.iter().take(NAMES_SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if more > 0 {
        names.push_str(&format!(" and {more} more"));
    }
    let day = jiff::Timestamp::from_second(it.not_after).unwrap_or_default();
    let day = day.strftime("%Y-%m-%d");
    let left = (it.not_after - now).div_euclid(DAY_SECONDS);
    let until = match left {
        ..0 => paint.red(&format!("▼ expired on {day}")),
        0..14 => paint.yellow(&format!("▲ until {day}, {left} d")),
        _ => format!("until {day}, {left} d"),
    };
    format!("cert     {listener} {names}   {}   {until}\n", it.subject)
}

/// Names of one certificate that a line has room for.
const NAMES_SHOWN: usize = 4;
const DAY_SECONDS: i64 = 86_400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_says_how_long_it_has() {
        let names: Vec<String> = ["a", "b", "c", "d", "e"].map(str::to_owned).into();
        let certificate = |days: i64| CertificateStatus {
            subject: "CN=a".to_owned(),
            issuer: "CN=root".to_owned(),
            names: names.clone(),
            not_after: (20_000 + days) * DAY_SECONDS,
        };
        let listener = |name: &str, certificates| ListenerStatus {
            name: name.to_owned(),
            address: "127.0.0.1:443".to_owned(),
            certificates,
        };
        let all = [90, 13, -1].map(certificate).to_vec();
        let listeners =
            [listener("plain", Vec::new()), listener("https", all.clone()), listener("https", all)];
        let text = shown(&listeners, 20_000 * DAY_SECONDS, Paint::PLAIN);
        let expected = "\
            cert     https a, b, c, d and 1 more   CN=a   until 2025-01-02, 90 d\n\
            cert     https a, b, c, d and 1 more   CN=a   ▲ until 2024-10-17, 13 d\n\
            cert     https a, b, c, d and 1 more   CN=a   ▼ expired on 2024-10-03\n";
        assert_eq!(text, expected);
    }
}
