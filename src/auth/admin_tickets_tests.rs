//! One-time links created by an operator.

use super::*;
use crate::auth::ticket::{LONGEST, Rights};

#[tokio::test]
async fn a_link_names_the_gateway_and_carries_a_token_that_is_not_what_is_filed() {
    let (memory, admin) = admin(false);
    let added = admin.accounts.add(NewUser { password: None, ..alice() }).await.unwrap();
    let link = added.link.unwrap();
    let token = link.url.strip_prefix("https://gw.test/_auth/setup?ticket=").unwrap();
    let filed = *memory.tickets.lock().first().unwrap();
    assert_eq!(token.len(), 64);
    assert!(!link.url.contains(&filed.id.to_hex()));
    assert_eq!((filed.ticket.rights, link.rights), (Rights::SET_UP, Rights::SET_UP));
    assert_eq!(filed.ticket.expires_at.as_millis(), NOW + 24 * 3_600_000);
}

#[tokio::test]
async fn with_a_password_a_link_enrols_only_and_without_one_it_sets_it_too() {
    let (_, admin) = admin(false);
    assert!(admin.accounts.add(alice()).await.unwrap().link.is_none());
    assert_eq!(
        admin.recovery.ticket(&name(), Rights::ENROL, None).await.unwrap().rights,
        Rights::ENROL
    );
    let bob = LoginName::parse("bob").unwrap();
    let without = NewUser { name: NewName::of(bob.clone()).unwrap(), password: None, ..alice() };
    admin.accounts.add(without).await.unwrap();
    assert_eq!(
        admin.recovery.ticket(&bob, Rights::ENROL, None).await.unwrap().rights,
        Rights::SET_UP
    );
}

#[tokio::test]
async fn somebody_of_an_app_without_a_password_is_given_links_that_enrol_where_the_app_is() {
    let (memory, admin) = admin(false);
    admin.accounts.add(NewUser { password: None, ..alice() }).await.unwrap();
    let somebody = |app: &str| (app.to_owned(), "5d38".parse().unwrap());
    *memory.links.lock() = vec![somebody("gone"), somebody("kept")];
    let made = admin.recovery.ticket(&name(), Rights::ENROL, None).await.unwrap();
    let reset = admin.recovery.reset_second_factor(&name(), "lost phone", None).await.unwrap().link;
    for link in [made, reset] {
        assert_eq!((link.rights, link.asks.as_deref()), (Rights::ENROL, Some("kept")));
        assert!(link.url.starts_with("https://kept.test/_auth/setup?ticket="));
    }
    let filed = memory.tickets.lock().len();
    for rights in [Rights::SET_UP, Rights::PASSWORD] {
        let refused = admin.recovery.ticket(&name(), rights, None).await;
        assert!(matches!(refused, Err(AdminError::PasswordKept { app, .. }) if app == "kept"));
    }
    assert_eq!(memory.tickets.lock().len(), filed);
}

#[tokio::test]
async fn a_second_factor_is_reset_for_a_reason_only() {
    let (memory, admin) = admin(false);
    admin.accounts.add(alice()).await.unwrap();
    for reason in ["", "  ", "two\nlines", &"x".repeat(257)] {
        let refused = admin.recovery.reset_second_factor(&name(), reason, None).await;
        assert!(matches!(refused, Err(AdminError::BadField { .. })), "{reason:?}");
    }
    assert!(memory.tickets.lock().is_empty());
    let done = admin.recovery.reset_second_factor(&name(), "lost phone", None).await.unwrap();
    assert_eq!((done.sessions_ended, done.link.rights), (2, Rights::ENROL));
    assert_eq!(*memory.done.lock(), ["reset_second_factor", "end_account"]);
}

#[tokio::test]
async fn a_link_that_would_live_for_ever_or_not_at_all_is_not_made() {
    let (memory, admin) = admin(false);
    admin.accounts.add(alice()).await.unwrap();
    for time in [std::time::Duration::ZERO, LONGEST * 2] {
        let refused = admin.recovery.ticket(&name(), Rights::ENROL, Some(time)).await;
        assert!(matches!(refused, Err(AdminError::BadField { .. })), "{time:?}");
    }
    assert!(memory.tickets.lock().is_empty());
}
