//! What the recording app answers, by the last segment of the path: `ws` (WebSocket echo), `events`
//! (server-sent, each waits for `go_on`), `slow` (waits for `go_on`), `big?bytes=N`, `echo`,
//! `cookies` (tries to set the gateway's), `says?Name=value` (these header lines), anything else:
//! the length and SHA-256 of the body.

use std::io;
use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use ring::digest::{Context, SHA256};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::strict::{self, Framing, Head};
use super::upstream::Notes;
use super::wire::{Stream, Wire};

/// Kept of each body.
const KEPT: usize = 64 * 1024;

/// Serves one connection to its end.
pub(crate) async fn connection(stream: impl Stream + 'static, number: usize, notes: Arc<Notes>) {
    let mut peer = Peer { wire: Wire::new(stream), number, notes, heard: 0 };
    loop {
        match peer.request().await {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => {
                if error.kind() == io::ErrorKind::InvalidData {
                    peer.notes.violation(error.to_string());
                }
                peer.notes.broken.send_modify(|count| *count += 1);
                break;
            }
        }
    }
}

struct Peer {
    wire: Wire,
    number: usize,
    notes: Arc<Notes>,
    heard: usize,
}

fn invalid(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

struct Received {
    start: Vec<u8>,
    length: u64,
    sha256: String,
}

impl Peer {
    async fn until(&mut self, mark: &[u8]) -> io::Result<Vec<u8>> {
        let bytes = self.wire.until(mark, 512 * 1024).await?;
        self.notes.bytes(self.number, &bytes, &mut self.heard);
        Ok(bytes)
    }

    /// One request and its answer; false when the connection is over.
    async fn request(&mut self) -> io::Result<bool> {
        let bytes = self.until(b"\r\n\r\n").await?;
        if bytes.is_empty() {
            return Ok(false);
        }
        let head = strict::head(&bytes).map_err(invalid)?;
        let request = self.notes.request(self.number, &head);
        if head.get("upgrade").is_some_and(|u| u.eq_ignore_ascii_case("websocket"))
            && head.last_segment() == "ws"
        {
            self.web_socket(&head).await?;
            return Ok(false);
        }
        if head.get("expect").is_some() {
            self.wire.send(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let body = self.body(&head).await?;
        self.notes.body(request, &body.start, body.length, body.sha256.clone());
        self.answer(&head, &body).await?;
        Ok(head.get("connection") != Some("close"))
    }

    async fn body(&mut self, head: &Head) -> io::Result<Received> {
        let mut digest = Context::new(&SHA256);
        let mut got = Received { start: Vec::new(), length: 0, sha256: String::new() };
        let mut left = match head.framing {
            Framing::Length(n) => n,
            Framing::Chunked => self.chunk().await?,
        };
        while left > 0 {
            let piece = self.wire.up_to(left).await?;
            self.notes.bytes(self.number, &piece, &mut self.heard);
            digest.update(&piece);
            got.length += piece.len() as u64;
            let room = KEPT.saturating_sub(got.start.len()).min(piece.len());
            got.start.extend_from_slice(&piece[..room]);
            left -= piece.len() as u64;
            if left == 0 && head.framing == Framing::Chunked {
                if self.until(b"\r\n").await? != b"\r\n" {
                    return Err(invalid("no line end after a chunk".to_owned()));
                }
                left = self.chunk().await?;
            }
        }
        got.sha256 = data_encoding::HEXLOWER.encode(digest.finish().as_ref());
        Ok(got)
    }

    /// The size of the next chunk; trailers are read with the last.
    async fn chunk(&mut self) -> io::Result<u64> {
        let line = self.until(b"\r\n").await?;
        let size = strict::chunk_size(line.strip_suffix(b"\r\n").unwrap_or(&line));
        let size = size.map_err(invalid)?;
        if size == 0 {
            while self.until(b"\r\n").await?.len() > 2 {}
        }
        Ok(size)
    }

    async fn answer(&mut self, head: &Head, body: &Received) -> io::Result<()> {
        match head.last_segment() {
            "events" => return self.events(head).await,
            "big" => return self.big(head).await,
            "trickle" => return self.trickle().await,
            "slow" => {
                if let Ok(permit) = self.notes.go_on.acquire().await {
                    permit.forget();
                }
            }
            _ => {}
        }
        let cookies = if head.last_segment() == "cookies" {
            "Set-Cookie: __Host-vestibule=forged; Path=/; Secure\r\n\
             Set-Cookie: __host-vestibule-login=; Max-Age=0\r\n\
             Set-Cookie:  __Host-vestibule-device=x\r\n\
             Set-Cookie: app=mine; Path=/\r\n"
        } else {
            ""
        };
        let (kind, more) = match head.last_segment() {
            "worker.js" => ("text/javascript", "Service-Worker-Allowed: /\r\n"),
            "strict" => (
                "text/html",
                "Content-Security-Policy: default-src 'none'; script-src 'self'; connect-src 'self'\r\n",
            ),
            "cached" => (
                "application/json",
                "Cache-Control: public, max-age=60\r\nCDN-Cache-Control: max-age=60\r\n",
            ),
            "isolated" => ("text/html", "Cross-Origin-Opener-Policy: same-origin\r\n"),
            _ => ("application/json", ""),
        };
        let said = said(head);
        let text = if head.last_segment() == "echo" {
            body.start.clone()
        } else if head.last_segment() == "strict" {
            b"<!DOCTYPE html><title>App</title><script src=\"/_auth/assets/session.js\" defer></script><p>App".to_vec()
        } else if kind != "application/json" {
            b"/* the app's own */".to_vec()
        } else {
            format!("{{\"length\":{},\"sha256\":\"{}\"}}", body.length, body.sha256).into_bytes()
        };
        let reply = format!(
            "HTTP/1.1 200 OK\r\nX-App: recorder\r\nContent-Type: {kind}\r\n{cookies}{more}{said}\
             Content-Length: {}\r\n\r\n",
            text.len()
        );
        self.wire.send(reply.as_bytes()).await?;
        if head.method != "HEAD" {
            self.wire.send(&text).await?;
        }
        Ok(())
    }

    async fn events(&mut self, head: &Head) -> io::Result<()> {
        let start = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
                     Transfer-Encoding: chunked\r\n\r\n";
        self.wire.send(start.as_bytes()).await?;
        for number in 1..=head.number("count").unwrap_or(3) {
            let event = format!("data: {number}\n\n");
            self.wire.send(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes()).await?;
            if let Ok(permit) = self.notes.go_on.acquire().await {
                permit.forget();
            }
        }
        self.wire.send(b"0\r\n\r\n").await
    }

    /// Six bytes, as announced; after every two, as after the headers, it waits.
    async fn trickle(&mut self) -> io::Result<()> {
        for piece in ["HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n", "ab", "cd", "ef"] {
            self.wire.send(piece.as_bytes()).await?;
            if let Ok(permit) = self.notes.go_on.acquire().await {
                permit.forget();
            }
        }
        Ok(())
    }

    async fn big(&mut self, head: &Head) -> io::Result<()> {
        let mut left = head.number("bytes").unwrap_or(1024 * 1024);
        self.wire
            .send(format!("HTTP/1.1 200 OK\r\nContent-Length: {left}\r\n\r\n").as_bytes())
            .await?;
        let block = pattern();
        // An app that is slower than its client: a block at each beat.
        let pace = head.number("pace").map(std::time::Duration::from_millis);
        let mut beats = pace.map(tokio::time::interval);
        while left > 0 && head.method != "HEAD" {
            let n = usize::try_from(left).unwrap_or(usize::MAX).min(block.len());
            self.wire.send(&block[..n]).await?;
            left -= n as u64;
            if let Some(beats) = &mut beats {
                beats.tick().await;
            }
        }
        Ok(())
    }

    async fn web_socket(&mut self, head: &Head) -> io::Result<()> {
        let key = derive_accept_key(head.get("sec-websocket-key").unwrap_or_default().as_bytes());
        let reply = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {key}\r\n\r\n"
        );
        self.wire.send(reply.as_bytes()).await?;
        let nothing = Wire::new(tokio::io::empty());
        let (stream, ahead) = std::mem::replace(&mut self.wire, nothing).into_parts();
        let mut socket =
            WebSocketStream::from_partially_read(stream, ahead, Role::Server, None).await;
        while let Some(Ok(message)) = socket.next().await {
            let echo = message.is_text() || message.is_binary();
            if echo && socket.send(message).await.is_err() {
                break;
            }
        }
        Ok(())
    }
}

/// The header lines that a request wants to be answered with.
fn said(head: &Head) -> String {
    let query = head.target.split_once('?').map_or("", |(_, query)| query);
    if head.last_segment() != "says" {
        return String::new();
    }
    let lines = form_urlencoded::parse(query.as_bytes());
    lines.fold(String::new(), |all, (name, value)| all + &name + ": " + &value + "\r\n")
}

/// 64 KiB that a big download repeats: no byte of a block is like its neighbour.
pub(crate) fn pattern() -> Vec<u8> {
    (0..64 * 1024_u32).map(|i| u8::try_from(i.wrapping_mul(2_654_435_761) >> 24).unwrap()).collect()
}
