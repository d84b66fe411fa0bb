//! The signed assertion: who gets it, what it states, who can verify it, and its keys.

use super::support::program::output_of;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use vestibule::auth::keys::{KeyRing, SigningAlgorithm};

use super::support::client::{Browser, PATIENCE};
use super::support::fronts;
use super::support::gateway::{self, Gateway, PUBLIC_RULE, Plan};
use super::support::ports;
use super::support::servers;
use super::support::upstream::{Recorder, Seen};
use super::support::visitor;
use super::support::wire::Wire;
use super::support::within;

/// The header with the assertion.
pub(super) const NAME: &str = "vestibule-assertion";
const ISSUER: &str = "https://gw.test:4433";

/// Two apps with assertions; `more` holds keys of the first.
pub(super) fn plan(app: &Recorder, more: &str) -> Plan {
    let plan = Plan { apps: String::new(), ..Plan::new(app) };
    let plan = plan.app("wiki", gateway::HOST, &app.url(), &format!("{more}\n{PUBLIC_RULE}"));
    let plan = plan.app("files", "localhost", &app.url(), "assertion = true");
    Plan { first: format!("public_url = \"{ISSUER}/\"\n"), ..plan }
}

async fn seen_at(app: &Recorder, browser: &mut Browser, target: &str, lines: &str) -> Seen {
    let mark = app.mark();
    let answer = browser.ask("GET", target, lines, b"").await;
    assert_eq!(answer.status, 200, "{target}: {}", answer.text());
    app.wait_for(mark, |seen| seen.head.path() == target).await
}

async fn assertion(app: &Recorder, browser: &mut Browser) -> String {
    let seen = seen_at(app, browser, "/app", "").await;
    assert_eq!(seen.head.all(NAME).len(), 1);
    seen.head.get(NAME).unwrap().to_owned()
}

/// A part of a token, decoded.
pub(super) fn part(token: &str, number: usize) -> Value {
    let part = token.split('.').nth(number).unwrap();
    serde_json::from_slice(&BASE64URL_NOPAD.decode(part.as_bytes()).unwrap()).unwrap()
}

async fn keys(browser: &mut Browser) -> Vec<Value> {
    let answer = browser.fetch("/_auth/jwks.json").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.get("cache-control"), Some("public, max-age=300"));
    answer.json()["keys"].as_array().unwrap().clone()
}

fn ids(keys: &[Value]) -> Vec<&str> {
    keys.iter().map(|key| key["kid"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_app_gets_one_assertion_about_the_user_and_none_of_a_clients_making() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&plan(&app, "assertion = true")).await;
    let (mut browser, _person) = visitor::signed_in(&gateway, "alice").await;
    let first = assertion(&app, &mut browser).await;
    let said = part(&first, 1);
    assert_eq!(said["iss"], ISSUER);
    assert_eq!(said["aud"], "wiki");
    assert_eq!(said["name"], "alice of the test");
    assert_eq!(said["preferred_username"], "alice");
    assert_eq!(said["email"], "alice@example.com");
    assert_eq!(said["amr"], json!(["pwd", "otp", "mfa"]));
    let account = gateway.command(&["user", "show", "alice", "--json"], "");
    let account = String::from_utf8(account.stdout).unwrap();
    let sub = said["sub"].as_str().unwrap();
    assert!(sub != "alice" && account.contains(sub), "{sub}: {account}");
    let (issued, expires) = (said["iat"].as_u64().unwrap(), said["exp"].as_u64().unwrap());
    assert_eq!(expires - issued, 60);
    assert!(issued - said["auth_time"].as_u64().unwrap() < 60);
    let head = part(&first, 0);
    assert_eq!((&head["alg"], &head["typ"]), (&json!("ES256"), &json!("JWT")));
    assert!(ids(&keys(&mut browser).await).contains(&head["kid"].as_str().unwrap()));

    let forged = "Vestibule-Assertion: forged\r\nvestibule_assertion: forged\r\n\
                  VESTIBULE-ASSERTION: forged\r\nVestibule.Assertion: forged\r\n\
                  Connection: vestibule-assertion\r\n";
    let again = seen_at(&app, &mut browser, "/app", forged).await;
    assert_eq!(again.head.all(NAME), [first.as_str()], "one signature serves many requests");
    let public = seen_at(&app, &mut browser, "/public/x", forged).await;
    assert_eq!(public.head.all(NAME), [""; 0]);
    let mark = app.mark_of_all();
    assert!(!app.heard(mark, "forged"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_assertion_is_for_one_app_and_follows_the_identity() {
    let app = Recorder::start().await;
    let algorithm = "assertion = true\nassertion_algorithm = \"EdDSA\"";
    let gateway = Gateway::start(&plan(&app, algorithm)).await;
    let (mut wiki, person) = visitor::signed_in(&gateway, "alice").await;
    let mut files = Browser::new(&gateway);
    "localhost".clone_into(&mut files.host);
    let mut person = person;
    visitor::sign_in(&mut files, &mut person).await;
    let (at_wiki, at_files) = (assertion(&app, &mut wiki).await, assertion(&app, &mut files).await);
    assert_eq!(part(&at_wiki, 0)["alg"], "EdDSA");
    assert_eq!(part(&at_files, 0)["alg"], "ES256");
    let (one, other) = (part(&at_wiki, 1), part(&at_files, 1));
    assert_eq!((&one["aud"], &other["aud"]), (&json!("wiki"), &json!("files")));
    assert_eq!(one["sub"], other["sub"]);
    assert_ne!(one["sid"], other["sid"]);

    let done = gateway.command(&["user", "set", "alice", "--remove-group", "staff"], "");
    assert!(done.status.success());
    let follows = async {
        loop {
            let now = part(&assertion(&app, &mut wiki).await, 1);
            if now["groups"] == json!(["readers"]) {
                return;
            }
        }
    };
    within(PATIENCE, "the new groups", follows).await;
    let shown = gateway.command(&["session", "list", "--user", "alice", "--json"], "");
    let shown = String::from_utf8(shown.stdout).unwrap();
    let sid = one["sid"].as_str().unwrap();
    assert!(!shown.contains(sid) && !wiki.jar[visitor::SESSION].contains(sid));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_key_is_listed_before_it_signs_and_the_former_one_after() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&plan(&app, "assertion = true")).await;
    let (mut browser, _person) = visitor::signed_in(&gateway, "alice").await;
    let signer = async |app: &Recorder, browser: &mut Browser| {
        part(&assertion(app, browser).await, 0)["kid"].as_str().unwrap().to_owned()
    };
    let file = gateway.dir().join("data/keys.toml").display().to_string();
    let first = signer(&app, &mut browser).await;
    let before = keys(&mut browser).await;
    assert_eq!(before.len(), 2, "a key for each algorithm");
    gateway::done(&["keys", "add", &file], "");
    gateway.reload().await;
    let added = keys(&mut browser).await;
    assert_eq!(added.len(), 4);
    assert_eq!(signer(&app, &mut browser).await, first);
    gateway::done(&["keys", "use", &file], "");
    gateway.reload().await;
    let second = signer(&app, &mut browser).await;
    assert!(second != first && ids(&added).contains(&second.as_str()));
    let after = keys(&mut browser).await;
    assert!(ids(&after).contains(&first.as_str()) && after.len() == 4);
    for host in ["localhost", gateway::HOST] {
        let mut stranger = Browser::new(&gateway);
        host.clone_into(&mut stranger.host);
        assert_eq!(keys(&mut stranger).await, after, "{host}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_file_from_before_assertions_is_named_by_check_with_the_way_to_a_new_key() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&plan(&app, "assertion = true")).await;
    let file = gateway.dir().join("data/keys.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let old: String = text
        .lines()
        .filter(|l| !l.starts_with("es256"))
        .fold(String::new(), |all, line| all + line + "\n");
    std::fs::write(&file, old).unwrap();
    let checked = gateway.command(&["check"], "");
    let said = String::from_utf8(checked.stderr).unwrap();
    assert_eq!(checked.status.code(), Some(2));
    assert!(said.contains("apps[0].assertion") && said.contains("vestibule keys add"), "{said}");
    let path = file.display().to_string();
    gateway::done(&["keys", "add", &path], "");
    assert_eq!(gateway.command(&["check"], "").status.code(), Some(2), "it does not sign yet");
    gateway::done(&["keys", "use", &path], "");
    let checked = gateway.command(&["check"], "");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

/// The code of `docs/assertion.md` in one language, with the addresses of a test.
fn documented(language: &str, keys: &str) -> String {
    fronts::documented("assertion.md", language)
        .replace("https://wiki.example.com/_auth/jwks.json", keys)
        .replace("https://wiki.example.com", ISSUER)
}

/// Runs a program on each token; returns the subject that it found, or nothing.
fn verdicts(mut program: Command, tokens: &[String]) -> Vec<String> {
    let mut child = program
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("these tests need {program:?}: {error}"));
    child.stdin.take().unwrap().write_all(tokens.join("\n").as_bytes()).unwrap();
    let output = output_of(child);
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

const PYTHON: &str = r#"
import sys
for token in sys.stdin.read().split("\n"):
    try:
        print(verify(token)["sub"])
    except Exception as error:
        print("refused")
        print(repr(error), file=sys.stderr)
"#;

const NODE: &str = r#"
(async () => {
  for (const token of require("node:fs").readFileSync(0, "utf8").split("\n")) {
    console.log(await verify(token).then((claims) => claims.sub, () => "refused"));
  }
})();
"#;

const GO: &str = r#"
func main() {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		if claims, err := verify(context.Background(), lines.Text()); err != nil {
			fmt.Println("refused")
		} else {
			fmt.Println(claims.Subject)
		}
	}
}
"#;

const JAVA: &str = r#"
class Main {
    public static void main(String[] none) throws Exception {
        for (String token : new String(System.in.readAllBytes(), "US-ASCII").split("\n", -1)) {
            try {
                System.out.println(VestibuleAssertion.verify(token).get("sub").asText());
            } catch (Exception refused) {
                System.out.println("refused");
            }
        }
    }
}
"#;

/// Runs a compiler if it is installed.
fn compiled(mut compiler: Command) -> bool {
    match compiler.stdout(Stdio::null()).status() {
        Ok(status) => {
            assert!(status.success(), "{compiler:?}: {status}");
            true
        }
        Err(_not_installed) => false,
    }
}

/// The documented verifier in Go, if Go and its library are installed.
fn in_go(dir: &Path, keys: &str) -> Option<Command> {
    let given = std::env::var_os("GOPATH").unwrap_or_default();
    let root = Path::new("/usr/share/gocode");
    let roots = [Path::new(&given), root];
    let libraries = ["github.com/coreos/go-oidc/v3/oidc", "github.com/coreos/go-oidc"];
    let (root, library) = libraries
        .iter()
        .flat_map(|library| roots.map(|root| (root, library)))
        .find(|(root, library)| root.join("src").join(library).join("verify.go").is_file())?;
    let imports = format!(
        "package main\nimport (\n\"bufio\"\n\"context\"\n\"fmt\"\n\"os\"\n\"{library}\"\n)\n"
    );
    let (source, program) = (dir.join("verify.go"), dir.join("verify-go"));
    std::fs::write(&source, imports + &documented("go", keys) + GO).unwrap();
    let mut go = Command::new("go");
    go.env("GO111MODULE", "off").env("GOPATH", root).env("GOCACHE", dir.join("go-cache"));
    go.args(["build", "-o"]).arg(&program).arg(&source);
    compiled(go).then(|| Command::new(program))
}

/// The documented verifier in Java, if a JDK and its library are installed.
fn in_java(dir: &Path, keys: &str) -> Option<Command> {
    let jars = ["annotations", "core", "databind"]
        .map(|name| format!("/usr/share/java/jackson-{name}.jar"));
    if !jars.iter().all(|jar| Path::new(jar).is_file()) {
        return None;
    }
    let classes = format!("{}:{}", dir.display(), jars.join(":"));
    let source = dir.join("VestibuleAssertion.java");
    std::fs::write(&source, documented("java", keys) + JAVA).unwrap();
    let mut javac = Command::new("javac");
    javac.args(["-cp", &classes, "-d"]).arg(dir).arg(&source);
    compiled(javac).then(|| {
        let mut java = Command::new("java");
        java.args(["-cp", &classes, "Main"]);
        java
    })
}

/// Names of the headers that tell an app who the user is.
const IDENTITY: [&str; 4] = ["remote-user", "remote-name", "remote-email", "remote-groups"];

/// The documented nginx in front of an app.
struct Njs {
    port: u16,
    _process: servers::Process,
    _dir: tempfile::TempDir,
}

impl Njs {
    fn start(gateway: &Gateway, app: &Recorder) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("assertion.js"), documented("js", "-")).unwrap();
        let shown = dir.path().display();
        let keys = format!(
            "proxy_set_header Host localhost; proxy_pass http://{}/_auth/jwks.json",
            gateway.http
        );
        let start = |_attempt| {
            let port = ports::free_port();
            let site = fronts::documented("assertion.md", "nginx");
            let site = fronts::replaced(
                site,
                &[
                    ("/etc/nginx/njs", &shown.to_string()),
                    ("/var/cache/nginx/vestibule", &format!("{shown}/cache")),
                    ("listen 80", &format!("listen 127.0.0.1:{port}")),
                    ("proxy_pass http://127.0.0.1:3000", &format!("proxy_pass {}", app.url())),
                    ("proxy_pass https://wiki.example.com/_auth/jwks.json", &keys),
                    (
                        "/etc/ssl/certs/ca-certificates.crt",
                        &gateway.certificates.cert.display().to_string(),
                    ),
                ],
            );
            let module = "load_module /usr/lib/nginx/modules/ngx_http_js_module.so;";
            fronts::nginx(dir.path(), module, &site).map(|process| (process, port))
        };
        let started = (0..servers::STARTS).find_map(start);
        let (process, port) = started.expect("nginx starts with the documented configuration");
        Self { port, _process: process, _dir: dir }
    }

    /// Sends a form with an assertion and forged identity headers; returns the status.
    async fn post(&self, token: &str) -> u16 {
        let mut wire = Wire::new(TcpStream::connect(("127.0.0.1", self.port)).await.unwrap());
        let forged: String = IDENTITY.map(|name| format!("{name}: forged\r\n")).concat();
        let head = format!(
            "POST /app HTTP/1.1\r\nHost: njs\r\nVestibule-Assertion: {token}\r\n{forged}\
             Remote_User: forged\r\nContent-Length: 4\r\nConnection: close\r\n\r\na=bc"
        );
        wire.send(head.as_bytes()).await.unwrap();
        within(PATIENCE, "njs", wire.answer("POST")).await.unwrap().status
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documented_nginx_hands_on_the_identity_of_a_good_assertion_and_nothing_else() {
    let (app, behind) = (Recorder::start().await, Recorder::start().await);
    let gateway = Gateway::start(&plan(&app, "assertion = true")).await;
    let (mut browser, _person) = visitor::signed_in(&gateway, "alice").await;
    let sent = seen_at(&app, &mut browser, "/app", "").await.head;
    let good = sent.get(NAME).unwrap().to_owned();
    let material = vestibule::config::keys::load(&gateway.dir().join("data/keys.toml")).unwrap();
    let ring = KeyRing::new(&material).unwrap();
    let njs = Njs::start(&gateway, &behind);

    for (what, token) in bad_tokens(&good, &ring) {
        assert_eq!(njs.post(&token).await, 403, "one {what}");
    }
    assert_eq!(behind.requests(behind.mark_of_all()).len(), 0, "no good assertion, no request");

    let mark = behind.mark();
    assert_eq!(njs.post(&good).await, 200);
    let got = behind.wait_for(mark, |seen| seen.head.path() == "/app").await;
    assert_eq!(got.head.get("remote-user"), Some("alice"));
    for name in IDENTITY {
        assert_eq!(got.head.all(name), sent.all(name), "{name}");
    }
    let mut nameless = part(&good, 1);
    nameless.as_object_mut().unwrap().remove("email");
    let nameless = ring.assertion_signer().sign(SigningAlgorithm::Es256, &nameless.to_string());
    let mark = behind.mark();
    assert_eq!(njs.post(&nameless.unwrap()).await, 200);
    let got = behind.wait_for(mark, |seen| seen.head.path() == "/app").await;
    assert_eq!(got.head.all("remote-email"), [""; 0]);
    assert!(!behind.heard(behind.mark_of_all(), "forged"));
}

/// Assertions that a verifier must refuse. Each has exactly one fault.
fn bad_tokens(good: &str, ring: &KeyRing) -> Vec<(&'static str, String)> {
    let signer = ring.assertion_signer();
    let signed =
        |claims: &Value| signer.sign(SigningAlgorithm::Es256, &claims.to_string()).unwrap();
    let said = part(good, 1);
    let with = |name: &str, value: Value| {
        let mut claims = said.clone();
        claims[name] = value;
        claims
    };
    let encode = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let (signed_part, signature) = good.rsplit_once('.').unwrap();
    let (head, claims) = signed_part.split_once('.').unwrap();
    let issued = said["iat"].as_u64().unwrap();
    let mut changed = BASE64URL_NOPAD.decode(signature.as_bytes()).unwrap();
    changed[10] ^= 1;
    let changed = BASE64URL_NOPAD.encode(&changed);
    let renamed = encode(&with("sub", json!("somebody else")));
    let mut unsigned = part(good, 0);
    unsigned["alg"] = json!("none");
    let mut symmetric = part(good, 0);
    symmetric["alg"] = json!("HS256");
    // A verifier that takes the public key for a secret would accept this.
    let set: Value = serde_json::from_str(&ring.key_set()).unwrap();
    let secret = BASE64URL_NOPAD.decode(set["keys"][0]["x"].as_str().unwrap().as_bytes()).unwrap();
    let by_secret = format!("{}.{claims}", encode(&symmetric));
    let secret = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &secret);
    let mac = BASE64URL_NOPAD.encode(ring::hmac::sign(&secret, by_secret.as_bytes()).as_ref());
    let other_algorithm = signer.sign(SigningAlgorithm::EdDsa, &said.to_string());
    vec![
        ("for another app", signed(&with("aud", json!("files")))),
        ("of another issuer", signed(&with("iss", json!("https://elsewhere.test")))),
        (
            "expired",
            signed(&json!({ "iss": said["iss"], "aud": said["aud"], "sub": said["sub"],
            "iat": issued - 70, "exp": issued - 10 })),
        ),
        ("with a changed signature", format!("{signed_part}.{changed}")),
        ("with changed claims", format!("{head}.{renamed}.{signature}")),
        ("without a signature", format!("{signed_part}.")),
        ("with alg none", format!("{}.{claims}.", encode(&unsigned))),
        ("with alg HS256", format!("{by_secret}.{mac}")),
        ("with another algorithm", other_algorithm.unwrap()),
        ("empty", String::new()),
        ("not a token", "a.b.c".to_owned()),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documented_verifiers_accept_a_good_assertion_and_nothing_else() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&plan(&app, "assertion = true")).await;
    let (mut browser, _person) = visitor::signed_in(&gateway, "alice").await;
    let material = vestibule::config::keys::load(&gateway.dir().join("data/keys.toml")).unwrap();
    let ring = KeyRing::new(&material).unwrap();
    let keys = format!("http://localhost:{}/_auth/jwks.json", gateway.http.port());
    let dir = gateway.dir();
    let script = |program, (name, value), language, more: &str| {
        let file = dir.join(format!("verify.{language}"));
        std::fs::write(&file, documented(language, &keys) + "\n" + more).unwrap();
        let mut script = Command::new(program);
        script.env(name, value).arg(file);
        script
    };
    let mut all = vec![
        ("Python", script("/usr/bin/python3", ("PYTHONDONTWRITEBYTECODE", "1"), "python", PYTHON)),
        ("Node.js", script("node", ("NODE_PATH", "/usr/share/nodejs"), "javascript", NODE)),
    ];
    all.extend(in_java(dir, &keys).map(|java| ("Java", java)));
    all.extend(in_go(dir, &keys).map(|go| ("Go", go)));
    for (language, program) in all {
        let good = assertion(&app, &mut browser).await;
        let bad = bad_tokens(&good, &ring);
        let bad_ones = bad.iter().map(|(_, token)| token.clone());
        let tokens: Vec<String> = [good.clone()].into_iter().chain(bad_ones).collect();
        let subject = part(&good, 1)["sub"].as_str().unwrap().to_owned();
        let running = tokio::task::spawn_blocking(move || verdicts(program, &tokens));
        let verdicts = within(PATIENCE, language, running).await.unwrap();
        assert_eq!(verdicts.first(), Some(&subject), "{language}: {verdicts:?}");
        for ((what, _), verdict) in bad.iter().zip(&verdicts[1..]) {
            assert_eq!(verdict, "refused", "{language} accepts one {what}");
        }
        assert_eq!(verdicts.len(), bad.len() + 1, "{language}");
    }
}
