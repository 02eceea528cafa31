//! Q2, known as `LifoQueue`, and `PriorityQueue` with pairs of a priority and a payload.
//!
//! In Python equal priorities compare the payloads, which fails for most. Here only
//! priorities are compared, and equal ones come out as they went in. The payload here is
//! a job: a closure, which nobody could compare.

use std::cmp::Reverse;

use ropewalk::coroutine;
use ropewalk::queue::{LifoQueue, PriorityQueue};

/// A payload that is not comparable.
pub type Job = Box<dyn FnOnce() -> String + Send>;

/// Puts all in and gets all out again.
pub fn last_in_first_out(items: &[u32]) -> Vec<u32> {
    let queue = LifoQueue::unbounded();
    for item in items {
        queue.put(*item).expect("open");
    }
    std::iter::from_fn(|| queue.try_get().ok()).collect()
}

/// Has a worker run jobs by their priority, the smallest first; gives what they returned.
pub fn run_jobs(jobs: Vec<(u32, &'static str)>) -> Vec<String> {
    let queue: PriorityQueue<u32, Job> = PriorityQueue::unbounded();
    for (priority, name) in jobs {
        let job: Job = Box::new(move || format!("{name} ({priority})"));
        queue.put((priority, job)).expect("open");
    }
    queue.close();
    coroutine::scope(|s| {
        let worker = s.spawn(|| {
            let mut done = Vec::new();
            while let Ok((_, job)) = queue.get() {
                done.push(job());
            }
            done
        });
        worker.join().expect("no panic")
    })
}

/// The largest first.
pub fn largest_first(items: &[u32]) -> Vec<u32> {
    let queue = PriorityQueue::unbounded();
    for item in items {
        queue.put((Reverse(*item), ())).expect("open");
    }
    let largest = || queue.try_get().ok().map(|(Reverse(item), ())| item);
    std::iter::from_fn(largest).collect()
}

/// Puts numbers in, of so few priorities that many are equal, while another gets them, through
/// a queue with little room. Gives the pairs of priority and number as they came out.
pub fn under_way(items: u32, priorities: u32) -> Vec<(u32, u32)> {
    let queue = PriorityQueue::with_maxsize(16);
    coroutine::scope(|s| {
        s.spawn(|| {
            for number in 0..items {
                queue.put((number % priorities, number)).expect("open");
            }
            queue.close();
        });
        std::iter::from_fn(|| queue.get().ok()).collect()
    })
}

/// Whether the numbers of each priority are in order.
pub fn is_stable(pairs: &[(u32, u32)], priorities: u32) -> bool {
    (0..priorities).all(|wanted| {
        let of_one = pairs.iter().filter(|(priority, _)| *priority == wanted);
        of_one.is_sorted_by_key(|(_, number)| number)
    })
}

#[ropewalk::main]
fn main() {
    println!("last in, first out: {:?}", last_in_first_out(&[1, 2, 3]));
    let jobs = vec![(5, "sleep"), (1, "eat"), (3, "work"), (1, "drink")];
    println!("by priority: {:?}", run_jobs(jobs));
    println!("largest first: {:?}", largest_first(&[3, 9, 4]));
    let pairs = under_way(1000, 3);
    println!(
        "{} under way, equal ones in order: {}",
        pairs.len(),
        is_stable(&pairs, 3)
    );
}
