//! The entries of `tests/corpus/attacks.jsonl`.

use serde::Deserialize;

use crate::support::gateway::HOST;

/// One attack.
#[derive(Debug, Deserialize)]
pub(super) struct Attack {
    pub(super) id: String,
    pub(super) name: String,
    /// `h1`: raw bytes; `h2`: fields; `script`: told in words.
    pub(super) proto: String,
    /// What must hold; see [`super::judge`].
    pub(super) asserts: Vec<String>,
    /// The bytes, when `raw_b64` is empty.
    #[serde(default)]
    raw: String,
    #[serde(default)]
    raw_b64: String,
    #[serde(default)]
    h2_headers: Vec<(String, String)>,
    #[serde(default)]
    pub(super) body: Option<String>,
    #[serde(default)]
    pub(super) trailers: Vec<(String, String)>,
    #[serde(default)]
    pub(super) flood: Option<String>,
    #[serde(default)]
    pub(super) script: Option<String>,
}

/// What the placeholders stand for.
#[derive(Debug)]
pub(super) struct Placeholders {
    pub(super) session: String,
    pub(super) pending: String,
}

impl Placeholders {
    fn table(&self) -> [(&'static str, String); 5] {
        let session = &self.session;
        [
            ("{{SESSION}}", format!("__Host-vestibule={session}")),
            ("{{SESSION_VALUE}}", session.clone()),
            ("{{SESSION_QUOTED}}", format!("__Host-vestibule=\"{session}\"")),
            ("{{SESSION_NOPREFIX}}", format!("vestibule={session}")),
            ("{{PENDING}}", format!("__Host-vestibule-login={}", self.pending)),
        ]
    }

    fn fill(&self, bytes: &[u8]) -> Vec<u8> {
        let mut now = bytes.to_vec();
        for (name, value) in self.table() {
            while let Some(at) = now.windows(name.len()).position(|w| w == name.as_bytes()) {
                now.splice(at..at + name.len(), value.bytes());
            }
        }
        assert!(!now.windows(2).any(|w| w == b"{{"), "a placeholder nobody knows");
        now
    }
}

impl Attack {
    /// The bytes to send, placeholders filled in.
    pub(super) fn bytes(&self, placeholders: &Placeholders) -> Vec<u8> {
        let raw = if self.raw_b64.is_empty() {
            self.raw.clone().into_bytes()
        } else {
            data_encoding::BASE64.decode(self.raw_b64.as_bytes()).unwrap()
        };
        placeholders.fill(&raw)
    }

    /// The HTTP/2 fields, placeholders filled in.
    pub(super) fn fields(&self, placeholders: &Placeholders) -> Vec<(String, String)> {
        let fill = |v: &String| String::from_utf8(placeholders.fill(v.as_bytes())).unwrap();
        self.h2_headers.iter().map(|(n, v)| (n.clone(), fill(v))).collect()
    }

    /// True if it is a single request that names `host`.
    pub(super) fn is_shot_at(&self, host: &str) -> bool {
        let of_h2 = self.h2_headers.iter().any(|(_, value)| value.contains(host));
        self.flood.is_none()
            && self.proto != "script"
            && !self.asserts.iter().any(|a| a == "closed_after_logout")
            && (of_h2 || self.raw_b64.is_empty() && self.raw.contains(host))
    }

    /// Whether it is judged by the connection being closed.
    pub(super) fn must_close(&self) -> bool {
        self.asserts.iter().any(|a| a == "closed")
    }

    /// True if the status of an answer decides.
    pub(super) fn must_answer(&self) -> bool {
        let kinds = ["status_in", "h2_error_or_status", "refused_or_upstream_has"];
        self.asserts.iter().any(|a| kinds.contains(&a.split(':').next().unwrap_or_default()))
    }

    /// The method, as far as there is one.
    pub(super) fn method(bytes: &[u8]) -> String {
        let word: Vec<u8> = bytes.iter().copied().take_while(u8::is_ascii_alphabetic).collect();
        String::from_utf8(word).unwrap_or_default()
    }
}

/// All of them.
pub(super) fn read() -> Vec<Attack> {
    read_at(HOST)
}

/// All of them, sent to another host.
pub(super) fn read_at(host: &str) -> Vec<Attack> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/attacks.jsonl");
    let text = std::fs::read_to_string(path).unwrap().replace(HOST, host);
    let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
    text.lines().filter(|l| !l.trim().is_empty()).map(parse).collect()
}
