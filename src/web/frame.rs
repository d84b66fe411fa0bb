//! The frame of every page: title, host, style and return address.

use http::StatusCode;

use super::assets;
use super::back::Back;

/// The parts of a page around its content.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) title: String,
    pub(super) host: String,
    style: Style,
    /// True if the header links to the account and to signing out.
    pub(super) signed_in: bool,
    /// Query that carries the return address to the next page; empty for the start page.
    pub(super) back: String,
    /// Return address for a form field; empty if the request has none.
    pub(super) return_to: String,
}

/// Source of a page's style.
#[derive(Debug)]
enum Style {
    /// Linked files, together with script and icon.
    Loaded(Loaded),
    /// A style element in the page, without script.
    Inline(&'static str),
}

#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) css: &'static str,
    pub(super) js: &'static str,
    pub(super) icon: &'static str,
}

impl Frame {
    pub(super) fn new(title: &str, origin: &str) -> Self {
        let host = origin.split_once("://").map_or(origin, |(_, host)| host);
        let loaded = Loaded { css: assets::css(), js: assets::js(), icon: assets::icon() };
        Self { title: title.to_owned(), host: host.to_owned(), ..Self::of(Style::Loaded(loaded)) }
    }

    fn of(style: Style) -> Self {
        let [title, host, back, return_to] = [const { String::new() }; 4];
        Self { title, host, style, signed_in: false, back, return_to }
    }

    /// Returns the frame for an unknown host.
    pub(super) fn nowhere() -> Self {
        Self::of(Style::Inline(assets::STYLE))
    }

    /// Sets the return address.
    pub(super) fn with_back(self, back: &Back) -> Self {
        Self { back: back.query(), return_to: back.as_str().to_owned(), ..self }
    }

    /// Shows or hides the links to the account.
    pub(super) fn signed_in(self, signed_in: bool) -> Self {
        Self { signed_in, ..self }
    }

    /// Returns the path of the script that asks for keys.
    #[expect(clippy::unused_self, reason = "templates call it on the frame")]
    pub(super) fn key_script(&self) -> &'static str {
        assets::keys()
    }

    /// Returns the files to link.
    pub(super) fn loaded(&self) -> Option<&Loaded> {
        match &self.style {
            Style::Loaded(files) => Some(files),
            Style::Inline(_) => None,
        }
    }

    /// Returns the style to write into the page.
    pub(super) fn inline_style(&self) -> Option<&'static str> {
        match &self.style {
            Style::Loaded(_) => None,
            Style::Inline(style) => Some(style),
        }
    }

    /// Inlines the style, for a page that cannot load files.
    pub(super) fn inline(self) -> Self {
        Self { style: Style::Inline(assets::STYLE), ..self }
    }
}

/// Prefixes the page title with "Error: " if `status` is an error, because screen readers read the
/// title first.
pub(super) fn titled(html: String, status: StatusCode) -> String {
    if status.is_client_error() || status.is_server_error() {
        html.replacen("<title>", "<title>Error: ", 1)
    } else {
        html
    }
}
