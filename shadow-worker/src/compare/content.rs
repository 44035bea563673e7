//! What a body is, by its content type.

use gnomon_wire::Response;

/// As what a body can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Json,
    Text,
    Bytes,
}

impl Form {
    /// What the content type says, if there is one.
    pub(super) fn of(response: &Response<'_>) -> Option<Self> {
        let value = response.values("content-type").next()?;
        let essence = value.split(|byte| *byte == b';').next().unwrap_or_default();
        let essence = essence.trim_ascii().to_ascii_lowercase();
        if essence.is_empty() {
            return None;
        }
        let is = |names: &[&[u8]]| names.contains(&&*essence);
        Some(if is(JSON) || essence.ends_with(b"+json") {
            Self::Json
        } else if essence.starts_with(b"text/") || is(TEXT) || essence.ends_with(b"+xml") {
            Self::Text
        } else {
            Self::Bytes
        })
    }

    /// What a body without a content type looks like.
    pub(super) fn guess(body: &[u8]) -> Self {
        match body.trim_ascii_start().first() {
            Some(b'{' | b'[') => Self::Json,
            _ => Self::Bytes,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Text => "text",
            Self::Bytes => "bytes",
        }
    }
}

const JSON: &[&[u8]] = &[b"application/json", b"text/json"];

const TEXT: &[&[u8]] = &[
    b"application/ecmascript",
    b"application/javascript",
    b"application/ndjson",
    b"application/x-javascript",
    b"application/x-ndjson",
    b"application/x-www-form-urlencoded",
    b"application/xml",
    b"application/yaml",
];
