//! What people say of flags.

use std::sync::Arc;

use super::{Stamp, Verb};
use crate::{
    clock,
    control::{
        Control,
        api::{Done, Kind, Refused, flag::ChangeAsked},
        rollouts,
        state::State,
    },
};

impl Control {
    /// Does what a person says of a flag, and waits until it is on the disk and on every core. It
    /// acts before it is written: whoever kills a flag waits for no disk.
    pub(crate) async fn order_flag(
        self: &Arc<Self>,
        name: &str,
        verb: &Verb,
        asked: &ChangeAsked,
        peer: &str,
    ) -> Result<Done, Refused> {
        let reason = asked.reason.trim().to_owned();
        if *verb == Verb::Kill && reason.is_empty() {
            let error = format!("why is `{name}` to be off for everybody?");
            return Err(
                Refused::new(Kind::Request, error).help("say so for the record: --reason \"…\"")
            );
        }
        let by = rollouts::signed(&asked.by, peer);
        let stamp = Stamp { by, reason, at: clock::wall().as_secs() };
        let (changes, keeper, number, generation) = {
            let mut state = self.state();
            let State { flags, config, .. } = &mut *state;
            let (changes, number) = flags.change(config, name, verb, &stamp)?;
            if changes.is_empty() {
                let generation = state.generation;
                return Ok(Done { ok: true, generation, ..Done::default() });
            }
            let keeper = flags.keeper();
            (changes, keeper, number, state.publish(&self.shared.publisher))
        };
        self.flag_happened(name, &changes, &stamp.by, &stamp.reason);
        let (acknowledged_ms, cores_missing) = self.acknowledged(generation).await;
        keeper.flush().await;
        let mut warnings = Vec::new();
        if !keeper.has(number) {
            let why = keeper.trouble().unwrap_or_default();
            warnings.push(format!("in force, but not on the disk yet: {why}"));
        }
        let changes = changes.into_iter().map(|line| format!("flag {name}: {line}")).collect();
        Ok(Done { ok: true, changes, warnings, generation, acknowledged_ms, cores_missing })
    }
}
