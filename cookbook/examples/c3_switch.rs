//! C3, known as `greenlet.switch`.
//!
//! Symmetric coroutines: each hands over to any other by name, with a value, and goes on when
//! somebody hands over to it. There is no scheduler; who doesn't switch keeps the turn. What
//! one returns goes to who added it, its parent; what is left suspended at the end is closed:
//! its `switch` returns `Closed`, where Python throws `GreenletExit`.

use std::cell::RefCell;
use std::rc::Rc;

use ropewalk::symmetric::{Closed, Group, Switcher, TrySwitchError};

type Said = Rc<RefCell<Vec<String>>>;

/// Two that print two numbers each. If `crosswise`, they switch between the two.
pub fn numbers(crosswise: bool) -> String {
    let said = Said::default();
    let mut group = Group::new("main");
    for (name, other, numbers) in [("one", "two", ["12", "34"]), ("two", "one", ["56", "78"])] {
        let said = Rc::clone(&said);
        let body = move |me: &Switcher<()>, ()| {
            for number in numbers {
                said.borrow_mut().push(number.to_owned());
                if crosswise {
                    match me.try_switch(other, ()) {
                        // The other has ended, and so it is on us.
                        Err(TrySwitchError::Ended(())) | Ok(()) => {}
                        Err(_) => return Err(Closed),
                    }
                }
            }
            Ok(())
        };
        group.add(name, body);
    }
    group.switch("one", ()).expect("nobody gives up");
    if group.is_done("two") == Some(false) {
        group.switch("two", ()).expect("nobody gives up");
    }
    drop(group);
    said.take().join("-")
}

/// greenlet's own first example: the second is never switched back to, and so 78 is never said.
/// It is closed instead.
pub fn left_suspended() -> String {
    let said = Said::default();
    let mut group = Group::new("main");
    let log = Rc::clone(&said);
    group.add("one", move |me, ()| {
        log.borrow_mut().push("12".to_owned());
        me.switch("two", ())?;
        log.borrow_mut().push("34".to_owned());
        Ok(())
    });
    let log = Rc::clone(&said);
    group.add("two", move |me, ()| {
        log.borrow_mut().push("56".to_owned());
        if let Err(closed) = me.switch("one", ()) {
            log.borrow_mut().push(closed.to_string());
            return Err(closed);
        }
        log.borrow_mut().push("78".to_owned());
        Ok(())
    });
    group.switch("one", ()).expect("nobody gives up");
    drop(group);
    said.take().join("-")
}

/// A ball that goes from hand to hand, and counts; who has it when it is worn out returns it,
/// and what is returned goes to `main`, who added all of them.
pub fn play(players: &[&'static str], worn_out: u32) -> (u32, Vec<&'static str>) {
    let hands = Rc::new(RefCell::new(Vec::new()));
    let mut group = Group::new("main");
    for (n, player) in players.iter().copied().enumerate() {
        let next = players[(n + 1) % players.len()];
        let hands = Rc::clone(&hands);
        group.add(player, move |me, mut ball: u32| {
            while ball < worn_out {
                hands.borrow_mut().push(player);
                ball = me.switch(next, ball + 1)?;
            }
            Ok(ball)
        });
    }
    let ball = group.switch(players[0], 0).expect("nobody gives up");
    drop(group);
    (ball, hands.take())
}

/// Who hands over to whom is checked: gives what is said of one that ended, of the caller
/// itself, and of a stranger. The turns stay as they were.
pub fn nobody_there() -> [String; 3] {
    let mut group = Group::new("main");
    group.add("short", |_, ()| Ok(()));
    group.switch("short", ()).expect("nobody gives up");
    ["short", "main", "stranger"].map(|name| {
        let error = group.try_switch(name, ()).expect_err("nobody is there");
        format!("{name}: {error}")
    })
}

#[ropewalk::main]
fn main() {
    println!("one after the other: {}", numbers(false));
    println!("crosswise: {}", numbers(true));
    println!("left suspended: {}", left_suspended());
    let (ball, hands) = play(&["ann", "bob", "cid"], 7);
    println!("after {ball} throws, by {}", hands.join(", "));
    for line in nobody_there() {
        println!("{line}");
    }
}
