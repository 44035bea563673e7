//! What was kept is compared, and what was not is not.

use gnomon_config::model::{Redact, RedactStyle};

use super::*;
use crate::{
    difference::Kind,
    exchange::Asked,
    redact::{Raw, Redactor},
};

const JSON: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nset-cookie: s=SECRET77\r\n\r\n";
const TEXT: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 9\r\n\r\n";

fn reply(head: &str, body: &[u8]) -> Reply {
    let bytes = Bytes::copy_from_slice(body);
    let body = Body { length: bytes.len() as u64, bytes, hash: None };
    Reply { head: Bytes::copy_from_slice(head.as_bytes()), body }
}

/// What is found by comparing `new` with `old` as it is recorded.
fn found(style: RedactStyle, old: &Reply, new: &Reply) -> (Vec<(String, Kind)>, bool) {
    let redact = Redact { style, ..Redact::default() };
    let request = Asked {
        head: "GET / HTTP/1.1\r\nauthorization: Bearer SECRET42\r\n\r\n".into(),
        body: Bytes::new(),
    };
    let raw = Raw { request: &request, primary: old, shadow: &Reply::default(), found: &[] };
    let recorded = Redactor::new(&redact, [3; 32]).keeping_all().clean(&raw).primary;
    let recheck = Recheck::new(&Compare::default(), &Rules::of(&redact));
    let Rechecked { differences, is_partial } = recheck.compare(&recorded, new);
    (differences.iter().map(|it| (it.path.to_string(), it.kind)).collect(), is_partial)
}

#[test]
fn equal_replies_are_equal_whatever_was_taken_out() {
    let bodies: [(&str, &[u8]); 6] = [
        (JSON, br#"{"a":1.10,"token":"SECRET99","list":[{"password":5,"b":"for SECRET42"}]}"#),
        (JSON, br#"{"f":0.12345678901234567,"big":123456789012345678901234567890}"#),
        (TEXT, b"hello SECRET42, and SECRET42 again"),
        (TEXT, b"1.10"),
        (TEXT, b"\x00\x01 no text"),
        (TEXT, b""),
    ];
    for style in [RedactStyle::Hash, RedactStyle::Mask, RedactStyle::Drop] {
        for (head, body) in bodies {
            let reply = reply(head, body);
            assert_eq!(found(style, &reply, &reply).0, [], "{style:?} {reply:?}");
        }
    }
}

#[test]
fn other_secrets_are_no_difference_and_other_values_are() {
    let old = reply(JSON, br#"{"token":"SECRET99","text":"for SECRET42","a":1,"b":[1]}"#);
    let head = JSON.replace("SECRET77", "OTHER");
    let new = reply(&head, br#"{"b":[2],"token":"NEW","text":"for NEW","a":"1"}"#);
    let (differences, is_partial) = found(RedactStyle::Hash, &old, &new);
    let want = [("$.a".to_owned(), Kind::Type), ("$.b[*]".to_owned(), Kind::Value)];
    assert_eq!((&differences[..], is_partial), (&want[..], true));
    let new = reply(TEXT, b"hello NEW!");
    assert_eq!(found(RedactStyle::Hash, &reply(TEXT, b"hello SECRET42!"), &new).0, []);
    assert_eq!(found(RedactStyle::Hash, &reply(TEXT, b"bye SECRET42!"), &new).0.len(), 1);
}

#[test]
fn of_a_body_that_was_not_kept_the_length_is_compared() {
    let (old, same) = (reply(TEXT, b"\x00abc"), reply(TEXT, b"\x00xyz"));
    assert_eq!(found(RedactStyle::Hash, &old, &same), (Vec::new(), true));
    let longer = reply(TEXT, b"\x00abcd");
    let want = vec![("body".to_owned(), Kind::Length)];
    assert_eq!(found(RedactStyle::Hash, &old, &longer).0, want);
}

#[test]
fn the_status_and_fields_are_compared() {
    let new = reply("HTTP/1.1 500 Oops\r\ncontent-type: text/html\r\n\r\n", b"hello");
    let (differences, _) = found(RedactStyle::Hash, &reply(TEXT, b"hello"), &new);
    let paths: Vec<&str> = differences.iter().map(|(path, _)| path.as_str()).collect();
    assert!(paths.starts_with(&["status", "header.content-type"]), "{paths:?}");
}

#[test]
fn stand_ins_are_found() {
    assert_eq!(stand_in("a #0123456789ab b"), Some((2, 13)));
    assert_eq!(stand_in("#1 *** #0123456789ab"), Some((3, 3)));
    assert_eq!(stand_in("#0123456789a"), None);
    assert!(fits("a #0123456789ab b *** c", "a x b y c"));
    assert!(!fits("a #0123456789ab b", "a x c"));
}
