//! The queue, and the way to the mail server.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lettre::message::Mailbox;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::letter::{self, Sender};
use super::occasion::{self, Occasion, Told};
use super::when;
use crate::auth::audit::{Context, Event, Observer, Record};
use crate::auth::ports::Audit;
use crate::base::id::AccountId;
use crate::base::secret::Secret;

/// Notices that may wait to be sent; what comes beyond is lost, logged and counted.
const QUEUE: usize = 1000;
/// For one conversation with the mail server.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long to wait after the first, second, … failure; then the notice is given up.
const BACKOFF: [Duration; 6] = [
    Duration::from_secs(2),
    Duration::from_secs(15),
    Duration::from_mins(1),
    Duration::from_mins(5),
    Duration::from_mins(30),
    Duration::from_hours(2),
];

/// How the mail server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailTls {
    /// Plain at first, then TLS, or nothing is sent.
    StartTls,
    /// TLS from the first byte.
    Tls,
    /// No TLS.
    None,
}

/// Where mail goes and whom it is from.
#[derive(Clone, Debug)]
pub struct MailSettings {
    /// The mail server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How it is spoken to.
    pub tls: MailTls,
    /// The CA that signed its certificate, in place of those that browsers trust (PEM file).
    pub ca: Option<PathBuf>,
    /// Name and password, where it asks for them.
    pub login: Option<(String, Secret)>,
    /// Whom notices are from: an address, with or without a name.
    pub from: String,
    /// What people know the service by.
    pub service: String,
    /// Where they find it: a host name.
    pub site: String,
    /// IANA name of the time zone in which notices tell the time.
    pub time_zone: String,
}

impl MailSettings {
    /// Whether `text` can be the sender of a mail.
    pub fn is_sender(text: &str) -> bool {
        text.parse::<Mailbox>().is_ok()
    }

    /// Returns true if there is a time zone of this name.
    pub fn is_time_zone(name: &str) -> bool {
        when::time_zone(name).is_some()
    }
}

enum Job {
    Tell(Box<Tell>),
    Close(oneshot::Sender<usize>),
}

/// What somebody may have to be told.
struct Tell {
    occasion: Occasion,
    if_many: bool,
    account: AccountId,
    to: String,
    record: Record,
}

/// A notice that could not be sent yet.
struct Waiting {
    message: Message,
    account: AccountId,
    failures: usize,
    due: Instant,
}

/// The queue.
pub struct Notices {
    sender: mpsc::Sender<Job>,
}

impl fmt::Debug for Notices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Notices")
    }
}

impl Notices {
    /// Starts the queue on this runtime. An error says what is wrong with the settings.
    pub fn start(settings: &MailSettings, trail: Arc<dyn Audit>) -> Result<Self, String> {
        let from =
            settings.from.parse().map_err(|e| format!("mail.from is not an address: {e}"))?;
        let zone = when::time_zone(&settings.time_zone)
            .ok_or_else(|| format!("mail.time_zone is not known: {}", settings.time_zone))?;
        let (service, host) = (settings.service.clone(), settings.site.clone());
        let sender = Sender { from, service, host, zone };
        let post = Post { transport: transport(settings)?, sender, trail, waiting: Vec::new() };
        let (sender, jobs) = mpsc::channel(QUEUE);
        tokio::spawn(post.run(jobs));
        Ok(Self { sender })
    }

    /// Tries to send what waits, and stops. How many notices were not sent.
    pub async fn close(&self, patience: Duration) -> usize {
        let (done, left) = oneshot::channel();
        let closing = async {
            self.sender.send(Job::Close(done)).await.ok()?;
            left.await.ok()
        };
        let unsent = tokio::time::timeout(patience, closing).await;
        unsent.ok().flatten().unwrap_or_else(|| QUEUE.saturating_sub(self.sender.capacity()).max(1))
    }
}

impl Observer for Notices {
    fn happened(&self, event: &Event, context: &Context, record: &Record) {
        let (occasion, if_many) = match occasion::told(event) {
            Told::Yes(occasion) => (occasion, false),
            Told::IfMany => (Occasion::WrongCodes, true),
            Told::No => return,
        };
        let (Some(account), Some(to)) = (context.account, context.email.clone()) else { return };
        let tell = Box::new(Tell { occasion, if_many, account, to, record: record.clone() });
        if self.sender.try_send(Job::Tell(tell)).is_err() {
            count("lost");
            tracing::error!(%account, ?occasion, "a notice was lost: too many wait to be sent");
        }
    }
}

fn count(result: &'static str) {
    metrics::counter!("vestibule_notices_total", "result" => result).increment(1);
}

fn transport(settings: &MailSettings) -> Result<AsyncSmtpTransport<Tokio1Executor>, String> {
    let wrong = |e: lettre::transport::smtp::Error| format!("mail.ca cannot be used: {e}");
    let mut tls = TlsParameters::builder(settings.host.clone());
    if let Some(file) = &settings.ca {
        let pem = std::fs::read(file)
            .map_err(|e| format!("mail.ca cannot be read: {}: {e}", file.display()))?;
        tls = tls
            .certificate_store(CertificateStore::None)
            .add_root_certificate(Certificate::from_pem(&pem).map_err(wrong)?);
    }
    let tls = match settings.tls {
        MailTls::StartTls => Tls::Required(tls.build().map_err(wrong)?),
        MailTls::Tls => Tls::Wrapper(tls.build().map_err(wrong)?),
        MailTls::None => Tls::None,
    };
    let builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&settings.host)
        .port(settings.port)
        .tls(tls)
        .timeout(Some(PATIENCE));
    Ok(match &settings.login {
        Some((name, password)) => builder
            .credentials(Credentials::new(name.clone(), password.reveal().to_owned()))
            .build(),
        None => builder.build(),
    })
}

/// What the queue works with.
struct Post {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    sender: Sender,
    trail: Arc<dyn Audit>,
    waiting: Vec<Waiting>,
}

impl Post {
    async fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        loop {
            let due = self.waiting.iter().map(|w| w.due).min();
            let retry = tokio::time::sleep_until(due.unwrap_or_else(Instant::now));
            tokio::select! {
                biased;
                () = retry, if due.is_some() => self.try_again(Instant::now()).await,
                // With too many failed ones at hand, new ones wait in the channel.
                job = jobs.recv(), if self.waiting.len() < QUEUE => match job {
                    Some(Job::Tell(tell)) => self.tell(*tell).await,
                    Some(Job::Close(done)) => {
                        self.last_try().await;
                        if done.send(self.waiting.len()).is_err() {
                            tracing::debug!("nobody waits for the notices any more");
                        }
                        return;
                    }
                    None => return,
                },
            }
        }
    }

    async fn tell(&mut self, tell: Tell) {
        let Tell { occasion, if_many, account, to, record } = tell;
        // Where the trail cannot be asked, it is better told twice than not at all.
        if if_many && !occasion::makes_many(&*self.trail, account, &record).await.unwrap_or(true) {
            return;
        }
        match letter::message(&self.sender, occasion, &record, &to) {
            Ok(message) => {
                let due = Instant::now();
                self.send(Waiting { message, account, failures: 0, due }).await;
            }
            Err(why) => {
                count("failed");
                tracing::error!(%account, ?occasion, why, "a notice could not be written");
            }
        }
    }

    /// Sends, or keeps for later what may still be sent.
    async fn send(&mut self, mut notice: Waiting) {
        let account = notice.account;
        let Err(error) = self.transport.send(notice.message.clone()).await else {
            count("sent");
            tracing::info!(%account, "a notice was sent");
            return;
        };
        let pause = BACKOFF.get(notice.failures).copied().filter(|_| !error.is_permanent());
        notice.failures += 1;
        let failures = notice.failures;
        if let Some(pause) = pause {
            count("put_off");
            tracing::warn!(%account, %error, failures, ?pause, "a notice could not be sent yet");
            notice.due = Instant::now() + pause;
            self.waiting.push(notice);
        } else {
            count("failed");
            tracing::error!(%account, %error, failures, "a notice could not be sent");
        }
    }

    async fn try_again(&mut self, now: Instant) {
        let (due, later) =
            std::mem::take(&mut self.waiting).into_iter().partition(|w: &Waiting| w.due <= now);
        self.waiting = later;
        for notice in due {
            self.send(notice).await;
        }
    }

    async fn last_try(&mut self) {
        for notice in std::mem::take(&mut self.waiting) {
            self.send(notice).await;
        }
        for notice in &self.waiting {
            count("lost");
            let account = notice.account;
            tracing::error!(%account, "a notice was not sent before the end");
        }
    }
}
