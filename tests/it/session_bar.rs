//! The bar that announces the end of a session, in a real browser on a page with a strict content
//! security policy.

use fantoccini::Locator;
use serde_json::Value;

use super::browser::{Look, PATIENCE, Walk};
use super::support::client::Browser;
use super::support::gateway::{Gateway, Plan};
use super::support::upstream::Recorder;
use super::support::{visitor, within};

/// The text of the bar, empty if there is none.
const WORDS: &str = "const bar = document.querySelector('vestibule-session'); \
                     return bar ? bar.shadowRoot.querySelector('[role=alert]').textContent : ''";

async fn words(walk: &Walk) -> String {
    let said = walk.screen.client.execute(WORDS, Vec::new()).await.unwrap();
    said.as_str().unwrap_or_default().to_owned()
}

async fn until(walk: &Walk, what: &str, good: impl Fn(&str) -> bool) {
    let waiting = async {
        while !good(&words(walk).await) {
            tokio::task::yield_now().await;
        }
    };
    within(PATIENCE, what, waiting).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bar_announces_the_end_and_its_button_extends_the_session() {
    let walk = Walk::with(Look::plain(true), "[sessions]\nidle = \"150s\"\n").await;
    let client = &walk.screen.client;
    walk.enrol().await;
    // The time counts from here, however long the enrolment took.
    let extend = "fetch('/_auth/session/extend').finally(arguments[arguments.length - 1])";
    client.execute_async(extend, Vec::new()).await.unwrap();
    client.goto(&format!("{}/app/strict", walk.origin)).await.unwrap();
    walk.screen.wait_for("p").await;
    assert_eq!(words(&walk).await, "", "there is time left");
    until(&walk, "the bar", |said| said.contains("less than two minutes")).await;
    let bar = client.find(Locator::Css("vestibule-session")).await.unwrap();
    let place = bar.rectangle().await.unwrap();
    assert!(place.2 >= 0.0, "{place:?}");
    let styled = "const bar = document.querySelector('vestibule-session'); \
                  return getComputedStyle(bar.shadowRoot.querySelector('div')).position";
    assert_eq!(client.execute(styled, Vec::new()).await.unwrap(), Value::from("fixed"));
    let press =
        "document.querySelector('vestibule-session').shadowRoot.getElementById('stay').click()";
    client.execute(press, Vec::new()).await.unwrap();
    until(&walk, "the bar to go", str::is_empty).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_times_of_a_session_are_told_without_extending_it_and_one_request_extends_it() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let (mut browser, _person) = visitor::signed_in(&gateway, "alice").await;
    let times = |answer: &super::support::wire::Answer| {
        let json = answer.json();
        let number = |name: &str| json[name].as_u64().unwrap();
        (number("idle_expires_in"), number("expires_in"))
    };
    let (idle, absolute) = times(&browser.fetch("/_auth/session").await);
    assert!((1..=1800).contains(&idle) && (40_000..=43_200).contains(&absolute));
    let mut less = idle;
    let falls = async {
        while less + 2 > idle {
            less = times(&browser.fetch("/_auth/session").await).0;
        }
    };
    within(PATIENCE, "the time to pass", falls).await;
    let extended = browser.fetch("/_auth/session/extend").await;
    assert!(times(&extended).0 > less, "{}", extended.text());
    let foreign = "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\n";
    assert_eq!(browser.ask("GET", "/_auth/session/extend", foreign, b"").await.status, 403);
    let mut nobody = Browser::new(&gateway);
    assert_eq!(nobody.fetch("/_auth/session/extend").await.status, 401);
}
