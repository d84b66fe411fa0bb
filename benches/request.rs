//! What a whole request costs: through the built program on loopback, with embedded stores and a
//! live session, against the same request straight to the app behind. The ratio is printed last.

mod support;

use std::convert::Infallible;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use criterion::Criterion;
use http::{Response, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::Value;
use support::Failure;
use support::client::Client;
use support::sign_in::sign_in;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::time::Instant;

const HOST: &str = "localhost";
const PASSWORD: &str = "seven-owls-paint-the-fence";
/// Bytes in the app's answer.
const ANSWER: usize = 1024;

fn main() -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let backend = runtime.block_on(backend())?;
    let directory = tempfile::tempdir()?;
    let gateway = Gateway::start(directory.path(), backend)?;
    gateway.add_user("alice")?;
    let cookies = runtime.block_on(sign_in(gateway.address, HOST, "alice", PASSWORD))?;

    let mut criterion = Criterion::default().configure_from_args();
    let direct = measure(&mut criterion, &runtime, "direct", backend, &cookies);
    let gated = measure(&mut criterion, &runtime, "through the gateway", gateway.address, &cookies);
    criterion.final_summary();
    if let (Some(direct), Some(gated)) = (direct, gated) {
        let ratio = gated.as_secs_f64() / direct.as_secs_f64();
        let line = format!("request: {gated:?} through the gateway, {direct:?} direct: {ratio:.2}");
        writeln!(std::io::stdout(), "{line}")?;
    }
    Ok(())
}

/// The mean over all requests; none when there was none to measure.
fn measure(
    criterion: &mut Criterion,
    runtime: &Runtime,
    name: &str,
    to: SocketAddr,
    cookies: &str,
) -> Option<Duration> {
    // Seconds and requests, over all samples.
    let total = Mutex::new((0.0, 0.0));
    let mut group = criterion.benchmark_group("request");
    group.bench_function(name, |b| {
        b.to_async(runtime).iter_custom(|count| {
            let total = &total;
            async move {
                match requests(to, cookies, count).await {
                    Ok(took) => {
                        let mut total = total.lock();
                        total.0 += took.as_secs_f64();
                        total.1 += f64::from(u32::try_from(count).unwrap_or(u32::MAX));
                        took
                    }
                    // Criterion takes no errors; a run that fails must not look like a fast one.
                    Err(failure) => end_of_the_bench(&failure),
                }
            }
        });
    });
    group.finish();
    let (seconds, requests) = total.into_inner();
    (requests > 0.0).then(|| Duration::from_secs_f64(seconds / requests))
}

#[expect(clippy::panic, reason = "a bench ends at its first failed request")]
fn end_of_the_bench(failure: &Failure) -> Duration {
    panic!("a request failed: {failure}")
}

/// How long `count` requests take, one after the other, over one connection that is open already.
async fn requests(to: SocketAddr, cookies: &str, count: u64) -> Result<Duration, Failure> {
    let mut client = Client::new(to, HOST)?;
    client.get("/", cookies).await?;
    let start = Instant::now();
    for _ in 0..count {
        let answer = client.get("/projects/42/cells?sort=name", cookies).await?;
        if answer.status != StatusCode::OK || answer.body.len() != ANSWER {
            return Err(format!("it was answered {}", answer.status).into());
        }
    }
    Ok(start.elapsed())
}

/// The app: the same answer to everything.
async fn backend() -> Result<SocketAddr, Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let body = Bytes::from(vec![b'x'; ANSWER]);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let body = body.clone();
            let answer = service_fn(move |_| {
                let answer = Response::new(Full::new(body.clone()));
                async move { Ok::<_, Infallible>(answer) }
            });
            // A connection that breaks off shows at the client.
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
        }
    });
    Ok(address)
}

/// The built program, running until this goes.
struct Gateway {
    child: Child,
    address: SocketAddr,
    config: std::path::PathBuf,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_vestibule"))
}

impl Gateway {
    fn start(directory: &Path, backend: SocketAddr) -> Result<Self, Failure> {
        let config = directory.join("vestibule.toml");
        let text = format!(
            "data_dir = \"data\"\n[log]\nformat = \"json\"\n\
             [[listeners]]\naddress = \"127.0.0.1:0\"\nkind = \"http\"\n\
             [[apps]]\nname = \"bench\"\ntitle = \"Bench\"\nhosts = [\"{HOST}\"]\n\
             upstreams = [\"http://{backend}\"]\n"
        );
        std::fs::write(&config, text)?;
        let mut child = program()
            .args(["serve", "--config"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let log = child.stderr.take().ok_or("no standard error")?;
        let mut gateway = Self { child, address: SocketAddr::from(([127, 0, 0, 1], 0)), config };
        gateway.address = follow(BufReader::new(log))?;
        Ok(gateway)
    }

    fn add_user(&self, name: &str) -> Result<(), Failure> {
        let mut child = program()
            .args(["user", "add", name, "--password-stdin", "--config"])
            .arg(&self.config)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()?;
        child.stdin.take().ok_or("no standard input")?.write_all(PASSWORD.as_bytes())?;
        if !child.wait()?.success() {
            return Err("the account was not added".into());
        }
        Ok(())
    }
}

/// Reads the log until the program is ready, and goes on reading it. The plain listener's address.
fn follow(mut log: BufReader<std::process::ChildStderr>) -> Result<SocketAddr, Failure> {
    let mut address = None;
    let mut line = String::new();
    while log.read_line(&mut line)? > 0 {
        let entry: Value = serde_json::from_str(&line).unwrap_or_default();
        let field = |name: &str| find(&entry, name).and_then(Value::as_str);
        match field("message") {
            Some("listening") => address = field("address").map(str::parse).transpose()?,
            Some("ready") => {
                std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
                return address.ok_or_else(|| "it said ready without an address".into());
            }
            Some(_) | None => {}
        }
        line.clear();
    }
    Err(format!("the gateway ended before it was ready: {line}").into())
}

/// A field of a log line, wherever the formatter put it.
fn find<'a>(entry: &'a Value, name: &str) -> Option<&'a Value> {
    entry.get(name).or_else(|| entry.get("fields")?.get(name))
}
