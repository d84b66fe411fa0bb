//! Tests of the bounds on requests in hand.

use super::*;

fn client(text: &str) -> ClientIp {
    ClientIp::new(text.parse().unwrap())
}

#[test]
fn a_network_is_one_load_for_as_long_as_anybody_counts_on_it() {
    let loads = Loads::new(10);
    let one = loads.of(client("2001:db8:1:2::3"));
    assert!(Arc::ptr_eq(&one, &loads.of(client("2001:db8:1:2:ffff::"))));
    assert!(!Arc::ptr_eq(&one, &loads.of(client("2001:db8:1:3::3"))));
    drop(one);
    assert!(loads.shards.iter().all(|shard| shard.lock().is_empty()));
}

#[test]
fn strangers_of_one_network_never_take_the_last_place() {
    let loads = Loads::new(1_000);
    let places = Places::new(Room::of(100));
    let (greedy, next) = (loads.of(client("192.0.2.1")), loads.of(client("192.0.2.2")));
    let took =
        (0..1_000).filter(|_| greedy.take_app(&places, ClientClass::Stranger).is_ok()).count();
    assert_eq!(took, 25);
    let took = (0..1_000).filter(|_| next.take_app(&places, ClientClass::Stranger).is_ok()).count();
    assert!((10..=13).contains(&took), "{took}");
    let others = (3..40).filter(|i| {
        loads.of(client(&format!("192.0.2.{i}"))).take_app(&places, ClientClass::Stranger).is_ok()
    });
    assert_eq!(others.count(), 12, "one each, up to half of all");
    let known = (0..1_000).filter(|_| greedy.take_app(&places, ClientClass::Known).is_ok()).count();
    assert_eq!(known, 50);
    assert_eq!(greedy.take_app(&places, ClientClass::Known), Err(Limit::App));
    greedy.leave_app(&places, ClientClass::Known);
    assert_eq!(next.take_app(&places, ClientClass::Known), Ok(()));
}

#[test]
fn strangers_may_be_given_less_than_half() {
    let loads = Loads::new(1_000);
    let places = Places::new(Room::of(100));
    let strangers = |hosts: std::ops::Range<u8>| {
        let of = |i| loads.of(client(&format!("192.0.2.{i}")));
        hosts.filter(|i| of(*i).take_app(&places, ClientClass::Stranger).is_ok()).count()
    };
    places.set_room(Room::of(100).with_strangers(10));
    assert_eq!(strangers(0..100), 10);
    places.set_room(Room::of(100).with_strangers(1_000));
    assert_eq!(strangers(100..200), 40);
}

#[test]
fn a_network_of_known_clients_leaves_answers_for_the_next() {
    let loads = Loads::new(10_000);
    let networks: Vec<_> = (1..10).map(|i| loads.of(client(&format!("192.0.2.{i}")))).collect();
    let taken = networks.iter().map(|load| {
        let slots = std::iter::repeat_with(|| load.take_here(ClientClass::Known));
        slots.take_while(Result::is_ok).count()
    });
    assert_eq!(taken.take(5).collect::<Vec<_>>(), [1000, 500, 250, 125, 63]);
    // Slots at an app do not count.
    let (many, load) = (Places::new(Room::of(10_000)), &networks[0]);
    let at_app = (0..5_000).filter(|_| load.take_app(&many, ClientClass::Known).is_ok()).count();
    assert_eq!(at_app, 5_000);
    for _ in 0..ANSWERED / 2 {
        load.leave_here(ClientClass::Known);
    }
    assert_eq!(load.take_here(ClientClass::Known), Ok(()));
}

#[test]
fn a_network_has_a_limit_of_its_own_and_strangers_half_of_it() {
    let loads = Loads::new(100);
    let (many, load) = (Places::new(Room::of(10_000)), loads.of(client("192.0.2.1")));
    let strangers =
        (0..1_000).filter(|_| load.take_app(&many, ClientClass::Stranger).is_ok()).count();
    let known = (0..1_000).filter(|_| load.take_app(&many, ClientClass::Known).is_ok()).count();
    assert_eq!((strangers, known), (50, 100));
    assert_eq!(load.take_here(ClientClass::Stranger), Err(Limit::Address));
    load.leave_app(&many, ClientClass::Stranger);
    assert_eq!(load.take_here(ClientClass::Stranger), Ok(()));
    load.leave_here(ClientClass::Stranger);
    let away = (0..1_000).filter(|_| load.turn_away(Limit::Address)).count();
    assert_eq!(away, 50);
    load.turned_away_gone();
    assert!(load.turn_away(Limit::Address));
}
