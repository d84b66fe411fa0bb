//! A mail server that takes mail, over TLS from who knows its password or without either, and shows
//! what it took.

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use tempfile::TempDir;

use super::certs::Certificates;
use super::log::Log;

/// The server; it is killed when this goes.
#[derive(Debug)]
pub(crate) struct MailServer {
    /// Where it listens.
    pub(crate) port: u16,
    /// `mail.tls`.
    tls: &'static str,
    log: Log,
    child: Child,
    certificates: Certificates,
    _dir: TempDir,
}

impl Drop for MailServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A mail that was taken.
#[derive(Clone, Debug)]
pub(crate) struct Mail {
    /// The one it is for.
    pub(crate) to: String,
    /// Its subject.
    pub(crate) subject: String,
    /// All of it, with soft line breaks taken out.
    pub(crate) text: String,
}

impl MailServer {
    /// Starts it; the first `refusals` mails are put off.
    pub(crate) async fn start(refusals: u32) -> Self {
        Self::speaking("starttls", refusals).await
    }

    /// Starts one that is spoken to as `mail.tls` says.
    pub(crate) async fn speaking(tls: &'static str, refusals: u32) -> Self {
        Self::with(tls, refusals, &[]).await
    }

    /// Starts one that puts off the first `refusals` mails and takes each further one only after
    /// [`Self::let_go`].
    pub(crate) async fn holding(refusals: u32) -> Self {
        Self::with("starttls", refusals, &["hold"]).await
    }

    async fn with(tls: &'static str, refusals: u32, more: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let certificates = Certificates::make(dir.path(), &["localhost"]);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/support/smtp.py");
        // Debian's own Python: that is where its packages are.
        let mut child = Command::new("/usr/bin/python3")
            .arg(script)
            .args([&certificates.cert, &certificates.key])
            .args([&refusals.to_string(), tls])
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Log::follow(child.stdout.take().unwrap());
        let port = log.wait_for("port of the mail server", |line| {
            line.json().get("port")?.as_u64()?.try_into().ok()
        });
        let port = port.await;
        Self { port, tls, log, child, certificates, _dir: dir }
    }

    /// Waits until it holds a mail.
    pub(crate) async fn wait_for_held(&self) {
        self.log.wait_for("held mail", |line| line.json().get("held").map(|_to| ())).await;
    }

    /// Has it take a mail that it holds.
    pub(crate) fn let_go(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }

    /// Ends it.
    pub(crate) fn kill(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// The configuration of a gateway that sends through it, with this password.
    pub(crate) fn config(&self, password: &str) -> String {
        let known = format!(
            "ca = \"{}\"\nuser = \"gate\"\npassword = \"{password}\"\n",
            self.certificates.authority.display()
        );
        format!(
            "[mail]\nhost = \"localhost\"\nport = {}\ntls = \"{}\"\n{}\
             from = \"The gate <gate@example.com>\"\n",
            self.port,
            self.tls,
            if self.tls == "none" { "" } else { &known },
        )
    }

    /// Waits for the mail with this subject.
    pub(crate) async fn wait_for(&self, subject: &str) -> Mail {
        let wanted = |mail: &Mail| mail.subject.ends_with(subject);
        self.log.wait_for(subject, |line| self.mail(line.json()).filter(wanted)).await
    }

    /// Waits for the mail of this number, from 1, among those with this subject.
    pub(crate) async fn wait_for_number(&self, subject: &str, number: usize) -> Mail {
        let seen = AtomicUsize::new(0);
        let wanted = |mail: &Mail| {
            mail.subject.ends_with(subject) && seen.fetch_add(1, Ordering::Relaxed) + 1 == number
        };
        self.log.wait_for(subject, |line| self.mail(line.json()).filter(wanted)).await
    }

    /// The subjects of all mails so far.
    pub(crate) fn subjects(&self) -> Vec<String> {
        let text = self.log.so_far();
        let lines = text.lines().filter_map(|line| serde_json::from_str(line).ok());
        lines.filter_map(|line| self.mail(&line)).map(|mail| mail.subject).collect()
    }

    fn mail(&self, line: &serde_json::Value) -> Option<Mail> {
        let data = line.get("data")?.as_str()?;
        let known = if self.tls == "none" { json!([false, null]) } else { json!([true, "gate"]) };
        assert_eq!(json!([line["tls"], line["user"]]), known, "{line}");
        assert_eq!(line["from"], "gate@example.com");
        let subject = data.lines().find_map(|l| l.strip_prefix("Subject: "))?.to_owned();
        let text = data.replace("=\r\n", "");
        Some(Mail { to: line["to"][0].as_str()?.to_owned(), subject, text })
    }
}
