//! Tests of the whole: the stores against real servers, and the built program asked from outside,
//! with an app behind it that notes all it hears.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::as_conversions,
    clippy::future_not_send,
    reason = "a test says by its name what it shows, and fails by panicking"
)]

mod answers;
mod attacks;
mod audit;
mod axe;
mod browser;
mod cellengine;
mod cellengine_accounts;
mod cellengine_browser;
mod cellengine_r;
mod cellengine_sign_in;
mod cellengine_tokens;
mod cellengine_unfinished;
mod check_online;
mod cli;
mod closed_trail;
mod cluster;
mod config;
mod contract;
mod coverage;
mod crowds;
mod demo;
mod early;
mod evidence;
mod forgot;
mod full_disk;
mod headers;
mod identity;
mod in_use;
mod known_sessions;
mod layers;
mod life;
mod newcomer;
mod notices;
mod operation;
mod own_name;
mod proxies;
mod recovery_codes;
mod redirects;
mod rules;
mod session_tokens;
mod signin;
mod silence;
mod streams;
mod support;
mod throttling;
mod tickets;
mod timelapse;
mod tokens;
mod tokens_end;
mod upstreams;
mod way_back;
mod way_back_browser;
mod why;
