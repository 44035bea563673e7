//! An example of a finding as a document: to look at, to hand on, and to ask both versions again.
//!
//! Everything in it has been redacted; it may be attached to a ticket.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::text;

/// One exchange, the two replies to it, and what differs. Version 1 of the format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    /// Version of the format: 1.
    pub gnomon_bundle: u32,
    /// The shadow's name in the configuration.
    pub name: String,
    /// What kind of request it is: method and path without identifiers.
    pub endpoint: String,
    /// Id of the finding that it is an example of.
    pub finding: String,
    /// When the replies were compared, in milliseconds since 1970.
    pub at: u64,
    /// The versions compared.
    pub versions: String,
    /// Hash of the configuration then in force.
    pub config: String,
    /// What was asked.
    pub request: Request,
    /// What the primary answered.
    pub primary: Answer,
    /// What the shadow answered.
    pub shadow: Answer,
    /// What differs between the two.
    pub differences: Vec<Unequal>,
}

/// A request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Its method.
    pub method: String,
    /// Its target, as it was sent.
    pub target: String,
    /// Its fields, in order.
    pub fields: Vec<Field>,
    /// Its body.
    pub body: Content,
}

/// A reply.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Its status; 0 where the head could not be read.
    pub status: u16,
    /// Its fields, in order.
    pub fields: Vec<Field>,
    /// Its body.
    pub body: Content,
}

/// A field of a head.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// As it was sent.
    pub name: String,
    /// As it was sent, or what takes its place.
    pub value: String,
    /// Whether something was taken out of the value.
    #[serde(default, skip_serializing_if = "is_false")]
    pub redacted: bool,
}

/// A body.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// How `data` is to be read.
    pub encoding: Encoding,
    /// The content, as much as is kept.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub data: String,
    /// Length of the body as it was sent, in bytes.
    pub length: u64,
    /// Keyed hash of what was captured, where nothing is kept: equal for equal bodies.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hash: String,
    /// Whether `data` is only the beginning.
    #[serde(default, skip_serializing_if = "is_false")]
    pub cut: bool,
    /// Whether something was taken out of it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub redacted: bool,
}

/// How the data of a body are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// As they are.
    #[default]
    Text,
    /// In base 64. Never written here, but read.
    Base64,
    /// Not at all.
    LeftOut,
}

/// One unequal thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unequal {
    /// Where.
    pub path: String,
    /// In what way: the name of a kind.
    pub kind: String,
    /// What it looks like apart from the values.
    pub shape: String,
    /// The primary's value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary: Option<String>,
    /// The shadow's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadow: Option<String>,
}

impl Bundle {
    /// The version of the format that is written.
    pub const VERSION: u32 = 1;

    /// Reads a bundle that somebody hands in.
    ///
    /// # Errors
    /// If it is too large, no bundle, of another version, or could not be sent as it is.
    pub fn parse(bytes: &[u8]) -> Result<Self, Flaw> {
        if bytes.len() > BUNDLE_MAX {
            return Err(Flaw::TooLarge);
        }
        let stamp: Stamp = serde_json::from_slice(bytes).map_err(|_| Flaw::NoBundle)?;
        if stamp.gnomon_bundle != Self::VERSION {
            return Err(Flaw::Version(stamp.gnomon_bundle));
        }
        let bundle: Self =
            serde_json::from_slice(bytes).map_err(|error| Flaw::Content(error.to_string()))?;
        bundle.request.check()?;
        Ok(bundle)
    }

    /// The request of this bundle, to be sent to `host` once more: HTTP/1.1, with a content length.
    /// Fields and query parameters of which something was taken out are left out, and those that
    /// belong to one connection.
    ///
    /// # Errors
    /// If the request is not one that can be sent, or its body was not kept in full.
    pub fn request_bytes(&self, host: &str) -> Result<Vec<u8>, Flaw> {
        self.request.to_bytes(host, &[])
    }
}

impl Request {
    /// The request, to be sent to `host` once more: HTTP/1.1, with a content length. Fields and
    /// query parameters of which something was taken out are left out, those that belong to one
    /// connection, and those that `more` says otherwise: names and values, added behind.
    ///
    /// # Errors
    /// If the request is not one that can be sent, or its body was not kept in full.
    pub fn to_bytes(&self, host: &str, more: &[(String, String)]) -> Result<Vec<u8>, Flaw> {
        self.check()?;
        if host.is_empty() || !host.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Flaw::Host);
        }
        let body = self.body.bytes()?;
        let mut out =
            format!("{} {} HTTP/1.1\r\nhost: {host}\r\n", self.method, sendable(&self.target));
        let is_said = |name: &str| more.iter().any(|(said, _)| said.eq_ignore_ascii_case(name));
        for field in &self.fields {
            let name = field.name.to_ascii_lowercase();
            if !field.redacted && !is_said(&name) && !CONNECTIONS_OWN.contains(&name.as_str()) {
                out.push_str(&format!("{}: {}\r\n", field.name, field.value));
            }
        }
        for (name, value) in more {
            out.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() || !matches!(self.method.as_str(), "GET" | "HEAD") {
            out.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        out.push_str("\r\n");
        let mut out = out.into_bytes();
        out.extend_from_slice(&body);
        Ok(out)
    }

    /// The first value of a field, unless something was taken out of it.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        let is_it = |field: &&Field| !field.redacted && field.name.eq_ignore_ascii_case(name);
        self.fields.iter().find(is_it).map(|field| field.value.as_str())
    }

    /// What is handed in goes to a server: nothing in it may end a line or a token early.
    pub(crate) fn check(&self) -> Result<(), Flaw> {
        if !is_token(&self.method) {
            return Err(Flaw::Method);
        }
        if self.target.is_empty() || self.target.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
            return Err(Flaw::Target);
        }
        if self.fields.len() > FIELDS_MAX {
            return Err(Flaw::TooLarge);
        }
        let is_safe =
            |value: &str| value.bytes().all(|byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f));
        match self.fields.iter().find(|field| !is_token(&field.name) || !is_safe(&field.value)) {
            Some(_) => Err(Flaw::Field),
            None => Ok(()),
        }
    }
}

impl Content {
    /// The body as bytes.
    ///
    /// # Errors
    /// If not all of it was kept, or its data are not what they should be.
    pub fn bytes(&self) -> Result<Vec<u8>, Flaw> {
        if self.cut {
            return Err(Flaw::Incomplete);
        }
        match self.encoding {
            Encoding::Text => Ok(self.data.clone().into_bytes()),
            Encoding::Base64 => text::base64(&self.data).ok_or(Flaw::Base64),
            Encoding::LeftOut if self.length == 0 => Ok(Vec::new()),
            Encoding::LeftOut => Err(Flaw::Incomplete),
        }
    }
}

/// Why a document is no bundle, or one that cannot be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// It is longer than [`BUNDLE_MAX`], or has too many fields.
    TooLarge,
    /// It is not JSON, or has no `gnomon_bundle`.
    NoBundle,
    /// It is of this version of the format.
    Version(u32),
    /// A member is missing or of the wrong type.
    Content(String),
    /// The method is no token.
    Method,
    /// The target is empty or has spaces or control characters.
    Target,
    /// A field's name is no token, or its value has control characters.
    Field,
    /// The host to send it to has characters that no host has.
    Host,
    /// The body's data are not base 64.
    Base64,
    /// The body was not kept in full.
    Incomplete,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => f.write_str("it is too large"),
            Self::NoBundle => f.write_str("it is no bundle"),
            Self::Version(other) => write!(f, "its format is version {other}, not 1"),
            Self::Content(why) => write!(f, "it is damaged: {why}"),
            Self::Method => f.write_str("its method is none"),
            Self::Target => f.write_str("its target is none"),
            Self::Field => f.write_str("one of its fields is malformed"),
            Self::Host => f.write_str("the host is malformed"),
            Self::Base64 => f.write_str("its body is not base 64"),
            Self::Incomplete => f.write_str("its body was not kept in full"),
        }
    }
}

impl std::error::Error for Flaw {}

/// Bytes of a bundle that are read: three bodies of the most that is kept, and their heads.
pub const BUNDLE_MAX: usize = 4 << 20;

/// Fields of a request that are sent.
const FIELDS_MAX: usize = 256;

/// Fields that we write ourselves, or that mean one connection only.
const CONNECTIONS_OWN: [&str; 9] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "upgrade",
    "te",
    "trailer",
    "expect",
];

#[derive(Deserialize)]
struct Stamp {
    gnomon_bundle: u32,
}

/// `target` without the parameters that were redacted, and with nothing in it that a target may
/// not have.
fn sendable(target: &str) -> String {
    let (path, query) = target.split_once('?').map_or((target, None), |(a, b)| (a, Some(b)));
    let kept = query.map(|query| {
        let is_whole = |pair: &&str| pair.split_once('=').is_none_or(|(_, v)| !is_stand_in(v));
        query.split('&').filter(is_whole).collect::<Vec<_>>().join("&")
    });
    let mut out = path.to_owned();
    if let Some(kept) = kept.filter(|kept| !kept.is_empty()) {
        out.push('?');
        out.push_str(&kept);
    }
    text::visible(&out)
}

/// Whether this is what a redacted value looks like.
fn is_stand_in(value: &str) -> bool {
    value.starts_with('#') || value == text::MASK
}

fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_false(value: &bool) -> bool {
    !*value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle() -> Bundle {
        let field = |name: &str, value: &str| Field {
            name: name.into(),
            value: value.into(),
            redacted: false,
        };
        let mut secret = field("authorization", "#0123456789ab");
        secret.redacted = true;
        Bundle {
            gnomon_bundle: 1,
            name: "next".into(),
            endpoint: "POST /carts/{}".into(),
            finding: "f00d".into(),
            at: 1_700_000_000_000,
            versions: "v1 v2".into(),
            config: "abc".into(),
            request: Request {
                method: "POST".into(),
                target: "/carts/7?token=#0123456789ab&a=b".into(),
                fields: vec![field("Accept", "*/*"), secret, field("Connection", "close")],
                body: Content { data: "{}".into(), length: 2, ..Content::default() },
            },
            primary: Answer { status: 200, ..Answer::default() },
            shadow: Answer { status: 500, ..Answer::default() },
            differences: Vec::new(),
        }
    }

    #[test]
    fn a_bundle_survives_a_round_trip() {
        let text = serde_json::to_vec(&bundle()).unwrap();
        assert_eq!(Bundle::parse(&text).unwrap(), bundle());
    }

    #[test]
    fn a_request_is_sent_again_without_what_was_redacted() {
        let sent = String::from_utf8(bundle().request_bytes("127.0.0.1:80").unwrap()).unwrap();
        assert_eq!(
            sent,
            "POST /carts/7?a=b HTTP/1.1\r\nhost: 127.0.0.1:80\r\nAccept: */*\r\n\
             content-length: 2\r\n\r\n{}"
        );
    }

    #[test]
    fn what_could_smuggle_is_refused() {
        let spoil = |spoil: fn(&mut Bundle)| {
            let mut bundle = bundle();
            spoil(&mut bundle);
            Bundle::parse(&serde_json::to_vec(&bundle).unwrap()).unwrap_err()
        };
        assert_eq!(spoil(|b| b.request.method = "GET /".into()), Flaw::Method);
        assert_eq!(spoil(|b| b.request.target = "/ HTTP/1.1\r\nx: y".into()), Flaw::Target);
        assert_eq!(spoil(|b| b.request.fields[0].value = "a\r\nb: c".into()), Flaw::Field);
        assert_eq!(spoil(|b| b.request.fields[0].name = "a b".into()), Flaw::Field);
        assert_eq!(spoil(|b| b.gnomon_bundle = 2), Flaw::Version(2));
        assert_eq!(bundle().request_bytes("a\r\n"), Err(Flaw::Host));
        assert_eq!(Bundle::parse(b"[]"), Err(Flaw::NoBundle));
        assert_eq!(Bundle::parse(&vec![b' '; BUNDLE_MAX + 1]), Err(Flaw::TooLarge));
        assert!(matches!(Bundle::parse(b"{\"gnomon_bundle\":1}"), Err(Flaw::Content(_))));
    }

    #[test]
    fn bodies_come_as_text_or_base_64_or_not_at_all() {
        let mut bundle = bundle();
        bundle.request.body = Content { encoding: Encoding::Base64, ..Content::default() };
        bundle.request.body.data = "AP8=".into();
        assert!(bundle.request_bytes("h").unwrap().ends_with(b"\r\n\r\n\x00\xff"));
        bundle.request.body.data = "A".into();
        assert_eq!(bundle.request_bytes("h"), Err(Flaw::Base64));
        bundle.request.body.encoding = Encoding::LeftOut;
        bundle.request.body.length = 9;
        assert_eq!(bundle.request_bytes("h"), Err(Flaw::Incomplete));
    }
}
