//! Who a client is by its certificate, as origins are told.
//!
//! Pure. What is told can't end a field early nor pass for another subject: everything is escaped
//! (RFC 4514, the string form of RFC 2253), and what is too long is left out, never cut.

use std::fmt::Write as _;

use aws_lc_rs::digest;
use x509_parser::{
    certificate::X509Certificate,
    extensions::GeneralName,
    prelude::FromDer,
    x509::{AttributeTypeAndValue, X509Name},
};

/// Names the subject of the client's certificate towards origins.
pub const SUBJECT: &str = "x-client-cert-subject";
/// Names whom else it is for: `DNS:a.example,URI:spiffe://example/shop`.
pub const NAMES: &str = "x-client-cert-san";
/// Names the certificate's SHA-256, 64 lower-case hexadecimal digits: it is there whenever the
/// client has shown a certificate that was verified.
pub const FINGERPRINT: &str = "x-client-cert-sha256";
/// The fields that say who a client is. Whatever a client sends under these names is taken out, on
/// every listener, of every client.
pub const FIELDS: [&str; 3] = [SUBJECT, NAMES, FINGERPRINT];

/// Longest text of a field.
const TEXT_BYTES_MAX: usize = 1024;

/// What is told of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientIdentity {
    /// For [`SUBJECT`], if it has one that can be told.
    pub subject: Option<String>,
    /// For [`NAMES`], if it has any that can be told.
    pub names: Option<String>,
    /// For [`FINGERPRINT`].
    pub sha256: String,
}

impl ClientIdentity {
    /// That of a verified certificate, the first that the client has sent. To be made once for each
    /// connection.
    #[must_use]
    pub fn of(der: &[u8]) -> Self {
        Self { subject: subject_of(der), names: names_of(der), sha256: fingerprint_of(der) }
    }

    /// The fields with their values.
    pub fn fields(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let subject = self.subject.as_deref().map(|subject| (SUBJECT, subject));
        let names = self.names.as_deref().map(|names| (NAMES, names));
        [subject, names, Some((FINGERPRINT, self.sha256.as_str()))].into_iter().flatten()
    }
}

/// The subject of a certificate, most specific part first: `CN=shop,O=Example\, Inc.`. None if
/// there is none, if it is longer than a field may be, or if the bytes are no certificate.
#[must_use]
pub fn subject_of(der: &[u8]) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    bounded(name_text(certificate.subject()))
}

/// The other names of a certificate: DNS names, addresses, mail addresses and URIs. None as of
/// [`subject_of`].
#[must_use]
#[expect(clippy::wildcard_enum_match_arm, reason = "what has no text of its own is left out")]
pub fn names_of(der: &[u8]) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let names = certificate.subject_alternative_name().ok()??;
    let mut text = String::new();
    for name in &names.value.general_names {
        let (kind, value) = match name {
            GeneralName::DNSName(name) => ("DNS", escaped(name, ",")),
            GeneralName::RFC822Name(name) => ("email", escaped(name, ",")),
            GeneralName::URI(uri) => ("URI", escaped(uri, ",")),
            GeneralName::IPAddress(bytes) => match super::material::ip(bytes) {
                Some(address) => ("IP", address.to_string()),
                None => continue,
            },
            _ => continue,
        };
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(kind);
        text.push(':');
        text.push_str(&value);
    }
    bounded(text)
}

/// The SHA-256 of a certificate as it stands in [`FINGERPRINT`].
#[must_use]
pub fn fingerprint_of(der: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, der).as_ref())
}

fn bounded(text: String) -> Option<String> {
    (!text.is_empty() && text.len() <= TEXT_BYTES_MAX).then_some(text)
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// A name as RFC 4514 writes it: the parts in reverse.
pub(super) fn name_text(name: &X509Name<'_>) -> String {
    let parts: Vec<String> = name
        .iter_rdn()
        .map(|part| {
            let all: Vec<String> = part.iter().map(attribute).collect();
            all.join("+")
        })
        .collect();
    parts.into_iter().rev().collect::<Vec<_>>().join(",")
}

fn attribute(it: &AttributeTypeAndValue<'_>) -> String {
    let oid = it.attr_type().to_id_string();
    let known = SHORT.iter().find(|(known, _)| *known == oid);
    match (known, it.as_str()) {
        (Some((_, short)), Ok(text)) => format!("{short}={}", escaped(text, SPECIAL)),
        // Of a kind that has no short name, or no text: the value as it is.
        _ => {
            let value = x509_parser::asn1_rs::ToDer::to_der_vec(it.attr_value());
            format!("{oid}=#{}", hex(&value.unwrap_or_default()))
        }
    }
}

/// Every character that means something, and whatever is not visible ASCII, as `\XX`.
fn escaped(text: &str, special: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let last = text.len().saturating_sub(1);
    for (at, byte) in text.bytes().enumerate() {
        let inner_space = byte == b' ' && at != 0 && at != last;
        let hash_first = byte == b'#' && at == 0;
        if special.as_bytes().contains(&byte) || byte == b'\\' || hash_first {
            out.push('\\');
            out.push(char::from(byte));
        } else if byte.is_ascii_graphic() || inner_space {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "\\{byte:02x}");
        }
    }
    out
}

/// What RFC 4514 has escaped within a value.
const SPECIAL: &str = ",+\"<>;=";
/// The kinds of part with a short name, RFC 4514 section 3.
const SHORT: [(&str, &str); 9] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.6", "C"),
    ("2.5.4.9", "STREET"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
];

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};

    use super::*;

    fn certificate(parts: &[(DnType, &str)], names: Vec<SanType>) -> Vec<u8> {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in parts {
            params.distinguished_name.push(kind.clone(), *value);
        }
        params.subject_alt_names = names;
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn a_subject_is_written_most_specific_part_first() {
        let parts = [
            (DnType::CountryName, "NO"),
            (DnType::OrganizationName, "Example, Inc."),
            (DnType::CommonName, "shop"),
        ];
        let der = certificate(&parts, Vec::new());
        assert_eq!(subject_of(&der).as_deref(), Some("CN=shop,O=Example\\, Inc.,C=NO"));
    }

    #[test]
    fn no_subject_can_end_a_field_or_pass_for_another() {
        for (name, shown) in [
            ("a\r\nx-admin: 1", "CN=a\\0d\\0ax-admin: 1"),
            ("a,CN=admin", "CN=a\\,CN\\=admin"),
            ("a\0b", "CN=a\\00b"),
            ("#61", "CN=\\#61"),
            (" a  b ", "CN=\\20a  b\\20"),
            ("Kr\u{f8}ger\\\"+<>;", "CN=Kr\\c3\\b8ger\\\\\\\"\\+\\<\\>\\;"),
        ] {
            let der = certificate(&[(DnType::CommonName, name)], Vec::new());
            assert_eq!(subject_of(&der).as_deref(), Some(shown), "{name:?}");
        }
        let long = "a".repeat(TEXT_BYTES_MAX);
        assert_eq!(subject_of(&certificate(&[(DnType::CommonName, &long)], Vec::new())), None);
        assert_eq!(subject_of(&certificate(&[], Vec::new())), None);
        assert_eq!(subject_of(b"no certificate"), None);
    }

    #[test]
    fn what_has_no_short_name_is_shown_by_its_number() {
        let der = certificate(&[(DnType::from_oid(&[1, 2, 3]), "x")], Vec::new());
        assert_eq!(subject_of(&der).as_deref(), Some("1.2.3=#0c0178"));
    }

    #[test]
    fn names_are_listed_by_kind() {
        let names = vec![
            SanType::DnsName("a.example".try_into().unwrap()),
            SanType::IpAddress([10, 0, 0, 1].into()),
            SanType::URI("spiffe://example/shop,x".try_into().unwrap()),
            SanType::Rfc822Name("me@a.example".try_into().unwrap()),
        ];
        let der = certificate(&[(DnType::CommonName, "x")], names);
        let shown = "DNS:a.example,IP:10.0.0.1,URI:spiffe://example/shop\\,x,email:me@a.example";
        assert_eq!(names_of(&der).as_deref(), Some(shown));
        assert_eq!(names_of(&certificate(&[], Vec::new())), None);
    }

    #[test]
    fn an_identity_has_its_fingerprint_whatever_else_it_lacks() {
        let der = certificate(&[], Vec::new());
        let identity = ClientIdentity::of(&der);
        let fields: Vec<_> = identity.fields().collect();
        assert_eq!(fields.len(), 1);
        assert_eq!((fields[0].0, fields[0].1.len()), (FINGERPRINT, 64));
        let other = ClientIdentity::of(&certificate(&[], Vec::new()));
        assert_ne!(identity.sha256, other.sha256);
    }
}
