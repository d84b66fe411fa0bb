//! Attacks that take time. Each is told by what the gateway does, and never waits longer than that
//! may take.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use super::Range;
use super::corpus::Attack;
use crate::support::client::{self, Browser};
use crate::support::gateway::Gateway;
use crate::support::visitor::{self, SESSION};

/// Time limit for the end of a connection without a TLS handshake. The gateway allows 10 s; a busy machine
/// takes longer.
const HANDSHAKE: Duration = Duration::from_secs(40);
/// Time limit for the end of a slow body to a page of Vestibule. The gateway allows 30 s.
const OWN_BODY: Duration = Duration::from_mins(1);
/// How long a client may refuse to take its answer before it is given up: 60 s, and a little more.
const SLOW_READ: Duration = Duration::from_secs(90);
/// How long a tunnel may outlive its session.
const TUNNEL: Duration = Duration::from_secs(65);
/// How long an honest client may wait beside a flood.
const HONEST: Duration = Duration::from_secs(30);

/// Plays a script.
pub(super) async fn run(range: &Range, attack: &Attack) -> Result<(), String> {
    match attack.script.as_deref().unwrap_or_default() {
        "POST /_auth/login CL 1000; 1 byte/5 s" => slow_body(range).await,
        "GET large; receive 1 byte/s" => slow_read(range).await,
        "connect TCP to TLS port, send nothing" => idle_tls(range).await,
        "open 2000 connections" => flood_of_connections(range).await,
        other => Err(format!("unknown script {other:?}")),
    }
}

async fn slow_body(range: &Range) -> Result<(), String> {
    let (mut reader, mut writer) =
        tokio::io::split(https(&range.gateway, Ipv4Addr::new(127, 0, 0, 4)).await);
    let head = "POST /_auth/login HTTP/1.1\r\nHost: gw.test\r\n\
                Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\n";
    writer.write_all(head.as_bytes()).await.map_err(|e| e.to_string())?;
    let dripping = async {
        let mut beat = tokio::time::interval(Duration::from_secs(5));
        loop {
            beat.tick().await;
            if writer.write_all(b"a").await.is_err() || writer.flush().await.is_err() {
                return;
            }
        }
    };
    let closed = async {
        let mut buffer = [0; 4096];
        while reader.read(&mut buffer).await.is_ok_and(|n| n > 0) {}
    };
    let race = async {
        tokio::select! { () = dripping => {}, () = closed => {} }
    };
    let waited = tokio::time::timeout(OWN_BODY, race).await;
    waited.map_err(|_elapsed| format!("still open after {OWN_BODY:?}"))
}

async fn https(
    gateway: &Gateway,
    from: Ipv4Addr,
) -> tokio_rustls::client::TlsStream<tokio::net::TcpStream> {
    let stream = client::tcp(gateway.https, IpAddr::V4(from)).await.unwrap();
    client::tls(stream, &gateway.certificates, "gw.test", "http/1.1").await.unwrap()
}

/// The app's own connection breaks when the gateway gives the reader up.
async fn slow_read(range: &Range) -> Result<(), String> {
    let gateway = range.own_gateway().await;
    let before = gateway.resident();
    let mut stream = https(&gateway, Ipv4Addr::new(127, 0, 0, 5)).await;
    let head = "GET /big?bytes=1073741824 HTTP/1.1\r\nHost: other.test\r\n\r\n";
    stream.write_all(head.as_bytes()).await.map_err(|e| e.to_string())?;
    let sipping = async {
        let mut beat = tokio::time::interval(Duration::from_secs(1));
        loop {
            beat.tick().await;
            if stream.read_u8().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    let race = async {
        tokio::select! {
            () = range.slow_app.wait_for_a_broken_answer() => {}
            () = sipping => {}
        }
    };
    let given_up = tokio::time::timeout(SLOW_READ, race).await;
    let grown = gateway.resident().saturating_sub(before);
    if grown > 64 * 1024 * 1024 {
        return Err(format!("memory grew by {} KiB for one slow reader", grown / 1024));
    }
    given_up.map_err(|_elapsed| format!("still served after {SLOW_READ:?}"))
}

async fn idle_tls(range: &Range) -> Result<(), String> {
    let from = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 6));
    let mut stream = client::tcp(range.gateway.https, from).await.map_err(|e| e.to_string())?;
    let mut byte = [0];
    match tokio::time::timeout(HANDSHAKE, stream.read(&mut byte)).await {
        Ok(Ok(0) | Err(_)) => Ok(()),
        Ok(Ok(_)) => Err("the gateway spoke first".to_owned()),
        Err(_elapsed) => Err(format!("still open after {HANDSHAKE:?}")),
    }
}

/// Opens 2000 connections from one address and asks from another meanwhile.
async fn flood_of_connections(range: &Range) -> Result<(), String> {
    let from = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 7));
    let mut open = Vec::new();
    for _ in 0..2000 {
        if let Ok(stream) = client::tcp(range.gateway.https, from).await {
            open.push(stream);
        }
    }
    let mut honest = Browser::new(&range.gateway);
    honest.from = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 8));
    let start = Instant::now();
    let answer = honest.get("/_auth/login").await;
    let took = start.elapsed();
    if answer.status != 200 || took > HONEST {
        return Err(format!("an honest client got {} after {took:?}", answer.status));
    }
    // Of a connection that was turned away the end can be read at once; the others stay silent.
    let mut turned_away = 0;
    let mut byte = [0];
    for stream in &mut open {
        let end = tokio::time::timeout(Duration::from_millis(1), stream.read(&mut byte)).await;
        turned_away += usize::from(matches!(end, Ok(Ok(0) | Err(_))));
    }
    if turned_away == 0 && open.len() == 2000 {
        return Err("2000 connections of one address stayed open".to_owned());
    }
    Ok(())
}

/// A WebSocket ends when the session that opened it does.
pub(super) async fn tunnel_ends_with_its_session(
    range: &Range,
    attack: &Attack,
) -> Result<(), String> {
    let (mut browser, _person) = visitor::signed_in(&range.gateway, "tunneller").await;
    let placeholders =
        super::Placeholders { session: browser.jar[SESSION].clone(), pending: String::new() };
    let mut wire = browser.connect().await;
    wire.send(&attack.bytes(&placeholders)).await.map_err(|e| e.to_string())?;
    let opened = wire.answer_head().await.map_err(|e| e.to_string())?;
    if opened.status != 101 {
        return Err(format!("the tunnel did not open: {}", opened.status));
    }
    let left = browser.submit("/_auth/logout", &[]).await;
    if left.status != 303 {
        return Err(format!("signing out: {}", left.status));
    }
    let ended = tokio::time::timeout(TUNNEL, wire.rest()).await;
    ended.map(|_rest| ()).map_err(|_elapsed| format!("still open {TUNNEL:?} after signing out"))
}
