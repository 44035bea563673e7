//! What would become of a request, by what the cores go by now.

use super::{
    Control,
    api::{Kind, Refused, series::Routed},
};
use crate::told::{self, Asked, Tables, Untold};

impl Control {
    /// What would become of it.
    pub(crate) fn route(&self, asked: &Asked) -> Result<Routed<serde_json::Value>, Refused> {
        let snapshot = self.shared.publisher.current();
        let tables = Tables {
            config: &snapshot.config,
            table: &snapshot.table,
            available: &snapshot.availability,
            flags: Some(&snapshot.flags),
        };
        match told::tell(asked, tables) {
            Ok(told) => Ok(Routed { text: told.text(), decision: told.decision }),
            Err(Untold::Unclear(error, help)) => Err(Refused::new(Kind::Request, error).help(help)),
            Err(Untold::Rejected(status, why)) => {
                let error = format!("gnomon would refuse this request with {status}: {why}");
                Err(Refused::new(Kind::Request, error))
            }
        }
    }
}
