//! The pages of an outage.

use super::super::browser::Walk;
use super::LOOKS;
use super::sweep::Sweep;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_page_of_an_outage_has_a_barrier() {
    for look in LOOKS {
        let (walk, mut redis, _keys) = Walk::on_redis(look).await;
        let mut sweep = Sweep::begin("outage", look, walk);
        sweep.walk.enrol().await;
        redis.kill();
        sweep.goto("/_auth/account").await;
        sweep.look_at("account-unavailable", "p.hint code").await;
        sweep.goto("/_auth/login").await;
        sweep.look_at("login-in-an-outage", "h1").await;
        sweep.goto("/start").await;
        // A session seen less than a second ago still passes.
        while sweep.walk.screen.source().await.contains("sha256") {
            sweep.goto("/start").await;
        }
        sweep.look_at("app-unavailable", "p.hint code").await;
        sweep.end().await;
    }
}
