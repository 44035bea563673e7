//! The kernel, safely.
