//! The file of flags that a configuration names: read and checked as the proxy would.

use std::sync::Arc;

use gnomon_config::{
    Config, Severity,
    model::{Endpoint, flag::Source},
};
use gnomon_flags::{FlagSet, Overrides, flagd::Definitions};

use crate::{
    cli::host::Finding,
    control::flags::source::{Look, Mark, look_at_file},
};

/// What became of it.
pub(super) struct Flags {
    /// The flags there are with it.
    pub(super) count: usize,
    /// All that is wrong.
    pub(super) findings: Vec<Finding>,
}

/// Checks the flags of a configuration and of the file it names; none where there is neither.
pub(super) fn check(config: &Config) -> Option<Flags> {
    let terms = &config.flags;
    let mut findings = Vec::new();
    let mut tell = |severity, message: String, help: &str| {
        findings.push(Finding { severity, message, help: help.to_owned() });
    };
    let definitions = match &terms.source {
        Some(Source::File(path)) => match look_at_file(path, &Mark::default()) {
            Look::New(_, content) => {
                for doubt in &content.doubts {
                    let message = format!("`flags.source` {}: {doubt}", path.display());
                    tell(Severity::Warning, message, "it is taken as it is, as flagd does");
                }
                content.definitions
            }
            Look::Same(_) => Definitions::default(),
            Look::Bad(_, faults) => {
                for fault in faults {
                    let message = format!("`flags.source` {}: {fault}", path.display());
                    let help = "a file with any fault is refused whole; the last good one stays";
                    tell(Severity::Error, message, help);
                }
                Definitions::default()
            }
        },
        // Whoever checks a file asks nobody.
        Some(Source::Url(_) | Source::Ofrep(_)) => Definitions::default(),
        None if terms.own.is_empty() => return None,
        None => Definitions::default(),
    };
    let set = FlagSet::compile(Arc::new(config.clone()), &definitions, &Overrides::default());
    let count = match set {
        Ok(set) => {
            if let Some(version) = far_origin(config).filter(|_| told_unsigned(&set)) {
                let message = format!("{version} is on another host, and told of flags unsigned");
                let help = "with a key in `flags.sign`, nobody between can change what was decided";
                tell(Severity::Warning, message, help);
            }
            set.flags().len()
        }
        Err(bad) => {
            for sentence in bad.0 {
                tell(Severity::Error, sentence, "see `flags.source` and `[flag.*]`");
            }
            0
        }
    };
    Some(Flags { count, findings })
}

/// Whether origins are told of flags without a signature.
fn told_unsigned(set: &FlagSet) -> bool {
    set.sent() > 0 && !set.seal().signs()
}

/// The first version with an origin beyond this host.
fn far_origin(config: &Config) -> Option<String> {
    let is_far = |endpoint: &Endpoint| match endpoint {
        Endpoint::Tcp(address) => !address.ip().is_loopback(),
        Endpoint::Name(name, _) => **name != *"localhost",
        Endpoint::Unix(_) => false,
    };
    config.upstreams.iter().find_map(|upstream| {
        let mut versions = upstream.versions.iter();
        let version = versions.find(|version| version.endpoints.iter().any(is_far))?;
        Some(format!("{}@{}", upstream.name, version.name))
    })
}
