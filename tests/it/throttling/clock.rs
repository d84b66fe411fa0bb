//! What is told of a wrong clock of the phone, and what that gives nobody.

use super::super::support::client::{Browser, admin};
use super::super::support::codes::Codes;
use super::super::support::gateway::Gateway;
use super::super::support::html;
use super::super::support::upstream::Recorder;
use super::super::support::visitor::{self, Person};
use super::{from, trusting};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_clock_is_told_and_the_code_told_of_is_good_at_no_time() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&trusting(&app).extra("[throttle]\nper_login = 50\n")).await;
    gateway.add_user("alice");
    let mut browser = Browser::new(&gateway);
    visitor::prove_password(&mut browser, "alice").await;
    let page = browser.get("/_auth/enroll").await.text();
    let codes = Codes::new(&html::by_id(&page, "totp-secret").unwrap());
    let step = Codes::settled_step(20).await;
    let slow = browser.submit("/_auth/enroll", &[("code", &codes.of_step(step - 10))]).await;
    assert_eq!(slow.status, 401);
    assert!(slow.text().contains("5 minutes behind"), "{}", slow.text());
    let right = browser.submit("/_auth/enroll", &[("code", &codes.of_step(step - 1))]).await;
    assert_eq!(right.status, 303, "{}", right.text());
    let (recovery, _) = visitor::keep_recovery_codes(&mut browser, &right).await;
    let mut person = Person { name: "alice".to_owned(), codes, recovery };
    person.codes.mark_used(step - 1);

    let mut second = from(&gateway, "203.0.113.5");
    visitor::prove_password(&mut second, "alice").await;
    let step = Codes::settled_step(20).await;
    let mut tell = async |step: u64| {
        let code = person.codes.of_step(step);
        let answer = second.submit("/_auth/otp", &[("code", &code)]).await;
        assert_eq!(answer.status, 401, "{}", answer.text());
        answer.text()
    };
    assert!(tell(step + 20).await.contains("10 minutes ahead"));
    let near = tell(step + 2).await;
    assert!(near.contains("60 seconds ahead"), "{near}");
    let gone = tell(step - 10).await;
    assert!(!gone.contains("behind"), "from before the enrolment: {gone}");
    assert!(!tell(step + 40).await.contains("ahead"), "twenty minutes are no clock");
    assert!(!tell(step + 20).await.contains("ahead"), "once is enough");

    // When its time has come, the code that was told of is refused; the next one works.
    Codes::reached(step + 1).await;
    let told = tell(step + 2).await;
    assert!(told.contains("Each code works once"), "{told}");
    let next = person.codes.of_step(step + 1);
    let done = second.submit("/_auth/otp", &[("code", &next)]).await;
    assert_eq!(done.status, 303, "{}", done.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_clock_is_told_when_the_authenticator_is_configured_anew() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&trusting(&app)).await;
    let (mut owner, _person) = visitor::signed_in(&gateway, "alice").await;
    let target = "/_auth/account/authenticator";
    let page = owner.get(target).await.text();
    let codes = Codes::new(&html::by_id(&page, "totp-secret").unwrap());
    let step = Codes::settled_step(25).await;
    let mut send = async |step: u64| {
        let answer = owner.submit(target, &[("code", &codes.of_step(step))]).await;
        (answer.status, answer.text())
    };
    for (off, words) in [
        (step + 2, "about 60 seconds ahead"),
        (step - 10, "about 5 minutes behind"),
        (step + 10, "about 5 minutes ahead"),
        (step + 20, "about 10 minutes ahead"),
        (step - 20, "about 10 minutes behind"),
    ] {
        let (status, text) = send(off).await;
        assert_eq!(status, 401);
        assert!(text.contains(words), "{words}: {text}");
    }
    let (status, text) = send(step + 4).await;
    assert!(status == 401 && !text.contains("ahead"), "five times an hour: {text}");
    let (status, text) = send(step + 40).await;
    assert!(status == 401 && !text.contains("ahead"), "twenty minutes are no clock: {text}");
    let (status, text) = send(step).await;
    assert_eq!(status, 303, "{text}");
    let metrics = admin(&gateway, "/metrics").await.text();
    assert!(metrics.contains("event=\"second_factor_replaced\""), "{metrics}");
}
