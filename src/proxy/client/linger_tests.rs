//! Which connections linger, and for how long.

use std::net::{Ipv4Addr, Ipv6Addr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (client, listener.accept().await.unwrap().0)
}

/// A connection with an answer that waits to go out, and its end.
async fn ending(sending: bool) -> (TcpStream, JoinHandle<()>) {
    let (client, server) = pair().await;
    let mut io = Gathered::new(server);
    io.write_all(b"the answer").await.unwrap();
    let lingering = Lingering::new(Vec::new());
    let end = tokio::spawn(async move { end(Released { io, sending }, PEER, &lingering).await });
    (client, end)
}

#[tokio::test]
async fn a_client_sends_all_and_then_reads_its_answer() {
    let (mut client, end) = ending(true).await;
    client.write_all(&vec![0; 16 * 1024 * 1024]).await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "the answer");
    assert!(!end.is_finished(), "the connection ends with the client");
    drop(client);
    end.await.unwrap();
}

#[tokio::test]
async fn a_connection_whose_request_was_read_does_not_linger() {
    let (mut client, end) = ending(false).await;
    end.await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "the answer");
}

#[tokio::test]
async fn a_client_that_falls_silent_is_left_soon() {
    let (client, end) = ending(true).await;
    let began = Instant::now();
    end.await.unwrap();
    assert!(began.elapsed() < TIME, "{:?}", began.elapsed());
    drop(client);
}

#[test]
fn few_linger_from_one_network_and_a_bounded_number_in_all() {
    let trusted = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    let lingering = Lingering::new(vec!["10.0.0.0/8".parse().unwrap()]);
    let mut places: Vec<Place> =
        (0..MOST_OF_NETWORK).map(|_| lingering.enter(PEER).unwrap()).collect();
    assert!(lingering.enter(PEER).is_none());
    let other = IpAddr::V6(Ipv6Addr::LOCALHOST);
    places.push(lingering.enter(other).unwrap());
    while places.len() < MOST {
        places.push(lingering.enter(trusted).unwrap());
    }
    assert!(lingering.enter(trusted).is_none());
    places.clear();
    assert!(lingering.by_network.lock().is_empty());
    drop(lingering.enter(PEER).unwrap());
    assert_eq!(lingering.all.load(Ordering::Acquire), 0);
}
