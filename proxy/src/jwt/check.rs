//! What is wrong with the keys of tokens, with its place in the configuration.

use gnomon_config::{Config, Problem, problem::TOKEN_KEYS};

use super::Verifier;

/// Everything that is wrong with them, or odd.
pub(crate) fn problems(config: &Config) -> Vec<Problem> {
    let Some(terms) = &config.flags.jwt else { return Vec::new() };
    let place = terms.keys.place.0;
    let verifier = match Verifier::new(terms) {
        Ok(verifier) => verifier,
        Err(why) => return vec![Problem::error(TOKEN_KEYS, place, why).help(HELP.to_owned())],
    };
    let mut problems: Vec<Problem> = verifier
        .remarks()
        .iter()
        .map(|remark| Problem::warning(TOKEN_KEYS, place, remark.as_str()))
        .collect();
    if verifier.has_secret() && terms.keys.mode & READABLE_BY_OTHERS != 0 {
        let help = format!("chmod o-r {}", terms.keys.path.display());
        let message = "everybody on this machine can read this secret, and sign with it";
        problems.push(Problem::warning(TOKEN_KEYS, place, message).help(help));
    }
    problems
}

/// The permission bit of those who are neither owner nor in the group.
const READABLE_BY_OTHERS: u32 = 0o004;
const HELP: &str = "a JSON Web Key Set, or one public key in PEM: RSA of 2048 to 8192 bits, P-256, P-384 or Ed25519";

#[cfg(test)]
mod tests;
