//! Is this an OCSP response (RFC 6960), and is it good for a certificate? Its signature is for
//! clients to verify.

/// Says what is wrong, as the rest of a sentence.
pub(super) fn check(der: &[u8], serial: &[u8], now: i64) -> Result<(), String> {
    let not_one = || "is no OCSP response in DER".to_owned();
    let mut response = Der(der).within(SEQUENCE).ok_or_else(not_one)?;
    let status = response.take(ENUMERATED).ok_or_else(not_one)?;
    if status != [0] {
        return Err("says that the responder could not answer".to_owned());
    }
    let single = single(response).ok_or_else(not_one)?;
    if single.serial != serial {
        return Err("is for another certificate".to_owned());
    }
    match single.status {
        GOOD => {}
        REVOKED => return Err("says that the certificate is revoked".to_owned()),
        _ => return Err("says that the certificate is unknown to its issuer".to_owned()),
    }
    match single.next_update {
        Some(until) if until < now => Err("has expired".to_owned()),
        Some(_) | None => Ok(()),
    }
}

/// What a response says of the first certificate it speaks of.
struct Single<'a> {
    serial: &'a [u8],
    /// The tag of its status.
    status: u8,
    next_update: Option<i64>,
}

fn single(mut response: Der<'_>) -> Option<Single<'_>> {
    let mut bytes = Der(response.take(context(0))?).within(SEQUENCE)?;
    (bytes.take(OBJECT_ID)? == BASIC).then_some(())?;
    let mut basic = Der(bytes.take(OCTETS)?).within(SEQUENCE)?;
    let mut data = basic.within(SEQUENCE)?;
    // A version, if it is not the first; then who answers, by name or by key.
    if data.tag() == Some(context(0)) {
        data.any()?;
    }
    data.any()?;
    data.take(TIME)?;
    let mut single = data.within(SEQUENCE)?.within(SEQUENCE)?;
    let mut id = single.within(SEQUENCE)?;
    id.take(SEQUENCE)?;
    id.take(OCTETS)?;
    id.take(OCTETS)?;
    let serial = id.take(INTEGER)?;
    let (status, _) = single.any()?;
    single.take(TIME)?;
    let next_update = match single.take(context(0)) {
        Some(inner) => Some(time(Der(inner).take(TIME)?)?),
        None => None,
    };
    Some(Single { serial, status, next_update })
}

/// `20261123062100Z` in seconds since 1970.
fn time(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let time = jiff::civil::DateTime::strptime("%Y%m%d%H%M%S", text).ok()?;
    Some(time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second())
}

/// Bytes in the distinguished encoding (X.690), read from the front.
#[derive(Clone, Copy)]
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    fn tag(&self) -> Option<u8> {
        self.0.first().copied()
    }

    /// The next value and its tag.
    fn any(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&short, rest) = rest.split_first()?;
        let (length, rest) = match short {
            0..=0x7f => (usize::from(short), rest),
            0x81..=0x84 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(short & 0x7f))?;
                (bytes.iter().fold(0, |sum, byte| (sum << 8) | usize::from(*byte)), rest)
            }
            _ => return None,
        };
        let (value, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, value))
    }

    /// The next value, if it has this tag; else nothing is read.
    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        (self.tag()? == tag).then_some(())?;
        self.any().map(|(_, value)| value)
    }

    fn within(&mut self, tag: u8) -> Option<Self> {
        self.take(tag).map(Der)
    }
}

const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const OBJECT_ID: u8 = 0x06;
const ENUMERATED: u8 = 0x0a;
/// `GeneralizedTime`.
const TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
/// `[0] IMPLICIT NULL`.
const GOOD: u8 = 0x80;
/// `[1] IMPLICIT RevokedInfo`.
const REVOKED: u8 = 0xa1;
/// `id-pkix-ocsp-basic`.
const BASIC: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 0x30, 1, 1];

const fn context(number: u8) -> u8 {
    0xa0 | number
}

#[cfg(test)]
mod tests {
    use super::*;

    fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let value = parts.concat();
        let length = u16::try_from(value.len()).unwrap().to_be_bytes();
        [&[tag, 0x82][..], &length, &value].concat()
    }

    /// A response of this status that speaks of this certificate.
    fn response(outer: u8, serial: &[u8], status: &[u8], until: Option<&str>) -> Vec<u8> {
        let id = der(
            SEQUENCE,
            &[
                &der(SEQUENCE, &[]),
                &der(OCTETS, &[b"name"]),
                &der(OCTETS, &[b"key"]),
                &der(INTEGER, &[serial]),
            ],
        );
        let at = der(TIME, &[b"20261101000000Z"]);
        let until = until.map(|until| der(context(0), &[&der(TIME, &[until.as_bytes()])]));
        let single = der(SEQUENCE, &[&id, status, &at, &until.unwrap_or_default()]);
        let who = der(0xa2, &[&der(OCTETS, &[b"key"])]);
        let data = der(SEQUENCE, &[&who, &at, &der(SEQUENCE, &[&single])]);
        let basic = der(SEQUENCE, &[&data, &der(SEQUENCE, &[]), &der(0x03, &[b"\0signed"])]);
        let bytes = der(SEQUENCE, &[&der(OBJECT_ID, &[BASIC]), &der(OCTETS, &[&basic])]);
        der(SEQUENCE, &[&der(ENUMERATED, &[&[outer]]), &der(context(0), &[&bytes])])
    }

    const GOOD_STATUS: &[u8] = &[GOOD, 0];
    /// 2026-11-23.
    const NOW: i64 = 1_795_392_000;

    #[test]
    fn a_good_staple_is_for_its_certificate_and_in_force() {
        let until = Some("20261130000000Z");
        assert_eq!(check(&response(0, b"\x07", GOOD_STATUS, until), b"\x07", NOW), Ok(()));
        assert_eq!(check(&response(0, b"\x07", GOOD_STATUS, None), b"\x07", NOW), Ok(()));
        let revoked = der(REVOKED, &[&der(TIME, &[b"20261101000000Z"])]);
        for (response, why) in [
            (response(6, b"\x07", GOOD_STATUS, until), "could not answer"),
            (response(0, b"\x08", GOOD_STATUS, until), "another certificate"),
            (response(0, b"\x07", &revoked, until), "is revoked"),
            (response(0, b"\x07", &[0x82, 0], until), "is unknown"),
            (response(0, b"\x07", GOOD_STATUS, Some("20261120000000Z")), "has expired"),
            (response(0, b"\x07", GOOD_STATUS, Some("soon")), "no OCSP response"),
            (b"-----BEGIN".to_vec(), "no OCSP response"),
        ] {
            let told = check(&response, b"\x07", NOW).unwrap_err();
            assert!(told.contains(why), "{told}");
        }
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let whole = response(0, b"\x07", GOOD_STATUS, Some("20261130000000Z"));
        for at in 0..whole.len() {
            assert!(check(&whole[..at], b"\x07", NOW).is_err(), "{at}");
            for bits in [1, 0x80, 0xff] {
                let mut other = whole.clone();
                other[at] ^= bits;
                // Whatever is said of it.
                let _ = check(&other, b"\x07", NOW);
            }
        }
    }
}
