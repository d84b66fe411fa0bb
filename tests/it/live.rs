//! Live requests end with the session, token or rule that let them in, on every node. Clients can tell that the
//! response is not complete. Public requests continue.

use std::io::ErrorKind;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use h2::RecvStream;
use http::Request;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::in_use::all_in_use;
use super::streams::{h2, h2_request};
use super::support::client::{Browser, PATIENCE};
use super::support::cluster::Cluster;
use super::support::gateway::{Gateway, PUBLIC_RULE, Plan};
use super::support::servers::RedisServer;
use super::support::upstream::{Recorder, Seen};
use super::support::visitor;
use super::support::wire::{Body, Stream, Wire};
use super::support::within;
use super::tokens::made_for;

/// The promise is two seconds; the rest is for a busy machine.
const SOON: Duration = Duration::from_secs(15);

/// A `WebSocket` of this browser.
async fn web_socket(browser: &Browser, path: &str) -> WebSocketStream<Box<dyn Stream>> {
    let mut request = Request::builder()
        .uri(format!("wss://gw.test{path}"))
        .header("Host", "gw.test")
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Origin", "https://gw.test")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
    if let Some(cookies) = browser.cookie_line().strip_prefix("Cookie: ") {
        request = request.header("Cookie", cookies.trim());
    }
    let (stream, _ahead) = browser.connect().await.into_parts();
    let opened = tokio_tungstenite::client_async(request.body(()).unwrap(), stream);
    within(PATIENCE, "the handshake", opened).await.unwrap().0
}

async fn echoes(socket: &mut WebSocketStream<Box<dyn Stream>>) {
    socket.send(Message::text("hello")).await.unwrap();
    let echo = within(PATIENCE, "the echo", socket.next()).await.unwrap().unwrap();
    assert_eq!(echo, Message::text("hello"));
}

/// The close code and the reason of the last message.
async fn closed(socket: &mut WebSocketStream<Box<dyn Stream>>) -> (u16, String) {
    loop {
        match socket.next().await {
            Some(Ok(Message::Close(Some(close)))) => {
                return (close.code.into(), close.reason.to_string());
            }
            Some(Ok(_)) => {}
            end => panic!("no Close frame: {end:?}"),
        }
    }
}

/// An answer of which the first bytes have come.
async fn begun(browser: &Browser, target: &str) -> (Wire, Body) {
    let mut wire = browser.connect().await;
    let cookies = browser.cookie_line();
    let request = format!("GET {target} HTTP/1.1\r\nHost: gw.test\r\n{cookies}\r\n");
    wire.send(request.as_bytes()).await.unwrap();
    let head = within(PATIENCE, "the head", wire.answer_head()).await.unwrap();
    assert_eq!(head.status, 200, "{target}");
    let mut body = Body::of(&head, "GET");
    while within(PATIENCE, "a piece", wire.piece(&mut body)).await.unwrap().unwrap().is_empty() {}
    (wire, body)
}

/// Reads until the connection is cut. A whole body is an error.
async fn cut((mut wire, mut body): (Wire, Body)) {
    while let Ok(piece) = wire.piece(&mut body).await {
        assert!(piece.is_some(), "the body looks complete");
    }
}

/// Sends a body bit by bit until the connection is cut.
async fn upload(browser: Browser, ready: tokio::sync::oneshot::Sender<()>) {
    let mut wire = browser.connect().await;
    let head = format!(
        "PUT /app/upload HTTP/1.1\r\nHost: gw.test\r\n{}Content-Length: 100000000\r\n\r\n",
        browser.cookie_line()
    );
    wire.send(head.as_bytes()).await.unwrap();
    ready.send(()).unwrap();
    let (stream, _ahead) = wire.into_parts();
    let (mut from, mut to) = tokio::io::split(stream);
    let mut beats = interval(Duration::from_millis(50));
    let send = async {
        loop {
            beats.tick().await;
            if tokio::io::AsyncWriteExt::write_all(&mut to, b"xxxxxxxx").await.is_err() {
                return;
            }
        }
    };
    let mut answer = [0; 64];
    let answered = tokio::io::AsyncReadExt::read(&mut from, &mut answer);
    tokio::select! {
        () = send => {}
        read = answered => assert_eq!(read.unwrap_or(0), 0, "{answer:?}"),
    }
}

/// Everything that can be under way, in HTTP/1.1 and HTTP/2. Each ends when it is cut.
async fn all_kinds(app: &Recorder, browser: &Browser, all: &mut JoinSet<&'static str>) {
    let mut socket = web_socket(browser, "/app/ws").await;
    echoes(&mut socket).await;
    all.spawn(async move {
        let said = closed(&mut socket).await;
        assert_eq!(said, (1008, "The session has ended. Sign in again.".to_owned()));
        "a WebSocket"
    });
    let events = begun(browser, "/app/events?count=9").await;
    all.spawn(async move {
        cut(events).await;
        "events"
    });
    let download = begun(browser, "/app/big?bytes=1000000000000&pace=20").await;
    all.spawn(async move {
        cut(download).await;
        "a download"
    });
    let mut waiting = browser.connect().await;
    let cookies = browser.cookie_line();
    let mark = app.mark();
    let request = format!("GET /app/slow HTTP/1.1\r\nHost: gw.test\r\n{cookies}\r\n");
    waiting.send(request.as_bytes()).await.unwrap();
    app.wait_for(mark, |seen| seen.head.path() == "/app/slow").await;
    all.spawn(async move {
        assert_eq!(waiting.rest().await, b"");
        "a request without an answer"
    });
    let (ready, is_ready) = tokio::sync::oneshot::channel();
    let sender = browser.clone();
    all.spawn(async move {
        upload(sender, ready).await;
        "an upload"
    });
    is_ready.await.unwrap();
    streams(browser, all).await;
    // An upload that comes after the end is refused, not cut.
    let uploads = async {
        let at_the_app = |seen: &&Seen| seen.head.path() == "/app/upload";
        while app.requests(mark).iter().filter(at_the_app).count() < 2 {
            tokio::task::yield_now().await;
        }
    };
    within(PATIENCE, "both uploads at the app", uploads).await;
}

async fn streams(browser: &Browser, all: &mut JoinSet<&'static str>) {
    let mut client = h2(browser).await;
    let cookies = browser.cookie_line();
    let cookies = cookies.trim_start_matches("Cookie: ").trim();
    let request = h2_request("GET", "/app/events?count=9", &[("cookie", cookies)]);
    let (answer, _) = client.send_request(request, true).unwrap();
    let mut body = within(PATIENCE, "the head", answer).await.unwrap().into_body();
    within(PATIENCE, "an event", body.data()).await.unwrap().unwrap();
    let request = h2_request("GET", "/public/events?count=9", &[]);
    let (answer, _) = client.send_request(request, true).unwrap();
    let mut public = within(PATIENCE, "the head", answer).await.unwrap().into_body();
    within(PATIENCE, "an event", public.data()).await.unwrap().unwrap();
    let request = h2_request("PUT", "/app/upload", &[("cookie", cookies)]);
    let (answer, mut sender) = client.send_request(request, false).unwrap();
    sender.send_data(Bytes::from_static(b"x"), false).unwrap();
    all.spawn(async move {
        reset(&mut body).await;
        assert!(answer.await.is_err_and(|error| error.is_reset()));
        // The connection and its public stream go on.
        let next = client.send_request(h2_request("GET", "/public/x", &[]), true).unwrap().0;
        assert_eq!(next.await.unwrap().status(), 200);
        assert!(!public.is_end_stream());
        "HTTP/2 streams"
    });
}

async fn reset(body: &mut RecvStream) {
    loop {
        match body.data().await {
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                assert!(error.is_reset(), "{error}");
                return;
            }
            None => panic!("the body looks complete"),
        }
    }
}

async fn all_end(mut all: JoinSet<&'static str>, why: &str) {
    let since = Instant::now();
    while let Some(one) = within(PATIENCE, why, all.join_next()).await {
        let one = one.unwrap();
        assert!(since.elapsed() < SOON, "{one} after {why}: {:?}", since.elapsed());
    }
}

async fn sign_out(browser: &mut Browser) {
    let done = browser.submit("/_auth/logout", &[]).await;
    assert_eq!(done.status, 303, "{}", done.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_that_is_under_way_at_both_nodes_ends_after_a_sign_out_at_either() {
    let cluster = Cluster::start().await;
    for (name, at) in [("alice", &cluster.two), ("bob", &cluster.one)] {
        let browser = visitor::signed_in(&cluster.one, name).await.0;
        let other = browser.at(&cluster.two);
        let mut public = web_socket(&Browser::new(&cluster.one), "/public/ws").await;
        let mut all = JoinSet::new();
        all_kinds(&cluster.app, &browser, &mut all).await;
        all_kinds(&cluster.app, &other, &mut all).await;
        sign_out(&mut browser.at(at)).await;
        all_end(all, name).await;
        echoes(&mut public).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_under_way_survives_step_ups_and_ends_with_the_renewed_session() {
    let cluster = Cluster::start().await;
    let (mut browser, mut person) = visitor::signed_in(&cluster.one, "alice").await;
    let mut bystander = visitor::signed_in(&cluster.two, "bob").await.0;
    let (first, former) = (browser.clone(), browser.at(&cluster.two));
    let mut all = JoinSet::new();
    all_kinds(&cluster.app, &browser, &mut all).await;
    all_kinds(&cluster.app, &former, &mut all).await;
    let ends_later = [
        begun(&bystander.at(&cluster.one), "/app/events?count=9").await,
        begun(&bystander, "/app/events?count=9").await,
    ];
    visitor::step_up(&mut browser, &mut person).await;
    visitor::step_up(&mut browser, &mut person).await;
    for mut former in [first, former] {
        let gone = async { while former.fetch("/app").await.status != 401 {} };
        within(PATIENCE, "the former token to be refused", gone).await;
    }
    // A sweep that ends these has seen that the former token has ended.
    sign_out(&mut bystander).await;
    for later in ends_later {
        within(PATIENCE, "the bystander", cut(later)).await;
    }
    assert!(all.try_join_next().is_none(), "a step-up ends nothing");
    sign_out(&mut browser.at(&cluster.two)).await;
    all_end(all, "a sign-out after a step-up").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_end_of_a_session_ends_its_streams_and_no_others() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let bystander = visitor::signed_in(&gateway, "bystander").await.0;
    let mut untouched = web_socket(&bystander, "/app/ws").await;
    for (name, words) in [
        ("alice", &["session", "end", "--user", "alice"][..]),
        ("bob", &["user", "disable", "bob"]),
        ("carol", &["user", "set-password", "carol", "--password-stdin"]),
        ("dave", &["user", "reset-2fa", "dave", "--reason", "lost"]),
        ("erin", &["user", "remove", "erin"]),
    ] {
        let browser = visitor::signed_in(&gateway, name).await.0;
        let mut all = JoinSet::new();
        all_kinds(&app, &browser, &mut all).await;
        let done = gateway.command(words, "another-owl-paints-the-gate");
        assert!(done.status.success(), "{words:?}: {}", String::from_utf8_lossy(&done.stderr));
        all_end(all, &words.join(" ")).await;
    }
    echoes(&mut untouched).await;
    gateway.log.wait_for_words("request ended: its session has ended").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_websocket_ends_at_the_idle_limit_and_passive_bytes_do_not_extend_it() {
    const IDLE: Duration = Duration::from_secs(8);
    let app = Recorder::start().await;
    let mut plan = Plan::new(&app).extra("[sessions]\nidle = \"8s\"\n");
    plan.apps =
        plan.apps.replacen(PUBLIC_RULE, &format!("passive = [\"/app/poll/**\"]\n{PUBLIC_RULE}"), 1);
    let gateway = Gateway::start(&plan).await;
    let mut people = all_in_use(&gateway, ["silent", "passive", "poller", "busy"]).await;
    let [(silent, _), (passive, _), (poller, _), (busy, _)] = &mut people[..] else {
        panic!("four of them")
    };
    let opened = Instant::now();
    let mut sockets = [
        web_socket(silent, "/app/ws").await,
        web_socket(passive, "/app/poll/ws").await,
        web_socket(poller, "/app/ws").await,
        web_socket(busy, "/app/ws").await,
    ];
    let [quiet, chatter, polled, used] = &mut sockets;
    let ends = async |socket: &mut WebSocketStream<Box<dyn Stream>>| {
        assert_eq!(closed(socket).await.0, 1008);
        opened.elapsed()
    };
    let beat = || interval(Duration::from_millis(500));
    let chatting = async {
        let (mut beats, began) = (beat(), Instant::now());
        loop {
            tokio::select! {
                _ = beats.tick() => drop(chatter.send(Message::text("hello")).await),
                next = chatter.next() => match next {
                    Some(Ok(Message::Close(Some(close)))) => {
                        assert_eq!(u16::from(close.code), 1008);
                        return began.elapsed();
                    }
                    Some(Ok(_)) => {}
                    end => panic!("no Close frame: {end:?}"),
                },
            }
        }
    };
    let polls = async {
        let mut beats = beat();
        loop {
            beats.tick().await;
            if poller.fetch("/app/poll/x").await.status == 401 {
                return;
            }
            poller.fetch("/_auth/session").await;
        }
    };
    let talk = async {
        let mut beats = beat();
        while opened.elapsed() < IDLE * 2 {
            beats.tick().await;
            echoes(used).await;
        }
    };
    let (one, two, three, (), ()) = tokio::join!(ends(quiet), chatting, ends(polled), polls, talk);
    for took in [one, two, three] {
        assert!(took > IDLE / 2 && took < IDLE + SOON, "{took:?}");
    }
    assert_eq!(busy.fetch("/app").await.status, 200, "its bytes kept the session alive");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_ends_what_the_rules_no_longer_let_in() {
    let app = Recorder::start().await;
    let mut plan = Plan::new(&app);
    plan.apps
        .push_str("[[apps.rules]]\nname = \"mine\"\npath = \"/app/**\"\naccess = \"two_factor\"\n");
    let gateway = Gateway::start(&plan).await;
    let browser = visitor::signed_in(&gateway, "alice").await.0;
    let mut ended = web_socket(&browser, "/app/ws").await;
    let events = begun(&browser, "/app/events?count=9").await;
    let mut goes_on = web_socket(&browser, "/elsewhere/ws").await;
    gateway.reload().await;
    echoes(&mut ended).await;
    let written = std::fs::read_to_string(&gateway.config).unwrap();
    let stricter = written.replace(
        "name = \"mine\"\npath = \"/app/**\"\naccess = \"two_factor\"",
        "name = \"mine\"\npath = \"/app/**\"\ngroups = [\"nobody\"]\naccess = \"two_factor\"\n\
         [[apps.rules]]\npath = \"/app/**\"\naccess = \"deny\"",
    );
    assert_ne!(written, stricter);
    std::fs::write(&gateway.config, stricter).unwrap();
    gateway.reload().await;
    let since = Instant::now();
    let said = within(PATIENCE, "the end", closed(&mut ended)).await;
    assert_eq!(said, (1008, "Access is no longer allowed.".to_owned()));
    within(PATIENCE, "the end of the events", cut(events)).await;
    assert!(since.elapsed() < SOON, "{:?}", since.elapsed());
    echoes(&mut goes_on).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_group_ends_what_only_the_group_may_do() {
    let app = Recorder::start().await;
    let mut plan = Plan::new(&app);
    plan.apps.push_str(
        "[[apps.rules]]\npath = \"/app/**\"\ngroups = [\"staff\"]\naccess = \"two_factor\"\n\
         [[apps.rules]]\npath = \"/app/**\"\naccess = \"deny\"\n",
    );
    let gateway = Gateway::start(&plan).await;
    let browser = visitor::signed_in(&gateway, "alice").await.0;
    let mut ended = web_socket(&browser, "/app/ws").await;
    let mut goes_on = web_socket(&browser, "/elsewhere/ws").await;
    let done = gateway.command(&["user", "set", "alice", "--remove-group", "staff"], "");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let since = Instant::now();
    assert_eq!(within(PATIENCE, "the end", closed(&mut ended)).await.0, 1008);
    assert!(since.elapsed() < SOON, "{:?}", since.elapsed());
    echoes(&mut goes_on).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_outlast_a_short_outage_of_the_session_store_and_no_long_one() {
    let cluster = Cluster::start().await;
    let redis: &RedisServer = &cluster.redis;
    let browser = visitor::signed_in(&cluster.one, "alice").await.0;
    let mut socket = web_socket(&browser, "/app/ws").await;
    let events = begun(&browser, "/app/events?count=9").await;
    let mut beats = interval(Duration::from_millis(500));
    redis.hang();
    // From a thread of its own: on a starved machine the outage would not be short otherwise.
    let resumed = async {
        tokio::time::sleep_until(Instant::now() + Duration::from_secs(2)).await;
        redis.resume();
    };
    tokio::join!(resumed, async {
        for _ in 0..12 {
            beats.tick().await;
            echoes(&mut socket).await;
        }
    });
    redis.hang();
    let since = Instant::now();
    let said = within(PATIENCE, "the end", closed(&mut socket)).await;
    assert_eq!(said, (1008, "The session could not be verified.".to_owned()));
    within(PATIENCE, "the end of the events", cut(events)).await;
    let took = since.elapsed();
    assert!(took > Duration::from_secs(3) && took < Duration::from_secs(5) + SOON, "{took:?}");
    redis.resume();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_cannot_be_read_ends_the_streams_of_its_session_only() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let mut others = Vec::new();
    for name in ["bob", "carol", "dave"] {
        let browser = visitor::signed_in(&gateway, name).await.0;
        others.push(web_socket(&browser, "/app/ws").await);
    }
    let alice = visitor::signed_in(&gateway, "alice").await.0;
    let mut socket = web_socket(&alice, "/app/ws").await;
    visitor::damage_session(&gateway, &alice).await;
    let said = within(PATIENCE, "the end", closed(&mut socket)).await;
    assert_eq!(said, (1008, "The session could not be verified.".to_owned()));
    for other in &mut others {
        echoes(other).await;
    }
    let ended = gateway.command(&["session", "end", "--user", "alice"], "");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    for other in &mut others {
        echoes(other).await;
    }
}

/// An app that takes the head of a request and reads no further.
async fn deaf_app() -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            kept.push(stream);
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_the_app_does_not_read_ends_too() {
    let (app, deaf) = (Recorder::start().await, deaf_app().await);
    let plan = Plan::new(&app);
    let apps = plan.apps.replace(&app.url(), &format!("http://{deaf}"));
    let gateway = Gateway::start(&Plan { apps, ..plan }).await;
    let browser = visitor::signed_in(&gateway, "alice").await.0;
    let mut wire = browser.connect().await;
    let head = format!(
        "PUT /app/upload HTTP/1.1\r\nHost: gw.test\r\n{}Content-Length: 100000000\r\n\r\n",
        browser.cookie_line()
    );
    wire.send(head.as_bytes()).await.unwrap();
    let block = vec![0; 64 * 1024];
    // Until all buffers on the way are full.
    while tokio::time::timeout(Duration::from_secs(1), wire.send(&block)).await.is_ok() {}
    sign_out(&mut browser.clone()).await;
    let since = Instant::now();
    within(PATIENCE, "the end", async { while wire.send(&block).await.is_ok() {} }).await;
    assert!(since.elapsed() < SOON, "{:?}", since.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_that_the_client_does_not_read_ends_at_the_app() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let browser = visitor::signed_in(&gateway, "alice").await.0;
    let unread = begun(&browser, "/app/big?bytes=1000000000000").await;
    sign_out(&mut browser.clone()).await;
    within(SOON, "the app to notice", app.wait_for_a_broken_answer()).await;
    cut(unread).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_ends_with_its_connection_is_reset() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let browser = visitor::signed_in(&gateway, "alice").await.0;
    let mut wire = Wire::new(TcpStream::connect(gateway.http).await.unwrap());
    let cookies = browser.cookie_line();
    let request = format!("GET /app/events?count=9 HTTP/1.0\r\nHost: gw.test\r\n{cookies}\r\n");
    wire.send(request.as_bytes()).await.unwrap();
    let head = within(PATIENCE, "the head", wire.answer_head()).await.unwrap();
    assert_eq!((head.status, head.get("transfer-encoding")), (200, None));
    assert_eq!(within(PATIENCE, "an event", wire.some()).await.unwrap(), b"data: 1\n\n");
    sign_out(&mut browser.clone()).await;
    let end = within(PATIENCE, "the end", wire.some()).await;
    assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_access_token_ends_what_it_let_in() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    gateway.add_user("robot");
    let (id, token) = made_for(&gateway, "robot", &[]);
    let mut wire = Browser::new(&gateway).connect().await;
    let request = format!(
        "GET /app/events?count=9 HTTP/1.1\r\nHost: gw.test\r\nVestibule-Token: {token}\r\n\r\n"
    );
    wire.send(request.as_bytes()).await.unwrap();
    let head = within(PATIENCE, "the head", wire.answer_head()).await.unwrap();
    assert_eq!(head.status, 200);
    let mut body = Body::of(&head, "GET");
    while within(PATIENCE, "a piece", wire.piece(&mut body)).await.unwrap().unwrap().is_empty() {}
    let done = gateway.command(&["token", "revoke", &id], "");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let since = Instant::now();
    within(PATIENCE, "the end", cut((wire, body))).await;
    assert!(since.elapsed() < SOON, "{:?}", since.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_a_user_who_leaves_the_group_lets_in_no_longer() {
    let app = Recorder::start().await;
    let mut plan = Plan::new(&app);
    plan.apps.push_str(
        "[[apps.rules]]\npath = \"/app/**\"\ngroups = [\"staff\"]\naccess = \"two_factor\"\n\
         [[apps.rules]]\npath = \"/app/**\"\naccess = \"deny\"\n",
    );
    let gateway = Gateway::start(&plan).await;
    gateway.add_user("robot");
    let (_id, token) = made_for(&gateway, "robot", &[]);
    let stream = async |path: &str| {
        let mut wire = Browser::new(&gateway).connect().await;
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: gw.test\r\nVestibule-Token: {token}\r\n\r\n");
        wire.send(request.as_bytes()).await.unwrap();
        let head = within(PATIENCE, "the head", wire.answer_head()).await.unwrap();
        assert_eq!(head.status, 200);
        (wire, Body::of(&head, "GET"))
    };
    let ended = stream("/app/events?count=9").await;
    let (mut goes_on, mut body) = stream("/elsewhere/events?count=9").await;
    let done = gateway.command(&["user", "set", "robot", "--remove-group", "staff"], "");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let since = Instant::now();
    within(PATIENCE, "the end", cut(ended)).await;
    assert!(since.elapsed() < SOON, "{:?}", since.elapsed());
    app.go_on();
    let (mut got, second) = (Vec::new(), b"data: 2\n\n");
    while !got.windows(second.len()).any(|event| event == second) {
        let piece = within(PATIENCE, "an event", goes_on.piece(&mut body)).await.unwrap();
        got.extend(piece.expect("the stream goes on"));
        app.go_on();
    }
}

/// Reads an answer to its end, which has to come.
async fn whole((mut wire, mut body): (Wire, Body)) {
    while within(PATIENCE, "a piece", wire.piece(&mut body)).await.unwrap().is_some() {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_token_of_two_users_at_two_apps_lets_each_go_on() {
    let app = Recorder::start().await;
    let entry = |user: &str| {
        format!(
            "dialect = \"cellengine\"\n[[apps.tokens]]\nname = \"nightly\"\nsha256 = \"{}\"\n\
             user = \"{user}\"\n",
            super::support::sha256_hex(b"cep_shared")
        )
    };
    let plan = Plan { apps: String::new(), ..Plan::new(&app) }
        .app("main", "gw.test", &app.url(), &entry("robot"))
        .app("other", "other.test", &app.url(), &entry("drone"));
    let gateway = Gateway::start(&plan).await;
    for user in ["robot", "drone", "carol"] {
        gateway.add_user(user);
    }
    let stream = async |host: &str, credential: &str| {
        let mut wire = Browser::new(&gateway).connect().await;
        let request =
            format!("GET /events?count=3 HTTP/1.1\r\nHost: {host}\r\n{credential}\r\n\r\n");
        wire.send(request.as_bytes()).await.unwrap();
        let head = within(PATIENCE, "the head", wire.answer_head()).await.unwrap();
        assert_eq!(head.status, 200, "{host}");
        (wire, Body::of(&head, "GET"))
    };
    let shared = "Authorization: Bearer cep_shared";
    // A sweep looked at every stream that is older than one that it ends.
    let sweep = async || {
        let (id, token) = made_for(&gateway, "carol", &[]);
        let control = stream("gw.test", &format!("Vestibule-Token: {token}")).await;
        assert!(gateway.command(&["token", "revoke", &id], "").status.success());
        within(PATIENCE, "the end of the control", cut(control)).await;
    };
    let (one, two) = (stream("gw.test", shared).await, stream("other.test", shared).await);
    sweep().await;
    sweep().await;
    for _ in 0..20 {
        app.go_on();
    }
    whole(one).await;
    whole(two).await;
}
