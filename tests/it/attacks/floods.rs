//! HTTP/2 floods: the gateway's memory stays bounded and somebody else is still answered.

use std::time::Duration;

use super::Range;
use super::corpus::Attack;
use crate::support::frames::{self, Frames, Reply};
use crate::support::wire::Wire;
use crate::support::within;

/// Growth of resident memory that an attack may cause.
const BOUND: u64 = 48 * 1024 * 1024;
/// How long the gateway may take to deal with a flood.
const PATIENCE: Duration = Duration::from_secs(30);

/// Sends a flood and looks at the gateway's memory while it still holds the connection.
pub(super) async fn run(range: &Range, attack: &Attack) -> Result<(), String> {
    let gateway = range.own_gateway().await;
    let before = gateway.resident();
    let fields = attack.fields(&range.placeholders);
    let wire = Wire::new(Range::client_of(&gateway).connect_h2().await);
    let flood = attack.flood.as_deref().unwrap_or_default();
    let window = if flood.contains("window 0") { 0 } else { 65_535 };
    let mut connection = Frames::hello(wire, window).await.map_err(|e| e.to_string())?;
    let frames: Vec<Vec<u8>> = match flood {
        "window_update_overflow x 10000" => {
            let overflow = |i: u32| {
                let stream = 2 * i + 1;
                let open = frames::headers(stream, &fields, false);
                [open, frames::window_update(stream, 0x7fff_ffff)].concat()
            };
            (0..10_000).map(overflow).collect()
        }
        "settings,ping x 100000" => {
            (0..100_000).map(|_| [frames::settings(), frames::ping()].concat()).collect()
        }
        "open 100 streams, window 0, wait" => {
            (0..100).map(|i| frames::headers(2 * i + 1, &fields, true)).collect()
        }
        other => return Err(format!("unknown flood {other:?}")),
    };
    let sending = async {
        for batch in frames.chunks(64) {
            if connection.send(&batch.concat()).await.is_err() {
                return false; // given up by the gateway: as good as an answer
            }
        }
        true
    };
    // A gateway that no longer reads is one that protects itself.
    let took_all = tokio::time::timeout(Duration::from_secs(10), sending).await.unwrap_or(false);
    if took_all && window == 0 {
        let reply = within(PATIENCE, "an answer to the first stream", connection.reply(1)).await;
        if reply == Reply::Closed {
            return Err("closed without a word".to_owned());
        }
    }
    let mut other = Range::client_of(&gateway);
    let answered = within(PATIENCE, "an answer to somebody else", other.get("/_auth/login")).await;
    let grown = gateway.resident().saturating_sub(before);
    if answered.status != 200 {
        return Err(format!("somebody else got {}", answered.status));
    }
    if grown > BOUND {
        return Err(format!("memory grew by {} KiB", grown / 1024));
    }
    Ok(())
}
