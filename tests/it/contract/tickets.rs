//! Tickets, on every database.

use std::time::Duration;

use vestibule::auth::account::{Account, NewAccount};
use vestibule::auth::app_sign_in::{Linked, Subject};
use vestibule::auth::ports::{Added, LinkEnded};
use vestibule::auth::reset::PasswordReset;
use vestibule::auth::session::EndOf;
use vestibule::auth::stage::Factor;
use vestibule::auth::ticket::{NewTicket, Rights, Ticket};
use vestibule::auth::token::{HashedToken, TicketToken};
use vestibule::base::clock::Timestamp;
use vestibule::base::id::AccountId;

use super::places::{Durable, DurablePorts};
use super::samples::{account, account_id, at_once, factor, password, recovery, start, token};

const DAY: Duration = Duration::from_hours(24);

async fn somebody<S: DurablePorts>(place: &Durable<S>, name: &str) -> AccountId {
    let new = account(name);
    assert_eq!(place.one.add(&new).await.unwrap(), Added::Yes);
    new.identity.account
}

async fn account_of<S: DurablePorts>(place: &Durable<S>, id: AccountId) -> Account {
    place.two.by_id(id).await.unwrap().unwrap()
}

fn phc(account: &Account) -> &str {
    &account.password.as_ref().unwrap().phc
}

fn ticket(account: AccountId, rights: Rights) -> NewTicket {
    let (created_at, expires_at) = (start(), start().plus(DAY));
    NewTicket { id: token(), ticket: Ticket { account, rights, created_at, expires_at } }
}

async fn issued<S: DurablePorts>(
    place: &Durable<S>,
    account: AccountId,
    rights: Rights,
) -> HashedToken<TicketToken> {
    let new = ticket(account, rights);
    assert!(place.one.issue(&new).await.unwrap());
    new.id
}

fn later() -> Timestamp {
    start().plus(Duration::from_mins(1))
}

async fn a_ticket_is_found_as_it_was_filed_until_it_lapses<S: DurablePorts>(place: &Durable<S>) {
    let id = somebody(place, "alice").await;
    for rights in [Rights::SET_UP, Rights::PASSWORD, Rights::ENROL] {
        let new = ticket(id, rights);
        assert!(place.one.issue(&new).await.unwrap());
        for _ in 0..2 {
            assert_eq!(place.two.by_token(&new.id, later()).await.unwrap(), Some(new.ticket));
        }
        assert_eq!(place.two.of_account(id, later()).await.unwrap(), Some(new.ticket));
        let end = start().plus(DAY);
        assert_eq!(place.two.by_token(&new.id, end).await.unwrap(), None, "it has lapsed");
        assert_eq!(place.two.of_account(id, end).await.unwrap(), None);
        let set = place.two.redeem_password(&new.id, &password("$late"), end).await.unwrap();
        assert_eq!(set, None);
    }
    assert_eq!(place.one.by_token(&token(), later()).await.unwrap(), None);
    assert!(!place.one.issue(&ticket(account_id(), Rights::SET_UP)).await.unwrap(), "nobody's");
}

async fn a_newer_ticket_is_the_only_one<S: DurablePorts>(place: &Durable<S>) {
    let id = somebody(place, "bob").await;
    let old = issued(place, id, Rights::SET_UP).await;
    let new = issued(place, id, Rights::PASSWORD).await;
    assert_eq!(place.two.by_token(&old, later()).await.unwrap(), None);
    assert_eq!(place.two.redeem_password(&old, &password("$old"), later()).await.unwrap(), None);
    assert!(!place.two.redeem_enrolment(&old, &factor(id, 100), later()).await.unwrap());
    let set = place.two.redeem_password(&new, &password("$new"), later()).await.unwrap();
    assert_eq!(set, Some(id));
    assert_eq!(phc(&account_of(place, id).await), "$new");
}

async fn a_password_is_set_by_one_of_fifty_at_once<S: DurablePorts>(place: &Durable<S>) {
    let id = somebody(place, "carol").await;
    let ticket = issued(place, id, Rights::SET_UP).await;
    let set = at_once(50, |i| {
        let store = place.either(i);
        async move {
            let record = password(&format!("$new{i}"));
            store.redeem_password(&ticket, &record, later()).await.unwrap()
        }
    })
    .await;
    let winners: Vec<usize> =
        set.iter().enumerate().filter(|(_, set)| set.is_some()).map(|(i, _)| i).collect();
    assert_eq!(winners.len(), 1);
    let account = account_of(place, id).await;
    assert_eq!(phc(&account), format!("$new{}", winners[0]));
    assert_eq!(account.sessions_valid_from, later(), "what was signed in before is over");
    let left = place.one.by_token(&ticket, later()).await.unwrap().unwrap();
    assert_eq!(left.rights, Rights::ENROL, "the other right is still there");
}

async fn a_second_factor_is_enrolled_by_one_of_fifty_at_once<S: DurablePorts>(place: &Durable<S>) {
    let id = somebody(place, "dave").await;
    let ticket = issued(place, id, Rights::ENROL).await;
    let enrolled = at_once(50, |i| {
        let store = place.either(i);
        async move {
            let new = factor(id, 100);
            store.redeem_enrolment(&ticket, &new, later()).await.unwrap().then_some(new.id)
        }
    })
    .await;
    let winners: Vec<_> = enrolled.into_iter().flatten().collect();
    assert_eq!(winners.len(), 1);
    assert_eq!(place.two.app(id).await.unwrap().id, winners[0]);
    assert!(account_of(place, id).await.ever_enrolled);
    assert_eq!(place.one.by_token(&ticket, later()).await.unwrap(), None, "it is used up");
    assert_eq!(place.one.of_account(id, later()).await.unwrap(), None);
}

async fn a_new_authenticator_takes_the_place_of_all_that_was<S: DurablePorts>(place: &Durable<S>) {
    let id = somebody(place, "erin").await;
    let old = factor(id, 100);
    assert!(place.one.enrol_first(&old, start()).await.unwrap());
    place.one.replace_recovery(&recovery(id, "salt"), start()).await.unwrap();
    let ticket = issued(place, id, Rights::SET_UP).await;
    let mut new = factor(id, 200);
    new.created_at = later();
    assert!(place.two.redeem_enrolment(&ticket, &new, later()).await.unwrap());
    let held = place.one.app(id).await.unwrap();
    assert_eq!((held.id, held.created_at), (new.id, later()));
    assert!(place.one.recovery_set(id).await.unwrap().is_none(), "the codes went with it");
    assert_eq!(account_of(place, id).await.sessions_valid_from, later());
    assert!(!place.one.use_step(id, old.id, 300, later()).await, "the old one");
    assert!(!place.one.use_step(id, new.id, 200, later()).await, "used to confirm");
    assert!(place.one.use_step(id, new.id, 201, later()).await);
    let set = place.one.redeem_password(&ticket, &password("$late"), later()).await.unwrap();
    assert_eq!(set, None, "a ticket ends with the enrolment");
}

async fn a_ticket_enrols_only_in_a_login_that_the_account_still_accepts<S: DurablePorts>(
    place: &Durable<S>,
) {
    let (set, signed_out) = (somebody(place, "rosa").await, somebody(place, "simon").await);
    let ended = start().plus(Duration::from_secs(5));
    for id in [set, signed_out] {
        let ticket = issued(place, id, Rights::ENROL).await;
        if id == set {
            place.two.set_password(id, &password("$two"), Some(ended)).await.unwrap().unwrap();
        } else {
            let end = EndOf::Account { id, keep: None };
            place.two.record_end(&end, ended, start().plus(DAY)).await.unwrap();
        }
        let mut new = factor(id, 100);
        new.created_at = later();
        assert!(!place.one.redeem_enrolment(&ticket, &new, start()).await.unwrap());
        let account = account_of(place, id).await;
        assert!(place.one.app(id).await.is_none() && !account.ever_enrolled);
        let kept = place.two.by_token(&ticket, later()).await.unwrap();
        assert_eq!(kept.map(|ticket| ticket.rights), Some(Rights::ENROL), "not used up");
        assert!(place.one.redeem_enrolment(&ticket, &new, ended).await.unwrap());
        assert_eq!(place.one.app(id).await.unwrap().id, new.id);
    }
}

async fn a_ticket_is_worth_what_it_says_and_for_its_account_only<S: DurablePorts>(
    place: &Durable<S>,
) {
    let (mine, theirs) = (somebody(place, "frank").await, somebody(place, "grace").await);
    let sets = issued(place, mine, Rights::PASSWORD).await;
    assert!(!place.one.redeem_enrolment(&sets, &factor(mine, 100), later()).await.unwrap());
    let enrols = issued(place, mine, Rights::ENROL).await;
    let set = place.one.redeem_password(&enrols, &password("$x"), later()).await.unwrap();
    assert_eq!(set, None);
    assert!(!place.one.redeem_enrolment(&enrols, &factor(theirs, 100), later()).await.unwrap());
    let mut late = factor(mine, 100);
    late.created_at = start().plus(DAY);
    assert!(!place.one.redeem_enrolment(&enrols, &late, later()).await.unwrap(), "lapsed");
    for id in [mine, theirs] {
        let account = account_of(place, id).await;
        assert_eq!((phc(&account), account.ever_enrolled), ("$one", false));
        assert_eq!(account.sessions_valid_from, Timestamp::EPOCH);
        assert!(place.one.app(id).await.is_none());
    }
}

async fn a_disabled_or_removed_account_has_no_ticket<S: DurablePorts>(place: &Durable<S>) {
    let (id, gone) = (somebody(place, "heidi").await, somebody(place, "ivan").await);
    let (before, other) =
        (issued(place, id, Rights::SET_UP).await, issued(place, gone, Rights::SET_UP).await);
    assert!(place.one.set_disabled(id, true, start()).await.unwrap());
    assert_eq!(place.two.by_token(&before, later()).await.unwrap(), None);
    let during = ticket(id, Rights::SET_UP);
    assert!(!place.one.issue(&during).await.unwrap(), "not while it is disabled");
    assert!(place.one.set_disabled(id, false, start()).await.unwrap());
    for id in [&before, &during.id] {
        assert_eq!(place.two.by_token(id, later()).await.unwrap(), None, "it does not come back");
        let set = place.one.redeem_password(id, &password("$x"), later()).await.unwrap();
        assert_eq!(set, None);
    }
    let after = issued(place, id, Rights::SET_UP).await;
    let set = place.one.redeem_password(&after, &password("$x"), later()).await.unwrap();
    assert_eq!(set, Some(id));
    assert!(place.one.remove(gone).await.unwrap());
    assert_eq!(place.two.by_token(&other, later()).await.unwrap(), None);
}

async fn a_reset_leaves_nothing_but_the_password_and_the_mark<S: DurablePorts>(place: &Durable<S>) {
    let id = somebody(place, "judy").await;
    assert!(place.one.enrol_first(&factor(id, 100), start()).await.unwrap());
    place.one.replace_recovery(&recovery(id, "salt"), start()).await.unwrap();
    let old = issued(place, id, Rights::SET_UP).await;
    let new = ticket(id, Rights::ENROL);
    assert!(place.two.reset_second_factor(&new).await.unwrap());
    assert!(place.one.app(id).await.is_none());
    assert!(place.one.recovery_set(id).await.unwrap().is_none());
    assert_eq!(place.one.by_token(&old, later()).await.unwrap(), None);
    assert_eq!(place.one.by_token(&new.id, later()).await.unwrap(), Some(new.ticket));
    let account = account_of(place, id).await;
    assert_eq!((phc(&account), account.ever_enrolled), ("$one", true));
    assert_eq!(account.sessions_valid_from, start());
    assert!(
        !place.one.enrol_first(&factor(id, 200), start()).await.unwrap(),
        "never by password again"
    );
    assert!(place.one.set_disabled(id, true, later()).await.unwrap());
    let before_enabling = ticket(id, Rights::ENROL);
    assert!(place.one.reset_second_factor(&before_enabling).await.unwrap());
    let nobody = ticket(account_id(), Rights::ENROL);
    assert!(!place.one.reset_second_factor(&nobody).await.unwrap());
}

async fn what_a_person_does_without_the_link_ends_its_right_to_it<S: DurablePorts>(
    place: &Durable<S>,
) {
    let id = somebody(place, "peggy").await;
    assert!(place.one.enrol_first(&factor(id, 100), start()).await.unwrap());
    let (since, new) = (start(), password("$own"));
    // Refused: nothing is taken.
    let early = Timestamp::from_millis(start().as_millis() - 1);
    place.one.set_password(id, &password("$two"), Some(start())).await.unwrap().unwrap();
    let link = issued(place, id, Rights::SET_UP).await;
    let rights = async |at| place.two.by_token(&link, at).await.unwrap().map(|t| t.rights);
    let refused = place.two.change_password(id, &new, early, later()).await.unwrap();
    assert_eq!((refused, rights(later()).await), (None, Some(Rights::SET_UP)));
    let codes = recovery(id, "new");
    let refused = place.two.replace_authenticator(&factor(id, 200), &codes, early).await.unwrap();
    assert_eq!((refused, rights(later()).await), (None, Some(Rights::SET_UP)));

    let changed = place.two.change_password(id, &new, since, later()).await.unwrap();
    assert_eq!((changed, rights(later()).await), (Some(LinkEnded(true)), Some(Rights::ENROL)));
    let set = place.one.redeem_password(&link, &password("$link"), later()).await.unwrap();
    assert_eq!((set, phc(&account_of(place, id).await)), (None, "$own"));
    let again = place.two.change_password(id, &new, later(), later()).await.unwrap();
    assert_eq!(again, Some(LinkEnded(false)), "told once");
    let mut replaced = factor(id, 300);
    replaced.created_at = later();
    let done = place.two.replace_authenticator(&replaced, &codes, later()).await.unwrap();
    assert_eq!((done, rights(later()).await), (Some(LinkEnded(true)), None));
    assert!(!place.one.redeem_enrolment(&link, &factor(id, 400), later()).await.unwrap());

    // One of a password and of a right to set it wins, whatever comes first.
    let link = issued(place, id, Rights::PASSWORD).await;
    let (by_link, by_hand) = tokio::join!(
        async { place.one.redeem_password(&link, &password("$l"), later()).await.unwrap() },
        async { place.two.change_password(id, &new, later(), later()).await.unwrap() },
    );
    assert_eq!(by_link.is_none(), by_hand == Some(LinkEnded(true)), "{by_link:?} {by_hand:?}");
}

async fn a_password_that_an_operator_sets_ends_the_links_right_to_it<S: DurablePorts>(
    place: &Durable<S>,
) {
    let id = somebody(place, "quentin").await;
    for (rights, left) in [
        (Rights::SET_UP, Some(Rights::ENROL)),
        (Rights::PASSWORD, None),
        (Rights::ENROL, Some(Rights::ENROL)),
    ] {
        let link = issued(place, id, rights).await;
        let held = async || place.two.by_token(&link, later()).await.unwrap().map(|t| t.rights);
        let kept = place.one.set_password(id, &password("$same"), None).await.unwrap();
        assert_eq!((kept, held().await), (Some(LinkEnded(false)), Some(rights)));
        let set = place.one.set_password(id, &password("$new"), Some(later())).await.unwrap();
        assert_eq!((set, held().await), (Some(LinkEnded(rights.password)), left));
        let by_link = place.two.redeem_password(&link, &password("$link"), later()).await.unwrap();
        assert_eq!((by_link, phc(&account_of(place, id).await)), (None, "$new"));
    }

    // Whichever of the two comes first, the operator's password stands or the link was used before.
    let link = issued(place, id, Rights::PASSWORD).await;
    let (by_link, by_operator) = tokio::join!(
        async { place.one.redeem_password(&link, &password("$l"), later()).await.unwrap() },
        async { place.two.set_password(id, &password("$o"), Some(later())).await.unwrap() },
    );
    assert_eq!(by_link.is_none(), by_operator == Some(LinkEnded(true)), "{by_link:?}");
    assert_eq!(phc(&account_of(place, id).await), "$o");
}

async fn a_ticket_sets_no_first_password_of_somebody_of_an_app<S: DurablePorts>(
    place: &Durable<S>,
) {
    let subject: Subject = "5d38a6f7".parse().unwrap();
    let with = account("ursula");
    let without = NewAccount { password: None, ..account("viktor") };
    for (new, sets) in [(without, false), (with, true)] {
        assert_eq!(place.one.add(&new).await.unwrap(), Added::Yes);
        let id = new.identity.account;
        let ticket = issued(place, id, Rights::SET_UP).await;
        let linked = place.one.link(id, "app", &subject, start()).await.unwrap();
        assert_eq!(linked, Linked::Yes);
        let set = place.two.redeem_password(&ticket, &password("$new"), later()).await.unwrap();
        assert_eq!(set, sets.then_some(id));
        assert_eq!(account_of(place, id).await.password.is_some(), sets);
        assert!(place.one.unlink(id, "app", later()).await.unwrap());
        let set = place.two.redeem_password(&ticket, &password("$new"), later()).await.unwrap();
        assert_eq!(set, (!sets).then_some(id), "as soon as nobody else keeps it, and once");
    }
}

async fn all_links_and_rights_of_all_accounts_are_removed_at_once<S: DurablePorts>(
    place: &Durable<S>,
) {
    let (one, two) = (somebody(place, "wendy").await, somebody(place, "xavier").await);
    let links = [issued(place, one, Rights::SET_UP).await, issued(place, two, Rights::ENROL).await];
    let used = issued(place, somebody(place, "yvonne").await, Rights::PASSWORD).await;
    assert!(place.one.redeem_password(&used, &password("$y"), later()).await.unwrap().is_some());
    let reset = PasswordReset {
        login: token(),
        account: one,
        method: Factor::RecoveryCode,
        started_at: start(),
        expires_at: start().plus(DAY),
    };
    place.one.grant_reset(&reset, start()).await.unwrap();
    let spared = issued(place, somebody(place, "zelda").await, Rights::SET_UP).await;
    let another = somebody(place, "adam").await;
    issued(place, another, Rights::SET_UP).await;
    let theirs = PasswordReset { login: token(), account: another, ..reset };
    place.one.grant_reset(&theirs, start()).await.unwrap();
    assert_eq!(place.one.remove_links(Some(another)).await.unwrap(), 1, "of one account");
    assert_eq!(place.two.of_account(another, later()).await.unwrap(), None);
    assert_eq!(place.two.granted_reset(&theirs.login, later()).await.unwrap(), None);
    assert!(place.two.by_token(&spared, later()).await.unwrap().is_some());
    assert!(place.two.granted_reset(&reset.login, later()).await.unwrap().is_some());
    assert_eq!(place.two.remove_links(None).await.unwrap(), 4, "used ones, too");
    for link in &links {
        assert_eq!(place.one.by_token(link, later()).await.unwrap(), None);
        let set = place.one.redeem_password(link, &password("$x"), later()).await.unwrap();
        assert_eq!(set, None);
    }
    assert!(!place.one.redeem_enrolment(&links[1], &factor(two, 100), later()).await.unwrap());
    assert_eq!(place.one.granted_reset(&reset.login, later()).await.unwrap(), None);
    let set = place.one.reset_password(&reset.login, &password("$x"), later()).await.unwrap();
    assert_eq!((set, phc(&account_of(place, one).await)), (None, "$one"));
    assert_eq!(place.one.remove_links(None).await.unwrap(), 0);
    let new = issued(place, one, Rights::SET_UP).await;
    assert!(place.two.by_token(&new, later()).await.unwrap().is_some(), "new ones work");
}

super::on_both_databases!(
    a_ticket_enrols_only_in_a_login_that_the_account_still_accepts,
    a_password_that_an_operator_sets_ends_the_links_right_to_it,
    all_links_and_rights_of_all_accounts_are_removed_at_once,
    a_ticket_sets_no_first_password_of_somebody_of_an_app,
    a_ticket_is_found_as_it_was_filed_until_it_lapses,
    a_newer_ticket_is_the_only_one,
    a_password_is_set_by_one_of_fifty_at_once,
    a_second_factor_is_enrolled_by_one_of_fifty_at_once,
    a_new_authenticator_takes_the_place_of_all_that_was,
    a_ticket_is_worth_what_it_says_and_for_its_account_only,
    a_disabled_or_removed_account_has_no_ticket,
    a_reset_leaves_nothing_but_the_password_and_the_mark,
    what_a_person_does_without_the_link_ends_its_right_to_it,
);
