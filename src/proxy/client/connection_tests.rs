//! When the bytes of a connection go out.

use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::task::Wake;

use tokio::io::{AsyncReadExt, DuplexStream, duplex};

use super::super::load::Loads;
use super::*;
use crate::base::address::ClientIp;
use crate::proxy::settings::ListenerKind;

#[derive(Default)]
struct Woken(AtomicU64);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn connection() -> (ClientStream<DuplexStream>, DuplexStream) {
    let (ours, client) = duplex(64 * 1024);
    let peer: SocketAddr = "192.0.2.1:1".parse().unwrap();
    let load = Loads::new(10).of(ClientIp::new(peer.ip()));
    let connection = Arc::new(Connection::new(peer, ListenerKind::Https, load, Duration::ZERO));
    let (stream, _leaving) = ClientStream::new(ours, -1, true, connection).unwrap();
    (stream, client)
}

#[tokio::test]
async fn what_several_streams_write_goes_out_at_the_next_look_and_not_before() {
    let (mut stream, mut client) = connection();
    stream.connection.usage.enter(Duration::ZERO);
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let cx = &mut Context::from_waker(&waker);
    for frame in [b"one", b"two"] {
        assert!(Pin::new(&mut stream).poll_write(cx, frame).is_ready());
        assert!(Pin::new(&mut stream).poll_flush(cx).is_ready());
    }
    let mut got = [0; 16];
    let mut got = ReadBuf::new(&mut got);
    assert!(Pin::new(&mut client).poll_read(cx, &mut got).is_pending());
    assert_eq!(woken.0.load(Ordering::Relaxed), 1, "asked to be looked at again once");
    let mut nothing = [0; 1];
    let mut nothing = ReadBuf::new(&mut nothing);
    assert!(Pin::new(&mut stream).poll_read(cx, &mut nothing).is_pending());
    assert!(Pin::new(&mut client).poll_read(cx, &mut got).is_ready());
    assert_eq!(got.filled(), b"onetwo");
}

#[tokio::test]
async fn a_connection_with_nothing_to_say_is_left_alone() {
    let (mut stream, client) = connection();
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let cx = &mut Context::from_waker(&waker);
    assert!(Pin::new(&mut stream).poll_flush(cx).is_ready());
    assert_eq!(woken.0.load(Ordering::Relaxed), 0);
    drop(client);
}

#[tokio::test]
async fn what_was_put_off_goes_out_before_the_end() {
    let (mut stream, mut client) = connection();
    stream.connection.usage.enter(Duration::ZERO);
    stream.write_all(b"goodbye").await.unwrap();
    stream.flush().await.unwrap();
    AsyncWriteExt::shutdown(&mut stream).await.unwrap();
    let mut got = Vec::new();
    client.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, b"goodbye");
}

#[tokio::test]
async fn the_last_response_goes_out_at_once() {
    let (mut stream, mut client) = connection();
    stream.connection.usage.enter(Duration::ZERO);
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let cx = &mut Context::from_waker(&waker);
    assert!(Pin::new(&mut stream).poll_write(cx, b"all").is_ready());
    stream.connection.usage.leave();
    assert!(Pin::new(&mut stream).poll_flush(cx).is_ready());
    let mut got = [0; 16];
    let mut got = ReadBuf::new(&mut got);
    assert!(Pin::new(&mut client).poll_read(cx, &mut got).is_ready());
    assert_eq!(got.filled(), b"all");
    assert_eq!(woken.0.load(Ordering::Relaxed), 0);
}

/// Reads until the connection ends, while its client sends frames. Returns the seconds that it took.
async fn seconds_to_end(stream: &mut ClientStream<DuplexStream>, client: &mut DuplexStream) -> u64 {
    let start = tokio::time::Instant::now();
    let frames = async {
        loop {
            sleep(Duration::from_secs(10)).await;
            client.write_all(b"ping").await.unwrap();
        }
    };
    let reads = async {
        let mut got = [0; 64];
        while stream.read(&mut got).await.unwrap() > 0 {}
    };
    tokio::select! {
        () = reads => {}
        () = frames => {}
    }
    start.elapsed().as_secs()
}

#[tokio::test(start_paused = true)]
async fn an_http2_connection_lasts_two_minutes_without_a_request_whatever_else_comes() {
    let (mut stream, mut client) = connection();
    stream.connection.header_done();
    let took = seconds_to_end(&mut stream, &mut client).await;
    assert!((80..=120).contains(&took), "{took} s");
}

#[tokio::test(start_paused = true)]
async fn a_request_keeps_its_http2_connection() {
    let (mut stream, mut client) = connection();
    stream.connection.header_done();
    stream.connection.usage.enter(Duration::from_secs(1));
    let end = seconds_to_end(&mut stream, &mut client);
    assert!(tokio::time::timeout(Duration::from_mins(10), end).await.is_err());
    stream.connection.usage.leave();
    let took = seconds_to_end(&mut stream, &mut client).await;
    assert!((80..=120).contains(&took), "{took} s");
}
