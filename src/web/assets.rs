//! Style sheet, script and icon, compiled into the binary. Their names contain a hash of their
//! content, so browsers may cache them for ever.

use std::sync::LazyLock;

use axum::body::Body;
use axum::response::Response;
use data_encoding::{BASE64, HEXLOWER};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use ring::digest::{SHA256, digest};

struct Asset {
    path: String,
    kind: &'static str,
    content: &'static str,
}

/// The files that every page loads.
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
    css: asset("css", "text/css; charset=utf-8", STYLE),
    js: asset("js", "text/javascript; charset=utf-8", include_str!("../../assets/app.js")),
    icon: asset("svg", "image/svg+xml", include_str!("../../assets/icon.svg")),
});

fn asset(extension: &str, kind: &'static str, content: &'static str) -> Asset {
    let hash = digest(&SHA256, content.as_bytes());
    let short = HEXLOWER.encode(hash.as_ref().get(..8).unwrap_or_default());
    Asset { path: format!("/_auth/assets/app.{short}.{extension}"), kind, content }
}

/// The style sheet, for pages that inline it because they cannot load files.
pub(super) const STYLE: &str = include_str!("../../assets/app.css");

/// Returns the content security policy of a page with an inline style: that style and nothing else.
pub(super) fn inline_policy() -> HeaderValue {
    static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
        let hash = BASE64.encode(digest(&SHA256, STYLE.as_bytes()).as_ref());
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{hash}'; form-action 'none'; \
             frame-ancestors 'none'; base-uri 'none'"
        );
        HeaderValue::from_str(&policy)
            .unwrap_or_else(|_never| HeaderValue::from_static("default-src 'none'"))
    });
    POLICY.clone()
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

/// Returns the file at `path`, or `None` if there is none.
pub(super) fn serve(path: &str) -> Option<Response> {
    let Assets { css, js, icon } = &*ASSETS;
    let asset = [css, js, icon].into_iter().find(|a| a.path == path)?;
    let mut response = Response::new(Body::from(asset.content));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(asset.kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    Some(response)
}
