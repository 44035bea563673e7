//! Who vouches for claims: made anew where the keys or what is asked of tokens have changed.

use std::sync::Arc;

use gnomon_config::Config;

use super::api::{Kind, Refused};
use crate::jwt::Verifier;

/// The verifier of a configuration, if it has one. With the same terms it is the same, so that cores need
/// not check every token anew.
pub(crate) fn make(
    config: &Config,
    kept: Option<&Arc<Verifier>>,
) -> Result<Option<Arc<Verifier>>, Refused> {
    let Some(terms) = &config.flags.jwt else { return Ok(None) };
    if let Some(kept) = kept.filter(|kept| kept.is_of(terms)) {
        return Ok(Some(Arc::clone(kept)));
    }
    let made = Verifier::new(terms).map_err(|why| {
        Refused::new(Kind::Config, format!("the keys of tokens: {why}"))
            .help("`gnomon check` shows where; the old configuration stays")
    })?;
    Ok(Some(Arc::new(made)))
}

#[cfg(test)]
mod tests {
    use gnomon_config::{Options, parse};
    use jsonwebtoken::Algorithm;

    use super::*;
    use crate::jwt::testing::{Issuer, set, terms};

    #[test]
    fn the_verifier_stays_while_its_terms_do() {
        let text = "listen = \"127.0.0.1:8080\"\nroute.all.respond.status = 204\n";
        let mut config = parse("gnomon.toml", text, &Options::default()).unwrap().config;
        assert!(make(&config, None).unwrap().is_none());
        let draw = || terms(set(&[Issuer::new(Algorithm::ES256, Some("a")).jwk()]));
        config.flags.jwt = Some(draw());
        let first = make(&config, None).unwrap().unwrap();
        assert!(Arc::ptr_eq(&make(&config, Some(&first)).unwrap().unwrap(), &first));
        // Another file, though under the same path and with a key of the same name.
        config.flags.jwt = Some(draw());
        let second = make(&config, Some(&first)).unwrap().unwrap();
        assert!(!Arc::ptr_eq(&second, &first));
        if let Some(terms) = &mut config.flags.jwt {
            terms.audiences.push("shop".into());
        }
        assert!(!Arc::ptr_eq(&make(&config, Some(&second)).unwrap().unwrap(), &second));
        config.flags.jwt = Some(terms("none"));
        assert!(make(&config, Some(&second)).unwrap_err().to_string().contains("neither"));
    }
}
