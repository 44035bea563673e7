//! A token in the compact form of RFC 7515, taken apart as strictly as that allows.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value};

use super::keys::Algorithm;

/// The parts of a token, as they stand there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts<'a> {
    /// All that the signature is of.
    pub(super) signed: &'a [u8],
    header: &'a [u8],
    payload: &'a [u8],
    pub(super) signature: &'a [u8],
}

/// What a header chooses.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) algorithm: Algorithm,
    /// Name of a key.
    pub(super) key: Option<String>,
}

/// What is read of a header. Of names that are said twice, serde takes neither.
#[derive(Deserialize)]
struct Written {
    alg: String,
    kid: Option<String>,
    /// What has to be understood (RFC 7515, 4.1.11); we understand nothing beside the above.
    #[serde(default, deserialize_with = "is_there")]
    crit: bool,
    /// The token is enciphered (RFC 7516), and so is what we would believe.
    #[serde(default, deserialize_with = "is_there")]
    enc: bool,
    /// It is compressed: what is small here may be large there.
    #[serde(default, deserialize_with = "is_there")]
    zip: bool,
}

fn is_there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

impl<'a> Parts<'a> {
    /// Three parts, none of them empty: an unsigned token has an empty third.
    pub(super) fn of(token: &'a [u8]) -> Option<Self> {
        let mut parts = token.split(|byte| *byte == b'.');
        let (header, payload, signature) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() || [header, payload, signature].iter().any(|it| it.is_empty()) {
            return None;
        }
        let signed = token.get(..header.len() + 1 + payload.len())?;
        Some(Self { signed, header, payload, signature })
    }

    /// What the header chooses, if that is anything we know.
    pub(super) fn header(&self) -> Option<Header> {
        let written: Written = serde_json::from_slice(&decode(self.header)?).ok()?;
        if written.crit || written.enc || written.zip {
            return None;
        }
        Some(Header { algorithm: Algorithm::named(&written.alg)?, key: written.kid })
    }

    /// The claims. None if a name stands twice anywhere, since others might read the other.
    pub(super) fn claims(&self) -> Option<Map<String, Value>> {
        let text = decode(self.payload)?;
        let mut reader = serde_json::Deserializer::from_slice(&text);
        let Value::Object(claims) = Unique.deserialize(&mut reader).ok()? else { return None };
        reader.end().ok()?;
        (claims.len() <= CLAIMS_MAX).then_some(claims)
    }
}

/// The bytes of a part: without padding, line ends or stray bits, so that there is one form of each.
pub(super) fn decode(part: &[u8]) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(part).ok()
}

/// The whole seconds of a time since 1970. What lies before is 1970.
pub(super) fn seconds(value: &Value) -> Option<u64> {
    let number = value.as_number()?;
    if let Some(whole) = number.as_u64() {
        return Some(whole);
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a conversion of a float ends at the bounds"
    )]
    number.as_f64().map(|time| time as u64)
}

/// Any JSON value in which no name stands twice beside itself.
struct Unique;

impl<'de> DeserializeSeed<'de> for Unique {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Unique {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("no number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut all = Vec::new();
        while let Some(item) = items.next_element_seed(Self)? {
            all.push(item);
        }
        Ok(Value::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut all = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            let value = entries.next_value_seed(Self)?;
            if all.insert(name, value).is_some() {
                return Err(A::Error::custom("a name stands twice"));
            }
        }
        Ok(Value::Object(all))
    }
}

/// Claims of a token at most; those of large providers have thirty.
const CLAIMS_MAX: usize = 64;

#[cfg(test)]
pub(super) fn encode(part: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(part)
}
