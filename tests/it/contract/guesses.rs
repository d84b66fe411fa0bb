//! Wrong guesses at second factors, on every database.

use std::time::Duration;

use vestibule::auth::ports::Added;
use vestibule::auth::stage::Factor;
use vestibule::auth::throttle::{Budgets, Counted, Ladder, WrongCodes};
use vestibule::base::address::ClientIp;
use vestibule::base::clock::Timestamp;
use vestibule::base::id::AccountId;

use super::places::{Durable, DurablePorts};
use super::samples::{account, account_id, at_once, factor, recovery, start};

fn ladder() -> Ladder {
    Budgets::default().second_factor
}

async fn somebody<S: DurablePorts>(place: &Durable<S>, name: &str) -> AccountId {
    let new = account(name);
    assert_eq!(place.one.add(&new).await.unwrap(), Added::Yes);
    let id = new.identity.account;
    assert!(place.one.enrol_first(&factor(id, 100), start()).await.unwrap());
    place.one.replace_recovery(&recovery(id, "salt"), start()).await.unwrap();
    id
}

async fn guess<S: DurablePorts>(place: &Durable<S>, id: AccountId, now: Timestamp) -> Counted {
    place.one.count_factor_guess(id, Factor::TOTP, &ladder(), now).await.unwrap()
}

/// The waits and the end of the ladder as they are documented.
async fn ten_wrong_wait_five_minutes_twenty_thirty_and_fifty_are_the_end<S: DurablePorts>(
    place: &Durable<S>,
) {
    let id = somebody(place, "alice").await;
    let mut now = start();
    for failures in 1..=50 {
        assert_eq!(guess(place, id, now).await, Counted::Go { failures });
        let wait = Duration::from_mins(match failures {
            10 => 5,
            20 | 30 | 40 => 30,
            _ => continue,
        });
        assert_eq!(guess(place, id, now).await, Counted::Wait(wait), "after {failures}");
        now = now.plus(wait.checked_sub(Duration::from_millis(1)).unwrap());
        assert_eq!(guess(place, id, now).await, Counted::Wait(Duration::from_millis(1)));
        now = now.plus(Duration::from_millis(1));
    }
    let years = now.plus(Duration::from_hours(3 * 365 * 24));
    assert_eq!(guess(place, id, years).await, Counted::Suspended { failures: 50 });
    assert!(place.two.suspend_factor(id, Factor::TOTP, 50, years).await.unwrap());
    assert!(!place.one.suspend_factor(id, Factor::TOTP, 50, years).await.unwrap(), "once");
    place.one.factor_guess_was_right(id, Factor::TOTP).await.unwrap();
    assert_eq!(guess(place, id, years).await, Counted::Suspended { failures: 50 });
    let held = place.two.app(id).await.unwrap();
    assert_eq!((held.failures, held.suspended_at), (50, Some(years)));
    assert!(place.two.lift_suspension(id).await.unwrap());
    assert!(!place.two.lift_suspension(id).await.unwrap(), "nothing is left to forget");
    assert_eq!(guess(place, id, years).await, Counted::Go { failures: 1 });
}

async fn of_two_hundred_guesses_at_once_no_more_than_ten_are_let_through<S: DurablePorts>(
    place: &Durable<S>,
) {
    let id = somebody(place, "bob").await;
    let verdicts = at_once(200, |i| {
        let store = place.either(i);
        async move { store.count_factor_guess(id, Factor::TOTP, &ladder(), start()).await.unwrap() }
    })
    .await;
    let mut let_through: Vec<u32> = verdicts
        .iter()
        .filter_map(|v| if let Counted::Go { failures } = v { Some(*failures) } else { None })
        .collect();
    let_through.sort_unstable();
    assert_eq!(let_through, (1..=10).collect::<Vec<_>>());
    let suspended = at_once(20, |i| {
        let store = place.either(i);
        async move { store.suspend_factor(id, Factor::TOTP, 10, start()).await.unwrap() }
    })
    .await;
    assert_eq!(suspended.iter().filter(|s| **s).count(), 1);
}

async fn a_right_guess_starts_its_own_factor_afresh_and_no_other<S: DurablePorts>(
    place: &Durable<S>,
) {
    let id = somebody(place, "carol").await;
    let count = |factor| async move {
        place.two.count_factor_guess(id, factor, &ladder(), start()).await.unwrap()
    };
    for failures in 1..=7 {
        assert_eq!(count(Factor::TOTP).await, Counted::Go { failures });
        assert_eq!(count(Factor::RecoveryCode).await, Counted::Go { failures });
    }
    place.one.factor_guess_was_right(id, Factor::RecoveryCode).await.unwrap();
    assert_eq!(count(Factor::RecoveryCode).await, Counted::Go { failures: 1 });
    assert_eq!(count(Factor::TOTP).await, Counted::Go { failures: 8 });
    let nobody = account_id();
    let verdict = place.one.count_factor_guess(nobody, Factor::TOTP, &ladder(), start()).await;
    assert_eq!(verdict.unwrap(), Counted::NoFactor);
}

async fn a_guess_that_is_taken_back_takes_its_wait_along<S: DurablePorts>(place: &Durable<S>) {
    let id = somebody(place, "judy").await;
    let back_of = async |counted| {
        place.two.take_back_factor_guess(id, Factor::TOTP, &ladder(), counted).await.unwrap();
    };
    let back = async || back_of(1).await;
    back().await;
    for failures in 1..=10 {
        assert_eq!(guess(place, id, start()).await, Counted::Go { failures });
    }
    assert!(matches!(guess(place, id, start()).await, Counted::Wait(_)));
    back().await;
    assert_eq!(guess(place, id, start()).await, Counted::Go { failures: 10 });
    let wait = Duration::from_mins(5);
    assert_eq!(guess(place, id, start()).await, Counted::Wait(wait));
    let later = start().plus(wait);
    assert_eq!(guess(place, id, later).await, Counted::Go { failures: 11 });
    back().await;
    assert_eq!(guess(place, id, start()).await, Counted::Wait(wait), "that was of another guess");
    assert_eq!(guess(place, id, later).await, Counted::Go { failures: 11 });
    place.one.factor_guess_was_right(id, Factor::TOTP).await.unwrap();
    assert_eq!(guess(place, id, later).await, Counted::Go { failures: 1 });
    back_of(11).await;
    let next = guess(place, id, later).await;
    assert_eq!(next, Counted::Go { failures: 2 }, "that was counted before the new start");
}

async fn wrong_codes_are_noted_by_login_until_they_are_told<S: DurablePorts>(place: &Durable<S>) {
    let (id, other) = (somebody(place, "dave").await, somebody(place, "erin").await);
    let wrong = |login: &str, secs| WrongCodes {
        login: login.to_owned(),
        tries: 1,
        last_at: start().plus(Duration::from_secs(secs)),
        address: ClientIp::new([192, 0, 2, u8::try_from(secs).unwrap()].into()),
    };
    at_once(20, |i| {
        let (store, noted) = (place.either(i), wrong("first", 1));
        async move { store.note_wrong_code(id, &noted).await.unwrap() }
    })
    .await;
    place.one.note_wrong_code(id, &wrong("second", 5)).await.unwrap();
    place.one.note_wrong_code(other, &wrong("first", 9)).await.unwrap();
    let mut noted = place.two.wrong_codes(id).await.unwrap();
    noted.sort_by(|a, b| a.login.cmp(&b.login));
    assert_eq!(noted, [WrongCodes { tries: 20, ..wrong("first", 1) }, wrong("second", 5)]);
    place.two.forget_wrong_codes(id, start().plus(Duration::from_secs(4))).await.unwrap();
    assert_eq!(place.one.wrong_codes(id).await.unwrap(), [wrong("second", 5)]);
    assert_eq!(place.one.wrong_codes(other).await.unwrap(), [wrong("first", 9)]);
    assert!(place.one.remove(id).await.unwrap());
    assert_eq!(place.one.wrong_codes(id).await.unwrap(), []);
}

/// Anyone with the password can begin any number of logins. Each sign-in of the owner reads the records.
async fn of_many_logins_the_newest_are_recorded_and_the_rest_summed_up<S: DurablePorts>(
    place: &Durable<S>,
) {
    let (id, other) = (somebody(place, "gina").await, somebody(place, "hans").await);
    let wrong = |secs: u64| WrongCodes {
        login: format!("login {secs}"),
        tries: 1,
        last_at: start().plus(Duration::from_secs(secs)),
        address: ClientIp::new([192, 0, 2, u8::try_from(secs).unwrap()].into()),
    };
    place.one.note_wrong_code(other, &wrong(0)).await.unwrap();
    at_once(130, |i| {
        let (store, noted) = (place.either(i), wrong(u64::try_from(i).unwrap()));
        async move { store.note_wrong_code(id, &noted).await.unwrap() }
    })
    .await;
    let mut noted = place.two.wrong_codes(id).await.unwrap();
    noted.sort_by_key(|one| one.last_at);
    assert_eq!(noted[0], WrongCodes { login: String::new(), tries: 30, ..wrong(29) });
    assert_eq!(noted[1..], (30..130).map(wrong).collect::<Vec<_>>());
    // A recent login counts on by itself. A new one makes the oldest a part of the sum.
    let again = |secs: u64, now: u64| WrongCodes { login: wrong(secs).login, ..wrong(now) };
    place.one.note_wrong_code(id, &again(31, 130)).await.unwrap();
    place.one.note_wrong_code(id, &wrong(131)).await.unwrap();
    let mut noted = place.two.wrong_codes(id).await.unwrap();
    noted.sort_by_key(|one| one.last_at);
    assert_eq!(noted.len(), 101);
    assert_eq!(noted[0], WrongCodes { login: String::new(), tries: 31, ..wrong(30) });
    assert_eq!(noted[99..], [WrongCodes { tries: 2, ..again(31, 130) }, wrong(131)]);
    assert_eq!(place.one.wrong_codes(other).await.unwrap(), [wrong(0)]);
    place.two.forget_wrong_codes(id, start().plus(Duration::from_secs(131))).await.unwrap();
    assert_eq!(place.one.wrong_codes(id).await.unwrap(), []);
}

async fn forgotten_browsers_stay_forgotten<S: DurablePorts>(place: &Durable<S>) {
    let id = somebody(place, "frank").await;
    let knows = |since: Timestamp| async move {
        place.two.by_id(id).await.unwrap().unwrap().knows_browsers_since(since)
    };
    let (then, later) = (start(), start().plus(Duration::from_secs(1)));
    assert!(knows(then).await);
    assert!(place.one.forget_devices(id, then).await.unwrap());
    assert!(!knows(then).await && knows(later).await);
    let earlier = Timestamp::from_millis(then.as_millis() - 1000);
    assert!(place.one.forget_devices(id, earlier).await.unwrap());
    assert!(!knows(then).await, "never goes back");
    assert!(!place.one.forget_devices(account_id(), then).await.unwrap());
}

super::on_both_databases!(
    ten_wrong_wait_five_minutes_twenty_thirty_and_fifty_are_the_end,
    of_two_hundred_guesses_at_once_no_more_than_ten_are_let_through,
    a_right_guess_starts_its_own_factor_afresh_and_no_other,
    a_guess_that_is_taken_back_takes_its_wait_along,
    wrong_codes_are_noted_by_login_until_they_are_told,
    of_many_logins_the_newest_are_recorded_and_the_rest_summed_up,
    forgotten_browsers_stay_forgotten,
);
