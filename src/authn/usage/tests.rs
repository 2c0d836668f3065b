use super::*;
use crate::clock::to_unix_ms;

/// Of a key that was read and used at this second, to be listed.
fn used(id: KeyId, at_s: u64) -> Arc<LastUsed> {
    let read = date_of(at_s * 1000).expect("a date");
    let used = Arc::new(LastUsed::new(id, read, Duration::ZERO));
    assert!(used.mark(Duration::ZERO));
    used
}

fn key(number: u8) -> KeyId {
    KeyId::from_bytes([number; 16])
}

fn taken(list: &mut List) -> (Vec<(KeyId, u64)>, u64) {
    let (uses, dropped) = list.take();
    let mut uses: Vec<_> = uses.iter().map(|used| (used.id(), used.take() / 1000)).collect();
    uses.sort_unstable();
    (uses, dropped)
}

#[test]
fn a_key_that_was_looked_up_anew_stands_on_the_list_once_with_its_last_use() {
    for times in [[10, 20], [20, 10]] {
        let mut list = List::with_room_for(10);
        let uses = times.map(|at| used(key(1), at));
        uses.iter().for_each(|used| list.add(used));
        // The older verdict is used once more, by a request that still has it.
        list.add(&uses[0]);
        assert_eq!(taken(&mut list), (vec![(key(1), 20)], 0));
        assert_eq!(taken(&mut list), (vec![], 0));
    }
}

#[test]
fn when_the_list_is_full_the_oldest_goes_and_is_counted() {
    let mut list = List::with_room_for(2);
    let uses: Vec<_> = (1..=4).map(|number| used(key(number), 10)).collect();
    uses.iter().for_each(|used| list.add(used));
    assert_eq!(taken(&mut list), (vec![(key(3), 10), (key(4), 10)], 2));
    assert!(uses[0].mark(Duration::from_secs(1)), "it can be listed again");
    assert_eq!(list.order.len(), 0);
}

#[test]
fn what_is_put_back_is_the_oldest_and_gives_way_to_what_is_newer() {
    let mut list = List::with_room_for(2);
    let (one, two) = (used(key(1), 10), used(key(2), 10));
    list.add(&used(key(2), 30));
    list.put_back(one.clone(), one.take());
    list.put_back(two.clone(), two.take());
    list.add(&used(key(3), 40));
    assert_eq!(taken(&mut list), (vec![(key(2), 30), (key(3), 40)], 1));
    list.add(&used(key(3), 50));
    list.add(&used(key(4), 50));
    list.put_back(one.clone(), one.take());
    assert_eq!(taken(&mut list), (vec![(key(3), 50), (key(4), 50)], 1));
}

#[test]
fn dates_survive_the_way_through_the_list() {
    let date = date_of(1_700_000_000_123).expect("a date");
    assert_eq!(to_unix_ms(date), 1_700_000_000_123);
    assert_eq!(date_of(u64::MAX), None);
}
