//! The flags as they are now: what the configuration, its source and people say together.

use std::sync::Arc;

use gnomon_config::Config;
use gnomon_flags::{FlagSet, Overrides, flagd::Definitions};

use super::api::{Kind, Refused};

/// What the flags are made from, and what was made of it.
#[derive(Debug)]
pub(crate) struct Flags {
    /// What the source says; nothing without one.
    definitions: Definitions,
    /// What people have changed.
    overrides: Overrides,
    set: Arc<FlagSet>,
}

impl Flags {
    /// The flags of a configuration alone.
    pub(crate) fn new(config: &Arc<Config>) -> Result<Self, Refused> {
        let (definitions, overrides) = (Definitions::default(), Overrides::default());
        let set = compile(config, &definitions, &overrides)?;
        Ok(Self { definitions, overrides, set })
    }

    /// The set that cores and applications ask.
    pub(crate) fn set(&self) -> Arc<FlagSet> {
        self.set.clone()
    }

    /// What the flags would be under another configuration.
    pub(crate) fn make(&self, config: &Arc<Config>) -> Result<Arc<FlagSet>, Refused> {
        compile(config, &self.definitions, &self.overrides)
    }

    /// Takes over what [`make`](Self::make) has made.
    pub(crate) fn take(&mut self, set: Arc<FlagSet>) {
        self.set = set;
    }
}

fn compile(
    config: &Arc<Config>,
    definitions: &Definitions,
    overrides: &Overrides,
) -> Result<Arc<FlagSet>, Refused> {
    let set = FlagSet::compile(config.clone(), definitions, overrides);
    set.map(Arc::new).map_err(|bad| Refused::new(Kind::Config, bad.to_string()))
}
