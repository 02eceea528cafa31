//! Q1, known as `Queue(maxsize)`: `put`, `get`, `put_nowait`, `get_nowait`, timeouts, `Full`,
//! `Empty`, `qsize`, `empty`, `full`.
//!
//! Threads, coroutines and async tasks use one queue in any mixture. What could not be put in
//! comes back with the error. A `maxsize` of 0 is no limit; a negative one does not exist.

use std::sync::Arc;

use ropewalk::queue::{GetError, PutError, Queue};
use ropewalk::time::Duration;
use ropewalk::{JoinHandle, coroutine, spawn_async, thread};

/// Long enough for everything here.
const PATIENCE: Duration = Duration::from_secs(60);

/// Puts numbers in from a thread, a coroutine and an async task.
fn producers(queue: &Arc<Queue<u32>>, each: u32) -> Vec<JoinHandle<()>> {
    let [one, two, three] = [0, 1, 2].map(|_| Arc::clone(queue));
    vec![
        thread::spawn(move || (0..each).for_each(|item| one.put(item).expect("open"))),
        coroutine::spawn(move || {
            for item in each..2 * each {
                two.put_timeout(item, PATIENCE).expect("open, and in time");
            }
        }),
        spawn_async(async move {
            for item in 2 * each..3 * each {
                three.put_async(item).await.expect("open");
            }
        }),
    ]
}

/// Gets them in a thread, a coroutine and an async task.
fn consumers(queue: &Arc<Queue<u32>>) -> Vec<JoinHandle<Vec<u32>>> {
    let [one, two, three] = [0, 1, 2].map(|_| Arc::clone(queue));
    vec![
        thread::spawn(move || std::iter::from_fn(|| one.get().ok()).collect()),
        coroutine::spawn(move || std::iter::from_fn(|| two.get_timeout(PATIENCE).ok()).collect()),
        spawn_async(async move {
            let mut got = Vec::new();
            while let Ok(item) = three.get_async().await {
                got.push(item);
            }
            got
        }),
    ]
}

/// Sends `3 * each` numbers through a queue, and gives what each consumer got.
pub fn mixed(maxsize: usize, each: u32) -> Vec<Vec<u32>> {
    let queue = Arc::new(Queue::with_maxsize(maxsize));
    let consumers = consumers(&queue);
    for producer in producers(&queue, each) {
        producer.join().expect("no panic");
    }
    queue.close();
    consumers
        .into_iter()
        .map(|consumer| consumer.join().expect("no panic"))
        .collect()
}

/// What a queue said at its limits.
#[derive(Debug, PartialEq, Eq)]
pub struct Limits {
    /// To `put_nowait` and `put(timeout=)` when it was full; the item comes back.
    pub full: [Option<&'static str>; 2],
    /// To `get_nowait` and `get(timeout=)` when it was empty.
    pub empty: [bool; 2],
    /// `qsize`, `empty` and `full` when it was empty, when it held one, and when it was full.
    pub seen: [(usize, bool, bool); 3],
}

/// Fills a queue of two and empties it again.
pub fn limits(patience: Duration) -> Limits {
    let queue = Queue::with_maxsize(2);
    let look = || (queue.len(), queue.is_empty(), queue.is_full());
    let item_if_full = |result| match result {
        Err(PutError::Full(item)) => Some(item),
        _ => None,
    };

    let at_first = look();
    queue.put("first").expect("open");
    let with_one = look();
    queue.try_put("second").expect("room");
    let filled = look();
    let full = [
        item_if_full(queue.try_put("third")),
        item_if_full(queue.put_timeout("fourth", patience)),
    ];
    assert_eq!(queue.try_get(), Ok("first"));
    assert_eq!(queue.get(), Ok("second"));
    let empty =
        [queue.try_get(), queue.get_timeout(patience)].map(|result| result == Err(GetError::Empty));
    Limits {
        full,
        empty,
        seen: [at_first, with_one, filled],
    }
}

/// What a put into a full queue and a get from an empty one give when another makes way or
/// brings something meanwhile.
pub fn blocked_and_released() -> (bool, Result<u32, GetError>) {
    let queue = Queue::with_maxsize(1);
    coroutine::scope(|s| {
        let getter = s.spawn(|| queue.get());
        queue.put(1).expect("open");
        let got = getter.join().expect("no panic");

        queue.put(2).expect("open");
        let putter = s.spawn(|| queue.put(3).is_ok());
        assert_eq!(queue.get(), Ok(2));
        let put = putter.join().expect("no panic");
        assert_eq!(queue.get(), Ok(3));
        (put, got)
    })
}

/// How many go into a queue without a limit when nobody gets anything.
pub fn unbounded(items: usize) -> usize {
    let queue = Queue::with_maxsize(0);
    for item in 0..items {
        queue.try_put(item).expect("always room");
    }
    assert!(!queue.is_full());
    queue.len()
}

#[ropewalk::main]
fn main() {
    for maxsize in [1, 10, 0] {
        let got = mixed(maxsize, 1000);
        let all: usize = got.iter().map(Vec::len).sum();
        println!("through a queue of {maxsize}: {all}");
        for (kind, got) in ["thread", "coroutine", "async task"].iter().zip(got) {
            println!("  the {kind} got {}", got.len());
        }
    }
    println!("{:#?}", limits(Duration::from_millis(10)));
    println!("blocked and released: {:?}", blocked_and_released());
    println!("without a limit: {}", unbounded(10_000));
}
