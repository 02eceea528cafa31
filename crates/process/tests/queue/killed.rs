//! Producers and consumers killed at random moments: nobody hangs, nothing is mixed up, and a
//! killed consumer takes at most one item along.

use std::collections::BTreeMap;
use std::time::Duration;

use ropewalk_process::Queue;
use ropewalk_process::shared::Value;

use crate::start;

type Item = (u32, u32, Vec<u8>);

/// An item whose bytes tell whether it is whole.
fn item(producer: u32, number: u32) -> Item {
    let bytes = vec![(producer ^ number) as u8; number as usize % 700];
    (producer, number, bytes)
}

#[ropewalk_macros::task(crate = ropewalk_rt)]
fn produce_for_ever(queue: Queue<Item>, producer: u32, put: Value<u32>) {
    for number in 0.. {
        if queue.put(item(producer, number)).is_err() {
            return;
        }
        put.set(number + 1);
    }
}

/// Counts before it gets the next, so that one item at most is not counted.
#[ropewalk_macros::task(crate = ropewalk_rt)]
fn consume_for_ever(queue: Queue<Item>, got: Value<u64>) {
    for (producer, number, bytes) in queue.iter() {
        assert!(item(producer, number).2 == bytes);
        got.update(|got| *got += 1);
    }
}

const ROUNDS: u32 = 12;

/// A number of microseconds for this round, always the same ones.
fn moment(round: u32) -> Duration {
    let number = u64::from(round + 1).wrapping_mul(6_364_136_223_846_793_005);
    Duration::from_micros(number >> 33 & 0xfff)
}

#[test]
fn killed_producers_leave_whole_items() {
    let queue = Queue::<Item>::with_capacity(20, 6_000).unwrap();
    let mut seen = BTreeMap::<u32, u32>::new();
    for round in 0..ROUNDS {
        let producers = [2 * round, 2 * round + 1].map(|producer| {
            let put = Value::new(0).unwrap();
            let process = start(produce_for_ever, (queue.clone(), producer, put.clone()));
            (producer, put, process)
        });
        let mut take = || {
            let (producer, number, bytes) = queue.get().unwrap();
            assert!(item(producer, number).2 == bytes, "{producer}: {number}");
            // Each producer's items in order, none left out.
            let next = seen.entry(producer).or_default();
            assert_eq!(*next, number, "of producer {producer}");
            *next += 1;
        };
        while producers.iter().any(|(_, put, _)| put.get() == 0) {
            take();
        }
        let kill_at = std::time::Instant::now() + moment(round);
        while std::time::Instant::now() < kill_at {
            take();
        }
        for (_, _, process) in &producers {
            process.handle().kill().unwrap();
        }
        for (_, _, process) in &producers {
            process.handle().wait().unwrap();
        }
        while !queue.is_empty() {
            take();
        }
        for (producer, put, _) in &producers {
            // What it had put is there, and perhaps one that it didn't live to count.
            let extra = seen[producer] - put.get();
            assert!(extra <= 1, "{extra} too many of producer {producer}");
        }
    }
    assert!(queue.try_get().unwrap_err().is_empty());
    queue.put(item(999, 1)).unwrap();
    assert_eq!(queue.get().unwrap().0, 999);
}

#[test]
fn killed_consumers_take_one_item_along_at_most() {
    let queue = Queue::<Item>::with_capacity(8, 8_000).unwrap();
    let got = Value::new(0_u64).unwrap();
    let mut put = 0_u64;
    let mut victims = 0;
    let survivor = start(consume_for_ever, (queue.clone(), got.clone()));
    for round in 0..ROUNDS {
        let mine = Value::new(0_u64).unwrap();
        let two = [0, 1].map(|_| start(consume_for_ever, (queue.clone(), mine.clone())));
        while mine.get() < 20 {
            queue.put(item(round, put as u32)).unwrap();
            put += 1;
        }
        let kill_at = std::time::Instant::now() + moment(round);
        while std::time::Instant::now() < kill_at {
            queue.put(item(round, put as u32)).unwrap();
            put += 1;
        }
        for victim in &two {
            victim.handle().kill().unwrap();
        }
        for victim in &two {
            victim.handle().wait().unwrap();
        }
        victims += 2;
        got.update(|got| *got += mine.get());
        // The survivor gets on.
        for _ in 0..50 {
            queue.put(item(round, put as u32)).unwrap();
            put += 1;
        }
    }
    queue.close();
    survivor.join().unwrap();
    let lost = put - got.get();
    assert!(
        lost <= victims,
        "{lost} items lost with {victims} consumers"
    );
}

/// Everybody is killed, time and again, and whoever comes next finds the queue in order.
#[test]
fn nobody_left_alive_and_the_queue_still_works() {
    let queue = Queue::<Item>::with_capacity(4, 4_000).unwrap();
    for round in 0..ROUNDS {
        let (put, got) = (Value::new(0).unwrap(), Value::new(0).unwrap());
        let producer = start(produce_for_ever, (queue.clone(), round, put.clone()));
        let consumer = start(consume_for_ever, (queue.clone(), got.clone()));
        while got.get() < 10 {
            std::thread::yield_now();
        }
        std::thread::sleep(moment(round));
        for handle in [producer.handle(), consumer.handle()] {
            handle.kill().unwrap();
            handle.wait().unwrap();
        }
    }
    while let Ok((producer, number, bytes)) = queue.try_get() {
        assert!(item(producer, number).2 == bytes);
    }
    assert!(queue.is_empty());
    for number in 0..4 {
        queue.try_put(item(7, number)).unwrap();
    }
    assert!(queue.is_full());
}
