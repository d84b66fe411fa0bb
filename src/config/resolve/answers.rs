//! Settings of Vestibule's own responses for an app.

use super::upstream;
use crate::config::key_path::KeyPath;
use crate::config::raw::{RawApiErrors, RawApp};
use crate::config::reader::Reader;
use crate::gate::glob::PathGlob;
use crate::proxy::settings::{AnswerSettings, Preflight};
use crate::web::refusal::ErrorShape;

/// Maximum characters in a field name.
const FIELD_MAX: usize = 64;

/// Resolves the response settings of an app.
pub(super) fn answers(raw: &RawApp, at: &KeyPath, r: &mut Reader<'_>) -> AnswerSettings {
    let api_paths = globs(raw.api_paths.as_deref(), &at.key("api_paths"), r);
    let mut cors_origins = Vec::new();
    for (i, text) in raw.cors_origins.iter().flatten().enumerate() {
        match origin(text) {
            Ok(origin) => cors_origins.push(origin),
            Err(why) => r.fail(&at.key("cors_origins").index(i), why),
        }
    }
    let choices = [("answer", Preflight::Answer), ("pass", Preflight::Pass)];
    let word = raw.cors_preflight.as_deref().or(Some("answer"));
    let preflight = r.choice(&at.key("cors_preflight"), word, &choices).unwrap_or_default();
    if preflight == Preflight::Pass {
        let what = "preflights (OPTIONS) reach the app without authentication";
        r.weaken(&at.key("cors_preflight"), what);
    }
    let errors = raw.api_errors.clone().unwrap_or_default();
    let errors = shape(&errors, &at.key("api_errors"), r);
    AnswerSettings { api_paths, cors_origins, preflight, errors }
}

/// Resolves a list of path patterns.
pub(super) fn globs(raw: Option<&[String]>, at: &KeyPath, r: &mut Reader<'_>) -> Vec<PathGlob> {
    let mut globs = Vec::new();
    for (i, text) in raw.unwrap_or_default().iter().enumerate() {
        match PathGlob::parse(text) {
            Ok(glob) => globs.push(glob),
            Err(why) => r.fail(&at.index(i), format!("{text:?} is not a path pattern: {why}")),
        }
    }
    globs
}

/// Parses an origin in the form that browsers send.
fn origin(text: &str) -> Result<String, String> {
    let url = upstream::origin(text).map_err(|why| {
        format!("{text:?} is not an origin: {why}, as in \"https://spa.example.com\"")
    })?;
    Ok(url.origin().ascii_serialization())
}

fn shape(raw: &RawApiErrors, at: &KeyPath, r: &mut Reader<'_>) -> ErrorShape {
    let default = ErrorShape::default();
    let mut taken = Vec::new();
    let mut field = |key: &str, name: Option<&String>, default: Option<String>| {
        let name = name.cloned().or(default).filter(|name| !name.is_empty())?;
        if name.len() > FIELD_MAX || name.chars().any(char::is_control) {
            r.fail(&at.key(key), format!("{name:?} is not a name: at most {FIELD_MAX} characters"));
        }
        if taken.contains(&name) {
            r.fail(&at.key(key), format!("{name:?} is already the name of another field"));
        }
        taken.push(name.clone());
        Some(name)
    };
    let error = field("error", raw.error.as_ref(), Some(default.error));
    let shape = ErrorShape {
        error: error.clone().unwrap_or_default(),
        code: field("code", raw.code.as_ref(), default.code),
        login_url: field("login_url", raw.login_url.as_ref(), default.login_url),
        step_up_url: field("step_up_url", raw.step_up_url.as_ref(), default.step_up_url),
        reference: field("reference", raw.reference.as_ref(), default.reference),
        retry_after: field("retry_after", raw.retry_after.as_ref(), default.retry_after),
    };
    if error.is_none() {
        r.fail(&at.key("error"), "is empty: every error needs a message, name the field");
    }
    shape
}
