//! An authenticator app: codes of one secret, none of them given out twice.

use std::time::Duration;

use totp_rs::{Algorithm, Builder, Totp};
use vestibule::base::clock::{Clock, SystemClock};

/// Seconds that a code is shown.
const PERIOD: u64 = 30;

/// An authenticator with one secret.
#[derive(Debug)]
pub(crate) struct Codes {
    totp: Totp,
    used: u64,
}

fn since_epoch() -> Duration {
    Duration::from_millis(SystemClock::new().now().as_millis())
}

/// Seconds since the Unix epoch.
pub(crate) fn now() -> u64 {
    since_epoch().as_secs()
}

impl Codes {
    /// From the secret on the page: base32.
    pub(crate) fn new(secret: &str) -> Self {
        let secret = data_encoding::BASE32_NOPAD.decode(secret.as_bytes()).unwrap();
        let totp = Builder::new()
            .with_algorithm(Algorithm::SHA1)
            .with_digits(6)
            .with_skew(1)
            .with_step_duration(PERIOD)
            .with_secret(secret)
            .with_issuer(Some("test".to_owned()))
            .with_account_name("test".to_owned())
            .build()
            .unwrap();
        Self { totp, used: 0 }
    }

    /// The code of a step since the epoch, used or not.
    pub(crate) fn of_step(&self, step: u64) -> String {
        self.totp.generate(step * PERIOD).to_string()
    }

    /// A code that is right at no time within the next hour.
    pub(crate) fn wrong(&self) -> String {
        let near: Vec<_> =
            (Self::step() - 3..Self::step() + 120).map(|s| self.of_step(s)).collect();
        let all = (0..).map(|number| format!("{number:06}"));
        all.into_iter().find(|code| !near.contains(code)).unwrap()
    }

    /// The present step.
    pub(crate) fn step() -> u64 {
        now() / PERIOD
    }

    /// The earliest code after all those given out that the gateway must take now. It waits for
    /// the clock when three in a row were asked for within one step.
    pub(crate) async fn next(&mut self) -> String {
        let step = Self::earliest(20).max(self.used + 1);
        Self::reached(step - 1).await;
        self.used = step;
        self.of_step(step)
    }

    /// The earliest step whose code the gateway takes for so many seconds to come: a code of the step
    /// before holds until the present one ends.
    pub(crate) fn earliest(seconds: u64) -> u64 {
        let now = now();
        let before = u64::from(PERIOD - now % PERIOD > seconds);
        now / PERIOD - before
    }

    /// Waits until at least `seconds` of the present step are left, and names it.
    pub(crate) async fn settled_step(seconds: u64) -> u64 {
        if PERIOD - now() % PERIOD < seconds {
            Self::reached(Self::step() + 1).await;
        }
        Self::step()
    }

    /// Waits until `step` has come. The program goes by the real clock, so there is nothing else to
    /// wait for than the time itself.
    pub(crate) async fn reached(step: u64) {
        let begins = Duration::from_secs(step * PERIOD);
        while let Some(left) = begins.checked_sub(since_epoch()).filter(|left| !left.is_zero()) {
            tokio::time::sleep(left).await;
        }
    }

    /// The last step given out.
    pub(crate) fn used_step(&self) -> u64 {
        self.used
    }

    /// Notes that the codes up to this step are used.
    pub(crate) fn mark_used(&mut self, step: u64) {
        self.used = self.used.max(step);
    }
}
