//! Tests of the product from the outside.

mod cli;
mod config;
mod support;
