//! Keys in Chromium, as people use them: by keyboard, with more than one account, with a key lost, with
//! and without JavaScript.

use serde_json::{Value, json};

use super::browser::{Look, PATIENCE, Walk, Window, fresh_code};
use super::keys::in_browser::{ask, enrol_key, session};
use super::keys::register;
use super::life::ENTER;
use super::support::authenticator::Authenticator;
use super::support::client::Browser;
use super::support::gateway::PASSWORD;
use super::support::html;
use super::support::virtual_key::VirtualKey;
use super::support::visitor::SESSION;
use super::support::within;

/// The button that asks for a key, where scripts run.
const ASK: &str = "button[data-key-ask]:not([hidden])";

/// Returns the message that screen readers announce at once.
async fn problem(walk: &Walk) -> String {
    let said = walk.screen.wait_for("[data-key-problem][role=alert]:not([hidden])").await;
    said.text().await.unwrap()
}

async fn goto(walk: &Walk, path: &str) {
    walk.screen.client.goto(&format!("{}{path}", walk.origin)).await.unwrap();
}

async fn amr(walk: &Walk) -> Value {
    session(walk).await["amr"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_whole_way_with_a_key_goes_by_keyboard_alone() {
    let look = Look { dark: true, window: Window::Phone, ..Look::plain(true) };
    let walk = Walk::begin(look).await;
    let screen = &walk.screen;
    let first = VirtualKey::platform(&screen.client).await;
    goto(&walk, "/start").await;
    screen.wait_for_path("/_auth/login").await;
    walk.fill("username", "alice").await;
    walk.fill("password", PASSWORD).await;
    walk.keys([ENTER]).await;
    screen.wait_for_path("/_auth/enroll").await;
    walk.follow("/_auth/enroll/key").await;
    screen.wait_for_path("/_auth/enroll/key").await;
    screen.wait_for(ASK).await;
    // Enter in the field does what the button does.
    walk.fill("name", "My laptop").await;
    walk.keys([ENTER]).await;
    screen.wait_for_path("/_auth/recovery-codes").await;
    screen.wait_for("li code").await;
    let codes = html::recovery_codes(&screen.source().await);
    walk.fill("confirm", &codes[0]).await;
    walk.keys([ENTER]).await;
    screen.wait_for_path("/start").await;
    assert_eq!(first.held().await, 1);

    // A further key by the button. The first is renamed, and removed.
    first.unplug().await;
    let second = VirtualKey::security_key(&screen.client).await;
    goto(&walk, "/_auth/account").await;
    walk.follow("/_auth/account/keys").await;
    screen.wait_for_path("/_auth/account/keys").await;
    walk.follow("/_auth/account/keys/new").await;
    screen.wait_for_path("/_auth/account/keys/new").await;
    screen.wait_for(ASK).await;
    walk.fill("name", "Blue").await;
    walk.tab_to("class", "primary").await;
    walk.keys([ENTER]).await;
    wait_for_text(&walk, "The key was added").await;
    assert_eq!(second.held().await, 1, "{}", screen.source().await);
    walk.fill("name", "s").await;
    walk.keys([ENTER]).await;
    wait_for_text(&walk, "The key was renamed").await;
    let held = names(&walk);
    assert!(held.contains(&"Blue".to_owned()) && held.len() == 2, "{held:?}");
    assert!(!held.contains(&"My laptop".to_owned()), "{held:?}");
    walk.tab_to("name", "remove").await;
    walk.keys([ENTER]).await;
    wait_for_text(&walk, "The key was removed").await;
    assert_eq!(names(&walk), ["Blue"]);
    second.unplug().await;
}

/// The names of the keys that the account has.
fn names(walk: &Walk) -> Vec<String> {
    let listed = walk.gateway.command(&["user", "keys", "alice", "--json"], "");
    let listed: Vec<Value> = serde_json::from_slice(&listed.stdout).unwrap();
    listed.iter().map(|key| key["name"].as_str().unwrap().to_owned()).collect()
}

async fn wait_for_text(walk: &Walk, text: &str) {
    let shown = async {
        while !walk.screen.source().await.contains(text) {
            tokio::task::yield_now().await;
        }
    };
    within(PATIENCE, text, shown).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_who_cancels_is_told_and_finds_the_other_way() {
    let walk = Walk::begin(Look::plain(true)).await;
    let screen = &walk.screen;
    let key = VirtualKey::refusing(&screen.client).await;
    walk.open("/start?x=1").await;
    screen.wait_for("a[href^=\"/_auth/enroll/key\"]").await.click().await.unwrap();
    screen.wait_for_path("/_auth/enroll/key").await;
    screen.type_in("name", "My laptop").await;
    ask(&walk).await;
    let said = problem(&walk).await;
    assert!(said.contains("Nothing was sent") && said.contains("try again"), "{said}");
    assert_eq!(key.held().await, 0);
    // The name that was typed is kept, and the other way is on the page.
    let name = screen.wait_for("input[name=name]").await.prop("value").await.unwrap();
    assert_eq!(name.as_deref(), Some("My laptop"));
    screen.wait_for(".links a[href^=\"/_auth/enroll\"]").await.click().await.unwrap();
    screen.wait_for_path("/_auth/enroll").await;
    let secret = screen.scan().await;
    let (code, used) = fresh_code(&secret, 0).await;
    walk.send_code(&code).await;
    screen.wait_for_path("/_auth/recovery-codes").await;
    screen.wait_for("li code").await;
    let codes = html::recovery_codes(&screen.source().await);
    screen.type_in("confirm", &codes[9]).await;
    screen.press().await;
    screen.wait_for_path("/start").await;

    // With both: cancelled, and then the code.
    key.verifies(true).await;
    goto(&walk, "/_auth/account/keys/new").await;
    screen.type_in("name", "Blue").await;
    ask(&walk).await;
    screen.wait_for("[role=status]").await;
    key.verifies(false).await;
    screen.sign_out(&walk.origin).await;
    walk.open("/again").await;
    screen.wait_for_path("/_auth/key").await;
    ask(&walk).await;
    problem(&walk).await;
    screen.wait_for("a[href^=\"/_auth/otp\"]").await.click().await.unwrap();
    screen.wait_for_path("/_auth/otp").await;
    let (code, _) = fresh_code(&secret, used).await;
    walk.send_code(&code).await;
    screen.wait_for_path("/again").await;
    assert_eq!(amr(&walk).await, json!(["pwd", "otp", "mfa"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_people_share_an_authenticator_and_each_gets_in_as_themselves() {
    let walk = Walk::begin(Look::plain(true)).await;
    let (screen, client) = (&walk.screen, &walk.screen.client);
    walk.gateway.add_user("bob");
    let key = VirtualKey::platform(&walk.screen.client).await;
    enrol_key(&walk).await;
    screen.sign_out(&walk.origin).await;
    // So that autofill does not sign alice in.
    key.verifies(false).await;
    goto(&walk, "/start").await;
    screen.wait_for_path("/_auth/login").await;
    screen.prove_password("bob").await;
    key.verifies(true).await;
    screen.wait_for("a[href^=\"/_auth/enroll/key\"]").await.click().await.unwrap();
    screen.type_in("name", "The same laptop").await;
    ask(&walk).await;
    screen.wait_for_path("/_auth/recovery-codes").await;
    screen.wait_for("li code").await;
    let codes = html::recovery_codes(&screen.source().await);
    screen.type_in("confirm", &codes[0]).await;
    screen.press().await;
    screen.wait_for_path("/start").await;
    assert_eq!(key.held().await, 2, "one for each account");
    for name in ["alice", "bob"] {
        screen.sign_out(&walk.origin).await;
        key.verifies(false).await;
        client.goto(&format!("{}/as-{name}", walk.origin)).await.unwrap();
        screen.wait_for_path("/_auth/login").await;
        screen.prove_password(name).await;
        screen.wait_for_path("/_auth/key").await;
        key.verifies(true).await;
        ask(&walk).await;
        screen.wait_for_path(&format!("/as-{name}")).await;
        assert_eq!(session(&walk).await["user"], name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_up_takes_the_key_and_a_second_press_does_no_harm() {
    let walk = Walk::begin(Look::plain(true)).await;
    let screen = &walk.screen;
    let key = VirtualKey::platform(&walk.screen.client).await;
    enrol_key(&walk).await;
    walk.age().await;
    goto(&walk, "/_auth/account/keys/new").await;
    screen.wait_for_path("/_auth/step-up").await;
    // Pressed twice by an impatient person.
    screen.wait_for(ASK).await;
    let twice = "const b = document.querySelector('[data-key-ask]'); b.click(); b.click();";
    screen.client.execute(twice, Vec::new()).await.unwrap();
    screen.wait_for_path("/_auth/account/keys/new").await;

    // The same authenticator is refused by the browser, another is added.
    screen.type_in("name", "Again").await;
    ask(&walk).await;
    assert!(problem(&walk).await.contains("registered"));
    key.unplug().await;
    let second = VirtualKey::security_key(&walk.screen.client).await;
    ask(&walk).await;
    screen.wait_for("[role=status]").await;
    assert_eq!(second.held().await, 1);

    // Signing in by the button, pressed twice as well.
    screen.sign_out(&walk.origin).await;
    walk.open("/by-second").await;
    screen.wait_for_path("/_auth/key").await;
    screen.wait_for(ASK).await;
    screen.client.execute(twice, Vec::new()).await.unwrap();
    screen.wait_for_path("/by-second").await;
    assert_eq!(amr(&walk).await, json!(["pwd", "hwk", "mfa"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_javascript_a_person_with_both_gets_in_by_code() {
    let walk = Walk::begin(Look::plain(false)).await;
    let screen = &walk.screen;
    let (secret, used, _) = walk.enrol().await;
    // The key was added in another browser, in the same session.
    let held = screen.client.get_named_cookie(SESSION).await.unwrap();
    let mut other = Browser::new(&walk.gateway);
    "localhost".clone_into(&mut other.host);
    other.jar.insert(SESSION.to_owned(), held.value().to_owned());
    let mut key = Authenticator::default();
    let added = register(&mut other, &mut key, "/_auth/account/keys/new", "Phone").await;
    assert_eq!(added.status, 303, "{}", added.text());

    screen.sign_out(&walk.origin).await;
    goto(&walk, "/again").await;
    screen.wait_for_path("/_auth/login").await;
    let button = screen.client.find(fantoccini::Locator::Css("[data-key-ask]")).await.unwrap();
    assert!(!button.is_displayed().await.unwrap(), "a button that does nothing is not shown");
    screen.prove_password("alice").await;
    screen.wait_for_path("/_auth/key").await;
    let said = screen.wait_for("main").await.text().await.unwrap();
    assert!(said.contains("need JavaScript"), "{said}");
    let button = screen.client.find(fantoccini::Locator::Css("[data-key-ask]")).await.unwrap();
    assert!(!button.is_displayed().await.unwrap());
    screen.wait_for("a[href^=\"/_auth/otp\"]").await.click().await.unwrap();
    screen.wait_for_path("/_auth/otp").await;
    let (code, _) = fresh_code(&secret, used).await;
    walk.send_code(&code).await;
    screen.wait_for_path("/again").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_that_wants_a_key_leads_a_session_by_code_to_one() {
    let vault = "[[apps.rules]]\npath = \"/vault/**\"\naccess = \"two_factor\"\n\
                 phishing_resistant = true\n";
    let walk = Walk::ruled(Look::plain(true), vault, "").await;
    let screen = &walk.screen;
    walk.enrol().await;
    let _key = VirtualKey::security_key(&walk.screen.client).await;
    goto(&walk, "/vault/1").await;
    screen.wait_for_path("/_auth/step-up").await;
    let said = screen.wait_for("main").await.text().await.unwrap();
    assert!(said.contains("phished"), "{said}");
    // It has none: the page leads to one, and back to the app.
    screen.wait_for("a[href^=\"/_auth/account/keys/new\"]").await.click().await.unwrap();
    screen.wait_for_path("/_auth/account/keys/new").await;
    screen.type_in("name", "Blue").await;
    ask(&walk).await;
    screen.wait_for("[role=status]").await;
    goto(&walk, "/vault/1").await;
    screen.wait_for_path("/_auth/step-up").await;
    ask(&walk).await;
    screen.wait_for_path("/vault/1").await;
    let seen = walk.app.wait_for(walk.app.mark_of_all(), |r| r.head.path() == "/vault/1").await;
    assert_eq!(seen.head.all("remote-user"), ["alice"]);
}
