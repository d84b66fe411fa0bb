//! The primary of a slot in a Redis Cluster.
//!
//! All keys have one hash tag and therefore one slot, and every command goes to the primary of that
//! slot, whatever keys it names.

use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use parking_lot::Mutex;
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{
    MultipleNodeRoutingInfo, ResponsePolicy, Route, RoutingInfo, SingleNodeRoutingInfo, SlotAddr,
};
use redis::{
    Arg, Cmd, ErrorKind, Pipeline, ProtocolVersion, RedisError, RedisResult, ServerErrorKind, Value,
};
use tokio::time::Instant;

use crate::auth::ports::Stored;
use crate::base::secret::Secret;
use crate::store::PATIENCE;
use crate::store::redis::failure::failure;

use super::id::new_id;
use super::node::{certificates, tcp};

/// Time limit for connecting to a node. Shorter than the time limit of a command, so that a node
/// that hangs does not use it up.
const CONNECT: Duration = Duration::from_millis(500);
/// Minimum age of a connection that is given up. Bounds the attempts while the cluster is down.
const YOUNG: Duration = Duration::from_millis(100);
/// First pause before a command that was redirected runs again. It doubles each time.
const AGAIN: Duration = Duration::from_millis(20);
/// Maximum attempts of a command while its slot moves to another node.
const MOVING: u32 = 6;
/// Maximum attempts of a command after a failover.
const FAILED_OVER: u32 = 3;
/// Time limit for sending a script to nodes that may need it later.
const SPREAD: Duration = Duration::from_millis(300);

type Opening = Shared<BoxFuture<'static, RedisResult<ClusterConnection>>>;

/// A connection to the primary of a slot.
///
/// It is opened anew after a failure: the driver learns of a failover only from a redirect, which a
/// primary that hangs does not send.
pub(super) struct Slot {
    client: ClusterClient,
    route: Route,
    held: Mutex<Option<(u64, Instant, Opening)>>,
}

impl Slot {
    pub(super) fn new(urls: &[Secret], ca: Option<&[u8]>, tag: &str) -> RedisResult<Self> {
        let nodes = urls.iter().map(|url| {
            let info = redis::IntoConnectionInfo::into_connection_info(url.reveal())?;
            let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
            Ok(info.set_redis_settings(settings))
        });
        let nodes = nodes.collect::<RedisResult<Vec<_>>>()?;
        // No retries by the driver: it repeats commands that may have run.
        let builder = ClusterClient::builder(nodes)
            .retries(0)
            .connection_timeout(CONNECT)
            .response_timeout(PATIENCE)
            .overall_response_timeout(Some(PATIENCE))
            .tcp_settings(tcp());
        let builder = match ca {
            Some(pem) => builder.certs(certificates(pem)),
            None => builder,
        };
        let route = Route::with_key(tag, SlotAddr::Master);
        Ok(Self { client: builder.build()?, route, held: Mutex::new(None) })
    }

    pub(super) async fn link(&self) -> Stored<(u64, SlotLink)> {
        let (id, opening) = self.opening();
        match opening.await {
            Ok(connection) => Ok((id, SlotLink { connection, route: self.route })),
            Err(failed) => {
                self.forget(id);
                Err(failure(&failed))
            }
        }
    }

    /// Returns the connection, or the attempt to open it. The attempt goes on if a caller gives up
    /// waiting for it.
    fn opening(&self) -> (u64, Opening) {
        let mut held = self.held.lock();
        if let Some((id, _, opening)) = held.as_ref() {
            return (*id, opening.clone());
        }
        let client = self.client.clone();
        let opening = async move { client.get_async_connection().await }.boxed().shared();
        let id = new_id();
        *held = Some((id, Instant::now(), opening.clone()));
        (id, opening)
    }

    /// Closes a connection, unless it is new.
    pub(super) fn forget(&self, id: u64) {
        self.held.lock().take_if(|(held, since, _)| *held == id && since.elapsed() >= YOUNG);
    }

    /// Handles the failure of a command. Returns true if it should run again: no node ran it.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the enum is non-exhaustive: other failures come from the command itself"
    )]
    pub(super) async fn again(&self, id: u64, failed: &RedisError, tries: u32) -> bool {
        let most = match failed.kind() {
            ErrorKind::Server(ServerErrorKind::TryAgain | ServerErrorKind::Ask) => MOVING,
            ErrorKind::Server(ServerErrorKind::Moved | ServerErrorKind::ReadOnly)
            | ErrorKind::ClusterConnectionNotFound => {
                self.forget(id);
                FAILED_OVER
            }
            ErrorKind::Server(ServerErrorKind::ClusterDown | ServerErrorKind::MasterDown)
            | ErrorKind::Io
            | ErrorKind::Parse
            | ErrorKind::AuthenticationFailed => {
                self.forget(id);
                u32::from(failed.is_connection_refusal())
            }
            _ => 0,
        };
        if tries >= most {
            return false;
        }
        tokio::time::sleep(AGAIN.saturating_mul(1 << tries.min(8))).await;
        true
    }
}

/// A connection to the primary of a slot.
#[derive(Clone)]
pub(crate) struct SlotLink {
    connection: ClusterConnection,
    route: Route,
}

impl SlotLink {
    fn node(&self) -> SingleNodeRoutingInfo {
        SingleNodeRoutingInfo::SpecificNode(self.route)
    }

    pub(super) async fn command(&mut self, command: &Cmd) -> RedisResult<Value> {
        if matches!(command.args_iter().next(), Some(Arg::Simple(b"SCRIPT"))) {
            self.spread(command).await;
        }
        let to = RoutingInfo::SingleNode(self.node());
        match self.connection.route_command(command.clone(), to).await {
            Err(asked) if asked.kind() == ErrorKind::Server(ServerErrorKind::Ask) => {
                self.ask(command, asked).await
            }
            done => done,
        }
    }

    /// Sends a script to every primary, because the slot may be moving to any of them. Failures do
    /// not matter: a node without the script says so.
    async fn spread(&mut self, command: &Cmd) {
        let all = RoutingInfo::MultiNode((
            MultipleNodeRoutingInfo::AllMasters,
            Some(ResponsePolicy::AllSucceeded),
        ));
        let sent = self.connection.route_command(command.clone(), all);
        drop(tokio::time::timeout(SPREAD, sent).await);
    }

    /// Sends a command to the node that its slot moves to.
    async fn ask(&mut self, command: &Cmd, asked: RedisError) -> RedisResult<Value> {
        let Some((host, port)) = asked
            .redirect_node()
            .and_then(|(node, _)| node.rsplit_once(':'))
            .and_then(|(host, port)| Some((host.to_owned(), port.parse().ok()?)))
        else {
            return Err(asked);
        };
        let mut both = redis::pipe();
        both.cmd("ASKING").add_command(command.clone());
        let to = SingleNodeRoutingInfo::ByAddress { host, port };
        let mut replies = self.connection.route_pipeline(both, 0, 2, to).await?;
        replies.pop().ok_or(asked)
    }

    pub(super) async fn pipeline(
        &mut self,
        pipeline: &Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisResult<Vec<Value>> {
        let to = self.node();
        self.connection.route_pipeline(pipeline.clone(), offset, count, to).await
    }
}
