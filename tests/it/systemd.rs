//! Sockets passed by systemd, and notifications to it. The test plays systemd, in its protocol.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::process::{Child, Command};

use super::support::client::{Browser, PATIENCE};
use super::support::gateway::{Gateway, Plan};
use super::support::log::Log;
use super::support::ports::free_port;
use super::support::upstream::Recorder;
use super::support::within;

/// Starts a program with its standard input as the first socket that is handed over.
const HAND_OVER: &str = "exec 3<&0 0</dev/null; export LISTEN_FDS=1 LISTEN_PID=$$ WATCHDOG_PID=$$; \
                         exec \"$0\" \"$@\"";

/// A service: a socket that outlives its processes, and its messages.
struct Service {
    socket: TcpListener,
    messages: UnixDatagram,
    gateway: Gateway,
    _app: Recorder,
}

/// A process of the service.
struct Running {
    child: Child,
    log: Log,
}

impl Service {
    /// Makes a configuration that listens at the address of the socket.
    async fn new() -> Self {
        let app = Recorder::start().await;
        let mut gateway = Gateway::start(&Plan::new(&app)).await;
        gateway.signal("TERM");
        assert!(gateway.ended().await.success());
        // Not a port of the system's choice: another test could get it while no socket has it.
        let socket = TcpListener::bind(("127.0.0.1", free_port())).unwrap();
        let address = socket.local_addr().unwrap();
        let config = std::fs::read_to_string(&gateway.config).unwrap();
        let config = config.replacen("127.0.0.1:0", &address.to_string(), 1);
        std::fs::write(&gateway.config, config).unwrap();
        gateway.https = address;
        let messages = UnixDatagram::bind(gateway.dir().join("notify")).unwrap();
        messages.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, messages, gateway, _app: app }
    }

    fn run(&self) -> Running {
        let mut child = self.spawn();
        let pipe = child.stderr.take().unwrap().into_owned_fd().unwrap();
        Running { child, log: Log::follow(std::fs::File::from(pipe)) }
    }

    fn spawn(&self) -> Child {
        let handed_over = OwnedFd::from(self.socket.try_clone().unwrap());
        Command::new("sh")
            .args(["-c", HAND_OVER, env!("CARGO_BIN_EXE_vestibule"), "serve", "--config"])
            .arg(&self.gateway.config)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("NOTIFY_SOCKET", self.notify())
            .env("WATCHDOG_USEC", "200000")
            .stdin(Stdio::from(handed_over))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    }

    fn notify(&self) -> std::path::PathBuf {
        let at = self.messages.local_addr().unwrap();
        at.as_pathname().map(Path::to_owned).unwrap()
    }

    /// Waits for a message with this line; the whole message.
    fn told(&self, line: &str) -> String {
        let mut buffer = [0; 4096];
        loop {
            let read = self.messages.recv(&mut buffer).unwrap_or_else(|e| panic!("{line}: {e}"));
            let message = String::from_utf8_lossy(&buffer[..read]).into_owned();
            if message.lines().any(|told| told == line) {
                return message;
            }
        }
    }
}

fn signal(child: &Child, name: &str) {
    let pid = child.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args([name, &pid]).status().unwrap().success());
}

impl Running {
    fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    async fn ended(&mut self) {
        let status = within(PATIENCE, "the program to end", self.child.wait()).await.unwrap();
        assert!(status.success(), "{status}: {}", self.log.so_far());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_manager_is_told_how_the_service_is() {
    let service = Service::new().await;
    let mut running = service.run();
    service.told("READY=1");
    running.log.wait_for_words("listening socket handed over").await;
    assert_eq!(Browser::new(&service.gateway).get("/public/x").await.status, 200);
    service.told("WATCHDOG=1");
    let good = std::fs::read_to_string(&service.gateway.config).unwrap();
    std::fs::write(&service.gateway.config, format!("no_such_key = 1\n{good}")).unwrap();
    running.signal("-HUP");
    service.told("RELOADING=1");
    let failed = service.told("READY=1");
    assert!(failed.contains("STATUS=reload failed"), "{failed}");
    std::fs::write(&service.gateway.config, good).unwrap();
    running.signal("-HUP");
    let reloading = service.told("RELOADING=1");
    assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
    service.told("READY=1");
    running.signal("-TERM");
    service.told("STOPPING=1");
    running.ended().await;
}

/// Asks over a new connection each time, until told to stop; how often.
async fn ask_on(gateway: &Gateway, stop: &AtomicBool) -> u32 {
    let mut asked = 0;
    while !stop.load(Ordering::Relaxed) {
        assert_eq!(Browser::new(gateway).get("/public/x").await.status, 200);
        asked += 1;
    }
    asked
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_request_is_lost_when_the_service_restarts_under_load() {
    let service = Service::new().await;
    let mut first = service.run();
    service.told("READY=1");
    let stop = Arc::new(AtomicBool::new(false));
    let restart = async {
        first.signal("-TERM");
        first.ended().await;
        let second = service.run();
        tokio::task::block_in_place(|| service.told("READY=1"));
        // It answers what waited meanwhile, and more.
        assert_eq!(Browser::new(&service.gateway).get("/public/y").await.status, 200);
        stop.store(true, Ordering::Relaxed);
        second
    };
    let (gateway, stop) = (&service.gateway, &*stop);
    let asking = futures_util::future::join_all((0..4).map(|_| ask_on(gateway, stop)));
    let both = async { tokio::join!(restart, asking) };
    let (_second, asked) = within(Duration::from_mins(2), "the restart", both).await;
    assert!(asked.iter().all(|asked| *asked > 0), "{asked:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn notifications_that_nobody_reads_stop_nothing() {
    let service = Service::new().await;
    let mut running = service.run();
    service.told("READY=1");
    let other = UnixDatagram::unbound().unwrap();
    other.connect(service.notify()).unwrap();
    other.set_nonblocking(true).unwrap();
    while other.send(b"X=1").is_ok() {}
    running.signal("-HUP");
    running.log.wait_for_words("configuration reloaded").await;
    // Several beats of the watchdog.
    let mut beats = tokio::time::interval(Duration::from_millis(200));
    for _ in 0..4 {
        beats.tick().await;
        let mut browser = Browser::new(&service.gateway);
        let answer = within(PATIENCE, "an answer", browser.get("/public/x")).await;
        assert_eq!(answer.status, 200);
    }
    running.signal("-TERM");
    running.ended().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_nobody_reads_stops_nothing() {
    let service = Service::new().await;
    let mut child = service.spawn();
    service.told("READY=1");
    let unread = child.stderr.take().unwrap();
    // Each is refused, with a line in the log: more than a pipe holds.
    let target = format!("/app/{}", "x".repeat(4000));
    for _ in 0..100 {
        let mut browser = Browser::new(&service.gateway);
        let answer = within(PATIENCE, "an answer", browser.fetch(&target)).await;
        assert_eq!(answer.status, 401);
    }
    signal(&child, "-TERM");
    let status = within(PATIENCE, "the program to end", child.wait()).await.unwrap();
    assert!(status.success(), "{status}");
    drop(unread);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_that_no_listener_wants_is_closed_and_named() {
    let mut service = Service::new().await;
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let wanted: SocketAddr = service.socket.local_addr().unwrap();
    service.socket = other;
    let running = service.run();
    service.told("READY=1");
    running.log.wait_for_words("no listener has its address").await;
    assert_eq!(service.gateway.https, wanted);
    assert_eq!(Browser::new(&service.gateway).get("/public/x").await.status, 200, "bound itself");
}
