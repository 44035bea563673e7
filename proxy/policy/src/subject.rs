//! What a decision is about.

use std::net::IpAddr;

use gnomon_config::model::flag::FlagCondition;
use gnomon_flags::Evaluation;
use gnomon_wire::Request;

/// A request, who it comes from, and what is known of the flags of its user.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The request.
    pub request: Request<'a>,
    /// The client's address.
    pub client: IpAddr,
    /// Its flags; absent where nothing asks for any.
    pub flags: Option<&'a Evaluation<'a>>,
}

impl<'a> Subject<'a> {
    /// A request whose flags nobody asks for.
    #[must_use]
    pub const fn new(request: Request<'a>, client: IpAddr) -> Self {
        Self { request, client, flags: None }
    }

    /// Whether a condition on a flag holds. No variant of a flag that is not there does.
    pub(crate) fn meets(&self, condition: &FlagCondition) -> bool {
        let Some(flags) = self.flags else { return condition.not };
        let set = flags.set();
        let Some(flag) = set.find(&condition.flag) else { return condition.not };
        let Some(place) = set.place(flag) else { return condition.not };
        set.flag(flag).meets(condition, flags.expose(place))
    }
}
