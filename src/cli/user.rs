//! `vestibule user …`

use std::io::Write;

use serde_json::{Value, json};

use super::args::{
    AddArgs, LinkArgs, ResetArgs, SetArgs, StateArgs, TicketArgs, UserArgs, UserCommand,
};
use super::failure::Failure;
use super::table::{Table, visible};
use super::{Streams, input, meta, session, user_keys};
use crate::auth::account::{Account, IdentityChange, LoginName, NewName};
use crate::auth::admin::{Admin, NewUser, UserDetails};
use crate::auth::authenticator::{Authenticator, app_of};
use crate::auth::ports::LinkEnded;
use crate::auth::ticket::{Link, Rights};
use crate::base::clock::Timestamp;

/// Runs the subcommand.
#[expect(clippy::too_many_lines, reason = "one arm for each command")]
pub(super) fn run(arguments: UserArgs, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let state = &arguments.state;
    match arguments.command {
        UserCommand::Add(user) => add(state, user, streams),
        UserCommand::Set(set) => change_identity(state, set, streams.output),
        UserCommand::List => list(state, streams.output),
        UserCommand::Show { name } => show(state, &LoginName::parse(&name)?, streams.output),
        UserCommand::Disable { name } => {
            let name = LoginName::parse(&name)?;
            let ended =
                input::with_admin(state, async |admin| Ok(admin.accounts.disable(&name).await?))?;
            print_done(state, &name, Action::Disabled, Some(ended), streams.output)
        }
        UserCommand::Enable { name } => {
            let name = LoginName::parse(&name)?;
            input::with_admin(state, async |admin| Ok(admin.accounts.enable(&name).await?))?;
            print_done(state, &name, Action::Enabled, None, streams.output)
        }
        UserCommand::Remove { name, yes } => {
            let name = LoginName::parse(&name)?;
            input::confirm(&format!("Remove the user {name}?"), yes, streams)?;
            let (apps, ended) = input::with_admin(state, async |admin| {
                Ok((admin.links.apps_of(&name).await?, admin.accounts.remove(&name).await?))
            })?;
            warn_of_new_account(&name, &apps, "use `user disable` instead", streams)?;
            print_done(state, &name, Action::Removed, Some(ended), streams.output)
        }
        UserCommand::LiftSuspension { name } => {
            let name = LoginName::parse(&name)?;
            let lift = async |admin: Admin| Ok(admin.recovery.lift_suspension(&name).await?);
            let lifted = input::with_admin(state, lift)?;
            let action = if lifted { Action::FailuresReset } else { Action::NoFailures };
            print_done(state, &name, action, None, streams.output)
        }
        UserCommand::SetPassword { name, password_stdin: _always } => {
            let name = LoginName::parse(&name)?;
            let password = input::password(streams.input)?;
            let set = input::with_admin(state, async |admin| {
                Ok(admin.accounts.set_password(&name, &password).await?)
            })?;
            if set.link == LinkEnded(true) {
                writeln!(
                    streams.errors,
                    "note: the one-time link of {name} no longer sets a password. If it also sets \
                     up an authenticator app, it asks for the new password"
                )?;
            }
            let ended = Some(set.sessions_ended);
            print_done(state, &name, Action::PasswordSet, ended, streams.output)
        }
        UserCommand::Link(LinkArgs { name, app, subject }) => {
            let name = LoginName::parse(&name)?;
            let link = async |admin: Admin| Ok(admin.links.link(&name, &app, &subject).await?);
            input::with_admin(state, link)?;
            print_done(state, &name, Action::Linked, None, streams.output)
        }
        UserCommand::Unlink { name, app } => {
            let name = LoginName::parse(&name)?;
            let ended = input::with_admin(state, async |admin| {
                Ok(admin.links.unlink(&name, &app).await?)
            })?;
            let instead = "keep the link and use `user disable` instead";
            warn_of_new_account(&name, &[app], instead, streams)?;
            print_done(state, &name, Action::Unlinked, Some(ended), streams.output)
        }
        UserCommand::Keys { name } => user_keys::list(state, &name, streams.output),
        UserCommand::RemoveKey(key) => user_keys::remove(state, &key, streams.output),
        UserCommand::Ticket(ticket) => make_ticket(state, &ticket, streams.output),
        UserCommand::ResetSecondFactor(reset) => reset_second_factor(state, &reset, streams.output),
    }
}

fn change_identity(
    state: &StateArgs,
    SetArgs { name, changes }: SetArgs,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    let name = LoginName::parse(&name)?;
    let change = IdentityChange {
        email: changes.email,
        display_name: changes.display_name,
        add_groups: changes.add_groups,
        remove_groups: changes.remove_groups,
    };
    let done = input::with_admin(state, async |admin| {
        Ok(admin.accounts.change_identity(&name, &change).await?)
    })?;
    let action = if done.is_empty() { Action::Unchanged } else { Action::Changed };
    print_done(state, &name, action, None, output)
}

/// Warns that the user of an app can come back in spite of the command.
fn warn_of_new_account(
    name: &LoginName,
    apps: &[String],
    instead: &str,
    streams: &mut Streams<'_>,
) -> Result<(), Failure> {
    if apps.is_empty() {
        return Ok(());
    }
    let apps = apps.join(", ");
    writeln!(
        streams.errors,
        "note: with `provision` on, {name} gets a new account at the next sign-in at {apps} and \
         enrols a second factor with the password alone. To deny access, {instead}"
    )?;
    Ok(())
}

fn make_ticket(
    state: &StateArgs,
    wanted: &TicketArgs,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    let name = LoginName::parse(&wanted.name)?;
    let rights = match (wanted.password, wanted.password_only) {
        (false, false) => Rights::ENROL,
        (true, _) => Rights::SET_UP,
        (false, true) => Rights::PASSWORD,
    };
    let link = input::with_admin(state, async |admin| {
        Ok(admin.recovery.ticket(&name, rights, wanted.expires.lifetime).await?)
    })?;
    let done = Done { name: &name, action: Action::LinkCreated, ended: None, link: Some(link) };
    print_result(state, &done, output)
}

fn reset_second_factor(
    state: &StateArgs,
    wanted: &ResetArgs,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    let name = LoginName::parse(&wanted.name)?;
    let done = input::with_admin(state, async |admin| {
        Ok(admin
            .recovery
            .reset_second_factor(&name, &wanted.reason, wanted.expires.lifetime)
            .await?)
    })?;
    let (ended, link) = (Some(done.sessions_ended), Some(done.link));
    let action = Action::SecondFactorRemoved;
    print_result(state, &Done { name: &name, action, ended, link }, output)
}

fn add(state: &StateArgs, user: AddArgs, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let new = NewName::parse(&user.name)?;
    let name = new.clone().into_login();
    let password = if user.password_stdin { Some(input::password(streams.input)?) } else { None };
    let user = NewUser {
        name: new,
        display_name: user.display_name,
        email: user.email,
        groups: user.groups,
        password,
    };
    let added = input::with_admin(state, async |admin| Ok(admin.accounts.add(user).await?))?;
    let done = Done { name: &name, action: Action::Added, ended: None, link: added.link };
    print_result(state, &done, streams.output)
}

/// The effect of a command on a user.
#[derive(Clone, Copy)]
enum Action {
    Added,
    Changed,
    Disabled,
    Enabled,
    FailuresReset,
    Linked,
    LinkCreated,
    NoFailures,
    PasswordSet,
    Removed,
    SecondFactorRemoved,
    Unchanged,
    Unlinked,
}

impl Action {
    /// Returns the name of the action in JSON.
    fn name(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Changed => "changed",
            Self::Disabled => "disabled",
            Self::Enabled => "enabled",
            Self::FailuresReset => "failures_reset",
            Self::Linked => "linked",
            Self::LinkCreated => "link_created",
            Self::NoFailures | Self::Unchanged => "unchanged",
            Self::PasswordSet => "password_set",
            Self::Removed => "removed",
            Self::SecondFactorRemoved => "second_factor_removed",
            Self::Unlinked => "unlinked",
        }
    }

    /// Describes the action on `user`.
    fn sentence(self, user: &LoginName) -> String {
        match self {
            Self::Added => format!("User {user} added"),
            Self::Changed => format!("User {user} changed"),
            Self::Disabled => format!("User {user} disabled"),
            Self::Enabled => format!("User {user} enabled"),
            Self::FailuresReset => format!("Failure counter of {user} reset"),
            Self::Linked => format!("User {user} linked"),
            Self::LinkCreated => format!("One-time link for {user} created"),
            Self::NoFailures => format!("Failure counter of {user} was already zero"),
            Self::PasswordSet => format!("Password of {user} set"),
            Self::Removed => format!("User {user} removed"),
            Self::SecondFactorRemoved => format!("Second factor of {user} removed"),
            Self::Unchanged => format!("User {user} unchanged"),
            Self::Unlinked => format!("User {user} unlinked"),
        }
    }
}

/// The result of a command on a user.
struct Done<'a> {
    name: &'a LoginName,
    action: Action,
    /// Number of sessions ended, if the command ends sessions.
    ended: Option<u64>,
    link: Option<Link>,
}

/// Prints the result without a link.
fn print_done(
    state: &StateArgs,
    name: &LoginName,
    action: Action,
    ended: Option<u64>,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    print_result(state, &Done { name, action, ended, link: None }, output)
}

fn print_result(state: &StateArgs, done: &Done<'_>, output: &mut dyn Write) -> Result<(), Failure> {
    let Done { name, action, ended, link } = done;
    if state.json {
        let mut value = json!({
            "name": name.as_str(),
            "done": action.name(),
            "sessions_ended": ended.unwrap_or(0),
        });
        if let (Value::Object(object), Some(link)) = (&mut value, link) {
            object.insert("link".to_owned(), json!(link.url.as_str()));
            object.insert("link_for".to_owned(), json!(link.rights.as_str()));
            object.insert("link_expires_at".to_owned(), json!(link.expires_at.rfc3339()));
        }
        return meta::json(&value, output);
    }
    match ended {
        Some(ended) => writeln!(output, "{}; sessions ended: {ended}", action.sentence(name))?,
        None => writeln!(output, "{}", action.sentence(name))?,
    }
    let Some(link) = link else { return Ok(()) };
    let effect = match (link.rights.password, link.rights.second_factor) {
        (true, true) => "sets a password and an authenticator app, and needs no other proof",
        (true, false) => "sets a new password, then asks for the second factor",
        (false, _) => "sets up an authenticator app and asks for the password",
    };
    let checked_by =
        link.asks.as_ref().map(|app| format!(", which {app} checks")).unwrap_or_default();
    writeln!(output)?;
    writeln!(output, "{}", link.url.as_str())?;
    writeln!(output)?;
    writeln!(output, "This link works once, until {}.", link.expires_at.rfc3339())?;
    writeln!(output, "It {effect}{checked_by}.")?;
    Ok(())
}

fn list(state: &StateArgs, output: &mut dyn Write) -> Result<(), Failure> {
    let accounts = input::with_admin(state, async |admin| Ok(admin.directory.list().await?))?;
    if state.json {
        return meta::json(&accounts.iter().map(account_json).collect(), output);
    }
    let mut table =
        Table::new(["NAME", "DISPLAY NAME", "EMAIL", "GROUPS", "STATE", "2FA", "ADDED"]);
    for account in &accounts {
        let identity = &account.identity;
        table.row([
            identity.name.to_string(),
            identity.display_name.clone(),
            identity.email.clone().unwrap_or_default(),
            identity.groups.join(","),
            state_word(account).to_owned(),
            if account.ever_enrolled { "enrolled" } else { "none" }.to_owned(),
            account.created_at.rfc3339(),
        ]);
    }
    Ok(table.write(output)?)
}

fn state_word(account: &Account) -> &'static str {
    if account.disabled { "disabled" } else { "active" }
}

fn account_json(account: &Account) -> Value {
    let identity = &account.identity;
    json!({
        "id": identity.account.to_string(),
        "name": identity.name.as_str(),
        "display_name": identity.display_name,
        "email": identity.email,
        "groups": identity.groups,
        "disabled": account.disabled,
        "has_password": account.password.is_some(),
        "ever_enrolled": account.ever_enrolled,
        "created_at": account.created_at.rfc3339(),
    })
}

fn show(state: &StateArgs, name: &LoginName, output: &mut dyn Write) -> Result<(), Failure> {
    let user = input::with_admin(state, async |admin| Ok(admin.directory.show(name).await?))?;
    if state.json {
        return meta::json(&details_json(&user), output);
    }
    let identity = &user.account.identity;
    let password = if user.account.password.is_some() { "set" } else { "not set" };
    for (label, value) in [
        ("Name", identity.name.to_string()),
        ("Display name", identity.display_name.clone()),
        ("Email", identity.email.clone().unwrap_or_default()),
        ("Groups", identity.groups.join(", ")),
        ("Id", identity.account.to_string()),
        ("State", state_word(&user.account).to_owned()),
        ("Added", user.account.created_at.rfc3339()),
        ("Password", password.to_owned()),
        ("Second factor", second_factor(&user)),
        ("Recovery codes", recovery_codes(&user)),
        ("One-time link", ticket(&user)),
        ("Linked apps", at_apps(&user)),
        ("Sessions", user.sessions.len().to_string()),
    ] {
        writeln!(output, "{label:<15} {}", visible(&value))?;
    }
    if !user.sessions.is_empty() {
        writeln!(output)?;
        session::table(&user.sessions).write(output)?;
    }
    Ok(())
}

fn second_factor(user: &UserDetails) -> String {
    match (user.authenticators.is_empty(), user.account.ever_enrolled) {
        (false, _) => user.authenticators.iter().map(authenticator).collect::<Vec<_>>().join(", "),
        (true, true) => "none, enrolled before".to_owned(),
        (true, false) => "not enrolled: set up at the first sign-in".to_owned(),
    }
}

fn authenticator(one: &Authenticator) -> String {
    let named = if one.name.is_empty() { String::new() } else { format!(" \"{}\"", one.name) };
    let used = one
        .last_used_at
        .map_or_else(|| "not used yet".to_owned(), |at| format!("last used {}", at.rfc3339()));
    let wrong = match (one.suspended_at, one.failures) {
        (Some(at), failures) => format!("; SUSPENDED {} after {failures} failures", at.rfc3339()),
        (None, 0) => String::new(),
        (None, failures) => format!("; failures since then: {failures}"),
    };
    format!("{}{named} since {}, {used}{wrong}", one.kind.in_words(), one.created_at.rfc3339())
}

fn at_apps(user: &UserDetails) -> String {
    let links: Vec<String> =
        user.links.iter().map(|(app, subject)| format!("{app}: {subject}")).collect();
    if links.is_empty() { "none".to_owned() } else { links.join(", ") }
}

fn ticket(user: &UserDetails) -> String {
    match &user.ticket {
        None => "none".to_owned(),
        Some(ticket) => {
            let what = match (ticket.rights.password, ticket.rights.second_factor) {
                (true, true) => "password and second factor",
                (true, false) => "password",
                (false, _) => "second factor",
            };
            format!("for {what}, until {}", ticket.expires_at.rfc3339())
        }
    }
}

fn recovery_codes(user: &UserDetails) -> String {
    match &user.recovery {
        None => "none".to_owned(),
        Some(set) => {
            let unsaved = if set.confirmed_at.is_some() { "" } else { ", not confirmed as saved" };
            format!("{} left, created {}{unsaved}", set.left, set.created_at.rfc3339())
        }
    }
}

fn details_json(user: &UserDetails) -> Value {
    let mut value = account_json(&user.account);
    let totp = app_of(&user.authenticators).map(|t| {
        json!({
            "confirmed_at": t.created_at.rfc3339(),
            "last_used_at": t.last_used_at.map(Timestamp::rfc3339),
            "wrong_codes": t.failures,
            "suspended_at": t.suspended_at.map(Timestamp::rfc3339),
        })
    });
    let second_factors = user.authenticators.iter().map(|one| {
        json!({
            "id": one.id.to_string(),
            "kind": one.kind.as_str(),
            "name": one.name,
            "created": one.created_at.rfc3339(),
            "last_used": one.last_used_at.map(Timestamp::rfc3339),
            "failures": one.failures,
            "suspended": one.suspended_at.map(Timestamp::rfc3339),
        })
    });
    let second_factors = second_factors.collect();
    let recovery = user.recovery.as_ref().map(|set| {
        json!({
            "left": set.left,
            "created_at": set.created_at.rfc3339(),
            "confirmed_at": set.confirmed_at.map(Timestamp::rfc3339),
        })
    });
    let ticket = user
        .ticket
        .as_ref()
        .map(|t| json!({ "for": t.rights.as_str(), "expires_at": t.expires_at.rfc3339() }));
    if let Value::Object(object) = &mut value {
        let links = user.links.iter().map(|(app, subject)| (app.clone(), json!(subject.as_str())));
        object.insert("apps".to_owned(), Value::Object(links.collect()));
        object.insert("ticket".to_owned(), json!(ticket));
        object.insert("second_factors".to_owned(), Value::Array(second_factors));
        object.insert("totp".to_owned(), json!(totp));
        object.insert("recovery_codes".to_owned(), json!(recovery));
        let sessions = user.sessions.iter().map(session::session_json).collect();
        object.insert("sessions".to_owned(), Value::Array(sessions));
    }
    value
}
