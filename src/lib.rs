//! Vestibule: a reverse-proxy authentication gateway.
//!
//! See ARCHITECTURE.md for the layers; the modules stand here from the bottom up.

pub mod base;

pub mod auth;

pub mod gate;

pub mod store;

pub mod telemetry;

pub mod notice;

pub mod web;

pub mod proxy;

pub mod config;

pub mod app;

pub mod cli;
