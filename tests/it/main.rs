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
mod assertion;
mod assertion_reload;
mod attacks;
mod audit;
mod axe;
mod backup;
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
mod clocks;
mod closed_trail;
mod cluster;
mod config;
mod contract;
mod coverage;
mod crowds;
mod demo;
mod doctor;
mod drain;
mod early;
mod ended_sessions;
mod evidence;
mod forgot;
mod forward_auth;
mod fronts;
mod full_disk;
mod headers;
mod identity;
mod in_use;
mod key_phases;
mod keys;
mod keys_browser;
mod keys_cellengine;
mod keys_closed;
mod keys_hostile;
mod keys_rules;
mod known_sessions;
mod layers;
mod life;
mod live;
mod metrics;
mod migration;
mod newcomer;
mod newer_schema;
mod notices;
mod operation;
mod own_name;
mod pages;
mod portal;
mod postgres_hosts;
mod proxies;
mod proxy_protocol;
mod recovery_codes;
mod redirects;
mod redis_failover;
mod resend;
mod rules;
mod services;
mod session_bar;
mod session_tokens;
mod signin;
mod silence;
mod streams;
mod support;
mod switching;
mod systemd;
mod throttling;
mod tickets;
mod timelapse;
mod tokens;
mod tokens_end;
mod upstream_health;
mod upstreams;
mod way_back;
mod way_back_browser;
mod why;
