//! Tests of the state of an address.

use super::*;

fn target() -> Target {
    let address = UpstreamAddress { tls: false, host: "a".to_owned(), port: 1, weight: 1 };
    Target::new("app", address, "127.0.0.1:1".parse().unwrap())
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

const PATIENCE: Duration = Duration::from_mins(1);

#[test]
fn failures_in_a_row_take_an_address_out_and_a_success_between_them_does_not() {
    let (target, settings) = (target(), HealthSettings::default());
    for _ in 0..5 {
        target.request_failed(Fault::Status, secs(1), false, &settings);
        target.request_failed(Fault::Reset, secs(1), false, &settings);
        target.request_worked(false);
    }
    assert!(target.is_up());
    for _ in 0..3 {
        assert!(target.is_up());
        target.request_failed(Fault::Status, secs(1), false, &settings);
    }
    assert_eq!(target.fault(), Some(Fault::Status));
    assert_eq!(target.counts().1[0], (Fault::Status, 8));
}

#[test]
fn one_request_at_a_time_tries_an_address_that_rested() {
    let (target, settings) = (target(), HealthSettings::default());
    assert!(!target.claim_trial(secs(9), false, PATIENCE), "nothing to try");
    for _ in 0..3 {
        target.request_failed(Fault::Silent, secs(10), false, &settings);
    }
    assert!(!target.claim_trial(secs(10), false, PATIENCE), "it rests");
    assert!(!target.claim_trial(secs(11), true, PATIENCE), "an upload does not try");
    assert!(target.claim_trial(secs(11), false, PATIENCE));
    assert!(!target.claim_trial(secs(12), false, PATIENCE), "one at a time");
    target.return_trial();
    assert!(target.claim_trial(secs(12), false, PATIENCE), "the first had no result");
    target.request_failed(Fault::Silent, secs(20), true, &settings);
    assert!(!target.claim_trial(secs(21), false, PATIENCE), "it rests for longer");
    assert!(target.claim_trial(secs(22), false, PATIENCE));
    target.request_worked(true);
    assert!(target.is_up() && !target.claim_trial(secs(200), false, PATIENCE));
}

#[test]
fn a_request_of_any_kind_tries_an_address_when_no_other_did() {
    let (target, settings) = (target(), HealthSettings::default());
    for _ in 0..3 {
        target.request_failed(Fault::Status, secs(10), false, &settings);
    }
    assert!(!target.claim_trial(secs(40), true, PATIENCE));
    assert!(target.claim_trial(secs(41), true, PATIENCE));
}

#[test]
fn a_refused_connection_takes_an_address_out_until_a_check_connects() {
    let (target, settings) = (target(), HealthSettings::default());
    target.request_failed(Fault::Connect, secs(1), false, &settings);
    assert_eq!(target.fault(), Some(Fault::Connect));
    assert!(!target.claim_trial(secs(1000), true, PATIENCE));
    target.was_checked(Checked::Connects, &settings);
    assert!(target.is_up());
}

#[test]
fn a_connection_does_not_mend_an_address_that_answers_wrongly_or_not_at_all() {
    let settings = HealthSettings::default();
    for fault in [Fault::Status, Fault::Reset, Fault::Silent] {
        let target = target();
        for _ in 0..3 {
            target.request_failed(fault, secs(1), false, &settings);
        }
        target.was_checked(Checked::Connects, &settings);
        assert_eq!(target.fault(), Some(fault));
        target.was_checked(Checked::Answers, &settings);
        target.was_checked(Checked::Answers, &settings);
        assert_eq!(target.is_up(), fault != Fault::Status, "{fault:?}");
    }
}

#[test]
fn checks_by_request_count_up_to_both_thresholds() {
    let (target, settings) = (target(), HealthSettings::default());
    let wrong = || Checked::Fails(Fault::Status, "status 404".to_owned());
    target.was_checked(wrong(), &settings);
    target.was_checked(wrong(), &settings);
    target.was_checked(Checked::Answers, &settings);
    target.was_checked(wrong(), &settings);
    target.was_checked(wrong(), &settings);
    assert!(target.is_up());
    target.was_checked(wrong(), &settings);
    assert_eq!(target.fault(), Some(Fault::Status));
    assert!(!target.claim_trial(secs(1000), false, PATIENCE), "the check decides");
    target.was_checked(Checked::Answers, &settings);
    assert!(!target.is_up());
    target.was_checked(Checked::Answers, &settings);
    assert!(target.is_up());
}

#[test]
fn the_worst_fault_counts() {
    let (target, settings) = (target(), HealthSettings::default());
    target.was_checked(Checked::Fails(Fault::Connect, String::new()), &settings);
    for _ in 0..3 {
        target.request_failed(Fault::Status, secs(1), false, &settings);
    }
    assert_eq!(target.fault(), Some(Fault::Connect));
}
