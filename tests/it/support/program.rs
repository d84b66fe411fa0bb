//! The built `vestibule` and a directory with what a configuration refers to.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use tempfile::TempDir;

/// What a run of the program left behind.
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// The program, without any configuration of the machine the test runs on.
pub(crate) fn vestibule(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vestibule"));
    command.args(arguments).env_remove("VESTIBULE_CONFIG");
    command
}

/// Time limit of a program that ends by itself.
const LONGEST: Duration = Duration::from_mins(3);

/// The output of a program that should end by itself. One that does not is killed, and fails the test.
pub(crate) fn output_of(child: Child) -> Output {
    let pid = child.id();
    let (ended, end) = mpsc::channel();
    std::thread::spawn(move || ended.send(child.wait_with_output()));
    match end.recv_timeout(LONGEST) {
        Ok(output) => output.unwrap(),
        Err(_still_running) => {
            drop(Command::new("kill").args(["-KILL", &pid.to_string()]).status());
            let said = end.recv().unwrap().unwrap();
            let (out, err) =
                (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
            panic!("process {pid} did not end within {LONGEST:?}; it said:\n{out}\n{err}");
        }
    }
}

/// Runs a program to its end.
pub(crate) fn run_to_end(command: &mut Command) -> Output {
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    output_of(command.spawn().unwrap())
}

/// Runs it.
pub(crate) fn run(arguments: &[&str]) -> Run {
    run_to_end(&mut vestibule(arguments)).into()
}

/// Runs it with text on standard input.
pub(crate) fn run_with_input(arguments: &[&str], input: &str) -> Run {
    let mut child = vestibule(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The program may end before it reads, which its exit code and output will tell.
    drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
    output_of(child).into()
}

/// A directory with certificates in `certs/`: `cellengine`, `client`, `internal-ca`, `other`.
pub(crate) struct Site {
    dir: TempDir,
}

impl Site {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let certs = dir.path().join("certs");
        fs::create_dir(&certs).unwrap();
        for (name, host) in [
            ("cellengine", "cellengine.example.com"),
            ("client", "client.example.com"),
            ("internal-ca", "ca.example.com"),
            ("other", "other.example.com"),
        ] {
            let made = rcgen::generate_simple_self_signed([host.to_owned()]).unwrap();
            fs::write(certs.join(format!("{name}.pem")), made.cert.pem()).unwrap();
            fs::write(certs.join(format!("{name}.key")), made.signing_key.serialize_pem()).unwrap();
        }
        Self { dir }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Writes a file into the directory.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// What `vestibule check` says of this configuration.
    pub(crate) fn check(&self, text: &str) -> Run {
        let path = self.write("vestibule.toml", text);
        run(&["check", "--config", path.to_str().unwrap()])
    }
}
