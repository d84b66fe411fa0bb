//! Resolution of an app's dialect.

use crate::auth::app_sign_in::AppPolicy;
use crate::config::key_path::KeyPath;
use crate::config::raw::{RawApp, RawBody, RawDialect, RawDialectFile, RawDialectRef};
use crate::config::reader::Reader;
use crate::gate::dialect::{BodyKind, CodeWanted, Dialect, Places, SignIn, Success};

const SHIPPED: &[(&str, &str)] = &[("cellengine", include_str!("../dialects/cellengine.toml"))];

/// Resolves the dialect of an app, if it has one.
pub(super) fn dialect(raw: &RawApp, at: &KeyPath, r: &mut Reader<'_>) -> Option<Dialect> {
    let key = at.key("dialect");
    match raw.dialect.as_ref()? {
        RawDialectRef::Shipped(name) => {
            let text = r.choice(&key, Some(name), SHIPPED)?;
            parse(name, text).map_err(|why| r.fail(&key, why)).ok()
        }
        RawDialectRef::File(RawDialectFile { file }) => {
            let path = r.path(file);
            let shown = path.display().to_string();
            let read = std::fs::read_to_string(&path)
                .map_err(|error| format!("{shown} cannot be read: {error}"))
                .and_then(|text| parse(&shown, &text));
            read.map_err(|why| r.fail(&key, why)).ok()
        }
    }
}

fn parse(name: &str, text: &str) -> Result<Dialect, String> {
    let raw: RawDialect = toml::from_str(text)
        .map_err(|error| format!("{name} is not a valid dialect: {}", error.message()))?;
    let path = |path: String, key: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "/-_.~".contains(c);
        let fits = path.len() > 1
            && path.starts_with('/')
            && path.chars().all(plain)
            && path.split('/').skip(1).all(|s| !matches!(s, "" | "." | ".."));
        if fits { Ok(path) } else { Err(format!("{name}: {key} is not a plain path: {path:?}")) }
    };
    if raw.sign_in.bodies.is_empty() {
        return Err(format!("{name}: sign_in.bodies is empty: write [\"json\"]"));
    }
    if raw.credentials.cookie.is_none() && !raw.credentials.authorization {
        return Err(format!("{name}: credentials must say where the app's token is sent"));
    }
    let body = |body: RawBody| match body {
        RawBody::Json => BodyKind::Json,
        RawBody::Form => BodyKind::Form,
    };
    Ok(Dialect {
        name: name.to_owned(),
        sign_in: SignIn {
            path: path(raw.sign_in.path, "sign_in.path")?,
            bodies: raw.sign_in.bodies.into_iter().map(body).collect(),
            username: raw.sign_in.username,
            password: raw.sign_in.password,
            code: raw.sign_in.code,
        },
        success: Success {
            status: raw.success.status,
            subject: raw.success.subject,
            token: raw.success.token,
        },
        code_wanted: CodeWanted {
            status: raw.code_wanted.status,
            content_type: raw.code_wanted.content_type,
            body: raw.code_wanted.body,
            error: raw.code_wanted.error,
            says: raw.code_wanted.says,
        },
        sign_out: raw.sign_out.map(|out| path(out.path, "sign_out.path")).transpose()?,
        places: Places {
            cookie: raw.credentials.cookie,
            authorization: raw.credentials.authorization,
            query: raw.credentials.query,
            long_lived: raw.credentials.long_lived_prefix,
        },
    })
}

/// Resolves the first factor of an app and the provisioning of its users.
pub(super) fn first_factor(
    raw: &RawApp,
    has_dialect: bool,
    at: &KeyPath,
    r: &mut Reader<'_>,
) -> Option<AppPolicy> {
    let by_app = match raw.first_factor.as_deref() {
        None => false,
        word => r
            .choice(&at.key("first_factor"), word, &[("password", false), ("app", true)])
            .unwrap_or(false),
    };
    let code_counts = match raw.app_second_factor.as_deref() {
        None => false,
        word => r
            .choice(&at.key("app_second_factor"), word, &[("ignored", false), ("counts", true)])
            .unwrap_or(false),
    };
    if by_app && !has_dialect && raw.dialect.is_none() {
        r.fail(
            &at.key("first_factor"),
            "\"app\" needs a dialect to sign in to the app: add dialect = \"cellengine\", or \
             dialect = { file = \"…\" }",
        );
    }
    for (key, given) in [
        ("provision", raw.provision.is_some()),
        ("app_second_factor", raw.app_second_factor.is_some()),
    ] {
        if given && !by_app {
            r.fail(&at.key(key), "is for apps with first_factor = \"app\"");
        }
    }
    if by_app && code_counts {
        r.weaken(
            &at.key("app_second_factor"),
            "anyone who knows a user's app password can enable the app's code on their own phone \
             and sign in as that user, unless the user is enrolled here",
        );
    }
    by_app.then(|| AppPolicy { provision: raw.provision.unwrap_or(false), code_counts })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_dialects_are_valid() {
        for (name, text) in SHIPPED {
            let dialect = parse(name, text).unwrap();
            assert_eq!(dialect.code_wanted.body, "{\"error\":\"\\\"otp\\\" is required.\"}");
            assert!(dialect.code_wanted.body.contains("is required."));
        }
    }

    #[test]
    fn a_dialect_with_unknown_keys_or_odd_paths_is_rejected() {
        let (_, text) = SHIPPED[0];
        let odd = text.replace("[sign_out]", "[sign_out]\nmethod = \"PUT\"");
        assert!(parse("x", &odd).unwrap_err().contains("unknown field"));
        let odd = text.replace("/api/v1/signin", "/api/v1/%73ignin");
        assert!(parse("x", &odd).unwrap_err().contains("not a plain path"));
    }
}
