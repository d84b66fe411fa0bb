//! The secret of an authenticator app as QR code, text and link.

use qrcode::{Color, EcLevel, QrCode};

use super::failure::Failure;
use super::words;
use crate::auth::login::Enrolment;

/// Width of the quiet zone, in modules.
const QUIET: usize = 4;

/// A QR code as an SVG path: one unit per module, with a quiet zone of four modules.
#[derive(Debug)]
pub(super) struct Qr {
    pub(super) size: usize,
    pub(super) path: String,
}

/// A TOTP secret in every form that an authenticator app accepts.
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

impl Qr {
    pub(super) fn new(text: &str) -> Result<Self, Failure> {
        let code = QrCode::with_error_correction_level(text, EcLevel::M)
            .map_err(|e| Failure::Broken(format!("failed to draw QR code: {e}")))?;
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
