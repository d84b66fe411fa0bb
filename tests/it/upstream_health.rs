//! Several upstreams of an app: how requests are spread, and what happens while one is faulty.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::support::client::{self, PATIENCE};
use super::support::gateway::{Gateway, PUBLIC_RULE, Plan};
use super::support::log::Line;
use super::support::ports::ClosedPort;
use super::support::upstream::Recorder;
use super::support::visitor;
use super::support::wire::{Answer, Wire};
use super::support::within;

/// How an upstream treats requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// Answers 200 with its number.
    Works,
    /// Answers with this status.
    Answers(u16),
    /// Reads the request and says nothing.
    Hangs,
    /// Reads the request and resets the connection.
    Resets,
    /// Answers 503 to checks, 200 to the rest.
    FailsChecks,
}

/// An upstream whose manner changes, and which can go and come back at its address.
struct Server {
    address: SocketAddr,
    manner: Arc<Mutex<Manner>>,
    requests: Arc<AtomicUsize>,
    heads: Arc<Mutex<Vec<String>>>,
    listening: Option<tokio::task::JoinHandle<()>>,
    /// Its port while it is gone.
    closed: Option<ClosedPort>,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut server = Self {
            address: listener.local_addr().unwrap(),
            manner: Arc::new(Mutex::new(Manner::Works)),
            requests: Arc::default(),
            heads: Arc::default(),
            listening: None,
            closed: None,
        };
        server.serve(listener);
        server
    }

    fn serve(&mut self, listener: TcpListener) {
        let (manner, port) = (Arc::clone(&self.manner), self.address.port());
        let (requests, heads) = (Arc::clone(&self.requests), Arc::clone(&self.heads));
        self.listening = Some(tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let shared = (Arc::clone(&manner), Arc::clone(&requests), Arc::clone(&heads));
                connections.spawn(connection(stream, port, shared));
            }
        }));
    }

    fn turns(&self, manner: Manner) {
        *self.manner.lock() = manner;
    }

    /// Closes the listener and all connections.
    async fn goes(&mut self) {
        let listening = self.listening.take().unwrap();
        listening.abort();
        drop(listening.await);
        self.closed = Some(ClosedPort::at(self.address));
    }

    fn returns(&mut self) {
        let port = self.closed.take().unwrap();
        self.serve(port.listen());
    }

    fn taken(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

type Shared = (Arc<Mutex<Manner>>, Arc<AtomicUsize>, Arc<Mutex<Vec<String>>>);

async fn connection(stream: TcpStream, port: u16, (manner, requests, heads): Shared) {
    // A connection that is dropped is reset.
    stream.set_zero_linger().unwrap();
    let mut wire = Wire::new(stream);
    loop {
        let head = wire.until(b"\r\n\r\n", 64 * 1024).await.unwrap_or_default();
        if head.is_empty() {
            return;
        }
        let head = String::from_utf8(head).unwrap();
        let is_check = head.starts_with("GET /healthz");
        if is_check {
            heads.lock().push(head);
        } else {
            requests.fetch_add(1, Ordering::SeqCst);
        }
        let manner = *manner.lock();
        let status = match manner {
            Manner::FailsChecks if is_check => 503,
            Manner::Works | Manner::FailsChecks => 200,
            Manner::Answers(status) => status,
            Manner::Hangs => std::future::pending().await,
            Manner::Resets => return,
        };
        let body = port.to_string();
        let length = body.len();
        let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n\r\n{body}");
        if wire.send(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn servers<const N: usize>() -> [Server; N] {
    let mut servers = Vec::new();
    for _ in 0..N {
        servers.push(Server::start().await);
    }
    servers.try_into().unwrap_or_else(|_| panic!("as many as were asked for"))
}

/// A gateway with an app at `plain.test` behind these upstreams.
async fn before(servers: &[Server], keys: &str) -> (Gateway, Recorder) {
    let urls: Vec<String> = servers.iter().map(|s| format!("\"http://{}\"", s.address)).collect();
    before_list(&urls.join(", "), keys).await
}

async fn before_list(upstreams: &str, keys: &str) -> (Gateway, Recorder) {
    let recorder = Recorder::start().await;
    let (keys, table) = keys.split_once("[apps.").unwrap_or((keys, ""));
    let table = if table.is_empty() { String::new() } else { format!("[apps.{table}\n") };
    let more = format!("{keys}\n{table}{PUBLIC_RULE}");
    let plan = Plan::new(&recorder).app("many", "plain.test", "http://UPSTREAMS", &more);
    let apps = plan.apps.replace("\"http://UPSTREAMS\"", upstreams);
    (Gateway::start(&Plan { apps, ..plan }).await, recorder)
}

/// One request on a connection of its own.
async fn ask(gateway: &Gateway, method: &str) -> Answer {
    let mut wire = Wire::new(TcpStream::connect(gateway.http).await.unwrap());
    let length = if method == "POST" { "Content-Length: 0\r\n" } else { "" };
    let request = format!("{method} /public/x HTTP/1.1\r\nHost: plain.test\r\n{length}\r\n");
    wire.send(request.as_bytes()).await.unwrap();
    within(PATIENCE, method, wire.answer(method)).await.unwrap()
}

/// `count` requests, `at_once` at a time: how many got each status.
async fn statuses(
    gateway: &Gateway,
    method: &'static str,
    count: usize,
    at_once: usize,
) -> BTreeMap<u16, usize> {
    let mut all = BTreeMap::new();
    let left = AtomicUsize::new(count);
    let one = async || {
        let mut got = Vec::new();
        while left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok() {
            got.push(ask(gateway, method).await.status);
        }
        got
    };
    for got in futures_util::future::join_all((0..at_once).map(|_| one())).await {
        for status in got {
            *all.entry(status).or_default() += 1;
        }
    }
    all
}

fn failed(statuses: &BTreeMap<u16, usize>) -> usize {
    statuses.iter().filter(|(status, _)| **status >= 500).map(|(_, count)| count).sum()
}

async fn figure(gateway: &Gateway, series: &str) -> Option<u64> {
    let page = client::admin(gateway, "/metrics").await.text();
    let found = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    found.map(|number| number.parse().unwrap())
}

async fn becomes(gateway: &Gateway, server: &Server, up: u64) {
    let series = format!("vestibule_upstream_up{{app=\"many\",address=\"{}\"}}", server.address);
    // Trials are made by requests.
    let right = async {
        while figure(gateway, &series).await != Some(up) {
            ask(gateway, "GET").await;
        }
    };
    within(PATIENCE, &series, right).await;
}

fn lines(gateway: &Gateway, message: &str) -> usize {
    gateway.log.text().lines().filter(|line| line.contains(&format!("\"{message}\""))).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_three_that_answers_502_is_taken_out_and_returns_by_trial() {
    let servers = servers::<3>().await;
    let (gateway, _recorder) = before(&servers, "").await;
    servers[0].turns(Manner::Answers(502));
    let reads = statuses(&gateway, "GET", 60, 4).await;
    assert_eq!(failed(&reads), 0, "repeated elsewhere: {reads:?}");
    becomes(&gateway, &servers[0], 0).await;
    let writes = statuses(&gateway, "POST", 60, 4).await;
    assert_eq!(failed(&writes), 0, "{writes:?}");
    servers[0].turns(Manner::Works);
    becomes(&gateway, &servers[0], 1).await;
    gateway.log.wait_for_words("upstream is up again").await;
    assert_eq!(lines(&gateway, "upstream is down"), 1, "{}", gateway.log.so_far());
    assert_eq!(lines(&gateway, "upstream is up again"), 1, "{}", gateway.log.so_far());
    let before = servers[0].taken();
    statuses(&gateway, "POST", 30, 1).await;
    assert_eq!(servers[0].taken() - before, 10, "its share again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_repeated_fails_no_more_often_than_the_threshold_says() {
    for (manner, most) in [(Manner::Answers(503), 3), (Manner::Resets, 3)] {
        let servers = servers::<3>().await;
        let (gateway, _recorder) = before(&servers, "").await;
        servers[1].turns(manner);
        let writes = statuses(&gateway, "POST", 60, 1).await;
        let failed = failed(&writes);
        assert!((1..=most).contains(&failed), "{manner:?}: {writes:?}");
        servers[1].turns(Manner::Works);
        becomes(&gateway, &servers[1], 1).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_three_that_resets_costs_readers_nothing() {
    let servers = servers::<3>().await;
    let (gateway, _recorder) = before(&servers, "").await;
    servers[2].turns(Manner::Resets);
    let reads = statuses(&gateway, "GET", 60, 4).await;
    assert_eq!(failed(&reads), 0, "{reads:?}");
    becomes(&gateway, &servers[2], 0).await;
    servers[2].turns(Manner::Works);
    becomes(&gateway, &servers[2], 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_three_that_hangs_holds_up_few_requests_and_is_taken_out() {
    let servers = servers::<3>().await;
    let (gateway, _recorder) = before(&servers, "read_timeout = \"2s\"").await;
    servers[0].turns(Manner::Hangs);
    let began = tokio::time::Instant::now();
    let reads = statuses(&gateway, "GET", 400, 4).await;
    // Five at first, then one for each trial.
    let trials = usize::try_from(began.elapsed().as_secs() / 3).unwrap();
    assert!(failed(&reads) <= 5 + trials, "{reads:?}");
    assert_eq!(reads.keys().filter(|s| ![200, 504].contains(*s)).count(), 0, "{reads:?}");
    becomes(&gateway, &servers[0], 0).await;
    let told = |line: &Line| {
        let down = line.get("message") == Some("upstream is down");
        (down && line.get("fault") == Some("timeout")).then_some(())
    };
    gateway.log.wait_for("line", told).await;
    servers[0].turns(Manner::Works);
    becomes(&gateway, &servers[0], 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_gone_is_503_at_once_and_requests_pass_soon_after_they_return() {
    let mut servers = servers::<3>().await;
    let (gateway, _recorder) = before(&servers, "").await;
    assert_eq!(ask(&gateway, "GET").await.status, 200);
    for server in &mut servers {
        server.goes().await;
    }
    let gone = async { while ask(&gateway, "POST").await.status != 503 {} };
    within(PATIENCE, "503", gone).await;
    for _ in 0..20 {
        let answer = ask(&gateway, "GET").await;
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert_eq!(answer.json()["code"], "upstream_unavailable");
        assert!(answer.get("retry-after").is_some());
    }
    let refused =
        figure(&gateway, "vestibule_requests_total{app=\"many\",outcome=\"failed\"}").await;
    assert!(refused.unwrap() >= 20, "{refused:?}");
    for server in &mut servers {
        server.returns();
    }
    let right = async { while ask(&gateway, "GET").await.status != 200 {} };
    within(PATIENCE, "200", right).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_upstream_is_tried_by_each_request_and_told_of() {
    let mut servers = servers::<1>().await;
    let (gateway, _recorder) = before(&servers, "").await;
    servers[0].goes().await;
    for _ in 0..6 {
        let answer = ask(&gateway, "GET").await;
        assert_eq!((answer.status, answer.get("retry-after")), (502, Some("5")));
    }
    becomes(&gateway, &servers[0], 0).await;
    servers[0].returns();
    assert_eq!(ask(&gateway, "POST").await.status, 200, "there is no wait");
    becomes(&gateway, &servers[0], 1).await;
    servers[0].turns(Manner::Answers(503));
    for _ in 0..6 {
        let answer = ask(&gateway, "GET").await;
        assert_eq!((answer.status, answer.text()), (503, servers[0].address.port().to_string()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_follow_the_weights() {
    let servers = servers::<2>().await;
    let (heavy, light) = (&servers[0], &servers[1]);
    let list = format!(
        "{{ url = \"http://{}\", weight = 3 }}, \"http://{}\"",
        heavy.address, light.address
    );
    let (gateway, _recorder) = before_list(&list, "").await;
    statuses(&gateway, "GET", 40, 1).await;
    assert_eq!((heavy.taken(), light.taken()), (30, 10));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sticky_session_stays_with_its_upstream_until_that_goes() {
    let mut servers = servers::<3>().await;
    let urls: Vec<String> = servers.iter().map(|s| format!("\"http://{}\"", s.address)).collect();
    let recorder = Recorder::start().await;
    let mut plan = Plan::new(&recorder);
    let sticky = format!("upstreams = [{}]\nsticky = true", urls.join(", "));
    plan.apps = plan.apps.replace(&format!("upstreams = [\"{}\"]", recorder.url()), &sticky);
    let gateway = Gateway::start(&plan).await;
    let mut homes = BTreeMap::new();
    let mut browsers = Vec::new();
    for name in ["alice", "bob", "carol", "dave", "erin", "frank"] {
        let (mut browser, _person) = visitor::signed_in(&gateway, name).await;
        let home = browser.get("/app").await.text();
        for _ in 0..5 {
            assert_eq!(browser.get("/app").await.text(), home);
        }
        homes.insert(name, home);
        browsers.push((name, browser));
    }
    let gone = homes["alice"].clone();
    let server = servers.iter_mut().find(|s| s.address.port().to_string() == gone).unwrap();
    server.goes().await;
    for (name, browser) in &mut browsers {
        let answer = browser.get("/app").await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.text() == homes[name], homes[name] != gone, "{name}");
    }
    server.returns();
    let back = async { while browsers[0].1.get("/app").await.text() != gone {} };
    within(PATIENCE, "alice's upstream", back).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_by_path_takes_an_upstream_out_before_a_request_fails() {
    let servers = servers::<2>().await;
    let health = "[apps.health]\npath = \"/healthz?full=1\"\ninterval = \"100ms\"";
    let (gateway, _recorder) = before(&servers, health).await;
    servers[0].turns(Manner::FailsChecks);
    becomes(&gateway, &servers[0], 0).await;
    let before = servers[0].taken();
    assert_eq!(failed(&statuses(&gateway, "POST", 20, 2).await), 0);
    assert_eq!(servers[0].taken(), before);
    // Without another, one that answers requests is used, whatever its check says.
    servers[1].turns(Manner::FailsChecks);
    becomes(&gateway, &servers[1], 0).await;
    assert_eq!(failed(&statuses(&gateway, "GET", 20, 2).await), 0);
    servers[0].turns(Manner::Works);
    becomes(&gateway, &servers[0], 1).await;
    let head = servers[0].heads.lock()[0].to_ascii_lowercase();
    assert!(head.starts_with("get /healthz?full=1 http/1.1\r\n"), "{head}");
    assert!(head.contains("\r\nhost: plain.test\r\n"), "{head}");
    assert!(head.contains("\r\nuser-agent: vestibule-health-check\r\n"), "{head}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_online_tries_the_path_of_the_checks() {
    let servers = servers::<2>().await;
    let health = "[apps.health]\npath = \"/healthz\"\nstatus = [200]";
    let (gateway, _recorder) = before(&servers, health).await;
    let config = gateway.config.display().to_string();
    let check = || gateway.command(&["check", "--online"], "");
    assert!(check().status.success(), "{config}");
    servers[1].turns(Manner::Answers(204));
    let output = check();
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    let sentence = format!("upstream {}: GET /healthz: status 204", servers[1].address);
    assert!(said.contains(&sentence), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_keeps_what_is_known_and_addresses_whose_name_stopped_resolving() {
    let mut servers = servers::<2>().await;
    let (gateway, _recorder) = before(&servers, "").await;
    servers[1].goes().await;
    statuses(&gateway, "GET", 4, 1).await;
    becomes(&gateway, &servers[1], 0).await;
    let good = std::fs::read_to_string(&gateway.config).unwrap();
    gateway.reload().await;
    let series = |address| format!("vestibule_upstream_up{{app=\"many\",address=\"{address}\"}}");
    assert_eq!(figure(&gateway, &series(servers[1].address)).await, Some(0), "still known");
    assert_eq!(lines(&gateway, "upstream is down"), 1);

    let second = format!(", \"http://{}\"", servers[1].address);
    std::fs::write(&gateway.config, good.replace(&second, "")).unwrap();
    gateway.reload().await;
    assert_eq!(figure(&gateway, &series(servers[1].address)).await, None, "it is gone");

    let first = format!("http://{}", servers[0].address);
    let wrong = good.replace(&second, "").replace(&first, "http://nowhere.invalid:1");
    std::fs::write(&gateway.config, wrong).unwrap();
    gateway.reload().await;
    let told = |line: &Line| {
        let told = line.get("message")?.starts_with("upstream name does not resolve");
        (told && line.get("host") == Some("nowhere.invalid")).then_some(())
    };
    gateway.log.wait_for("the name", told).await;
    assert_eq!(ask(&gateway, "GET").await.status, 200, "the address that works is kept");
}
