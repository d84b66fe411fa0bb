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
    stream.write_all(b"goodbye").await.unwrap();
    stream.flush().await.unwrap();
    AsyncWriteExt::shutdown(&mut stream).await.unwrap();
    let mut got = Vec::new();
    client.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, b"goodbye");
}
