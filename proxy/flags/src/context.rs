//! What rules may ask about whoever is to get a feature: a request, or what an application says.

use std::{borrow::Cow, net::IpAddr};

use gnomon_config::model::{Flags, Key, flag::Place};
use gnomon_wire::Request;
use serde_json::{Map, Value};

/// What rules may ask.
pub trait Context {
    /// Whether any of the values that stand at a place is as `test` says. Text is given as its bytes.
    fn any(&self, place: &Place, test: impl FnMut(&[u8]) -> bool) -> bool;

    /// What tells its user apart, by `by`. An empty value is none. An address is put into `buffer`.
    fn key<'k>(&'k self, by: &'k Place, buffer: &'k mut [u8; 16]) -> Option<Cow<'k, [u8]>>;

    /// The client's address, if it is known.
    fn client(&self) -> Option<IpAddr>;

    /// The value of a name, as rules of applications know it.
    fn attribute(&self, name: &str) -> Option<Attribute<'_>>;
}

/// A value of a name.
#[derive(Clone, Debug, PartialEq)]
pub enum Attribute<'a> {
    /// Text.
    Text(Cow<'a, str>),
    /// Anything.
    Json(&'a Value),
}

/// Name under which rules know what tells users apart.
pub const TARGETING_KEY: &str = "targetingKey";

/// A request as a context.
#[derive(Clone, Copy, Debug)]
pub struct RequestContext<'a> {
    /// What names mean.
    pub terms: &'a Flags,
    /// The request.
    pub request: Request<'a>,
    /// Who it comes from.
    pub client: IpAddr,
    /// Verified claims, if there are any.
    pub claims: Option<&'a Map<String, Value>>,
}

impl<'a> RequestContext<'a> {
    fn claim(&self, name: &str) -> Option<&'a Value> {
        named(self.claims?, name)
    }

    /// What stands at a place as it is; neither an address nor a claim does.
    fn text(&self, place: &Place) -> Option<&'a [u8]> {
        let request = self.request;
        match place {
            Place::Key(Key::Cookie(name)) => request.cookie(name),
            Place::Key(Key::Header(name)) => request.values(name).next(),
            Place::Key(Key::Query(name)) => request.query_value(name),
            Place::Key(Key::ClientIp) | Place::Claim(_) => None,
            Place::Host => Some(request.host()),
            Place::Path => Some(request.path()),
            Place::Method => Some(request.method()),
        }
    }
}

impl Context for RequestContext<'_> {
    fn any(&self, place: &Place, mut test: impl FnMut(&[u8]) -> bool) -> bool {
        let request = self.request;
        match place {
            Place::Key(Key::Cookie(name)) => request.cookie(name).is_some_and(test),
            Place::Key(Key::Header(name)) => request.values(name).any(test),
            Place::Key(Key::Query(name)) => request.query_value(name).is_some_and(test),
            Place::Key(Key::ClientIp) => test(self.client.to_canonical().to_string().as_bytes()),
            Place::Claim(name) => any_of(self.claim(name), test),
            Place::Host => test(request.host()),
            Place::Path => test(request.path()),
            Place::Method => test(request.method()),
        }
    }

    fn key<'k>(&'k self, by: &'k Place, buffer: &'k mut [u8; 16]) -> Option<Cow<'k, [u8]>> {
        let value = match by {
            Place::Key(Key::ClientIp) => Some(Cow::Borrowed(octets(self.client, buffer))),
            Place::Claim(name) => self.claim(name).and_then(text_of).map(bytes_of),
            Place::Key(_) | Place::Host | Place::Path | Place::Method => {
                self.text(by).map(Cow::Borrowed)
            }
        };
        value.filter(|value| !value.is_empty())
    }

    fn client(&self) -> Option<IpAddr> {
        Some(self.client.to_canonical())
    }

    fn attribute(&self, name: &str) -> Option<Attribute<'_>> {
        let known = self.terms.context.iter().find(|(known, _)| **known == *name);
        let place = match known {
            Some((_, place)) => place,
            None if name == TARGETING_KEY => self.terms.by.as_ref()?,
            None => return None,
        };
        match place {
            Place::Claim(claim) => self.claim(claim).map(Attribute::Json),
            Place::Key(Key::ClientIp) => {
                Some(Attribute::Text(Cow::Owned(self.client.to_canonical().to_string())))
            }
            Place::Key(_) | Place::Host | Place::Path | Place::Method => {
                let value = self.text(place)?;
                Some(Attribute::Text(String::from_utf8_lossy(value)))
            }
        }
    }
}

/// What an application says of its user as a context.
///
/// A place of a request is known by its own name (`header:x-staff`), by any name that `flags.context`
/// has for it, and `flags.by` as `targetingKey`.
#[derive(Clone, Copy, Debug)]
pub struct JsonContext<'a> {
    /// What names mean.
    pub terms: &'a Flags,
    /// What the application says.
    pub said: &'a Map<String, Value>,
}

impl<'a> JsonContext<'a> {
    fn at(&self, place: &Place) -> Option<&'a Value> {
        let by_name = || {
            let mut names = self.terms.context.iter().filter(|(_, known)| known == place);
            names.find_map(|(name, _)| self.said.get(&**name))
        };
        let by_key = || {
            let is_key = self.terms.by.as_ref() == Some(place);
            is_key.then(|| self.said.get(TARGETING_KEY)).flatten()
        };
        self.said.get(&name_of(place)).or_else(by_name).or_else(by_key)
    }
}

impl Context for JsonContext<'_> {
    fn any(&self, place: &Place, test: impl FnMut(&[u8]) -> bool) -> bool {
        any_of(self.at(place), test)
    }

    fn key<'k>(&'k self, by: &'k Place, buffer: &'k mut [u8; 16]) -> Option<Cow<'k, [u8]>> {
        let text = text_of(self.at(by)?)?;
        let value = match by {
            Place::Key(Key::ClientIp) => Cow::Borrowed(octets(text.parse().ok()?, buffer)),
            Place::Key(_) | Place::Claim(_) | Place::Host | Place::Path | Place::Method => {
                bytes_of(text)
            }
        };
        Some(value).filter(|value| !value.is_empty())
    }

    fn client(&self) -> Option<IpAddr> {
        let client: IpAddr = self.at(&Place::Key(Key::ClientIp))?.as_str()?.parse().ok()?;
        Some(client.to_canonical())
    }

    fn attribute(&self, name: &str) -> Option<Attribute<'_>> {
        self.said.get(name).map(Attribute::Json)
    }
}

/// How a place is written: `header:x-staff`, `client_ip`.
#[must_use]
pub fn name_of(place: &Place) -> String {
    match place {
        Place::Key(Key::Cookie(name)) => format!("cookie:{name}"),
        Place::Key(Key::Header(name)) => format!("header:{name}"),
        Place::Key(Key::Query(name)) => format!("query:{name}"),
        Place::Key(Key::ClientIp) => "client_ip".to_owned(),
        Place::Claim(name) => format!("claim:{name}"),
        Place::Host => "host".to_owned(),
        Place::Path => "path".to_owned(),
        Place::Method => "method".to_owned(),
    }
}

/// What stands at a dotted name, or under the name as it is.
fn named<'a>(map: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    if let Some(value) = map.get(name) {
        return Some(value);
    }
    let mut parts = name.split('.');
    let first = map.get(parts.next()?)?;
    parts.try_fold(first, |value, part| value.get(part))
}

/// Whether a value, or any value of a list, is as `test` says.
fn any_of(value: Option<&Value>, mut test: impl FnMut(&[u8]) -> bool) -> bool {
    match value {
        None => false,
        Some(Value::Array(values)) => {
            values.iter().filter_map(text_of).any(|text| test(text.as_bytes()))
        }
        Some(value) => text_of(value).is_some_and(|text| test(text.as_bytes())),
    }
}

/// A single value as text.
fn text_of(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Number(_) | Value::Bool(_) => Some(Cow::Owned(value.to_string())),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn bytes_of(text: Cow<'_, str>) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

/// The address in network order, IPv4 mapped into IPv6 as IPv4.
fn octets(address: IpAddr, buffer: &mut [u8; 16]) -> &[u8] {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            buffer[..4].copy_from_slice(&v4.octets());
            &buffer[..4]
        }
        IpAddr::V6(v6) => {
            *buffer = v6.octets();
            buffer
        }
    }
}
