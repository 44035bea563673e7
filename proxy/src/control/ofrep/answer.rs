//! What an application asks and what it is told, in OFREP's words.

use axum::http::{HeaderMap, StatusCode};
use gnomon_flags::{
    ErrorCode, Flag, FlagIx, FlagSet, JsonContext, Reason, Resolution,
    context::TARGETING_KEY,
    frozen::{self, Frozen},
    set::Memberships,
};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

/// Why a request is not answered with what its flags come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Flaw {
    pub(super) status: StatusCode,
    /// In OpenFeature's words, where they have one for it.
    pub(super) code: Option<ErrorCode>,
    pub(super) details: String,
}

impl Flaw {
    pub(super) fn new(status: StatusCode, details: impl Into<String>) -> Self {
        Self { status, code: None, details: details.into() }
    }

    /// What was sent is not as it has to be.
    pub(super) fn of(code: ErrorCode, details: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code: Some(code), details: details.into() }
    }

    /// The body that says so. `key` is the flag that was asked for.
    pub(super) fn body(&self, key: Option<&str>) -> Vec<u8> {
        json(&Fault { key, error_code: self.code, error_details: &self.details, metadata: None })
    }
}

/// What an application says of its user.
#[derive(Debug, Default)]
pub(super) struct Asked {
    said: Map<String, Value>,
    /// What the router decided for the same request, if that is told and believed.
    frozen: Option<Frozen>,
    /// Whether something of that kind was told at all.
    is_told: bool,
}

impl Asked {
    /// Understands a request: its body, and those of its fields that say something of its user. What
    /// they say wins.
    pub(super) fn read(
        set: &FlagSet,
        headers: &HeaderMap,
        body: &[u8],
        now: u64,
    ) -> Result<Self, Flaw> {
        let mut said = context(body)?;
        let terms = set.terms();
        let fields = terms.ofrep.iter().flat_map(|ofrep| &ofrep.headers);
        for (field, attribute) in fields {
            if let Some(value) = headers.get(&**field) {
                let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
                said.insert(attribute.to_string(), Value::String(value));
            }
        }
        let field = terms.header.as_ref().and_then(|header| headers.get(&**header));
        let is_told = field.is_some();
        let frozen = field.and_then(|text| frozen::read(set, text.as_bytes(), now).ok());
        // What was decided for another user is not for this one.
        let context = JsonContext { terms, said: &said };
        let frozen = frozen.filter(|frozen| frozen.is_of(set, &context));
        Ok(Self { said, frozen, is_told })
    }

    /// Whether what the router decided is believed, if that was told.
    pub(super) fn is_believed(&self) -> Option<bool> {
        self.is_told.then_some(self.frozen.is_some())
    }

    /// What a flag comes to: as the router decided, if it did.
    pub(super) fn resolve(
        &self,
        set: &FlagSet,
        flag: FlagIx,
        now: u64,
        memberships: &Memberships,
    ) -> Resolution {
        if let Some(known) = self.frozen.as_ref().and_then(|frozen| frozen.get(flag)) {
            return known;
        }
        let context = JsonContext { terms: set.terms(), said: &self.said };
        set.evaluate_with(flag, &context, now, memberships)
    }

    /// All that an answer may depend on beside the set, as bytes.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = json(&self.said);
        for (flag, resolution) in self.frozen.iter().flat_map(Frozen::all) {
            bytes.extend_from_slice(format!("{flag:?}{resolution:?}").as_bytes());
        }
        bytes
    }
}

/// The context that a body has. One without a context is of nobody.
fn context(body: &[u8]) -> Result<Map<String, Value>, Flaw> {
    let parsed: Value = serde_json::from_slice(body).map_err(|error| {
        let details = format!("the body is not understood: {error}; say {EXAMPLE}");
        Flaw::of(ErrorCode::ParseError, details)
    })?;
    let Value::Object(mut parsed) = parsed else {
        let details = format!("the body is not an object; say {EXAMPLE}");
        return Err(Flaw::of(ErrorCode::ParseError, details));
    };
    let invalid =
        |what: &str| Flaw::of(ErrorCode::InvalidContext, format!("{what}; say {EXAMPLE}"));
    let said = match parsed.remove("context") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(said)) => said,
        Some(_) => return Err(invalid("`context` is not an object")),
    };
    match said.get(TARGETING_KEY) {
        None | Some(Value::Null | Value::String(_)) => Ok(said),
        Some(_) => Err(invalid("`context.targetingKey` is not a text")),
    }
}

/// What is said of one flag.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Answer<'a> {
    Came(Outcome<'a>),
    Failed(Fault<'a>),
}

/// What a flag came to.
#[derive(Debug, Serialize)]
pub(super) struct Outcome<'a> {
    key: &'a str,
    /// Absent, applications use the value that they have in their code.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a Value>,
    reason: Reason,
    /// Empty without a value: some providers fail where it is absent.
    variant: &'a str,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "scalars")]
    metadata: Option<&'a Map<String, Value>>,
}

/// Why a flag came to nothing.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Fault<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<ErrorCode>,
    error_details: &'a str,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "scalars")]
    metadata: Option<&'a Map<String, Value>>,
}

/// What is said of a flag that came to this. Where something went wrong, that is said, whatever else
/// is known.
pub(super) fn of(flag: &Flag, resolution: Resolution) -> Answer<'_> {
    let metadata = Some(&flag.metadata).filter(|metadata| !metadata.is_empty());
    let key = &*flag.name;
    if let Some(code) = resolution.error {
        return Answer::Failed(Fault {
            key: Some(key),
            error_code: Some(code),
            error_details: explain(code),
            metadata,
        });
    }
    let variant = resolution.variant.and_then(|at| flag.variants.get(usize::from(at)));
    Answer::Came(Outcome {
        key,
        value: variant.map(|variant| &variant.value),
        reason: resolution.reason,
        variant: variant.map_or("", |variant| &variant.name),
        metadata,
    })
}

impl Answer<'_> {
    /// The status that it has on its own.
    pub(super) const fn status(&self) -> StatusCode {
        match self {
            Self::Came(_) => StatusCode::OK,
            Self::Failed(fault) => match fault.error_code {
                Some(ErrorCode::FlagNotFound) => StatusCode::NOT_FOUND,
                _ => StatusCode::BAD_REQUEST,
            },
        }
    }
}

const fn explain(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::FlagNotFound => "there is no such flag",
        ErrorCode::ParseError => "the flag's rule cannot be read",
        ErrorCode::TargetingKeyMissing => {
            "the flag draws among users, and `context.targetingKey` does not say who this is"
        }
        ErrorCode::InvalidContext => "the flag's rule makes no sense with this context",
        ErrorCode::General => "the flag cannot be evaluated",
    }
}

/// All flags, and how to hear of changes.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct All<'a> {
    pub(super) flags: Vec<Answer<'a>>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "scalars")]
    pub(super) metadata: Option<&'a Map<String, Value>>,
    pub(super) event_streams: [Stream; 1],
}

/// Where changes are told.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Stream {
    r#type: &'static str,
    endpoint: Endpoint,
    inactivity_delay_sec: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Endpoint {
    request_uri: String,
}

impl Stream {
    /// At this path and query of whatever origin was asked.
    pub(super) const fn at(request_uri: String) -> Self {
        Self {
            r#type: "sse",
            endpoint: Endpoint { request_uri },
            inactivity_delay_sec: INACTIVITY_SECONDS,
        }
    }
}

/// Metadata has single values; whatever else a file says is not told.
fn scalars<S: Serializer>(
    metadata: &Option<&Map<String, Value>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let all = metadata.iter().flat_map(|metadata| metadata.iter());
    let single = |value: &Value| !matches!(value, Value::Null | Value::Array(_) | Value::Object(_));
    serializer.collect_map(all.filter(|(_, value)| single(value)))
}

/// Bytes of a value whose keys are texts, which always can be written.
pub(super) fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

const EXAMPLE: &str = r#"{"context": {"targetingKey": "user-1"}}"#;
/// After so long without anybody looking, a page may close its stream.
const INACTIVITY_SECONDS: u64 = 120;
