//! The rights to set a new password in place of a forgotten one, on every database.

use std::time::Duration;

use vestibule::auth::account::NewAccount;
use vestibule::auth::ports::{Added, LinkEnded};
use vestibule::auth::reset::PasswordReset;
use vestibule::auth::session::EndOf;
use vestibule::auth::stage::Factor;
use vestibule::base::clock::Timestamp;
use vestibule::base::id::AccountId;

use super::places::{Durable, DurablePorts};
use super::samples::{account, account_id, at_once, password, start, token};

async fn somebody<S: DurablePorts>(place: &Durable<S>, name: &str) -> AccountId {
    let new = account(name);
    assert_eq!(place.one.add(&new).await.unwrap(), Added::Yes);
    new.identity.account
}

fn reset(account: AccountId) -> PasswordReset {
    PasswordReset {
        login: token(),
        account,
        method: Factor::RecoveryCode,
        started_at: start(),
        expires_at: start().plus(Duration::from_mins(10)),
    }
}

async fn granted<S: DurablePorts>(place: &Durable<S>, account: AccountId) -> PasswordReset {
    let reset = reset(account);
    place.one.grant_reset(&reset, start()).await.unwrap();
    reset
}

fn later() -> Timestamp {
    start().plus(Duration::from_mins(2))
}

async fn phc<S: DurablePorts>(place: &Durable<S>, id: AccountId) -> String {
    place.two.by_id(id).await.unwrap().unwrap().password.unwrap().phc
}

async fn a_right_is_found_as_it_was_filed_until_it_lapses<S: DurablePorts>(place: &Durable<S>) {
    let id = somebody(place, "alice").await;
    let reset = granted(place, id).await;
    assert_eq!(place.two.granted_reset(&reset.login, later()).await.unwrap(), Some(reset));
    let end = reset.expires_at;
    assert_eq!(place.two.granted_reset(&reset.login, end).await.unwrap(), None);
    let set = place.two.reset_password(&reset.login, &password("$late"), end).await.unwrap();
    assert_eq!(set, None);
    assert_eq!(place.two.granted_reset(&token(), later()).await.unwrap(), None);
    assert_eq!(phc(place, id).await, "$one");
    place.one.grant_reset(&self::reset(account_id()), start()).await.unwrap();
}

async fn a_right_is_used_by_one_of_fifty_at_once<S: DurablePorts>(place: &Durable<S>) {
    let id = somebody(place, "bob").await;
    let reset = granted(place, id).await;
    let set = at_once(50, |i| {
        let store = place.either(i);
        async move {
            let record = password(&format!("$new{i}"));
            store.reset_password(&reset.login, &record, later()).await.unwrap()
        }
    })
    .await;
    let winners: Vec<_> =
        set.iter().enumerate().filter_map(|(i, set)| set.map(|set| (i, set))).collect();
    assert_eq!(winners.len(), 1);
    assert_eq!(winners[0].1, (reset, LinkEnded(false)));
    assert_eq!(phc(place, id).await, format!("$new{}", winners[0].0));
    let account = place.one.by_id(id).await.unwrap().unwrap();
    assert_eq!(account.sessions_valid_from, later(), "what was signed in before is over");
    assert_eq!(account.password_set_at, Some(later()));
    assert_eq!(place.one.granted_reset(&reset.login, later()).await.unwrap(), None);
}

async fn an_ended_login_sets_no_password<S: DurablePorts>(place: &Durable<S>) {
    let id = somebody(place, "dora").await;
    let reset = granted(place, id).await;
    let (ended, until) =
        (start().plus(Duration::from_secs(5)), start().plus(Duration::from_hours(1)));
    place.two.record_end(&EndOf::Account { id, keep: None }, ended, until).await.unwrap();
    let set = place.one.reset_password(&reset.login, &password("$new"), later()).await.unwrap();
    assert_eq!(set, None);
    assert_eq!(phc(place, id).await, "$one");
}

async fn of_two_logins_of_one_account_one_sets_the_password<S: DurablePorts>(place: &Durable<S>) {
    let id = somebody(place, "carol").await;
    let resets = [granted(place, id).await, granted(place, id).await];
    let set = at_once(2, |i| {
        let (store, login) = (place.either(i), resets[i].login);
        async move {
            store.reset_password(&login, &password(&format!("$new{i}")), later()).await.unwrap()
        }
    })
    .await;
    assert_eq!(set.iter().flatten().count(), 1, "the other one began before the change");
}

async fn what_an_account_has_ended_sets_nothing<S: DurablePorts>(place: &Durable<S>) {
    let (id, gone) = (somebody(place, "dave").await, somebody(place, "erin").await);
    let (first, second) = (granted(place, id).await, granted(place, id).await);
    assert!(place.one.set_disabled(id, true, later()).await.unwrap());
    let set = place.two.reset_password(&first.login, &password("$x"), later()).await.unwrap();
    assert_eq!(set, None, "disabled");
    assert!(place.one.set_disabled(id, false, later()).await.unwrap());
    let set = place.two.reset_password(&second.login, &password("$x"), later()).await.unwrap();
    assert_eq!(set, None, "what began before is over");
    assert_eq!(phc(place, id).await, "$one");
    let reset = granted(place, gone).await;
    assert!(place.one.remove(gone).await.unwrap());
    assert_eq!(place.two.granted_reset(&reset.login, later()).await.unwrap(), None);
}

async fn an_account_without_a_password_is_given_none<S: DurablePorts>(place: &Durable<S>) {
    let new = NewAccount { password: None, ..account("frank") };
    assert_eq!(place.one.add(&new).await.unwrap(), Added::Yes);
    let id = new.identity.account;
    let reset = granted(place, id).await;
    let set = place.two.reset_password(&reset.login, &password("$x"), later()).await.unwrap();
    assert_eq!(set, None);
    let kept = place.one.by_id(id).await.unwrap().unwrap();
    assert_eq!((kept.password, kept.sessions_valid_from), (None, Timestamp::EPOCH));
}

super::on_both_databases!(
    an_account_without_a_password_is_given_none,
    a_right_is_found_as_it_was_filed_until_it_lapses,
    a_right_is_used_by_one_of_fifty_at_once,
    an_ended_login_sets_no_password,
    of_two_logins_of_one_account_one_sets_the_password,
    what_an_account_has_ended_sets_nothing,
);
