//! Records of rejected requests, in Redis.

use async_trait::async_trait;

use crate::auth::ports::{Refusals, Stored};
use crate::auth::refusals::{KEPT_FOR, RefusalRecord};
use crate::base::clock::Timestamp;

use super::failure::damaged;
use super::{RedisStore, lifetime};

impl RedisStore {
    fn refusal_keys(&self) -> [String; 2] {
        ["r", "rt"].map(|name| format!("{}:{name}", self.inner.prefix))
    }
}

#[async_trait]
impl Refusals for RedisStore {
    async fn keep_refusal(&self, record: &RefusalRecord, most: u32) -> Stored<()> {
        let text = serde_json::to_string(record).map_err(|_never| damaged("refusal"))?;
        let mut call = self.call(|s| &s.keep_refusal, self.refusal_keys());
        call.arg(record.request.reference()).arg(record.at.as_millis()).arg(text);
        call.arg(most).arg(lifetime(KEPT_FOR));
        self.run(&call).await
    }

    async fn refusal(&self, reference: &str, now: Timestamp) -> Stored<Option<RefusalRecord>> {
        let mut call = self.call(|s| &s.load_refusal, self.refusal_keys());
        call.arg(reference).arg(now.as_millis()).arg(lifetime(KEPT_FOR));
        let text: Option<String> = self.run(&call).await?;
        text.map(|t| serde_json::from_str(&t).map_err(|_not_json| damaged("refusal"))).transpose()
    }
}
