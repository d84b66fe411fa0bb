//! A stand-in for `CellEngine` behind two gateways on one Redis and one PostgreSQL, and the client
//! that sends what its toolkit sends.

use super::program::output_of;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpStream;

use super::certs::Certificates;
use super::client::{Browser, PATIENCE, tls};
use super::codes::Codes;
use super::gateway::{self, Gateway, Plan};
use super::log::Log;
use super::servers::{PostgresServer, RedisServer};
use super::wire::{Answer, Wire};
use super::{visitor, within};

/// Debian's own Python: that is where its packages are.
const PYTHON: &str = "/usr/bin/python3";
/// The longest that a run of the client takes.
const LONGEST: Duration = Duration::from_mins(3);

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cellengine").join(name)
}

/// The app; it is killed when this goes.
pub(crate) struct CellEngine {
    address: SocketAddr,
    /// The name in its certificate.
    tls: Option<(&'static str, Certificates)>,
    child: Child,
}

impl Drop for CellEngine {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl CellEngine {
    /// Starts it with these options.
    pub(crate) async fn start(options: &[&str]) -> Self {
        let mut child = Command::new(PYTHON)
            .arg(script("fake_cellengine.py"))
            .args(["--port", "0"])
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let log = Log::follow(child.stdout.take().unwrap());
        let address = log.wait_for("address of the app", |line| {
            line.text().strip_prefix("fake CellEngine on ")?.trim().parse().ok()
        });
        Self { address: address.await, tls: None, child }
    }

    /// Starts it with a certificate for `name`.
    async fn start_tls(name: &'static str, certificates: Certificates, options: &[&str]) -> Self {
        let (cert, key) = (certificates.cert.display(), certificates.key.display());
        let (cert, key) = (cert.to_string(), key.to_string());
        let tls = ["--tls-cert", &cert, "--tls-key", &key];
        let mut started = Self::start(&[&tls[..], options].concat()).await;
        started.tls = Some((name, certificates));
        started
    }

    /// Its address.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Asks it itself, past the gateway.
    pub(crate) async fn ask(&self, method: &str, target: &str, lines: &str, body: &str) -> Answer {
        let exchange = async {
            let stream = TcpStream::connect(self.address).await?;
            let mut wire = match &self.tls {
                None => Wire::new(stream),
                Some((name, known)) => Wire::new(tls(stream, known, name, "http/1.1").await?),
            };
            let request = format!(
                "{method} {target} HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\
                 Content-Length: {}\r\n{lines}\r\n{body}",
                body.len()
            );
            wire.send(request.as_bytes()).await?;
            wire.answer(method).await
        };
        within(PATIENCE, target, exchange).await.unwrap()
    }

    /// The requests it has had, but for those of tests.
    pub(crate) async fn requests(&self) -> Vec<Value> {
        let log = self.ask("GET", "/__fake/log", "", "").await.json();
        log.as_array().cloned().unwrap()
    }

    /// Lets all its session tokens expire.
    pub(crate) async fn expire(&self) {
        assert!(self.ask("POST", "/__fake/expire", "", "").await.status < 300);
    }

    /// Switches on its own second factor for this person, as whoever knows the password can.
    pub(crate) async fn switch_on_code(&self, user: &str) {
        let target = format!("/__fake/second?user={user}");
        assert!(self.ask("POST", &target, "", "").await.status < 300);
    }

    /// The code of its own that it would take from this person.
    pub(crate) async fn code(&self, user: &str) -> String {
        let answer = self.ask("GET", &format!("/__fake/totp?user={user}"), "", "").await;
        let text = answer.text();
        text.chars().filter(char::is_ascii_digit).take(6).collect()
    }

    /// Signs in past the gateway: a token that the gateway does not know.
    pub(crate) async fn token(&self, user: &str) -> String {
        let body = format!("{{\"username\":\"{user}\",\"password\":\"pw-{user}\"}}");
        let kind = "Content-Type: application/json\r\n";
        let answer = self.ask("POST", "/api/v1/signin", kind, &body).await;
        answer.json()["token"].as_str().unwrap().to_owned()
    }
}

/// The app behind two gateways.
pub(crate) struct Lab {
    /// Sessions.
    pub(crate) redis: RedisServer,
    /// The app.
    pub(crate) app: CellEngine,
    /// A gateway.
    pub(crate) one: Gateway,
    /// Another one.
    pub(crate) two: Gateway,
    plan: Plan,
    _postgres: Arc<PostgresServer>,
    _files: TempDir,
}

impl Lab {
    /// Stops both gateways; all that they logged.
    pub(crate) async fn whole_log(&self) -> String {
        let mut all = String::new();
        for gateway in [&self.one, &self.two] {
            gateway.signal("TERM");
            assert!(gateway.ended().await.success(), "{}", gateway.log.so_far());
            all.push_str(&gateway.log.whole());
        }
        all
    }

    /// Starts it all: people of the app get accounts; `more` holds further keys of the app.
    pub(crate) async fn start(more: &str) -> Self {
        Self::with(more, &[]).await
    }

    /// The same with options of the app's.
    pub(crate) async fn with(more: &str, options: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self::before(CellEngine::start(options).await, more, "", dir).await
    }

    /// The same with further keys of `[sessions]`.
    pub(crate) async fn with_sessions(more: &str, sessions: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self::before(CellEngine::start(&[]).await, more, sessions, dir).await
    }

    /// The same with an app that speaks TLS and is addressed by a name of its own.
    pub(crate) async fn named(name: &'static str, more: &str, options: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let certificates = Certificates::make(dir.path(), &[name]);
        let authority = certificates.authority.display();
        let more = format!("upstream_host = \"{name}\"\nupstream_ca = \"{authority}\"\n{more}");
        let app = CellEngine::start_tls(name, certificates, options).await;
        Self::before(app, &more, "", dir).await
    }

    async fn before(app: CellEngine, more: &str, sessions: &str, dir: TempDir) -> Self {
        let (redis, postgres) = (RedisServer::start(), PostgresServer::shared());
        let database = postgres.database().await;
        let keys = dir.path().join("keys.toml");
        gateway::make_keys(&keys);
        let plan = Plan {
            first: String::new(),
            apps: String::new(),
            extra: format!(
                "[sessions]\nstore = \"redis\"\n{sessions}\n[redis]\nurl = \"{}\"\n\
                 [accounts]\ndatabase = \"{database}\"\n",
                redis.url()
            ),
            level: "info",
            names: vec!["localhost"],
            keys: Some(keys),
            disk: None,
            descriptors: None,
            clock: None,
        };
        let other = more.contains("dialect = ");
        let dialect = if other { "" } else { "dialect = \"cellengine\"\n" };
        let described = format!("{dialect}first_factor = \"app\"\n{more}");
        let plan = plan.app("cellengine", "localhost", &app.url(), &described);
        let one = Gateway::start(&plan).await;
        let two = Gateway::start(&plan).await;
        Self { redis, app, one, two, plan, _postgres: postgres, _files: dir }
    }

    /// A third gateway like the two.
    pub(crate) async fn another(&self) -> Gateway {
        Gateway::start(&self.plan).await
    }

    /// A browser at a gateway.
    pub(crate) fn browser(gateway: &Gateway) -> Browser {
        let mut browser = Browser::new(gateway);
        "localhost".clone_into(&mut browser.host);
        browser
    }

    /// First sign-in of a person on our page, with enrolment: browser, authenticator, recovery codes.
    pub(crate) async fn join(&self, user: &str) -> (Browser, Codes, Vec<String>) {
        let mut browser = Self::browser(&self.one);
        let password = format!("pw-{user}");
        let form = [("username", user), ("password", password.as_str())];
        let answer = browser.submit("/_auth/login", &form).await;
        assert_eq!((answer.status, answer.location()), (303, "/_auth/enroll"), "{}", answer.text());
        let (codes, enrolled) = visitor::enrol(&mut browser).await;
        let recovery = visitor::keep_recovery_codes(&mut browser, &enrolled).await.0;
        (browser, codes, recovery)
    }

    /// A run of the client at a gateway with this on its standard input: what it says in the end.
    pub(crate) async fn client(gateway: &Gateway, args: &[&str], input: &str) -> Value {
        let mut command = client(gateway, args);
        let input = input.to_owned();
        let run = tokio::task::spawn_blocking(move || {
            let mut child = command.spawn().unwrap();
            drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
            output_of(child)
        });
        let output = within(LONGEST, "the client", run).await.unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let wrong = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {said}\n{wrong}");
        serde_json::from_str(said.lines().last().unwrap_or_default())
            .or_else(|_| serde_json::from_str(said.rsplit("code: ").next().unwrap_or_default()))
            .unwrap_or_else(|e| panic!("{args:?}: {e}: {said}"))
    }
}

/// The client at a gateway, not yet running.
pub(crate) fn client(gateway: &Gateway, args: &[&str]) -> Command {
    client_at(&base(gateway), gateway, args)
}

/// The same at another address, trusting the authority of a gateway.
pub(crate) fn client_at(base: &str, gateway: &Gateway, args: &[&str]) -> Command {
    let mut command = Command::new(PYTHON);
    command
        .arg(script("client.py"))
        .arg(base)
        .args(args)
        .env("REQUESTS_CA_BUNDLE", &gateway.certificates.authority)
        .env("no_proxy", "*")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// What the client takes for the app.
pub(crate) fn base(gateway: &Gateway) -> String {
    format!("https://localhost:{}", gateway.https.port())
}

/// One address before gateways that come and go.
pub(crate) struct Front {
    /// What the client takes for the app.
    pub(crate) base: String,
    to: tokio::sync::watch::Sender<SocketAddr>,
}

impl Front {
    /// Before this gateway.
    pub(crate) async fn before(gateway: &Gateway) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let (to, target) = tokio::sync::watch::channel(gateway.https);
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let to = *target.borrow();
                tokio::spawn(async move {
                    // Where nobody listens the connection is closed: the client has to try again.
                    let Ok(mut server) = TcpStream::connect(to).await else { return };
                    drop(tokio::io::copy_bidirectional(&mut client, &mut server).await);
                });
            }
        });
        Self { base, to }
    }

    /// From now on before this one.
    pub(crate) fn turn_to(&self, gateway: &Gateway) {
        self.to.send(gateway.https).unwrap();
    }
}
