//! The same app and the HTTP stack of its R toolkit, over TLS: it takes any 200 for a sign-in, reads
//! JSON before it looks at a status, and keeps old cookies beside a new token.

use super::support::program::output_of;
use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::support::cellengine::{Lab, base};
use super::support::gateway::Gateway;
use super::support::log::Log;
use super::support::within;

/// Debian's own R: that is where its packages are.
const RSCRIPT: &str = "/usr/bin/Rscript";
/// The longest that a run takes.
const LONGEST: std::time::Duration = std::time::Duration::from_mins(2);

fn client(gateway: &Gateway, args: &[&str]) -> Command {
    let mut command = Command::new(RSCRIPT);
    command
        .args(["--vanilla", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cellengine/client.R")])
        .arg(base(gateway))
        .arg(&gateway.certificates.authority)
        .args(args)
        .env("no_proxy", "*")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// A run of the client with this on its standard input: what it says in the end.
async fn run(gateway: &Gateway, args: &[&str], input: &str) -> Value {
    let mut command = client(gateway, args);
    let input = input.to_owned();
    let run = tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().unwrap();
        drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
        output_of(child)
    });
    let output = within(LONGEST, "the client", run).await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let wrong = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().last().unwrap_or_default();
    let last = last.rsplit("code: ").next().unwrap_or_default();
    serde_json::from_str(last).unwrap_or_else(|e| panic!("{args:?}: {e}: {said}\n{wrong}"))
}

/// The app's name, which is not the gateway's.
const NAME: &str = "app.internal.test";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_r_stack_is_asked_for_a_code_and_works_on() {
    let lab = Lab::named(NAME, "provision = true", &[]).await;
    let (_browser, mut codes, _) = lab.join("alice").await;
    let refused = run(&lab.one, &["work", "alice", "pw-alice", "000000"], "").await;
    assert_eq!(refused, json!({"stopped": "Unauthorized (HTTP 401)."}), "no lexical error");
    let nobody = run(&lab.one, &["work", "alice", "pw-alice"], "").await;
    assert_eq!(nobody, json!({"stopped": "nobody answers"}), "it was asked");

    for (name, typed) in [("alice", false), ("alice@lab.example", true)] {
        let code = codes.next().await;
        let mut args = vec!["work", name, "pw-alice"];
        args.extend((!typed).then_some(code.as_str()));
        let input = if typed { format!("{code}\n") } else { String::new() };
        let done = run(&lab.two, &args, &input).await;
        assert_eq!((&done["filed"], &done["got"]), (&done["sent"], &done["sent"]), "{done}");
        assert_eq!(done["size"], 6 + 8 * 1024 * 1024, "{done}");
        assert_eq!((&done["again"], &done["put"]), (&json!(true), &json!(404)), "{done}");
    }

    let seen = lab.app.requests().await;
    let targets: Vec<&str> = seen.iter().filter_map(|r| r["target"].as_str()).collect();
    for part in ["eq%28name%2C%20%22Run%20R%22%29", ".FCS?preSubsampleN=&populationId=null"] {
        assert!(targets.iter().any(|t| t.contains(part)), "{part}: {targets:?}");
    }
    let look_up = |t: &&str| t.contains("/fcsfiles/") && t.ends_with('/');
    assert!(targets.iter().any(look_up), "{targets:?}");
    let put = seen.iter().find(|r| r["method"] == "PUT").unwrap();
    assert!(put["body_len"].as_u64().unwrap() > 0, "{put}");
    let accept = "application/json, text/xml, application/xml, */*";
    assert!(put["headers"].to_string().contains(accept), "{put}");
    for request in &seen {
        let text = request["headers"].to_string();
        assert!(!text.contains("__Host-vestibule"), "our cookies are not the app's: {request}");
        assert!(text.to_lowercase().contains("[\"host\",\"app.internal.test\"]"), "{request}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ends_a_session_is_said_in_json_that_r_reads() {
    let lab = Lab::named(NAME, "provision = true", &[]).await;
    let (_browser, mut codes, _) = lab.join("alice").await;
    let code = codes.next().await;
    let mut child = client(&lab.one, &["waits", "alice", "pw-alice", &code]).spawn().unwrap();
    let log = Log::follow(child.stdout.take().unwrap());
    let mut input = child.stdin.take().unwrap();
    log.wait_for("the sign-in", |line| line.json().get("ready").cloned()).await;
    input.write_all(b"\n").unwrap();
    let mut asked = 0;
    let mut ask = async |asked: &mut u64| {
        *asked += 1;
        input.write_all(b"\n").unwrap();
        let of_this = |line: &super::support::log::Line| {
            (line.json()["asked"] == *asked).then(|| line.json()["answer"].clone())
        };
        log.wait_for("an answer", of_this).await
    };
    let before = ask(&mut asked).await;
    assert_eq!(
        (&before["status"], &before["error"]),
        (&json!(404), &json!("Experiment not found.")),
        "the app's"
    );
    assert!(lab.two.command(&["session", "end", "--all"], "").status.success());
    let refused = async {
        loop {
            let said = ask(&mut asked).await;
            if said["status"] == 401 {
                break said;
            }
        }
    };
    let said = within(LONGEST, "the end of the session", refused).await;
    assert_eq!(said["type"], "application/json", "{said}");
    assert!(said["error"].as_str().unwrap().contains("Sign in again"), "{said}");
    drop(input);
    let ended = tokio::task::spawn_blocking(move || child.wait().unwrap());
    assert!(ended.await.unwrap().success(), "{}", log.so_far());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_an_old_cookie_a_long_lived_token_decides_where_both_are_one_persons() {
    let hash = super::support::sha256_hex(b"cep_alice_full");
    let rule = format!(
        "provision = true\napp_second_factor = \"counts\"\n[[apps.tokens]]\nname = \"export\"\n\
         sha256 = \"{hash}\"\nuser = \"ada\"\nmethods = [\"GET\"]"
    );
    let lab = Lab::named(NAME, &rule, &[]).await;
    lab.one.add_user("ada");
    let subject = "5d38a6f79fae870000000001";
    let link = ["user", "link", "ada", "--app", "cellengine", "--subject", subject];
    assert!(lab.one.command(&link, "").status.success());
    let (_browser, mut codes, _) = lab.join("alice").await;

    let code = codes.next().await;
    let own = run(&lab.two, &["token", "alice", "pw-alice", &code, "cep_alice_full"], "").await;
    assert_eq!(own["list"], 200, "{own}");
    assert_eq!(own["made"]["status"], 401, "the session might, the token may not: {own}");
    let seen = lab.app.requests().await;
    let last = seen.last().unwrap();
    let headers = last["headers"].to_string();
    assert!(headers.contains("Bearer cep_alice_full") && headers.contains("token="), "{last}");
    assert!(headers.contains("\"ada\""), "{last}");
    assert!(seen.iter().all(|r| r["target"] != "/api/v1/experiments" || r["method"] == "GET"));

    let code = lab.app.code("bob").await;
    let mixed = run(&lab.one, &["token", "bob", "pw-bob", &code, "cep_alice_full"], "").await;
    assert_eq!((&mixed["list"], &mixed["made"]["status"]), (&json!(401), &json!(401)), "{mixed}");
    assert_eq!(mixed["made"]["type"], "application/json", "{mixed}");
}
