//! Style sheet, scripts and icon, compiled into the binary. Their names contain a hash of their
//! content, so browsers may cache them for ever. The script for pages of the app has a fixed name.

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
    keys: Asset,
    icon: Asset,
    session: Asset,
}

impl std::fmt::Debug for Asset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.path)
    }
}

static ASSETS: LazyLock<Assets> = LazyLock::new(|| Assets {
    css: asset("css", "text/css; charset=utf-8", STYLE),
    js: asset("js", "text/javascript; charset=utf-8", include_str!("../../assets/app.js")),
    keys: asset("js", "text/javascript; charset=utf-8", include_str!("../../assets/keys.js")),
    icon: asset("svg", "image/svg+xml", include_str!("../../assets/icon.svg")),
    session: Asset {
        path: SESSION.to_owned(),
        kind: "text/javascript; charset=utf-8",
        content: include_str!("../../assets/session.js"),
    },
});

/// `Cache-Control` of files whose content never changes.
pub(super) const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// The script that pages of the app may include. Its name never changes.
const SESSION: &str = "/_auth/assets/session.js";

fn asset(extension: &str, kind: &'static str, content: &'static str) -> Asset {
    Asset { path: path("app", content.as_bytes(), extension), kind, content }
}

/// Returns the path of a file: its name contains a hash of its content.
pub(super) fn path(stem: &str, content: &[u8], extension: &str) -> String {
    let hash = digest(&SHA256, content);
    let short = HEXLOWER.encode(hash.as_ref().get(..8).unwrap_or_default());
    format!("/_auth/assets/{stem}.{short}.{extension}")
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

/// Returns the path of the script that asks for keys.
pub(super) fn keys() -> &'static str {
    &ASSETS.keys.path
}

pub(super) fn icon() -> &'static str {
    &ASSETS.icon.path
}

/// Returns the file at `path`, or `None` if there is none.
pub(super) fn serve(path: &str) -> Option<Response> {
    let Assets { css, js, keys, icon, session } = &*ASSETS;
    let asset = [css, js, keys, icon, session].into_iter().find(|a| a.path == path)?;
    let mut response = Response::new(Body::from(asset.content));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(asset.kind));
    let lives = if path == SESSION { "public, max-age=3600" } else { FOR_EVER };
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(lives));
    Some(response)
}
