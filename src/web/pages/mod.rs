//! The pages, one module per task of the user. Each handler reads the request, calls one use case and
//! renders the result. Access decisions are made in the use cases.

pub(super) mod account;
pub(super) mod authenticator;
pub(super) mod enroll;
pub(super) mod enroll_key;
mod events;
pub(super) mod forgot;
mod fresh;
pub(super) mod hand_over;
pub(super) mod key;
pub(super) mod key_set;
pub(super) mod keys;
pub(super) mod launch;
pub(super) mod login;
pub(super) mod logout;
pub(super) mod new_codes;
pub(super) mod notice;
pub(super) mod password;
pub(super) mod recovery_codes;
pub(super) mod related_origins;
pub(super) mod resend;
pub(super) mod second_factor;
pub(super) mod session;
pub(super) mod sessions;
pub(super) mod setup;
pub(super) mod step_up;
mod target;
pub(super) mod tokens;
