//! What is kept of refused requests, in every short-lived store.

use std::time::Duration;

use vestibule::auth::account::LoginName;
use vestibule::auth::refusals::{KEPT_FOR, RefusalRecord, RefusedVisitor};
use vestibule::base::address::ClientIp;
use vestibule::base::clock::Timestamp;
use vestibule::base::id::RequestId;

use super::places::{ShortLived, ShortLivedPorts};

fn record(number: u64, at: Timestamp) -> RefusalRecord {
    RefusalRecord {
        request: RequestId::from_parts([1, 2, 3, 4], number),
        at,
        app: Some("main".to_owned()),
        method: "GET".to_owned(),
        path: Some("/caf%C3%A9".to_owned()),
        status: 403,
        code: "forbidden".to_owned(),
        sentence: "No. \u{e9}".to_owned(),
        rule: Some("rule 1".to_owned()),
        visitor: RefusedVisitor::SignedIn {
            user: LoginName::parse("alice").unwrap(),
            second_factor_at: at,
        },
        address: Some(ClientIp::new([192, 0, 2, 7].into())),
        headers: vec!["cookie".to_owned()],
        values: vec![("host".to_owned(), "gw.test".to_owned())],
        cookies: Vec::new(),
    }
}

async fn a_refusal_is_found_from_elsewhere_as_it_was_kept<S: ShortLivedPorts>(
    place: &ShortLived<S>,
) {
    let kept = record(7, place.now());
    place.one.keep_refusal(&kept, 10).await.unwrap();
    let reference = kept.request.reference();
    assert_eq!(place.two.refusal(&reference, place.now()).await.unwrap(), Some(kept));
    let other = record(8, place.now()).request.reference();
    assert_eq!(place.two.refusal(&other, place.now()).await.unwrap(), None);
}

async fn a_refusal_is_forgotten_after_a_day<S: ShortLivedPorts>(place: &ShortLived<S>) {
    let kept = record(7, place.now());
    let reference = kept.request.reference();
    place.one.keep_refusal(&kept, 10).await.unwrap();
    let left = Duration::from_mins(1);
    place.pass(KEPT_FOR.saturating_sub(left)).await;
    assert!(place.two.refusal(&reference, place.now()).await.unwrap().is_some());
    // Another one keeps the store in use.
    place.one.keep_refusal(&record(8, place.now()), 10).await.unwrap();
    place.pass(left).await;
    assert_eq!(place.two.refusal(&reference, place.now()).await.unwrap(), None);
    let later = record(8, place.now()).request.reference();
    assert!(place.two.refusal(&later, place.now()).await.unwrap().is_some());
}

async fn no_more_than_so_many_of_the_newest_are_kept<S: ShortLivedPorts>(place: &ShortLived<S>) {
    for number in 0..25 {
        place.pass(Duration::from_millis(1)).await;
        place.either(number).keep_refusal(&record(number as u64, place.now()), 10).await.unwrap();
    }
    let mut found = Vec::new();
    for number in 0..25 {
        let reference = record(number, place.now()).request.reference();
        if place.one.refusal(&reference, place.now()).await.unwrap().is_some() {
            found.push(number);
        }
    }
    assert_eq!(found, (15..25).collect::<Vec<u64>>());
}

super::on_session_stores!(
    a_refusal_is_found_from_elsewhere_as_it_was_kept,
    a_refusal_is_forgotten_after_a_day,
    no_more_than_so_many_of_the_newest_are_kept,
);
