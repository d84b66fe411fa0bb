//! `vestibule user …`

use std::io::Write;

use serde_json::{Value, json};

use super::args::{
    AddArgs, LinkArgs, ResetArgs, SetArgs, StateArgs, TicketArgs, UserArgs, UserCommand,
};
use super::failure::Failure;
use super::table::{Table, visible};
use super::{Streams, input, meta, session};
use crate::auth::account::{Account, IdentityChange, LoginName};
use crate::auth::admin::{NewUser, UserDetails};
use crate::auth::ticket::{Link, Rights};

/// Runs the sub-command.
pub(super) fn run(arguments: UserArgs, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let state = &arguments.state;
    match arguments.command {
        UserCommand::Add(user) => add(state, user, streams),
        UserCommand::Set(set) => change_identity(state, set, streams.output),
        UserCommand::List => list(state, streams.output),
        UserCommand::Show { name } => show(state, &LoginName::parse(&name)?, streams.output),
        UserCommand::Disable { name } => {
            let name = LoginName::parse(&name)?;
            let ended = input::with_admin(state, async |admin| Ok(admin.disable(&name).await?))?;
            changed(state, &name, "disabled", Some(ended), streams.output)
        }
        UserCommand::Enable { name } => {
            let name = LoginName::parse(&name)?;
            input::with_admin(state, async |admin| Ok(admin.enable(&name).await?))?;
            changed(state, &name, "enabled", None, streams.output)
        }
        UserCommand::Remove { name } => {
            let name = LoginName::parse(&name)?;
            let (apps, ended) = input::with_admin(state, async |admin| {
                Ok((admin.apps_of(&name).await?, admin.remove(&name).await?))
            })?;
            comes_back(&name, &apps, "`user disable` keeps somebody out", streams)?;
            changed(state, &name, "removed", Some(ended), streams.output)
        }
        UserCommand::LiftSuspension { name } => {
            let name = LoginName::parse(&name)?;
            let lifted =
                input::with_admin(state, async |admin| Ok(admin.lift_suspension(&name).await?))?;
            let done =
                if lifted { "forgiven all wrong codes" } else { "found without wrong codes" };
            changed(state, &name, done, None, streams.output)
        }
        UserCommand::SetPassword { name, password_stdin: _always } => {
            let name = LoginName::parse(&name)?;
            let password = input::password(streams.input)?;
            let ended = input::with_admin(state, async |admin| {
                Ok(admin.set_password(&name, &password).await?)
            })?;
            changed(state, &name, "given a new password", Some(ended), streams.output)
        }
        UserCommand::Link(LinkArgs { name, app, subject }) => {
            let name = LoginName::parse(&name)?;
            input::with_admin(state, async |admin| Ok(admin.link(&name, &app, &subject).await?))?;
            changed(state, &name, "linked", None, streams.output)
        }
        UserCommand::Unlink { name, app } => {
            let name = LoginName::parse(&name)?;
            let ended =
                input::with_admin(state, async |admin| Ok(admin.unlink(&name, &app).await?))?;
            let out = "`user disable` of an account that stays linked keeps somebody out";
            comes_back(&name, &[app], out, streams)?;
            changed(state, &name, "unlinked", Some(ended), streams.output)
        }
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
    let done =
        input::with_admin(state, async |admin| Ok(admin.change_identity(&name, &change).await?))?;
    let done = if done.is_empty() { "left unchanged" } else { "changed" };
    changed(state, &name, done, None, output)
}

/// Warns that the person of an app is not kept out by what was done.
fn comes_back(
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
        "note: whoever was {name} at {apps} gets a new account at the next sign-in there, where \
         `provision` is on, and sets up a second factor with the password alone: {instead}"
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
        Ok(admin.ticket(&name, rights, wanted.expires.lifetime).await?)
    })?;
    told(state, &Done { name: &name, what: "given a link", ended: None, link: Some(link) }, output)
}

fn reset_second_factor(
    state: &StateArgs,
    wanted: &ResetArgs,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    let name = LoginName::parse(&wanted.name)?;
    let done = input::with_admin(state, async |admin| {
        Ok(admin.reset_second_factor(&name, &wanted.reason, wanted.expires.lifetime).await?)
    })?;
    let (ended, link) = (Some(done.sessions_ended), Some(done.link));
    let what = "left without a second factor";
    told(state, &Done { name: &name, what, ended, link }, output)
}

fn add(state: &StateArgs, user: AddArgs, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let name = LoginName::parse(&user.name)?;
    let password = if user.password_stdin { Some(input::password(streams.input)?) } else { None };
    let user = NewUser {
        name: name.clone(),
        display_name: user.display_name,
        email: user.email,
        groups: user.groups,
        password,
    };
    let added = input::with_admin(state, async |admin| Ok(admin.add(user).await?))?;
    let done = Done { name: &name, what: "added", ended: None, link: added.link };
    told(state, &done, streams.output)
}

/// What was done to a user.
struct Done<'a> {
    name: &'a LoginName,
    what: &'static str,
    ended: Option<u64>,
    link: Option<Link>,
}

/// Says what was done, and how many sessions that ended.
fn changed(
    state: &StateArgs,
    name: &LoginName,
    what: &'static str,
    ended: Option<u64>,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    told(state, &Done { name, what, ended, link: None }, output)
}

fn told(state: &StateArgs, done: &Done<'_>, output: &mut dyn Write) -> Result<(), Failure> {
    let Done { name, what, ended, link } = done;
    if state.json {
        let mut value = json!({
            "name": name.as_str(),
            "done": what,
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
        Some(ended) => writeln!(output, "{name} was {what}; sessions ended: {ended}")?,
        None => writeln!(output, "{name} was {what}")?,
    }
    let Some(link) = link else { return Ok(()) };
    let use_of_it = match (link.rights.password, link.rights.second_factor) {
        (true, true) => "sets a password and an authenticator app; whoever opens it needs no more",
        (true, false) => "sets a new password; the second factor is asked for after it",
        (false, _) => "sets up an authenticator app; the password is asked for with it",
    };
    let of_app = link.asks.as_ref().map(|app| format!(", which {app} checks")).unwrap_or_default();
    writeln!(output)?;
    writeln!(output, "{}", link.url.as_str())?;
    writeln!(output)?;
    writeln!(output, "This link works once, until {}.", link.expires_at.rfc3339())?;
    writeln!(output, "It {use_of_it}{of_app}.")?;
    Ok(())
}

fn list(state: &StateArgs, output: &mut dyn Write) -> Result<(), Failure> {
    let accounts = input::with_admin(state, async |admin| Ok(admin.list().await?))?;
    if state.json {
        return meta::json(&accounts.iter().map(account_json).collect(), output);
    }
    let mut table =
        Table::new(["NAME", "DISPLAY NAME", "EMAIL", "GROUPS", "STATE", "2FA", "ADDED"]);
    for account in &accounts {
        let who = &account.identity;
        table.row([
            who.name.to_string(),
            who.display_name.clone(),
            who.email.clone().unwrap_or_default(),
            who.groups.join(","),
            state_word(account).to_owned(),
            if account.ever_enrolled { "enrolled" } else { "not yet" }.to_owned(),
            account.created_at.rfc3339(),
        ]);
    }
    Ok(table.write(output)?)
}

fn state_word(account: &Account) -> &'static str {
    if account.disabled { "disabled" } else { "active" }
}

fn account_json(account: &Account) -> Value {
    let who = &account.identity;
    json!({
        "id": who.account.to_string(),
        "name": who.name.as_str(),
        "display_name": who.display_name,
        "email": who.email,
        "groups": who.groups,
        "disabled": account.disabled,
        "has_password": account.password.is_some(),
        "ever_enrolled": account.ever_enrolled,
        "created_at": account.created_at.rfc3339(),
    })
}

fn show(state: &StateArgs, name: &LoginName, output: &mut dyn Write) -> Result<(), Failure> {
    let user = input::with_admin(state, async |admin| Ok(admin.show(name).await?))?;
    if state.json {
        return meta::json(&details_json(&user), output);
    }
    let who = &user.account.identity;
    let password = if user.account.password.is_some() { "set" } else { "not set" };
    for (label, value) in [
        ("Name", who.name.to_string()),
        ("Display name", who.display_name.clone()),
        ("Email", who.email.clone().unwrap_or_default()),
        ("Groups", who.groups.join(", ")),
        ("Id", who.account.to_string()),
        ("State", state_word(&user.account).to_owned()),
        ("Added", user.account.created_at.rfc3339()),
        ("Password", password.to_owned()),
        ("Second factor", second_factor(&user)),
        ("Recovery codes", recovery_codes(&user)),
        ("One-time link", ticket(&user)),
        ("At apps", at_apps(&user)),
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
    match (&user.totp, user.account.ever_enrolled) {
        (Some(totp), _) => {
            let wrong = match (totp.suspended_at, totp.failures) {
                (Some(at), failures) => {
                    format!("; SUSPENDED {} after {failures} wrong codes", at.rfc3339())
                }
                (None, 0) => String::new(),
                (None, failures) => format!("; wrong codes since then: {failures}"),
            };
            format!(
                "authenticator app since {}, last used {}{wrong}",
                totp.confirmed_at.rfc3339(),
                totp.last_used_at.rfc3339()
            )
        }
        (None, true) => "none at present, enrolled before".to_owned(),
        (None, false) => "not yet: asked for at the first login".to_owned(),
    }
}

fn at_apps(user: &UserDetails) -> String {
    let links: Vec<String> =
        user.links.iter().map(|(app, subject)| format!("{subject} at {app}")).collect();
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
            let kept = if set.confirmed_at.is_some() { "" } else { ", not yet confirmed as kept" };
            format!("{} left, made {}{kept}", set.left, set.created_at.rfc3339())
        }
    }
}

fn details_json(user: &UserDetails) -> Value {
    let mut value = account_json(&user.account);
    let totp = user.totp.as_ref().map(|t| {
        json!({
            "confirmed_at": t.confirmed_at.rfc3339(),
            "last_used_at": t.last_used_at.rfc3339(),
            "wrong_codes": t.failures,
            "suspended_at": t.suspended_at.map(crate::base::clock::Timestamp::rfc3339),
        })
    });
    let recovery = user.recovery.as_ref().map(|set| {
        json!({
            "left": set.left,
            "created_at": set.created_at.rfc3339(),
            "confirmed_at": set.confirmed_at.map(crate::base::clock::Timestamp::rfc3339),
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
        object.insert("totp".to_owned(), json!(totp));
        object.insert("recovery_codes".to_owned(), json!(recovery));
        let sessions = user.sessions.iter().map(session::session_json).collect();
        object.insert("sessions".to_owned(), Value::Array(sessions));
    }
    value
}
