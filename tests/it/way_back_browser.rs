//! The way back in a real browser: the part of an address behind "#", Back, Stop, tabs, no cookies.

use super::browser::{Look, Walk, fresh_code};
use super::support::gateway::PASSWORD;
use super::support::within;

async fn address(walk: &Walk) -> String {
    let url = walk.screen.client.current_url().await.unwrap();
    url.as_str().strip_prefix(&walk.origin).unwrap_or(url.as_str()).to_owned()
}

async fn wait_for_address(walk: &Walk, wanted: &str) {
    let there = async {
        while address(walk).await != wanted {
            tokio::task::yield_now().await;
        }
    };
    within(super::browser::PATIENCE, wanted, there).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fragment_and_the_way_back_survive_wrong_passwords_back_and_a_second_tab() {
    let walk = Walk::begin(Look::plain(true)).await;
    let (screen, client) = (&walk.screen, &walk.screen.client);
    let (secret, used, _recovery) = walk.enrol().await;
    screen.sign_out(&walk.origin).await;

    // Another tab waits at the form of the name.
    client.goto(&format!("{}/other?y=1#there", walk.origin)).await.unwrap();
    screen.wait_for_path("/_auth/login").await;
    let first = client.window().await.unwrap();
    let second = client.new_window(true).await.unwrap();
    client.switch_to_window(second.handle).await.unwrap();

    client.goto(&format!("{}/again?x=1#part-2", walk.origin)).await.unwrap();
    screen.wait_for_path("/_auth/login").await;
    screen.type_in("username", "alice").await;
    screen.type_in("password", "not the password").await;
    screen.press().await;
    screen.wait_for("#problem").await;
    // Reload asks nothing, and the form is there.
    client.refresh().await.unwrap();
    screen.wait_for("input[name=password]").await;
    screen.prove_password("alice").await;
    screen.wait_for_path("/_auth/otp").await;
    // Back leads to a form, not to the question whether to send one again.
    client.back().await.unwrap();
    screen.wait_for_path("/_auth/login").await;
    screen.wait_for("input[name=password]").await;
    screen.prove_password("alice").await;
    screen.wait_for_path("/_auth/otp").await;
    let (code, _step) = fresh_code(&secret, used).await;
    walk.send_code(&code).await;
    wait_for_address(&walk, "/again?x=1#part-2").await;
    // Back, once signed in, leads on.
    client.back().await.unwrap();
    wait_for_address(&walk, "/again?x=1#part-2").await;

    // The first tab sends its old form, and is led to where it began.
    client.switch_to_window(first).await.unwrap();
    screen.prove_password("alice").await;
    wait_for_address(&walk, "/other?y=1#there").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_stop_the_button_works_again() {
    let walk = Walk::begin(Look::plain(true)).await;
    let (screen, client) = (&walk.screen, &walk.screen.client);
    client.goto(&format!("{}/start", walk.origin)).await.unwrap();
    screen.wait_for_path("/_auth/login").await;
    screen.type_in("username", "alice").await;
    screen.type_in("password", PASSWORD).await;
    let stopped = "document.querySelector('form').requestSubmit(); window.stop();";
    client.execute(stopped, Vec::new()).await.unwrap();
    assert_eq!(client.current_url().await.unwrap().path(), "/_auth/login");
    let pressed = async {
        while client.current_url().await.unwrap().path() == "/_auth/login" {
            let press = "document.querySelector('button.primary')?.click()";
            // It fails while the page gives way to the next.
            drop(client.execute(press, Vec::new()).await);
        }
    };
    within(super::browser::PATIENCE, "the button to work", pressed).await;
    screen.wait_for_path("/_auth/enroll").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_cookies_a_page_says_so_and_leads_round_in_no_circle() {
    for scripts in [true, false] {
        let walk = Walk::begin(Look { cookies: false, ..Look::plain(scripts) }).await;
        let screen = &walk.screen;
        screen.client.goto(&format!("{}/start", walk.origin)).await.unwrap();
        screen.wait_for_path("/_auth/login").await;
        screen.prove_password("alice").await;
        let said = screen.wait_for("#problem").await.text().await.unwrap();
        assert!(said.contains("sent no cookie") && said.contains("allow them"), "{said}");
        let name = screen.wait_for("input[name=username]").await;
        assert_eq!(name.prop("value").await.unwrap().as_deref(), Some("alice"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sent_form_of_an_app_finds_its_way_back_after_the_session_has_ended() {
    let walk = Walk::begin(Look::plain(true)).await;
    let (screen, client) = (&walk.screen, &walk.screen.client);
    let (secret, used, _recovery) = walk.enrol().await;
    client.goto(&format!("{}/form?id=7", walk.origin)).await.unwrap();
    assert!(walk.gateway.command(&["session", "end", "--all"], "").status.success());
    let status = "const done = arguments[0]; fetch('/x').then(answer => done(answer.status))";
    let over = async { while client.execute_async(status, Vec::new()).await.unwrap() != 401 {} };
    within(super::browser::PATIENCE, "the session to be over", over).await;
    let form = "const form = document.createElement('form'); form.method = 'post';
                form.action = '/send'; document.body.append(form); form.submit();";
    client.execute(form, Vec::new()).await.unwrap();
    screen.wait_for_path("/send").await;
    let said = screen.wait_for("main").await.text().await.unwrap();
    assert!(said.contains("Your session has ended. Nothing was sent."), "{said}");
    screen.wait_for("a.primary[href^=\"/_auth/login\"]").await.click().await.unwrap();
    screen.wait_for_path("/_auth/login").await;
    screen.prove_password("alice").await;
    screen.wait_for_path("/_auth/otp").await;
    let (code, _step) = fresh_code(&secret, used).await;
    walk.send_code(&code).await;
    screen.wait_for_path("/form").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_tells_the_signed_in_that_they_may_be_still_and_counts_the_wait_down() {
    let (walk, mut redis, _keys) = Walk::on_redis(Look::plain(true)).await;
    let (screen, client) = (&walk.screen, &walk.screen.client);
    walk.enrol().await;
    redis.kill();
    client.goto(&format!("{}/_auth/account", walk.origin)).await.unwrap();
    let wait = screen.wait_for("[data-wait]").await;
    let said = screen.wait_for("main").await.text().await.unwrap();
    assert!(said.contains("don't need to sign in again"), "{said}");
    let over = async { while wait.text().await.unwrap() != "You can try again now." {} };
    within(super::browser::PATIENCE, "the end of the wait", over).await;
    assert_eq!(wait.attr("role").await.unwrap().as_deref(), Some("status"));

    client.delete_all_cookies().await.unwrap();
    client.goto(&format!("{}/_auth/login", walk.origin)).await.unwrap();
    screen.wait_for("[data-wait]").await;
    let said = screen.wait_for("main").await.text().await.unwrap();
    assert!(said.contains("Signing in isn't possible right now"), "{said}");
}
