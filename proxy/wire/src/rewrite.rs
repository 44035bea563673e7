//! What a proxy must change in a head, and heads to bytes.
