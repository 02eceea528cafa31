//! Who is told how far a map is.

use std::sync::{Arc, Mutex};

use ropewalk_rt::executor::{CoroutinePool, Progress, RunTask, SpawnClosure};
use ropewalk_rt::sync::Event;

use crate::MOMENT;
use crate::stage::on_each;

#[derive(Debug, PartialEq)]
enum Told {
    Started(Option<u64>),
    Advanced(u64, Option<u64>),
    Finished,
}

#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<Told>>>);

impl Notes {
    fn take(&self) -> Vec<Told> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Progress for Notes {
    fn started(&mut self, total: Option<u64>) {
        self.0.lock().unwrap().push(Told::Started(total));
    }

    fn advanced(&mut self, done: u64, total: Option<u64>) {
        self.0.lock().unwrap().push(Told::Advanced(done, total));
    }

    fn finished(&mut self) {
        self.0.lock().unwrap().push(Told::Finished);
    }
}

fn not_three(n: u32) -> u32 {
    assert!(n != 3, "three");
    n
}

#[test]
fn it_begins_grows_and_ends_once() {
    on_each(|| {
        let pool = CoroutinePool::new(2);
        let notes = Notes::default();
        let map = pool.map(not_three, 0..100).with_progress(notes.clone());
        assert_eq!(notes.take(), []);
        assert_eq!(map.filter(|result| result.is_err()).count(), 1);
        let told = notes.take();
        assert_eq!(told[0], Told::Started(Some(100)));
        assert_eq!(
            told[told.len() - 2..],
            [Told::Advanced(100, Some(100)), Told::Finished]
        );
        let done = |told: &Told| match told {
            Told::Advanced(done, _) => Some(*done),
            _ => None,
        };
        let steps: Vec<u64> = told.iter().filter_map(done).collect();
        assert!(steps.is_sorted_by(|a, b| a < b) && steps.len() == told.len() - 2);
    });
}

#[test]
fn what_has_no_known_length_has_no_total() {
    on_each(|| {
        let pool = CoroutinePool::new(2);
        let mut seen = Vec::new();
        let evens = (0..10).filter(|n| n % 2 == 0);
        let map = pool.map(not_three, evens).chunk(1);
        map.with_progress(|done, total| seen.push((done, total)))
            .for_each(drop);
        assert_eq!(seen.last(), Some(&(5, None)));
    });
}

// The first waits until the observer has heard of the others, while `next` waits for the first.
#[test]
fn it_goes_on_while_the_first_is_awaited() {
    on_each(|| {
        let pool = CoroutinePool::new(2);
        let go = Arc::new(Event::new());
        let (first, others) = (Arc::clone(&go), 4);
        let wait = move |n: u32| n > 0 || first.wait().is_ok();
        let map = pool.spawn_map(0..=others, wait).chunk(1).buffer(10);
        let observer = |done, _| {
            if done == u64::from(others) {
                go.set();
            }
        };
        assert!(map.with_progress(observer).all(|result| result.unwrap()));
    });
}

#[test]
fn one_that_is_left_is_finished_too() {
    on_each(|| {
        let pool = CoroutinePool::new(1);
        let notes = Notes::default();
        let wait = |n: u32| n == 0 || Event::new().wait().is_ok();
        let map = pool.spawn_map(0..3, wait).chunk(1);
        let mut map = map.timeout(20 * MOMENT).with_progress(notes.clone());
        while map.next().is_some() {}
        drop(map);
        let told = notes.take();
        assert_eq!(told.first(), Some(&Told::Started(Some(3))));
        assert_eq!(told.last(), Some(&Told::Finished));
        assert_eq!(
            told.iter().filter(|told| **told == Told::Finished).count(),
            1
        );
        // Never asked for: it neither began nor ended.
        drop(pool.map(not_three, 0..3).with_progress(notes.clone()));
        assert_eq!(notes.take(), []);
    });
}

#[cfg(feature = "progress")]
#[test]
fn a_bar_is_an_observer() {
    use indicatif::{ProgressBar, ProgressDrawTarget};
    on_each(|| {
        let pool = CoroutinePool::new(2);
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        pool.map(not_three, 4..54)
            .with_progress(bar.clone())
            .for_each(drop);
        assert_eq!(
            (bar.position(), bar.length(), bar.is_finished()),
            (50, Some(50), true)
        );
        let bar = ProgressBar::with_draw_target(Some(50), ProgressDrawTarget::hidden());
        let mut map = pool
            .map(not_three, 4..54)
            .with_progress(bar.clone())
            .chunk(1)
            .buffer(1);
        map.next();
        drop(map);
        assert!(bar.is_finished() && bar.position() < 50);
    });
}
