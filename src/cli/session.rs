//! `vestibule session …`

use std::io::Write;

use serde_json::{Value, json};

use super::args::{EndArgs, SessionArgs, SessionCommand, StateArgs};
use super::failure::Failure;
use super::table::{Table, shortened};
use super::{Streams, input, meta};
use crate::auth::account::LoginName;
use crate::auth::session::Session;
use crate::auth::stage::Factor;
use crate::base::browser;

/// Runs the subcommand.
pub(super) fn run(arguments: &SessionArgs, streams: &mut Streams<'_>) -> Result<(), Failure> {
    match &arguments.command {
        SessionCommand::List { user } => list(&arguments.state, user.as_deref(), streams.output),
        SessionCommand::End { which, links: true, yes } if which.all => {
            let question = "End all sessions and remove all one-time links of all users?";
            input::confirm(question, *yes, streams)?;
            end_all_and_links(&arguments.state, streams.output)
        }
        SessionCommand::End { which, links: _, yes } => {
            if which.all {
                input::confirm("End all sessions of all users?", *yes, streams)?;
            }
            end(&arguments.state, which, streams.output)
        }
    }
}

fn list(state: &StateArgs, user: Option<&str>, output: &mut dyn Write) -> Result<(), Failure> {
    let name = user.map(LoginName::parse).transpose()?;
    let sessions =
        input::with_admin(state, async |admin| Ok(admin.sessions.list(name.as_ref()).await?))?;
    if state.json {
        return meta::json(&sessions.iter().map(session_json).collect(), output);
    }
    Ok(table(&sessions).write(output)?)
}

fn end(state: &StateArgs, which: &EndArgs, output: &mut dyn Write) -> Result<(), Failure> {
    let name = which.user.as_deref().map(LoginName::parse).transpose()?;
    let ended = input::with_admin(state, async |admin| {
        Ok(match (which.id, &name) {
            (Some(id), _) => admin.sessions.end(id).await.map(|()| 1)?,
            (None, Some(name)) => admin.sessions.end_of(name).await?,
            // Clap allows no other combination than `--all`.
            (None, None) => admin.sessions.end_all().await?,
        })
    })?;
    if state.json {
        return meta::json(&json!({ "sessions_ended": ended }), output);
    }
    Ok(writeln!(output, "sessions ended: {ended}")?)
}

fn end_all_and_links(state: &StateArgs, output: &mut dyn Write) -> Result<(), Failure> {
    let (sessions, links) =
        input::with_admin(state, async |admin| Ok(admin.sessions.end_all_and_links().await?))?;
    if state.json {
        return meta::json(&json!({ "sessions_ended": sessions, "links_removed": links }), output);
    }
    Ok(writeln!(output, "sessions ended: {sessions}\nlinks removed: {links}")?)
}

/// Returns the app of a session, or the portal with the apps below it.
fn apps_of(session: &Session) -> String {
    if session.apps.is_empty() {
        return session.app.clone();
    }
    format!("{}: {}", session.app, session.apps.join(", "))
}

/// Returns the second factor of a session in one word.
fn how(session: &Session) -> &'static str {
    match session.method {
        Factor::Authenticator(_) if session.alone => "passkey",
        Factor::Authenticator(kind) => kind.in_brief(),
        Factor::RecoveryCode => "recovery",
        Factor::App => "app",
    }
}

/// Formats sessions as a table at most 112 characters wide. `--json` prints the rest.
pub(super) fn table(sessions: &[Session]) -> Table<7> {
    let mut table = Table::new(["ID", "USER", "APP", "HOW", "LAST SEEN", "ADDRESS", "BROWSER"]);
    for session in sessions {
        table.row([
            session.id.to_string(),
            shortened(session.identity.name.as_str(), 12),
            shortened(&apps_of(session), 20),
            how(session).to_owned(),
            session.last_seen_at.minute(),
            shortened(&session.device.address.to_string(), 15),
            shortened(&browser::in_words(&session.device.user_agent), 12),
        ]);
    }
    table
}

/// Returns a session as JSON.
pub(super) fn session_json(session: &Session) -> Value {
    json!({
        "id": session.id.to_string(),
        "user": session.identity.name.as_str(),
        "app": session.app,
        "apps": session.apps,
        "second_factor": session.method.as_str(),
        "amr": session.methods(),
        "started_at": session.started_at.rfc3339(),
        "last_seen_at": session.last_seen_at.rfc3339(),
        "expires_at": session.expires_at.rfc3339(),
        "address": session.device.address.to_string(),
        "user_agent": session.device.user_agent,
    })
}
