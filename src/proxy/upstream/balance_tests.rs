//! Tests of the selection of an address.

use super::*;
use crate::proxy::settings::{HealthSettings, UpstreamAddress};
use crate::proxy::upstream::target::{Checked, Fault};

fn targets(weights: &[u32]) -> Targets {
    let ports = 1_u16..;
    let one = |port| {
        let address = UpstreamAddress { tls: false, host: "a".to_owned(), port, weight: 1 };
        Arc::new(Target::new("app", address, SocketAddr::from(([127, 0, 0, 1], port))))
    };
    Targets::new(ports.take(weights.len()).map(one).collect(), weights)
}

fn ask(key: Option<u64>) -> Ask<'static> {
    let (now, patience) = (Duration::from_secs(100), Duration::from_mins(1));
    Ask { key, failed: &[], repeatable: true, now, patience }
}

fn chosen(targets: &Targets, ask: &Ask<'_>, turn: &AtomicUsize) -> u16 {
    targets.select(ask, turn).unwrap().target.socket.port()
}

fn fails(target: &Target, fault: Fault) {
    target.was_checked(Checked::Fails(Fault::Connect, String::new()), &HealthSettings::default());
    target.was_checked(Checked::Fails(fault, String::new()), &HealthSettings::default());
}

#[test]
fn turns_follow_the_weights_and_are_spread_evenly() {
    assert_eq!(*turns(&[1, 1, 1]), [0, 1, 2]);
    assert_eq!(*turns(&[20, 10]), [0, 1, 0]);
    assert_eq!(*turns(&[5, 1, 1]), [0, 0, 1, 0, 2, 0, 0]);
    assert!(turns(&[]).is_empty());
}

#[test]
fn an_address_that_keeps_its_requests_gets_no_more_of_them() {
    let (targets, turn) = (targets(&[1, 1, 1]), AtomicUsize::new(0));
    let hanging = targets.iter().next().unwrap();
    let mut stuck = 0;
    for _ in 0..100 {
        if chosen(&targets, &ask(None), &turn) == 1 {
            hanging.begun();
            stuck += 1;
        }
    }
    assert_eq!(stuck, 2);
}

#[test]
fn sessions_stay_and_move_only_from_an_address_that_goes() {
    let (targets, turn) = (targets(&[1, 1, 1]), AtomicUsize::new(0));
    let of = |key: u64| chosen(&targets, &ask(Some(mix(key))), &turn);
    let before: Vec<u16> = (0..300).map(of).collect();
    assert_eq!(before, (0..300).map(of).collect::<Vec<_>>());
    for port in 1..=3 {
        let share = before.iter().filter(|one| **one == port).count();
        assert!((70..=130).contains(&share), "{port}: {share}");
    }
    fails(targets.iter().nth(1).unwrap(), Fault::Connect);
    for (key, port) in (0..300).zip(&before) {
        let now = of(key);
        assert!(now == *port || *port == 2 && now != 2, "{key}: {port} to {now}");
    }
}

#[test]
fn sessions_are_spread_by_weight() {
    let (targets, turn) = (targets(&[3, 1]), AtomicUsize::new(0));
    let of = |key: u64| chosen(&targets, &ask(Some(mix(key))), &turn);
    let first = (0..400).filter(|key| of(*key) == 1).count();
    assert!((270..=330).contains(&first), "{first}");
}

#[test]
fn without_any_address_in_service_those_that_answer_are_used_and_no_others() {
    let (targets, turn) = (targets(&[1, 1, 1]), AtomicUsize::new(0));
    for (target, fault) in targets.iter().zip([Fault::Connect, Fault::Status, Fault::Silent]) {
        fails(target, fault);
    }
    for key in [None, Some(7)] {
        assert_eq!(chosen(&targets, &ask(key), &turn), 2);
    }
    assert!(!targets.all_out() && !targets.has_other(&[]));
    fails(targets.iter().nth(1).unwrap(), Fault::Silent);
    assert!(targets.all_out() && targets.select(&ask(None), &turn).is_none());
}

#[test]
fn a_single_address_is_always_used_but_once_for_a_request() {
    let (targets, turn) = (targets(&[1]), AtomicUsize::new(0));
    let target = targets.iter().next().unwrap();
    fails(target, Fault::Connect);
    assert_eq!(chosen(&targets, &ask(None), &turn), 1);
    let failed = [target.socket];
    assert!(targets.select(&Ask { failed: &failed, ..ask(None) }, &turn).is_none());
    assert!(!targets.all_out());
}
