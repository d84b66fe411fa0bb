//! `vestibule user keys` and `remove-key`.

use std::io::Write;

use serde_json::json;

use super::args::{RemoveKeyArgs, StateArgs};
use super::failure::Failure;
use super::table::Table;
use super::{input, meta};
use crate::auth::account::LoginName;
use crate::auth::authenticator::{Authenticator, AuthenticatorKind};
use crate::base::clock::Timestamp;

/// Prints the keys of a user, oldest first.
pub(super) fn list(state: &StateArgs, name: &str, output: &mut dyn Write) -> Result<(), Failure> {
    let name = LoginName::parse(name)?;
    let user = input::with_admin(state, async |admin| Ok(admin.directory.show(&name).await?))?;
    let is_key = |one: &&Authenticator| one.kind == AuthenticatorKind::Webauthn;
    let keys = user.authenticators.iter().filter(is_key);
    if state.json {
        let keys = keys.map(|key| {
            json!({
                "id": key.id.to_string(),
                "name": key.name,
                "created": key.created_at.rfc3339(),
                "last_used": key.last_used_at.map(Timestamp::rfc3339),
                "rp_id": key.rp_id,
            })
        });
        return meta::json(&keys.collect(), output);
    }
    let mut table = Table::new(["ID", "NAME", "CREATED", "LAST USED", "RP ID"]);
    for key in keys {
        table.row([
            key.id.to_string(),
            key.name.clone(),
            key.created_at.minute(),
            key.last_used_at.map_or_else(|| "never".to_owned(), Timestamp::minute),
            key.rp_id.clone().unwrap_or_default(),
        ]);
    }
    Ok(table.write(output)?)
}

/// Removes a key and prints the number of sessions ended.
pub(super) fn remove(
    state: &StateArgs,
    wanted: &RemoveKeyArgs,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    let name = LoginName::parse(&wanted.name)?;
    let ended = input::with_admin(state, async |admin| {
        Ok(admin.recovery.remove_key(&name, wanted.id, &wanted.reason).await?)
    })?;
    if state.json {
        let done =
            json!({ "action": "key_removed", "user": name.as_str(), "sessions_ended": ended });
        return meta::json(&done, output);
    }
    Ok(writeln!(output, "Key of {name} removed, sessions ended: {ended}")?)
}
