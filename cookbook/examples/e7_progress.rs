//! E7, known as a long job with a progress bar over `map`.
//!
//! Any observer will do: here one that notes the percentages, and a bar of the crate `indicatif`, which
//! draws nothing where there is no terminal. Both are told by who takes the results, also
//! while that waits for one that others have overtaken.

use indicatif::{ProgressBar, ProgressStyle};
use ropewalk::executor::{CoroutinePool, Progress, RunTask};
use ropewalk::time::{Duration, sleep};

/// Takes a while.
fn develop(photo: u32) -> u32 {
    sleep(Duration::from_millis(u64::from(photo % 3)));
    photo
}

/// Notes each tenth that is done.
#[derive(Debug, Default)]
pub struct Tenths {
    /// Percentages, and at last whether it was said that there will be no more.
    pub notes: Vec<String>,
}

impl Progress for &mut Tenths {
    fn started(&mut self, total: Option<u64>) {
        self.notes.push(format!("of {}", total.unwrap_or_default()));
    }

    fn advanced(&mut self, done: u64, total: Option<u64>) {
        let Some(total) = total else { return };
        let reached = format!("{}%", done * 10 / total * 10);
        if self.notes.last() != Some(&reached) {
            self.notes.push(reached);
        }
    }

    fn finished(&mut self) {
        self.notes.push("finished".into());
    }
}

/// Develops so many, and gives how many there are and what was noted meanwhile.
pub fn develop_all(photos: u32) -> (usize, Tenths) {
    let (pool, mut tenths) = (CoroutinePool::new(4), Tenths::default());
    let developed = pool.map(develop, 0..photos).with_progress(&mut tenths);
    let developed = developed.filter(Result::is_ok).count();
    (developed, tenths)
}

/// The same with a closure, on an input that doesn't know its length: how many were done at each
/// call.
pub fn of_unknown_length(photos: u32) -> Vec<u64> {
    let (pool, mut steps) = (CoroutinePool::new(4), Vec::new());
    let some = (0..photos).filter(|photo| photo % 2 == 0);
    let observer = |done, _total| steps.push(done);
    pool.map(develop, some)
        .with_progress(observer)
        .for_each(drop);
    steps
}

/// The same with a bar; gives its position and whether it was finished.
pub fn with_a_bar(photos: u32) -> (u64, bool) {
    let (pool, bar) = (CoroutinePool::new(4), ProgressBar::no_length());
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len}, {eta} left") {
        bar.set_style(style);
    }
    pool.map(develop, 0..photos)
        .with_progress(bar.clone())
        .for_each(drop);
    (bar.position(), bar.is_finished())
}

#[ropewalk::main]
fn main() {
    let (developed, tenths) = develop_all(100);
    let notes = &tenths.notes;
    println!(
        "{developed} developed, {:?} to {:?}",
        notes.first(),
        notes.last()
    );
    println!("to the full: {}", notes.contains(&"100%".to_string()));
    let steps = of_unknown_length(100);
    println!("of unknown length: {:?} in the end", steps.last());
    let (position, finished) = with_a_bar(1000);
    println!("the bar is at {position}, finished: {finished}");
}
