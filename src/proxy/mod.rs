//! The Pingora proxy: listeners, limits, header hygiene, upstreams, and the bridge to our own
//! pages. The only module that names Pingora.

pub mod settings;
