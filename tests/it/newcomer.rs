//! A new user follows a one-time link: in a real browser, by keyboard alone, with and without
//! JavaScript, from the link to the app.

use super::browser::{Look, Walk, fresh_code};
use super::life::ENTER;
use super::support::html;
use super::support::upstream::Seen;
use super::tickets;

const PASSWORD: &str = "nine-herons-mend-the-clock";

impl Walk {
    async fn open_link(&self, link: &str) {
        self.screen.client.goto(&format!("{}{link}", self.origin)).await.unwrap();
        self.screen.wait_for("h1").await;
        let at = self.screen.client.current_url().await.unwrap();
        assert_eq!((at.path(), at.query()), ("/_auth/setup", None), "the ticket left the address");
    }

    async fn choose_password(&self) {
        self.fill("password", "password1").await;
        self.keys([ENTER]).await;
        let said = self.screen.wait_for("[role=alert]:not([hidden])").await.text().await.unwrap();
        assert!(said.contains("guess"), "{said}");
        self.fill("password", PASSWORD).await;
        self.keys([ENTER]).await;
        self.screen.wait_for_path("/_auth/enroll").await;
    }

    /// Sets up the authenticator by the picture: its secret, and the step that confirmed it.
    async fn set_up_app(&self) -> (String, u64) {
        let secret = self.screen.scan().await;
        let shown = html::by_id(&self.screen.source().await, "totp-secret").unwrap();
        assert_eq!(shown, secret, "picture and text are the same");
        self.fill("code", "000000").await;
        self.keys([ENTER]).await;
        self.screen.wait_for("[role=alert]:not([hidden])").await;
        assert_eq!(self.screen.scan().await, secret, "the picture stays");
        let (code, used) = fresh_code(&secret, 0).await;
        self.fill("code", &code).await;
        self.keys([ENTER]).await;
        self.screen.wait_for_path("/_auth/recovery-codes").await;
        (secret, used)
    }

    async fn keep_first_codes(&self) {
        self.screen.wait_for("li code").await;
        let codes = html::recovery_codes(&self.screen.source().await);
        assert_eq!(codes.len(), 10);
        self.fill("confirm", &codes[3]).await;
        self.keys([ENTER]).await;
        self.screen.wait_for_path("/").await;
        let theirs = |seen: &Seen| seen.head.all("remote-user") == ["newcomer"];
        let reached = self.app.wait_for(self.app.mark_of_all(), theirs).await;
        assert_eq!(reached.head.target, "/");
    }

    async fn come_back(&self, secret: &str, used: u64) {
        self.screen.sign_out(&self.origin).await;
        self.screen.client.goto(&format!("{}/back", self.origin)).await.unwrap();
        self.screen.wait_for_path("/_auth/login").await;
        self.fill("username", "newcomer").await;
        self.fill("password", PASSWORD).await;
        self.keys([ENTER]).await;
        self.screen.wait_for_path("/_auth/otp").await;
        let (code, _used) = fresh_code(secret, used).await;
        self.fill("code", &code).await;
        self.keys([ENTER]).await;
        self.screen.wait_for_path("/back").await;
    }
}

async fn a_newcomer_gets_in(scripts: bool) {
    let walk = Walk::begin(Look::plain(scripts)).await;
    let link = tickets::link(&tickets::made(&walk.gateway, &["user", "add", "newcomer"]));
    walk.open_link(&link).await;
    walk.choose_password().await;
    let (secret, used) = walk.set_up_app().await;
    walk.keep_first_codes().await;
    walk.open_link(&link).await;
    assert!(walk.screen.source().await.contains("This link doesn't work"), "used");
    walk.come_back(&secret, used).await;
    walk.screen.client.clone().close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newcomer_gets_in_by_the_link_and_the_keyboard() {
    a_newcomer_gets_in(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newcomer_gets_in_by_the_link_and_the_keyboard_without_javascript() {
    a_newcomer_gets_in(false).await;
}
