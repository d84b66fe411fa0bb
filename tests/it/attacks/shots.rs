//! One attack, sent as it stands, and what came back.

use std::time::Duration;

use super::Range;
use super::corpus::Attack;
use crate::support::client::PATIENCE;
use crate::support::frames::{self, Frames, Reply};
use crate::support::wire::{Answer, Wire};
use crate::support::within;

/// Time without an answer after which an incomplete request is cut off, where
/// nothing is judged by the answer.
const SILENCE: Duration = Duration::from_millis(1500);

/// What came back.
#[derive(Debug)]
pub(super) enum Shot {
    /// HTTP/1.1.
    H1 {
        /// The first answer, if there was one.
        answer: Option<Answer>,
        /// Whatever came after it.
        after: Vec<u8>,
        /// Whether the gateway closed the connection before we did.
        closed: bool,
    },
    /// HTTP/2.
    H2(Reply),
}

/// Sends raw bytes over TLS. The gateway is through with them when it has closed the connection,
/// which it does at the latest when we say that nothing more comes.
pub(super) async fn h1(range: &Range, attack: &Attack) -> Shot {
    let bytes = attack.bytes(&range.placeholders);
    let method = Attack::method(&bytes);
    let mut wire = range.client().connect().await;
    let (answer, sent) = {
        // The gateway may refuse and close before it has read all of it.
        let sent = wire.send(&bytes).await.is_ok();
        let patience = if attack.must_answer() { PATIENCE } else { SILENCE };
        (tokio::time::timeout(patience, wire.answer(&method)).await, sent)
    };
    let answer = answer.ok().and_then(Result::ok);
    let mut after = Vec::new();
    let mut closed = !sent;
    if attack.must_close() && !closed {
        closed = match tokio::time::timeout(PATIENCE, wire.rest()).await {
            Ok(rest) => {
                after.extend(rest);
                true
            }
            Err(_elapsed) => false,
        };
    }
    after.extend(hang_up(wire).await);
    Shot::H1 { answer, after, closed }
}

/// Says that nothing more comes, and waits until the gateway has closed too.
async fn hang_up(mut wire: Wire) -> Vec<u8> {
    drop(wire.finish().await);
    within(PATIENCE, "the gateway to close after us", wire.rest()).await
}

/// Sends one HTTP/2 request by hand.
pub(super) async fn h2(range: &Range, attack: &Attack) -> Shot {
    let wire = Wire::new(range.client().connect_h2().await);
    let mut connection = Frames::hello(wire, 65_535).await.unwrap();
    let (body, trailers) = (attack.body.as_deref(), &attack.trailers);
    let fields = attack.fields(&range.placeholders);
    let mut bytes = frames::headers(1, &fields, body.is_none() && trailers.is_empty());
    if let Some(body) = body {
        bytes.extend(frames::data(1, body.as_bytes(), trailers.is_empty()));
    }
    if !trailers.is_empty() {
        bytes.extend(frames::headers(1, trailers, true));
    }
    let reply = match connection.send(&bytes).await {
        Ok(()) => within(PATIENCE, &attack.id, connection.reply(1)).await,
        Err(_closed) => Reply::Closed,
    };
    within(PATIENCE, "the gateway to say goodbye", connection.goodbye()).await;
    Shot::H2(reply)
}
