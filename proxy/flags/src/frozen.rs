//! The field that tells origins what was decided.
