//! A sign-in of an app that checks passwords itself which comes to nothing, or is not enough: the app
//! is told, and whoever asked can read why and goes on.

use serde_json::json;

use super::cellengine::{LIST, post_sign_in, script, typed, with_code};
use super::support::cellengine::Lab;
use super::support::client::{Browser, PATIENCE};
use super::support::codes::Codes;
use super::support::visitor::PENDING;
use super::support::wire::Answer;
use super::support::{html, within};

const SHAPED: &str = r#"
provision = true
api_paths = ["/api/**"]
cors_origins = ["https://spa.test"]
[apps.api_errors]
error = "message"
"#;

/// Waits until the app has been told of this many sign-outs.
async fn told_of(lab: &Lab, sign_outs: usize) {
    let told = async {
        loop {
            let seen = lab.app.requests().await;
            let outs = seen.iter().filter(|r| r["target"] == "/api/v1/signout").count();
            assert!(outs <= sign_outs, "{seen:?}");
            if outs == sign_outs {
                break;
            }
        }
    };
    within(PATIENCE, "the app to be told", told).await;
}

/// Number of sign-ins that the app received.
async fn sign_ins(lab: &Lab) -> usize {
    let seen = lab.app.requests().await;
    seen.iter().filter(|r| r["target"] == "/api/v1/signin").count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_requests_of_a_toolkit_are_one_sign_in_at_the_app() {
    let lab = Lab::start("provision = true").await;
    let (_browser, mut codes, _) = lab.join("alice").await;
    let before = sign_ins(&lab).await;
    let code = codes.next().await;
    let input = format!("{code}\n");
    let done = Lab::client(&lab.two, &["work", "alice", "pw-alice"], &input).await;
    assert_eq!(sign_ins(&lab).await, before + 1, "{done}");
    told_of(&lab, 0).await;

    // Another name or password in the second request is another sign-in, and so is one without the
    // cookie of the first.
    let wrong = json!({ "username": "alice", "password": "guess", "otp": codes.next().await });
    let mut client = Lab::browser(&lab.one);
    assert_eq!(post_sign_in(&mut client, &typed("alice")).await.status, 400);
    assert!(client.jar.contains_key(PENDING));
    assert_eq!(post_sign_in(&mut client, &wrong).await.status, 401);
    assert_eq!(sign_ins(&lab).await, before + 3);
    script(&mut client, "alice", &codes.next().await).await;
    assert_eq!(sign_ins(&lab).await, before + 3, "the first answer is still good");
    assert!(!client.jar.contains_key(PENDING), "{:?}", client.jar.keys());
    client.jar.clear();
    assert_eq!(post_sign_in(&mut client, &typed("alice")).await.status, 400);
    client.jar.clear();
    script(&mut client, "alice", &codes.next().await).await;
    assert_eq!(sign_ins(&lab).await, before + 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_toolkit_that_does_not_come_back_leaves_no_session_at_the_app() {
    let lab = Lab::with_sessions("provision = true", "pending = \"20s\"").await;
    lab.join("alice").await;
    let mut client = Lab::browser(&lab.one);
    assert_eq!(post_sign_in(&mut client, &typed("alice")).await.status, 400);
    told_of(&lab, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_in_that_is_given_up_signs_out_no_other_session_of_the_person() {
    let lab = Lab::with("provision = true", &["--one-token"]).await;
    let (_browser, mut codes, _) = lab.join("alice").await;
    let mut person = Lab::browser(&lab.one);
    let token = script(&mut person, "alice", &codes.next().await).await;
    let mut given_up = Lab::browser(&lab.two);
    prove_password(&mut given_up).await;
    assert_eq!(given_up.submit("/_auth/logout", &[]).await.status, 303);
    let wrong = post_sign_in(&mut Lab::browser(&lab.two), &with_code("alice", "000000")).await;
    assert_eq!(wrong.status, 401, "{}", wrong.text());
    assert_eq!(person.fetch(LIST).await.status, 200, "{token}");
    told_of(&lab, 0).await;
}

/// On our page as far as the second factor.
async fn prove_password(browser: &mut Browser) {
    let form = [("username", "alice"), ("password", "pw-alice")];
    let answer = browser.submit("/_auth/login", &form).await;
    assert_eq!((answer.status, answer.location()), (303, "/_auth/otp"), "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_in_that_is_not_finished_leaves_no_session_at_the_app() {
    let lab = Lab::start("provision = true").await;
    lab.join("alice").await;
    told_of(&lab, 0).await;

    let mut given_up = Lab::browser(&lab.one);
    prove_password(&mut given_up).await;
    assert_eq!(given_up.submit("/_auth/logout", &[]).await.status, 303);
    told_of(&lab, 1).await;

    // The last wrong code of a sign-in ends it.
    let mut guessing = Lab::browser(&lab.two);
    prove_password(&mut guessing).await;
    loop {
        let page = guessing.get("/_auth/otp").await;
        if page.status != 200 {
            break;
        }
        let wrong = guessing.submit_from(&page, "/_auth/otp", &[("code", "000000")]).await;
        assert!([303, 401].contains(&wrong.status), "{}", wrong.text());
        if wrong.status == 303 {
            break;
        }
    }
    told_of(&lab, 2).await;
}

async fn sign_in_from(origin: &str, lab: &Lab, user: &str) -> Answer {
    let body = format!("{{\"username\":\"{user}\",\"password\":\"pw-{user}\"}}");
    let lines = format!("Content-Type: application/json\r\nOrigin: {origin}\r\n");
    Lab::browser(&lab.one).ask("POST", "/api/v1/signin", &lines, body.as_bytes()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configured_origin_signs_in_and_reads_what_it_is_told() {
    let lab = Lab::start(SHAPED).await;
    let readable = |answer: &Answer| {
        let origin = answer.get("access-control-allow-origin").map(str::to_owned);
        (origin, answer.get("access-control-allow-credentials").map(str::to_owned))
    };
    let yes = (Some("https://spa.test".to_owned()), Some("true".to_owned()));

    let refused = sign_in_from("https://spa.test", &lab, "alice").await;
    assert_eq!((refused.status, readable(&refused)), (403, yes.clone()), "{}", refused.text());
    let said = refused.json();
    assert_eq!((&said["code"], said["message"].is_string()), (&"enrolment_required".into(), true));

    lab.join("alice").await;
    let wanted = sign_in_from("https://spa.test", &lab, "alice").await;
    assert_eq!((wanted.status, readable(&wanted)), (400, yes));
    assert_eq!(wanted.text(), r#"{"error":"\"otp\" is required."}"#);

    let foreign = sign_in_from("https://else.test", &lab, "alice").await;
    assert_eq!((foreign.status, readable(&foreign)), (403, (None, None)));
    assert_eq!(foreign.json()["code"], "forbidden");
    let asked = lab.app.requests().await;
    let asked = asked.iter().filter(|r| r["target"] == "/api/v1/signin").count();
    assert_eq!(asked, 3, "two of the origin and the one that enrolled");
}

/// On our page with a code that the app asks for; where that leads.
async fn sign_in_with_app_code(lab: &Lab, browser: &mut Browser, at: &str) -> String {
    let code = lab.app.code("bob").await;
    let form = [("username", "bob"), ("password", "pw-bob"), ("app_code", code.as_str())];
    let page = browser.get(at).await;
    assert!(page.text().contains("name=\"password\""), "{}", page.text());
    let answer = browser.submit_from(&page, "/_auth/login", &form).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    answer.location().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_signed_in_with_the_apps_code_signs_in_again_with_a_new_code_or_enrols() {
    let lab = Lab::start(
        "provision = true\napp_second_factor = \"counts\"\n[[apps.rules]]\nname = \"sign\"\n\
         path = \"/experiments/*/sign\"\naccess = \"two_factor\"\nmax_age = \"1ms\"",
    )
    .await;
    let mut bob = Lab::browser(&lab.one);
    let sign = "/experiments/1/sign";
    let login = "/_auth/login?return_to=%2Fexperiments%2F1%2Fsign";
    assert_eq!(sign_in_with_app_code(&lab, &mut bob, login).await, sign);
    let first = bob.jar.clone();
    let led = bob.get(sign).await;
    assert_eq!(
        (led.status, led.location()),
        (303, "/_auth/step-up?return_to=%2Fexperiments%2F1%2Fsign")
    );
    let page = bob.get(led.location()).await;
    assert!(page.text().contains("To continue, sign in again"), "{}", page.text());
    assert_eq!(sign_in_with_app_code(&lab, &mut bob, led.location()).await, sign);
    assert_ne!(bob.jar, first);
    let mut former = Lab::browser(&lab.two);
    former.jar = first;
    let over = async { while former.fetch("/api/v1/experiments").await.status != 401 {} };
    within(PATIENCE, "the former session to be over", over).await;

    // An authenticator of their own ends that: from then on it is what is asked for.
    let page = bob.get("/_auth/account/authenticator").await;
    let secret = html::by_id(&page.text(), "totp-secret");
    let mut codes = Codes::new(&secret.unwrap_or_else(|| panic!("no secret: {}", page.text())));
    let code = codes.next().await;
    let form = [("code", code.as_str())];
    let kept = bob.submit_from(&page, "/_auth/account/authenticator", &form).await;
    assert_eq!(kept.status, 303, "{}", kept.text());
    let page = bob.get(kept.location()).await;
    assert_eq!(html::recovery_codes(&page.text()).len(), 10, "{}", page.text());
    let asked = bob.get(led.location()).await;
    assert!(asked.text().contains("name=\"code\""), "{}", asked.text());
    let listed = lab.two.command(&["user", "list"], "");
    assert!(String::from_utf8_lossy(&listed.stdout).contains("enrolled"), "{listed:?}");
}
