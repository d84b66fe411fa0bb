//! Wrong logins from many clients, each sending the next as soon as the last is answered. Every
//! try is for another name, so that it is the hashing that is measured and not the throttle.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::support::Failure;
use super::support::client::Client;
use super::support::sign_in::{csrf, set_cookies};

/// Answers by status; 0 counts those that broke off.
type Counts = BTreeMap<u16, u64>;

pub(crate) async fn run(
    gateway: SocketAddr,
    host: &str,
    clients: usize,
    seconds: u64,
) -> Result<String, Failure> {
    let end = Instant::now() + Duration::from_secs(seconds);
    let counts = Arc::new(Mutex::new(Counts::new()));
    let mut flood = JoinSet::new();
    for number in 0..clients {
        let client = Client::new(gateway, host)?;
        flood.spawn(tokio::time::timeout_at(end, guess(client, number, Arc::clone(&counts))));
    }
    while let Some(client) = flood.join_next().await {
        // A client that ran to the end of the time is stopped by it; one that failed says why.
        if let Ok(failed) = client? {
            failed?;
        }
    }
    let counts = std::mem::take(&mut *counts.lock());
    if !counts.contains_key(&StatusCode::UNAUTHORIZED.as_u16()) {
        return Err(format!("no login was hashed: {counts:?}").into());
    }
    if counts.contains_key(&StatusCode::TOO_MANY_REQUESTS.as_u16()) {
        return Err(format!("the throttle took part: {counts:?}").into());
    }
    let each: Vec<String> = counts.iter().map(|(s, n)| format!("status_{s}={n}")).collect();
    Ok(each.join(" "))
}

async fn guess(
    mut client: Client,
    number: usize,
    counts: Arc<Mutex<Counts>>,
) -> Result<(), Failure> {
    let page = client.get("/_auth/login", "").await?;
    let csrf = csrf(&page)?;
    let cookies: Vec<String> =
        set_cookies(&page).iter().map(|(name, value)| format!("{name}={value}")).collect();
    let cookies = cookies.join("; ");
    for attempt in 0_u64.. {
        let name = format!("nobody-{number}-{attempt}");
        let form = [("username", name.as_str()), ("password", "not the one"), ("csrf", &csrf)];
        let answer = client.post("/_auth/login", &cookies, &form).await;
        let status = answer.map_or(0, |answer| answer.status.as_u16());
        *counts.lock().entry(status).or_default() += 1;
    }
    Ok(())
}
