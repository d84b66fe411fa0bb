//! The first sign-in of an account through the real pages: password, enrolment of an
//! authenticator, recovery codes kept. What comes out is the cookie of a finished session.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use data_encoding::BASE32_NOPAD;
use http::{StatusCode, header};
use totp_rs::{Algorithm, Builder};
use vestibule::base::clock::{Clock as _, SystemClock};

use super::Failure;
use super::client::{Answer, Client};

/// Seconds that a code is shown.
const PERIOD: u64 = 30;
/// The cookie of a finished session.
const SESSION: &str = "__Host-vestibule";

/// Signs in an account that was never enrolled, at the plain listener `gateway`. The `Cookie`
/// header of its session.
pub(crate) async fn sign_in(
    gateway: SocketAddr,
    host: &str,
    name: &str,
    password: &str,
) -> Result<String, Failure> {
    let mut browser = Browser { client: Client::new(gateway, host)?, jar: BTreeMap::new() };
    let page = browser.get("/_auth/login").await?;
    let form = [("username", name), ("password", password)];
    browser.submit(&page, "/_auth/login", &form).await?;
    let page = browser.get("/_auth/enroll").await?;
    let code = present_code(&page)?;
    browser.submit(&page, "/_auth/enroll", &[("code", &code)]).await?;
    let page = browser.get("/_auth/recovery-codes").await?;
    let code = recovery_code(&page)?;
    browser.submit(&page, "/_auth/recovery-codes", &[("confirm", &code)]).await?;
    let token = browser.jar.get(SESSION).ok_or("the sign-in ended without a session cookie")?;
    Ok(format!("{SESSION}={token}"))
}

/// The value of the hidden field `csrf`.
pub(crate) fn csrf(page: &Answer) -> Result<String, Failure> {
    let text = String::from_utf8_lossy(&page.body);
    let (_, rest) = text.split_once("name=\"csrf\" value=\"").ok_or("no csrf field in the page")?;
    Ok(rest.split('"').next().unwrap_or_default().to_owned())
}

/// The cookies that an answer sets, as name and value.
pub(crate) fn set_cookies(answer: &Answer) -> Vec<(String, String)> {
    let lines = answer.headers.get_all(header::SET_COOKIE).iter();
    let pair = |line: &str| {
        let (name, value) = line.split(';').next()?.split_once('=')?;
        Some((name.to_owned(), value.to_owned()))
    };
    lines.filter_map(|line| pair(line.to_str().ok()?)).collect()
}

struct Browser {
    client: Client,
    jar: BTreeMap<String, String>,
}

impl Browser {
    fn cookies(&self) -> String {
        let pairs: Vec<String> = self.jar.iter().map(|(n, v)| format!("{n}={v}")).collect();
        pairs.join("; ")
    }

    fn keep_cookies(&mut self, answer: &Answer) {
        for (name, value) in set_cookies(answer) {
            if value.is_empty() {
                self.jar.remove(&name);
            } else {
                self.jar.insert(name, value);
            }
        }
    }

    async fn get(&mut self, target: &str) -> Result<Answer, Failure> {
        let cookies = self.cookies();
        let answer = self.client.get(target, &cookies).await?;
        self.keep_cookies(&answer);
        expect(answer, StatusCode::OK, target)
    }

    async fn submit(
        &mut self,
        page: &Answer,
        target: &str,
        form: &[(&str, &str)],
    ) -> Result<Answer, Failure> {
        let csrf = csrf(page)?;
        let mut form = form.to_vec();
        form.push(("csrf", &csrf));
        let cookies = self.cookies();
        let answer = self.client.post(target, &cookies, &form).await?;
        self.keep_cookies(&answer);
        expect(answer, StatusCode::SEE_OTHER, target)
    }
}

fn expect(answer: Answer, status: StatusCode, target: &str) -> Result<Answer, Failure> {
    if answer.status == status {
        return Ok(answer);
    }
    let location = answer.headers.get(header::LOCATION).and_then(|to| to.to_str().ok());
    let led = location.map(|to| format!(", leading to {to}")).unwrap_or_default();
    Err(format!("{target} answered {} in place of {status}{led}", answer.status).into())
}

/// The first recovery code in the page, which the form takes as the confirmation.
fn recovery_code(page: &Answer) -> Result<String, Failure> {
    let text = String::from_utf8_lossy(&page.body);
    let (_, rest) = text.split_once("<li><code>").ok_or("no recovery code in the page")?;
    let (code, _) = rest.split_once('<').ok_or("no recovery code in the page")?;
    Ok(code.to_owned())
}

/// The code that an authenticator app with the secret on this page shows now.
fn present_code(page: &Answer) -> Result<String, Failure> {
    let text = String::from_utf8_lossy(&page.body);
    let (_, rest) = text.split_once("id=\"totp-secret\"").ok_or("no secret in the page")?;
    let (_, rest) = rest.split_once('>').ok_or("no secret in the page")?;
    let secret: String =
        rest.chars().take_while(|c| *c != '<').filter(|c| !c.is_whitespace()).collect();
    let totp = Builder::new()
        .with_algorithm(Algorithm::SHA1)
        .with_digits(6)
        .with_step_duration(PERIOD)
        .with_secret(BASE32_NOPAD.decode(secret.as_bytes())?)
        .with_issuer(Some("bench".to_owned()))
        .with_account_name("bench".to_owned())
        .build()
        .map_err(|e| format!("the secret in the page is none: {e}"))?;
    Ok(totp.generate(SystemClock::new().now().as_secs()).to_string())
}
