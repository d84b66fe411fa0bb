//! Redis in high availability: a primary with replicas under Sentinel, and a Redis Cluster, of real
//! processes on free loopback ports.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use redis::Value;
use tempfile::TempDir;

use super::certs::Certificates;
use super::ports::free_port;
use super::servers::{Process, RedisServer, STARTS, command, redis_program};
use super::within;

/// Enough for servers to find each other on a busy machine. A sentinel that was not scheduled for two
/// seconds does nothing for 30 seconds (TILT).
const SETTLES: Duration = Duration::from_secs(100);
/// The name of the primary.
pub(crate) const SERVICE: &str = "vest";

fn pause() -> impl Future<Output = ()> {
    // A pause between looks, not a wait for something to have happened.
    tokio::time::sleep(Duration::from_millis(20))
}

/// Looks until `look` finds something.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let looks = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            pause().await;
        }
    };
    within(SETTLES, what, looks).await
}

/// Waits until `replicas` replicas have everything that `primary` has written. `WAIT` alone says that
/// only of the writes of its own connection.
pub(crate) async fn in_sync(primary: &RedisServer, replicas: usize) {
    until("replicas in sync", async || {
        let said = primary.command::<String>(&["INFO", "replication"]).await;
        let number = |line: &str| line.rsplit_once("offset=")?.1.split(',').next()?.parse().ok();
        let written: u64 = said
            .lines()
            .find_map(|line| line.strip_prefix("master_repl_offset:")?.trim().parse().ok())?;
        let slaves = said.lines().filter(|line| line.starts_with("slave"));
        let synced = slaves.filter_map(number).filter(|offset: &u64| *offset >= written);
        (synced.count() >= replicas).then_some(())
    })
    .await;
}

/// What a group of servers has in common.
#[derive(Clone, Default)]
pub(crate) struct Shape {
    /// Replicas of each primary.
    pub(crate) replicas: usize,
    /// Sentinels; of no meaning in a cluster.
    pub(crate) sentinels: usize,
    /// Password of the default user, and of the sentinels.
    pub(crate) password: Option<&'static str>,
    /// TLS, with a certificate for 127.0.0.1.
    pub(crate) tls: Option<Certificates>,
    /// Further settings of the servers.
    pub(crate) more: Vec<(&'static str, &'static str)>,
}

impl Shape {
    fn server(&self, own: impl Fn(u16) -> Vec<(&'static str, String)>) -> RedisServer {
        RedisServer::with(self.tls.clone(), |port| {
            let mut all = vec![("repl-diskless-sync-delay", "0".to_owned())];
            if let Some(password) = self.password {
                all.extend(["requirepass", "masterauth"].map(|key| (key, password.to_owned())));
            }
            all.extend(self.more.iter().map(|(key, value)| (*key, (*value).to_owned())));
            all.extend(own(port));
            all
        })
    }
}

/// A sentinel.
struct Sentinel {
    port: u16,
    process: Option<Process>,
    _dir: TempDir,
}

impl Sentinel {
    fn start(primary: u16, quorum: usize, shape: &Shape) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for _ in 0..STARTS {
            let port = free_port();
            let mut lines = format!("bind 127.0.0.1\ndir {}\n", dir.path().display());
            match &shape.tls {
                None => writeln!(lines, "port {port}").unwrap(),
                Some(known) => writeln!(
                    lines,
                    "port 0\ntls-port {port}\ntls-auth-clients no\ntls-replication yes\n\
                     tls-cert-file {}\ntls-key-file {}\ntls-ca-cert-file {}",
                    known.cert.display(),
                    known.key.display(),
                    known.authority.display()
                )
                .unwrap(),
            }
            writeln!(
                lines,
                "sentinel monitor {SERVICE} 127.0.0.1 {primary} {quorum}\n\
                 sentinel down-after-milliseconds {SERVICE} 3000\n\
                 sentinel failover-timeout {SERVICE} 5000"
            )
            .unwrap();
            if let Some(password) = shape.password {
                writeln!(
                    lines,
                    "requirepass {password}\nsentinel sentinel-pass {password}\n\
                     sentinel auth-pass {SERVICE} {password}"
                )
                .unwrap();
            }
            let file = dir.path().join("sentinel.conf");
            std::fs::write(&file, lines).unwrap();
            let mut sentinel = command(&redis_program(), None);
            sentinel.arg(&file).arg("--sentinel");
            if let Some(process) = Process::start(sentinel, "+monitor master", false) {
                return Self { port, process: Some(process), _dir: dir };
            }
        }
        panic!("a sentinel did not start on any of {STARTS} ports");
    }
}

/// A primary with replicas, and sentinels that monitor them.
pub(crate) struct Monitored {
    /// The servers; the first was the first primary.
    pub(crate) servers: Vec<Arc<RedisServer>>,
    sentinels: Vec<Sentinel>,
    password: Option<&'static str>,
}

impl Monitored {
    /// Starts them, and waits until all know each other.
    pub(crate) async fn start(shape: &Shape) -> Self {
        let primary = shape.server(|_| Vec::new());
        let (at, mut servers) = (primary.port(), vec![primary]);
        for _ in 0..shape.replicas {
            servers.push(shape.server(|_| vec![("replicaof", format!("127.0.0.1 {at}"))]));
        }
        let quorum = shape.sentinels / 2 + 1;
        let sentinels = (0..shape.sentinels).map(|_| Sentinel::start(at, quorum, shape)).collect();
        let servers = servers.into_iter().map(Arc::new).collect();
        let all = Self { servers, sentinels, password: shape.password };
        if shape.replicas > 0 {
            let (replicas, others) = (shape.replicas, shape.sentinels - 1);
            until("the sentinels to know all", async || all.settled(replicas, others).await).await;
        }
        all
    }

    async fn settled(&self, replicas: usize, others: usize) -> Option<()> {
        for index in 0..self.sentinels.len() {
            let said = self.ask(index).await?;
            let is = |key: &str, number: usize| said.get(key) == Some(&number.to_string());
            if !is("num-slaves", replicas) || !is("num-other-sentinels", others) {
                return None;
            }
        }
        Some(())
    }

    /// What a sentinel says of the primary.
    async fn ask(&self, index: usize) -> Option<HashMap<String, String>> {
        let port = self.sentinels[index].port;
        let password = self.password.map(|p| format!(":{p}@")).unwrap_or_default();
        let client = redis::Client::open(format!("redis://{password}127.0.0.1:{port}")).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.ok()?;
        let mut question = redis::cmd("SENTINEL");
        question.arg("MASTER").arg(SERVICE).query_async(&mut connection).await.ok()
    }

    /// The port of the primary, as soon as all sentinels that run agree on another than `old`.
    pub(crate) async fn failed_over(&self, old: u16) -> u16 {
        until("a failover", async || {
            let mut ports = Vec::new();
            for index in 0..self.sentinels.len() {
                if self.sentinels[index].process.is_some() {
                    ports.push(self.ask(index).await?.get("port")?.parse::<u16>().ok()?);
                }
            }
            let first = *ports.first()?;
            ports.iter().all(|port| *port == first && *port != old).then_some(first)
        })
        .await
    }

    /// Ends a sentinel.
    pub(crate) fn kill_sentinel(&mut self, index: usize) {
        self.sentinels[index].process = None;
    }

    /// Has the first of the sentinels fail over as soon as it knows a replica that is in sync.
    pub(crate) async fn fail_over(&self) {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}", self.sentinels[0].port));
        let mut connection = client.unwrap().get_multiplexed_async_connection().await.unwrap();
        let mut command = redis::cmd("SENTINEL");
        command.arg("FAILOVER").arg(SERVICE);
        until("a sentinel to fail over", async || {
            command.query_async::<Value>(&mut connection).await.ok()
        })
        .await;
    }

    /// Host and port of each sentinel.
    pub(crate) fn addresses(&self) -> Vec<(String, u16)> {
        self.sentinels.iter().map(|s| ("127.0.0.1".to_owned(), s.port)).collect()
    }
}

/// A Redis Cluster of three primaries.
pub(crate) struct RedisCluster {
    /// The primaries, then the replicas.
    pub(crate) servers: Vec<Arc<RedisServer>>,
}

impl RedisCluster {
    /// Starts it, and waits until all know each other. Every primary has `replicas` of its own.
    pub(crate) async fn start(shape: &Shape) -> Self {
        // Without replicas nothing fails over, so a machine that stalls must not either.
        let timeout = if shape.replicas > 0 { "3000" } else { "15000" };
        let servers: Vec<Arc<RedisServer>> = (0..3 * (1 + shape.replicas))
            .map(|_| {
                let server = shape.server(|_| {
                    vec![
                        ("cluster-enabled", "yes".to_owned()),
                        ("cluster-port", free_port().to_string()),
                        ("cluster-node-timeout", timeout.to_owned()),
                        ("cluster-require-full-coverage", "no".to_owned()),
                    ]
                });
                Arc::new(server)
            })
            .collect();
        let all = Self { servers };
        all.join(shape.replicas).await;
        all
    }

    async fn join(&self, replicas: usize) {
        let first = &self.servers[0];
        for other in &self.servers[1..] {
            let bus: HashMap<String, String> =
                other.command(&["CONFIG", "GET", "cluster-port"]).await;
            let (port, bus) = (other.port().to_string(), &bus["cluster-port"]);
            first.command::<()>(&["CLUSTER", "MEET", "127.0.0.1", &port, bus]).await;
        }
        for (server, slots) in
            self.servers.iter().zip([["0", "5460"], ["5461", "10922"], ["10923", "16383"]])
        {
            let words = ["CLUSTER", "ADDSLOTSRANGE", slots[0], slots[1]];
            server.command::<()>(&words).await;
        }
        let known = format!("cluster_known_nodes:{}", self.servers.len());
        self.all_say(&[&known]).await;
        for (index, replica) in self.servers.iter().skip(3).enumerate() {
            let of: String = self.servers[index % 3].command(&["CLUSTER", "MYID"]).await;
            replica.command::<()>(&["CLUSTER", "REPLICATE", &of]).await;
        }
        self.all_say(&[&known, "cluster_state:ok", "cluster_size:3"]).await;
        for replica in self.servers.iter().skip(3).take(3 * replicas) {
            until("a replica to be in sync", async || {
                let info: String = replica.command(&["INFO", "replication"]).await;
                info.contains("master_link_status:up").then_some(())
            })
            .await;
        }
    }

    async fn all_say(&self, lines: &[&str]) {
        for server in &self.servers {
            until("the cluster to form", async || {
                let info: String = server.command(&["CLUSTER", "INFO"]).await;
                lines.iter().all(|line| info.lines().any(|l| l.trim() == *line)).then_some(())
            })
            .await;
        }
    }

    /// Addresses of all nodes.
    pub(crate) fn urls(&self) -> Vec<String> {
        self.servers.iter().map(|s| s.url().trim_end_matches("/0").to_owned()).collect()
    }

    /// The node that serves a key.
    pub(crate) async fn primary_of(&self, key: &str) -> &Arc<RedisServer> {
        let slot: u16 = self.servers[0].command(&["CLUSTER", "KEYSLOT", key]).await;
        &self.servers[match slot {
            0..=5460 => 0,
            5461..=10922 => 1,
            _ => 2,
        }]
    }

    /// The node that serves a key by now, as soon as it is another than `old`.
    pub(crate) async fn failed_over(&self, old: &RedisServer, key: &str) -> &Arc<RedisServer> {
        let asked = self.servers.iter().find(|s| s.port() != old.port()).unwrap();
        let slot: u16 = asked.command(&["CLUSTER", "KEYSLOT", key]).await;
        let port = until("a failover", async || {
            let nodes: String = asked.command(&["CLUSTER", "NODES"]).await;
            let port = nodes.lines().find_map(|line| serves(line, slot))?;
            (port != old.port()).then_some(port)
        })
        .await;
        self.servers.iter().find(|server| server.port() == port).unwrap()
    }
}

/// The port of a node, from its line of `CLUSTER NODES`, if it serves the slot.
fn serves(line: &str, slot: u16) -> Option<u16> {
    let words: Vec<&str> = line.split(' ').collect();
    let holds = words.iter().skip(8).any(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let bounds = first.parse::<u16>().ok().zip(last.parse::<u16>().ok());
        bounds.is_some_and(|(first, last)| (first..=last).contains(&slot))
    });
    let address = words.get(1)?.split('@').next()?;
    (holds && !words[2].contains("fail")).then(|| address.rsplit(':').next()?.parse().ok())?
}
