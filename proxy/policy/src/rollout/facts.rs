//! What a controller is told.

use gnomon_config::model::Share;
use serde::{Deserialize, Serialize};

/// What the judge says of the present step, with its words for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The canary is worse than allowed: roll back.
    Worse(String),
    /// There is doubt, or both versions fail together: raise nothing.
    Doubt(String),
    /// A version gets no requests: nothing is proven, and nothing will be.
    Silent(String),
    /// Nothing is proven yet.
    Open(String),
    /// It is proven that the canary is not worse than the next step allows.
    Proven(String),
}

/// The same of both versions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arms<T> {
    /// Of the canary.
    pub canary: T,
    /// Of stable.
    pub stable: T,
}

/// What is known now.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// What the judge says.
    pub outcome: Outcome,
    /// How the data cores have cut the canary off, if they have.
    pub fuse: Option<String>,
    /// Endpoints that may be used.
    pub healthy: Arms<u32>,
    /// The fullest component, 0 to 1, where it is measured.
    pub saturation: Arms<Option<f64>>,
    /// Share of the compared copies that really differ; none if nothing was compared in this step.
    pub diff_rate: Option<f64>,
    /// Requests in this step; in a step of shadows, the canary's are the compared copies.
    pub requests: Arms<u64>,
    /// Why the line is stopped, if somebody has stopped it.
    pub stop_line: Option<String>,
    /// What the canary really gets.
    pub in_force: Share,
    /// What the wall clock shows, in seconds since 1970: change windows go by it, and nothing else
    /// does, since it may be set at any time.
    pub wall: u64,
}
