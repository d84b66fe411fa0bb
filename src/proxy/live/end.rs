//! The end of a request under way: a `WebSocket` by a Close frame, an HTTP/2 stream by `RST_STREAM`,
//! and anything else by cutting the connection, so that a body never looks complete.

use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use tokio::time::sleep;

use super::request::LiveRequest;
use crate::base::id::RequestId;
use crate::proxy::client::connection::Connection;
use crate::proxy::client::parting::Farewell;

/// Time for the app to end its frame, so that a Close frame can follow.
const CLOSE: Duration = Duration::from_millis(250);
/// Time for Pingora to notice that the connection is cut.
const NOTICE: Duration = Duration::from_millis(150);

/// The reason for ending a request under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// Its session or token has ended.
    Ended,
    /// The rules no longer let it in.
    Rules,
    /// The stores have not answered for too long.
    Unverified,
}

impl Why {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ended => "session",
            Self::Rules => "rule",
            Self::Unverified => "unverified",
        }
    }

    fn sentence(self) -> &'static str {
        match self {
            Self::Ended => "its session has ended",
            Self::Rules => "the rules no longer let it in",
            Self::Unverified => "its session could not be verified",
        }
    }

    fn farewell(self) -> Farewell {
        match self {
            Self::Ended => Farewell::SessionEnded,
            Self::Rules => Farewell::NotAllowed,
            Self::Unverified => Farewell::Unverified,
        }
    }
}

/// Ends a request, off the path of the sweep.
pub(super) fn end(connection: &Arc<Connection>, live: &Arc<LiveRequest>, id: RequestId, why: Why) {
    let begun = live.during(id, |request| {
        let person = request.visitor.identity();
        tracing::info!(
            %id,
            app = request.site.app.name(),
            user = person.map(|person| person.name.as_str()),
            "request ended: {}", why.sentence()
        );
        (!std::mem::replace(&mut request.ending, true)).then_some(request.websocket)
    });
    let Some(Some(websocket)) = begun else { return };
    counter!("vestibule_live_requests_ended_total", "reason" => why.as_str()).increment(1);
    if !connection.underway.is_own(live) {
        live.end_task();
        return;
    }
    let (connection, live) = (Arc::clone(connection), Arc::clone(live));
    tokio::spawn(async move {
        if websocket {
            connection.close_tunnel(why.farewell());
            sleep(CLOSE).await;
        }
        if live.during(id, |_| connection.cut()).is_some() {
            sleep(NOTICE).await;
            // Pingora does not read from a client while the app does not read from Pingora.
            live.during(id, |_| connection.abort());
        }
    });
}
