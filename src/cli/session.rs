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
            end_with_links(&arguments.state, None, streams.output)
        }
        SessionCommand::End { which: EndArgs { user: Some(user), .. }, links: true, .. } => {
            let name = LoginName::parse(user)?;
            end_with_links(&arguments.state, Some(&name), streams.output)
        }
        SessionCommand::End { which, links: _, yes } => {
            if which.all {
                input::confirm("End all sessions of all users?", *yes, streams)?;
            }
            end(&arguments.state, which, streams)
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

fn end(state: &StateArgs, which: &EndArgs, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let name = which.user.as_deref().map(LoginName::parse).transpose()?;
    let (ended, link) = input::with_admin(state, async |admin| {
        Ok(match (which.id, &name) {
            (Some(id), _) => admin.sessions.end(id).await.map(|()| (1, None))?,
            (None, Some(name)) => {
                let ended = admin.sessions.end_of(name).await?;
                // The sessions are ended whether or not the link can be looked up.
                (ended, admin.sessions.link_until(name).await.unwrap_or(None))
            }
            // Clap allows no other combination than `--all`.
            (None, None) => (admin.sessions.end_all().await?, None),
        })
    })?;
    if let Some((name, until)) = name.zip(link) {
        writeln!(
            streams.errors,
            "note: a one-time link of {name} works until {}. `vestibule session end --user {name} \
             --links` removes it",
            until.rfc3339()
        )?;
    }
    if state.json {
        return meta::json(&json!({ "sessions_ended": ended }), streams.output);
    }
    Ok(writeln!(streams.output, "sessions ended: {ended}")?)
}

/// Ends the sessions and removes the one-time links of one user or of all.
fn end_with_links(
    state: &StateArgs,
    name: Option<&LoginName>,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    let (sessions, links) = input::with_admin(state, async |admin| {
        Ok(match name {
            Some(name) => admin.sessions.end_of_and_links(name).await?,
            None => admin.sessions.end_all_and_links().await?,
        })
    })?;
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
