//! Style, script and icon: in the binary, under names that change with their content, so that
//! browsers keep them for ever.

use std::sync::LazyLock;

use axum::body::Body;
use axum::response::Response;
use data_encoding::HEXLOWER;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use ring::digest::{SHA256, digest};

use super::failure::Failure;

struct Asset {
    path: String,
    kind: &'static str,
    content: &'static str,
}

/// The paths of what every page loads.
#[derive(Debug)]
pub(super) struct Assets {
    css: Asset,
    js: Asset,
    icon: Asset,
}

impl std::fmt::Debug for Asset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.path)
    }
}

static ASSETS: LazyLock<Assets> = LazyLock::new(|| Assets {
    css: asset("css", "text/css; charset=utf-8", include_str!("../../assets/app.css")),
    js: asset("js", "text/javascript; charset=utf-8", include_str!("../../assets/app.js")),
    icon: asset("svg", "image/svg+xml", include_str!("../../assets/icon.svg")),
});

fn asset(extension: &str, kind: &'static str, content: &'static str) -> Asset {
    let hash = digest(&SHA256, content.as_bytes());
    let short = HEXLOWER.encode(hash.as_ref().get(..8).unwrap_or_default());
    Asset { path: format!("/_auth/assets/app.{short}.{extension}"), kind, content }
}

pub(super) fn css() -> &'static str {
    &ASSETS.css.path
}

pub(super) fn js() -> &'static str {
    &ASSETS.js.path
}

pub(super) fn icon() -> &'static str {
    &ASSETS.icon.path
}

/// The asset at this path.
pub(super) fn serve(path: &str) -> Result<Response, Failure> {
    let Assets { css, js, icon } = &*ASSETS;
    let found = [css, js, icon].into_iter().find(|a| a.path == path);
    let Some(asset) = found else { return Err(super::routes::not_found()) };
    let mut response = Response::new(Body::from(asset.content));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(asset.kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    Ok(response)
}
