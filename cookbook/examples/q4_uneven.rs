//! Q4, known as a producer and a consumer at uneven speed.
//!
//! A bounded queue holds up the faster one: memory is bounded by `maxsize`, whatever the
//! speeds. Without a limit, all that the producer is ahead piles up.

use ropewalk::coroutine;
use ropewalk::queue::{PutError, Queue};
use ropewalk::time::{Duration, sleep};

/// What was seen of a queue while items went through it.
#[derive(Debug)]
pub struct Flow {
    /// What arrived.
    pub got: Vec<u32>,
    /// The most items that were in the queue after any put.
    pub high_water: usize,
    /// How often the producer found no room.
    pub held_up: usize,
}

/// Sends items from a producer to a consumer, each of which rests so long per item.
pub fn flow(
    maxsize: usize,
    items: u32,
    producer_rests: Duration,
    consumer_rests: Duration,
) -> Flow {
    let queue = Queue::with_maxsize(maxsize);
    coroutine::scope(|s| {
        let producer = s.spawn(|| {
            let (mut high_water, mut held_up) = (0, 0);
            for item in 0..items {
                rest(producer_rests);
                match queue.try_put(item) {
                    Err(PutError::Full(item)) => {
                        held_up += 1;
                        queue.put(item).expect("open");
                    }
                    result => result.expect("open"),
                }
                high_water = high_water.max(queue.len());
            }
            queue.close();
            (high_water, held_up)
        });
        let mut got = Vec::new();
        while let Ok(item) = queue.get() {
            got.push(item);
            rest(consumer_rests);
        }
        let (high_water, held_up) = producer.join().expect("no panic");
        Flow {
            got,
            high_water,
            held_up,
        }
    })
}

fn rest(duration: Duration) {
    if !duration.is_zero() {
        sleep(duration);
    }
}

#[ropewalk::main]
fn main() {
    let (none, some) = (Duration::ZERO, Duration::from_millis(1));
    for (maxsize, producer_rests, consumer_rests, what) in [
        (3, none, some, "a fast producer"),
        (3, some, none, "a fast consumer"),
        (0, none, some, "a fast producer without a limit"),
    ] {
        let flow = flow(maxsize, 100, producer_rests, consumer_rests);
        println!(
            "{what}: {} arrived, high water {}, held up {} times",
            flow.got.len(),
            flow.high_water,
            flow.held_up
        );
        if maxsize > 0 {
            println!("{what}, never too many: {}", flow.high_water <= maxsize);
        }
    }
}
