//! Helpers of the fuzz targets. Each file in `bin` is one target.

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use vestibule::gate::dialect::{BodyKind, CodeWanted, Dialect, Places, SignIn, Success};

/// Parses lines of `name: value`. Returns `None` if a line is not a valid header.
pub fn headers(data: &[u8]) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n').take(120) {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(line.get(..colon)?).ok()?;
        let value = HeaderValue::from_bytes(line.get(colon + 1..)?.trim_ascii()).ok()?;
        headers.append(name, value);
    }
    Some(headers)
}

/// Splits the input at its first empty line.
pub fn head_and_body(data: &[u8]) -> (&[u8], &[u8]) {
    match data.windows(2).position(|pair| pair == b"\n\n") {
        Some(end) => (&data[..end], &data[end + 2..]),
        None => (data, b""),
    }
}

/// A dialect with each place that a credential can have.
pub fn dialect(bodies: Vec<BodyKind>) -> Dialect {
    Dialect {
        name: "fuzz".to_owned(),
        sign_in: SignIn {
            path: "/api/v1/signin".to_owned(),
            bodies,
            username: "username".to_owned(),
            password: "password".to_owned(),
            code: "otp".to_owned(),
        },
        success: Success {
            status: 200,
            subject: "userId".to_owned(),
            token: Some("token".to_owned()),
        },
        code_wanted: CodeWanted {
            status: 400,
            content_type: "application/json".to_owned(),
            body: String::new(),
            error: "error".to_owned(),
            says: "\"otp\" is required".to_owned(),
        },
        sign_out: Some("/api/v1/signout".to_owned()),
        places: Places {
            cookie: Some("token".to_owned()),
            authorization: true,
            query: Some("token".to_owned()),
            long_lived: Some("cep_".to_owned()),
        },
    }
}
