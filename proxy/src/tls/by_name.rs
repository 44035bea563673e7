//! Things found by the name that a client asks for: the very name, else a wildcard of one label.

use std::collections::HashMap;

/// Things by DNS name.
#[derive(Debug)]
pub(super) struct ByName<T> {
    exact: HashMap<Box<str>, Vec<T>>,
    /// `*.example.com` under `example.com`.
    wild: HashMap<Box<str>, Vec<T>>,
}

impl<T> Default for ByName<T> {
    fn default() -> Self {
        Self { exact: HashMap::new(), wild: HashMap::new() }
    }
}

impl<T> ByName<T> {
    /// Adds a thing under a name of a certificate.
    pub(super) fn add(&mut self, name: &str, thing: T) {
        let name = name.to_ascii_lowercase();
        let (all, name) = match name.strip_prefix("*.") {
            Some(parent) => (&mut self.wild, parent),
            None => (&mut self.exact, name.as_str()),
        };
        all.entry(name.into()).or_default().push(thing);
    }

    /// The things under a name as a client spells it, in the order in which they were added.
    pub(super) fn find(&self, name: &str) -> &[T] {
        let mut lower = [0; NAME_BYTES_MAX];
        let name = name.strip_suffix('.').unwrap_or(name);
        let Some(lower) = lower.get_mut(..name.len()) else { return &[] };
        lower.copy_from_slice(name.as_bytes());
        lower.make_ascii_lowercase();
        let Ok(name) = std::str::from_utf8(lower) else { return &[] };
        let wild = || {
            let (label, parent) = name.split_once('.')?;
            self.wild.get(parent).filter(|_| !label.is_empty())
        };
        self.exact.get(name).or_else(wild).map_or(&[], Vec::as_slice)
    }

    /// Whether every name one label below `parent` has something.
    pub(super) fn has_all_below(&self, parent: &str) -> bool {
        self.wild.contains_key(parent)
    }

    /// What stands under a name of a certificate, `*.` and all, as it was added.
    pub(super) fn under(&self, name: &str) -> &[T] {
        let name = name.to_ascii_lowercase();
        let found = match name.strip_prefix("*.") {
            Some(parent) => self.wild.get(parent),
            None => self.exact.get(name.as_str()),
        };
        found.map_or(&[], Vec::as_slice)
    }
}

/// Longest DNS name.
const NAME_BYTES_MAX: usize = 253;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_very_name_goes_before_a_wildcard_of_one_label() {
        let mut all = ByName::default();
        for (name, thing) in [("*.example.com", 1), ("shop.Example.com", 2), ("example.com", 3)] {
            all.add(name, thing);
        }
        for (asked, found) in [
            ("shop.example.com", Some(&2)),
            ("SHOP.EXAMPLE.COM.", Some(&2)),
            ("cart.example.com", Some(&1)),
            ("example.com", Some(&3)),
            ("a.b.example.com", None),
            (".example.com", None),
            ("*.example.com", Some(&1)),
            ("example.org", None),
            ("com", None),
            ("", None),
            (&"a".repeat(300), None),
        ] {
            assert_eq!(all.find(asked).first(), found, "{asked}");
        }
        assert!(all.has_all_below("example.com") && !all.has_all_below("shop.example.com"));
        assert_eq!(all.under("*.example.com"), [1]);
        assert!(all.under("cart.example.com").is_empty());
    }

    #[test]
    fn several_under_one_name_stay_in_order() {
        let mut all = ByName::default();
        all.add("a", 1);
        all.add("A", 2);
        assert_eq!(all.find("a"), [1, 2]);
    }
}
