//! Sessions in a file.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, query};

use crate::auth::ports::{
    ReadSession, SessionEnds, SessionLookup, SessionManagement, SessionOffers, SessionOverview,
    SessionStarts, StoreHealth, Stored, Unreadable,
};
use crate::auth::session::{Branch, Offer, Offers, SESSIONS_MOST, Session};
use crate::auth::token::{HashedToken, PendingToken, SessionToken};
use crate::base::clock::Timestamp;
use crate::base::id::{AccountId, SessionId};

use super::super::loan::Transaction;
use super::super::values::{at, json, moment, number, optional_text, text};
use super::EmbeddedStore;
use crate::store::unreadable::left_out;

const RECORD: &str = "the record of a session";

/// Selects the sessions under tokens; the argument selects the tokens. Under the token of a branch it is
/// the root, with the branch.
macro_rules! select_under_tokens {
    ($tokens:literal) => {
        concat!(
            "SELECT asked.token AS token, sessions.record, last_seen_at, recovery_codes_due, \
             offered_authenticator, offered_recovery_codes, identity_changes, \
             branches.root AS root, branches.tree AS tree, branches.app AS app, \
             branches.proofs AS proofs FROM (",
            $tokens,
            ") AS asked LEFT JOIN branches ON branches.id = asked.token \
             JOIN sessions ON sessions.id = COALESCE(branches.root, asked.token)"
        )
    };
}

/// Selects the sessions of one account or of all, with the trees and apps of their branches.
const LIST: &str = "SELECT record, last_seen_at, recovery_codes_due, offered_authenticator, \
    offered_recovery_codes, identity_changes, \
    (SELECT group_concat(tree || ' ' || app, ',') FROM branches WHERE root = sessions.id) AS branches \
    FROM sessions WHERE keep_until > $1 AND ($2 = '' OR account_id = $2)";

/// The condition of the session under a token, or of the root if the token is a branch's.
macro_rules! is_under_token {
    () => {
        "id = COALESCE((SELECT root FROM branches WHERE branches.id = $1), $1)"
    };
}

fn session(row: &AnyRow) -> sqlx::Result<Session> {
    let mut session: Session = json(row, "record")?;
    session.last_seen_at = at(row, "last_seen_at")?;
    session.recovery_codes_due = optional_text(row, "recovery_codes_due")?;
    session.offers = offered(row)?;
    session.identity_changes = number(row, "identity_changes")?;
    Ok(session)
}

/// Returns the branch that a session was looked up by, if any.
fn branch(row: &AnyRow) -> sqlx::Result<Option<Branch>> {
    let Some(root) = optional_text(row, "root")? else { return Ok(None) };
    let unreadable = || sqlx::Error::Decode("not a branch".into());
    let root = HashedToken::from_hex(&root).ok_or_else(unreadable)?;
    let tree = text(row, "tree")?.parse().map_err(|_not_an_id| unreadable())?;
    Ok(Some(Branch { root, tree, app: text(row, "app")?, proofs: json(row, "proofs")? }))
}

/// Returns a session with the apps of its branches.
fn listed(row: &AnyRow) -> sqlx::Result<Session> {
    let session = session(row)?;
    let tree = session.tree.map(|tree| tree.to_string());
    let branches = optional_text(row, "branches")?.unwrap_or_default();
    let of_tree = |branch: &str| {
        let (of, app) = branch.split_once(' ')?;
        (tree.as_deref() == Some(of)).then(|| app.to_owned())
    };
    let mut apps: Vec<String> = branches.split(',').filter_map(of_tree).collect();
    apps.sort_unstable();
    apps.dedup();
    Ok(Session { apps, ..session })
}

fn offered(row: &AnyRow) -> sqlx::Result<Offers> {
    Ok(Offers {
        authenticator: optional_text(row, "offered_authenticator")?,
        recovery_codes: optional_text(row, "offered_recovery_codes")?,
    })
}

async fn file(
    t: &mut Transaction,
    id: &HashedToken<SessionToken>,
    session: &Session,
    offers: &Offers,
    ttl: Duration,
) -> sqlx::Result<()> {
    query(
        "INSERT INTO sessions (id, public_id, account_id, record, last_seen_at, \
         recovery_codes_due, keep_until, offered_authenticator, offered_recovery_codes) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(id.to_hex())
    .bind(session.id.to_string())
    .bind(session.identity.account.to_string())
    .bind(serde_json::json!(session).to_string())
    .bind(moment(session.last_seen_at))
    .bind(session.recovery_codes_due.as_deref())
    .bind(moment(session.last_seen_at.plus(ttl)))
    .bind(offers.authenticator.as_deref())
    .bind(offers.recovery_codes.as_deref())
    .execute(&mut **t)
    .await?;
    Ok(())
}

/// Ends the sessions of an account beyond [`SESSIONS_MOST`] that would expire first, except the new
/// one.
async fn end_surplus(
    t: &mut Transaction,
    new: &HashedToken<SessionToken>,
    account: AccountId,
) -> sqlx::Result<()> {
    query(
        "DELETE FROM sessions WHERE account_id = $1 AND id IN (SELECT id FROM sessions \
         WHERE account_id = $1 AND id <> $2 ORDER BY keep_until DESC, id LIMIT -1 OFFSET $3)",
    )
    .bind(account.to_string())
    .bind(new.to_hex())
    .bind(i64::from(SESSIONS_MOST) - 1)
    .execute(&mut **t)
    .await?;
    Ok(())
}

/// Returns the session of a lookup by token, if `token` is not that of a branch of another tree.
fn looked_up(row: &AnyRow, token: &HashedToken<SessionToken>) -> ReadSession {
    let read = || {
        let (session, branch) = (session(row)?, branch(row)?);
        Ok::<_, sqlx::Error>(match branch {
            Some(branch) => session.seen_from(branch, token),
            None => Some(session),
        })
    };
    read().map_err(|_values| Unreadable)
}

impl EmbeddedStore {
    /// Ends all sessions and pending logins of an account, except the session under the hash
    /// `keep`.
    async fn end_all_of(&self, account: AccountId, keep: &str) -> Stored<u64> {
        let account = account.to_string();
        self.db
            .timed(async {
                let mut t = self.db.begin().await?;
                let logins = query("DELETE FROM pending_logins WHERE account_id = $1");
                logins.bind(account.as_str()).execute(&mut *t).await?;
                let sessions = query("DELETE FROM sessions WHERE account_id = $1 AND id <> $2");
                let ended = sessions.bind(account.as_str()).bind(keep).execute(&mut *t).await?;
                t.commit().await?;
                Ok(ended.rows_affected())
            })
            .await
    }
}

#[async_trait]
impl SessionLookup for EmbeddedStore {
    async fn load(&self, id: &HashedToken<SessionToken>) -> Stored<Option<Session>> {
        let statement = query(select_under_tokens!("SELECT $1 AS token")).bind(id.to_hex());
        let Some(row) = self.db.fetch_one(statement).await? else { return Ok(None) };
        looked_up(&row, id).map_err(|Unreadable| self.db.damaged(RECORD))
    }

    async fn load_all(&self, ids: &[HashedToken<SessionToken>]) -> Stored<Vec<ReadSession>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let tokens: Vec<String> =
            (1..=ids.len()).map(|n| format!("SELECT ${n} AS token")).collect();
        let statement = format!(select_under_tokens!("{}"), tokens.join(" UNION ALL "));
        let statement =
            ids.iter().fold(query(AssertSqlSafe(statement)), |query, id| query.bind(id.to_hex()));
        let mut found = HashMap::new();
        for row in &self.db.fetch(statement).await? {
            let token = text(row, "token").map_err(|_values| self.db.damaged(RECORD))?;
            let id = HashedToken::from_hex(&token).ok_or_else(|| self.db.damaged(RECORD))?;
            found.insert(id, looked_up(row, &id));
        }
        Ok(ids.iter().map(|id| found.get(id).cloned().unwrap_or(Ok(None))).collect())
    }

    async fn touch(
        &self,
        id: &HashedToken<SessionToken>,
        now: Timestamp,
        ttl: Duration,
    ) -> Stored<()> {
        // A session that had expired by `now` stays ended, even if its row still exists.
        let statement = query(concat!(
            "UPDATE sessions SET last_seen_at = $2, keep_until = $3 WHERE ",
            is_under_token!(),
            " AND last_seen_at <= $2 AND keep_until > $2"
        ))
        .bind(id.to_hex())
        .bind(moment(now))
        .bind(moment(now.plus(ttl)));
        self.db.change(statement).await?;
        self.sweep(now).await
    }
}

#[async_trait]
impl SessionStarts for EmbeddedStore {
    async fn promote(
        &self,
        login: &HashedToken<PendingToken>,
        id: &HashedToken<SessionToken>,
        session: &Session,
        ttl: Duration,
    ) -> Stored<bool> {
        self.sweep(session.started_at).await?;
        self.db
            .timed(async {
                let mut t = self.db.begin().await?;
                let end = query("DELETE FROM pending_logins WHERE id = $1 AND expires_at > $2");
                let ended = end
                    .bind(login.to_hex())
                    .bind(moment(session.started_at))
                    .execute(&mut *t)
                    .await?;
                if ended.rows_affected() != 1 {
                    return t.rolled_back(false).await;
                }
                file(&mut t, id, session, &session.offers, ttl).await?;
                end_surplus(&mut t, id, session.identity.account).await?;
                t.commit().await?;
                Ok(true)
            })
            .await
    }

    async fn renew(
        &self,
        old: &HashedToken<SessionToken>,
        new: &HashedToken<SessionToken>,
        session: &Session,
        offers: Option<&Offers>,
        ttl: Duration,
    ) -> Stored<bool> {
        self.db
            .timed(async {
                let mut t = self.db.begin().await?;
                let end = query(
                    "DELETE FROM sessions WHERE id = $1 AND keep_until > $2 \
                     RETURNING offered_authenticator, offered_recovery_codes",
                );
                let end = end.bind(old.to_hex()).bind(moment(session.last_seen_at));
                let Some(ended) = end.fetch_optional(&mut *t).await? else {
                    return t.rolled_back(false).await;
                };
                let offers = match offers {
                    Some(offers) => offers.clone(),
                    None => offered(&ended)?,
                };
                file(&mut t, new, session, &offers, ttl).await?;
                let branches = query("UPDATE branches SET root = $2 WHERE root = $1");
                branches.bind(old.to_hex()).bind(new.to_hex()).execute(&mut *t).await?;
                let tokens = query("UPDATE app_tokens SET session_id = $2 WHERE session_id = $1");
                tokens.bind(old.to_hex()).bind(new.to_hex()).execute(&mut *t).await?;
                t.commit().await?;
                Ok(true)
            })
            .await
    }
}

#[async_trait]
impl SessionOffers for EmbeddedStore {
    async fn offer(
        &self,
        id: &HashedToken<SessionToken>,
        offer: Offer,
        sealed: &str,
    ) -> Stored<Option<String>> {
        let statement = query(match offer {
            Offer::Authenticator => {
                "UPDATE sessions SET offered_authenticator = COALESCE(offered_authenticator, $2) \
                 WHERE id = $1 RETURNING offered_authenticator AS held"
            }
            Offer::RecoveryCodes => {
                "UPDATE sessions SET offered_recovery_codes = \
                 COALESCE(offered_recovery_codes, $2) WHERE id = $1 \
                 RETURNING offered_recovery_codes AS held"
            }
        });
        let row = self.db.change_returning(statement.bind(id.to_hex()).bind(sealed)).await?;
        let held = row.map(|row| text(&row, "held")).transpose();
        held.map_err(|_values| self.db.damaged(RECORD))
    }

    async fn withdraw(&self, id: &HashedToken<SessionToken>, offer: Offer) -> Stored<bool> {
        let statement = query(match offer {
            Offer::Authenticator => {
                "UPDATE sessions SET offered_authenticator = NULL \
                 WHERE id = $1 AND offered_authenticator IS NOT NULL"
            }
            Offer::RecoveryCodes => {
                "UPDATE sessions SET offered_recovery_codes = NULL \
                 WHERE id = $1 AND offered_recovery_codes IS NOT NULL"
            }
        });
        Ok(self.db.change(statement.bind(id.to_hex())).await? == 1)
    }

    async fn recovery_codes_done(&self, id: &HashedToken<SessionToken>) -> Stored<()> {
        let statement =
            query("UPDATE sessions SET recovery_codes_due = NULL WHERE id = $1").bind(id.to_hex());
        self.db.change(statement).await?;
        Ok(())
    }
}

#[async_trait]
impl SessionEnds for EmbeddedStore {
    async fn end(&self, id: &HashedToken<SessionToken>) -> Stored<bool> {
        let statement = concat!("DELETE FROM sessions WHERE ", is_under_token!());
        let statement = query(statement).bind(id.to_hex());
        Ok(self.db.change(statement).await? == 1)
    }

    async fn end_others(
        &self,
        account: AccountId,
        keep: &HashedToken<SessionToken>,
    ) -> Stored<u64> {
        self.end_all_of(account, &keep.to_hex()).await
    }
}

#[async_trait]
impl SessionOverview for EmbeddedStore {
    async fn list(&self, account: Option<AccountId>, now: Timestamp) -> Stored<Vec<Session>> {
        let statement =
            query(LIST).bind(moment(now)).bind(account.map(|a| a.to_string()).unwrap_or_default());
        let rows = self.db.fetch(statement).await?;
        let mut sessions: Vec<Session> = rows.iter().map(listed).filter_map(Result::ok).collect();
        left_out(rows.len().saturating_sub(sessions.len()));
        sessions.retain(|s| s.expires_at > now);
        sessions.sort_by_key(|s| (Reverse(s.started_at), s.id));
        Ok(sessions)
    }

    async fn end_by_id(&self, id: SessionId, of: Option<AccountId>) -> Stored<bool> {
        let statement =
            query("DELETE FROM sessions WHERE public_id = $1 AND ($2 = '' OR account_id = $2)")
                .bind(id.to_string())
                .bind(of.map(|of| of.to_string()).unwrap_or_default());
        Ok(self.db.change(statement).await? == 1)
    }
}

#[async_trait]
impl SessionManagement for EmbeddedStore {
    async fn identity_changed(&self, account: AccountId) -> Stored<()> {
        let statement = query(
            "UPDATE sessions SET identity_changes = identity_changes + 1 WHERE account_id = $1",
        );
        self.db.change(statement.bind(account.to_string())).await?;
        Ok(())
    }

    async fn end_account(&self, account: AccountId) -> Stored<u64> {
        self.end_all_of(account, "").await
    }

    async fn end_all(&self) -> Stored<u64> {
        self.db
            .timed(async {
                let mut t = self.db.begin().await?;
                query("DELETE FROM pending_logins").execute(&mut *t).await?;
                let ended = query("DELETE FROM sessions").execute(&mut *t).await?;
                t.commit().await?;
                Ok(ended.rows_affected())
            })
            .await
    }
}

#[async_trait]
impl StoreHealth for EmbeddedStore {
    async fn ping(&self) -> Stored<()> {
        // A row that is written each time, under a key that no counter has.
        let write = query(
            "INSERT INTO attempts (key, tries, expires_at) VALUES ('', 1, 0) \
             ON CONFLICT (key) DO UPDATE SET expires_at = 0",
        );
        self.db.ping(write).await
    }
}
