//! Tests of the whole, against real servers.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cognitive_complexity,
    clippy::use_debug,
    reason = "a test says by its name what it shows, and fails by panicking"
)]

mod contract;
mod support;
