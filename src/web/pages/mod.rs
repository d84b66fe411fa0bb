//! The pages, one module per task of the user. Each handler reads the request, calls one use case and
//! renders the result. Access decisions are made in the use cases.

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
mod target;
pub(super) mod tokens;
