//! Counters of guesses, in every short-lived store.

use std::time::Duration;

use vestibule::auth::throttle::{AttemptKey, Budget, Pace, Verdict};
use vestibule::base::address::ClientIp;
use vestibule::base::id::RequestId;
use vestibule::base::random::OsRandom;

use super::places::{ShortLived, ShortLivedPorts};
use super::samples::{account_id, at_once, keys};

const BUDGET: Budget = Budget { tries: 3, window: Duration::from_mins(5) };

fn key() -> AttemptKey {
    AttemptKey::second_factor(account_id())
}

async fn verdict<S: ShortLivedPorts>(place: &ShortLived<S>, key: &AttemptKey) -> Verdict {
    place.one.count(&[(key.clone(), BUDGET)], place.now()).await.unwrap()
}

async fn of_a_hundred_tries_at_once_the_budget_is_let_through<S: ShortLivedPorts>(
    place: &ShortLived<S>,
) {
    let (key, now) = (key(), place.now());
    let budget = Budget { tries: 7, window: Duration::from_mins(5) };
    let verdicts = at_once(100, |i| {
        let (store, keys) = (place.either(i), [(key.clone(), budget)]);
        async move { store.count(&keys, now).await.unwrap() }
    })
    .await;
    assert_eq!(verdicts.iter().filter(|v| **v == Verdict::Go).count(), 7);
    for verdict in verdicts {
        if let Verdict::Wait(wait) = verdict {
            assert!(wait > Duration::from_mins(4) && wait <= Duration::from_mins(5), "{wait:?}");
        }
    }
}

async fn nothing_is_counted_when_one_of_the_keys_is_exhausted<S: ShortLivedPorts>(
    place: &ShortLived<S>,
) {
    let (full, fresh) = (key(), key());
    for _ in 0..3 {
        assert_eq!(verdict(place, &full).await, Verdict::Go);
    }
    let both = [(fresh.clone(), BUDGET), (full.clone(), BUDGET)];
    for _ in 0..5 {
        let verdict = place.two.count(&both, place.now()).await.unwrap();
        assert!(matches!(verdict, Verdict::Wait(_)));
    }
    for _ in 0..3 {
        assert_eq!(verdict(place, &fresh).await, Verdict::Go, "none of the five was counted");
    }
}

async fn the_longest_wait_is_told<S: ShortLivedPorts>(place: &ShortLived<S>) {
    let (short, long) = (key(), key());
    let keys = [
        (short, Budget { tries: 1, window: Duration::from_mins(1) }),
        (long, Budget { tries: 1, window: Duration::from_mins(10) }),
    ];
    assert_eq!(place.one.count(&keys, place.now()).await.unwrap(), Verdict::Go);
    let Verdict::Wait(wait) = place.two.count(&keys, place.now()).await.unwrap() else {
        panic!("both are exhausted");
    };
    assert!(wait > Duration::from_mins(9) && wait <= Duration::from_mins(10), "{wait:?}");
}

async fn the_window_runs_from_the_first_try<S: ShortLivedPorts>(place: &ShortLived<S>) {
    let key = key();
    assert_eq!(verdict(place, &key).await, Verdict::Go);
    place.pass(Duration::from_mins(4)).await;
    assert_eq!(verdict(place, &key).await, Verdict::Go);
    assert_eq!(verdict(place, &key).await, Verdict::Go);
    let Verdict::Wait(wait) = verdict(place, &key).await else { panic!("exhausted") };
    assert!(wait <= Duration::from_mins(1), "{wait:?}");
    place.pass(Duration::from_mins(1)).await;
    for _ in 0..3 {
        assert_eq!(verdict(place, &key).await, Verdict::Go);
    }
    assert!(matches!(verdict(place, &key).await, Verdict::Wait(_)));
}

async fn a_forgiven_try_is_given_back<S: ShortLivedPorts>(place: &ShortLived<S>) {
    let key = key();
    for _ in 0..20 {
        assert_eq!(verdict(place, &key).await, Verdict::Go);
        place.two.forgive(std::slice::from_ref(&key)).await.unwrap();
    }
    place.two.forgive(std::slice::from_ref(&key)).await.unwrap();
    for _ in 0..3 {
        assert_eq!(verdict(place, &key).await, Verdict::Go);
    }
    assert!(matches!(verdict(place, &key).await, Verdict::Wait(_)), "there is no credit");
    place.two.forgive(std::slice::from_ref(&key)).await.unwrap();
    assert_eq!(verdict(place, &key).await, Verdict::Go);
    assert!(matches!(verdict(place, &key).await, Verdict::Wait(_)));
}

async fn a_cleared_counter_starts_afresh<S: ShortLivedPorts>(place: &ShortLived<S>) {
    let key = AttemptKey::address(&keys(), ClientIp::new("2001:db8::7".parse().unwrap()));
    for _ in 0..3 {
        assert_eq!(verdict(place, &key).await, Verdict::Go);
    }
    place.two.clear(&key).await.unwrap();
    place.two.clear(&key).await.unwrap();
    assert_eq!(verdict(place, &key).await, Verdict::Go);
}

async fn a_budget_of_nothing_lets_nothing_through<S: ShortLivedPorts>(place: &ShortLived<S>) {
    let none = Budget { tries: 0, window: Duration::from_mins(5) };
    let verdict = place.one.count(&[(key(), none)], place.now()).await.unwrap();
    assert_eq!(verdict, Verdict::Wait(Duration::from_mins(5)));
}

const PACE: Pace = Pace {
    free: 3,
    first: Duration::from_secs(20),
    longest: Duration::from_mins(1),
    forget: Duration::from_hours(1),
};

async fn paced<S: ShortLivedPorts>(place: &ShortLived<S>, key: &AttemptKey) -> Duration {
    match place.one.pace(&[(key.clone(), PACE)], place.now()).await.unwrap() {
        Verdict::Go => Duration::ZERO,
        Verdict::Wait(wait) => wait,
    }
}

async fn paced_tries_wait_longer_and_longer<S: ShortLivedPorts>(place: &ShortLived<S>) {
    let key = key();
    for _ in 0..3 {
        assert_eq!(paced(place, &key).await, Duration::ZERO);
    }
    for wait in [20, 40, 60, 60] {
        let wait = Duration::from_secs(wait);
        for _ in 0..3 {
            let left = paced(place, &key).await;
            assert!(left + Duration::from_secs(15) > wait && left <= wait, "{left:?} of {wait:?}");
        }
        place.pass(wait).await;
        assert_eq!(paced(place, &key).await, Duration::ZERO, "after {wait:?}");
    }
}

async fn of_a_hundred_paced_tries_at_once_those_without_a_wait_are_let_through<
    S: ShortLivedPorts,
>(
    place: &ShortLived<S>,
) {
    let (key, now) = (key(), place.now());
    let verdicts = at_once(100, |i| {
        let (store, keys) = (place.either(i), [(key.clone(), PACE)]);
        async move { store.pace(&keys, now).await.unwrap() }
    })
    .await;
    assert_eq!(verdicts.iter().filter(|v| **v == Verdict::Go).count(), 3);
}

async fn a_pause_makes_the_next_paced_try_the_first_again<S: ShortLivedPorts>(
    place: &ShortLived<S>,
) {
    let key = key();
    for _ in 0..3 {
        assert_eq!(paced(place, &key).await, Duration::ZERO);
    }
    place.pass(Duration::from_mins(59)).await;
    assert_eq!(paced(place, &key).await, Duration::ZERO);
    let wait = paced(place, &key).await;
    assert!(wait > Duration::from_secs(20), "the fourth, not the first: {wait:?}");
    place.pass(Duration::from_hours(1)).await;
    for _ in 0..3 {
        assert_eq!(paced(place, &key).await, Duration::ZERO);
    }
}

async fn nothing_is_paced_while_one_of_the_keys_waits<S: ShortLivedPorts>(place: &ShortLived<S>) {
    let (full, fresh) = (key(), key());
    for _ in 0..3 {
        assert_eq!(paced(place, &full).await, Duration::ZERO);
    }
    let both = [(fresh.clone(), PACE), (full.clone(), PACE)];
    for _ in 0..5 {
        let verdict = place.two.pace(&both, place.now()).await.unwrap();
        assert!(matches!(verdict, Verdict::Wait(_)));
    }
    for _ in 0..3 {
        assert_eq!(paced(place, &fresh).await, Duration::ZERO, "none of the five was counted");
    }
}

async fn a_forgiven_paced_try_is_given_back<S: ShortLivedPorts>(place: &ShortLived<S>) {
    let key = key();
    for _ in 0..20 {
        assert_eq!(paced(place, &key).await, Duration::ZERO);
        place.two.forgive(std::slice::from_ref(&key)).await.unwrap();
    }
    for _ in 0..3 {
        assert_eq!(paced(place, &key).await, Duration::ZERO);
    }
    assert!(paced(place, &key).await > Duration::ZERO);
    place.two.clear(&key).await.unwrap();
    assert_eq!(paced(place, &key).await, Duration::ZERO, "cleared, with its wait");
}

/// The key of one request's try.
fn tried(key: &AttemptKey) -> AttemptKey {
    key.clone().by(RequestId::random(&OsRandom::new()).unwrap())
}

async fn a_forgiven_paced_try_takes_its_wait_along<S: ShortLivedPorts>(place: &ShortLived<S>) {
    let key = key();
    for _ in 0..2 {
        assert_eq!(paced(place, &key).await, Duration::ZERO);
    }
    for _ in 0..5 {
        let own = tried(&key);
        assert_eq!(paced(place, &own).await, Duration::ZERO, "nothing is left of those before");
        assert!(paced(place, &key).await > Duration::ZERO, "until it is known to be right");
        place.two.forgive(std::slice::from_ref(&own)).await.unwrap();
    }
    assert_eq!(paced(place, &key).await, Duration::ZERO);
    let wait = paced(place, &key).await;
    assert!(wait > Duration::ZERO && wait <= Duration::from_secs(20), "the third: {wait:?}");
}

async fn a_forgiven_paced_try_leaves_the_wait_of_any_other<S: ShortLivedPorts>(
    place: &ShortLived<S>,
) {
    let key = key();
    let (early, late, other) = (tried(&key), tried(&key), tried(&key));
    assert_eq!(paced(place, &early).await, Duration::ZERO);
    assert_eq!(paced(place, &key).await, Duration::ZERO);
    assert_eq!(paced(place, &late).await, Duration::ZERO);
    place.two.forgive(&[early]).await.unwrap();
    let wait = paced(place, &key).await;
    assert!(wait > Duration::ZERO, "the third brought it, not the first");
    place.pass(Duration::from_secs(20)).await;
    assert_eq!(paced(place, &other).await, Duration::ZERO, "the third, as one was taken back");
    place.two.forgive(std::slice::from_ref(&late)).await.unwrap();
    place.two.forgive(&[late, key.clone()]).await.unwrap();
    let wait = paced(place, &key).await;
    assert!(wait > Duration::ZERO, "a wait that was over by then is not the next one");
    place.two.forgive(&[other]).await.unwrap();
    assert_eq!(paced(place, &key).await, Duration::ZERO);
}

async fn the_waits_of_paced_keys_are_told_without_counting<S: ShortLivedPorts>(
    place: &ShortLived<S>,
) {
    let (full, fresh) = (key(), key());
    for _ in 0..3 {
        assert_eq!(paced(place, &full).await, Duration::ZERO);
    }
    let both = [fresh.clone(), full];
    for _ in 0..5 {
        let waits = place.two.waits(&both, place.now()).await.unwrap();
        let [none, some] = waits[..] else { panic!("{waits:?}") };
        assert!(none.is_zero() && some > Duration::from_secs(10), "{waits:?}");
    }
    place.pass(Duration::from_secs(20)).await;
    let waits = place.two.waits(&both, place.now()).await.unwrap();
    assert_eq!(waits, [Duration::ZERO; 2]);
    for _ in 0..3 {
        assert_eq!(paced(place, &fresh).await, Duration::ZERO, "nothing was counted");
    }
}

super::on_session_stores!(
    the_waits_of_paced_keys_are_told_without_counting,
    a_forgiven_paced_try_takes_its_wait_along,
    a_forgiven_paced_try_leaves_the_wait_of_any_other,
    paced_tries_wait_longer_and_longer,
    of_a_hundred_paced_tries_at_once_those_without_a_wait_are_let_through,
    a_pause_makes_the_next_paced_try_the_first_again,
    nothing_is_paced_while_one_of_the_keys_waits,
    a_forgiven_paced_try_is_given_back,
    of_a_hundred_tries_at_once_the_budget_is_let_through,
    nothing_is_counted_when_one_of_the_keys_is_exhausted,
    the_longest_wait_is_told,
    the_window_runs_from_the_first_try,
    a_forgiven_try_is_given_back,
    a_cleared_counter_starts_afresh,
    a_budget_of_nothing_lets_nothing_through,
);
