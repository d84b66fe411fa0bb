//! The Redis store under Sentinel and in a Redis Cluster: how it finds the primary, with passwords
//! and TLS, after a failover, and while the slot of its keys moves.

use std::time::Duration;

use vestibule::auth::ports::{
    PendingLogins as _, SessionLookup, SessionManagement as _, SessionOverview as _,
    SessionStarts as _, StoreHealth,
};
use vestibule::auth::token::{HashedToken, SessionToken};
use vestibule::base::secret::Secret;
use vestibule::store::redis::{Login, RedisStore, Sentinels, Servers};

use super::places::sentinels;
use super::samples::{identity, login, session, start, token};
use crate::support::certs::Certificates;
use crate::support::redis_ha::{Monitored, RedisCluster, Shape, in_sync, until};
use crate::support::within;

const IDLE: Duration = Duration::from_mins(30);
/// Time from the end of a failover until sessions are found again: less than three seconds on an
/// idle machine.
const RECOVERS: Duration = Duration::from_secs(15);
const PASSWORD: &str = "seven-owls";

async fn filed(store: &RedisStore) -> HashedToken<SessionToken> {
    let (from, id) = (token(), token());
    let session = session(identity("alice"), start());
    store.begin(&from, &login(session.identity.account, start()), start()).await.unwrap();
    assert!(store.promote(&from, &id, &session, IDLE).await.unwrap());
    id
}

fn with_password(monitored: &Monitored) -> Sentinels {
    let login = Login { user: None, password: Some(Secret::new(PASSWORD.to_owned())) };
    Sentinels { login, ..sentinels(monitored) }
}

/// Returns why the store fails. An answer that comes late on a busy machine does not name the cause.
async fn cause(store: &RedisStore) -> String {
    until("a cause", async || {
        let said = StoreHealth::ping(store).await.unwrap_err().to_string();
        let late = ["did not answer within", "no sentinel answers"];
        (!late.iter().any(|words| said.contains(words))).then_some(said)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_and_servers_with_passwords_and_tls_are_used() {
    let files = tempfile::tempdir().unwrap();
    let certificates = Certificates::make(files.path(), &["127.0.0.1", "localhost"]);
    let ca = std::fs::read(&certificates.authority).unwrap();
    let tls = Some(certificates);
    let shape = Shape { sentinels: 1, tls: tls.clone(), ..Shape::default() };
    let monitored = Monitored::start(&shape).await;
    let secure = Servers::Sentinel(Sentinels { tls: true, ..sentinels(&monitored) });
    let store = RedisStore::open_at(&secure, "v", Some(&ca)).unwrap();
    let id = filed(&store).await;
    assert!(SessionLookup::load(&store, &id).await.unwrap().is_some());
    let unknown = RedisStore::open_at(&secure, "v", None).unwrap();
    let said = cause(&unknown).await;
    assert!(said.contains("the certificate of a sentinel is not trusted"), "{said}");

    let shape = Shape { sentinels: 1, password: Some(PASSWORD), ..Shape::default() };
    let monitored = Monitored::start(&shape).await;
    let right = with_password(&monitored);
    let wrong = Login { user: None, password: Some(Secret::new("hunter2".to_owned())) };
    let open = |servers: &Sentinels| {
        RedisStore::open_at(&Servers::Sentinel(servers.clone()), "v", None).unwrap()
    };
    filed(&open(&right)).await;
    let told_apart = Sentinels { sentinel_login: right.login.clone(), ..right.clone() };
    filed(&open(&told_apart)).await;
    for (servers, expected) in [
        (Sentinels { login: Login::default(), ..right.clone() }, "sentinel_password"),
        (Sentinels { sentinel_login: wrong.clone(), ..right.clone() }, "sentinel_password"),
        (
            Sentinels { login: wrong, sentinel_login: right.login.clone(), ..right.clone() },
            "it refused the user name or the password",
        ),
        (Sentinels { service: "other".to_owned(), ..right.clone() }, "do not monitor \"other\""),
    ] {
        let said = cause(&open(&servers)).await;
        assert!(said.contains(expected) && !said.contains("hunter2"), "{said}");
    }

    let shape = Shape { password: Some(PASSWORD), tls, ..Shape::default() };
    let cluster = RedisCluster::start(&shape).await;
    let urls = cluster.urls().into_iter().take(1).map(Secret::new).collect();
    let store = RedisStore::open_at(&Servers::Cluster(urls), "v", Some(&ca)).unwrap();
    let id = filed(&store).await;
    assert!(SessionLookup::load(&store, &id).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sentinel_that_is_gone_is_not_missed_and_without_any_the_primary_stays_in_use() {
    let shape = Shape { sentinels: 2, ..Shape::default() };
    let mut monitored = Monitored::start(&shape).await;
    let servers = Servers::Sentinel(sentinels(&monitored));
    monitored.kill_sentinel(0);
    let store = RedisStore::open_at(&servers, "v", None).unwrap();
    let id = filed(&store).await;
    monitored.kill_sentinel(1);
    let fresh = RedisStore::open_at(&servers, "v", None).unwrap();
    let said = StoreHealth::ping(&fresh).await.unwrap_err().to_string();
    assert!(said.contains("no sentinel answers"), "{said}");
    assert!(SessionLookup::load(&store, &id).await.unwrap().is_some());
}

/// The old primary lives on as a replica: it must get no write and give no answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_planned_failover_costs_no_session_and_no_error() {
    let shape = Shape { replicas: 1, sentinels: 1, ..Shape::default() };
    let monitored = Monitored::start(&shape).await;
    let servers = Servers::Sentinel(sentinels(&monitored));
    let store = RedisStore::open_at(&servers, "v", None).unwrap();
    let id = filed(&store).await;
    let old = &monitored.servers[0];
    in_sync(old, 1).await;
    old.command::<()>(&["CLIENT", "PAUSE", "4000", "WRITE"]).await;
    monitored.fail_over().await;
    monitored.failed_over(old.port()).await;
    let found = within(RECOVERS, "the new primary", async {
        until("a session", async || SessionLookup::load(&store, &id).await.ok()).await
    });
    assert!(found.await.is_some());
    let on_new = filed(&store).await;
    assert!(SessionLookup::load(&store, &on_new).await.unwrap().is_some());
    let role: Vec<redis::Value> = monitored.servers[1].command(&["ROLE"]).await;
    assert!(format!("{role:?}").contains("master"), "{role:?}");
    let held: u64 =
        monitored.servers[1].command(&["EXISTS", &format!("v:s:{}", on_new.to_hex())]).await;
    assert_eq!(held, 1);
}

/// The documented user of a cluster, which may not run CONFIG.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_is_used_with_the_documented_rights_and_its_settings_are_told() {
    let cluster = RedisCluster::start(&Shape::default()).await;
    let docs = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operation.md"));
    let docs = docs.unwrap();
    let line = docs.lines().find(|line| line.starts_with("ACL SETUSER vestibule ")).unwrap();
    let line = line.replace("~vestibule:*", "~{vestibule}:*");
    let rights: Vec<&str> = line.split(' ').chain(["+cluster|slots", "+asking"]).collect();
    for server in &cluster.servers {
        server.command::<()>(&rights).await;
    }
    let open = |user: &str| {
        let url = cluster.urls()[0].replace("redis://", &format!("redis://{user}"));
        RedisStore::open_at(&Servers::Cluster(vec![Secret::new(url)]), "vestibule", None).unwrap()
    };
    let store = open("vestibule:PASSWORD@");
    let id = filed(&store).await;
    assert!(SessionLookup::load(&store, &id).await.unwrap().is_some());
    let told = store.try_rights().await.unwrap().join("; ");
    for expected in [
        "set appendonly yes",
        "it has no replica",
        "may not run CONFIG, so Vestibule could not check cluster-require-full-coverage",
    ] {
        assert!(told.contains(expected), "{told}");
    }
    let free = open("");
    assert!(!free.try_rights().await.unwrap().join("; ").contains("full-coverage"));
    for server in &cluster.servers {
        let set = ["CONFIG", "SET", "cluster-require-full-coverage", "yes"];
        server.command::<()>(&set).await;
    }
    let told = free.try_rights().await.unwrap().join("; ");
    assert!(told.contains("set cluster-require-full-coverage no"), "{told}");
    for server in &cluster.servers {
        server.command::<()>(&["ACL", "SETUSER", "vestibule", "-asking"]).await;
    }
    let said = store.try_rights().await.unwrap_err().to_string();
    assert!(said.ends_with("write: ACL SETUSER vestibule +asking"), "{said}");
}

/// No session may be told to be gone while its key is on one node or the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_are_found_while_their_slot_moves_to_another_node() {
    let cluster = RedisCluster::start(&Shape::default()).await;
    let urls = cluster.urls().into_iter().map(Secret::new).collect();
    let store = RedisStore::open_at(&Servers::Cluster(urls), "v", None).unwrap();
    let mut ids = Vec::new();
    for _ in 0..40 {
        ids.push(filed(&store).await);
    }
    let from = cluster.primary_of("{v}").await;
    let to = cluster.servers.iter().find(|s| s.port() != from.port()).unwrap();
    let slot = from.command::<u16>(&["CLUSTER", "KEYSLOT", "{v}"]).await.to_string();
    let id_of = async |server: &crate::support::servers::RedisServer| {
        server.command::<String>(&["CLUSTER", "MYID"]).await
    };
    let (from_id, to_id) = (id_of(from).await, id_of(to).await);
    to.command::<()>(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]).await;
    from.command::<()>(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]).await;
    let port = to.port().to_string();
    loop {
        let keys: Vec<String> = from.command(&["CLUSTER", "GETKEYSINSLOT", &slot, "10"]).await;
        if keys.is_empty() {
            break;
        }
        let mut words = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
        words.extend(keys.iter().map(String::as_str));
        from.command::<()>(&words).await;
        for id in &ids {
            assert!(SessionLookup::load(&store, id).await.unwrap().is_some(), "told to be gone");
        }
    }
    to.command::<()>(&["CLUSTER", "SETSLOT", &slot, "NODE", &to_id]).await;
    from.command::<()>(&["CLUSTER", "SETSLOT", &slot, "NODE", &to_id]).await;
    for id in &ids {
        assert!(SessionLookup::load(&store, id).await.unwrap().is_some());
    }
    assert_eq!(store.list(None, start()).await.unwrap().len(), 40);
    assert_eq!(store.end_all().await.unwrap(), 40);
}
