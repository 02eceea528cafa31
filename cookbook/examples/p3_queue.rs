//! P3, known as `multiprocessing.Queue`: `put`, `get`, `put_nowait`, `get_nowait`, `qsize`,
//! `Full`, `Empty`, timeouts, and a sentinel at the end (here: `close`).
//!
//! Producers and consumers are processes. One that is killed in the middle of anything leaves
//! the queue in order: at most its own item is lost, and nobody waits for it. The queue of one
//! process, `ropewalk::queue::Queue`, can't be given to another: that does not compile.

use std::collections::BTreeMap;
use std::io;

use ropewalk::process::queue::PutError;
use ropewalk::process::shared::Value;
use ropewalk::process::{Process, Queue};
use ropewalk::time::Duration;
use ropewalk::{coroutine, task};
use serde::{Deserialize, Serialize};

/// What goes through the queue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parcel {
    /// Who sent it.
    pub from: String,
    /// The how manieth.
    pub number: u32,
    /// As many bytes as its number.
    pub content: Vec<u8>,
}

#[task]
fn produce(queue: Queue<Parcel>, from: String, parcels: u32) {
    for number in 0..parcels {
        let parcel = Parcel {
            from: from.clone(),
            number,
            content: vec![7; number as usize],
        };
        queue.put(parcel).expect("the queue is open");
    }
}

/// Gets until the queue is closed and empty; gives how many came from whom.
#[task]
fn consume(queue: Queue<Parcel>) -> BTreeMap<String, u32> {
    let mut counts = BTreeMap::new();
    for parcel in queue.iter() {
        assert_eq!(parcel.content.len(), parcel.number as usize);
        *counts.entry(parcel.from).or_default() += 1;
    }
    counts
}

/// Has three processes produce and two consume; gives how many parcels came from whom.
///
/// # Errors
///
/// If a process can't be started, or fails.
pub fn deliver(parcels: u32) -> io::Result<BTreeMap<String, u32>> {
    let queue = Queue::new(10)?;
    let mut consumers = Vec::new();
    for _ in 0..2 {
        consumers.push(Process::spawn(consume, (queue.clone(),))?);
    }
    let mut producers = Vec::new();
    for name in ["ann", "bob", "cid"] {
        let args = (queue.clone(), name.to_owned(), parcels);
        producers.push(Process::spawn(produce, args)?);
    }
    for producer in producers {
        producer.join()?;
    }
    queue.close();
    let mut all = BTreeMap::new();
    for consumer in consumers {
        for (from, count) in consumer.join()? {
            *all.entry(from).or_default() += count;
        }
    }
    Ok(all)
}

/// What a full, an empty and a closed queue say.
///
/// # Errors
///
/// If the system has no memory for a queue.
pub fn limits() -> io::Result<Vec<String>> {
    let queue = Queue::new(2)?;
    let soon = Duration::from_millis(10);
    let mut said = vec![queue.try_get().expect_err("nothing is in it").to_string()];
    queue.put('a').expect("there is room");
    queue.put('b').expect("there is room");
    let full = queue.try_put('c').expect_err("it is full");
    let why = full.to_string();
    said.push(format!("{why}, and gives {:?} back", full.into_inner()));
    let late = queue.put_timeout('c', soon).expect_err("it is full");
    said.push(format!("after {soon:?}: {late}"));
    queue.close();
    let closed = queue.put('c').expect_err("it is closed");
    said.push(format!("{closed}, with {} still in it", queue.len()));
    said.push(format!("{:?}", queue.iter().collect::<String>()));
    said.push(queue.get().expect_err("it is closed").to_string());
    Ok(said)
}

#[task]
fn produce_for_ever(queue: Queue<Parcel>, from: String) {
    for number in 0.. {
        let content = vec![7; number as usize % 1000];
        let from = from.clone();
        match queue.put(Parcel {
            from,
            number,
            content,
        }) {
            Err(PutError::Closed(_)) => break,
            put => put.expect("there is room in the end"),
        }
    }
}

#[task]
fn consume_for_ever(queue: Queue<Parcel>, got: Value<u32>) {
    for _ in queue.iter() {
        got.update(|got| *got += 1);
    }
}

/// Kills a producer and a consumer in full swing, time and again. Gives how many there were in
/// the end whom that disturbed: those still alive, and the queue.
///
/// # Errors
///
/// If a process can't be started, or fails.
pub fn survive(kills: u32) -> io::Result<u32> {
    let queue = Queue::new(4)?;
    let got = Value::new(0_u32)?;
    let producer = Process::spawn(produce_for_ever, (queue.clone(), "survivor".to_owned()))?;
    let consumer = Process::spawn(consume_for_ever, (queue.clone(), got.clone()))?;
    let moves_on = || {
        let before = got.get();
        while got.get() < before.saturating_add(20) {
            coroutine::yield_now();
        }
    };
    for kill in 0..kills {
        let (name, mine) = (format!("victim {kill}"), Value::new(0_u32)?);
        let victims = (
            Process::spawn(produce_for_ever, (queue.clone(), name))?,
            Process::spawn(consume_for_ever, (queue.clone(), mine.clone()))?,
        );
        while mine.get() < 20 {
            coroutine::yield_now();
        }
        victims.0.kill()?;
        victims.1.kill()?;
        victims.0.wait()?;
        victims.1.wait()?;
        moves_on();
    }
    queue.close();
    let ends = [producer.join().is_err(), consumer.join().is_err()];
    let left = !queue.is_empty();
    Ok(ends.into_iter().chain([left]).map(u32::from).sum())
}

#[ropewalk::main]
fn main() -> io::Result<()> {
    println!("delivered: {:?}", deliver(100)?);
    for line in limits()? {
        println!("{line}");
    }
    println!("disturbed by 5 kills: {}", survive(5)?);
    Ok(())
}
