//! `vestibule demo` as a newcomer meets it: by a name, without a phone, and on a port that is taken.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::support::client::{PATIENCE, encode};
use super::support::html;
use super::support::log::Log;
use super::support::program::{run, run_to_end, vestibule};
use super::support::within;

/// A running demo.
struct Demo {
    child: Child,
    said: Log,
    url: String,
    password: String,
}

impl Drop for Demo {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Demo {
    async fn start(arguments: &[&str]) -> Self {
        let mut command = vestibule(&[&["demo"], arguments].concat());
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let said = Log::follow(child.stdout.take().unwrap());
        let value = async |name: &str| {
            said.wait_for(name, |line| {
                Some(line.text().trim().strip_prefix(name)?.trim().to_owned())
            })
            .await
        };
        let url = value("open").await;
        let password = value("password").await;
        Self { child, said, url, password }
    }

    /// The one-time code printed last, once there is one that is not `but`.
    async fn code(&self, but: &str) -> String {
        let found = |text: &str| {
            let mut lines = text.lines().filter_map(|line| line.trim().strip_prefix("code"));
            let last = lines.next_back()?.trim().split(' ').next()?.to_owned();
            (last != but).then_some(last)
        };
        let search = async {
            loop {
                if let Some(code) = found(&self.said.so_far()) {
                    return code;
                }
                tokio::task::yield_now().await;
            }
        };
        within(PATIENCE * 2, "a code", search).await
    }
}

/// curl with a cookie jar. Nobody signed the certificate of a demo.
fn curl(jar: &Path, url: &str, form: Option<&[(&str, &str)]>) -> (u16, String) {
    let mut command = Command::new("curl");
    command.args(["-sk", "-H", "Accept: text/html", "-w", "\n%{http_code}"]).arg("-b").arg(jar);
    command.arg("-c").arg(jar);
    if let Some(form) = form {
        let pairs: Vec<String> = form.iter().map(|(n, v)| format!("{n}={}", encode(v))).collect();
        let origin: String = url.split('/').take(3).collect::<Vec<_>>().join("/");
        command.arg("-H").arg(format!("Origin: {origin}")).arg("-d").arg(pairs.join("&"));
    }
    let output = run_to_end(command.arg(url));
    assert!(output.status.success(), "{url}: {}", output.status);
    let text = String::from_utf8(output.stdout).unwrap();
    let (body, status) = text.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), body.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newcomer_without_a_phone_gets_in_by_the_codes_that_the_demo_prints() {
    let dir = tempfile::tempdir().unwrap();
    let (data, jar) = (dir.path().join("data"), dir.path().join("jar"));
    let kept = ["--listen", "localhost:0", "--print-codes", "--dir", data.to_str().unwrap()];
    let demo = Demo::start(&kept).await;
    assert!(
        demo.url.starts_with("https://localhost:") && !demo.url.ends_with(":0"),
        "{}",
        demo.url
    );
    assert_eq!(demo.said.so_far().lines().filter(|l| l.trim().starts_with("code")).count(), 0);
    let at = |path: &str| format!("{}{path}", demo.url);
    let (_, page) = curl(&jar, &at("/_auth/login"), None);
    let csrf = html::field(&page, "csrf").unwrap();
    let form =
        [("username", "alice"), ("password", demo.password.as_str()), ("csrf", csrf.as_str())];
    assert_eq!(curl(&jar, &at("/_auth/login"), Some(&form)).0, 303);
    let (_, page) = curl(&jar, &at("/_auth/enroll"), None);
    let csrf = html::field(&page, "csrf").unwrap();
    let code = demo.code("").await;
    let form = [("code", code.as_str()), ("csrf", csrf.as_str())];
    let (status, said) = curl(&jar, &at("/_auth/enroll"), Some(&form));
    assert_eq!(status, 303, "{said}");
    assert!(curl(&jar, &at("/"), None).1.contains("Alice Example"));
    // The next code, of the authenticator that is set up now, follows by itself.
    assert_ne!(demo.code(&code).await, code);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_demo_on_a_port_that_is_taken_says_nothing_but_that() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("localhost:{}", taken.local_addr().unwrap().port());
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let data = data.to_str().unwrap();
    let refused = run(&["demo", "--listen", &address, "--dir", data]);
    assert_eq!((refused.code, refused.stdout.as_str()), (1, ""), "{}", refused.stderr);
    assert!(refused.stderr.contains("cannot listen on 127.0.0.1:"), "{}", refused.stderr);
    // The password is not lost to the first try.
    let demo = Demo::start(&["--listen", "127.0.0.1:0", "--dir", data]).await;
    assert!(!demo.password.contains(' '), "{}", demo.password);
    let nowhere = run(&["demo", "--listen", "no-such-host.invalid:8443"]);
    assert_eq!((nowhere.code, nowhere.stdout.as_str()), (1, ""));
    assert!(nowhere.stderr.contains("no-such-host.invalid:8443"), "{}", nowhere.stderr);
}
