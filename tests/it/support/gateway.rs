//! The built program, running: a directory of its own, a configuration, certificates, free ports.

use super::program::output_of;
use super::watchdog::watch;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tempfile::TempDir;

use super::certs::Certificates;
use super::disk::SmallDisk;
use super::log::Log;
use super::upstream::Recorder;
use super::within;

/// The host that tests ask for.
pub(crate) const HOST: &str = "gw.test";
/// A password that no list of bad ones holds.
pub(crate) const PASSWORD: &str = "seven-owls-paint-the-fence";

/// What to write into the configuration.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Keys before all tables.
    pub(crate) first: String,
    /// The `[[apps]]` tables.
    pub(crate) apps: String,
    /// Top-level keys and tables of a test's own.
    pub(crate) extra: String,
    /// `[log] level`.
    pub(crate) level: &'static str,
    /// The names in the certificate.
    pub(crate) names: Vec<&'static str>,
    /// The key file; by default the one made in the data directory.
    pub(crate) keys: Option<PathBuf>,
    /// The size of a disk of its own for the data directory.
    pub(crate) disk: Option<&'static str>,
    /// Soft and hard limit of open descriptors; by default those of the test.
    pub(crate) descriptors: Option<(u32, u32)>,
    /// A clock of its own; by default that of the machine.
    pub(crate) clock: Option<FalseClock>,
}

impl Plan {
    /// One app on [`HOST`] with `/public/**` public and everything else under two factors.
    pub(crate) fn new(app: &Recorder) -> Self {
        let plan = Self {
            first: String::new(),
            apps: String::new(),
            extra: String::new(),
            level: "info",
            names: vec![HOST, "plain.test", "other.test", "localhost"],
            keys: None,
            disk: None,
            descriptors: None,
            clock: None,
        };
        plan.app("main", HOST, &app.url(), &format!("websocket = true\n{PUBLIC_RULE}"))
    }

    /// Adds an app; `more` holds further keys and rules.
    pub(crate) fn app(mut self, name: &str, host: &str, upstream: &str, more: &str) -> Self {
        write!(
            self.apps,
            "[[apps]]\nname = \"{name}\"\ntitle = \"App {name}\"\nhosts = [\"{host}\"]\n\
             upstreams = [\"{upstream}\"]\n{more}\n"
        )
        .unwrap();
        self
    }

    /// Adds tables.
    pub(crate) fn extra(mut self, toml: &str) -> Self {
        self.extra.push_str(toml);
        self.extra.push('\n');
        self
    }

    fn toml(&self, certificates: &Certificates) -> String {
        let keys = self.keys.as_ref();
        let keys = keys.map(|k| format!("[keys]\nfile = \"{}\"\n", k.display()));
        format!(
            "{}data_dir = \"data\"\n\
             [[listeners]]\naddress = \"127.0.0.1:0\"\nkind = \"https\"\n\
             [[listeners]]\naddress = \"127.0.0.1:0\"\nkind = \"http\"\n\
             [[listeners]]\naddress = \"127.0.0.1:0\"\nkind = \"redirect\"\n\
             [[certificates]]\ncert = \"{}\"\nkey = \"{}\"\n\
             [admin]\naddress = \"127.0.0.1:0\"\n\
             [log]\nformat = \"json\"\nlevel = \"{}\"\n{}{}\n{}",
            self.first,
            certificates.cert.display(),
            certificates.key.display(),
            self.level,
            keys.unwrap_or_default(),
            self.extra,
            self.apps,
        )
    }
}

/// The clock of one program, which a test can set while the program runs. Durations are right.
#[derive(Clone, Debug)]
pub(crate) struct FalseClock(Arc<TempDir>);

impl FalseClock {
    /// A clock that is right plus this offset, such as `+2h`.
    pub(crate) fn at(offset: &str) -> Self {
        let clock = Self(Arc::new(tempfile::tempdir().unwrap()));
        clock.set(offset);
        clock
    }

    /// Sets it to what is right plus this offset.
    pub(crate) fn set(&self, offset: &str) {
        let new = self.0.path().join("new");
        std::fs::write(&new, offset).unwrap();
        std::fs::rename(new, self.file()).unwrap();
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("offset")
    }

    fn give_to(&self, program: &mut Command) {
        program
            .env("LD_PRELOAD", libfaketime())
            .env("FAKETIME_TIMESTAMP_FILE", self.file())
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    }
}

fn libfaketime() -> PathBuf {
    let machines = std::fs::read_dir("/usr/lib").unwrap().flatten();
    let files = machines.map(|machine| machine.path().join("faketime/libfaketime.so.1"));
    let mut files = files.filter(|file| file.exists());
    files.next().expect("these tests need libfaketime: install it")
}

/// The rule of most tests.
pub(crate) const PUBLIC_RULE: &str = "[[apps.rules]]\npath = \"/public/**\"\naccess = \"public\"\n";

/// A running gateway; it is killed when this goes.
#[derive(Debug)]
pub(crate) struct Gateway {
    /// TLS.
    pub(crate) https: SocketAddr,
    /// Plain HTTP.
    pub(crate) http: SocketAddr,
    /// Redirects to https.
    pub(crate) redirect: SocketAddr,
    /// `/livez`, `/readyz`, `/metrics`.
    pub(crate) admin: SocketAddr,
    /// What it logs.
    pub(crate) log: Log,
    /// Its certificate, and clients that trust it.
    pub(crate) certificates: Certificates,
    /// Its configuration.
    pub(crate) config: PathBuf,
    child: Arc<Mutex<Child>>,
    pid: u32,
    /// The one that its embedded stores are on, where they have one of their own.
    pub(crate) disk: Option<SmallDisk>,
    _dir: TempDir,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        match self.child.try_lock() {
            Some(mut child) => drop(child.kill()),
            // A test failed while `ended` waits: only the number is at hand, and still this child's.
            None => drop(Command::new("kill").args(["-KILL", &self.pid.to_string()]).status()),
        }
        drop(self.child.lock().wait());
    }
}

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vestibule"));
    command.env_clear().env("PATH", "/usr/bin:/bin");
    command
}

/// The program under limits of a shell's making.
fn program_within(descriptors: Option<(u32, u32)>) -> Command {
    let Some((soft, hard)) = descriptors else { return program() };
    let mut command = Command::new("sh");
    let script = format!("ulimit -Sn {soft} && ulimit -Hn {hard} && exec \"$0\" \"$@\"");
    command.env_clear().env("PATH", "/usr/bin:/bin");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_vestibule")]);
    command
}

/// Runs a command of the program to its end, with `input` on its standard input.
pub(crate) fn run(args: &[&str], input: &str) -> Output {
    let mut child = program()
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that does not read its input may have ended before this.
    drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
    output_of(child)
}

/// Like [`run`], and the command must succeed.
pub(crate) fn done(args: &[&str], input: &str) -> String {
    let output = run(args, input);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "vestibule {}: {said}", args.join(" "));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Makes a key file for several gateways.
pub(crate) fn make_keys(file: &Path) {
    done(&["keys", "init", &file.display().to_string()], "");
}

impl Gateway {
    /// Starts the program and waits until it serves.
    pub(crate) async fn start(plan: &Plan) -> Self {
        watch();
        let dir = tempfile::tempdir().unwrap();
        let certificates = Certificates::make(dir.path(), &plan.names);
        let config = dir.path().join("vestibule.toml");
        std::fs::write(&config, plan.toml(&certificates)).unwrap();
        let data = dir.path().join("data");
        let disk = plan.disk.map(|size| SmallDisk::mount(&data, size));
        let (starting, log, pid) = Started::spawn(&config, plan.descriptors, plan.clock.as_ref());
        log.wait_for("ready line", |l| (l.get("message") == Some("ready")).then_some(())).await;
        Self {
            https: listening(&log, "https").await,
            http: listening(&log, "http").await,
            redirect: listening(&log, "redirect").await,
            admin: listening(&log, "admin").await,
            log,
            certificates,
            config,
            child: starting.disarm(),
            pid,
            disk,
            _dir: dir,
        }
    }

    /// Starts it anew after it ended, with the same directory and on other ports.
    pub(crate) async fn start_again(&mut self) {
        let (starting, log, pid) = Started::spawn(&self.config, None, None);
        log.wait_for("ready line", |l| (l.get("message") == Some("ready")).then_some(())).await;
        self.https = listening(&log, "https").await;
        self.http = listening(&log, "http").await;
        self.redirect = listening(&log, "redirect").await;
        self.admin = listening(&log, "admin").await;
        (self.log, self.pid, self.child) = (log, pid, starting.disarm());
    }

    /// The directory of its configuration; its data is in `data`.
    pub(crate) fn dir(&self) -> &Path {
        self.config.parent().unwrap()
    }

    /// Runs a command of the program with this gateway's configuration.
    pub(crate) fn command(&self, args: &[&str], input: &str) -> Output {
        let config = self.config.display().to_string();
        run(&[args, &["--config", &config]].concat(), input)
    }

    /// Adds an account with [`PASSWORD`].
    pub(crate) fn add_user(&self, name: &str) {
        let email = format!("{name}@example.com");
        let shown = format!("{name} of the test");
        let args = ["user", "add", name, "--email", &email, "--display-name", &shown];
        let groups = ["--group", "staff", "--group", "readers", "--password-stdin"];
        let output = self.command(&[&args[..], &groups[..]].concat(), PASSWORD);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "user add {name}: {said}");
    }

    /// Resident memory in bytes.
    pub(crate) fn resident(&self) -> u64 {
        let statm = std::fs::read_to_string(format!("/proc/{}/statm", self.pid)).unwrap();
        statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap() * 4096
    }

    /// What the system allows it, as the kernel tells.
    pub(crate) fn limits(&self) -> String {
        std::fs::read_to_string(format!("/proc/{}/limits", self.pid)).unwrap()
    }

    /// One of the system's limits of the process, soft and hard.
    pub(crate) fn limit(&self, name: &str) -> String {
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", self.pid)).unwrap();
        let found = limits.lines().find_map(|line| line.strip_prefix(name));
        found.unwrap_or_else(|| panic!("no {name}: {limits}")).to_owned()
    }

    /// Sends a signal by name: `TERM`, `HUP`.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.pid.to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap();
        assert!(sent.success(), "kill -{name}");
    }

    /// Has it read its configuration again, and waits until it has.
    pub(crate) async fn reload(&self) {
        let message = "configuration reloaded";
        let before = self.log.so_far().matches(message).count();
        self.signal("HUP");
        let seen = std::cell::Cell::new(0);
        let once_more = |line: &super::log::Line| {
            seen.set(seen.get() + usize::from(line.get("message") == Some(message)));
            (seen.get() > before).then_some(())
        };
        self.log.wait_for("reloaded configuration", once_more).await;
    }

    /// Waits for the program to end by itself.
    pub(crate) async fn ended(&self) -> ExitStatus {
        self.log.wait_for_the_end().await;
        let child = Arc::clone(&self.child);
        let waiting = tokio::task::spawn_blocking(move || child.lock().wait().unwrap());
        within(Duration::from_mins(1), "the program to exit", waiting).await.unwrap()
    }
}

/// Kills a program that did not come up.
struct Started {
    child: Arc<Mutex<Child>>,
    armed: bool,
}

impl Started {
    fn spawn(
        config: &Path,
        descriptors: Option<(u32, u32)>,
        clock: Option<&FalseClock>,
    ) -> (Self, Log, u32) {
        let mut program = program_within(descriptors);
        if let Some(clock) = clock {
            clock.give_to(&mut program);
        }
        let mut child = program
            .args(["serve", "--config"])
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Log::follow(child.stderr.take().unwrap());
        let pid = child.id();
        (Self { child: Arc::new(Mutex::new(child)), armed: true }, log, pid)
    }

    fn disarm(mut self) -> Arc<Mutex<Child>> {
        self.armed = false;
        Arc::clone(&self.child)
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if self.armed {
            drop(self.child.lock().kill());
        }
    }
}

async fn listening(log: &Log, kind: &str) -> SocketAddr {
    log.wait_for(&format!("{kind} listener"), |line| {
        let this = line.get("message") == Some("listening") && line.get("kind") == Some(kind);
        if this { line.get("address")?.parse().ok() } else { None }
    })
    .await
}
