//! The pools of worker processes, for `process`.

use std::collections::VecDeque;
use std::hint::black_box;
use std::time::{Duration, Instant};

use ropewalk::executor::RunTask;
use ropewalk::process::ProcessPool;
use serde_bytes::ByteBuf;

use crate::process::WORKERS;

/// A pool with [`WORKERS`] processes.
pub(crate) trait Pool {
    /// Gives the pool `count` tasks without work, then takes their results.
    fn pipelined(&mut self, count: u64);

    /// Maps `count` tasks without work, in eight chunks.
    fn mapped(&mut self, count: u64);

    /// Gives the pool `count` tasks without work, each after the result of the one before.
    fn trips(&mut self, count: u64);

    /// Has a task count `payload`'s bytes.
    fn payload_in(&mut self, payload: ByteBuf) -> usize;

    /// Has a task change `payload`.
    fn payload_back(&mut self, payload: ByteBuf) -> ByteBuf;
}

/// Has `pool` do so much of `command`; the time that its calls took.
///
/// # Panics
///
/// If there is no such command, or the pool fails.
pub(crate) fn work(pool: &mut dyn Pool, command: &str, count: u64, bytes: u64) -> Duration {
    let begun = Instant::now();
    match command {
        "pipelined" => pool.pipelined(count),
        "mapped" => pool.mapped(count),
        "trips" => pool.trips(count),
        "payload-in" => return payloads(count, bytes, |payload| pool.payload_in(payload)),
        "payload-back" => {
            return payloads(count, bytes, |payload| pool.payload_back(payload).len());
        }
        other => panic!("unknown command: {other}"),
    }
    begun.elapsed()
}

/// Makes `count` payloads, one after the other, and times `call` with each.
fn payloads(count: u64, bytes: u64, mut call: impl FnMut(ByteBuf) -> usize) -> Duration {
    let bytes = usize::try_from(bytes).expect("less than there is memory");
    let original = ByteBuf::from(vec![b'a'; bytes]);
    let mut spent = Duration::ZERO;
    for _ in 0..count {
        let payload = original.clone();
        let begun = Instant::now();
        let returned = call(payload);
        spent += begun.elapsed();
        assert_eq!(returned, bytes);
    }
    spent
}

/// The pool of that name.
pub(super) fn pool(contender: &str) -> Option<Box<dyn Pool>> {
    Some(match contender {
        "ropewalk" => Box::new(Ropewalk::new()),
        "procspawn" => Box::new(Procspawn::new()),
        "memcpy" => Box::new(Copies(Vec::new())),
        "clone" => Box::new(Clones),
        _ => return None,
    })
}

/// What the tasks do.
#[ropewalk::task]
fn nothing(number: u64) -> u64 {
    number
}

#[ropewalk::task]
fn count(payload: ByteBuf) -> usize {
    // So that it is there: a compiler sees that only its length is used.
    black_box(payload).len()
}

#[ropewalk::task]
fn change(mut payload: ByteBuf) -> ByteBuf {
    payload[0] = b'b';
    payload
}

struct Ropewalk(ProcessPool);

impl Ropewalk {
    fn new() -> Ropewalk {
        Ropewalk(ProcessPool::new(WORKERS).expect("processes"))
    }
}

impl Pool for Ropewalk {
    fn mapped(&mut self, count: u64) {
        let chunk = (count as usize / (4 * WORKERS)).max(1);
        let results = self.0.map(nothing, 0..count);
        for result in results.chunk(chunk).buffer(count as usize) {
            result.expect("a task that ends well");
        }
    }

    fn pipelined(&mut self, count: u64) {
        let submit = |number| self.0.submit(nothing, (number,)).expect("an open pool");
        let handles: Vec<_> = (0..count).map(submit).collect();
        for handle in handles {
            handle.join().expect("a task that ends well");
        }
    }

    fn trips(&mut self, count: u64) {
        for number in 0..count {
            let handle = self.0.submit(nothing, (number,)).expect("an open pool");
            handle.join().expect("a task that ends well");
        }
    }

    fn payload_in(&mut self, payload: ByteBuf) -> usize {
        let handle = self.0.submit(count, (payload,)).expect("an open pool");
        handle.join().expect("a task that ends well")
    }

    fn payload_back(&mut self, payload: ByteBuf) -> ByteBuf {
        let handle = self.0.submit(change, (payload,)).expect("an open pool");
        handle.join().expect("a task that ends well")
    }
}

/// Each takes descriptors.
const PROCSPAWN_PENDING_MAX: usize = 200;

struct Procspawn(procspawn::Pool);

fn join(handle: procspawn::JoinHandle<u64>) {
    handle.join().expect("a task that ends well");
}

impl Procspawn {
    fn new() -> Procspawn {
        Procspawn(procspawn::Pool::new(WORKERS).expect("processes"))
    }
}

impl Pool for Procspawn {
    fn mapped(&mut self, _: u64) {
        panic!("procspawn has no map");
    }

    fn pipelined(&mut self, count: u64) {
        let mut handles = VecDeque::new();
        for number in 0..count {
            if handles.len() == PROCSPAWN_PENDING_MAX
                && let Some(handle) = handles.pop_front()
            {
                join(handle);
            }
            handles.push_back(self.0.spawn(number, nothing));
        }
        handles.into_iter().for_each(join);
    }

    fn trips(&mut self, count: u64) {
        for number in 0..count {
            let handle = self.0.spawn(number, nothing);
            handle.join().expect("a task that ends well");
        }
    }

    fn payload_in(&mut self, payload: ByteBuf) -> usize {
        let handle = self.0.spawn(payload, count);
        handle.join().expect("a task that ends well")
    }

    fn payload_back(&mut self, payload: ByteBuf) -> ByteBuf {
        let handle = self.0.spawn(payload, change);
        handle.join().expect("a task that ends well")
    }
}

/// No pool, but what moving the bytes takes at least, into memory that is there.
struct Copies(Vec<u8>);

impl Pool for Copies {
    fn pipelined(&mut self, _: u64) {}

    fn mapped(&mut self, _: u64) {}

    fn trips(&mut self, _: u64) {}

    fn payload_in(&mut self, payload: ByteBuf) -> usize {
        self.0.resize(payload.len(), 0);
        self.0.copy_from_slice(&payload);
        black_box(&self.0).len()
    }

    fn payload_back(&mut self, mut payload: ByteBuf) -> ByteBuf {
        self.0.resize(payload.len(), 0);
        self.0.copy_from_slice(&payload);
        payload.copy_from_slice(black_box(&self.0));
        payload
    }
}

/// Likewise, into fresh memory.
struct Clones;

impl Pool for Clones {
    fn pipelined(&mut self, _: u64) {}

    fn mapped(&mut self, _: u64) {}

    fn trips(&mut self, _: u64) {}

    fn payload_in(&mut self, payload: ByteBuf) -> usize {
        black_box(payload.clone()).len()
    }

    fn payload_back(&mut self, payload: ByteBuf) -> ByteBuf {
        black_box(payload.clone()).clone()
    }
}
