//! The tools themselves: a recorder that hears too little would make every test pass.

use super::client::PATIENCE;
use super::upstream::Recorder;
use super::wire::Wire;
use super::within;

async fn open(app: &Recorder) -> Wire {
    Wire::new(tokio::net::TcpStream::connect(app.address).await.unwrap())
}

#[tokio::test]
async fn the_recorder_notes_connections_requests_and_every_byte() {
    let app = Recorder::start().await;
    let mark = app.mark();
    let mut wire = open(&app).await;
    for number in 1..=2 {
        let request = format!(
            "POST /x/echo?n={number} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
             3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
        );
        wire.send(request.as_bytes()).await.unwrap();
        let answer = within(PATIENCE, "the echo", wire.answer("POST")).await.unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, "abcde"));
    }
    app.barrier().await;
    let requests = app.requests(mark);
    assert_eq!(requests.len(), 2);
    assert!(requests.iter().all(|r| r.length == 5 && r.connection == 1));
    assert_eq!(requests[0].sha256, super::sha256_hex(b"abcde"));
    assert_eq!(app.connections(mark), 1);
    assert!(app.heard(mark, "N=2") && !app.heard(mark, "n=3"));
    assert_eq!(app.violations(mark), [""; 0]);
}

#[tokio::test]
async fn the_recorder_takes_a_request_after_another_for_one_of_its_own() {
    let app = Recorder::start().await;
    let mark = app.mark();
    let mut wire = open(&app).await;
    let two = "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nxGET /SMUG HTTP/1.1\r\n\
               Host: a\r\n\r\n";
    wire.send(two.as_bytes()).await.unwrap();
    wire.finish().await.unwrap();
    within(PATIENCE, "both answers", wire.rest()).await;
    app.barrier().await;
    assert!(app.requests(mark).iter().any(|r| r.head.target == "/SMUG"));
}

#[tokio::test]
async fn the_recorder_notes_what_is_ambiguous() {
    let app = Recorder::start().await;
    for bad in [
        "GET /a HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n0\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n",
    ] {
        let mark = app.mark();
        let mut wire = open(&app).await;
        wire.send(bad.as_bytes()).await.unwrap();
        within(PATIENCE, "the end", wire.rest()).await;
        app.barrier().await;
        assert_eq!(app.violations(mark).len(), 1, "{bad:?}");
    }
}

#[tokio::test]
async fn the_recorder_tells_connections_without_a_word_from_looks_at_its_health() {
    let app = Recorder::start().await;
    let mark = app.mark();
    let mut silent = vec![open(&app).await];
    app.barrier().await;
    assert_eq!((app.connections(mark), app.silent_connections(mark)), (0, 0));
    for _ in 0..20 {
        silent.push(open(&app).await);
    }
    app.barrier().await;
    assert_eq!(app.connections(mark), 0);
    assert!(app.silent_connections(mark) > 0);
}
