//! Decisions, pure: the same arguments give the same answer. Time and luck are arguments.
//!
//! | who asks | what | where |
//! |---|---|---|
//! | a worker, once a request | which route, version, arm | `table` |
//! | a worker, once an attempt | which endpoint | `balance` |
//! | a worker, after a failure | may it be tried again | `retry` |
//! | control, at its tick | which endpoint stays out | `eject` |

pub mod plan;
pub mod table;
