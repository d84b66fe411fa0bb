//! What a running program writes to its standard error, line by line.

use std::io::{BufRead, BufReader};
use std::process::ChildStderr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::watch;

use super::within;

/// The lines so far; more come in by themselves.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    lines: Arc<Mutex<Vec<String>>>,
    changed: watch::Receiver<usize>,
}

impl Log {
    /// Follows `stderr` until the program closes it.
    pub(crate) fn follow(stderr: ChildStderr) -> Self {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (sender, changed) = watch::channel(0);
        let shared = Arc::clone(&lines);
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut all = shared.lock();
                all.push(line);
                sender.send_replace(all.len());
            }
        });
        Self { lines, changed }
    }

    /// All of it.
    pub(crate) fn text(&self) -> String {
        self.lines.lock().join("\n")
    }

    /// Waits for a line that `found` makes something of.
    pub(crate) async fn wait_for<T>(&self, what: &str, found: impl Fn(&Line) -> Option<T>) -> T {
        let mut changed = self.changed.clone();
        let search = async {
            let mut read = 0;
            loop {
                let fresh: Vec<Line> = {
                    let lines = self.lines.lock();
                    lines.iter().skip(read).map(|l| Line::parse(l)).collect()
                };
                read += fresh.len();
                if let Some(value) = fresh.iter().find_map(&found) {
                    return value;
                }
                if changed.changed().await.is_err() && self.lines.lock().len() == read {
                    panic!("the program ended before {what}; it said:\n{}", self.text());
                }
            }
        };
        match tokio::time::timeout(Duration::from_secs(60), search).await {
            Ok(value) => value,
            Err(_elapsed) => panic!("no {what} in the log; it said:\n{}", self.text()),
        }
    }

    /// Waits until the program has closed its standard error.
    pub(crate) async fn wait_for_the_end(&self) {
        let mut changed = self.changed.clone();
        let end = async { while changed.changed().await.is_ok() {} };
        within(Duration::from_secs(60), "the program to end", end).await;
    }
}

/// A line of a JSON log.
#[derive(Debug)]
pub(crate) struct Line(Value);

impl Line {
    fn parse(text: &str) -> Self {
        Self(serde_json::from_str(text).unwrap_or_default())
    }

    /// A field of the event, as text.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).or_else(|| self.0.get("fields")?.get(name))?.as_str()
    }
}
