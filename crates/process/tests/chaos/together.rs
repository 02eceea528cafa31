//! Workers that are clients of a manager and producers of a queue, and hold shared locks, when
//! they die.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::thread;

use ropewalk_process::manager::{DictProxy, LockProxy, Manager, SemaphoreProxy, Update};
use ropewalk_process::shared::{HolderDied, Lock, Value};
use ropewalk_process::{ProcessPool, Queue};
use ropewalk_rt::executor::RunTask;
use serde::{Deserialize, Serialize};

use crate::chance::{Chance, seed, tasks};
use crate::fate::{Fate, be_quiet};
use crate::traces::{Traces, alone, until};

/// What the processes have together.
#[derive(Clone, Serialize, Deserialize)]
struct Shared {
    visits: DictProxy,
    managed: LockProxy,
    permits: SemaphoreProxy,
    queue: Queue<(u64, Vec<u8>)>,
    lock: Lock,
    count: Value<u64>,
}

static SHARED: OnceLock<Shared> = OnceLock::new();

fn share(shared: Shared) {
    be_quiet();
    let _ = SHARED.set(shared);
}

/// Where a task meets its fate.
const PLACES: u64 = 6;

fn visit(number: u64, fate: Fate, place: u64) -> u64 {
    let shared = SHARED.get().expect("prepared");
    let at = |here: u64| {
        if here == place {
            fate.meet();
        }
    };
    at(0);
    {
        let _guard = shared.managed.lock().expect("the manager is there");
        at(1);
        let once = shared
            .visits
            .update_or::<u64>(number, 0_u64, Update::add(1));
        once.expect("the manager is there");
    }
    {
        let _permit = shared.permits.acquire().expect("the manager is there");
        at(2);
    }
    let bytes = vec![number as u8; number as usize % 3000];
    shared.queue.put((number, bytes)).expect("an open queue");
    at(3);
    // Who died there did no harm: it counts with one step.
    let guard = shared.lock.lock().unwrap_or_else(HolderDied::recover);
    shared.count.update(|count| *count += 1);
    at(4);
    drop(guard);
    at(5);
    number
}

ropewalk_rt::register! { "share" => share, "visit" => visit }

#[test]
fn what_the_dead_shared_stays_in_order() {
    let _alone = alone();
    // Each talks a while with the manager: fewer of them.
    let (seed, tasks) = (seed(), tasks() / 10);
    let mut chance = Chance::new(seed);
    // What is made once, at the first use of anything.
    drop(Manager::start().unwrap().lock().unwrap());
    drop(ProcessPool::new(1).unwrap());
    let before = Traces::settled();

    let manager = Manager::start().unwrap();
    let shared = Shared {
        visits: manager.dict().unwrap(),
        managed: manager.lock().unwrap(),
        permits: manager.bounded_semaphore(2).unwrap(),
        queue: Queue::with_capacity(50, 100_000).unwrap(),
        lock: Lock::new().unwrap(),
        count: Value::new(0).unwrap(),
    };
    let pool = ProcessPool::builder()
        .workers(3)
        .stack_size(512 << 10)
        .initializer(share, (shared.clone(),))
        .build()
        .unwrap();
    let queue = shared.queue.clone();
    let consumer = thread::spawn(move || {
        let mut got = BTreeMap::<u64, u64>::new();
        for (number, bytes) in queue.iter() {
            assert_eq!(bytes, vec![number as u8; number as usize % 3000]);
            *got.entry(number).or_default() += 1;
        }
        got
    });
    let mut given = Vec::new();
    for number in 0..tasks {
        let (fate, place) = (Fate::draw(&mut chance), chance.below(PLACES));
        let handle = pool.submit(visit, (number, fate, place)).unwrap();
        given.push((number, fate, place, handle));
    }
    let mut ended = Vec::new();
    for (number, fate, place, handle) in given {
        let result = handle.join();
        let wrong = fate.contradicts(&result, &number);
        assert_eq!(wrong, None, "task {number}, at {place}");
        ended.push((number, place, result.is_ok()));
    }
    shared.queue.close();
    let got = consumer.join().unwrap();
    let visits: BTreeMap<u64, u64> = shared.visits.items().unwrap().into_iter().collect();
    let mut counted = 0;
    for (number, place, went_well) in ended {
        // What comes before the place where it died has happened, and nothing after.
        let reached = |here: u64| u64::from(went_well || place >= here);
        assert_eq!(
            visits.get(&number).copied().unwrap_or(0),
            reached(2),
            "{number}"
        );
        assert_eq!(
            got.get(&number).copied().unwrap_or(0),
            reached(3),
            "{number}"
        );
        counted += reached(4);
    }
    assert_eq!(shared.count.get(), counted);
    // What they held is free again.
    drop(pool);
    drop(shared.managed.lock().unwrap());
    drop(shared.lock.lock().unwrap_or_else(HolderDied::recover));
    // The manager hears of the last ones' end when it comes to it.
    until("nothing is held or waited for", || {
        let stats = manager.stats().unwrap();
        (stats.leases, stats.waiting, stats.clients) == (0, 0, 1)
    });
    assert_eq!(shared.permits.available_permits().unwrap(), 2);
    drop(shared);
    manager.shutdown().unwrap();
    before.until_gone();
}
