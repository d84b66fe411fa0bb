//! `vestibule token …`

use std::io::Write;

use data_encoding::HEXLOWER;
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use super::args::{StateArgs, TokenArgs, TokenCommand, TokenCreateArgs};
use super::failure::Failure;
use super::table::Table;
use super::{Streams, input, meta};
use crate::auth::access_token::{AccessRecord, Limits};
use crate::auth::account::LoginName;
use crate::auth::admin::AccessWish;
use crate::base::clock::Timestamp;
use crate::base::id::TokenId;
use crate::gate::machine::Limited;

/// Runs the subcommand.
pub(super) fn run(arguments: &TokenArgs, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let state = &arguments.state;
    match &arguments.command {
        TokenCommand::Create(wanted) => create(state, wanted, streams.output),
        TokenCommand::List { user } => list(state, user.as_deref(), streams.output),
        TokenCommand::Revoke { id } => revoke(state, *id, streams.output),
        TokenCommand::Hash { stdin: _always } => {
            let token = input::password(streams.input)?;
            let hash = digest(&SHA256, token.reveal().as_bytes());
            writeln!(streams.output, "{}", HEXLOWER.encode(hash.as_ref()))?;
            Ok(())
        }
    }
}

fn create(
    state: &StateArgs,
    wanted: &TokenCreateArgs,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    let name = LoginName::parse(&wanted.user)?;
    let limits = Limits {
        methods: wanted.methods.clone(),
        paths: wanted.paths.clone(),
        networks: wanted.networks.clone(),
        websocket: wanted.websocket,
    };
    let hint = "`vestibule token create --help` shows the format of limits";
    Limited::parse(&limits).map_err(|bad| Failure::usage(bad, hint))?;
    let settings = input::state_settings(state)?;
    if !settings.proxy.apps.iter().any(|app| app.name == wanted.app) {
        let message = format!("no app `{}` in the configuration", wanted.app);
        return Err(Failure::usage(message, "`vestibule check` lists the apps"));
    }
    let wish = AccessWish {
        app: wanted.app.clone(),
        description: wanted.description.clone(),
        limits,
        lifetime: wanted.lifetime,
    };
    let (record, token) =
        input::with_admin(state, async |admin| Ok(admin.tokens.make(&name, wish).await?))?;
    if state.json {
        let mut value = token_json(&name, &record);
        if let Value::Object(fields) = &mut value {
            fields.insert("token".to_owned(), token.reveal().into());
        }
        return meta::json(&value, output);
    }
    writeln!(output, "{}", token.reveal())?;
    let (id, end) = (record.id, record.expires_at.rfc3339());
    writeln!(
        output,
        "token {id} of {name} for {}, valid until {end}; it will not be shown again",
        record.app
    )?;
    Ok(())
}

fn list(state: &StateArgs, user: Option<&str>, output: &mut dyn Write) -> Result<(), Failure> {
    let name = user.map(LoginName::parse).transpose()?;
    let tokens =
        input::with_admin(state, async |admin| Ok(admin.tokens.list(name.as_ref()).await?))?;
    if state.json {
        let tokens = tokens.iter().map(|(user, token)| token_json(user, token)).collect();
        return meta::json(&tokens, output);
    }
    let mut table = Table::new([
        "ID",
        "USER",
        "APP",
        "DESCRIPTION",
        "LIMITS",
        "CREATED",
        "EXPIRES",
        "LAST USED",
    ]);
    for (user, token) in &tokens {
        table.row([
            token.id.to_string(),
            user.to_string(),
            token.app.clone(),
            token.description.clone(),
            token.limits.in_words().unwrap_or_else(|| "none".to_owned()),
            token.made_at.rfc3339(),
            token.expires_at.rfc3339(),
            token.last_used_at.map_or_else(|| "never".to_owned(), Timestamp::rfc3339),
        ]);
    }
    Ok(table.write(output)?)
}

fn revoke(state: &StateArgs, id: TokenId, output: &mut dyn Write) -> Result<(), Failure> {
    input::with_admin(state, async |admin| Ok(admin.tokens.revoke(id).await?))?;
    if state.json {
        return meta::json(&json!({ "revoked": id.to_string() }), output);
    }
    Ok(writeln!(output, "token {id} revoked")?)
}

fn token_json(user: &LoginName, token: &AccessRecord) -> Value {
    json!({
        "id": token.id.to_string(),
        "user": user.as_str(),
        "app": token.app,
        "description": token.description,
        "methods": token.limits.methods,
        "websocket": token.limits.websocket,
        "paths": token.limits.paths,
        "networks": token.limits.networks,
        "made_at": token.made_at.rfc3339(),
        "expires_at": token.expires_at.rfc3339(),
        "last_used_at": token.last_used_at.map(Timestamp::rfc3339),
    })
}
