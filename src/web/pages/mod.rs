//! The pages, one module for each thing a person does. Each takes a visit apart, calls one use
//! case and renders its outcome; none decides anything about access.

pub(super) mod account;
pub(super) mod authenticator;
pub(super) mod enroll;
mod events;
pub(super) mod forgot;
mod fresh;
pub(super) mod login;
pub(super) mod logout;
pub(super) mod new_codes;
pub(super) mod notice;
pub(super) mod password;
pub(super) mod recovery_codes;
pub(super) mod second_factor;
pub(super) mod session;
pub(super) mod sessions;
pub(super) mod setup;
pub(super) mod step_up;
pub(super) mod tokens;
