//! Black-box tests: the built program, asked from outside, with an app behind it that notes all it
//! hears.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::as_conversions,
    reason = "a test fails by panicking"
)]

mod attacks;
mod browser;
mod headers;
mod layers;
mod operation;
mod redirects;
mod signin;
mod streams;
mod support;
