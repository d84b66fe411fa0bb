//! Tests of the whole, against real servers.
#![expect(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says by its name what it shows, and fails by panicking"
)]

mod contract;
mod support;
