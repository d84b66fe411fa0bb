//! A sign-in of an app that checks passwords itself which comes to nothing: the app is told, and
//! whoever asked can read why.

use super::support::cellengine::Lab;
use super::support::client::{Browser, PATIENCE};
use super::support::wire::Answer;
use super::support::within;

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
