//! The primary of a service that Redis Sentinel monitors.
//!
//! A task asks every sentinel twice a second, and at once after a failed command. It does not
//! subscribe to `+switch-master`: a message can be missed, and the sentinel that sends it may lag
//! behind the others.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::join_all;
use redis::aio::{ConnectionManager, MultiplexedConnection};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo,
    ProtocolVersion, RedisConnectionInfo, RedisError, RedisResult,
};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

use crate::auth::ports::Stored;
use crate::store::redis::failure::{error, failure};
use crate::store::redis::reason::{is_about_certificate, is_other_primary};
use crate::store::redis::servers::{Address, Login, Sentinels};

use super::node::{Node, client, open, tcp};
use super::primary::{Answer, Believed};

/// Interval between rounds of questions.
const EVERY: Duration = Duration::from_millis(500);
/// Minimum pause between rounds.
const PAUSE: Duration = Duration::from_millis(50);
/// Time limit for the answer of a sentinel, with connecting to it.
const ANSWER: Duration = Duration::from_millis(500);
/// The same while no primary is known, when nothing can be done without an answer.
const FIRST_ANSWER: Duration = Duration::from_millis(1200);
/// Time limit for the first primary. A command has [`crate::store::PATIENCE`] in all.
const FIRST_PRIMARY: Duration = Duration::from_millis(1500);

/// The primary of a service, kept up to date by a task.
pub(super) struct Watched {
    shared: Arc<Shared>,
    task: OnceLock<AbortHandle>,
}

struct Shared {
    servers: Sentinels,
    ca: Option<Vec<u8>>,
    asking: Vec<(Client, Client)>,
    seen: watch::Sender<Seen>,
    wake: Notify,
}

/// The result of the latest round.
#[derive(Default)]
struct Seen {
    round: u64,
    primary: Option<Arc<Primary>>,
    /// Reason why no sentinel named a primary.
    trouble: Option<String>,
    /// Number of sentinels that did not answer.
    silent: usize,
}

struct Primary {
    believed: Believed,
    node: Node,
}

impl Watched {
    pub(super) fn new(servers: &Sentinels, ca: Option<&[u8]>) -> RedisResult<Self> {
        let anyone = Login::default();
        let own = &servers.sentinel_login;
        let own = if own.password.is_some() { own } else { &anyone };
        let asking = servers.addresses.iter().map(|at| {
            let to = |login| open(info(at, servers.tls, login, 0)?, ca);
            // A sentinel gets the password of the servers only if it asks for one.
            Ok((to(own)?, to(if own.password.is_some() { own } else { &servers.login })?))
        });
        let asking = asking.collect::<RedisResult<Vec<_>>>()?;
        let shared = Shared {
            servers: servers.clone(),
            ca: ca.map(<[u8]>::to_vec),
            asking,
            seen: watch::Sender::new(Seen::default()),
            wake: Notify::new(),
        };
        Ok(Self { shared: Arc::new(shared), task: OnceLock::new() })
    }

    pub(super) async fn manager(&self) -> Stored<(u64, ConnectionManager)> {
        self.task.get_or_init(|| tokio::spawn(follow(Arc::clone(&self.shared))).abort_handle());
        let held = self.shared.seen.borrow().primary.clone();
        let primary = match held {
            Some(primary) => primary,
            None => self.first_primary().await?,
        };
        primary.node.manager().map_err(|failed| failure(&failed))
    }

    /// Waits for the first primary. Sentinels that are slow, or just start, are asked again; one
    /// that answers without a primary is not.
    async fn first_primary(&self) -> Stored<Arc<Primary>> {
        let rounds = async {
            loop {
                self.next_round().await;
                let seen = self.shared.seen.borrow();
                if seen.primary.is_some() || seen.trouble.as_deref() != Some(NO_ANSWER) {
                    return;
                }
            }
        };
        // After the last round, what it found counts.
        drop(tokio::time::timeout(FIRST_PRIMARY, rounds).await);
        let seen = self.shared.seen.borrow();
        let trouble = || seen.trouble.clone().unwrap_or_else(|| NO_ANSWER.to_owned());
        seen.primary.clone().ok_or_else(|| error(trouble()))
    }

    /// Asks the sentinels now, and waits for the end of a round.
    async fn next_round(&self) {
        let mut seen = self.shared.seen.subscribe();
        let round = seen.borrow().round;
        self.ask();
        // The sender lives as long as `self`.
        drop(seen.wait_for(|seen| seen.round > round).await);
    }

    /// Returns a remark about sentinels that did not answer in a new round, if any.
    pub(super) async fn silent(&self) -> Option<String> {
        self.next_round().await;
        let silent = self.shared.seen.borrow().silent;
        let all = self.shared.servers.addresses.len();
        (silent > 0).then(|| format!("{silent} of its {all} sentinels did not answer"))
    }

    /// Makes the task ask the sentinels now.
    pub(super) fn ask(&self) {
        self.shared.wake.notify_one();
    }

    /// Handles the failure of a command. Returns true if it should run again: nothing was sent, or
    /// the server was not the primary any more.
    pub(super) async fn again(&self, id: u64, failed: &RedisError, tries: u32) -> bool {
        let held = self.shared.seen.borrow().primary.clone();
        if let Some(primary) = held {
            primary.node.failed(id, failed);
        }
        if tries == 0 && (failed.is_connection_refusal() || is_other_primary(failed)) {
            self.next_round().await;
            return true;
        }
        if failed.is_io_error() || is_other_primary(failed) {
            self.ask();
        }
        false
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(task) = self.task.get() {
            task.abort();
        }
    }
}

/// Returns the settings of a connection.
fn info(at: &Address, tls: bool, login: &Login, database: u32) -> RedisResult<ConnectionInfo> {
    let (host, port) = (at.host.clone(), at.port);
    let address = if tls {
        ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
    } else {
        ConnectionAddr::Tcp(host, port)
    };
    let mut settings = RedisConnectionInfo::default()
        .set_db(i64::from(database))
        .set_protocol(ProtocolVersion::RESP2);
    if let Some(user) = &login.user {
        settings = settings.set_username(user);
    }
    if let Some(password) = &login.password {
        settings = settings.set_password(password.reveal());
    }
    let info = address.into_connection_info()?;
    Ok(info.set_redis_settings(settings).set_tcp_settings(tcp()))
}

const NO_ANSWER: &str =
    "no sentinel answers; check that they run at the addresses of redis.sentinel";

/// Asks the sentinels until the store is closed.
async fn follow(shared: Arc<Shared>) {
    let mut asked: Vec<Asked<'_>> = shared.asking.iter().map(Asked::new).collect();
    loop {
        let service = &shared.servers.service;
        let known = shared.seen.borrow().primary.is_some();
        let limit = if known { ANSWER } else { FIRST_ANSWER };
        let answers = join_all(asked.iter_mut().map(|sentinel| sentinel.ask(service, limit))).await;
        shared.take_in(answers);
        drop(tokio::time::timeout(EVERY, shared.wake.notified()).await);
        tokio::time::sleep(PAUSE).await;
    }
}

/// A sentinel.
struct Asked<'a> {
    clients: &'a (Client, Client),
    connection: Option<MultiplexedConnection>,
    /// True if the sentinel asked for a password.
    needs_password: bool,
}

impl<'a> Asked<'a> {
    fn new(clients: &'a (Client, Client)) -> Self {
        Self { clients, connection: None, needs_password: false }
    }

    async fn ask(&mut self, service: &str, limit: Duration) -> RedisResult<Answer> {
        let answer = tokio::time::timeout(limit, self.ask_once_or_twice(service)).await;
        answer.unwrap_or_else(|_elapsed| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
    }

    async fn ask_once_or_twice(&mut self, service: &str) -> RedisResult<Answer> {
        let first = self.ask_once(service).await;
        match first {
            Err(refused) if refused.code() == Some("NOAUTH") && !self.needs_password => {
                self.needs_password = true;
                self.ask_once(service).await
            }
            answer => answer,
        }
    }

    async fn ask_once(&mut self, service: &str) -> RedisResult<Answer> {
        let (plain, with_password) = self.clients;
        let mut connection = if let Some(connection) = self.connection.take() {
            connection
        } else {
            let config = AsyncConnectionConfig::new()
                .set_connection_timeout(Some(FIRST_ANSWER))
                .set_response_timeout(Some(FIRST_ANSWER));
            let client = if self.needs_password { with_password } else { plain };
            client.get_multiplexed_async_connection_with_config(&config).await?
        };
        let mut question = redis::cmd("SENTINEL");
        question.arg("MASTER").arg(service);
        let fields: HashMap<String, String> = question.query_async(&mut connection).await?;
        // Kept only after a success: a broken connection is opened again.
        self.connection = Some(connection);
        let number = |field: &str| fields.get(field).and_then(|text| text.parse().ok());
        let port = number("port").and_then(|port| u16::try_from(port).ok());
        let parts = (number("config-epoch"), fields.get("ip"), port);
        let (Some(epoch), Some(host), Some(port)) = parts else {
            return Err((ErrorKind::UnexpectedReturnType, "not the reply of a sentinel").into());
        };
        Ok(Answer { epoch, at: Address { host: host.clone(), port } })
    }
}

impl Shared {
    /// Takes in the answers of one round.
    fn take_in(&self, answers: Vec<RedisResult<Answer>>) {
        let trouble = answers.iter().find_map(|answer| answer.as_ref().ok()).is_none();
        let trouble = trouble.then(|| self.trouble(&answers));
        let answers: Vec<Option<Answer>> = answers.into_iter().map(Result::ok).collect();
        let silent = answers.iter().filter(|answer| answer.is_none()).count();
        let held = self.seen.borrow().primary.clone();
        let believed = Believed::after(held.as_ref().map(|p| &p.believed), &answers);
        let primary = believed.and_then(|believed| match held {
            Some(held) if held.believed == believed => Some(held),
            held => self.primary(believed, held),
        });
        self.seen.send_modify(|seen| {
            if let Some(why) = trouble.as_ref().filter(|_| seen.trouble.is_none()) {
                tracing::warn!(why, "Redis Sentinel named no primary");
            }
            *seen = Seen { round: seen.round.wrapping_add(1), primary, trouble, silent };
        });
    }

    fn primary(&self, believed: Believed, held: Option<Arc<Primary>>) -> Option<Arc<Primary>> {
        let servers = &self.servers;
        let at = &believed.at;
        if held.as_ref().is_none_or(|held| held.believed.at != *at) {
            tracing::info!(primary = %at, "Redis primary found");
        }
        let client = info(at, servers.tls, &servers.login, servers.database)
            .and_then(|info| client(info, self.ca.as_deref()));
        match client {
            Ok(client) => Some(Arc::new(Primary { node: Node::new(client), believed })),
            Err(error) => {
                tracing::error!(%error, "address of the Redis primary is not usable");
                held
            }
        }
    }

    fn trouble(&self, answers: &[RedisResult<Answer>]) -> String {
        let service = &self.servers.service;
        let failed = || answers.iter().filter_map(|answer| answer.as_ref().err());
        let says = |word: &str| failed().any(|e| e.detail().unwrap_or("").contains(word));
        let code = |code: &str| failed().any(|e| e.code() == Some(code));
        if says("No such master") {
            format!("its sentinels do not monitor {service:?}; check redis.sentinel.service")
        } else if failed().any(|e| e.kind() == ErrorKind::AuthenticationFailed)
            || ["NOAUTH", "WRONGPASS", "NOPERM"].iter().any(|c| code(c))
        {
            "its sentinels refused the user name or the password; set sentinel_user and \
             sentinel_password in redis.sentinel"
                .to_owned()
        } else if failed().any(is_about_certificate) {
            "the certificate of a sentinel is not trusted; give the one of its CA as redis.ca"
                .to_owned()
        } else if failed().all(RedisError::is_io_error) {
            NO_ANSWER.to_owned()
        } else {
            "no sentinel answers as a sentinel does; check the addresses of redis.sentinel"
                .to_owned()
        }
    }
}
