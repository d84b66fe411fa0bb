//! Real servers, started by the tests on free loopback ports and stopped with them.
//!
//! A server is ready when its own log says so. On Linux it dies with the test process, however
//! that ends.

use super::watchdog::watch;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak, mpsc};
use std::time::Duration;

use parking_lot::{Mutex, const_mutex};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, SqliteConnection};
use tempfile::TempDir;

use super::certs::Certificates;
use super::ports::free_port;

/// A free port is taken by somebody else between the look and the start, now and then.
pub(crate) const STARTS: u32 = 10;

pub(super) fn find(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut dirs: Vec<PathBuf> = std::env::split_paths(&path).collect();
    if let Ok(versions) = std::fs::read_dir("/usr/lib/postgresql") {
        dirs.extend(versions.flatten().map(|version| version.path().join("bin")));
    }
    dirs.push("/usr/sbin".into());
    let found = dirs.into_iter().map(|dir| dir.join(program)).find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("these tests need {program}: install it or add it to PATH"))
}

/// A command that runs as `user` (as ourselves when there is none) and dies with its parent.
pub(super) fn command(program: &Path, user: Option<(u32, u32)>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    if let Some((uid, gid)) = user {
        command.arg(format!("--reuid={uid}")).arg(format!("--regid={gid}")).arg("--clear-groups");
    }
    command.arg("--").arg(program);
    command
}

/// A running server. Its thread owns the process, for the kernel ends it with the thread.
pub(crate) struct Process {
    pid: u32,
    /// The signal that ends the server; KILL when it was never set.
    last_signal: &'static str,
    stop: mpsc::Sender<&'static str>,
    thread: Option<std::thread::JoinHandle<()>>,
}

enum Output {
    Out(ChildStdout),
    Err(ChildStderr),
}

impl Process {
    /// Starts `command` and waits until a line of its output holds `ready`; `None` when it ended
    /// before that.
    pub(super) fn start(
        mut command: Command,
        ready: &'static str,
        on_stderr: bool,
    ) -> Option<Self> {
        watch();
        let (stop, stopped) = mpsc::channel::<&'static str>();
        let (started, start) = mpsc::channel::<Option<u32>>();
        let thread = std::thread::spawn(move || {
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let mut child = if on_stderr {
                command.stderr(Stdio::piped()).spawn().unwrap()
            } else {
                command.stdout(Stdio::piped()).spawn().unwrap()
            };
            let output = if on_stderr {
                Output::Err(child.stderr.take().unwrap())
            } else {
                Output::Out(child.stdout.take().unwrap())
            };
            let log = std::thread::spawn(move || follow(output, ready));
            // The first message is the verdict; after it the log is only drained.
            let is_ready = log.join().unwrap();
            started.send(is_ready.then(|| child.id())).unwrap();
            let signal = if is_ready { stopped.recv().unwrap_or("-KILL") } else { "-KILL" };
            end(&mut child, signal);
        });
        let pid = start.recv().unwrap();
        if pid.is_none() {
            thread.join().unwrap();
            return None;
        }
        Some(Self { pid: pid?, last_signal: "-KILL", stop, thread: Some(thread) })
    }

    fn signal(&self, signal: &str) {
        assert!(signal_to(self.pid, signal), "kill {signal}");
    }
}

fn signal_to(pid: u32, signal: &str) -> bool {
    Command::new("kill").arg(signal).arg(pid.to_string()).status().unwrap().success()
}

/// Ends a server; one that hangs is woken up for it.
fn end(child: &mut Child, signal: &str) {
    signal_to(child.id(), signal);
    signal_to(child.id(), "-CONT");
    drop(child.wait());
}

/// Reads until the ready line, then hands the rest to a thread of its own.
fn follow(output: Output, ready: &str) -> bool {
    let mut lines: Box<dyn BufRead + Send> = match output {
        Output::Out(out) => Box::new(BufReader::new(out)),
        Output::Err(err) => Box::new(BufReader::new(err)),
    };
    let mut line = String::new();
    while lines.read_line(&mut line).unwrap_or(0) > 0 {
        if line.contains(ready) {
            std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
            return true;
        }
        line.clear();
    }
    false
}

impl Drop for Process {
    fn drop(&mut self) {
        // A thread that has ended already has nothing left to stop.
        self.stop.send(self.last_signal).unwrap_or_default();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// The server that the tests of Redis run: `VESTIBULE_TEST_REDIS`, such as `valkey-server`, or
/// `redis-server`.
#[expect(clippy::disallowed_methods, reason = "the tests are told which server to run")]
pub(super) fn redis_program() -> PathBuf {
    match std::env::var("VESTIBULE_TEST_REDIS") {
        Ok(program) if program.contains('/') => program.into(),
        Ok(program) => find(&program),
        Err(_) => find("redis-server"),
    }
}

/// A Redis server that saves nothing unless asked to.
pub(crate) struct RedisServer {
    dir: TempDir,
    port: u16,
    tls: Option<Certificates>,
    more: Vec<String>,
    process: Option<Process>,
}

impl RedisServer {
    /// Starts one on a free port.
    pub(crate) fn start() -> Self {
        Self::with(None, |_| Vec::new())
    }

    /// The same for TLS only, with a certificate for `localhost`.
    pub(crate) fn start_tls(certificates: Certificates) -> Self {
        Self::with(Some(certificates), |_| Vec::new())
    }

    /// The same with further settings, each as `--name value`, which may depend on the port.
    pub(crate) fn with(
        tls: Option<Certificates>,
        more: impl Fn(u16) -> Vec<(&'static str, String)>,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for _ in 0..STARTS {
            let port = free_port();
            let more: Vec<String> =
                more(port).into_iter().flat_map(|(k, v)| [format!("--{k}"), v]).collect();
            if let Some(process) = Self::launch(dir.path(), port, tls.as_ref(), &more) {
                return Self { dir, port, tls, more, process: Some(process) };
            }
        }
        panic!("redis-server did not start on any of {STARTS} ports");
    }

    fn launch(
        dir: &Path,
        port: u16,
        tls: Option<&Certificates>,
        more: &[String],
    ) -> Option<Process> {
        let mut redis = command(&redis_program(), None);
        redis.args(["--bind", "127.0.0.1", "--save", ""]);
        match tls {
            None => redis.args(["--port", &port.to_string()]),
            Some(known) => redis
                .args(["--port", "0", "--tls-auth-clients", "no", "--tls-port", &port.to_string()])
                .args(["--tls-replication", "yes", "--tls-cluster", "yes"])
                .arg("--tls-cert-file")
                .arg(&known.cert)
                .arg("--tls-key-file")
                .arg(&known.key)
                .arg("--tls-ca-cert-file")
                .arg(&known.authority),
        };
        redis.args(["--appendonly", "no", "--daemonize", "no", "--dir"]).arg(dir);
        redis.args(["--enable-debug-command", "no"]).args(more);
        Process::start(redis, "Ready to accept connections", false)
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Its address.
    pub(crate) fn url(&self) -> String {
        let password = self.more.iter().skip_while(|word| *word != "--requirepass").nth(1);
        let password = password.map(|p| format!(":{p}@")).unwrap_or_default();
        match self.tls {
            None => format!("redis://{password}127.0.0.1:{}/0", self.port),
            Some(_) => format!("rediss://{password}localhost:{}/0", self.port),
        }
    }

    /// Ends it at once; what it held is lost.
    pub(crate) fn kill(&mut self) {
        self.process = None;
    }

    /// Ends it at once, whoever else holds it.
    pub(crate) fn die(&self) {
        self.process.as_ref().unwrap().signal("-KILL");
    }

    /// Starts it anew on the same port: empty, or with the last snapshot.
    pub(crate) fn restart(&mut self) {
        self.kill();
        self.process = Self::launch(self.dir.path(), self.port, self.tls.as_ref(), &self.more);
        assert!(self.process.is_some(), "redis-server did not start again on port {}", self.port);
    }

    /// Makes it hang: it takes connections and does not answer.
    pub(crate) fn hang(&self) {
        self.process.as_ref().unwrap().signal("-STOP");
    }

    /// Ends the hanging.
    pub(crate) fn resume(&self) {
        self.process.as_ref().unwrap().signal("-CONT");
    }

    /// Runs one command given in words, over a connection of its own.
    pub(crate) async fn command<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let mut connection = self.connect().await;
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        command.query_async(&mut connection).await.unwrap()
    }

    /// Changes a setting over a connection that is there already.
    pub(crate) async fn set(
        &self,
        connection: &mut redis::aio::MultiplexedConnection,
        setting: &str,
        value: &str,
    ) {
        let mut set = redis::cmd("CONFIG");
        set.arg("SET").arg(setting).arg(value);
        set.query_async::<()>(connection).await.unwrap();
    }

    /// A connection of its own.
    pub(crate) async fn connect(&self) -> redis::aio::MultiplexedConnection {
        let client = match &self.tls {
            None => redis::Client::open(self.url()).unwrap(),
            Some(known) => {
                let root_cert = Some(std::fs::read(&known.authority).unwrap());
                let certificates = redis::TlsCertificates { client_tls: None, root_cert };
                redis::Client::build_with_tls(self.url(), certificates).unwrap()
            }
        };
        client.get_multiplexed_async_connection().await.unwrap()
    }

    /// Throws away everything it holds.
    pub(crate) async fn flush(&self) {
        self.command::<()>(&["FLUSHALL"]).await;
    }

    /// All that it holds, for [`Self::put_back`].
    pub(crate) async fn copied(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let script = redis::Script::new(
            "local all = {} \
             for _, key in ipairs(redis.call('KEYS', '*')) do \
               table.insert(all, {key, redis.call('DUMP', key)}) \
             end return all",
        );
        script.invoke_async(&mut self.connect().await).await.unwrap()
    }

    /// Holds what it held when it was copied, without what was written since, as a failover can leave
    /// it. The keys do not expire.
    pub(crate) async fn put_back(&self, copied: &[(Vec<u8>, Vec<u8>)]) {
        let mut connection = self.connect().await;
        self.flush().await;
        for (key, value) in copied {
            let mut restore = redis::cmd("RESTORE");
            restore.arg(key).arg(0).arg(value).query_async::<()>(&mut connection).await.unwrap();
        }
    }

    /// All keys and values there are, as one text.
    pub(crate) async fn dump(&self) -> String {
        let mut connection = self.connect().await;
        let keys: Vec<String> = self.command(&["KEYS", "*"]).await;
        let mut dump = String::new();
        for key in keys {
            let kind: String = self.command(&["TYPE", &key]).await;
            let read = match kind.as_str() {
                "string" => redis::cmd("GET").arg(&key).to_owned(),
                "hash" => redis::cmd("HGETALL").arg(&key).to_owned(),
                "zset" => redis::cmd("ZRANGE").arg(&key).arg(0).arg(-1).to_owned(),
                "list" => redis::cmd("LRANGE").arg(&key).arg(0).arg(-1).to_owned(),
                // It expired after it was listed.
                "none" => continue,
                other => panic!("unexpected type of {key}: {other}"),
            };
            let value: redis::Value = read.query_async(&mut connection).await.unwrap();
            writeln!(dump, "{key} = {}", printed(&value)).unwrap();
        }
        dump
    }

    /// Lets `time` pass for every key that expires, without waiting.
    pub(crate) async fn pass(&self, time: Duration) {
        let script = redis::Script::new(
            "for _, key in ipairs(redis.call('KEYS', '*')) do \
               local left = redis.call('PTTL', key) \
               if left >= 0 then redis.call('PEXPIRE', key, left - tonumber(ARGV[1])) end \
             end return 1",
        );
        let millis = u64::try_from(time.as_millis()).unwrap();
        let mut connection = self.connect().await;
        script.arg(millis).invoke_async::<()>(&mut connection).await.unwrap();
    }

    /// Makes the record of the session under this token unreadable, if it is here.
    pub(crate) async fn damage_session(&self, token: &str) {
        let script = redis::Script::new(
            "for _, key in ipairs(redis.call('KEYS', '*:s:*')) do \
               if string.find(key, ARGV[1], 1, true) then redis.call('HSET', key, 'record', '{') end \
             end return 1",
        );
        let mut connection = self.connect().await;
        script.arg(token).invoke_async::<()>(&mut connection).await.unwrap();
    }
}

/// Makes the record of the session under this token unreadable, in a file of an embedded store.
pub(crate) async fn damage_embedded_session(file: &Path, token: &str) {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file);
    let mut database = SqliteConnection::connect_with(&options).await.unwrap();
    let damage = sqlx::query("UPDATE sessions SET record = '{' WHERE id = $1").bind(token);
    assert_eq!(damage.execute(&mut database).await.unwrap().rows_affected(), 1);
    database.close().await.unwrap();
}

/// A PostgreSQL server with a database for each test.
pub(crate) struct PostgresServer {
    port: u16,
    databases: AtomicU32,
    process: Option<Process>,
    user: Option<(u32, u32)>,
    dir: TempDir,
}

static SHARED: Mutex<Weak<PostgresServer>> = const_mutex(Weak::new());

impl PostgresServer {
    /// The server that the tests of this process share; it stops with the last of them.
    pub(crate) fn shared() -> Arc<Self> {
        let mut shared = SHARED.lock();
        shared.upgrade().unwrap_or_else(|| {
            let server = Arc::new(Self::start());
            *shared = Arc::downgrade(&server);
            server
        })
    }

    /// Starts one on a free port.
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let user = unprivileged(dir.path());
        if let Some((uid, gid)) = user {
            chown(dir.path(), Some(uid), Some(gid)).unwrap();
        }
        let data = dir.path().join("data");
        let init = command(&find("initdb"), user)
            .args(["--auth=trust", "--username=vestibule", "--locale=C", "--encoding=UTF8"])
            .args(["--no-sync", "--pgdata"])
            .arg(&data)
            .current_dir(dir.path())
            .output()
            .unwrap();
        assert!(init.status.success(), "initdb: {}", String::from_utf8_lossy(&init.stderr));
        Self::run(dir, user)
    }

    /// Runs the server whose files are in `dir` on a free port.
    fn run(dir: TempDir, user: Option<(u32, u32)>) -> Self {
        for _ in 0..STARTS {
            let port = free_port();
            if let Some(process) = Self::launch(dir.path(), user, port) {
                let (databases, process) = (AtomicU32::new(0), Some(process));
                return Self { port, databases, process, user, dir };
            }
        }
        panic!("postgres did not start on any of {STARTS} ports");
    }

    fn launch(dir: &Path, user: Option<(u32, u32)>, port: u16) -> Option<Process> {
        let mut postgres = command(&find("postgres"), user);
        postgres.arg("-D").arg(dir.join("data")).args(["-p", &port.to_string(), "-h", "127.0.0.1"]);
        postgres.arg("-k").arg(dir).current_dir(dir);
        for setting in ["fsync=off", "max_connections=500", "dynamic_shared_memory_type=mmap"] {
            postgres.args(["-c", setting]);
        }
        // A standby says so in other words.
        let mut process = Process::start(postgres, "ready to accept", true)?;
        // An immediate stop: its children end with it, its shared memory is given back.
        process.last_signal = "-QUIT";
        Some(process)
    }

    /// Starts a server that follows this one and accepts no writes.
    pub(crate) fn standby(&self) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let user = unprivileged(dir.path());
        if let Some((uid, gid)) = user {
            chown(dir.path(), Some(uid), Some(gid)).unwrap();
        }
        let port = self.port.to_string();
        let copied = command(&find("pg_basebackup"), user)
            .args(["-h", "127.0.0.1", "-p", &port, "-U", "vestibule", "-R", "-X", "stream"])
            .args(["--checkpoint=fast", "--no-sync", "-D"])
            .arg(dir.path().join("data"))
            .current_dir(dir.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&copied.stderr);
        assert!(copied.status.success(), "pg_basebackup: {said}");
        Self::run(dir, user)
    }

    /// Makes a standby accept writes.
    pub(crate) async fn promote(&self) {
        let mut connection = PgConnection::connect(&self.url("postgres")).await.unwrap();
        connection.execute("SELECT pg_promote()").await.unwrap();
        connection.close().await.unwrap();
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        self.process = None;
    }

    /// Starts it anew on the same port.
    pub(crate) fn restart(&mut self) {
        self.kill();
        self.process = Self::launch(self.dir.path(), self.user, self.port);
        assert!(self.process.is_some(), "postgres did not start again on port {}", self.port);
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    fn process(&self) -> &Process {
        self.process.as_ref().unwrap()
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://vestibule@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }

    /// The address of a new, empty database.
    pub(crate) async fn database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let mut connection = PgConnection::connect(&self.url("postgres")).await.unwrap();
        let create = AssertSqlSafe(format!("CREATE DATABASE {name}"));
        connection.execute(create).await.unwrap();
        connection.close().await.unwrap();
        self.url(&name)
    }

    /// Stops it and the processes of its connections: nothing is answered any more.
    pub(crate) fn freeze(&self) {
        self.signal_all("-STOP");
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        self.signal_all("-CONT");
    }

    fn signal_all(&self, signal: &str) {
        // First, so that it starts no more of them.
        self.process().signal(signal);
        let parent = self.process().pid.to_string();
        let children = Command::new("ps").args(["-o", "pid=", "--ppid", &parent]).output().unwrap();
        for child in String::from_utf8(children.stdout).unwrap().split_whitespace() {
            // A connection may have ended meanwhile.
            signal_to(child.parse().unwrap(), signal);
        }
    }

    /// Makes it hang: new connections are not answered any more.
    pub(crate) fn hang(&self) {
        self.process().signal("-STOP");
    }
}

/// `PgBouncer` before a PostgreSQL server.
pub(crate) struct Pooler {
    _process: Process,
    _dir: TempDir,
}

impl Pooler {
    /// Starts one in transaction mode on a free port: it, and the address of the database at `direct`
    /// through it.
    pub(crate) fn start(server: &PostgresServer, direct: &str) -> (Self, String) {
        Self::ignoring(server, direct, "extra_float_digits")
    }

    /// The same with these start-up parameters ignored.
    pub(crate) fn ignoring(server: &PostgresServer, direct: &str, ignored: &str) -> (Self, String) {
        // Fewer connections than a store has, so that each transaction gets what is free.
        Self::with(server, direct, ignored, "transaction", 3)
    }

    /// The same in session mode: each connection has one of the server for itself.
    pub(crate) fn by_session(server: &PostgresServer, direct: &str) -> (Self, String) {
        Self::with(server, direct, "extra_float_digits", "session", 20)
    }

    fn with(
        server: &PostgresServer,
        direct: &str,
        ignored: &str,
        mode: &str,
        size: u32,
    ) -> (Self, String) {
        let dir = tempfile::tempdir().unwrap();
        let user = unprivileged(dir.path());
        for _ in 0..STARTS {
            let port = free_port();
            let file = dir.path().join("pgbouncer.ini");
            let config = format!(
                "[databases]\n* = host=127.0.0.1 port={} user=vestibule\n[pgbouncer]\n\
                 listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
                 auth_type = any\npool_mode = {mode}\ndefault_pool_size = {size}\n\
                 ignore_startup_parameters = {ignored}\n",
                server.port
            );
            std::fs::write(&file, config).unwrap();
            if let Some((uid, gid)) = user {
                chown(dir.path(), Some(uid), Some(gid)).unwrap();
                chown(&file, Some(uid), Some(gid)).unwrap();
            }
            let mut pooler = command(&find("pgbouncer"), user);
            pooler.arg(&file).current_dir(dir.path());
            if let Some(process) = Process::start(pooler, "process up", true) {
                let through = direct.replace(&format!(":{}/", server.port), &format!(":{port}/"));
                return (Self { _process: process, _dir: dir }, through);
            }
        }
        panic!("pgbouncer did not start on any of {STARTS} ports");
    }
}

/// Whom to run as when we are root, which PostgreSQL refuses to be.
fn unprivileged(ours: &Path) -> Option<(u32, u32)> {
    if std::fs::metadata(ours).unwrap().uid() != 0 {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap();
    let user = ["postgres", "nobody"].iter().find_map(|name| {
        let line = users.lines().find(|line| line.starts_with(&format!("{name}:")))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    });
    assert!(user.is_some(), "these tests need a user `postgres` or `nobody` to run PostgreSQL as");
    user
}

fn printed(value: &redis::Value) -> String {
    format!("{value:?}")
}
