//! The frontier: which URL is fetched next.
//!
//! A monitor between the input (one thread, [`Frontier::push`]), the dispatcher (one coroutine,
//! [`Frontier::take`]) and the fetches under way ([`Frontier::finish`]).
//!
//! A URL waits in its host's own line and gets a slot only when both the total and its host's limit
//! allow it to start at once. So a slow host holds at most its own share of the slots and never one
//! while it waits; hosts that may start take turns. A retry waits here too, outside every slot.
//!
//! The lines together hold at most `waiting_max` URLs; then the input waits. That bounds memory, and
//! it is also how far one looks past the URLs of a host at its limit for those of another.
//!
//! States of a host: *absent* (nothing waits, nothing runs), *eligible* (something waits and fewer
//! than `per_host` run: it is in `eligible` exactly once), *full or empty* otherwise.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;

use ropewalk::sync::{Condvar, Mutex};
use ropewalk::time::{Duration, Instant};
use url::Url;

/// A URL to be fetched.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    /// The URL as the input had it.
    pub(crate) given: String,
    /// The same, parsed.
    pub(crate) url: Url,
    /// Host and port.
    pub(crate) host: Arc<str>,
    /// Attempts made so far.
    pub(crate) attempts: u32,
}

/// The limits of a frontier.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Fetches at once.
    pub(crate) concurrency: usize,
    /// Fetches at once from one host.
    pub(crate) per_host: usize,
    /// URLs that wait before the input has to.
    pub(crate) waiting_max: usize,
}

/// See the file's opening comment.
pub(crate) struct Frontier {
    limits: Limits,
    state: Mutex<State>,
    /// The dispatcher waits for: a URL that may start, a free slot, the end.
    startable: Condvar,
    /// The input waits for: room in the lines.
    room: Condvar,
}

#[derive(Default)]
struct State {
    hosts: HashMap<Arc<str>, Host>,
    eligible: VecDeque<Arc<str>>,
    /// Retries by the time they are due; the number keeps equal times in order.
    retries: BinaryHeap<Reverse<Retry>>,
    retry_number: u64,
    /// URLs in the hosts' lines.
    waiting: usize,
    running: usize,
    running_max: usize,
    /// URLs pushed so far, skipped ones included.
    accepted: u64,
    /// The input has ended.
    closed: bool,
    /// Nothing may start any more.
    stopped: bool,
}

#[derive(Default)]
struct Host {
    running: usize,
    line: VecDeque<Job>,
}

struct Retry {
    due: Instant,
    number: u64,
    job: Job,
}

impl Frontier {
    /// Creates an empty frontier.
    pub(crate) fn new(limits: Limits) -> Frontier {
        Frontier {
            limits,
            state: Mutex::new(State::default()),
            startable: Condvar::new(),
            room: Condvar::new(),
        }
    }

    /// Adds a URL; waits while the lines are full. Returns false when the frontier was stopped.
    pub(crate) fn push(&self, job: Job) -> bool {
        let mut state = self.state.lock();
        while state.waiting >= self.limits.waiting_max && !state.stopped {
            self.room.wait(&mut state);
        }
        if state.stopped {
            return false;
        }
        state.accepted += 1;
        state.enqueue(job, self.limits.per_host);
        self.startable.notify_one();
        true
    }

    /// Counts an entry that is no URL and so never gets into a line.
    pub(crate) fn count_bad(&self) {
        self.state.lock().accepted += 1;
    }

    /// Says that the input has ended: nothing will be pushed any more.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.startable.notify_one();
    }

    /// Lets nothing start any more: `push` and `take` give up. What runs, runs on.
    pub(crate) fn stop(&self) {
        self.state.lock().stopped = true;
        self.startable.notify_one();
        self.room.notify_all();
    }

    /// Waits for a URL that may start and counts it as running; `None` when none will come: the
    /// input has ended and nothing waits or runs, or the frontier was stopped.
    pub(crate) fn take(&self) -> Option<Job> {
        let mut state = self.state.lock();
        loop {
            if state.stopped {
                return None;
            }
            let next_retry = state.enqueue_due(self.limits.per_host);
            if state.running < self.limits.concurrency {
                if let Some(job) = state.start(self.limits.per_host) {
                    self.room.notify_one();
                    return Some(job);
                }
                if state.closed && state.running == 0 && state.retries.is_empty() {
                    return None;
                }
            }
            match next_retry {
                Some(due) => {
                    let left = due.saturating_duration_since(Instant::now());
                    self.startable.wait_for(&mut state, left);
                }
                None => {
                    self.startable.wait(&mut state);
                }
            }
        }
    }

    /// Gives back the slot of a fetch from `host`; with `retry`, that job is to start again after
    /// the time given.
    pub(crate) fn finish(&self, host: &Arc<str>, retry: Option<(Job, Duration)>) {
        let mut state = self.state.lock();
        state.release(host, self.limits.per_host);
        if let Some((job, after)) = retry {
            state.retry_number += 1;
            let number = state.retry_number;
            state.retries.push(Reverse(Retry {
                due: Instant::now() + after,
                number,
                job,
            }));
        }
        self.startable.notify_one();
    }

    /// Returns how many URLs are being fetched now.
    pub(crate) fn running(&self) -> usize {
        self.state.lock().running
    }

    /// Returns how many URLs were being fetched at once, at most.
    pub(crate) fn running_max(&self) -> usize {
        self.state.lock().running_max
    }

    /// Returns how many entries the input had, once it has ended.
    pub(crate) fn total(&self) -> Option<u64> {
        let state = self.state.lock();
        state.closed.then_some(state.accepted)
    }

    /// Tells whether there is anything to fetch that is not being fetched.
    pub(crate) fn has_more(&self) -> bool {
        let state = self.state.lock();
        !state.closed || state.waiting > 0 || !state.retries.is_empty()
    }
}

impl State {
    /// Puts a job at the end of its host's line.
    fn enqueue(&mut self, job: Job, per_host: usize) {
        let key = job.host.clone();
        let host = self.hosts.entry(key.clone()).or_default();
        if host.line.is_empty() && host.running < per_host {
            self.eligible.push_back(key);
        }
        host.line.push_back(job);
        self.waiting += 1;
    }

    /// Moves the retries that are due into their hosts' lines; returns when the next one is.
    fn enqueue_due(&mut self, per_host: usize) -> Option<Instant> {
        if self.retries.is_empty() {
            return None;
        }
        let now = Instant::now();
        while let Some(Reverse(next)) = self.retries.peek() {
            if next.due > now {
                return Some(next.due);
            }
            if let Some(Reverse(retry)) = self.retries.pop() {
                self.enqueue(retry.job, per_host);
            }
        }
        None
    }

    /// Takes the first job of the host whose turn it is.
    fn start(&mut self, per_host: usize) -> Option<Job> {
        let key = self.eligible.pop_front()?;
        let host = self.hosts.get_mut(&key).expect("an eligible host is known");
        let job = host.line.pop_front().expect("an eligible host has a line");
        host.running += 1;
        self.waiting -= 1;
        self.running += 1;
        self.running_max = self.running_max.max(self.running);
        if !host.line.is_empty() && host.running < per_host {
            self.eligible.push_back(key);
        }
        Some(job)
    }

    /// Counts one less running for `key`, which may make it eligible or absent.
    fn release(&mut self, key: &Arc<str>, per_host: usize) {
        self.running -= 1;
        let host = self.hosts.get_mut(key).expect("a running host is known");
        let was_full = host.running >= per_host;
        host.running -= 1;
        if host.line.is_empty() {
            if host.running == 0 {
                self.hosts.remove(key);
            }
        } else if was_full {
            self.eligible.push_back(key.clone());
        }
    }
}

impl PartialEq for Retry {
    fn eq(&self, other: &Retry) -> bool {
        self.number == other.number
    }
}

impl Eq for Retry {}

impl PartialOrd for Retry {
    fn partial_cmp(&self, other: &Retry) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Retry {
    fn cmp(&self, other: &Retry) -> std::cmp::Ordering {
        (self.due, self.number).cmp(&(other.due, other.number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(host: &str, number: u32) -> Job {
        Job {
            given: format!("{host}{number}"),
            url: Url::parse(&format!("http://{host}/{number}")).unwrap(),
            host: host.into(),
            attempts: 0,
        }
    }

    fn frontier(concurrency: usize, per_host: usize) -> Frontier {
        Frontier::new(Limits {
            concurrency,
            per_host,
            waiting_max: 100,
        })
    }

    fn take(frontier: &Frontier) -> String {
        frontier.take().expect("a job").given
    }

    #[test]
    fn hosts_take_turns_and_keep_their_order() {
        let frontier = frontier(100, 100);
        for number in 0..3 {
            assert!(frontier.push(job("a", number)));
        }
        for number in 0..2 {
            assert!(frontier.push(job("b", number)));
        }
        let order: Vec<String> = (0..5).map(|_| take(&frontier)).collect();
        assert_eq!(order, ["a0", "b0", "a1", "b1", "a2"]);
    }

    /// A host at its limit holds only its share; the rest goes on past it.
    #[test]
    fn full_host_is_passed_over() {
        let frontier = frontier(3, 1);
        for number in 0..50 {
            frontier.push(job("slow", number));
        }
        frontier.push(job("a", 0));
        frontier.push(job("b", 0));
        assert_eq!(take(&frontier), "slow0");
        assert_eq!(take(&frontier), "a0");
        assert_eq!(take(&frontier), "b0");
        frontier.finish(&"a".into(), None);
        frontier.push(job("c", 0));
        assert_eq!(take(&frontier), "c0", "slow0 still runs");
        frontier.finish(&"slow".into(), None);
        assert_eq!(take(&frontier), "slow1");
    }

    /// Everything pushed is taken exactly once, no limit is exceeded and nothing is left behind,
    /// whatever the order of pushes, takes and finishes.
    #[test]
    fn limits_hold_in_random_play() {
        let mut x: u64 = 0x9E37_79B9_7F4A_7C15;
        let mut random = |below: u64| {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            x % below
        };
        for _ in 0..200 {
            let (concurrency, per_host) = (1 + random(6) as usize, 1 + random(3) as usize);
            let frontier = Frontier::new(Limits {
                concurrency,
                per_host,
                waiting_max: 1000,
            });
            let mut running: Vec<Job> = Vec::new();
            let (mut pushed, mut finished) = (0u32, 0u32);
            while finished < 60 {
                if pushed < 60 && random(2) == 0 {
                    let host = ["a", "b", "c"][random(3) as usize];
                    assert!(frontier.push(job(host, pushed)));
                    pushed += 1;
                    if pushed == 60 {
                        frontier.close();
                    }
                }
                // `take` waits, so ask only when something may start.
                let startable = {
                    let state = frontier.state.lock();
                    state.running < concurrency && !state.eligible.is_empty()
                };
                if startable {
                    running.push(frontier.take().unwrap());
                    assert!(running.len() <= concurrency);
                    let host = &running.last().unwrap().host;
                    assert!(running.iter().filter(|j| j.host == *host).count() <= per_host);
                } else if !running.is_empty() {
                    let job = running.swap_remove(random(running.len() as u64) as usize);
                    if job.attempts == 0 && random(4) == 0 {
                        let again = Job {
                            attempts: 1,
                            ..job.clone()
                        };
                        frontier.finish(&job.host, Some((again, Duration::ZERO)));
                        // What `take` would do on its way.
                        frontier.state.lock().enqueue_due(per_host);
                    } else {
                        frontier.finish(&job.host, None);
                        finished += 1;
                    }
                }
            }
            assert!(frontier.take().is_none());
            let state = frontier.state.lock();
            assert!(state.hosts.is_empty() && state.eligible.is_empty());
            assert_eq!((state.waiting, state.running), (0, 0));
        }
    }

    #[test]
    fn ends_only_when_nothing_can_come_back() {
        let frontier = frontier(1, 1);
        frontier.push(job("a", 0));
        frontier.close();
        assert_eq!(frontier.total(), Some(1));
        let first = frontier.take().unwrap();
        let again = Job {
            attempts: 1,
            ..first.clone()
        };
        frontier.finish(&first.host, Some((again, Duration::from_millis(1))));
        assert_eq!(frontier.take().unwrap().attempts, 1);
        frontier.finish(&first.host, None);
        assert!(frontier.take().is_none());
    }

    /// While a retry waits, its slot is free for another.
    #[test]
    fn retry_holds_no_slot() {
        let frontier = frontier(1, 1);
        frontier.push(job("a", 0));
        frontier.push(job("b", 0));
        let first = frontier.take().unwrap();
        frontier.finish(
            &first.host.clone(),
            Some((first, Duration::from_secs(3600))),
        );
        assert_eq!(take(&frontier), "b0");
    }

    #[test]
    fn stop_ends_waiting_on_both_sides() {
        let frontier = Frontier::new(Limits {
            concurrency: 1,
            per_host: 1,
            waiting_max: 1,
        });
        frontier.push(job("a", 0));
        frontier.take().unwrap();
        frontier.push(job("a", 1));
        std::thread::scope(|s| {
            let input = s.spawn(|| frontier.push(job("a", 2)));
            let dispatcher = s.spawn(|| frontier.take().is_none());
            frontier.stop();
            assert!(!input.join().unwrap());
            assert!(dispatcher.join().unwrap());
        });
    }

    #[test]
    fn full_lines_hold_the_input_back() {
        let frontier = Frontier::new(Limits {
            concurrency: 1,
            per_host: 1,
            waiting_max: 2,
        });
        std::thread::scope(|s| {
            let input = s.spawn(|| (0..50).all(|number| frontier.push(job("a", number))));
            for number in 0..50 {
                let job = frontier.take().unwrap();
                assert_eq!(job.given, format!("a{number}"));
                assert!(frontier.state.lock().waiting <= 2);
                frontier.finish(&job.host, None);
            }
            assert!(input.join().unwrap());
        });
    }
}
