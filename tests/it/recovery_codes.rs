//! The first recovery codes: one set until it is confirmed, good from the moment it is shown, and
//! never forgotten about.

use super::support::client::Browser;
use super::support::gateway::{Gateway, Plan};
use super::support::html;
use super::support::upstream::Recorder;
use super::support::visitor::{self, Person};

const PAGE: &str = "/_auth/recovery-codes";

/// Somebody who has enrolled and not confirmed any codes.
async fn enrolled(gateway: &Gateway, name: &str) -> (Browser, Person) {
    gateway.add_user(name);
    let mut browser = Browser::new(gateway);
    visitor::prove_password(&mut browser, name).await;
    let (codes, answer) = visitor::enrol(&mut browser).await;
    assert_eq!(answer.location(), PAGE);
    (browser, Person { name: name.to_owned(), codes, recovery: Vec::new() })
}

/// The codes on the page, printed and not confirmed.
async fn printed(browser: &mut Browser) -> Vec<String> {
    let codes = html::recovery_codes(&browser.get(PAGE).await.text());
    assert_eq!(codes.len(), 10);
    codes
}

/// True if the code signs somebody in elsewhere.
async fn works(gateway: &Gateway, name: &str, code: &str) -> bool {
    let mut elsewhere = Browser::new(gateway);
    visitor::prove_password(&mut elsewhere, name).await;
    elsewhere.submit("/_auth/recovery", &[("code", code)]).await.status == 303
}

async fn confirm(browser: &mut Browser, text: &str) -> super::support::wire::Answer {
    browser.submit(PAGE, &[("confirm", text)]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_codes_are_one_set_that_works_at_once_until_one_is_typed_back() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let (mut browser, _) = enrolled(&gateway, "alice").await;
    let codes = printed(&mut browser).await;
    assert_eq!(printed(&mut browser).await, codes, "looked at again");
    assert!(works(&gateway, "alice", &codes[0]).await, "printed, and the tab was closed");
    assert_eq!(printed(&mut browser).await, codes, "one is used");
    let account = browser.get("/_auth/account").await.text();
    assert!(account.contains("You haven't confirmed that you saved your recovery codes"));

    for (text, said) in [
        ("", "a typo"),
        ("yes", "a typo"),
        ("0000-0000-0000-00001", "a typo"),
        ("0000-0000-0000-00000", "one of these codes"),
        (&*codes[0], "already been used"),
    ] {
        let wrong = confirm(&mut browser, text).await;
        assert_eq!(wrong.status, 401, "{text}");
        assert!(wrong.text().contains(said), "{text}: {}", wrong.text());
        assert_eq!(html::recovery_codes(&wrong.text()), codes, "{text}");
    }
    let kept = confirm(&mut browser, &format!("4. {}", codes[3].to_lowercase())).await;
    assert_eq!(kept.status, 303, "{}", kept.text());
    assert_eq!(browser.get(PAGE).await.location(), "/_auth/account");
    let account = browser.get("/_auth/account").await.text();
    assert!(!account.contains("You haven't confirmed"), "{account}");
    assert!(works(&gateway, "alice", &codes[3]).await, "typing it back did not use it up");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn codes_that_were_shown_and_not_confirmed_are_asked_for_at_the_next_sign_in() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let (mut browser, mut person) = enrolled(&gateway, "bob").await;
    let first = printed(&mut browser).await;
    browser.submit("/_auth/logout", &[]).await;

    let done = visitor::sign_in(&mut browser, &mut person).await;
    assert_eq!((done.status, done.location()), (303, PAGE), "{}", done.text());
    let asked = browser.get(PAGE).await.text();
    assert!(html::recovery_codes(&asked).is_empty(), "{asked}");
    assert!(asked.contains("Have you saved your recovery codes?"), "{asked}");
    let wrong = confirm(&mut browser, "0000-0000-0000-00000").await;
    assert_eq!(wrong.status, 401, "{}", wrong.text());
    assert_eq!(confirm(&mut browser, &first[7]).await.status, 303, "of the first set");
    browser.submit("/_auth/logout", &[]).await;
    let done = visitor::sign_in(&mut browser, &mut person).await;
    assert_eq!((done.status, done.location()), (303, "/"), "{}", done.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_who_lost_the_first_codes_asks_for_others() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let (mut browser, mut person) = enrolled(&gateway, "carol").await;
    let first = printed(&mut browser).await;
    let mut other = Browser::new(&gateway);
    let done = visitor::sign_in(&mut other, &mut person).await;
    assert_eq!(done.location(), PAGE);
    let anew = other.submit(PAGE, &[("new", "yes")]).await;
    assert_eq!((anew.status, anew.location()), (303, PAGE), "{}", anew.text());
    let second = printed(&mut other).await;
    assert!(second.iter().all(|code| !first.contains(code)));
    assert!(!works(&gateway, "carol", &first[0]).await, "replaced");
    assert!(works(&gateway, "carol", &second[0]).await, "in force at once");
    // The browser that showed the first set does not bring it back.
    let overtaken = browser.get(PAGE).await.text();
    assert!(html::recovery_codes(&overtaken).is_empty(), "{overtaken}");
    assert!(works(&gateway, "carol", &second[1]).await, "still in force");
    assert_eq!(confirm(&mut browser, &second[2]).await.status, 303);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn codes_are_shown_again_after_a_fresh_proof_only() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let (mut browser, mut person) = enrolled(&gateway, "dave").await;
    let codes = printed(&mut browser).await;
    visitor::let_proofs_age(&gateway, &browser).await;
    let stale = browser.get(PAGE).await;
    let target = "/_auth/step-up?return_to=%2F_auth%2Frecovery-codes";
    assert_eq!((stale.status, stale.location()), (303, target));
    let code = person.codes.next().await;
    let done = browser.submit(target, &[("code", &code)]).await;
    assert_eq!((done.status, done.location()), (303, PAGE), "{}", done.text());
    assert_eq!(printed(&mut browser).await, codes, "the same set");
    visitor::let_proofs_age(&gateway, &browser).await;
    let page = browser.get("/_auth/account").await;
    let wrong = browser.submit_from(&page, PAGE, &[("confirm", "0000-0000-0000-00000")]).await;
    assert_eq!(wrong.status, 401);
    assert!(html::recovery_codes(&wrong.text()).is_empty(), "{}", wrong.text());
    // Confirming shows nothing, so it needs no fresh proof.
    let page = browser.get("/_auth/account").await;
    let kept = browser.submit_from(&page, PAGE, &[("confirm", &codes[0])]).await;
    assert_eq!(kept.status, 303, "{}", kept.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_in_with_a_recovery_code_offers_to_set_up_a_new_phone() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let (_, person) = visitor::signed_in(&gateway, "erin").await;
    let mut browser = Browser::new(&gateway);
    visitor::prove_password(&mut browser, "erin").await;
    let typo = browser.submit("/_auth/recovery", &[("code", "0000-0000-0000-00001")]).await;
    assert!(typo.status == 401 && typo.text().contains("a typo"), "{}", typo.text());
    let typed = format!("Code 2: {}", person.recovery[1].replace('-', "\u{2011}"));
    let done = browser.submit("/_auth/recovery", &[("code", &typed)]).await;
    assert_eq!((done.status, done.location()), (303, "/_auth/notice?return_to=%2F"));
    let notice = browser.get(done.location()).await.text();
    assert!(notice.contains("href=\"/_auth/account/authenticator\""), "{notice}");
    assert_eq!(browser.get("/_auth/account/authenticator").await.status, 200, "at once");

    let mut again = Browser::new(&gateway);
    visitor::prove_password(&mut again, "erin").await;
    let used = again.submit("/_auth/recovery", &[("code", &person.recovery[1])]).await;
    assert!(used.text().contains("already been used"), "{}", used.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_is_taken_however_it_is_pasted_and_what_is_wrong_with_it_is_said() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let (_, mut person) = visitor::signed_in(&gateway, "frank").await;
    let mut browser = Browser::new(&gateway);
    visitor::prove_password(&mut browser, "frank").await;
    let page = browser.get("/_auth/otp").await.text();
    assert!(page.contains("inputmode=\"numeric\" autocomplete=\"one-time-code\""), "{page}");
    assert!(!page.contains("maxlength"), "a paste is not cut: {page}");
    let malformed = browser.submit("/_auth/otp", &[("code", "12345")]).await;
    assert!(malformed.text().contains("a six-digit code"), "{}", malformed.text());
    let code = person.codes.next().await;
    let wide = code.chars().map(|c| char::from_u32(u32::from(c) + 0xfee0).unwrap());
    let wide: String = wide.collect();
    let pasted =
        format!("Code:\u{a0}\u{201c}{}\u{2013}\u{200b}{}\u{201d}\r\n", &wide[..9], &wide[9..]);
    let done = browser.submit("/_auth/otp", &[("code", &pasted)]).await;
    assert_eq!((done.status, done.location()), (303, "/"), "{}", done.text());

    let mut again = Browser::new(&gateway);
    visitor::prove_password(&mut again, "frank").await;
    let used = again.submit("/_auth/otp", &[("code", &code)]).await;
    assert!(used.text().contains("already been used"), "{}", used.text());
    let wrong = again.submit("/_auth/otp", &[("code", "000000")]).await;
    assert!(wrong.text().contains("Each code works once; wait for the next one"));
}
