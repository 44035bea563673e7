//! One walk over the fields of a head: all that a proxy must know of them.

use crate::{
    framing::{Coding, Length},
    head::Field,
    known::{Known, KnownSet},
    limits::{HOPS_MAX, OPTIONS_MAX},
    reject::Fault,
    span::Span,
};

/// What the fields of a head say together.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Survey {
    /// Which fields there are.
    pub(crate) present: KnownSet,
    pub(crate) length: Length,
    pub(crate) coding: Coding,
    pub(crate) host: Option<Span>,
    pub(crate) close: bool,
    pub(crate) keep_alive: bool,
    pub(crate) connection_upgrade: bool,
    pub(crate) upgrade: bool,
    pub(crate) websocket: bool,
    pub(crate) expects_continue: bool,
    pub(crate) expects_more: bool,
    pub(crate) takes_trailers: bool,
    /// Options of Connection that may be names of fields.
    named: usize,
    /// Members of Via and of the X-Forwarded-For kind; one that counts too many is enough.
    hops: [usize; 3],
}

impl Survey {
    /// Surveys `fields`, and marks those that Connection names.
    pub(crate) fn of(bytes: &[u8], fields: &mut [Field]) -> Result<Self, Fault> {
        let mut survey = Self::default();
        for field in &*fields {
            survey.note(field.known, field.value, bytes)?;
        }
        if survey.named > 0 {
            survey.mark_named(bytes, fields)?;
        }
        Ok(survey)
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "most fields say nothing about the message")]
    fn note(&mut self, known: Known, span: Span, bytes: &[u8]) -> Result<(), Fault> {
        self.present.insert(known);
        if matches!(known, Known::Other | Known::Control) {
            return Ok(());
        }
        let value = span.of(bytes);
        match known {
            Known::ContentLength => self.length.note(value),
            Known::TransferEncoding => self.coding.note(value),
            Known::Host if self.host.is_some() => return Err(Fault::HostDuplicate),
            Known::Host => self.host = Some(span),
            Known::Connection => members(value).for_each(|option| self.note_option(option)),
            Known::Expect => members(value).for_each(|expectation| {
                let is_continue = expectation.eq_ignore_ascii_case(b"100-continue");
                self.expects_continue |= is_continue;
                self.expects_more |= !is_continue;
            }),
            Known::Upgrade => members(value).for_each(|token| {
                self.upgrade = true;
                self.websocket |= token.eq_ignore_ascii_case(b"websocket");
            }),
            Known::Te => members(value).for_each(|coding| {
                self.takes_trailers |= coding.eq_ignore_ascii_case(b"trailers");
            }),
            Known::Via => return self.note_hops(0, value),
            Known::XForwardedFor => return self.note_hops(1, value),
            Known::Forwarded => return self.note_hops(2, value),
            _ => {}
        }
        Ok(())
    }

    fn note_option(&mut self, option: &[u8]) {
        match option.len() {
            5 if option.eq_ignore_ascii_case(b"close") => self.close = true,
            10 if option.eq_ignore_ascii_case(b"keep-alive") => self.keep_alive = true,
            7 if option.eq_ignore_ascii_case(b"upgrade") => self.connection_upgrade = true,
            2 if option.eq_ignore_ascii_case(b"te") => {}
            _ => self.named = self.named.saturating_add(1),
        }
    }

    fn note_hops(&mut self, kind: usize, value: &[u8]) -> Result<(), Fault> {
        let Some(hops) = self.hops.get_mut(kind) else { return Ok(()) };
        *hops = hops.saturating_add(members(value).count());
        if *hops > HOPS_MAX { Err(Fault::TooManyHops) } else { Ok(()) }
    }

    //= rfc9110#section-7.6.1
    //# Intermediaries MUST parse a received Connection header field before a message is forwarded
    //# and, for each connection-option in this field, remove any header or trailer field(s) from the
    //# message with the same name as the connection-option
    //
    //# A sender MUST NOT send a connection option corresponding to a field that is intended for all
    //# recipients of the content.
    // Hence only fields we know nothing of can be named away: not Host, not credentials, not what we
    // write ourselves.
    fn mark_named(&self, bytes: &[u8], fields: &mut [Field]) -> Result<(), Fault> {
        if self.named > OPTIONS_MAX {
            return Err(Fault::TooManyOptions);
        }
        for index in 0..fields.len() {
            let Some(connection) = fields.get(index).filter(|f| f.known == Known::Connection)
            else {
                continue;
            };
            for option in members(connection.value.of(bytes)) {
                for field in fields.iter_mut().filter(|field| field.known == Known::Other) {
                    if field.name.of(bytes).eq_ignore_ascii_case(option) {
                        field.known = Known::Named;
                    }
                }
            }
        }
        Ok(())
    }
}

/// The members of a comma-separated list, without white space around them and without empty ones.
pub(crate) fn members(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|byte| *byte == b',').map(trim).filter(|member| !member.is_empty())
}

/// Without SP and HTAB at both ends.
pub(crate) fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}
