//! The tokens that use cases take, and the type of their results.

use crate::auth::login::LoginError;
use crate::auth::token::{PendingToken, PlainToken, SessionToken, TicketToken};

pub(super) type Outcome<T> = Result<T, LoginError>;
pub(super) type Pending = PlainToken<PendingToken>;
pub(super) type Finished = PlainToken<SessionToken>;
pub(super) type TicketText = PlainToken<TicketToken>;
