//! T12, known as changing a dict or a list while iterating over it.
//!
//! Python raises `RuntimeError` for the dict, at run time and only if its size has changed, and
//! silently skips elements of the list. Here neither compiles (see the documentation of this
//! package for the attempts). The cure is the same: collect first, remove after; or have the
//! collection do both.

use std::collections::BTreeMap;

use ropewalk::coroutine;
use ropewalk::sync::{Event, Mutex};

/// Names and ages.
pub type Ages = BTreeMap<String, u32>;

/// A few people.
pub fn people() -> Ages {
    let people = [("ann", 31), ("bob", 17), ("cid", 12), ("dee", 18)];
    people.map(|(name, age)| (name.to_owned(), age)).into()
}

/// Collects first, removes after; gives who was removed.
pub fn remove_minors(ages: &mut Ages) -> Vec<String> {
    let minors = ages.iter().filter(|(_, age)| **age < 18);
    let minors: Vec<_> = minors.map(|(name, _)| name.clone()).collect();
    for name in &minors {
        ages.remove(name);
    }
    minors
}

/// As [`remove_minors`], in one go.
pub fn keep_adults(ages: &mut Ages) {
    ages.retain(|_, age| *age >= 18);
}

/// What `for n in numbers: if n % 2 == 0: numbers.remove(n)` does: after each removal the next
/// one moves into its place and is passed over.
pub fn remove_even_as_python(mut numbers: Vec<u32>) -> Vec<u32> {
    let mut at = 0;
    while at < numbers.len() {
        if numbers[at].is_multiple_of(2) {
            let first = numbers.iter().position(|n| *n == numbers[at]);
            numbers.remove(first.unwrap_or(at));
        }
        at += 1;
    }
    numbers
}

/// What was meant.
pub fn remove_even(mut numbers: Vec<u32>) -> Vec<u32> {
    numbers.retain(|n| !n.is_multiple_of(2));
    numbers
}

/// One walks through a shared map, waiting at each entry, and removes the odd ones; another puts
/// `added` in meanwhile. The lock is never held across a wait: the walk is over the keys as
/// they were at its beginning. Gives the keys walked over, and those there in the end.
pub fn walk_while_another_writes(keys: u32, added: u32) -> (Vec<u32>, Vec<u32>) {
    let map: Mutex<BTreeMap<u32, ()>> = Mutex::new((0..keys).map(|key| (key, ())).collect());
    let begun = Event::new();
    let walked = coroutine::scope(|s| {
        s.spawn(|| {
            begun.wait().expect("nobody cancels");
            for key in keys..keys + added {
                map.lock().insert(key, ());
                coroutine::yield_now();
            }
        });
        let snapshot: Vec<u32> = map.lock().keys().copied().collect();
        begun.set();
        for key in &snapshot {
            coroutine::yield_now();
            if !key.is_multiple_of(2) {
                map.lock().remove(key);
            }
        }
        snapshot
    });
    (walked, map.into_inner().into_keys().collect())
}

#[ropewalk::main]
fn main() {
    let mut ages = people();
    println!("removed: {:?}", remove_minors(&mut ages));
    println!("left: {:?}", ages.keys().collect::<Vec<_>>());
    let numbers = vec![1, 2, 4, 5, 6, 8];
    let as_python = remove_even_as_python(numbers.clone());
    println!("Python leaves {as_python:?} of {numbers:?}");
    println!("what was meant: {:?}", remove_even(numbers));
    let (walked, left) = walk_while_another_writes(6, 3);
    println!("walked over {walked:?}, left are {left:?}");
}
