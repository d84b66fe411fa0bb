//! The security events. `cargo run --example reference` lists them in `docs/audit.md`.

use serde_json::json;

use super::account_change::AccountChange;
use super::fields::{Detail, Ended, Guess, Outcome, TicketPurpose};
use super::occasion::Occasion;
use super::table::events;
use crate::auth::authenticator::AuthenticatorKind;
use crate::auth::stage::Factor;
use crate::base::clock::Timestamp;
use crate::base::id::{FactorId, SessionId, TokenId};

events! {
    /// Name and password were right; the second factor is missing.
    PasswordRight = "password_right" Done {
        words: "Correct password entered",
        factor: Some("password"),
    }
    /// Name or password was wrong, or the account is disabled, for known and unknown names alike.
    PasswordWrong {
        /// Keyed digest of the name as typed.
        name_digest: String,
    } = "password_wrong" Refused {
        words: "Incorrect password entered",
        factor: Some("password"),
        detail: { "name_digest": name_digest },
    }
    /// Right password, but the code was wrong or already used.
    SecondFactorWrong {
        /// Factor of the attempt.
        factor: Factor,
        /// Attempts left in this login.
        tries_left: u32,
    } = "second_factor_wrong" Refused {
        words: "Wrong code entered after the correct password",
        factor: Some(factor.as_str()),
        detail: { "tries_left": tries_left },
        mail: Some(Occasion::WrongCodes),
    }
    /// Attempts get backoff without a check. Only the first in ten minutes is recorded.
    Throttled {
        /// Credential of the attempts.
        guess: Guess,
        /// Length of the wait, in seconds.
        seconds: u64,
        /// Keyed digest of the name as typed, if any.
        name_digest: Option<String>,
    } = "throttled" Refused {
        words by throttled,
        detail: { "guess": guess.as_str(), "seconds": seconds, "name_digest": name_digest },
    }
    /// Wrong passwords from unknown browsers, over all names, within `seconds`. Recorded once.
    PasswordSpray {
        /// Number of wrong passwords.
        wrong: u32,
        /// Length of the window, in seconds.
        seconds: u64,
    } = "password_spray" Refused {
        words: "Incorrect passwords were tried for many accounts",
        detail: { "wrong": wrong, "seconds": seconds },
    }
    /// Further rows for `event` are left out for `seconds`. A later row has their number, `rows`.
    RowsLeftOut {
        /// Name of the event type.
        event: &'static str,
        /// Seconds until rows are written again; 0 in the row with the number of omitted rows.
        seconds: u64,
        /// Rows omitted by this process since the last such row; 0 in the row at the beginning.
        rows: u64,
    } = "rows_left_out" Refused {
        words: "More of the same happened than is listed here",
        detail: { "event": event, "seconds": seconds, "rows": rows },
    }
    /// Both factors were proved. `new_browser`: not a known browser of the account
    /// (`docs/security.md`, "Guessing"); false at the first sign-in of all. `amr`: the methods, as in
    /// `/_auth/session`; without `pwd` a passkey was both factors. `key`: the id of the key.
    SignedIn {
        /// Id of the session.
        session: SessionId,
        /// Second factor.
        factor: Factor,
        /// Name of the app.
        app: String,
        /// True if the browser was unknown to the account. False for the very first sign-in.
        new_browser: bool,
        /// Methods, as RFC 8176 names them.
        amr: String,
        /// Id of the key, if it was one.
        key: Option<FactorId>,
    } = "signed_in" Done {
        words by signed_in,
        factor: Some(factor.as_str()),
        detail: { "session": session, "app": app, "new_browser": new_browser, "amr": amr, "key": key },
        mail: new_browser.then_some(Occasion::NewBrowser),
    }
    /// The portal handed the sign-in over to an app; `session` is that at the portal.
    HandedOver {
        /// Id of the session.
        session: SessionId,
        /// Name of the app.
        app: String,
    } = "handed_over" Done {
        words: "Signed in to an app through the portal",
        detail: { "session": session, "app": app },
    }
    /// A ticket was refused and is used up: `other_browser`, `other_app` or `session_ended`.
    HandOverRefused {
        /// Reason.
        why: &'static str,
    } = "hand_over_refused" Refused {
        words: "A sign-in through the portal was refused",
        detail: { "why": why },
    }
    /// `signed_out`, `replaced` (a new sign-in), `by_person`, `by_operator`, `too_many_tries`.
    SessionEnded {
        /// Id of the session.
        session: SessionId,
        /// Reason.
        why: Ended,
    } = "session_ended" Done {
        words by session_ended,
        detail: { "session": session, "why": why.as_str() },
        mail: why.is_by_operator().then_some(Occasion::SessionsEnded),
    }
    /// All sessions of an account, or all sessions.
    SessionsEnded {
        /// Number of sessions.
        sessions: u64,
        /// Reason.
        why: Ended,
    } = "sessions_ended" Done {
        words by sessions_ended,
        detail: { "sessions": sessions, "why": why.as_str() },
        mail: why.is_by_operator().then_some(Occasion::SessionsEnded),
    }
    /// The first authenticator was confirmed; `factor` is its kind.
    SecondFactorEnrolled {
        /// Id of the authenticator.
        factor: FactorId,
        /// Kind of the authenticator.
        kind: AuthenticatorKind,
    } = "second_factor_enrolled" Done {
        words by second_factor_enrolled,
        factor: Some(kind.as_str()),
        detail: { "factor_id": factor },
        mail: Some(Occasion::of_set_up(*kind)),
    }
    /// A new authenticator was confirmed and replaced the former one; `factor` is its kind. `keys`: the names
    /// of the keys that still sign in.
    SecondFactorReplaced {
        /// Id of the authenticator.
        factor: FactorId,
        /// Kind of the authenticator.
        kind: AuthenticatorKind,
        /// Names of the keys that still sign in.
        keys: Vec<String>,
    } = "second_factor_replaced" Done {
        words by second_factor_replaced,
        factor: Some(kind.as_str()),
        detail: { "factor_id": factor, "keys": keys },
        mail: Some(Occasion::of_set_up(*kind)),
    }
    /// A passkey or security key was added to an account that has a second factor.
    KeyAdded {
        /// Id of the key.
        key: FactorId,
        /// Name of the key.
        name: String,
    } = "key_added" Done {
        words: "Passkey or security key added",
        factor: Some(Factor::KEY.as_str()),
        detail: { "key": key, "name": name },
        mail: Some(Occasion::KeyAdded),
    }
    /// A key was renamed.
    KeyRenamed {
        /// Id of the key.
        key: FactorId,
        /// New name of the key.
        name: String,
    } = "key_renamed" Done {
        words: "Passkey or security key renamed",
        factor: Some(Factor::KEY.as_str()),
        detail: { "key": key, "name": name },
    }
    /// A key was removed by its user, or by an operator with a `reason`.
    KeyRemoved {
        /// Id of the key.
        key: FactorId,
        /// Name of the key.
        name: String,
        /// Reason given by the operator.
        reason: Option<String>,
    } = "key_removed" Done {
        words: "Passkey or security key removed",
        factor: Some(Factor::KEY.as_str()),
        detail: { "key": key, "name": name, "reason": reason },
        mail: Some(Occasion::KeyRemoved),
    }
    /// A key was refused: its signature counter did not advance. There may be a copy of it.
    KeyCounterRegressed {
        /// Id of the key.
        key: FactorId,
        /// Name of the key.
        name: String,
    } = "key_counter_regressed" Refused {
        words: "A key was refused: there may be a copy of it",
        factor: Some(Factor::KEY.as_str()),
        detail: { "key": key, "name": name },
        mail: Some(Occasion::KeyCopied),
    }
    /// A passkey was refused at the sign-in page; `reason` is the failed check.
    PasskeyRefused {
        /// Reason.
        reason: &'static str,
    } = "passkey_refused" Refused {
        words: "A passkey was refused",
        factor: Some(Factor::KEY.as_str()),
        detail: { "reason": reason },
    }
    /// An operator removed the second factor.
    SecondFactorReset {
        /// Reason given by the operator.
        reason: String,
    } = "second_factor_reset" Done {
        words: "An administrator removed the second factor",
        detail: { "reason": reason },
        mail: Some(Occasion::SecondFactorRemoved),
    }
    /// A second factor was suspended after too many wrong codes; `factor` says which.
    FactorSuspended {
        /// The second factor.
        factor: Factor,
        /// Consecutive failures.
        failures: u64,
    } = "factor_suspended" Refused {
        words: "Authenticator app suspended after too many wrong codes",
        factor: Some(factor.as_str()),
        detail: { "failures": failures },
        mail: Some(Occasion::SecondFactorSuspended),
    }
    /// A new set replaced the former one.
    RecoveryCodesMade = "recovery_codes_made" Done {
        words: "New recovery codes created",
    }
    /// The user confirmed or proved that they were saved.
    RecoveryCodesKept = "recovery_codes_kept" Done {
        words: "Recovery codes confirmed as saved",
    }
    /// A code was used in place of the `second_factor` or the `password`.
    RecoveryCodeUsed {
        /// Number of unused codes.
        left: u32,
        /// Factor that the code replaced.
        instead_of: Guess,
    } = "recovery_code_used" Done {
        words by recovery_code_used,
        factor: Some(Factor::RecoveryCode.as_str()),
        detail: { "left": left, "instead_of": instead_of.as_str() },
        mail: Some(Occasion::RecoveryCodeUsed),
    }
    /// A code given in place of the password was wrong.
    RecoveryWrong {
        /// Keyed digest of the name as typed.
        name_digest: String,
    } = "recovery_wrong" Refused {
        words: "Wrong recovery code entered",
        factor: Some(Factor::RecoveryCode.as_str()),
        detail: { "name_digest": name_digest },
    }
    /// A step-up succeeded. `key`: the id of the key, if it was one.
    SteppedUp {
        /// Kind of proof.
        guess: Guess,
        /// Id of the key, if it was one.
        key: Option<FactorId>,
    } = "stepped_up" Done {
        words: "Identity confirmed before a change",
        factor: Some(guess.as_str()),
        detail: { "key": key },
    }
    /// A step-up failed.
    StepUpWrong {
        /// Kind of proof.
        guess: Guess,
    } = "step_up_wrong" Refused {
        words: "Wrong password or code entered before a change",
        factor: Some(guess.as_str()),
    }
    /// The user changed the password. `keys`: the names of the keys that still sign in.
    PasswordChanged {
        /// Proof that allowed it: the former password, or a recovery code or ticket in its place.
        by: &'static str,
        /// Names of the keys that still sign in.
        keys: Vec<String>,
    } = "password_changed" Done {
        words by password_changed,
        detail: { "by": by, "keys": keys },
        mail: Some(Occasion::PasswordChanged),
    }
    /// An operator set the password.
    PasswordSet {
        /// Number of sessions ended.
        sessions: u64,
    } = "password_set" Done {
        words: "An administrator set a new password",
        detail: { "sessions": sessions },
        mail: Some(Occasion::PasswordChanged),
    }
    /// A one-time link was created.
    TicketMade {
        /// Purpose of the link.
        asked: TicketPurpose,
        /// Time of expiry.
        expires_at: Timestamp,
    } = "ticket_made" Done {
        words: "An administrator created a one-time link for this account",
        detail: { "for": asked.as_str(), "expires_at": expires_at.rfc3339() },
    }
    /// An operator removed all one-time links, of one user or of all.
    TicketsRemoved {
        /// Number of links, used ones included.
        links: u64,
    } = "tickets_removed" Done {
        words: "An administrator removed all one-time links",
        detail: { "links": links },
    }
    /// The link was used for this purpose.
    TicketUsed {
        /// Purpose of the link.
        asked: TicketPurpose,
    } = "ticket_used" Done {
        words: "The one-time link was used",
        detail: { "for": asked.as_str() },
    }
    /// The password was set or a factor enrolled without the link, so it no longer works for that.
    TicketEnded {
        /// Purpose of the link.
        asked: TicketPurpose,
    } = "ticket_ended" Done {
        words: "The one-time link stopped working: it was no longer needed",
        detail: { "for": asked.as_str() },
    }
    /// Rows beyond the retention time were removed.
    TrailPruned {
        /// Number of rows.
        rows: u64,
        /// Number of the newest removed row.
        through: u64,
    } = "trail_pruned" Done {
        words: "Old events were deleted",
        detail: { "rows": rows, "through": through },
    }
    /// The account has no known browsers any more.
    DevicesRevoked = "devices_revoked" Done {
        words: "All known browsers were forgotten",
    }
    /// An operator reset the failure counter; no factor is suspended any more.
    SuspensionLifted = "suspension_lifted" Done {
        words: "An administrator reset the count of wrong codes",
    }
    /// An operator added the account.
    AccountAdded = "account_added" Done {
        words: "An administrator created the account",
    }
    /// The app knows this user, who has no account here.
    AppUserUnknown {
        /// Name of the app.
        app: String,
        /// The app's id of the user.
        subject: String,
    } = "app_user_unknown" Refused {
        words: "Sign-in refused: this user of the app has no account here",
        detail: { "app": app, "subject": subject },
    }
    /// An account was created for a user of an app that checks passwords itself.
    AppUserAdded {
        /// Name of the app.
        app: String,
        /// The app's id of the user.
        subject: String,
    } = "app_user_added" Done {
        words: "The account was created at the first sign-in through the app",
        detail: { "app": app, "subject": subject },
    }
    /// An operator linked the account to a user of the app.
    AppUserLinked {
        /// Name of the app.
        app: String,
        /// The app's id of the user.
        subject: String,
    } = "app_user_linked" Done {
        words: "An administrator linked the account to a user of an app",
        detail: { "app": app, "subject": subject },
    }
    /// An operator removed the link of the account to the app.
    AppUserUnlinked {
        /// Name of the app.
        app: String,
    } = "app_user_unlinked" Done {
        words: "An administrator unlinked the account from an app",
        detail: { "app": app },
    }
    /// An app token was accepted; one row an hour for each token and network.
    AppTokenUsed {
        /// Name of the app.
        app: String,
        /// Name of the token in the configuration.
        token: String,
    } = "app_token_used" Done {
        words: "A program used one of the app's own tokens",
        detail: { "app": app, "token": token },
    }
    /// An app token was rejected; one row an hour for each network.
    AppTokenRefused {
        /// Name of the app.
        app: String,
        /// Reason.
        why: &'static str,
    } = "app_token_refused" Refused {
        words: "One of the app's own tokens was refused",
        detail: { "app": app, "why": why },
    }
    /// An operator created an access token. `token` is its id.
    TokenMade {
        /// Id of the token.
        token: TokenId,
        /// Name of the app.
        app: String,
        /// Time of expiry.
        expires_at: Timestamp,
    } = "token_made" Done {
        words: "An administrator created an access token for a program",
        detail: { "token": token, "app": app, "expires_at": expires_at.rfc3339() },
        mail: Some(Occasion::TokenMade),
    }
    /// An operator or its user revoked an access token.
    TokenRevoked {
        /// Id of the token.
        token: TokenId,
        /// Name of the app.
        app: String,
    } = "token_revoked" Done {
        words: "An access token for a program was revoked",
        detail: { "token": token, "app": app },
    }
    /// An access token was accepted; one row an hour for each token.
    TokenUsed {
        /// Id of the token.
        token: TokenId,
        /// Name of the app.
        app: String,
    } = "token_used" Done {
        words: "A program used its access token",
        detail: { "token": token, "app": app },
    }
    /// An access token was rejected; one row an hour for each network.
    TokenRefused {
        /// Name of the app.
        app: String,
        /// Reason.
        why: &'static str,
    } = "token_refused" Refused {
        words: "An access token was refused",
        detail: { "app": app, "why": why },
    }
    /// An operator changed these. For addresses and names the event says only that they changed.
    AccountChanged {
        /// The parts that changed.
        change: AccountChange,
    } = "account_changed" Done {
        words: "An administrator changed the account's name, email address or groups",
        detail: {
            "email": change.email, "display_name": change.display_name,
            "groups_added": change.groups_added, "groups_removed": change.groups_removed,
        },
        mail: change.email.then_some(Occasion::EmailChanged),
    }
    /// An operator disabled the account.
    AccountDisabled {
        /// Number of sessions ended.
        sessions: u64,
    } = "account_disabled" Done {
        words: "An administrator disabled the account",
        detail: { "sessions": sessions },
    }
    /// An operator enabled the account.
    AccountEnabled = "account_enabled" Done {
        words: "An administrator enabled the account",
    }
    /// An operator removed the account.
    AccountRemoved {
        /// Number of sessions ended.
        sessions: u64,
    } = "account_removed" Done {
        words: "An administrator deleted the account",
        detail: { "sessions": sessions },
    }
}
