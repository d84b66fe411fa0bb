//! URLs of stores.

use url::Url;

use crate::base::secret::Secret;

/// Detects a URL whose user name or password contains a delimiter that should be percent-encoded,
/// so that the host is not where it seems. Returns the explanation.
fn cut_short(url: &str) -> Option<&'static str> {
    let (_scheme, rest) = url.split_once("://")?;
    let (_authority, behind) = rest.split_at(rest.find(['/', '?', '#'])?);
    behind.contains('@').then_some(
        "a `/`, `?` or `#` in the user name or the password must be percent-encoded (%2F, %3F, \
         %23), and an `@` or `%` as well (%40, %25)",
    )
}

/// Parses a URL with a host under one of `schemes`. The error never quotes the URL.
pub(super) fn store_url(url: &Secret, schemes: &[&str], example: &str) -> Result<Url, String> {
    let parsed = Url::parse(url.reveal()).map_err(|e| match cut_short(url.reveal()) {
        Some(why) => format!("not a URL: {why}, as in \"{example}\""),
        None => format!("not a URL ({e}): write it like \"{example}\""),
    })?;
    if !schemes.contains(&parsed.scheme()) {
        let schemes = schemes.join(":// or ");
        return Err(format!("the scheme must be {schemes}://, as in \"{example}\""));
    }
    if let Some(why) = cut_short(url.reveal()) {
        return Err(format!("{why}, as in \"{example}\""));
    }
    if parsed.host_str().unwrap_or_default().is_empty() {
        return Err(format!("it has no host: write it like \"{example}\""));
    }
    Ok(parsed)
}
