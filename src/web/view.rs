//! What every page shows around its content, and how a page becomes an answer.

use std::time::Duration;

use askama::Template;
use axum::body::Body;
use axum::response::Response;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue, LOCATION, REFERRER_POLICY, RETRY_AFTER, SET_COOKIE};
use qrcode::{Color, EcLevel, QrCode};

use super::back::Back;
use super::csrf::Stale;
use super::failure::Failure;
use super::refusal::Told;
use super::{assets, words};
use crate::auth::login::Enrolment;

/// The frame of a page: where the person is, and what the page loads.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) title: String,
    pub(super) host: String,
    style: Style,
    /// The header leads to the account and to signing out.
    pub(super) signed_in: bool,
    /// The query that carries the way back to the next page; empty for the start page.
    pub(super) back: String,
    /// The same for a form; empty where nobody said where to.
    pub(super) return_to: String,
}

/// Where a page has its style from.
#[derive(Debug)]
enum Style {
    /// Files of ours, with script and icon.
    Loaded(Loaded),
    /// The page itself: there is no script.
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

    /// For a host that is none of ours.
    pub(super) fn nowhere() -> Self {
        Self::of(Style::Inline(assets::STYLE))
    }

    /// The same frame on the way back to there.
    pub(super) fn with_back(self, back: &Back) -> Self {
        Self { back: back.query(), return_to: back.as_str().to_owned(), ..self }
    }

    /// The same frame, with or without the way to the account.
    pub(super) fn signed_in(self, signed_in: bool) -> Self {
        Self { signed_in, ..self }
    }

    /// The files to load.
    pub(super) fn loaded(&self) -> Option<&Loaded> {
        match &self.style {
            Style::Loaded(files) => Some(files),
            Style::Inline(_) => None,
        }
    }

    /// The style to write into the page.
    pub(super) fn inline_style(&self) -> Option<&'static str> {
        match &self.style {
            Style::Loaded(_) => None,
            Style::Inline(style) => Some(style),
        }
    }

    /// The same frame for a page that can load nothing.
    pub(super) fn inline(self) -> Self {
        Self { style: Style::Inline(assets::STYLE), ..self }
    }
}

/// The page with a title that begins with "Error:" where `status` is one, as screen readers read the
/// title first.
pub(super) fn titled(html: String, status: StatusCode) -> String {
    if status.is_client_error() || status.is_server_error() {
        html.replacen("<title>", "<title>Error: ", 1)
    } else {
        html
    }
}

/// An answer in the making.
pub(super) struct Answer(Response);

impl Answer {
    pub(super) fn page(status: StatusCode, page: &impl Template) -> Result<Self, Failure> {
        let mut response = Response::new(Body::from(titled(page.render()?, status)));
        *response.status_mut() = status;
        let kind = HeaderValue::from_static("text/html; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, kind);
        Ok(Self(response))
    }

    /// 303 to a path on this host.
    pub(super) fn see_other(path: &str) -> Self {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SEE_OTHER;
        let location =
            HeaderValue::from_str(path).unwrap_or_else(|_never| HeaderValue::from_static("/"));
        response.headers_mut().insert(LOCATION, location);
        Self(response)
    }

    pub(super) fn json(value: &impl serde::Serialize) -> Result<Self, Failure> {
        let body = serde_json::to_string(value).map_err(|e| Failure::Broken(e.to_string()))?;
        let mut response = Response::new(Body::from(body));
        let kind = HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, kind);
        Ok(Self(response))
    }

    /// The address that was asked for holds a secret: nobody is told of it.
    #[must_use]
    pub(super) fn unreferred(mut self) -> Self {
        let none = HeaderValue::from_static("no-referrer");
        self.0.headers_mut().insert(REFERRER_POLICY, none);
        self
    }

    #[must_use]
    pub(super) fn cookie(mut self, cookie: Option<HeaderValue>) -> Self {
        if let Some(cookie) = cookie {
            self.0.headers_mut().append(SET_COOKIE, cookie);
        }
        self
    }

    /// Notes what is said with a refusal, for whoever is asked about it.
    #[must_use]
    pub(super) fn told(mut self, complaint: &Complaint) -> Self {
        if let Some(sentence) = complaint.text.clone().filter(|_| complaint.stale) {
            let (status, code) = (self.0.status(), "stale_form");
            self.0.extensions_mut().insert(Told { status, code, sentence: sentence.into() });
        }
        self
    }

    #[must_use]
    pub(super) fn retry_after(mut self, wait: Option<Duration>) -> Self {
        if let Some(wait) = wait {
            let seconds = HeaderValue::from(words::whole_seconds(wait));
            self.0.headers_mut().insert(RETRY_AFTER, seconds);
        }
        self
    }

    pub(super) fn done(self) -> Response {
        self.0
    }
}

/// What is wrong with what was typed, beside the field.
#[derive(Debug, Default)]
pub(super) struct Complaint {
    pub(super) text: Option<String>,
    pub(super) wait: Option<Duration>,
    stale: bool,
}

impl Complaint {
    pub(super) fn none() -> Self {
        Self::default()
    }

    pub(super) fn wrong(text: impl Into<String>) -> Self {
        Self { text: Some(text.into()), ..Self::default() }
    }

    pub(super) fn wait(wait: Duration) -> Self {
        let text = format!("Too many tries. Please wait {} and try again.", words::duration(wait));
        Self { text: Some(text), wait: Some(wait), stale: false }
    }

    /// The form was out of date, and is shown anew.
    pub(super) fn stale(why: &Stale, host: &str) -> Self {
        let text = if why.cookies {
            "This page was out of date, so nothing was done. Please try again.".to_owned()
        } else {
            format!(
                "Your browser sent no cookie with this form, so nothing was done. Signing in needs \
                 cookies: if they are switched off for {host}, allow them. Then try again."
            )
        };
        Self { text: Some(text), wait: None, stale: true }
    }

    /// The seconds to wait, for the script that counts them down.
    pub(super) fn wait_seconds(&self) -> Option<u64> {
        self.wait.map(words::whole_seconds)
    }

    pub(super) fn status(&self) -> StatusCode {
        match (&self.text, self.wait) {
            _ if self.stale => StatusCode::FORBIDDEN,
            (_, Some(_)) => StatusCode::TOO_MANY_REQUESTS,
            (Some(_), None) => StatusCode::UNAUTHORIZED,
            (None, None) => StatusCode::OK,
        }
    }
}

/// A QR code as an SVG path, one unit a module, with the quiet zone of four around it.
#[derive(Debug)]
pub(super) struct Qr {
    pub(super) size: usize,
    pub(super) path: String,
}

/// What an authenticator app takes up: as a picture, as text, as a link.
pub(super) struct Scan<'a> {
    pub(super) secret: &'a str,
    pub(super) grouped: String,
    pub(super) uri: &'a str,
    pub(super) qr: Qr,
}

impl<'a> Scan<'a> {
    pub(super) fn of(offer: &'a Enrolment) -> Result<Self, Failure> {
        Ok(Self {
            secret: &offer.secret,
            grouped: words::in_fours(&offer.secret),
            uri: &offer.uri,
            qr: Qr::new(&offer.uri)?,
        })
    }
}

const QUIET: usize = 4;

impl Qr {
    pub(super) fn new(text: &str) -> Result<Self, Failure> {
        let code = QrCode::with_error_correction_level(text, EcLevel::M)
            .map_err(|e| Failure::Broken(format!("the QR code could not be drawn: {e}")))?;
        let width = code.width();
        let mut path = String::new();
        for (y, row) in code.to_colors().chunks(width).enumerate() {
            let mut x = 0;
            for run in row.chunk_by(|a, b| a == b) {
                if run.first() == Some(&Color::Dark) {
                    let (left, top, width) = (x + QUIET, y + QUIET, run.len());
                    path.extend(["M", &left.to_string(), " ", &top.to_string()]);
                    path.extend(["h", &width.to_string(), "v1h-", &width.to_string(), "z"]);
                }
                x += run.len();
            }
        }
        Ok(Self { size: width + 2 * QUIET, path })
    }
}
