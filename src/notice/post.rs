//! The queue of notices and delivery to the mail server.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use lettre::message::Mailbox;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::letter::{self, Sender};
use super::share::{Full, Place, Shares};
use super::{when, wrong_codes};
use crate::auth::audit::{Context, Event, Observer, Occasion, Record};
use crate::auth::ports::Audit;
use crate::base::id::AccountId;
use crate::base::secret::Secret;

/// Maximum queued notices. Notices beyond this, or beyond the share of their account, are dropped,
/// logged and counted.
const QUEUE: usize = 1000;
/// Timeout for one exchange with the mail server.
const PATIENCE: Duration = Duration::from_secs(10);
/// Waits after each failure in turn. After the last one the notice is given up.
const BACKOFF: [Duration; 6] = [
    Duration::from_secs(2),
    Duration::from_secs(15),
    Duration::from_mins(1),
    Duration::from_mins(5),
    Duration::from_mins(30),
    Duration::from_hours(2),
];

/// TLS mode of the connection to the mail server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailTls {
    /// STARTTLS, required.
    StartTls,
    /// TLS from the first byte.
    Tls,
    /// No TLS.
    None,
}

/// Settings for mail.
#[derive(Clone, Debug)]
pub struct MailSettings {
    /// Host name of the mail server.
    pub host: String,
    /// Port of the mail server.
    pub port: u16,
    /// TLS mode.
    pub tls: MailTls,
    /// PEM file of the CA that signed the server's certificate, in place of the public CAs.
    pub ca: Option<PathBuf>,
    /// User name and password, if the server requires them.
    pub login: Option<(String, Secret)>,
    /// Sender: an address, with or without a display name.
    pub from: String,
    /// Name of the service as users know it.
    pub service: String,
    /// Host name of the service.
    pub site: String,
    /// IANA name of the time zone of the times in notices.
    pub time_zone: String,
}

impl MailSettings {
    /// Returns true if `text` can be used as the sender of a mail.
    pub fn is_sender(text: &str) -> bool {
        text.parse::<Mailbox>().is_ok()
    }

    /// Returns true if there is a time zone of this name.
    pub fn is_time_zone(name: &str) -> bool {
        when::time_zone(name).is_some()
    }
}

enum Job {
    Notify(Box<Request>),
    Close(oneshot::Sender<usize>),
}

/// An event that may need a notice.
struct Request {
    occasion: Occasion,
    if_limit_reached: bool,
    account: AccountId,
    to: String,
    record: Record,
    place: Place,
}

/// A notice that has not been sent yet.
struct Waiting {
    message: Message,
    account: AccountId,
    failures: usize,
    due: Instant,
    _place: Place,
}

/// A way to write and send notices.
pub struct Delivery {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    sender: Sender,
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Delivery")
    }
}

impl Delivery {
    /// Prepares the delivery. Returns an error if the settings are invalid.
    pub fn new(settings: &MailSettings) -> Result<Self, String> {
        let from = settings.from.parse().map_err(|e| format!("mail.from: invalid address: {e}"))?;
        let zone = when::time_zone(&settings.time_zone)
            .ok_or_else(|| format!("mail.time_zone: unknown time zone: {}", settings.time_zone))?;
        let (service, host) = (settings.service.clone(), settings.site.clone());
        let sender = Sender { from, service, host, zone };
        Ok(Self { transport: transport(settings)?, sender })
    }
}

/// The queue of notices.
pub(super) struct Queue {
    sender: mpsc::Sender<Job>,
    shares: Shares,
    delivery: Arc<ArcSwap<Delivery>>,
}

impl Queue {
    /// Starts the queue on the current runtime.
    pub(super) fn start(delivery: Delivery, trail: Arc<dyn Audit>) -> Self {
        let delivery = Arc::new(ArcSwap::from_pointee(delivery));
        let post = Post { delivery: Arc::clone(&delivery), trail, waiting: Vec::new() };
        let (sender, jobs) = mpsc::channel(QUEUE);
        tokio::spawn(post.run(jobs));
        Self { sender, shares: Shares::default(), delivery }
    }

    /// Sends the next notices, also those that wait, in another way.
    pub(super) fn deliver_by(&self, delivery: Delivery) {
        self.delivery.store(Arc::new(delivery));
    }

    /// Tries once more to send all waiting notices, then stops. Returns the number not sent.
    pub(super) async fn close(&self, patience: Duration) -> usize {
        let (done, left) = oneshot::channel();
        let closing = async {
            self.sender.send(Job::Close(done)).await.ok()?;
            left.await.ok()
        };
        let unsent = tokio::time::timeout(patience, closing).await;
        unsent.ok().flatten().unwrap_or_else(|| self.unsent())
    }

    /// Returns the least number of notices that a queue which is still being closed has not sent.
    pub(super) fn unsent(&self) -> usize {
        QUEUE.saturating_sub(self.sender.capacity()).max(1)
    }
}

impl Observer for Queue {
    fn happened(&self, event: &Event, context: &Context, record: &Record) {
        let Some(occasion) = event.mail() else { return };
        let if_limit_reached = occasion == Occasion::WrongCodes;
        let (Some(account), Some(to)) = (context.account, context.email.clone()) else { return };
        let place = match self.shares.take(account, occasion) {
            Ok(place) => place,
            // Most of these send no mail.
            Err(Full { .. }) if if_limit_reached => return,
            Err(Full { first }) => {
                count("lost");
                if first {
                    tracing::error!(%account, ?occasion, "notice dropped: too many of its kind");
                }
                return;
            }
        };
        let record = record.clone();
        let request = Box::new(Request { occasion, if_limit_reached, account, to, record, place });
        if self.sender.try_send(Job::Notify(request)).is_err() {
            count("lost");
            tracing::error!(%account, ?occasion, "notice dropped: queue full");
        }
    }
}

fn count(result: &'static str) {
    metrics::counter!("vestibule_notices_total", "result" => result).increment(1);
}

fn transport(settings: &MailSettings) -> Result<AsyncSmtpTransport<Tokio1Executor>, String> {
    let wrong = |e: lettre::transport::smtp::Error| format!("mail.ca: invalid: {e}");
    let mut tls = TlsParameters::builder(settings.host.clone());
    if let Some(file) = &settings.ca {
        let pem = std::fs::read(file)
            .map_err(|e| format!("mail.ca: failed to read {}: {e}", file.display()))?;
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

/// Connects to the mail server as for a notice, with TLS and sign-in, and sends none.
pub async fn try_connect(settings: &MailSettings) -> Result<(), String> {
    match transport(settings)?.test_connection().await {
        Ok(true) => Ok(()),
        Ok(false) => Err("it accepts no mail now".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// State of the queue's task.
struct Post {
    delivery: Arc<ArcSwap<Delivery>>,
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
                // While too many failed notices are held here, new ones wait in the channel.
                job = jobs.recv(), if self.waiting.len() < QUEUE => match job {
                    Some(Job::Notify(request)) => self.notify(*request).await,
                    Some(Job::Close(done)) => {
                        self.last_try().await;
                        if done.send(self.waiting.len()).is_err() {
                            tracing::debug!("close no longer awaited");
                        }
                        return;
                    }
                    None => return,
                },
            }
        }
    }

    async fn notify(&mut self, request: Request) {
        let Request { occasion, if_limit_reached, account, to, record, place } = request;
        // If the audit log cannot be read, a duplicate notice is better than none.
        if if_limit_reached
            && !wrong_codes::reaches_limit(&*self.trail, account, &record).await.unwrap_or(true)
        {
            return;
        }
        match letter::message(&self.delivery.load().sender, occasion, &record, &to) {
            Ok(message) => {
                let due = Instant::now();
                self.send(Waiting { message, account, failures: 0, due, _place: place }).await;
            }
            Err(why) => {
                count("failed");
                tracing::error!(%account, ?occasion, why, "failed to write notice");
            }
        }
    }

    /// Sends a notice, or schedules a retry if the failure is temporary.
    async fn send(&mut self, mut notice: Waiting) {
        let account = notice.account;
        let delivery = self.delivery.load_full();
        let Err(error) = delivery.transport.send(notice.message.clone()).await else {
            count("sent");
            tracing::info!(%account, "notice sent");
            return;
        };
        let pause = BACKOFF.get(notice.failures).copied().filter(|_| !error.is_permanent());
        notice.failures += 1;
        let failures = notice.failures;
        if let Some(pause) = pause {
            count("retrying");
            tracing::warn!(%account, %error, failures, ?pause, "failed to send notice, will retry");
            notice.due = Instant::now() + pause;
            self.waiting.push(notice);
        } else {
            count("failed");
            tracing::error!(%account, %error, failures, "failed to send notice, giving up");
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
            tracing::error!(%account, "notice not sent before shutdown");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::share::SHARE;
    use super::*;
    use crate::auth::audit::{Ended, Link, NewRecord};
    use crate::auth::stage::Factor;
    use crate::base::clock::Timestamp;
    use crate::base::id::SessionId;
    use crate::base::random::OsRandom;

    /// A queue whose jobs nobody takes but the test.
    fn queue() -> (Queue, mpsc::Receiver<Job>) {
        let settings = MailSettings {
            host: "localhost".to_owned(),
            port: 1,
            tls: MailTls::None,
            ca: None,
            login: None,
            from: "gate@example.com".to_owned(),
            service: "App".to_owned(),
            site: "gw.test".to_owned(),
            time_zone: "UTC".to_owned(),
        };
        let delivery = Arc::new(ArcSwap::from_pointee(Delivery::new(&settings).unwrap()));
        let (sender, jobs) = mpsc::channel(QUEUE);
        (Queue { sender, shares: Shares::default(), delivery }, jobs)
    }

    fn new_browser() -> Event {
        Event::SignedIn {
            session: SessionId::random(&OsRandom::new()).unwrap(),
            factor: Factor::TOTP,
            app: "app".to_owned(),
            new_browser: true,
            amr: "otp".to_owned(),
            key: None,
        }
    }

    fn tell(queue: &Queue, account: AccountId, event: &Event) {
        let to = Some("a@example.com".to_owned());
        let context = Context { account: Some(account), email: to, ..Context::system() };
        let content = NewRecord::of(event, &context, Timestamp::EPOCH, "gate-1");
        let link = Link { previous: String::new(), head: String::new(), hash: String::new() };
        queue.happened(event, &context, &Record { seq: 1, content, link });
    }

    /// Takes all jobs: the accounts and the occasions.
    fn taken(jobs: &mut mpsc::Receiver<Job>) -> Vec<Request> {
        let requests = std::iter::from_fn(|| jobs.try_recv().ok());
        let requests = requests.map(|job| match job {
            Job::Notify(request) => *request,
            Job::Close(_) => panic!("nobody closes it"),
        });
        requests.collect()
    }

    #[tokio::test]
    async fn a_flood_to_one_account_drops_no_notice_to_another_and_none_of_another_kind() {
        let (queue, mut jobs) = queue();
        let random = OsRandom::new();
        let (flooded, other) =
            (AccountId::random(&random).unwrap(), AccountId::random(&random).unwrap());
        for _ in 0..2 * QUEUE {
            tell(&queue, flooded, &new_browser());
        }
        let ended = Event::SessionsEnded { sessions: 1, why: Ended::ByOperator };
        tell(&queue, flooded, &ended);
        tell(&queue, other, &new_browser());
        let share = usize::try_from(SHARE).unwrap();
        let requests = taken(&mut jobs);
        let kinds: Vec<_> = requests.iter().map(|r| (r.account, r.occasion)).collect();
        let mut expected = vec![(flooded, Occasion::NewBrowser); share];
        expected.extend([(flooded, Occasion::SessionsEnded), (other, Occasion::NewBrowser)]);
        assert_eq!(kinds, expected);

        // A notice keeps its place until it is sent or given up.
        tell(&queue, flooded, &new_browser());
        assert!(taken(&mut jobs).is_empty());
        drop(requests);
        tell(&queue, flooded, &new_browser());
        assert_eq!(taken(&mut jobs).len(), 1);
        assert!(queue.shares.take(flooded, Occasion::NewBrowser).is_ok());
    }

    #[test]
    fn the_first_refusal_of_a_full_share_is_told_from_the_others() {
        let shares = Shares::default();
        let account = AccountId::random(&OsRandom::new()).unwrap();
        let take = || shares.take(account, Occasion::NewBrowser);
        for _ in 0..2 {
            let places: Vec<_> = (0..SHARE).map(|_| take().ok().unwrap()).collect();
            let refused: Vec<_> = (0..3).map(|_| take().err().unwrap().first).collect();
            assert_eq!(refused, [true, false, false]);
            drop(places);
        }
    }
}
