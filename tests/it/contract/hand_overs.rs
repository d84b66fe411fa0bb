//! Hand-overs from the portal to apps, in every short-lived store.

use std::time::Duration;

use vestibule::auth::hand_over::{BranchLimits, FlowHash, HandOver, LIFETIME};
use vestibule::auth::session::{Branch, BranchTokens, HandedProofs, Session};
use vestibule::auth::token::{AppToken, HandOverToken, HashedToken, SessionToken};
use vestibule::base::id::TreeId;
use vestibule::base::random::OsRandom;

use super::on_session_stores;
use super::places::{ShortLived, ShortLivedPorts};
use super::samples::{at_once, identity, login, session, token};

const HOUR: Duration = Duration::from_hours(1);
const MOST: u32 = 5;
const LIMITS: BranchLimits = BranchLimits { all: 5, of_app: 2 };

async fn signed_in<S: ShortLivedPorts>(
    place: &ShortLived<S>,
    name: &str,
) -> (HashedToken<SessionToken>, Session) {
    let session = Session { app: "portal".to_owned(), ..session(identity(name), place.now()) };
    let (pending, id) = (token(), token());
    let login = login(session.identity.account, place.now());
    place.one.begin(&pending, &login, place.now()).await.unwrap();
    assert!(place.one.promote(&pending, &id, &session, HOUR).await.unwrap());
    (id, session)
}

fn below(root: HashedToken<SessionToken>, session: &Session, app: &str) -> Branch {
    let (tree, proofs) = (session.tree.unwrap(), HandedProofs::of(session));
    Branch { root, tree, app: app.to_owned(), proofs }
}

async fn branch<S: ShortLivedPorts>(
    place: &ShortLived<S>,
    branch: &Branch,
) -> HashedToken<SessionToken> {
    let id = token();
    assert!(place.one.branch(&id, branch, LIMITS, place.now(), HOUR).await.unwrap());
    id
}

fn ticket<S: ShortLivedPorts>(
    place: &ShortLived<S>,
    root: HashedToken<SessionToken>,
    session: &Session,
) -> HandOver {
    HandOver {
        root: root.to_hex(),
        tree: session.tree.unwrap(),
        proofs: HandedProofs::of(session),
        app: "wiki".to_owned(),
        host: "wiki.test".to_owned(),
        return_to: "/a?b=\"c\"".to_owned(),
        flow: FlowHash::of("a cookie"),
        expires_at: place.now().plus(LIFETIME),
        session_ends_at: session.expires_at,
    }
}

async fn a_ticket_is_taken_once_as_it_was_issued<S: ShortLivedPorts>(place: &ShortLived<S>) {
    let (root, session) = signed_in(place, "alice").await;
    let (filed, id, now) = (ticket(place, root, &session), token(), place.now());
    place.one.issue_hand_over(&id, &filed, MOST, now).await.unwrap();
    let taken = at_once(50, |i| {
        let store = place.either(i);
        async move { store.take_hand_over(&id, now).await.unwrap() }
    })
    .await;
    assert_eq!(taken.into_iter().flatten().collect::<Vec<_>>(), [filed]);
    let unknown = token::<HandOverToken>();
    assert_eq!(place.one.take_hand_over(&unknown, now).await.unwrap(), None);
}

async fn a_ticket_expires_after_a_minute<S: ShortLivedPorts>(place: &ShortLived<S>) {
    let (root, session) = signed_in(place, "bob").await;
    let filed = ticket(place, root, &session);
    let (in_time, late) = (token(), token());
    for id in [&in_time, &late] {
        place.one.issue_hand_over(id, &filed, MOST, place.now()).await.unwrap();
    }
    // Real time passes as well.
    let left = Duration::from_secs(20);
    place.pass(LIFETIME.saturating_sub(left)).await;
    assert!(place.two.take_hand_over(&in_time, place.now()).await.unwrap().is_some());
    place.pass(left).await;
    assert_eq!(place.two.take_hand_over(&late, place.now()).await.unwrap(), None);
}

async fn only_the_newest_tickets_of_a_session_are_kept<S: ShortLivedPorts>(place: &ShortLived<S>) {
    let (root, session) = signed_in(place, "carol").await;
    let mut kept = Vec::new();
    let mut all = Vec::new();
    for _ in 0..MOST + 2 {
        place.pass(Duration::from_millis(1)).await;
        let id = token();
        let filed = ticket(place, root, &session);
        place.one.issue_hand_over(&id, &filed, MOST, place.now()).await.unwrap();
        all.push(id);
    }
    for id in &all {
        kept.push(place.two.take_hand_over(id, place.now()).await.unwrap().is_some());
    }
    assert_eq!(kept.iter().position(|kept| *kept), Some(2), "{kept:?}");
}

async fn a_branch_sees_its_root_and_only_at_its_app<S: ShortLivedPorts>(place: &ShortLived<S>) {
    let (root, session) = signed_in(place, "dave").await;
    let id = branch(place, &below(root, &session, "wiki")).await;
    let seen = S::load_session(&place.two, &id).await.unwrap();
    let tokens = BranchTokens { root, own: id };
    assert_eq!(seen, Session { app: "wiki".to_owned(), branch: Some(tokens), ..session.clone() });
    assert_eq!(seen.mark(&id).token, root, "an end of the root ends it in SQL as well");
    assert_eq!(S::load_session(&place.two, &root).await.unwrap().app, "portal");
    let all = place.two.load_all(&[id, token(), root]).await.unwrap();
    assert_eq!(all, [Ok(Some(seen)), Ok(None), Ok(Some(session.clone()))]);
    let listed = place.two.list(Some(session.identity.account), place.now()).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].apps, ["wiki"]);
    let all = place.two.list(None, place.now()).await.unwrap();
    assert_eq!(all.iter().find(|s| s.id == session.id).unwrap().apps, ["wiki"]);
}

async fn the_end_of_any_ends_the_whole_tree<S: ShortLivedPorts>(place: &ShortLived<S>) {
    for ended in 0..4 {
        let (root, session) = signed_in(place, "erin").await;
        let one = branch(place, &below(root, &session, "wiki")).await;
        let two = branch(place, &below(root, &session, "plots")).await;
        match ended {
            0 => assert!(S::end_session(&place.two, &root).await),
            1 => assert!(S::end_session(&place.two, &one).await),
            2 => assert!(place.two.end_by_id(session.id, None).await.unwrap()),
            _ => assert_eq!(place.two.end_account(session.identity.account).await.unwrap(), 1),
        }
        for id in [&root, &one, &two] {
            assert_eq!(S::load_session(&place.one, id).await, None, "{ended}");
            assert!(!S::end_session(&place.one, id).await);
        }
        let late = token();
        let gone = below(root, &session, "wiki");
        assert!(!place.one.branch(&late, &gone, LIMITS, place.now(), HOUR).await.unwrap());
        assert_eq!(S::load_session(&place.one, &late).await, None);
        assert!(place.one.list(None, place.now()).await.unwrap().is_empty());
    }
}

async fn the_end_of_all_others_spares_the_branches_of_the_one_kept<S: ShortLivedPorts>(
    place: &ShortLived<S>,
) {
    let (root, session) = signed_in(place, "frank").await;
    let id = branch(place, &below(root, &session, "wiki")).await;
    place.two.end_others(session.identity.account, &root).await.unwrap();
    assert!(S::load_session(&place.one, &id).await.is_some());
    assert_eq!(place.two.end_all().await.unwrap(), 1);
    assert_eq!(S::load_session(&place.one, &id).await, None);
}

async fn the_use_of_a_branch_keeps_its_root_alive<S: ShortLivedPorts>(place: &ShortLived<S>) {
    let (root, session) = signed_in(place, "grace").await;
    let id = branch(place, &below(root, &session, "wiki")).await;
    let used = Duration::from_mins(59);
    place.pass(used).await;
    place.two.touch(&id, place.now(), HOUR).await.unwrap();
    place.pass(Duration::from_mins(10)).await;
    let seen = S::load_session(&place.one, &root).await.unwrap();
    assert_eq!(seen.last_seen_at, session.started_at.plus(used));
}

async fn branches_continue_below_a_renewed_root_of_the_same_tree<S: ShortLivedPorts>(
    place: &ShortLived<S>,
) {
    let (root, session) = signed_in(place, "heidi").await;
    let id = branch(place, &below(root, &session, "wiki")).await;
    let (same, next) = (token(), token());
    let later = place.now().plus(Duration::from_secs(9));
    let stepped_up = Session { second_factor_at: later, ..session.clone() };
    assert!(place.two.renew(&root, &same, &stepped_up, None, HOUR).await.unwrap());
    let seen = S::load_session(&place.one, &id).await.unwrap();
    assert_eq!(seen.second_factor_at, session.second_factor_at, "the proofs handed over");
    assert_eq!(seen.mark(&id).token, same);
    let again = branch(place, &below(same, &stepped_up, "wiki")).await;
    let seen = S::load_session(&place.one, &again).await.unwrap();
    assert_eq!(seen.second_factor_at, later, "after another hand-over");
    let tree = Some(TreeId::random(&OsRandom::new()).unwrap());
    let changed = Session { tree, ..stepped_up };
    assert!(place.two.renew(&same, &next, &changed, None, HOUR).await.unwrap());
    assert_eq!(S::load_session(&place.one, &id).await, None, "another tree");
    assert!(S::load_session(&place.one, &next).await.is_some());
    let listed = place.two.list(Some(session.identity.account), place.now()).await.unwrap();
    assert!(listed[0].apps.is_empty());
    // A ticket from before the change plants nothing that counts.
    let late = branch(place, &below(next, &session, "wiki")).await;
    assert_eq!(S::load_session(&place.one, &late).await, None);
}

async fn a_branch_itself_is_never_renewed<S: ShortLivedPorts>(place: &ShortLived<S>) {
    let (root, session) = signed_in(place, "ivan").await;
    let id = branch(place, &below(root, &session, "wiki")).await;
    let new = token();
    let seen = S::load_session(&place.one, &id).await.unwrap();
    assert!(!place.one.renew(&id, &new, &seen, None, HOUR).await.unwrap());
    assert_eq!(S::load_session(&place.one, &new).await, None);
    assert!(S::load_session(&place.one, &root).await.is_some());
    let under = Branch { root: id, ..below(root, &session, "plots") };
    assert!(!place.one.branch(&new, &under, LIMITS, place.now(), HOUR).await.unwrap());
}

async fn a_branch_that_follows_another_takes_its_app_tokens_over<S: ShortLivedPorts>(
    place: &ShortLived<S>,
) {
    let (root, session) = signed_in(place, "judy").await;
    let former = branch(place, &below(root, &session, "wiki")).await;
    let app_token = token::<AppToken>();
    assert!(place.one.bind(&former, &app_token, 5, HOUR).await.unwrap());
    let other = branch(place, &below(root, &session, "plots")).await;
    place.one.follow_branch(&former, &other).await.unwrap();
    assert_eq!(place.two.session_of(&app_token).await.unwrap(), Some(former), "another app");
    let new = branch(place, &below(root, &session, "wiki")).await;
    place.one.follow_branch(&former, &new).await.unwrap();
    assert_eq!(place.two.session_of(&app_token).await.unwrap(), Some(new));
    assert!(S::load_session(&place.two, &former).await.is_some(), "what it has under way goes on");
    assert!(S::end_session(&place.two, &root).await);
    assert_eq!(place.two.session_of(&app_token).await.unwrap(), None);
}

async fn only_the_newest_branches_of_a_root_are_kept<S: ShortLivedPorts>(place: &ShortLived<S>) {
    let (root, session) = signed_in(place, "kate").await;
    let mut all = Vec::new();
    for i in 0..MOST + 2 {
        all.push(branch(place, &below(root, &session, &format!("app-{i}"))).await);
    }
    let mut kept = Vec::new();
    for id in &all {
        kept.push(S::load_session(&place.two, id).await.is_some());
    }
    assert_eq!(kept.iter().position(|kept| *kept), Some(2), "{kept:?}");
}

async fn only_the_newest_branches_at_an_app_are_kept<S: ShortLivedPorts>(place: &ShortLived<S>) {
    let (root, session) = signed_in(place, "lena").await;
    let other = branch(place, &below(root, &session, "a-wiki")).await;
    let mut kept = Vec::new();
    let mut all = Vec::new();
    for _ in 0..4 {
        all.push(branch(place, &below(root, &session, "wiki")).await);
    }
    for id in &all {
        kept.push(S::load_session(&place.two, id).await.is_some());
    }
    assert_eq!(kept, [false, false, true, true]);
    assert!(S::load_session(&place.two, &other).await.is_some());
}

on_session_stores!(
    a_ticket_is_taken_once_as_it_was_issued,
    a_ticket_expires_after_a_minute,
    only_the_newest_tickets_of_a_session_are_kept,
    a_branch_sees_its_root_and_only_at_its_app,
    the_end_of_any_ends_the_whole_tree,
    the_end_of_all_others_spares_the_branches_of_the_one_kept,
    the_use_of_a_branch_keeps_its_root_alive,
    branches_continue_below_a_renewed_root_of_the_same_tree,
    a_branch_itself_is_never_renewed,
    a_branch_that_follows_another_takes_its_app_tokens_over,
    only_the_newest_branches_at_an_app_are_kept,
    only_the_newest_branches_of_a_root_are_kept,
);
