//! Audit events as JSON lines, written to a file or to standard output for log collectors. The
//! audit log in SQL is authoritative. A dedicated thread writes the lines, so no request waits for
//! a disk or a pipe.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use crate::auth::audit::{Context, Event, Observer, Record};
use crate::base::owner::open_or_create;

/// Maximum queued lines. Lines beyond this are dropped and counted.
const QUEUE: usize = 4096;
/// Maximum number of log lines combined into one write.
const BATCH: usize = 256;

/// The destination of the lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinesTarget {
    /// Standard output.
    Stdout,
    /// A file, created with mode 0600 and opened in append mode. It is reopened for every batch, so
    /// log rotation can move it at any time.
    File(PathBuf),
}

enum Message {
    Line(String),
    Flush(SyncSender<()>),
}

/// Writes audit events as JSON lines in the background.
pub struct JsonLines {
    sender: SyncSender<Message>,
}

impl fmt::Debug for JsonLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JsonLines")
    }
}

impl JsonLines {
    /// Starts the writer thread. Returns an error if the file cannot be opened.
    pub fn start(target: LinesTarget) -> io::Result<Self> {
        if let LinesTarget::File(path) = &target {
            open(path)?;
        }
        let (sender, receiver) = sync_channel(QUEUE);
        std::thread::Builder::new()
            .name("audit-lines".to_owned())
            .spawn(move || run(&receiver, &target))?;
        Ok(Self { sender })
    }

    /// Waits until all queued lines are written, for at most `patience`.
    pub fn flush(&self, patience: Duration) {
        let (done, written) = sync_channel(1);
        let queued = self.sender.try_send(Message::Flush(done)).is_ok();
        if !queued || written.recv_timeout(patience).is_err() {
            tracing::warn!("audit.file: some lines were not written in time");
        }
    }
}

impl Observer for JsonLines {
    fn happened(&self, _event: &Event, _context: &Context, record: &Record) {
        let mut line = record.json().to_string();
        line.push('\n');
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) =
            self.sender.try_send(Message::Line(line))
        {
            lost(1, "queue full");
        }
    }
}

fn lost(lines: usize, why: &str) {
    let count = u64::try_from(lines).unwrap_or(u64::MAX);
    metrics::counter!("vestibule_audit_lines_lost_total").increment(count);
    tracing::error!(lines, why, "audit.file: failed to write, lines dropped");
}

fn open(path: &Path) -> io::Result<std::fs::File> {
    // Commands of root and the gateway write to the same file.
    open_or_create(OpenOptions::new().append(true), path)
}

fn run(receiver: &Receiver<Message>, target: &LinesTarget) {
    while let Ok(first) = receiver.recv() {
        let mut batch = Vec::new();
        let mut flushed = Vec::new();
        for message in std::iter::once(first).chain(receiver.try_iter().take(BATCH)) {
            match message {
                Message::Line(line) => batch.push(line),
                Message::Flush(done) => flushed.push(done),
            }
        }
        if let Err(error) = write(&batch, target) {
            lost(batch.len(), &error.to_string());
        }
        for done in flushed {
            if done.send(()).is_err() {
                tracing::debug!("flush no longer awaited");
            }
        }
    }
}

fn write(batch: &[String], target: &LinesTarget) -> io::Result<()> {
    if batch.is_empty() {
        return Ok(());
    }
    let text = batch.concat();
    match target {
        LinesTarget::Stdout => {
            let mut out = io::stdout().lock();
            out.write_all(text.as_bytes())?;
            out.flush()
        }
        LinesTarget::File(path) => open(path)?.write_all(text.as_bytes()),
    }
}
