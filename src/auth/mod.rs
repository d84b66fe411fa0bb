//! The domain: identity and authentication.
//!
//! It has no clock, randomness or I/O of its own: callers pass in time and random bytes, and
//! storage is behind [`ports`]. It does not depend on HTTP, Pingora, Redis or SQL.

pub mod access_token;
pub mod account;
pub mod admin;
pub mod amr;
pub mod app_sign_in;
pub mod audit;
pub mod authenticator;
pub mod browser;
mod characters;
pub mod database_clock;
pub mod ended;
pub mod factor;
pub mod first_factor;
pub mod fresh;
pub mod hand_over;
pub mod keys;
pub mod login;
pub mod nodes;
pub mod notice;
pub mod parked;
pub mod password;
pub mod password_policy;
pub mod password_record;
pub mod ports;
pub mod recovery;
pub mod refusals;
pub mod reset;
pub mod session;
pub mod stage;
pub mod throttle;
pub mod ticket;
pub mod token;
pub mod totp;
pub mod turns;
mod typed;
pub mod waits;
pub mod webauthn;
