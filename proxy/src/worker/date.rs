//! The `Date` field's value, made once a second for the whole core.

use std::cell::{Cell, Ref, RefCell};

use crate::clock;

/// The current date in the form of RFC 9110 section 5.6.7.
pub(super) struct Date {
    second: Cell<u64>,
    text: RefCell<String>,
}

impl Date {
    pub(super) fn new() -> Self {
        let date = Self { second: Cell::new(u64::MAX), text: RefCell::default() };
        date.refresh();
        date
    }

    /// Follows the clock.
    pub(super) fn refresh(&self) {
        let second = clock::wall().as_secs();
        if self.second.replace(second) == second {
            return;
        }
        let time =
            i64::try_from(second).ok().and_then(|second| jiff::Timestamp::from_second(second).ok());
        *self.text.borrow_mut() =
            time.unwrap_or_default().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    }

    /// The value as bytes; not to be held over an await.
    pub(super) fn text(&self) -> Ref<'_, [u8]> {
        Ref::map(self.text.borrow(), |text| text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_has_the_fixed_length_of_an_imf_fixdate() {
        let date = Date::new();
        assert_eq!(date.text().len(), 29);
        assert!(date.text().ends_with(b" GMT"));
    }
}
