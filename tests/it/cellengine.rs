//! An app that is signed in to by its own page, scripts and toolkits: their requests get our second
//! factor without a change, its tokens are worth our session, and nothing else gets through.

use std::io::Write as _;

use serde_json::{Value, json};

use super::support::cellengine::{Front, Lab, base, client_at};
use super::support::client::Browser;
use super::support::log::Log;
use super::support::visitor::{PENDING, SESSION};

pub(super) const JSON: &str = "Content-Type: application/json\r\n";
const ASKS: &str = "{\"error\":\"\\\"otp\\\" is required.\"}";
pub(super) const LIST: &str = "/api/v1/experiments";

pub(super) async fn post_sign_in(
    browser: &mut Browser,
    body: &Value,
) -> super::support::wire::Answer {
    browser.ask("POST", "/api/v1/signin", JSON, body.to_string().as_bytes()).await
}

pub(super) fn typed(user: &str) -> Value {
    json!({"username": user, "password": format!("pw-{}", user.split('@').next().unwrap())})
}

pub(super) fn with_code(user: &str, code: &str) -> Value {
    let mut body = typed(user);
    body["otp"] = json!(code);
    body
}

/// Signs in as a script does; the app's token.
pub(super) async fn script(browser: &mut Browser, user: &str, code: &str) -> String {
    let answer = post_sign_in(browser, &with_code(user, code)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["token"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_script_is_asked_for_a_code_in_the_words_of_the_app_and_works_on() {
    let lab = Lab::start("provision = true").await;
    let (_browser, mut codes, _) = lab.join("alice").await;
    let code = codes.next().await;
    let done = Lab::client(&lab.two, &["work", "alice", "pw-alice"], &format!("{code}\n")).await;
    assert_eq!(done["size"], done["stored"], "{done}");
    assert_eq!(done["size"], 6 + 64 * 1024 * 1024, "{done}");
    assert_eq!((&done["sent"], &done["sent"]), (&done["filed"], &done["got"]), "{done}");
    assert_eq!(done["name"], "Run 2");
    let jar: Vec<&str> =
        done["cookies"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(jar, ["__Host-vestibule", "__Host-vestibule-device", "token"]);

    let seen = lab.app.requests().await;
    let targets: Vec<&str> = seen.iter().filter_map(|r| r["target"].as_str()).collect();
    let odd = "/api/v1/experiments?query=and%28eq%28name%2C%22Run%22%29%2Ceq%28deleted%2Cnull%29%29\
               &limit=2";
    assert!(targets.contains(&odd), "byte for byte: {targets:?}");
    for request in &seen {
        let text = request["headers"].to_string();
        assert!(!text.contains("__Host-vestibule"), "our cookies are not the app's: {request}");
    }
    let agent = seen.iter().find(|r| r["method"] == "DELETE").unwrap()["headers"].to_string();
    assert!(agent.contains("CellEngine Python API Toolkit/1.0.0"), "{agent}");
    let log = lab.whole_log().await;
    for secret in ["pw-alice", code.as_str(), done["token"].as_str().unwrap()] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_is_asked_for_to_the_byte_and_counts_once() {
    let lab = Lab::start("provision = true").await;
    let mut script_of = Lab::browser(&lab.two);
    let refused = post_sign_in(&mut script_of, &typed("alice")).await;
    assert_eq!(refused.status, 403, "not enrolled yet");
    let sentence = refused.json()["error"].as_str().unwrap().to_owned();
    let page = format!("https://localhost:{}/_auth/login", lab.two.https.port());
    assert!(sentence.contains(&page), "{sentence}");

    let (_browser, mut codes, recovery) = lab.join("alice").await;
    let asked = post_sign_in(&mut script_of, &typed("alice")).await;
    assert_eq!((asked.status, asked.text().as_str()), (400, ASKS));
    assert!(asked.get("content-type").unwrap().starts_with("application/json"));
    let given: Vec<&str> = script_of.jar.keys().map(String::as_str).collect();
    assert_eq!(given, [PENDING], "nothing but what the second request is known by");

    let code = codes.next().await;
    let spaced = format!(" {} {} ", &code[..3], &code[3..]);
    script(&mut script_of, "alice", &spaced).await;
    for used in [code.as_str(), "000000", "x"] {
        let mut other = Lab::browser(&lab.one);
        let refused = post_sign_in(&mut other, &with_code("alice", used)).await;
        assert_eq!(refused.status, 401, "{used}: {}", refused.text());
        assert!(refused.json()["error"].is_string(), "{}", refused.text());
        assert!(other.jar.is_empty(), "{used}: {:?}", other.jar);
    }
    let with_recovery =
        Lab::client(&lab.two, &["signin", "alice", "pw-alice", &recovery[0]], "").await;
    assert_eq!(with_recovery["listed"], 0);
    let again = Lab::client(&lab.two, &["signin", "alice", "pw-alice", &recovery[0]], "").await;
    assert_eq!(again["api_error"][0], 401, "{again}");
    let no_terminal = Lab::client(&lab.two, &["signin", "alice", "pw-alice"], "").await;
    assert_eq!(no_terminal["no_terminal"], true, "{no_terminal}");
    let wrong = Lab::client(&lab.two, &["signin", "alice", "nonsense"], "").await;
    assert_eq!(
        wrong["api_error"],
        json!([401, "Incorrect username or password."]),
        "the app's own"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_in_may_come_as_a_form_and_go_on_as_what_the_app_is_said_to_take() {
    const FORM: &str = "application/x-www-form-urlencoded";
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("form.toml");
    let described = include_str!("../../src/config/dialects/cellengine.toml");
    let bodies = described.replace("[\"json\", \"form\"]", "[\"form\", \"json\"]");
    assert_ne!(described, bodies);
    std::fs::write(&file, bodies).unwrap();
    let counts = "provision = true\napp_second_factor = \"counts\"";
    let by_file = format!("dialect = {{ file = \"{}\" }}", file.display());
    for (dialect, kind) in [("", "application/json"), (by_file.as_str(), FORM)] {
        let lab = Lab::start(&format!("{dialect}\n{counts}")).await;
        let (_browser, mut codes, _) = lab.join("alice").await;
        let mut person = Lab::browser(&lab.two);
        let post = async |person: &mut Browser, name: &str, more: &str| {
            let lines = format!("Content-Type: {FORM}; charset=utf-8\r\n");
            let body = format!("username={name}%40lab.example&password=pw%2D{name}{more}");
            person.ask("POST", "/api/v1/signin", &lines, body.as_bytes()).await
        };
        let spaced = |code: &str| format!("&otp=+{}%20{}+", &code[..3], &code[3..]);
        let before = lab.app.requests().await.len();
        let asked = post(&mut person, "alice", "").await;
        assert_eq!((asked.status, asked.text().as_str()), (400, ASKS));
        assert_eq!(post(&mut person, "alice", "&otp=000000").await.status, 401);
        assert_eq!(post(&mut person, "alice", "&username=bob").await.status, 400, "two names");
        let given: Vec<&str> = person.jar.keys().map(String::as_str).collect();
        assert_eq!(given, [PENDING]);
        let done = post(&mut person, "alice", &spaced(&codes.next().await)).await;
        assert_eq!(done.status, 200, "{}", done.text());
        assert!(person.jar.contains_key("token"), "{:?}", person.jar);
        assert_eq!(person.fetch(LIST).await.status, 200);

        // The app gets what it is said to take, whatever came, and its own code without blanks.
        let seen = lab.app.requests().await;
        let sent: Vec<&Value> =
            seen[before..].iter().filter(|r| r["target"] == "/api/v1/signin").collect();
        let body = match kind {
            FORM => "username=alice%40lab.example&password=pw-alice".to_owned(),
            _ => typed("alice@lab.example").to_string(),
        };
        let hash = json!(super::support::sha256_hex(body.as_bytes()));
        // The wrong code was looked at with the first answer, and ended that sign-in.
        assert_eq!(sent.len(), 2, "{sent:?}");
        for request in sent {
            assert_eq!(request["body_sha256"], hash, "{request}");
            assert!(request["headers"].to_string().contains(&format!("\"{kind}\"")), "{request}");
        }
        let code = lab.app.code("bob").await;
        let done = post(&mut Lab::browser(&lab.one), "bob", &spaced(&code)).await;
        assert_eq!(done.status, 200, "{}", done.text());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_is_one_account_by_whatever_name_and_nobody_is_taken_over() {
    let lab = Lab::start("provision = true").await;
    // Somebody else has the name already, with a password of ours and no word of the app.
    lab.one.add_user("alice");
    let (_browser, mut codes, _) = lab.join("alice").await;
    let listed = lab.one.command(&["user", "list", "--json"], "");
    let users: Value = serde_json::from_slice(&listed.stdout).unwrap();
    let names: Vec<&str> =
        users.as_array().unwrap().iter().filter_map(|u| u["name"].as_str()).collect();
    assert_eq!(names, ["5d38a6f79fae870000000001", "alice"], "{users}");
    for spelling in ["alice@lab.example", "alice"] {
        let mut other = Lab::browser(&lab.two);
        let asked = post_sign_in(&mut other, &typed(spelling)).await;
        assert_eq!((asked.status, asked.text().as_str()), (400, ASKS), "{spelling}");
        let code = codes.next().await;
        script(&mut other, spelling, &code).await;
    }
    let after = lab.two.command(&["user", "list", "--json"], "");
    assert_eq!(listed.stdout.len(), after.stdout.len(), "no account was added");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_gets_a_name_by_typing_it_that_a_rule_or_a_token_means_somebody_by() {
    let hash = super::support::sha256_hex(b"cep_alice_readonly");
    let means = format!(
        "provision = true\n[[apps.tokens]]\nname = \"t\"\nsha256 = \"{hash}\"\nuser = \"Alice\"\n\
         [[apps.rules]]\npath = \"/api/**\"\nusers = [\"bob\"]\naccess = \"two_factor\"\n\
         [[apps.rules]]\npath = \"/api/**\"\naccess = \"deny\""
    );
    let lab = Lab::start(&means).await;
    let (mut alice, _, _) = lab.join("alice").await;
    let form =
        [("username", "bob"), ("password", "pw-bob"), ("app_code", &lab.app.code("bob").await)];
    let mut bob = Lab::browser(&lab.two);
    assert_eq!(bob.submit("/_auth/login", &form).await.location(), "/_auth/enroll");
    super::support::visitor::enrol(&mut bob).await;
    let listed = lab.one.command(&["user", "list", "--json"], "");
    let users: Value = serde_json::from_slice(&listed.stdout).unwrap();
    let names: Vec<&str> =
        users.as_array().unwrap().iter().filter_map(|u| u["name"].as_str()).collect();
    assert_eq!(names, ["5d38a6f79fae870000000001", "5d38a6f79fae870000000002"], "{users}");
    for person in [&mut alice, &mut bob] {
        assert_eq!(person.fetch(LIST).await.status, 403, "bob of the rule is nobody yet");
    }
    let token = Lab::client(&lab.one, &["places", "cep_alice_readonly"], "").await;
    assert_eq!(token[0]["status"], 401, "nor is alice of the token: {token}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_provisioning_an_operator_says_who_is_who() {
    let lab = Lab::start("").await;
    let mut browser = Lab::browser(&lab.one);
    let stranger = post_sign_in(&mut browser, &typed("alice")).await;
    assert_eq!((stranger.status, &stranger.json()["code"]), (403, &json!("no_account")));
    lab.one.add_user("ada");
    let link = |name: &str, subject: &str| {
        let args = ["user", "link", name, "--app", "cellengine", "--subject", subject];
        lab.two.command(&args, "").status.success()
    };
    assert!(link("ada", "5d38a6f79fae870000000001"));
    assert!(!link("ada", "5d38a6f79fae870000000002"), "one person each");
    lab.join("alice").await;
    let shown = lab.one.command(&["user", "show", "ada", "--json"], "");
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(shown["apps"]["cellengine"], "5d38a6f79fae870000000001");
    assert_eq!(shown["ever_enrolled"], true, "alice of the app is ada");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_that_the_app_asked_for_counts_where_it_is_said_to() {
    let lab = Lab::start("provision = true\napp_second_factor = \"counts\"").await;
    let mut person = Lab::browser(&lab.two);
    let asked = post_sign_in(&mut person, &typed("bob")).await;
    assert_eq!((asked.status, asked.text().as_str()), (400, ASKS), "the app's own");
    let wrong = post_sign_in(&mut person, &with_code("bob", "000000")).await;
    assert_eq!((wrong.status, wrong.text().contains("Incorrect")), (401, true), "the app's own");
    let code = lab.app.code("bob").await;
    let done = Lab::client(&lab.two, &["signin", "bob", "pw-bob"], &format!("{code}\n")).await;
    assert_eq!((done["listed"].as_u64(), done["session"].is_string()), (Some(0), true), "{done}");

    let strict = Lab::start("provision = true").await;
    strict.app.code("bob").await;
    let mut person = Lab::browser(&strict.one);
    let code = strict.app.code("bob").await;
    let refused = post_sign_in(&mut person, &with_code("bob", &code)).await;
    assert_eq!(refused.status, 403, "{}", refused.text());
    assert!(person.jar.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_of_the_app_never_leads_past_an_authenticator_that_was_enrolled_here() {
    let lab = Lab::start("provision = true\napp_second_factor = \"counts\"").await;
    let (_browser, mut codes, _) = lab.join("alice").await;
    // A thief of the password switches on the app's code with a phone of their own.
    lab.app.switch_on_code("alice").await;
    for taken_away in [false, true] {
        if taken_away {
            let args = ["user", "reset-2fa", "alice", "--reason", "lost phone, came in person"];
            let reset = lab.two.command(&args, "");
            assert!(reset.status.success(), "{reset:?}");
        }
        let code = lab.app.code("alice").await;
        let mut thief = Lab::browser(&lab.two);
        let refused = post_sign_in(&mut thief, &with_code("alice", &code)).await;
        assert_eq!(refused.status, 403, "{}", refused.text());
        assert_eq!(refused.json()["code"], "two_second_factors", "{}", refused.text());
        let form = [("username", "alice"), ("password", "pw-alice"), ("app_code", &code)];
        let asked = thief.submit("/_auth/login", &form).await;
        assert_eq!((asked.status, asked.location()), (303, "/_auth/otp"), "{}", asked.text());
        let gate = [SESSION, "token"].map(|cookie| thief.jar.contains_key(cookie));
        assert_eq!(gate, [false; 2], "no session, and nothing of the app's: {:?}", thief.jar);
        assert_eq!(thief.fetch(LIST).await.status, 401);
        if !taken_away {
            // The owner types both.
            let ours = codes.next().await;
            let done = thief.submit("/_auth/otp", &[("code", &ours)]).await;
            assert_eq!(done.status, 303, "{}", done.text());
            assert_eq!(thief.fetch(LIST).await.status, 200);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_sign_in_on_our_page_arrives_in_the_app_signed_in() {
    let lab = Lab::start("provision = true").await;
    let (mut browser, mut codes, _) = lab.join("alice").await;
    assert_eq!(browser.fetch(LIST).await.status, 200, "after enrolment: {:?}", browser.jar.keys());
    let mut second = Lab::browser(&lab.two);
    let form = [("username", "alice@lab.example"), ("password", "pw-alice")];
    let answer = second.submit("/_auth/login?return_to=%2Fexperiments%2F1", &form).await;
    let way = "/_auth/otp?return_to=%2Fexperiments%2F1";
    assert_eq!((answer.status, answer.location()), (303, way), "{}", answer.text());
    assert!(!second.jar.contains_key("token"), "nothing before the second factor");
    let dump = lab.redis.dump().await;
    let code = codes.next().await;
    let mut second = second.at(&lab.one);
    let done = second.submit("/_auth/otp", &[("code", &code)]).await;
    assert_eq!((done.status, done.location()), (303, "/experiments/1"), "{}", done.text());
    let secret = second.jar["token"].split_once('.').unwrap().0.replace("s%3A", "");
    assert!(secret.len() >= 32 && !dump.contains(&secret), "what the app gave out is sealed");
    assert_eq!(second.fetch(LIST).await.status, 200);
    let wrong = Lab::browser(&lab.one)
        .submit("/_auth/login", &[("username", "alice"), ("password", "wrong")])
        .await;
    assert_eq!(wrong.status, 401);
    let forgot = Lab::browser(&lab.one).get("/_auth/forgot").await;
    assert_eq!((forgot.status, forgot.location()), (303, "/_auth/login"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_other_spelling_of_the_sign_in_gets_by() {
    let lab = Lab::start("provision = true").await;
    let (mut alice, _, _) = lab.join("alice").await;
    let before = lab.app.requests().await.len();
    for path in [
        "/api/v1/signin/",
        "/API/v1/signin",
        "/api/v1/%73ignin",
        "//api/v1/signin",
        "/api/./v1/signin",
    ] {
        let body = typed("bob").to_string();
        let answer = alice.ask("POST", path, JSON, body.as_bytes()).await;
        assert_eq!(answer.status, 404, "{path}: {}", answer.text());
    }
    let put = alice.ask("PUT", "/api/v1/signin", JSON, b"{}").await;
    assert_eq!(put.status, 404);
    let twice = br#"{"username":"alice","password":"pw-alice","username":"bob"}"#;
    let twice = alice.ask("POST", "/api/v1/signin", JSON, twice).await;
    assert_eq!(twice.status, 400);
    let far = format!("{JSON}Origin: https://evil.example\r\n");
    let body = typed("alice").to_string();
    assert_eq!(alice.ask("POST", "/api/v1/signin", &far, body.as_bytes()).await.status, 403);
    let large = vec![b' '; 20 * 1024];
    assert_eq!(alice.ask("POST", "/api/v1/signin", JSON, &large).await.status, 413);
    assert_eq!(lab.app.requests().await.len(), before, "the app was asked nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_passwords_are_slowed_as_on_our_own_page() {
    let lab = Lab::start("provision = true").await;
    let wrong = json!({"username": "alice", "password": "wrong"});
    let mut statuses = Vec::new();
    for i in 0..8 {
        let gateway = if i % 2 == 0 { &lab.one } else { &lab.two };
        let answer = post_sign_in(&mut Lab::browser(gateway), &wrong).await;
        if answer.status == 429 {
            assert!(answer.get("retry-after").is_some());
            assert!(answer.json()["error"].is_string());
        }
        statuses.push(answer.status);
    }
    assert_eq!(statuses[..5], [401; 5]);
    assert!(statuses[5..].contains(&429), "{statuses:?}");
    let asked = lab.app.requests().await.len();
    assert_eq!(asked, statuses.iter().filter(|s| **s == 401).count(), "no more was asked");
    assert!(base(&lab.one).starts_with("https://localhost:"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_goes_in_the_middle_of_a_run_costs_a_script_nothing() {
    let lab = Lab::start("provision = true").await;
    let (_browser, mut codes, _) = lab.join("alice").await;
    let next = lab.another().await;
    let front = Front::before(&lab.two).await;
    let code = codes.next().await;
    let mut command = client_at(&front.base, &lab.two, &["steady", "alice", "pw-alice", &code]);
    let mut run = command.spawn().unwrap();
    let log = Log::follow(run.stdout.take().unwrap());
    let mut input = run.stdin.take().unwrap();
    log.wait_for("the sign-in", |line| line.json().get("ready").cloned()).await;
    for round in 1..=3 {
        if round == 2 {
            lab.two.signal("TERM");
            lab.two.ended().await;
            // Each has a certificate of its own here; the client reads the authority anew.
            let (from, to) = (&next.certificates.authority, &lab.two.certificates.authority);
            std::fs::copy(from, to).unwrap();
        }
        input.write_all(b"/experiments\n").unwrap();
        if round == 2 {
            // The script is at its second try by now, or will be.
            front.turn_to(&next);
        }
        log.wait_for("an answer", |line| {
            let done = log.so_far().matches("\"step\": 200").count() >= round;
            (done && line.json().get("step").is_some()).then_some(())
        })
        .await;
    }
    drop(input);
    let ended = tokio::task::spawn_blocking(move || run.wait().unwrap());
    assert!(ended.await.unwrap().success(), "{}", log.so_far());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_that_the_app_did_not_ask_for_proves_nothing() {
    let lab = Lab::start("provision = true\napp_second_factor = \"counts\"").await;
    for _ in 0..2 {
        // Alice has no second factor at the app, which takes no notice of the field.
        let mut thief = Lab::browser(&lab.one);
        let form = [("username", "alice"), ("password", "pw-alice"), ("app_code", "123456")];
        let answer = thief.submit("/_auth/login", &form).await;
        assert_eq!(answer.status, 303, "{}", answer.text());
        assert!(matches!(answer.location(), "/_auth/enroll" | "/_auth/otp"), "{answer:?}");
        assert!(!thief.jar.contains_key(SESSION) && !thief.jar.contains_key("token"));
        let by_script = post_sign_in(&mut thief, &with_code("alice", "123456")).await;
        assert!(matches!(by_script.status, 401 | 403), "{}", by_script.text());
        assert!(!thief.jar.contains_key(SESSION));
        if answer.location() == "/_auth/enroll" {
            lab.join("alice").await;
        }
    }
    // Bob has one: our page asks for it, together with the password.
    let mut bob = Lab::browser(&lab.two);
    let form = [("username", "bob"), ("password", "pw-bob")];
    let asked = bob.submit("/_auth/login", &form).await;
    assert_eq!(asked.status, 401);
    assert!(asked.text().contains("name=\"app_code\""), "{}", asked.text());
    let code = lab.app.code("bob").await;
    let form = [("username", "bob"), ("password", "pw-bob"), ("app_code", &code)];
    let done = bob.submit("/_auth/login?return_to=%2Fexperiments", &form).await;
    assert_eq!((done.status, done.location()), (303, "/experiments"), "{}", done.text());
    assert_eq!(bob.fetch(LIST).await.status, 200);
}
