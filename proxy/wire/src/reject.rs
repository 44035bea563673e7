//! Every reason to refuse bytes, each with exactly one status.

/// Why bytes are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reject {
    /// A line ends in a bare LF.
    BareLf,
}
