//! C1, known as a generator that is advanced by `next`.
//!
//! The body runs until it yields, and goes on from there at the next turn, from the middle of
//! a loop or of a function that it called. What is left suspended is closed: its `suspend`
//! returns `Closed`, so that it cleans up, as `GeneratorExit` does in Python.

use std::cell::RefCell;
use std::rc::Rc;

use ropewalk::generator::{Closed, Generator, State, Suspender};

/// What a generator says in its turns, and then that it has ended.
pub type Steps = Generator<(), String, ()>;

/// `def task(): for step in range(steps): yield …`
pub fn steps(name: &'static str, steps: u32) -> Steps {
    Generator::new(move |turn, ()| {
        for step in 1..=steps {
            if turn.suspend(format!("{name}{step}")).is_err() {
                return;
            }
        }
    })
}

/// Advances each by hand in its turn until all have ended: a scheduler in ten lines.
pub fn round_robin(mut generators: Vec<Steps>) -> Vec<String> {
    let mut said = Vec::new();
    while !generators.is_empty() {
        generators.retain_mut(|generator| match generator.resume(()) {
            State::Yielded(step) => {
                said.push(step);
                true
            }
            State::Complete(()) => false,
        });
    }
    said
}

/// An endless one is an iterator like others.
pub fn fibonacci(count: usize) -> Vec<u64> {
    let numbers = Generator::new(|turn, ()| {
        let (mut a, mut b) = (0, 1);
        while turn.suspend(a).is_ok() {
            (a, b) = (b, a + b);
        }
    });
    numbers.take(count).collect()
}

/// A tree of numbers, sorted.
#[derive(Debug, Default)]
pub struct Tree(Option<Box<(Tree, i32, Tree)>>);

impl Tree {
    /// Puts a number into its place.
    pub fn insert(&mut self, number: i32) {
        match &mut self.0 {
            None => self.0 = Some(Box::new((Tree(None), number, Tree(None)))),
            Some(node) if number < node.1 => node.0.insert(number),
            Some(node) => node.2.insert(number),
        }
    }

    /// `yield from`: a recursion that yields from its depth.
    fn walk(&self, turn: &mut Suspender<(), i32, ()>) -> Result<(), Closed> {
        if let Some(node) = &self.0 {
            node.0.walk(turn)?;
            turn.suspend(node.1)?;
            node.2.walk(turn)?;
        }
        Ok(())
    }

    /// Its numbers in order, as somebody asks for them.
    pub fn into_numbers(self) -> Generator<(), i32, ()> {
        Generator::new(move |turn, ()| self.walk(turn).unwrap_or(()))
    }
}

/// Takes two of three steps. Gives what was said, the clean-up included.
pub fn left_suspended() -> Vec<String> {
    let said = Rc::new(RefCell::new(Vec::new()));
    let inside = Rc::clone(&said);
    let mut generator = Generator::new(move |turn, ()| {
        for step in 1..=3 {
            if let Err(closed) = turn.suspend(step) {
                inside.borrow_mut().push(format!("cleans up: {closed}"));
                return;
            }
        }
    });
    for step in generator.by_ref().take(2) {
        said.borrow_mut().push(format!("step {step}"));
    }
    drop(generator);
    said.take()
}

#[ropewalk::main]
fn main() {
    let turns = round_robin(vec![steps("a", 3), steps("b", 1), steps("c", 2)]);
    println!("in turns: {}", turns.join(" "));
    println!("as an iterator: {:?}", fibonacci(10));
    let mut tree = Tree::default();
    for number in [5, 2, 8, 1, 9, 3] {
        tree.insert(number);
    }
    let numbers: Vec<_> = tree.into_numbers().collect();
    println!("from the depth of a tree: {numbers:?}");
    for line in left_suspended() {
        println!("left suspended: {line}");
    }
}
