//! P2, known as the global that a `Process` can't change: threads share their memory, processes
//! don't.
//!
//! One list, to which a task of each kind adds. A thread and a coroutine add to the list
//! itself. A process has one of its own, as it was when its program began, and ours stays as
//! it is; what a process makes is to be sent back.

use std::io;

use ropewalk::process::{self, Process};
use ropewalk::sync::Mutex;
use ropewalk::{JoinError, coroutine, thread};

/// The list that all know by name.
static WORDS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Adds a word; gives the list as it is then, and the id of the process it was done in.
#[ropewalk::task]
pub fn add(word: String) -> (Vec<String>, u32) {
    let mut words = WORDS.lock();
    words.push(word);
    (words.clone(), process::pid())
}

/// What a task and its starter saw.
#[derive(Debug)]
pub struct Seen {
    /// Which kind of task.
    pub by: &'static str,
    /// The process that it was in.
    pub pid: u32,
    /// The list in there.
    pub inside: Vec<String>,
    /// The list here, after that.
    pub here: Vec<String>,
}

/// Has a thread, a coroutine and a process add a word each, one after the other.
///
/// # Errors
///
/// If the process can't be started.
pub fn side_by_side() -> io::Result<Vec<Seen>> {
    WORDS.lock().clear();
    let mut all = Vec::new();
    let mut note = |by, added: Result<(Vec<String>, u32), JoinError>| {
        let (inside, pid) = added?;
        all.push(Seen {
            by,
            pid,
            inside,
            here: WORDS.lock().clone(),
        });
        Ok::<(), io::Error>(())
    };
    note("thread", thread::spawn(|| add("one".to_owned())).join())?;
    note(
        "coroutine",
        coroutine::spawn(|| add("two".to_owned())).join(),
    )?;
    note(
        "process",
        Process::spawn(add, ("three".to_owned(),))?.join(),
    )?;
    Ok(all)
}

#[ropewalk::main]
fn main() -> io::Result<()> {
    let here = process::pid();
    for seen in side_by_side()? {
        let place = if seen.pid == here {
            "our pid"
        } else {
            "a pid of its own"
        };
        println!(
            "{} in {place}: {:?} inside, {:?} here",
            seen.by, seen.inside, seen.here
        );
    }
    Ok(())
}
