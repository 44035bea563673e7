//! What the target of flagd's format holds it to.

use std::sync::{Arc, OnceLock};

use gnomon_config::{Config, Options};
use gnomon_flags::{FlagIx, FlagSet, JsonContext, Overrides, flagd::Definitions};
use serde_json::{Map, Value};

/// What stands between a file and a context: no byte of UTF-8, hence of no JSON.
const SEPARATOR: u8 = 0xff;

/// A file, and after a separator what an application says of its user. What is refused is explained;
/// what is taken over is evaluated to the same each time, to a variant that the flag has.
pub(crate) fn flags(input: &[u8]) {
    let mut parts = input.splitn(2, |byte| *byte == SEPARATOR);
    let Ok(file) = std::str::from_utf8(parts.next().unwrap_or_default()) else { return };
    let said: Map<String, Value> =
        serde_json::from_slice(parts.next().unwrap_or_default()).unwrap_or_default();
    let definitions = match Definitions::read(file) {
        Ok((definitions, _)) => definitions,
        Err(faults) => {
            assert!(!faults.is_empty(), "refused without a reason");
            let is_explained = faults.iter().all(|it| !it.what.is_empty() && !it.advice.is_empty());
            assert!(is_explained, "{faults:?}");
            return;
        }
    };
    assert_eq!(Definitions::parse(file).as_ref(), Ok(&definitions));
    let set = FlagSet::compile(config(), &definitions, &Overrides::default());
    let set = set.expect("the file names no flag twice, and the configuration has none");
    let context = JsonContext { terms: set.terms(), said: &said };
    for (flag, number) in set.flags().iter().zip(0..) {
        let resolution = set.evaluate(FlagIx(number), &context, 1_800_000_000);
        assert_eq!(resolution, set.evaluate(FlagIx(number), &context, 1_800_000_000));
        let is_known = |variant| usize::from(variant) < flag.variants.len();
        assert!(resolution.variant.is_none_or(is_known), "{}: {resolution:?}", flag.name);
        assert!(resolution.error.is_none() || resolution.variant.is_none(), "{resolution:?}");
    }
}

/// One without flags.
fn config() -> Arc<Config> {
    static CONFIG: OnceLock<Arc<Config>> = OnceLock::new();
    let parse = || {
        let text = "listen = \"127.0.0.1:8080\"\nroute.a.respond.status = 204\n";
        match gnomon_config::parse("fuzz.toml", text, &Options::default()) {
            Ok(loaded) => Arc::new(loaded.config),
            Err(problems) => panic!("{}", problems.render(false)),
        }
    };
    Arc::clone(CONFIG.get_or_init(parse))
}
