//! What a person intends: the TOML file, checked as a whole and turned into a [`Config`].
//!
//! Pure but for reading files. The door is [`load`]: it gives back a [`Config`] that the rest of
//! the program may believe without looking twice, or every [`Problem`](problem::Problem) at once.

pub mod model;

pub use model::Config;
