//! Stores that do not answer, and a full queue: neither is ever a wrong password or a sign-out.

use std::sync::mpsc;

use http::StatusCode;
use vestibule::auth::audit::Kind;
use vestibule::auth::password::PasswordSettings;
use vestibule::auth::throttle::Budgets;
use vestibule::web::cookies;

use super::{CHEAP, Pages, password_form};

#[tokio::test]
async fn an_unavailable_store_is_neither_a_wrong_password_nor_a_sign_out() {
    for durable in [false, true] {
        let mut pages = Pages::enrolled().await;
        let mut user = pages.signed_in().await;
        let logout = user.get("/_auth/logout").await.csrf();
        let mut stranger = pages.browser();
        let csrf = stranger.get("/_auth/login").await.csrf();
        // A store that was asked a moment ago is not asked again whether it answers; a new one is.
        let pages = pages.reopened().await;
        (user.router, stranger.router) = (pages.router.clone(), pages.router.clone());
        if durable {
            pages.services.durable.close().await;
        } else {
            pages.services.short.close().await;
        }

        let got = stranger.get("/_auth/login").await;
        assert_eq!(got.status, StatusCode::SERVICE_UNAVAILABLE, "no password is asked for");
        let form = format!("csrf={csrf}&{}", password_form());
        let got = stranger.post("/_auth/login", form).await;
        assert_eq!(got.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(got.headers["retry-after"], "5");
        assert!(got.body.contains("not your fault"));
        assert!(!got.body.contains("SQLite") && !got.body.contains("not available"), "no reason");
        assert!(!stranger.jar.contains_key(cookies::PENDING));
        for path in ["/_auth/account", "/_auth/session", "/_auth/recovery-codes", "/_auth/login"] {
            assert_eq!(user.get(path).await.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        }
        assert!(user.jar.contains_key(cookies::SESSION));
        if !durable {
            let got = user.post("/_auth/logout", format!("csrf={logout}")).await;
            assert_eq!(got.status, StatusCode::SERVICE_UNAVAILABLE);
            assert!(user.jar.contains_key(cookies::SESSION), "not signed out");
        }

        // The same stores, opened again: the session is there.
        let again = pages.reopened().await;
        assert_eq!(again.sessions().await.len(), 1);
        assert_eq!(again.rows(Kind::PasswordWrong).await, 0);
        let mut user = super::Browser { jar: user.jar, ..again.browser() };
        assert_eq!(user.get("/_auth/account").await.status, StatusCode::OK);
    }
}

/// Runs on one blocking thread, which the test occupies: the first hash has its turn and cannot begin.
#[test]
fn a_full_queue_asks_for_patience_and_counts_nothing() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(1)
        .build()
        .unwrap();
    runtime.block_on(async {
        let narrow = PasswordSettings { threads: 1, queue: 0, ..CHEAP };
        let pages = Pages::enrolled_with(narrow, Budgets::default()).await;
        let (mut first, mut second) = (pages.browser(), pages.browser());
        let csrf = second.get("/_auth/login").await.csrf();
        let (release, held) = mpsc::channel::<()>();
        let occupied = tokio::task::spawn_blocking(move || held.recv());
        let waiting = tokio::spawn(async move {
            let got = first.fill("/_auth/login", &password_form()).await;
            (got.status, first.jar.contains_key(cookies::PENDING))
        });
        while !pages.services.passwords.sheds_strangers() {
            tokio::task::yield_now().await;
        }
        let form = format!("csrf={csrf}&username=alice&password=wrong");
        let got = second.post("/_auth/login", form).await;
        assert_eq!(got.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(got.headers["retry-after"], "2");
        assert!(got.body.contains("Too many people are signing in"), "{}", got.body);
        drop(release);
        drop(occupied.await);
        assert_eq!(waiting.await.unwrap(), (StatusCode::SEE_OTHER, true));
        assert_eq!(pages.rows(Kind::PasswordWrong).await, 0);
    });
}
