//! Recovery codes, in place of the second factor or of a forgotten password.

use super::LoginError;
use super::prove::{FactorCheck, Verdict};
use crate::auth::account::Identity;
use crate::auth::audit::{Caller, Context, Event, Guess};
use crate::auth::recovery::{RecoveryCode, RecoveryHash};
use crate::auth::turns::Asker;
use crate::base::id::AccountId;

/// The result of using a recovery code.
pub(super) enum UsedCode {
    /// The code was used up now; this many are left.
    Now { left: u32 },
    /// The code was used before.
    Before,
    /// The code does not belong to the account.
    Unknown,
}

impl FactorCheck {
    /// Checks a recovery code in place of the second factor and uses it up.
    pub(super) async fn check_recovery(
        &self,
        who: &Identity,
        code: &RecoveryCode,
        caller: &Caller,
    ) -> Result<Verdict, LoginError> {
        // Checked first: a code that is used up without an audit row would be lost.
        self.journal.may_record().await?;
        Ok(match self.use_recovery_code(Some(who.account), code, Asker::Known).await? {
            UsedCode::Now { left } => {
                let event = Event::RecoveryCodeUsed { left, instead_of: Guess::SecondFactor };
                self.journal.record(event, &Context::person(caller, who)).await?;
                Verdict::Accepted
            }
            UsedCode::Before => Verdict::UsedUp,
            UsedCode::Unknown => Verdict::Wrong,
        })
    }

    /// Uses up a recovery code of the account. If there is no account, or it has no codes, does the
    /// same work without effect.
    pub(super) async fn use_recovery_code(
        &self,
        account: Option<AccountId>,
        code: &RecoveryCode,
        asker: Asker,
    ) -> Result<UsedCode, LoginError> {
        let no_account = AccountId::random(self.deps.random())?;
        let id = account.unwrap_or(no_account);
        let set = self.deps.recovery.recovery_set(id).await?;
        let salted = set.as_ref().map(|s| (s.salt.as_str(), s.pepper_id.as_str()));
        let hash = self.deps.passwords.hash_recovery_code(code, salted, asker).await?;
        let hash = hash.unwrap_or_else(RecoveryHash::of_nothing);
        if let Some(left) = self.deps.recovery.consume_recovery(id, &hash, self.deps.now()).await? {
            return Ok(UsedCode::Now { left });
        }
        let before = self.deps.recovery.recovery_was_used(id, &hash).await?;
        Ok(if before { UsedCode::Before } else { UsedCode::Unknown })
    }
}
