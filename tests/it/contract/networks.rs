//! Networks from which accounts have signed in, in every short-lived store.

use std::time::Duration;

use vestibule::auth::throttle::{NetworkDigest, SeenNetwork};
use vestibule::base::address::ClientIp;
use vestibule::base::clock::Timestamp;

use super::places::{ShortLived, ShortLivedPorts};
use super::samples::{account_id, at_once, keys};

const LIVES: Duration = Duration::from_hours(48);
const MOST: u32 = 4;

fn network(name: &str, last: u8) -> NetworkDigest {
    NetworkDigest::new(&keys(), name, ClientIp::new([192, 0, 2, last].into()))
}

async fn noted<S: ShortLivedPorts>(
    place: &ShortLived<S>,
    network: &NetworkDigest,
    at: Timestamp,
) -> SeenNetwork {
    let seen = SeenNetwork { account: account_id(), at };
    place.one.note_network(network, &seen, MOST, LIVES).await.unwrap();
    seen
}

async fn found<S: ShortLivedPorts>(
    place: &ShortLived<S>,
    network: &NetworkDigest,
) -> Option<SeenNetwork> {
    place.two.seen_network(network, place.now()).await.unwrap()
}

async fn a_network_is_known_to_the_name_it_was_noted_for<S: ShortLivedPorts>(
    place: &ShortLived<S>,
) {
    let seen = noted(place, &network("alice", 1), place.now()).await;
    assert_eq!(found(place, &network("alice", 1)).await, Some(seen));
    assert_eq!(found(place, &network("alice", 2)).await, None, "another network");
    assert_eq!(found(place, &network("bob", 1)).await, None, "another name");
    let again = noted(place, &network("alice", 1), place.now()).await;
    assert_eq!(found(place, &network("alice", 1)).await, Some(again), "the last one counts");
}

async fn a_network_is_forgotten_when_its_time_is_over<S: ShortLivedPorts>(place: &ShortLived<S>) {
    noted(place, &network("alice", 1), place.now()).await;
    place.pass(LIVES / 2).await;
    let later = noted(place, &network("alice", 2), place.now()).await;
    place.pass(LIVES / 2).await;
    assert_eq!(found(place, &network("alice", 1)).await, None);
    assert_eq!(found(place, &network("alice", 2)).await, Some(later), "each has its own time");
    place.pass(LIVES / 2).await;
    assert_eq!(found(place, &network("alice", 2)).await, None);
}

async fn of_many_networks_of_one_name_the_newest_are_known<S: ShortLivedPorts>(
    place: &ShortLived<S>,
) {
    let (start, bob) = (place.now(), noted(place, &network("bob", 1), place.now()).await);
    at_once(20, |i| {
        let store = place.either(i);
        let last = u8::try_from(i).unwrap();
        let at = start.plus(Duration::from_secs(u64::from(last)));
        let seen = SeenNetwork { account: account_id(), at };
        async move {
            store.note_network(&network("alice", last), &seen, MOST, LIVES).await.unwrap();
        }
    })
    .await;
    let mut known = 0;
    for last in 0..20 {
        known += u32::from(found(place, &network("alice", last)).await.is_some());
    }
    assert!(known <= MOST, "{known}");
    let newest = noted(place, &network("alice", 99), start.plus(Duration::from_mins(1))).await;
    assert_eq!(found(place, &network("alice", 99)).await, Some(newest));
    assert_eq!(found(place, &network("bob", 1)).await, Some(bob), "names do not compete");
}

super::on_session_stores!(
    a_network_is_known_to_the_name_it_was_noted_for,
    a_network_is_forgotten_when_its_time_is_over,
    of_many_networks_of_one_name_the_newest_are_known,
);
