//! The kinds of token that pages pass to the use cases.

use crate::auth::token::{PendingToken, PlainToken, SessionToken, TicketToken};

pub(super) type Pending = PlainToken<PendingToken>;
pub(super) type Finished = PlainToken<SessionToken>;
pub(super) type TicketText = PlainToken<TicketToken>;
