//! App tokens in Redis.

use std::time::Duration;

use async_trait::async_trait;

use crate::auth::ports::{AppTokens, Stored};
use crate::auth::token::{AppToken, HashedToken, SessionToken};

use super::failure::damaged;
use super::{RedisStore, lifetime};

#[async_trait]
impl AppTokens for RedisStore {
    async fn bind(
        &self,
        session: &HashedToken<SessionToken>,
        token: &HashedToken<AppToken>,
        most: u32,
        ttl: Duration,
    ) -> Stored<bool> {
        let mut call = self.call_on(
            |s| &s.bind_token,
            [
                self.key("t", &token.to_hex()),
                self.key("s", &session.to_hex()),
                self.key("b", &session.to_hex()),
            ],
        );
        call.arg(session.to_hex()).arg(token.to_hex()).arg(most).arg(lifetime(ttl));
        self.run(&call).await
    }

    async fn session_of(
        &self,
        token: &HashedToken<AppToken>,
    ) -> Stored<Option<HashedToken<SessionToken>>> {
        let mut call = self.call_on(|s| &s.session_of_token, [self.key("t", &token.to_hex())]);
        call.arg(token.to_hex());
        let found: Option<String> = self.run(&call).await?;
        let read = |hex: String| HashedToken::from_hex(&hex).ok_or_else(|| damaged("token"));
        found.map(read).transpose()
    }
}
