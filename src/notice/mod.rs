//! Notices: mail to a person about what happened to their account. A queue of its own sends them;
//! no request waits for a mail server, and a mail server that fails is told of in the log and in the
//! metrics. Only this module names lettre.
//!
//! A notice holds no link and nothing secret, and asks for nothing.

mod letter;
mod occasion;
mod post;
mod when;

pub use self::post::{MailSettings, MailTls, Notices};
