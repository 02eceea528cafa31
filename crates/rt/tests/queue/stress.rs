//! Time-outs, cancellation and dropped futures racing with puts and gets, 100,000 times: no item
//! is lost, none comes twice, nobody is left waiting.
//!
//! Broken on purpose, this fails: a future's `Drop` that doesn't pass its wake on
//! (`a_wake_of_a_dropped_future_goes_on` hangs).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ropewalk_rt::cancel::Token;
use ropewalk_rt::queue::{GetError, PutError, Queue};
use ropewalk_rt::{JoinHandle, coroutine, spawn, thread};

use crate::stage::{on_each, until};
use crate::who::{Polled, Who};

const ROUNDS: usize = 100_000;
const PARTS: usize = 8;

/// A cheap sequence that looks random.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// A thread for some parts, a coroutine for the others.
fn start<T: Send + 'static>(
    part: usize,
    body: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    if part.is_multiple_of(4) {
        thread::spawn(body)
    } else {
        spawn(body)
    }
}

/// Each of `0..count` is there once.
fn assert_all(mut got: Vec<usize>, count: usize) {
    assert_eq!(got.len(), count);
    got.sort_unstable();
    assert!(got.iter().copied().eq(0..count));
}

// Both sides have less patience than they need, and try again.
#[test]
fn timed_puts_and_gets_race() {
    on_each(|| {
        let queue = Arc::new(Queue::with_maxsize(1));
        let numbers = Arc::new(AtomicUsize::new(0));
        let putters: Vec<_> = (0..PARTS)
            .map(|part| {
                let (queue, numbers) = (Arc::clone(&queue), Arc::clone(&numbers));
                start(part, move || {
                    let mut dice = Dice(part as u64 + 1);
                    loop {
                        let mut item = numbers.fetch_add(1, Ordering::Relaxed);
                        if item >= ROUNDS {
                            return;
                        }
                        loop {
                            let patience = Duration::from_micros(dice.below(12));
                            match queue.put_timeout(item, patience) {
                                Ok(()) => break,
                                Err(PutError::Full(back)) => item = back,
                                Err(error) => panic!("{error}"),
                            }
                        }
                    }
                })
            })
            .collect();
        let takers: Vec<_> = (0..PARTS)
            .map(|part| {
                let queue = Arc::clone(&queue);
                start(part, move || {
                    let mut dice = Dice(part as u64 + 77);
                    let mut got = Vec::new();
                    loop {
                        let patience = Duration::from_micros(dice.below(12));
                        match queue.get_timeout(patience) {
                            Ok(item) => got.push(item),
                            Err(GetError::Empty) => {}
                            Err(_) => return got,
                        }
                    }
                })
            })
            .collect();
        for putter in putters {
            putter.join().unwrap();
        }
        queue.close();
        let got: Vec<Vec<_>> = takers.into_iter().map(|t| t.join().unwrap()).collect();
        assert_all(got.concat(), ROUNDS);
    });
}

// Some takers and putters are cancelled again and again; one of each stays, and must not be
// left waiting.
#[test]
fn cancelled_puts_and_gets_race() {
    on_each(|| {
        let queue = Arc::new(Queue::with_maxsize(2));
        let numbers = Arc::new(AtomicUsize::new(0));
        let spared = Arc::new(AtomicUsize::new(0));
        let crowd: Vec<_> = (0..PARTS)
            .map(|part| {
                let (queue, numbers) = (Arc::clone(&queue), Arc::clone(&numbers));
                let spared = Arc::clone(&spared);
                start(part, move || {
                    let mut got = Vec::new();
                    let mut dice = Dice(part as u64 + 5);
                    let mut mine = None;
                    while numbers.load(Ordering::Relaxed) < ROUNDS {
                        let token = Token::root();
                        let canceller = {
                            let token = token.clone();
                            spawn(move || token.cancel())
                        };
                        token.run(|| {
                            for _ in 0..1 + dice.below(20) {
                                if part % 2 == 0 {
                                    match queue.get() {
                                        Ok(item) => got.push(item),
                                        Err(GetError::Cancelled) => break,
                                        Err(_) => return,
                                    }
                                } else {
                                    let item = mine
                                        .take()
                                        .unwrap_or_else(|| numbers.fetch_add(1, Ordering::Relaxed));
                                    match queue.put(item) {
                                        Ok(()) => {}
                                        Err(PutError::Cancelled(item)) => {
                                            mine = Some(item);
                                            break;
                                        }
                                        Err(error) => panic!("{error}"),
                                    }
                                }
                            }
                        });
                        canceller.join().unwrap();
                    }
                    if let Some(item) = mine {
                        // Counts as put and got.
                        spared.fetch_add(1, Ordering::Relaxed);
                        got.push(item);
                    }
                    got
                })
            })
            .collect();
        let own = Arc::clone(&queue);
        let steady_taker = spawn(move || {
            let mut got = Vec::new();
            while let Ok(item) = own.get() {
                got.push(item);
            }
            got
        });
        let (own, own_numbers) = (Arc::clone(&queue), Arc::clone(&numbers));
        let steady_putter = spawn(move || {
            while own_numbers.load(Ordering::Relaxed) < ROUNDS {
                own.put(own_numbers.fetch_add(1, Ordering::Relaxed))
                    .unwrap();
            }
        });
        let mut got: Vec<Vec<_>> = crowd.into_iter().map(|c| c.join().unwrap()).collect();
        steady_putter.join().unwrap();
        queue.close();
        got.push(steady_taker.join().unwrap());
        assert_all(got.concat(), numbers.load(Ordering::Relaxed));
    });
}

// Futures that are polled a few times and dropped, woken or not, beside those who need each
// item and each place.
#[test]
fn dropped_futures_race_with_items() {
    on_each(|| {
        let queue = Arc::new(Queue::with_maxsize(1));
        let made = Arc::new(AtomicUsize::new(0));
        let fickle: Vec<_> = (0..4)
            .map(|part| {
                let (queue, made) = (Arc::clone(&queue), Arc::clone(&made));
                start(part, move || {
                    let mut dice = Dice(part as u64 + 9);
                    let mut got = 0;
                    while !queue.is_closed() {
                        let polls = 1 + dice.below(3);
                        if part % 2 == 0 {
                            let mut future = Polled::new(queue.get_async());
                            for _ in 0..polls {
                                if let Some(item) = future.poll() {
                                    got += usize::from(item.is_ok());
                                    break;
                                }
                                coroutine::yield_now();
                            }
                        } else {
                            let mut future = Polled::new(queue.put_async(()));
                            for _ in 0..polls {
                                if let Some(put) = future.poll() {
                                    made.fetch_add(usize::from(put.is_ok()), Ordering::Relaxed);
                                    break;
                                }
                                coroutine::yield_now();
                            }
                        }
                    }
                    got
                })
            })
            .collect();
        let takers: Vec<_> = (0..3)
            .map(|n| {
                let (one, two) = (Arc::clone(&queue), Arc::clone(&queue));
                Who::ALL[n].wait(
                    move || (0..).take_while(|_| one.get().is_ok()).count(),
                    async move {
                        let mut got = 0;
                        while two.get_async().await.is_ok() {
                            got += 1;
                        }
                        got
                    },
                )
            })
            .collect();
        let putters: Vec<_> = (0..3)
            .map(|n| {
                let (one, two) = (Arc::clone(&queue), Arc::clone(&queue));
                let (made, made_too) = (Arc::clone(&made), Arc::clone(&made));
                Who::ALL[n].wait(
                    move || {
                        for _ in 0..ROUNDS / 30 {
                            one.put(()).unwrap();
                            made.fetch_add(1, Ordering::Relaxed);
                        }
                    },
                    async move {
                        for _ in 0..ROUNDS / 30 {
                            two.put_async(()).await.unwrap();
                            made_too.fetch_add(1, Ordering::Relaxed);
                        }
                    },
                )
            })
            .collect();
        for putter in putters {
            putter.join().unwrap();
        }
        queue.close();
        let mut got = 0;
        for one in fickle.into_iter().chain(takers) {
            got += one.join().unwrap();
        }
        assert_eq!(got, made.load(Ordering::Relaxed));
    });
}

// Closing in the middle of everything: what was put was got, or came out of the closing.
#[test]
fn closing_races_with_everything() {
    on_each(|| {
        for round in 0..ROUNDS / 200 {
            let queue = Arc::new(Queue::with_maxsize(1 + round % 3));
            let tasks: Vec<_> = (0..6)
                .map(|n| {
                    let (one, two) = (Arc::clone(&queue), Arc::clone(&queue));
                    let who = Who::ALL[n / 2];
                    if n % 2 == 0 {
                        who.wait(
                            move || (0..).take_while(|_| one.put(()).is_ok()).count() as isize,
                            async move {
                                let mut put = 0;
                                while two.put_async(()).await.is_ok() {
                                    put += 1;
                                }
                                put
                            },
                        )
                    } else {
                        who.wait(
                            move || {
                                let got = (0..).take_while(|_| one.get().is_ok());
                                -(got.inspect(|_| one.task_done().unwrap()).count() as isize)
                            },
                            async move {
                                let mut got = 0;
                                while two.get_async().await.is_ok() {
                                    two.task_done().unwrap();
                                    got -= 1;
                                }
                                got
                            },
                        )
                    }
                })
                .collect();
            for _ in 0..round % 7 {
                coroutine::yield_now();
            }
            let left = if round % 2 == 0 {
                queue.close();
                0
            } else {
                queue.close_now().len() as isize
            };
            let balance: isize = tasks.into_iter().map(|task| task.join().unwrap()).sum();
            assert_eq!(balance, left);
            queue.join().unwrap();
            assert_eq!(queue.unfinished(), 0);
        }
    });
}

// One future a round, polled once and dropped while the round's item, or room, comes: somebody
// else needs it, and nobody comes by who could help out.
#[test]
fn a_wake_of_a_dropped_future_goes_on() {
    const ROUNDS_HERE: usize = ROUNDS / 5;
    on_each(|| {
        for puts in [false, true] {
            let queue = Arc::new(Queue::with_maxsize(1));
            let round = Arc::new(AtomicUsize::new(0));
            let (own, own_round) = (Arc::clone(&queue), Arc::clone(&round));
            let fickle = spawn(move || {
                let mut dice = Dice(3);
                for now in 0..ROUNDS_HERE {
                    // What is ready at once is part of the round, too.
                    if puts {
                        let mut future = Polled::new(own.put_async(()));
                        future.poll();
                        dawdle(&mut dice);
                    } else {
                        let mut future = Polled::new(own.get_async());
                        if let Some(item) = future.poll() {
                            item.unwrap();
                            own.task_done().unwrap();
                        }
                        dawdle(&mut dice);
                    }
                    until(|| own_round.load(Ordering::SeqCst) > now);
                }
            });
            let own = Arc::clone(&queue);
            let steady = spawn(move || {
                if puts {
                    while own.put(()).is_ok() {}
                } else {
                    while own.get().is_ok() {
                        own.task_done().unwrap();
                    }
                }
            });
            let mut dice = Dice(5);
            for now in 0..ROUNDS_HERE {
                dawdle(&mut dice);
                if puts {
                    queue.get().unwrap();
                    queue.task_done().unwrap();
                    // The place was taken again.
                    until(|| queue.is_full());
                } else {
                    queue.put(()).unwrap();
                    queue.join().unwrap();
                }
                round.store(now + 1, Ordering::SeqCst);
            }
            fickle.join().unwrap();
            queue.close_now();
            steady.join().unwrap();
        }
    });
}

fn dawdle(dice: &mut Dice) {
    match dice.below(4) {
        0 => coroutine::yield_now(),
        n => (0..n * 10).for_each(|_| std::hint::spin_loop()),
    }
}
