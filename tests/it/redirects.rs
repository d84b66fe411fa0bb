//! `return_to` leads back to the app and never off it.

use super::support::client::{Browser, encode};
use super::support::gateway::{Gateway, PASSWORD, Plan};
use super::support::html;
use super::support::upstream::Recorder;
use super::support::visitor;

/// The lines of a corpus file, escapes put back, as bytes.
pub(crate) fn corpus(name: &str) -> Vec<Vec<u8>> {
    let path = format!("{}/tests/corpus/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().filter(|l| !l.starts_with("# ") && !l.is_empty()).map(unescaped).collect()
}

fn unescaped(line: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('\\') {
        out.extend_from_slice(before.as_bytes());
        let (byte, used) = match after.as_bytes() {
            [b't', ..] => (b'\t', 1),
            [b'n', ..] => (b'\n', 1),
            [b'r', ..] => (b'\r', 1),
            [b'x', ..] => (u8::from_str_radix(&after[1..3], 16).unwrap(), 3),
            _ => (b'\\', 1),
        };
        out.push(byte);
        rest = &after[used.min(after.len())..];
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

pub(crate) fn encode_bytes(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, b| text + &format!("%{b:02X}"))
}

/// What is wrong with a place to be led to.
pub(crate) fn leads_astray(location: &str) -> Option<&'static str> {
    let path = location.split(['?', '#']).next().unwrap_or_default();
    let decoded = fully_decoded(path);
    if !location.starts_with('/') {
        Some("not a path")
    } else if !location.chars().all(|c| c.is_ascii_graphic()) || location.contains('\\') {
        Some("a character that browsers mend")
    } else if decoded.starts_with(b"//") || decoded.starts_with(b"/\\") {
        Some("another host")
    } else if decoded.contains(&b'\n') || decoded.contains(&b'\r') || decoded.contains(&0) {
        Some("a hidden line end")
    } else if decoded.windows(6).any(|w| w.eq_ignore_ascii_case(b"/_auth")) {
        Some("a page of the gateway")
    } else {
        None
    }
}

fn fully_decoded(path: &str) -> Vec<u8> {
    let mut now = path.as_bytes().to_vec();
    for _layer in 0..4 {
        let mut next = Vec::new();
        let mut rest = now.as_slice();
        while let Some((first, after)) = rest.split_first() {
            let hex = after.get(..2).and_then(|h| std::str::from_utf8(h).ok());
            if let Some(byte) =
                hex.and_then(|h| u8::from_str_radix(h, 16).ok()).filter(|_| *first == b'%')
            {
                next.push(byte);
                rest = &after[2..];
            } else {
                next.push(*first);
                rest = after;
            }
        }
        now = next;
    }
    now
}

/// The place a login page would lead on to.
async fn kept(browser: &mut Browser, target: &[u8]) -> String {
    let page = browser.get(&format!("/_auth/login?return_to={}", encode_bytes(target))).await;
    assert_eq!(page.status, 200, "{:?}", String::from_utf8_lossy(target));
    html::field(&page.text(), "return_to").unwrap_or_else(|| "/".to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_return_to_of_the_corpus_leads_off_the_host() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let mut browser = Browser::new(&gateway);
    let all = corpus("redirects.txt");
    assert!(all.len() > 150, "{} values in the corpus", all.len());
    let mut astray = Vec::new();
    for target in &all {
        let kept = kept(&mut browser, target).await;
        if let Some(why) = leads_astray(&kept) {
            astray.push(format!("{:?} -> {kept:?}: {why}", String::from_utf8_lossy(target)));
        }
    }
    assert!(astray.is_empty(), "{} of {}:\n{}", astray.len(), all.len(), astray.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_honest_return_to_is_kept_byte_for_byte() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let mut browser = Browser::new(&gateway);
    for target in corpus("redirects_ok.txt") {
        let text = String::from_utf8(target.clone()).unwrap();
        assert_eq!(kept(&mut browser, &target).await, text);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_whole_sign_in_leads_to_where_it_began_or_to_the_start_page() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let (_first, mut person) = visitor::signed_in(&gateway, "alice").await;
    for (hidden, expected) in [
        ("/app?next=%2Fother&q=a%20b", "/app?next=%2Fother&q=a%20b"),
        ("//evil.example", "/"),
        ("https://evil.example/", "/"),
    ] {
        let mut browser = Browser::new(&gateway);
        // The hidden field is the client's to forge, so it is judged again when it comes back.
        let page = browser.get("/_auth/login").await;
        let csrf = html::field(&page.text(), "csrf").unwrap();
        let form = [
            ("username", "alice"),
            ("password", PASSWORD),
            ("csrf", csrf.as_str()),
            ("return_to", hidden),
        ];
        let target = format!("/_auth/login?return_to={}", encode(hidden));
        let proved = browser.post(&target, &form).await;
        assert_eq!(proved.status, 303, "{}", proved.text());
        assert!(proved.location().starts_with("/_auth/otp"), "{}", proved.location());
        let code = person.codes.next().await;
        let done = browser.submit("/_auth/otp", &[("code", &code)]).await;
        assert_eq!((done.status, done.location()), (303, expected), "{}", done.text());
    }
}
