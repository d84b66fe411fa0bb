//! Passkeys and security keys from outside: a software authenticator posts what it makes.

mod account;
mod ceremonies;
mod hostile;
pub(super) mod in_browser;
mod lost;
mod nodes;
mod related;
mod remaining;
mod rules;
mod second_client;

use serde_json::Value;

use super::support::authenticator::Authenticator;
use super::support::client::Browser;
use super::support::gateway::Gateway;
use super::support::visitor;
use super::support::wire::Answer;

/// The options on a page.
pub(super) fn options(page: &str) -> Value {
    let marked = page.split_once("id=\"webauthn-options\">");
    let (_, rest) = marked.unwrap_or_else(|| panic!("no options: {page}"));
    serde_json::from_str(rest.split("</script>").next().unwrap()).unwrap()
}

/// The origin as the browser writes it.
pub(super) fn origin(browser: &Browser) -> String {
    format!("https://{}", browser.host)
}

/// Opens the page, has the authenticator answer it, and sends the answer. The answer to that.
pub(super) async fn register(
    browser: &mut Browser,
    key: &mut Authenticator,
    path: &str,
    name: &str,
) -> Answer {
    let page = browser.get(path).await;
    assert_eq!(page.status, 200, "{path}: {}", page.text());
    let credential = key.create(&options(&page.text()), &origin(browser)).to_string();
    browser.submit_from(&page, path, &[("name", name), ("credential", &credential)]).await
}

/// The same for a page that takes a proof.
pub(super) async fn prove(browser: &mut Browser, key: &mut Authenticator, path: &str) -> Answer {
    let page = browser.get(path).await;
    assert_eq!(page.status, 200, "{path}: {}", page.text());
    let credential = key.get(&options(&page.text()), &origin(browser)).to_string();
    browser.submit_from(&page, path, &[("credential", &credential)]).await
}

/// Signs in by the passkey from the sign-in page.
pub(super) async fn by_passkey(browser: &mut Browser, key: &mut Authenticator) -> Answer {
    let page = browser.get("/_auth/login?return_to=%2Fapp").await;
    let credential = key.get(&options(&page.text()), &origin(browser)).to_string();
    let form = [("credential", credential.as_str())];
    browser.submit_from(&page, "/_auth/passkey?return_to=%2Fapp", &form).await
}

/// Adds an account that enrols with a key, and keeps its recovery codes.
pub(super) async fn enrolled(
    gateway: &Gateway,
    name: &str,
) -> (Browser, Authenticator, Vec<String>) {
    gateway.add_user(name);
    let (mut browser, mut key) = (Browser::new(gateway), Authenticator::default());
    visitor::prove_password(&mut browser, name).await;
    let done = register(&mut browser, &mut key, "/_auth/enroll/key", "My phone").await;
    assert_eq!(done.status, 303, "{}", done.text());
    let codes = visitor::keep_recovery_codes(&mut browser, &done).await.0;
    (browser, key, codes)
}

/// The session as `/_auth/session` tells it.
pub(super) async fn session(browser: &mut Browser) -> Value {
    serde_json::from_str(&browser.fetch("/_auth/session").await.text()).unwrap()
}
