//! Tests of the bounds on open connections.

use std::time::Duration;

use super::super::load::Loads;
use super::*;
use crate::base::address::ClientIp;
use crate::proxy::settings::ListenerKind;

/// Connections from an address, at the seconds of a clock that goes on by one with each.
struct Door {
    open: Arc<Open>,
    loads: Arc<Loads>,
    now: u64,
}

type Guest = (Arc<Connection>, Option<Entered>);

impl Door {
    fn new(all: usize, per_address: usize) -> Self {
        let capacity = Capacity { closing: 1_000, ..Capacity::shared(1 << 20, Some(all)) };
        Self { open: Open::new(capacity, per_address), loads: Loads::new(10), now: 0 }
    }

    fn comes(&mut self, from: &str, trusted: bool) -> Guest {
        self.now += 1;
        let peer = format!("{from}:1").parse().unwrap();
        let load = self.loads.of(ClientIp::new(from.parse().unwrap()));
        let now = Duration::from_secs(self.now);
        let connection = Arc::new(Connection::new(peer, ListenerKind::Https, load, now));
        let entered = self.open.enter(&connection, trusted);
        (connection, entered)
    }

    fn busy(&mut self, from: &str) -> Guest {
        let guest = self.comes(from, false);
        guest.0.usage.enter(Duration::from_secs(self.now));
        guest
    }
}

fn stay(guests: &[Guest]) -> Vec<bool> {
    guests.iter().map(|(one, place)| place.is_some() && !one.is_closed()).collect()
}

#[test]
fn the_oldest_idle_connection_of_an_address_makes_room_for_a_new_one() {
    let mut door = Door::new(100, 3);
    let guests =
        [door.busy("192.0.2.1"), door.comes("192.0.2.1", false), door.comes("192.0.2.1", false)];
    let newcomer = door.busy("192.0.2.1");
    assert_eq!(stay(&guests), [true, false, true]);
    let next = door.busy("192.0.2.1");
    assert_eq!(stay(&guests), [true, false, false]);
    let at_work = [newcomer, next];
    assert_eq!(stay(&at_work), [true, true]);
    let (_, refused) = door.comes("192.0.2.1", false);
    assert!(refused.is_none(), "none is idle");
    assert!(door.comes("192.0.2.2", false).1.is_some());
    assert!(door.comes("192.0.2.1", true).1.is_some(), "a trusted proxy is not counted");
    assert_eq!(stay(&at_work), [true, true]);
}

#[test]
fn when_all_places_are_taken_the_busiest_address_makes_room() {
    let mut door = Door::new(6, 100);
    let few = [door.comes("192.0.2.1", false), door.comes("192.0.2.1", false)];
    let many: Vec<Guest> = (0..4).map(|_| door.comes("192.0.2.2", false)).collect();
    many[0].0.usage.enter(Duration::ZERO);
    let newcomer = door.comes("192.0.2.3", false);
    assert_eq!(stay(&[newcomer]), [true]);
    assert_eq!(stay(&few), [true, true]);
    assert_eq!(stay(&many), [true, false, true, true]);
}

#[test]
fn people_who_are_signed_in_are_shed_last_and_never_at_work() {
    let mut door = Door::new(4, 100);
    let guests: Vec<Guest> = (0..4).map(|_| door.busy("192.0.2.2")).collect();
    for (connection, _) in &guests[..3] {
        connection.usage.mark_known();
    }
    guests[0].0.usage.leave();
    let first = door.comes("192.0.2.3", false);
    assert_eq!(stay(&guests), [false, true, true, true], "the idle one");
    first.0.usage.enter(Duration::ZERO);
    let second = door.busy("192.0.2.4");
    assert_eq!(stay(&guests), [false, true, true, false], "a stranger's of the busiest address");
    let third = door.comes("192.0.2.5", false);
    assert_eq!(stay(&[first, second]), [true, true]);
    assert!(third.1.is_none(), "who is signed in is not cut off for a stranger");
    assert_eq!(stay(&guests), [false, true, true, false]);
}

#[tokio::test]
async fn whoever_goes_gives_the_place_back() {
    let mut door = Door::new(2, 2);
    let both = [door.busy("192.0.2.1"), door.busy("192.0.2.1")];
    assert!(door.comes("192.0.2.1", false).1.is_none());
    drop(both);
    assert!(door.comes("192.0.2.1", false).1.is_some());
    door.open.empty().await;
    let crowd = door.open.crowd.lock();
    assert!(crowd.by_address.is_empty() && crowd.size == 0);
}
