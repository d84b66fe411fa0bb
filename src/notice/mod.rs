//! Mail notices to users about their accounts. A queue sends them in the background, so no request
//! waits for a mail server. Failures are logged and counted. Only this module uses lettre.
//!
//! A notice contains no link and no secret, and asks for nothing.

mod letter;
mod outlet;
mod post;
mod share;
mod when;
mod wrong_codes;

pub use self::outlet::Notices;
pub use self::post::{Delivery, MailSettings, MailTls, try_connect};
