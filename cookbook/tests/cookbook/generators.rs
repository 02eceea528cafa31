//! Rows C1 to C3: bodies that are suspended in their middle, and go on there.

use crate::program::{c1_generators, c2_send, c3_switch};

/// C1: each goes on where it was, until all have ended.
#[ropewalk::test]
fn generators_are_advanced_by_hand() {
    use c1_generators::{round_robin, steps};
    assert_eq!(round_robin(vec![]), [""; 0]);
    let turns = round_robin(vec![steps("a", 2), steps("b", 0), steps("c", 3)]);
    assert_eq!(turns, ["a1", "c1", "a2", "c2", "c3"]);
    // Some of them end with the last to be asked; none is left over.
    let many = round_robin((0..100).map(|n| steps("x", n % 7)).collect());
    assert_eq!(many.len(), (0..100).map(|n| n % 7).sum::<usize>());
}

/// C1: as an iterator, endless, and from the depth of a recursion.
#[ropewalk::test]
fn generators_are_iterators() {
    assert_eq!(c1_generators::fibonacci(0), [0; 0]);
    let numbers = c1_generators::fibonacci(60);
    assert!(numbers.windows(3).all(|n| n[0] + n[1] == n[2]));
    assert_eq!(numbers.len(), 60);

    let mut tree = c1_generators::Tree::default();
    for number in 0..100 {
        tree.insert(number * 37 % 100);
    }
    let mut walk = tree.into_numbers();
    assert!(walk.by_ref().take(50).eq(0..50));
    assert_eq!(walk.next(), Some(50));
    // The rest is never asked for: the recursion is left from its depth.
    assert_eq!(walk.close(), Some(()));
}

/// C1: closing a suspended one runs its clean-up.
#[ropewalk::test]
fn what_is_left_suspended_cleans_up() {
    let said = c1_generators::left_suspended();
    assert_eq!(said[..2], ["step 1", "step 2"]);
    assert_eq!(said.len(), 3, "{said:?}");
    assert!(said[2].starts_with("cleans up: "), "{said:?}");
}

/// C2: values go both ways, and strictly in turns.
#[ropewalk::test]
fn producer_and_consumer_take_turns() {
    assert_eq!(c2_send::produce(0), (vec![], None));
    let (said, consumed) = c2_send::produce(50);
    let expected: Vec<String> = (1..=50)
        .flat_map(|n| {
            let answer = "answered: 200 OK".to_owned();
            [format!("producing {n}"), format!("consuming {n}"), answer]
        })
        .collect();
    assert_eq!(said, expected);
    assert_eq!(consumed, Some(50));
}

/// C2: state is kept in the body's own variables between the turns.
#[ropewalk::test]
fn what_is_sent_adds_up() {
    assert_eq!(c2_send::means(&[4.0, 8.0, 0.0]), [4.0, 6.0, 4.0]);
    assert_eq!(c2_send::lines_of(&[]), (vec![], 0));
    let text = "one\n\nthree, which is long\nfour";
    let expected: Vec<_> = ["one", "", "three, which is long"].map(String::from).into();
    for size in 1..=text.len() {
        let pieces: Vec<_> = text.as_bytes().chunks(size).collect();
        let pieces: Vec<_> = pieces.iter().map(|p| str::from_utf8(p).unwrap()).collect();
        assert_eq!(c2_send::lines_of(&pieces), (expected.clone(), 4), "{size}");
    }
}

/// C3: the same two bodies, with and without switching.
#[ropewalk::test]
fn who_switches_says_the_order() {
    assert_eq!(c3_switch::numbers(false), "12-34-56-78");
    assert_eq!(c3_switch::numbers(true), "12-56-34-78");
}

/// C3: nobody switches back to the second, so it is closed instead of going on.
#[ropewalk::test]
fn what_is_left_suspended_is_closed() {
    let said = c3_switch::left_suspended();
    assert!(said.starts_with("12-56-34-closed"), "{said}");
    assert!(!said.contains("78"), "{said}");
}

/// C3: values go along, and the last one to the parent.
#[ropewalk::test]
fn the_ball_goes_round() {
    let players = ["a", "b", "c", "d"];
    for worn_out in [0, 1, 4, 1001] {
        let (ball, hands) = c3_switch::play(&players, worn_out);
        assert_eq!(ball, worn_out);
        let expected = players.iter().copied().cycle().take(worn_out as usize);
        assert!(hands.into_iter().eq(expected));
    }
}

/// C3: switching to nobody is an error that says why.
#[ropewalk::test]
fn switching_to_nobody_is_an_error() {
    let [ended, itself, unknown] = c3_switch::nobody_there();
    assert!(ended.contains("ended"), "{ended}");
    assert!(itself.contains("itself"), "{itself}");
    assert!(unknown.contains("nobody"), "{unknown}");
}
