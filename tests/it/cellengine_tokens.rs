//! What the app's own tokens are worth: within the session that they were given out in, in every
//! place and on every node, for as long as it lasts, and nowhere else.

use serde_json::{Value, json};

use super::cellengine::{JSON, LIST, script};
use super::support::cellengine::Lab;
use super::support::visitor::SESSION;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_counts_in_every_place_within_its_session_and_nowhere_else() {
    let lab = Lab::start("provision = true").await;
    let (_browser, mut codes, _) = lab.join("alice").await;
    let foreign = lab.app.token("alice").await;
    for answer in Lab::client(&lab.one, &["places", &foreign], "").await.as_array().unwrap() {
        assert_eq!((&answer["status"], &answer["type"]), (&json!(401), &json!("application/json")));
        assert!(answer["text"].as_str().unwrap().starts_with("{\"error\":\""), "{answer}");
    }
    // A page whose session is over sends dead cookies: it is told to sign in, and where.
    let mut stale = Lab::browser(&lab.one);
    stale.jar.insert("token".to_owned(), foreign.replace(':', "%3A"));
    let said = stale.fetch(LIST).await;
    assert_eq!((said.status, &said.json()["code"]), (401, &json!("login_required")));
    assert!(said.json()["login_url"].as_str().unwrap().ends_with("/_auth/login"));
    let reference = said.json()["reference"].as_str().unwrap().to_owned();
    let why = async {
        loop {
            let told = lab.two.command(&["why", &reference], "");
            if told.status.success() {
                return String::from_utf8(told.stdout).unwrap();
            }
        }
    };
    let patience = super::support::client::PATIENCE;
    let why = super::support::within(patience, "what was noted", why).await;
    assert!(why.contains("not issued in a live session"), "{why}");
    let mut person = Lab::browser(&lab.one);
    let code = codes.next().await;
    let token = script(&mut person, "alice", &code).await;
    for answer in Lab::client(&lab.two, &["places", &token], "").await.as_array().unwrap() {
        assert_eq!(answer["status"], 200, "{answer}");
    }
    // Together with our session, a token of another is refused wherever it is.
    let bearer = format!("Authorization: Bearer {foreign}\r\n");
    assert_eq!(person.ask("GET", LIST, &bearer, b"").await.status, 401);
    assert_eq!(person.fetch(&format!("{LIST}?token={foreign}")).await.status, 401);
    assert_eq!(person.fetch(LIST).await.status, 200);
    let own = person.jar.insert("token".to_owned(), foreign.replace(':', "%3A")).unwrap();
    assert_eq!(person.fetch(LIST).await.status, 401);
    let both = format!(
        "Authorization: Bearer {foreign}\r\nAccept: text/html\r\nSec-Fetch-Mode: navigate\r\n\
         Sec-Fetch-Dest: document\r\n"
    );
    assert_eq!(person.ask("GET", LIST, &both, b"").await.status, 401, "not in the cookie alone");
    // The page itself loads without the stale cookie, so that one can sign in again.
    assert_eq!(person.get("/experiments/1").await.status, 200);
    let last = lab.app.requests().await.pop().unwrap();
    assert!(!last["headers"].to_string().contains("token="), "{last}");
    person.jar.insert("token".to_owned(), own);
    assert_eq!(person.fetch(LIST).await.status, 200);

    let seen = lab.app.requests().await;
    let used = seen.iter().filter(|r| r.to_string().contains(&foreign)).count();
    assert_eq!(used, 0, "the app was never shown it");

    let code = codes.next().await;
    let children = Lab::client(&lab.two, &["children", "alice", "pw-alice", &code], "").await;
    assert_eq!(children["listed"], 0, "{children}");
    let log = lab.whole_log().await;
    assert!(!log.contains(&foreign) && !log.contains(&token));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_that_change_with_every_answer_are_bound_as_they_come() {
    // Whatever domain the app says its cookie is for, it is the gateway's by whose name it is known.
    let options = ["--rotate", "--cookie-domain", "app.example"];
    let lab = Lab::with("provision = true", &options).await;
    let (_browser, mut codes, _) = lab.join("alice").await;
    let mut person = Lab::browser(&lab.one);
    let code = codes.next().await;
    let first = script(&mut person, "alice", &code).await;
    let other = codes.next().await;
    let signs_in = ["signin", "alice@lab.example", "pw-alice", &other];
    assert_eq!(Lab::client(&lab.two, &signs_in, "").await["listed"], 0, "a jar that minds domains");
    let mut before = person.jar["token"].clone();
    for _ in 0..5 {
        let mut there = person.at(&lab.two);
        assert_eq!(there.fetch(LIST).await.status, 200);
        person.jar = there.jar;
        assert_ne!(person.jar["token"], before);
        before = person.jar["token"].clone();
    }
    for answer in Lab::client(&lab.two, &["places", &first], "").await.as_array().unwrap() {
        assert_eq!(answer["status"], 200, "the first still counts: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_in_that_carries_another_persons_cookie_replaces_the_session() {
    let lab = Lab::start("provision = true\napp_second_factor = \"counts\"").await;
    let (_browser, mut codes, _) = lab.join("alice").await;
    let mut person = Lab::browser(&lab.one);
    let code = codes.next().await;
    let of_alice = script(&mut person, "alice", &code).await;
    let held = person.jar[SESSION].clone();
    let of_bob = script(&mut person, "bob", &lab.app.code("bob").await).await;
    assert_ne!(person.jar[SESSION], held);
    assert_eq!(person.fetch(LIST).await.status, 200);
    let who = person.fetch("/_auth/session").await.json();
    assert_eq!(who["user"]["name"].as_str().or(who["user"].as_str()), Some("bob"), "{who}");
    for answer in Lab::client(&lab.one, &["places", &of_alice], "").await.as_array().unwrap() {
        assert_eq!(answer["status"], 401, "alice's session is over");
    }
    let mut mixed = Lab::browser(&lab.one);
    mixed.jar.insert("token".to_owned(), of_bob.replace(':', "%3A"));
    let bearer = format!("Authorization: Bearer {of_alice}\r\n");
    assert_eq!(mixed.ask("GET", LIST, &bearer, b"").await.status, 401, "two people at once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_a_token_of_ours_a_long_lived_one_is_the_apps_to_judge() {
    let named = super::support::sha256_hex(b"cep_alice_full");
    let entry =
        format!("[[apps.tokens]]\nname = \"other\"\nsha256 = \"{named}\"\nuser = \"bob\"\n");
    let lab = Lab::start(&format!("provision = true\n{entry}")).await;
    for user in ["alice", "bob"] {
        lab.one.add_user(user);
    }
    let made = ["token", "create", "--user", "alice", "--app", "cellengine", "--json"];
    let made = lab.one.command(&made, "");
    let made: Value = serde_json::from_slice(&made.stdout).unwrap();
    let ours = format!("Vestibule-Token: {}\r\n", made["token"].as_str().unwrap());
    let session = lab.app.token("alice").await;
    for (lines, status) in [
        (format!("{ours}Authorization: Bearer cep_alice_readonly\r\n"), 200),
        (format!("{ours}Cookie: token=cep_alice_readonly\r\n"), 200),
        ("Authorization: Bearer cep_alice_readonly\r\n".to_owned(), 401),
        // An entry holds it to its person.
        (format!("{ours}Authorization: Bearer cep_alice_full\r\n"), 401),
        (format!("{ours}Authorization: Bearer {session}\r\n"), 401),
        (
            format!(
                "{ours}Authorization: Bearer cep_alice_readonly\r\nCookie: token={session}\r\n"
            ),
            401,
        ),
        ("Vestibule-Token: vst_x\r\nAuthorization: Bearer cep_alice_readonly\r\n".to_owned(), 401),
    ] {
        let before = lab.app.requests().await.len();
        let said = Lab::browser(&lab.two).ask("GET", LIST, &lines, b"").await;
        assert_eq!(said.status, status, "{lines}: {}", said.text());
        let reached = lab.app.requests().await.len() - before;
        assert_eq!(reached, usize::from(status == 200), "{lines}");
    }
    let seen = lab.app.requests().await.pop().unwrap()["headers"].to_string().to_lowercase();
    assert!(seen.contains("remote-user") && !seen.contains("vestibule-token"), "{seen}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_lived_tokens_are_let_through_by_rule_only() {
    let hash = |token: &str| super::support::sha256_hex(token.as_bytes());
    let rule = |name: &str, token: &str, more: &str| {
        format!(
            "[[apps.tokens]]\nname = \"{name}\"\nsha256 = \"{}\"\nuser = \"alice\"\n{more}\n",
            hash(token)
        )
    };
    let rules = format!(
        "provision = true\n{}{}",
        rule("nightly", "cep_alice_readonly", "networks = [\"127.0.0.0/8\"]"),
        rule("elsewhere", "cep_alice_full", "networks = [\"192.0.2.0/24\"]"),
    );
    let lab = Lab::start(&rules).await;
    let refused = Lab::client(&lab.one, &["places", "cep_alice_readonly"], "").await;
    assert_eq!(refused[0]["status"], 401, "there is no alice yet: {refused}");
    lab.one.add_user("alice");
    let subject = "5d38a6f79fae870000000001";
    let args = ["user", "link", "alice", "--app", "cellengine", "--subject", subject];
    assert!(lab.one.command(&args, "").status.success());
    lab.join("alice").await;
    let let_through = Lab::client(&lab.one, &["places", "cep_alice_readonly"], "").await;
    for answer in let_through.as_array().unwrap() {
        assert_eq!(answer["status"], 200, "{answer}");
    }
    for token in ["cep_alice_full", "cep_unknown"] {
        for answer in Lab::client(&lab.two, &["places", token], "").await.as_array().unwrap() {
            assert_eq!(answer["status"], 401, "{token}: {answer}");
        }
    }
    let mut script_of = Lab::browser(&lab.two);
    let bearer = format!("Authorization: Bearer cep_alice_readonly\r\n{JSON}");
    let said = script_of.ask("POST", LIST, &bearer, b"{}").await;
    assert_eq!(said.status, 403, "the app's own word passes");
    assert!(said.text().contains("does not have permission"), "{}", said.text());
    let seen = lab.app.requests().await.pop().unwrap();
    assert!(seen["headers"].to_string().to_lowercase().contains("remote-user"), "{seen}");
    let rows = lab.one.command(&["audit", "list", "--event", "app_token_used", "--json"], "");
    let rows: Value = serde_json::from_slice(&rows.stdout).unwrap();
    assert_eq!(rows.as_array().map(Vec::len), Some(1), "told once an hour: {rows}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tunnel_of_a_long_lived_token_ends_when_its_entry_is_taken_out() {
    let entry = format!(
        "[[apps.tokens]]\nname = \"nightly\"\nsha256 = \"{}\"\nuser = \"alice\"\n",
        super::support::sha256_hex(b"cep_alice_readonly")
    );
    let lab = Lab::start(&format!("provision = true\nwebsocket = true\n{entry}")).await;
    lab.one.add_user("alice");
    let mut wire = Lab::browser(&lab.one).connect().await;
    let opening = "GET /api/v1/__ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
                   Authorization: Bearer cep_alice_readonly\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    wire.send(opening.as_bytes()).await.unwrap();
    assert_eq!(wire.answer_head().await.unwrap().status, 101);
    let config = std::fs::read_to_string(&lab.one.config).unwrap();
    assert!(config.contains(&entry), "{config}");
    std::fs::write(&lab.one.config, config.replace(&entry, "")).unwrap();
    lab.one.signal("HUP");
    let patience = super::support::client::PATIENCE;
    super::support::within(patience, "the tunnel to end", wire.rest()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signing_out_here_or_there_signs_out_of_both() {
    let lab = Lab::start("provision = true").await;
    let (_browser, mut codes, _) = lab.join("alice").await;
    let code = codes.next().await;
    let done = Lab::client(&lab.one, &["signout", "alice", "pw-alice", &code], "").await;
    assert_eq!((&done["out"], &done["after"]), (&json!(204), &json!([401, 401, 401, 401])));

    let mut person = Lab::browser(&lab.one);
    let code = codes.next().await;
    let token = script(&mut person, "alice", &code).await;
    let out = person.submit("/_auth/logout", &[]).await;
    assert_eq!(out.status, 303);
    let bearer = format!("Authorization: Bearer {token}\r\n");
    let told = async { while lab.app.ask("GET", LIST, &bearer, "").await.status != 401 {} };
    super::support::within(super::support::client::PATIENCE, "the app to be told", told).await;
    let after = Lab::client(&lab.two, &["places", &token], "").await;
    assert_eq!(after[0]["status"], 401, "{after}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_signs_another_out_of_the_app_by_signing_out_with_their_token() {
    let lab = Lab::start("provision = true").await;
    let (_browser, mut codes, _) = lab.join("alice").await;
    let mut person = Lab::browser(&lab.one);
    let code = codes.next().await;
    let token = script(&mut person, "alice", &code).await;
    let mut stranger = Lab::browser(&lab.one);
    stranger.jar.insert("token".to_owned(), token.clone());
    let page = stranger.get("/_auth/login").await;
    assert_eq!(stranger.submit_from(&page, "/_auth/logout", &[]).await.status, 303);
    assert_eq!(person.fetch(LIST).await.status, 200);
    assert_eq!(person.submit("/_auth/logout", &[]).await.status, 303);
    let bearer = format!("Authorization: Bearer {token}\r\n");
    let told = async { while lab.app.ask("GET", LIST, &bearer, "").await.status != 401 {} };
    super::support::within(super::support::client::PATIENCE, "the app to be told", told).await;
    let seen = lab.app.requests().await;
    let outs = seen.iter().filter(|r| r["target"] == "/api/v1/signout").count();
    assert_eq!(outs, 1, "the app hears of the one who signed out: {seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_app_says_of_an_expired_session_passes() {
    let lab = Lab::start("provision = true").await;
    let (_browser, mut codes, _) = lab.join("alice").await;
    let mut person = Lab::browser(&lab.one);
    let code = codes.next().await;
    script(&mut person, "alice", &code).await;
    lab.app.expire().await;
    let said = person.fetch(LIST).await;
    assert_eq!((said.status, said.text().contains("expired")), (401, true), "{}", said.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_public_is_public_for_nobody_in_particular() {
    let rule = "[[apps.rules]]\npath = \"/api/v1/folders\"\naccess = \"public\"";
    let lab = Lab::start(&format!("provision = true\n{rule}")).await;
    let foreign = lab.app.token("alice").await;
    let mut thief = Lab::browser(&lab.one);
    let bearer = format!("Authorization: Bearer {foreign}\r\n");
    let path = "/api/v1/folders";
    assert_eq!(thief.ask("GET", path, &bearer, b"").await.text(), "Unauthorized", "the app's word");
    thief.jar.insert("token".to_owned(), foreign.replace(':', "%3A"));
    assert_eq!(thief.fetch(path).await.text(), "Unauthorized");
    let in_query = thief.fetch(&format!("{path}?token={foreign}")).await;
    assert_eq!((in_query.status, &in_query.json()["code"]), (401, &json!("credential_refused")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_ends_what_the_tokens_are_worth() {
    let lab = Lab::start("provision = true").await;
    let (_browser, mut codes, _) = lab.join("alice").await;
    let mut person = Lab::browser(&lab.one);
    let code = codes.next().await;
    let token = script(&mut person, "alice", &code).await;
    assert_eq!(Lab::client(&lab.two, &["places", &token], "").await[0]["status"], 200);
    assert!(lab.one.command(&["session", "end", "--user", "alice"], "").status.success());
    let bearer = format!("Authorization: Bearer {token}\r\n");
    let mut child = Lab::browser(&lab.two);
    let refused = async || child.ask("GET", LIST, &bearer, b"").await.status == 401;
    super::support::over_after_a_second("the token to be rejected", refused).await;
    let before = lab.app.requests().await;
    let bearer = format!("Authorization: Bearer {token}\r\n");
    assert_eq!(Lab::browser(&lab.one).ask("GET", LIST, &bearer, b"").await.status, 401);
    assert_eq!(lab.app.requests().await, before, "the app receives the token no more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_takes_its_tokens_along_when_it_gets_a_new_id() {
    let lab = Lab::start("provision = true").await;
    let (mut person, mut codes, _) = lab.join("alice").await;
    let (held, token) = (person.jar[SESSION].clone(), person.jar["token"].clone());
    assert_eq!(person.at(&lab.two).fetch(LIST).await.status, 200);
    let code = codes.next().await;
    let proofs = [("password", "pw-alice"), ("code", code.as_str())];
    let stepped = person.submit("/_auth/step-up?return_to=%2Fx", &proofs).await;
    assert_eq!(stepped.status, 303, "{}", stepped.text());
    assert_ne!(person.jar[SESSION], held);
    assert_eq!(person.jar["token"], token);
    for gateway in [&lab.one, &lab.two] {
        assert_eq!(person.at(gateway).fetch(LIST).await.status, 200);
    }
    for answer in Lab::client(&lab.two, &["places", &token.replace("%3A", ":")], "")
        .await
        .as_array()
        .unwrap()
        .iter()
        .take(1)
    {
        assert_eq!(answer["status"], 200, "{answer}");
    }
    let account = person.get("/_auth/account").await;
    assert!(account.text().contains("App cellengine keeps your password"), "{}", account.text());
    let elsewhere = person.get("/_auth/account/password").await;
    assert_eq!((elsewhere.status, elsewhere.text().contains("Change it there")), (404, true));
}
