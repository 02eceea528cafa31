//! C2, known as a producer and a consumer that talk by `send()`.
//!
//! A generator takes a value with each turn and gives one back. Python needs a first
//! `send(None)` to bring the body to its first `yield`; here the body gets the first value as its
//! argument.

use std::cell::RefCell;
use std::rc::Rc;

use ropewalk::generator::{Generator, State};

/// A producer that sends `count` things to a consumer and hears of each; neither waits in a queue
/// or takes a lock. Gives what was said on both sides, and how many the consumer had.
pub fn produce(count: u32) -> (Vec<String>, Option<u32>) {
    let said = Rc::new(RefCell::new(Vec::new()));
    let inside = Rc::clone(&said);
    let mut consumer = Generator::new(move |turn, first: u32| {
        let (mut item, mut consumed) = (first, 0);
        loop {
            inside.borrow_mut().push(format!("consuming {item}"));
            consumed += 1;
            match turn.suspend("200 OK") {
                Ok(next) => item = next,
                Err(_closed) => return consumed,
            }
        }
    });
    for item in 1..=count {
        said.borrow_mut().push(format!("producing {item}"));
        match consumer.resume(item) {
            State::Yielded(answer) => said.borrow_mut().push(format!("answered: {answer}")),
            State::Complete(consumed) => return (said.take(), Some(consumed)),
        }
    }
    // `close()`: the consumer returns, and what it returns is ours.
    let consumed = consumer.close();
    (said.take(), consumed)
}

/// `average = yield average`: the mean of all that was sent so far.
pub fn means(numbers: &[f64]) -> Vec<f64> {
    let mut mean = Generator::<f64, f64, ()>::new(|turn, first| {
        let (mut sum, mut count) = (first, 1.0);
        while let Ok(next) = turn.suspend(sum / count) {
            sum += next;
            count += 1.0;
        }
    });
    let send = |number: &f64| match mean.resume(*number) {
        State::Yielded(mean) => mean,
        State::Complete(()) => unreachable!("it ends when it is closed"),
    };
    numbers.iter().map(send).collect()
}

/// A parser that is fed as pieces come in, and written as if it had them all: gives each line of
/// what was sent in any pieces, and how many bytes were left without an end of line.
pub fn lines_of(pieces: &[&str]) -> (Vec<String>, usize) {
    let mut parser = Generator::<String, Vec<String>, usize>::new(|turn, first| {
        let mut rest = first;
        loop {
            let mut lines = Vec::new();
            while let Some((line, behind)) = rest.split_once('\n') {
                lines.push(line.to_owned());
                rest = behind.to_owned();
            }
            match turn.suspend(lines) {
                Ok(more) => rest += &more,
                Err(_closed) => return rest.len(),
            }
        }
    });
    let mut lines = Vec::new();
    for piece in pieces {
        match parser.resume((*piece).to_owned()) {
            State::Yielded(found) => lines.extend(found),
            State::Complete(_) => unreachable!("it ends when it is closed"),
        }
    }
    (lines, parser.close().unwrap_or(0))
}

#[ropewalk::main]
fn main() {
    let (said, consumed) = produce(3);
    for line in said {
        println!("{line}");
    }
    println!("consumed until it was closed: {consumed:?}");
    println!("means: {:?}", means(&[10.0, 20.0, 60.0]));
    println!(
        "lines: {:?}",
        lines_of(&["on", "e\ntw", "o\nthree\nfo", "ur"])
    );
}
