//! Keys on hosts of other domains: related origins of the RP ID.

use serde_json::json;

use super::{by_passkey, options, prove, register, session};
use crate::support::authenticator::Authenticator;
use crate::support::client::Browser;
use crate::support::gateway::{Gateway, Plan};
use crate::support::upstream::Recorder;
use crate::support::visitor::{self, SESSION};

const FILE: &str = "/.well-known/webauthn";
const PUBLIC: &str = "[[apps.rules]]\npath = \"/.well-known/**\"\naccess = \"public\"\n";

/// Apps of two domains, with these keys in `[second_factor.webauthn]`.
pub(super) async fn gateway(app: &Recorder, webauthn: &str) -> Gateway {
    let mut plan = Plan::new(app).extra(&format!("[second_factor.webauthn]\n{webauthn}"));
    plan.apps.clear();
    plan.names = vec!["lab.test", "app.other.test"];
    let plan = plan.app("one", "lab.test", &app.url(), PUBLIC);
    Gateway::start(&plan.app("two", "app.other.test", &app.url(), PUBLIC)).await
}

fn at(gateway: &Gateway, host: &str) -> Browser {
    let mut browser = Browser::new(gateway);
    host.clone_into(&mut browser.host);
    browser
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_the_rp_id_works_at_a_related_origin_and_no_other() {
    let app = Recorder::start().await;
    let webauthn = "rp_id = \"lab.test\"\nrelated_origins = [\"https://app.other.test\"]";
    let gateway = gateway(&app, webauthn).await;

    // The list is at the host of the RP ID, for everybody. The path of the other app is its own.
    let listed = at(&gateway, "lab.test").fetch(FILE).await;
    assert_eq!((listed.status, listed.get("content-type")), (200, Some("application/json")));
    assert_eq!(listed.json(), json!({ "origins": ["https://app.other.test"] }));
    assert!(app.requests(app.mark_of_all()).is_empty(), "the app is not asked");
    at(&gateway, "app.other.test").fetch(FILE).await;
    let seen = app.wait_for(app.mark_of_all(), |seen| seen.head.path() == FILE).await;
    assert_eq!(seen.head.all("host"), ["app.other.test"]);

    // Registered at the RP ID, used at the related origin, as second factor and alone.
    gateway.add_user("dora");
    let mut key = Authenticator::default();
    let mut one = at(&gateway, "lab.test");
    visitor::prove_password(&mut one, "dora").await;
    let done = register(&mut one, &mut key, "/_auth/enroll/key", "x").await;
    visitor::keep_recovery_codes(&mut one, &done).await;
    let mut two = at(&gateway, "app.other.test");
    visitor::prove_password(&mut two, "dora").await;
    let done = prove(&mut two, &mut key, "/_auth/key").await;
    assert_eq!(done.status, 303, "{}", done.text());
    assert_eq!(two.get("/app").await.status, 200);
    let mut two = at(&gateway, "app.other.test");
    let done = by_passkey(&mut two, &mut key).await;
    assert_eq!((done.status, done.location()), (303, "/app"), "{}", done.text());
    assert_eq!(session(&mut two).await["user"], "dora");

    // The other way round.
    gateway.add_user("emil");
    let mut other = Authenticator::default();
    let mut two = at(&gateway, "app.other.test");
    visitor::prove_password(&mut two, "emil").await;
    let done = register(&mut two, &mut other, "/_auth/enroll/key", "x").await;
    assert_eq!(done.status, 303, "{}", done.text());
    assert_eq!(other.held[0].rp_id, "lab.test");
    let done = by_passkey(&mut at(&gateway, "lab.test"), &mut other).await;
    assert_eq!(done.status, 303, "{}", done.text());

    // An answer from any page but the one that asked is refused, also from a page that is listed.
    for origin in [
        "https://lab.test",
        "https://evil.test",
        "https://other.test",
        "https://a.app.other.test",
        "https://app.other.test:8443",
        "http://app.other.test",
        "https://app.other.test.evil.test",
    ] {
        let mut browser = at(&gateway, "app.other.test");
        let page = browser.get("/_auth/login").await;
        let credential = key.get(&options(&page.text()), origin).to_string();
        let form = [("credential", credential.as_str())];
        let refused = browser.submit_from(&page, "/_auth/passkey", &form).await;
        assert_eq!(refused.status, 401, "{origin}");
        assert!(!browser.jar.contains_key(SESSION), "{origin}");
    }

    // The same host at a port that is not listed has another origin. No key is asked for there.
    let mut with_port = Browser::through(gateway.https, &gateway);
    "app.other.test".clone_into(&mut with_port.host);
    let page = with_port.get("/_auth/login").await;
    assert_eq!(page.status, 200);
    assert!(!page.text().contains("webauthn-options"), "{}", page.text());
    "lab.test".clone_into(&mut with_port.host);
    let page = with_port.get("/_auth/login").await;
    assert!(page.text().contains("webauthn-options"), "below the RP ID the port does not matter");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_related_origins_the_path_belongs_to_the_app() {
    let app = Recorder::start().await;
    let mut plan = Plan::new(&app).extra("[second_factor.webauthn]\nrp_id = \"lab.test\"");
    plan.apps.clear();
    plan.names = vec!["lab.test"];
    let gateway = Gateway::start(&plan.app("one", "lab.test", &app.url(), PUBLIC)).await;
    at(&gateway, "lab.test").fetch(FILE).await;
    app.wait_for(app.mark_of_all(), |seen| seen.head.path() == FILE).await;
}
