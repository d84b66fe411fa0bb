//! What a running program writes, line by line.

use std::io::{BufRead, BufReader, Read};
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
    /// Follows a pipe until the program closes it.
    pub(crate) fn follow(pipe: impl Read + Send + 'static) -> Self {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (sender, changed) = watch::channel(0);
        let shared = Arc::clone(&lines);
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                let mut all = shared.lock();
                all.push(line);
                sender.send_replace(all.len());
            }
        });
        Self { lines, changed }
    }

    /// The lines read so far. The program may have written more: for messages of failed tests, and
    /// for lines before one that was waited for.
    pub(crate) fn so_far(&self) -> String {
        self.lines.lock().join("\n")
    }

    /// Like [`Self::so_far`].
    pub(crate) fn text(&self) -> String {
        self.so_far()
    }

    /// All lines of a program that has ended.
    pub(crate) fn whole(&self) -> String {
        assert!(self.changed.has_changed().is_err(), "the program still writes");
        self.so_far()
    }

    /// Waits for a line with these words.
    pub(crate) async fn wait_for_words(&self, words: &str) {
        self.wait_for(words, |line| line.text().contains(words).then_some(())).await;
    }

    /// Waits for a line that `found` makes something of.
    pub(crate) async fn wait_for<T>(&self, what: &str, found: impl Fn(&Line) -> Option<T>) -> T {
        let found = self.find(what, found).await;
        found.unwrap_or_else(|| panic!("ended before {what}; it said:\n{}", self.so_far()))
    }

    /// The same; nothing when the program closes the pipe before there is such a line.
    pub(crate) async fn find<T>(
        &self,
        what: &str,
        found: impl Fn(&Line) -> Option<T>,
    ) -> Option<T> {
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
                    return Some(value);
                }
                let over = changed.changed().await.is_err();
                let read_all = self.lines.lock().len() == read;
                if over && read_all {
                    return None;
                }
            }
        };
        let found = tokio::time::timeout(Duration::from_mins(1), search).await;
        found.unwrap_or_else(|_elapsed| panic!("no {what} in the log; it said:\n{}", self.so_far()))
    }

    /// Waits until the program has closed the pipe.
    pub(crate) async fn wait_for_the_end(&self) {
        let mut changed = self.changed.clone();
        let end = async { while changed.changed().await.is_ok() {} };
        within(Duration::from_mins(1), "the program to end", end).await;
    }
}

/// A line, with the fields it has if it is JSON.
#[derive(Debug)]
pub(crate) struct Line {
    text: String,
    fields: Value,
}

impl Line {
    fn parse(text: &str) -> Self {
        Self { text: text.to_owned(), fields: serde_json::from_str(text).unwrap_or_default() }
    }

    /// All of it.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// All of it, as JSON.
    pub(crate) fn json(&self) -> &Value {
        &self.fields
    }

    /// A field of the event, as text.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let fields = &self.fields;
        fields.get(name).or_else(|| fields.get("fields")?.get(name))?.as_str()
    }
}
