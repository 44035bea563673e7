//! Trailer sections: read whole, judged as heads are, filtered, written anew.

use crate::{
    known::Known,
    limits::HeadLimits,
    lines::{First, Lines},
    parse,
    reject::Fault,
};

/// A trailer section, as it comes in and as it may go out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trailers {
    lines: Lines,
    text: Vec<u8>,
}

impl Trailers {
    /// Reads a section from the start of `bytes`; offer the same and more while there is no end.
    pub(crate) fn read(
        &mut self,
        bytes: &[u8],
        limits: &HeadLimits,
    ) -> Result<Option<usize>, Fault> {
        let end = self.lines.end(bytes, First::Field, limits).map_err(|fault| {
            if fault == Fault::HeadTooLarge { Fault::TrailersTooLarge } else { fault }
        })?;
        if let Some(end) = end.filter(|end| *end > b"\r\n".len()) {
            self.take(bytes.get(..end).unwrap_or_default())?;
        }
        Ok(end)
    }

    /// What may be sent on: whole field lines.
    pub(crate) fn text(&self) -> &[u8] {
        &self.text
    }

    fn take(&mut self, section: &[u8]) -> Result<(), Fault> {
        let mut fields = Vec::new();
        parse::trailers(section, &mut fields)?;
        for field in fields.iter().filter(|field| Known::may_trail(field.known)) {
            self.text.extend_from_slice(field.name.of(section));
            self.text.extend_from_slice(b": ");
            self.text.extend_from_slice(field.value.of(section));
            self.text.extend_from_slice(b"\r\n");
        }
        Ok(())
    }
}
