//! Our own tokens for programs: who sees and revokes them, when their time is over, and what of them
//! can be found where.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use http::Request;
use sqlx::{Connection as _, Row as _};
use tokio_tungstenite::tungstenite::Message;
use vestibule::base::secret::Secret;
use vestibule::store::redis::RedisStore;

use super::streams::{h2, h2_request};
use super::support::client::{Browser, PATIENCE};
use super::support::cluster::Cluster;
use super::support::gateway::Gateway;
use super::support::{client, visitor, within};
use super::tokens::{ask, code, made, made_for};

/// The token's whole text in a `Vestibule-Token` line.
fn line(token: &str) -> String {
    format!("Vestibule-Token: {token}\r\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_sees_their_tokens_and_revokes_them_with_a_fresh_code_and_nobody_elses() {
    let cluster = Cluster::start().await;
    let (mut alice, mut person) = visitor::signed_in(&cluster.one, "alice").await;
    cluster.one.add_user("bob");
    let limits = ["--description", "nightly <export>", "--method", "GET"];
    let (id, token) = made(&cluster.one, &limits);
    let (of_bob, other) = made_for(&cluster.one, "bob", &[]);
    let page = alice.get("/_auth/account").await;
    let text = page.text();
    for told in ["nightly &#60;export&#62;", "only GET", "never used", id.as_str()] {
        assert!(text.contains(told), "no {told:?} in {text}");
    }
    assert!(!text.contains(&of_bob) && !text.contains(&token));

    let foreign = alice.submit_from(&page, "/_auth/account/tokens", &[("id", &of_bob)]).await;
    assert_eq!(foreign.location(), "/_auth/account?done=notoken");
    assert_eq!(ask(&cluster.two, "GET", "/data", &other).await.status, 200);

    let store = RedisStore::open(&Secret::new(cluster.redis.url()), "vestibule").unwrap();
    visitor::let_proofs_age_in(&store, &cluster.keys, &alice).await;
    let page = alice.get("/_auth/account").await;
    let led = alice.submit_from(&page, "/_auth/account/tokens", &[("id", &id)]).await;
    assert!(led.location().starts_with("/_auth/step-up"), "{}", led.location());
    assert_eq!(ask(&cluster.two, "GET", "/data", &token).await.status, 200, "not yet");
    let proving = alice.get(led.location()).await;
    let fresh = person.codes.next().await;
    let done = alice.submit_from(&proving, "/_auth/step-up", &[("code", &fresh)]).await;
    let page = alice.get(done.location()).await;
    let done = alice.submit_from(&page, "/_auth/account/tokens", &[("id", &id)]).await;
    assert_eq!(done.location(), "/_auth/account?done=revoked");
    let refused = async { while ask(&cluster.two, "GET", "/data", &token).await.status != 401 {} };
    within(PATIENCE, "the other node to refuse", refused).await;
    let after = alice.get("/_auth/account").await.text();
    assert!(!after.contains(&id), "{after}");
    let rows = cluster.one.command(&["audit", "list", "--event", "token_revoked", "--json"], "");
    let rows: serde_json::Value = serde_json::from_slice(&rows.stdout).unwrap();
    assert_eq!((rows.as_array().map(Vec::len), &rows[0]["actor"]), (Some(1), &"person".into()));
}

/// Opens the app's echo with a token.
async fn tunnel(
    gateway: &Gateway,
    token: &str,
) -> tokio_tungstenite::WebSocketStream<Box<dyn super::support::wire::Stream>> {
    let request = Request::builder()
        .uri("wss://gw.test/app/ws")
        .header("Host", "gw.test")
        .header("Vestibule-Token", token)
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Origin", "https://gw.test")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
        .body(())
        .unwrap();
    let (stream, _ahead) = Browser::new(gateway).connect().await.into_parts();
    let opened = tokio_tungstenite::client_async(request, stream);
    within(PATIENCE, "the handshake", opened).await.unwrap().0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_whose_methods_are_limited_opens_a_websocket_by_a_right_of_its_own_only() {
    let cluster = Cluster::start().await;
    cluster.one.add_user("alice");
    let (_, reading) = made(&cluster.one, &["--method", "GET"]);
    let (_, allowed) = made(&cluster.one, &["--method", "POST", "--websocket"]);
    let upgrade = |token: &str| {
        format!(
            "Vestibule-Token: {token}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        )
    };
    assert_eq!(ask(&cluster.one, "GET", "/app/ws", &reading).await.status, 200, "a plain GET");
    let mark = cluster.app.mark();
    for path in ["/app/ws", "/app/data"] {
        let refused = Browser::new(&cluster.one).ask("GET", path, &upgrade(&reading), b"").await;
        assert_eq!((refused.status, code(&refused).as_str()), (401, "token_refused"), "{path}");
    }
    assert!(cluster.app.requests(mark).is_empty());
    // Only a GET is a handshake: an app that ignores `Upgrade` would execute the request.
    let (_, both) = made(&cluster.one, &["--method", "GET", "--websocket"]);
    for method in ["DELETE", "POST", "OPTIONS"] {
        let mut program = Browser::new(&cluster.one);
        let answer = program.ask(method, "/app/data", &upgrade(&both), b"").await;
        assert_eq!((answer.status, code(&answer).as_str()), (401, "token_refused"), "{method}");
    }
    assert!(cluster.app.requests(mark).is_empty());
    let mut tunnel = tunnel(&cluster.one, &allowed).await;
    tunnel.send(Message::text("hello")).await.unwrap();
    let echo = within(PATIENCE, "the echo", tunnel.next()).await.unwrap().unwrap();
    assert_eq!(echo, Message::text("hello"));
    assert_eq!(ask(&cluster.one, "GET", "/app/data", &allowed).await.status, 401, "no plain GET");
    let listed = cluster.one.command(&["token", "list", "--json"], "");
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    let rights: Vec<_> = listed.as_array().unwrap().iter().map(|t| &t["websocket"]).collect();
    assert_eq!(rights, [true, true, false].map(|right| serde_json::json!(right)).each_ref());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_token_opened_ends_with_it_and_with_its_time() {
    let cluster = Cluster::start().await;
    cluster.one.add_user("alice");
    let (id, lasting) = made(&cluster.one, &[]);
    let (_, short) = made(&cluster.one, &["--expires", "25s"]);
    let mut tunnels = [tunnel(&cluster.two, &lasting).await, tunnel(&cluster.two, &short).await];
    for tunnel in &mut tunnels {
        tunnel.send(Message::text("hello")).await.unwrap();
        let echo = within(PATIENCE, "the echo", tunnel.next()).await.unwrap().unwrap();
        assert_eq!(echo, Message::text("hello"));
    }
    let [mut revoked, mut expired] = tunnels;
    let over = async { while matches!(expired.next().await, Some(Ok(_))) {} };
    within(Duration::from_mins(1), "the tunnel to end with the token's time", over).await;
    assert_eq!(ask(&cluster.one, "GET", "/data", &short).await.status, 401);

    revoked.send(Message::text("still")).await.unwrap();
    let echo = within(PATIENCE, "the echo", revoked.next()).await.unwrap().unwrap();
    assert_eq!(echo, Message::text("still"), "this one lives");
    assert!(cluster.one.command(&["token", "revoke", &id], "").status.success());
    let over = async { while matches!(revoked.next().await, Some(Ok(_))) {} };
    within(PATIENCE, "the tunnel to end with the token", over).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_tokens_are_refused_over_http_2_as_well_and_one_is_not() {
    let cluster = Cluster::start().await;
    cluster.one.add_user("alice");
    let (_, token) = made(&cluster.one, &[]);
    let mark = cluster.app.mark();
    for (times, status) in [(2, 400), (1, 200)] {
        let mut client = h2(&Browser::new(&cluster.one)).await;
        let fields = vec![("vestibule-token", token.as_str()); times];
        let (answer, _) = client.send_request(h2_request("GET", "/data", &fields), true).unwrap();
        let answer = within(PATIENCE, "the answer", answer).await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{times} tokens");
    }
    assert_eq!(cluster.app.requests(mark).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_of_one_app_and_goes_with_its_person() {
    let other = "[[apps]]\nname = \"other\"\nhosts = [\"other.test\"]\n\
                 upstreams = [\"http://127.0.0.1:9\"]\n";
    let cluster = Cluster::with(other).await;
    cluster.one.add_user("alice");
    let (_, token) = made(&cluster.one, &[]);
    let mut elsewhere = Browser::new(&cluster.one);
    "other.test".clone_into(&mut elsewhere.host);
    let refused = elsewhere.ask("GET", "/data", &line(&token), b"").await;
    assert_eq!((refused.status, code(&refused).as_str()), (401, "token_refused"));
    let why = refused.json()["reference"].as_str().unwrap().to_owned();
    let told = async {
        loop {
            let told = cluster.two.command(&["why", &why], "");
            if told.status.success() {
                break String::from_utf8(told.stdout).unwrap();
            }
        }
    };
    let told = within(PATIENCE, "the refusal to be kept", told).await;
    assert!(told.contains("vestibule-token") && !told.contains(&token), "{told}");

    assert_eq!(ask(&cluster.one, "GET", "/data", &token).await.status, 200);
    assert!(cluster.one.command(&["user", "remove", "alice"], "").status.success());
    let refused = async { while ask(&cluster.two, "GET", "/data", &token).await.status != 401 {} };
    within(PATIENCE, "a removed person's token to be refused", refused).await;
    let listed = cluster.one.command(&["token", "list", "--json"], "");
    assert_eq!(String::from_utf8_lossy(&listed.stdout).trim(), "[]");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guessing_is_slowed_and_counted_and_right_tokens_are_not() {
    let cluster = Cluster::start().await;
    cluster.one.add_user("alice");
    let (_, token) = made(&cluster.one, &[]);
    let slowed = async {
        for i in 0_u32.. {
            let gateway = if i.is_multiple_of(2) { &cluster.one } else { &cluster.two };
            let answer = ask(gateway, "GET", "/data", &format!("vst_{i}")).await;
            if answer.status == 429 {
                assert!(answer.get("retry-after").is_some());
                assert_eq!(code(&answer), "too_many_tries");
                break;
            }
            assert_eq!(answer.status, 401);
        }
    };
    within(PATIENCE, "guesses to be slowed", slowed).await;
    assert_eq!(ask(&cluster.one, "GET", "/data", &token).await.status, 200, "a right one");
    let metrics = client::admin(&cluster.one, "/metrics").await.text();
    assert!(metrics.contains("vestibule_sign_in_failures_total{what=\"token\"}"), "{metrics}");
}

/// The rows about tokens in the database of a gateway.
async fn tokens_in_sql(gateway: &Gateway) -> String {
    let config = std::fs::read_to_string(&gateway.config).unwrap();
    let url = config.split("database = \"").nth(1).unwrap().split('"').next().unwrap();
    let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
    let rows = sqlx::query("SELECT t::text AS row FROM access_tokens t");
    let rows = rows.fetch_all(&mut connection).await.unwrap();
    rows.iter().map(|row| row.get::<String, _>("row")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_lies_nowhere_in_plain_text() {
    let cluster = Cluster::start().await;
    cluster.one.add_user("alice");
    let (_, token) = made(&cluster.one, &["--path", "/data/**"]);
    assert_eq!(ask(&cluster.one, "GET", "/data/a", &token).await.status, 200);
    assert_eq!(ask(&cluster.one, "GET", "/other", &token).await.status, 401);
    let mut places = vec![
        ("Redis", cluster.redis.dump().await),
        ("PostgreSQL", tokens_in_sql(&cluster.one).await),
    ];
    let listed = cluster.one.command(&["token", "list", "--json"], "");
    places.push(("the list", String::from_utf8(listed.stdout).unwrap()));
    cluster.one.signal("TERM");
    assert!(cluster.one.ended().await.success(), "{}", cluster.one.log.so_far());
    places.push(("the log", cluster.one.log.whole()));
    for (place, text) in places {
        assert!(!text.is_empty(), "{place}");
        for piece in token.as_bytes()[4..].chunks(16) {
            let piece = std::str::from_utf8(piece).unwrap();
            assert!(!text.contains(piece), "{piece} of the token lies in {place}");
        }
    }
}
