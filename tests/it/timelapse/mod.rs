//! Three years of one account on a clock that is moved by hand, over two nodes that share its stores:
//! whatever happens in whatever order, and whichever node is asked, what must not happen never does.
//! What is known of the account is kept here as well, apart from the product, and compared after every
//! event; so is how often was guessed.

mod acts;
mod guesses;
mod keys;
mod world;

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use vestibule::auth::app_sign_in::Typed;
use vestibule::auth::login::{Redeemed, SecondFactor};
use vestibule::auth::ports::{AccountLookup as _, Authenticators as _, RecoveryCodes as _};
use vestibule::auth::ticket::Rights;
use vestibule::auth::token::{PlainToken, TicketToken};
use vestibule::base::secret::Secret;

use self::world::{APP, DAY, Life, name};

/// Events in a life, and the longest time between two of them: about three years in all.
const EVENTS: usize = 48;
const LONGEST_GAP_DAYS: u64 = 90;

#[derive(Clone, Copy, Debug)]
enum Event {
    SignIn,
    WrongPassword,
    WrongCode,
    UsedCode,
    FormerAuthenticator,
    FormerPassword,
    SignInByRecoveryCode,
    UsedRecoveryCode,
    EnrolByPassword,
    ForgotWithTheApp,
    ForgotWithTwoCodes,
    ForgotWithOneCodeTwice,
    LinkForANewPhone,
    LinkForEverything,
    UsedLink,
    Reset,
    NewPhone,
    ChangePassword,
    EndSessions,
    DisableAndEnable,
    ClockSetBack,
    GuessCodes,
    GuessPasswords,
    LiftSuspension,
    AddKey,
    SignInByKey,
    SignInByPasskey,
    BadKey,
    EnrolKeyByPassword,
    LinkForAKey,
    RemoveKey,
    LoseKey,
}

fn event() -> impl Strategy<Value = Event> {
    use Event as E;
    prop_oneof![
        6 => Just(E::SignIn),
        1 => Just(E::WrongPassword),
        2 => Just(E::WrongCode),
        1 => Just(E::UsedCode),
        1 => Just(E::FormerAuthenticator),
        1 => Just(E::FormerPassword),
        3 => Just(E::SignInByRecoveryCode),
        1 => Just(E::UsedRecoveryCode),
        1 => Just(E::EnrolByPassword),
        2 => Just(E::ForgotWithTheApp),
        2 => Just(E::ForgotWithTwoCodes),
        1 => Just(E::ForgotWithOneCodeTwice),
        2 => Just(E::LinkForANewPhone),
        1 => Just(E::LinkForEverything),
        1 => Just(E::UsedLink),
        1 => Just(E::Reset),
        2 => Just(E::NewPhone),
        2 => Just(E::ChangePassword),
        1 => Just(E::EndSessions),
        1 => Just(E::DisableAndEnable),
        1 => Just(E::ClockSetBack),
        2 => Just(E::GuessCodes),
        1 => Just(E::GuessPasswords),
        1 => Just(E::LiftSuspension),
        4 => Just(E::AddKey),
        3 => Just(E::SignInByKey),
        3 => Just(E::SignInByPasskey),
        2 => Just(E::BadKey),
        2 => Just(E::EnrolKeyByPassword),
        2 => Just(E::LinkForAKey),
        1 => Just(E::RemoveKey),
        1 => Just(E::LoseKey),
    ]
}

impl Life {
    #[expect(clippy::too_many_lines, reason = "a list of all that may happen")]
    async fn happen(&mut self, event: Event) {
        let password = self.known.password.clone();
        match event {
            Event::SignIn => drop(self.sign_in().await),
            Event::WrongPassword => {
                assert!(self.prove("nobody chose this one").await.is_none());
            }
            Event::FormerPassword => {
                for former in self.known.former_passwords.clone().into_iter().rev().take(2) {
                    assert!(self.prove(&former).await.is_none(), "a former password");
                }
            }
            Event::WrongCode | Event::UsedCode | Event::FormerAuthenticator => {
                self.bad_code(event, &password).await;
            }
            Event::SignInByRecoveryCode => drop(self.sign_in_by_recovery_code().await),
            Event::UsedRecoveryCode => {
                let Some(code) = self.known.used_recovery.last().cloned() else { return };
                let token = self.prove(&password).await.expect("the right password");
                let outcome = self.send_recovery(&token, &code).await;
                self.is_refused(outcome, "a used or replaced recovery code").await;
                assert!(self.name_code(&code).await.is_none(), "nor is it a password");
            }
            Event::EnrolByPassword => {
                let token = self.prove(&password).await.expect("the right password");
                let offer = self.service().enrolments.enrolment(APP, &token).await.unwrap();
                assert!(offer.is_none(), "enrolment by the password alone");
            }
            Event::ForgotWithTheApp => self.forgot(true).await,
            Event::ForgotWithTwoCodes => self.forgot(false).await,
            Event::ForgotWithOneCodeTwice => {
                let Some(code) = self.take_recovery() else { return };
                let token = self.name_code(&code).await.expect("a code that was not used");
                let outcome = self.send_recovery(&token, &code).await;
                let both = matches!(outcome, SecondFactor::NewPasswordOwed);
                assert!(!both, "one code in place of both factors");
                self.is_refused(outcome, "one code for both").await;
            }
            Event::LinkForANewPhone => self.use_link(Rights::ENROL).await,
            Event::LinkForEverything => self.use_link(Rights::SET_UP).await,
            Event::UsedLink => {
                let Some(text) = self.known.used_links.last().cloned() else { return };
                let token = PlainToken::<TicketToken>::parse(&text, &self.keys).unwrap();
                let password = Secret::new(password);
                let typed = Typed { name: String::new(), password, code: None };
                let answer =
                    self.service().links.redeem(APP, Some(&token), typed, &self.caller()).await;
                let begun = matches!(answer.unwrap(), Redeemed::Begun { .. });
                assert!(!begun || !self.on_time(), "a used link");
            }
            Event::Reset => self.reset().await,
            Event::NewPhone => self.new_phone().await,
            Event::ChangePassword => self.change_password().await,
            Event::EndSessions => {
                self.admin().sessions.end_of(&name()).await.unwrap();
                self.all_over();
            }
            Event::DisableAndEnable => {
                self.admin().accounts.disable(&name()).await.unwrap();
                self.all_over();
                assert!(self.prove(&password).await.is_none(), "a disabled account");
                self.admin().accounts.enable(&name()).await.unwrap();
            }
            Event::ClockSetBack => self.clock.set_back(Duration::from_mins(3)),
            Event::GuessCodes => self.guess_codes(&password).await,
            Event::GuessPasswords => self.guess_passwords().await,
            Event::LiftSuspension => self.lift_suspension().await,
            Event::AddKey => self.add_key().await,
            Event::SignInByKey => drop(self.sign_in_by_key().await),
            Event::SignInByPasskey => self.sign_in_by_passkey().await,
            Event::BadKey => self.bad_key().await,
            Event::EnrolKeyByPassword => self.enrol_key_by_password().await,
            Event::LinkForAKey => self.link_for_a_key().await,
            Event::RemoveKey => self.remove_key().await,
            Event::LoseKey => self.lose_key().await,
        }
    }

    /// What holds whatever happened.
    async fn check(&self, event: Event) {
        for token in &self.known.over {
            assert!(self.session(token).await.is_none(), "after {event:?} a session lives on");
        }
        let account = self.durable.by_id(self.account).await.unwrap().unwrap();
        assert!(account.ever_enrolled, "after {event:?} it was never enrolled");
        let all = self.durable.authenticators(self.account).await.unwrap();
        let held = usize::from(self.known.app.is_some()) + self.known.keys.len();
        assert_eq!(all.len(), held, "after {event:?}: authenticators");
        let left = self.durable.recovery_set(self.account).await.unwrap().map_or(0, |set| set.left);
        assert_eq!(left as usize, self.known.recovery.len(), "after {event:?}: codes left");
        self.check_counters(event).await;
        let report = self.trail().await;
        assert!(report.findings.is_empty(), "after {event:?}: {:?}", report.findings);
    }
}

async fn live(events: Vec<(Event, u64)>) {
    let mut life = Life::begin().await;
    for (event, gap) in events {
        // Every other time soon after, every other time long after.
        let soon = gap % 2 == 0;
        let gap = gap / 2;
        life.shuffle(gap);
        life.pass(if soon {
            Duration::from_secs(gap % 400)
        } else {
            DAY * u32::try_from(gap % LONGEST_GAP_DAYS).unwrap()
        });
        life.happen(event).await;
        life.check(event).await;
    }
}

#[test]
fn in_three_years_of_anything_nobody_gets_in_without_two_proofs() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let config =
        Config { cases: 4, max_shrink_iters: 12, failure_persistence: None, ..Config::default() };
    let lives = vec((event(), any::<u64>()), EVENTS);
    TestRunner::new(config)
        .run(&lives, |events| {
            runtime.block_on(live(events));
            Ok(())
        })
        .unwrap();
}

/// Keys come, go and are lost, with an authenticator app beside them and without.
#[tokio::test]
async fn a_key_is_a_second_factor_from_its_registration_to_its_removal() {
    use Event as E;
    let events = [
        [E::AddKey, E::SignInByKey, E::SignInByPasskey, E::AddKey, E::BadKey],
        [E::EnrolKeyByPassword, E::EnrolByPassword, E::RemoveKey, E::BadKey, E::SignIn],
        [E::GuessCodes, E::SignInByKey, E::SignInByPasskey, E::NewPhone, E::SignInByKey],
        [E::ChangePassword, E::SignInByPasskey, E::ForgotWithTwoCodes, E::SignInByKey, E::Reset],
        [E::BadKey, E::SignIn, E::LinkForAKey, E::BadKey, E::FormerAuthenticator],
        [E::SignInByKey, E::SignInByPasskey, E::RemoveKey, E::AddKey, E::RemoveKey],
        [E::NewPhone, E::SignIn, E::LinkForAKey, E::LoseKey, E::EnrolKeyByPassword],
        [E::EnrolByPassword, E::BadKey, E::SignInByRecoveryCode, E::LinkForANewPhone, E::SignIn],
    ];
    let mut life = Life::begin().await;
    for (number, event) in (0..).zip(events.into_iter().flatten()) {
        life.shuffle(number);
        life.pass(DAY);
        life.happen(event).await;
        life.check(event).await;
    }
    assert!(life.sign_in().await.is_some());
}

/// Every event once, and suspensions with each of the ways back.
#[tokio::test]
async fn a_suspension_ends_by_an_operator_a_link_a_reset_or_a_recovery_code() {
    use Event as E;
    let ways =
        [E::LiftSuspension, E::LinkForANewPhone, E::Reset, E::NewPhone, E::LinkForEverything];
    let mut events = Vec::new();
    for way in ways {
        events.extend([E::SignIn, E::GuessPasswords, E::GuessCodes, E::SignIn, E::WrongCode]);
        events.extend([E::SignInByRecoveryCode, E::UsedCode, E::ForgotWithTheApp, way, E::SignIn]);
    }
    let mut life = Life::begin().await;
    for (number, event) in (0..).zip(events) {
        life.shuffle(number);
        life.pass(DAY);
        life.happen(event).await;
        life.check(event).await;
    }
    assert!(!life.known.suspended && life.sign_in().await.is_some());
}
