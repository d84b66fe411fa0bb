//! Who guesses, and how often that is compared.

use std::time::Duration;

use vestibule::auth::authenticator::app_of;
use vestibule::auth::login::{FactorResponse, FirstFactor, SecondFactor};
use vestibule::auth::ports::Authenticators as _;
use vestibule::auth::token::{PendingToken, PlainToken};
use vestibule::base::clock::Clock as _;

use super::Event;
use super::world::{APP, Life, name};

/// What `docs/security.md` promises: a wait with every so many wrong codes in a row, …
const EVERY: usize = 10;
/// … and an end.
const MOST: usize = 50;
/// Wrong passwords of one flood.
const PASSWORDS: u32 = 20;

/// The wait that comes with the wrong code of this number.
fn documented_wait(wrong: usize) -> Duration {
    Duration::from_mins(if wrong >= 20 { 30 } else { 5 })
}

impl Life {
    /// Sends a code of the authenticator, and counts apart from the product.
    pub(super) async fn send_code(
        &mut self,
        token: &PlainToken<PendingToken>,
        response: &FactorResponse,
    ) -> SecondFactor {
        let outcome =
            self.service().second.prove(APP, token, response, &self.caller()).await.unwrap();
        match outcome {
            SecondFactor::Wrong { used_up: false, .. } => {
                self.known.wrong.push(self.clock.now());
                self.known.suspended = self.known.wrong.len() >= MOST;
            }
            SecondFactor::SignedIn(_) | SecondFactor::NewPasswordOwed => self.known.wrong.clear(),
            // A used code is refused and not counted.
            SecondFactor::Wrong { used_up: true, .. }
            | SecondFactor::Suspended
            | SecondFactor::Wait(_)
            | SecondFactor::StartAgain => {}
        }
        outcome
    }

    /// A code that is right at no time near this one.
    fn wrong_code(&self) -> FactorResponse {
        let app = self.known.app.as_ref().unwrap();
        let now = self.clock.now().as_secs() / 30;
        let near: Vec<String> = (now - 25..now + 25).map(|step| app.of_step(step)).collect();
        let wrong = (0..100).map(|n| format!("{n:06}")).find(|text| !near.contains(text));
        FactorResponse::parse(&wrong.unwrap()).unwrap()
    }

    /// Whoever knows the password guesses at codes, in login after login and over both nodes, without
    /// a pause but those that are asked for, until no more are compared.
    pub(super) async fn guess_codes(&mut self, password: &str) {
        if self.known.app.is_none() {
            return;
        }
        while !self.known.suspended {
            let token = self.prove(password).await.expect("the right password");
            for _ in 0..6 {
                let code = self.wrong_code();
                match self.send_code(&token, &code).await {
                    SecondFactor::Wrong { .. } => {}
                    // To come a second early is of no use; to come on time is.
                    SecondFactor::Wait(wait) => {
                        self.pass(wait.saturating_sub(Duration::from_secs(1)));
                        let early = self.prove(password).await.expect("the right password");
                        let early = self.send_code(&early, &code).await;
                        let left = matches!(early, SecondFactor::Wait(left) if left <= Duration::from_secs(1));
                        assert!(left || self.clock.now() > self.end_of_wait(), "{early:?}");
                        self.pass(Duration::from_secs(1));
                        break;
                    }
                    SecondFactor::StartAgain | SecondFactor::Suspended => break,
                    SecondFactor::SignedIn(_) | SecondFactor::NewPasswordOwed => {
                        panic!("a wrong code let somebody in")
                    }
                }
            }
        }
        assert_eq!(self.known.wrong.len(), MOST);
        let token = self.prove(password).await.expect("the right password");
        let outcome = self.send_right_code(&token).await;
        assert!(matches!(outcome, SecondFactor::Suspended), "the right code: {outcome:?}");
    }

    fn end_of_wait(&self) -> vestibule::base::clock::Timestamp {
        let wrong = &self.known.wrong;
        wrong.last().unwrap().plus(documented_wait(wrong.len()))
    }

    /// A stranger guesses at the password as fast as is compared.
    pub(super) async fn guess_passwords(&mut self) {
        let begun = self.clock.now();
        let mut compared = 0;
        while compared < PASSWORDS {
            match self.try_password_as("nobody chose this one", self.stranger()).await {
                FirstFactor::Wrong => compared += 1,
                FirstFactor::Wait(wait) => self.pass(wait),
                FirstFactor::Begun { .. }
                | FirstFactor::SignedIn(_)
                | FirstFactor::AppCodeWanted
                | FirstFactor::Stranger
                | FirstFactor::Disabled => panic!("a wrong password is right"),
            }
        }
        // Five at once, then 2 s, 4 s, … up to a minute between two.
        let waits = (0..PASSWORDS - 5).map(|n| Duration::from_secs(2 << n.min(5)));
        let documented: Duration = waits.map(|wait| wait.min(Duration::from_mins(1))).sum();
        let took = self.clock.now().since(begun);
        assert!(took >= documented, "{PASSWORDS} passwords in {took:?}, {documented:?} documented");
    }

    /// An operator forgives all wrong codes.
    pub(super) async fn lift_suspension(&mut self) {
        self.admin().recovery.lift_suspension(&name()).await.unwrap();
        self.known.wrong.clear();
        self.known.suspended = false;
    }

    /// The store counted what was counted here, and let no more through than is documented.
    pub(super) async fn check_counters(&self, event: Event) {
        let wrong = &self.known.wrong;
        assert!(wrong.len() <= MOST, "after {event:?}: {} wrong codes in a row", wrong.len());
        for (before, pair) in (1..).zip(wrong.windows(2)) {
            if before % EVERY == 0 {
                let waited = pair[1].since(pair[0]);
                assert!(waited >= documented_wait(before), "{event:?}: {waited:?} after {before}");
            }
        }
        let all = self.durable.authenticators(self.account).await.unwrap();
        let Some(app) = app_of(&all) else { return };
        assert_eq!(app.failures as usize, wrong.len(), "after {event:?}: wrong codes in a row");
        assert_eq!(app.suspended_at.is_some(), self.known.suspended, "after {event:?}");
    }

    pub(super) async fn bad_code(&mut self, event: Event, password: &str) {
        let Some(app) = &self.known.app else { return };
        let step = self.clock.now().as_secs() / 30;
        let text = if matches!(event, Event::UsedCode) {
            app.of_step(self.known.used_step)
        } else if matches!(event, Event::FormerAuthenticator) {
            let Some(former) = self.known.former_apps.last() else { return };
            former.of_step(step)
        } else {
            "000000".to_owned()
        };
        let right =
            (step - 1..=step + 1).any(|s| s > self.known.used_step && app.of_step(s) == text);
        if right {
            return; // Once in 300 000 times two codes are the same.
        }
        let token = self.prove(password).await.expect("the right password");
        let code = FactorResponse::parse(&text).unwrap();
        let outcome = self.send_code(&token, &code).await;
        self.is_refused(outcome, "a wrong, used or former code").await;
    }
}
