//! Networks that accounts have signed in from, in Redis.

use std::time::Duration;

use async_trait::async_trait;

use crate::auth::ports::{SeenNetworks, Stored};
use crate::auth::throttle::{NetworkDigest, SeenNetwork};
use crate::base::clock::Timestamp;

use super::failure::damaged;
use super::{RedisStore, lifetime};

/// Parses `<time>:<expiry>:<account>` and returns the record and its expiry.
fn read(text: &str) -> Option<(SeenNetwork, Timestamp)> {
    let mut parts = text.splitn(3, ':');
    let mut moment = || Some(Timestamp::from_millis(parts.next()?.parse().ok()?));
    let (at, until) = (moment()?, moment()?);
    let account = parts.next()?.parse().ok()?;
    Some((SeenNetwork { account, at }, until))
}

#[async_trait]
impl SeenNetworks for RedisStore {
    async fn note_network(
        &self,
        network: &NetworkDigest,
        seen: &SeenNetwork,
        most: u32,
        lives: Duration,
    ) -> Stored<()> {
        let mut call = self.call(|s| &s.note_network, [self.key("n", &network.name)]);
        call.arg(&network.name)
            .arg(&network.network)
            .arg(seen.at.as_millis())
            .arg(seen.at.plus(lives).as_millis())
            .arg(seen.account.to_string())
            .arg(most)
            .arg(lifetime(lives));
        self.run(&call).await
    }

    async fn seen_network(
        &self,
        network: &NetworkDigest,
        now: Timestamp,
    ) -> Stored<Option<SeenNetwork>> {
        let mut call = self.call(|s| &s.seen_network, [self.key("n", &network.name)]);
        call.arg(&network.name).arg(&network.network);
        let Some(text) = self.run::<Option<String>>(&call).await? else { return Ok(None) };
        let (seen, until) = read(&text).ok_or_else(|| damaged("network"))?;
        Ok((until > now).then_some(seen))
    }
}
