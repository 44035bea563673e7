//! What the target of the configuration holds it to.

use gnomon_config::{Options, Problems, diff, effective, parse};

/// No text makes the reader panic; what it refuses it explains, and what it accepts it can write
/// down and read back as the same.
pub(crate) fn config(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let explains = |problems: &Problems| {
        assert_eq!(problems.render(false).is_empty(), problems.is_empty());
        assert_eq!(problems.to_json().as_array().map(Vec::len), Some(problems.len()));
    };
    match parse("fuzz.toml", text, &Options::default()) {
        Err(problems) => {
            assert!(problems.has_errors(), "refused without a reason");
            explains(&problems);
        }
        Ok(loaded) => {
            explains(&loaded.warnings);
            assert!(!effective(&loaded.config).is_empty());
            assert!(diff(&loaded.config, &loaded.config).is_empty(), "it differs from itself");
        }
    }
}
