//! Ends a run in which a test hangs, and says which one and beside which processes.

use std::io::Write as _;
use std::process::Command;
use std::sync::Once;
use std::thread::{self, ThreadId};
use std::time::Duration;

use parking_lot::{Mutex, const_mutex};
use tokio::time::Instant;

/// Far more than the longest test takes on a busy machine.
const LONGEST: Duration = Duration::from_mins(20);
const PAUSE: Duration = Duration::from_secs(15);

struct Test {
    name: String,
    since: Instant,
    thread: ThreadId,
}

static RUNNING: Mutex<Vec<Test>> = const_mutex(Vec::new());

/// Watches the test of this thread until the thread ends. Each test runs on a thread of its name.
pub(crate) fn watch() {
    static ONCE: Once = Once::new();
    thread_local!(static WATCHED: Watched = Watched::begin());
    WATCHED.with(|_| ());
    ONCE.call_once(|| {
        thread::spawn(|| {
            loop {
                thread::park_timeout(PAUSE);
                let hanging = hanging();
                if !hanging.is_empty() {
                    report(&hanging);
                    std::process::abort();
                }
            }
        });
    });
}

/// A test is in the list as long as this is.
struct Watched;

impl Watched {
    fn begin() -> Self {
        let this = thread::current();
        if let Some(name) = this.name().filter(|name| name.contains("::")) {
            let (name, since, thread) = (name.to_owned(), Instant::now(), this.id());
            RUNNING.lock().push(Test { name, since, thread });
        }
        Self
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let thread = thread::current().id();
        RUNNING.lock().retain(|test| test.thread != thread);
    }
}

fn hanging() -> Vec<String> {
    let running = RUNNING.lock();
    let long = running.iter().filter(|test| test.since.elapsed() > LONGEST);
    long.map(|test| test.name.clone()).collect()
}

/// Past the capture of libtest, which shows nothing of a test that never ends.
fn report(hanging: &[String]) {
    let processes = Command::new("ps").args(["-eo", "pid,ppid,etimes,stat,wchan,args"]).output();
    let mut stderr = std::io::stderr();
    drop(writeln!(stderr, "\nThese tests run for over 12 minutes: {}", hanging.join(", ")));
    drop(stderr.write_all(&processes.map(|output| output.stdout).unwrap_or_default()));
}
