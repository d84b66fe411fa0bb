//! Sessions of long-lived requests, read together.

use std::iter::repeat;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;

use super::{CachedSessions, KnownSession};
use crate::auth::ports::{ReadSession, Stored, Unreadable};
use crate::auth::token::{HashedToken, SessionToken};
use crate::gate::recent::is_fresh;

/// Maximum sessions in one round trip. The store serves other requests between two of them.
pub const BATCH: usize = 100;
/// Maximum lookups of accounts at a time.
const AT_ONCE: usize = 16;

/// The state of a session.
#[derive(Clone, Debug)]
pub enum Standing {
    /// It is alive.
    Lives(Arc<KnownSession>),
    /// It has ended.
    Ended,
    /// A store did not answer.
    Unknown,
    /// Its record cannot be read.
    Unreadable,
}

impl CachedSessions {
    /// Returns the state of each of at most [`BATCH`] sessions: from the cache where it is fresh,
    /// otherwise from the stores, with one round trip for all. Does not count as use.
    pub async fn standing(&self, tokens: &[HashedToken<SessionToken>]) -> Vec<Standing> {
        let at = self.clock.monotonic();
        let mut all: Vec<Standing> = tokens.iter().map(|token| self.cached(token, at)).collect();
        let missing: Vec<(usize, HashedToken<SessionToken>)> = all
            .iter()
            .zip(tokens)
            .enumerate()
            .filter(|(_, (standing, _))| matches!(standing, Standing::Unknown))
            .map(|(place, (_, token))| (place, *token))
            .collect();
        if missing.is_empty() {
            return all;
        }
        if let Err(error) = self.ask_for(&missing, &mut all).await {
            tracing::debug!(%error, "failed to read the sessions of open connections");
        }
        all
    }

    fn cached(&self, token: &HashedToken<SessionToken>, at: Duration) -> Standing {
        match self.known.get(token).filter(|known| is_fresh(known.read_at, at)) {
            Some(known) => of(known, at),
            None => Standing::Unknown,
        }
    }

    /// Reads a batch of sessions and their accounts, and puts the results in their places.
    async fn ask_for(
        &self,
        batch: &[(usize, HashedToken<SessionToken>)],
        all: &mut [Standing],
    ) -> Stored<()> {
        let (at, ends) = (self.clock.monotonic(), self.ends.load(Ordering::Acquire));
        let tokens: Vec<_> = batch.iter().map(|(_, token)| *token).collect();
        let loaded: Vec<ReadSession> = self.unless_failed(self.store.load_all(&tokens).await)?;
        let loaded: Vec<_> =
            batch.iter().copied().zip(loaded.into_iter().chain(repeat(Ok(None)))).collect();
        let known = stream::iter(loaded).map(|((place, token), session)| async move {
            let session = match session {
                Ok(Some(session)) => session,
                Ok(None) => {
                    self.known.remove(&token);
                    return Ok((place, Standing::Ended));
                }
                Err(Unreadable) => return Ok((place, Standing::Unreadable)),
            };
            let known = self.know(&token, session, (at, ends)).await?;
            Ok((place, known.map_or(Standing::Ended, |known| of(known, at))))
        });
        let mut known = known.buffer_unordered(AT_ONCE);
        while let Some(one) = known.next().await {
            let (place, found) = one?;
            if let Some(standing) = all.get_mut(place) {
                *standing = found;
            }
        }
        Ok(())
    }
}

fn of(known: Arc<KnownSession>, at: Duration) -> Standing {
    if known.is_over(at) { Standing::Ended } else { Standing::Lives(known) }
}
