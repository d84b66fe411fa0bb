//! Mail notices to users about their accounts. A queue sends them in the background, so no request
//! waits for a mail server. Failures are logged and counted. Only this module uses lettre.
//!
//! A notice contains no link and no secret, and asks for nothing.

mod letter;
mod occasion;
mod post;
mod when;

pub use self::post::{MailSettings, MailTls, Notices};
