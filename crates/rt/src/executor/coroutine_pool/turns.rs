//! Whose turn it is in a pool of coroutines: so many seats, and those who wait for one, in the
//! order in which they came.
//!
//! # States
//!
//! ```text
//!   enter: no seat is free ──▶ Waiting ──a seat is given up──▶ Granted ──polled──▶ Over (seated)
//!   enter: one is free ──────────────────────────────────────▶ Granted
//!   dropped before it was polled with a seat: Over; a seat it had goes to the next
//! ```
//!
//! A seat is either free, granted to a ticket, or somebody's who runs. One is free only while nobody waits.
//! Lock order: the state's lock before a ticket's. Wakers are called outside both.

use std::collections::VecDeque;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ropewalk_kernel::clock;

use crate::executor::WorkerInsight;

pub(super) struct Turns {
    state: Mutex<State>,
    born_ns: u64,
}

struct State {
    /// The numbers of the free seats.
    free: Vec<usize>,
    seats: Vec<History>,
    waiting: VecDeque<Arc<Mutex<Ticket>>>,
    /// How many of those wait no longer.
    gone: usize,
}

/// What was done in a seat.
#[derive(Clone, Copy, Default)]
struct History {
    tasks: u64,
    busy_ns: u64,
    /// Since when somebody sits there.
    since_ns: Option<u64>,
}

enum Ticket {
    Waiting(Option<Waker>),
    Granted(usize),
    Over,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Turns {
    pub(super) fn new(seats: usize) -> Turns {
        Turns {
            state: Mutex::new(State {
                free: (0..seats).rev().collect(),
                seats: vec![History::default(); seats],
                waiting: VecDeque::new(),
                gone: 0,
            }),
            born_ns: clock::now_ns(),
        }
    }

    /// Gets in line; the order of these calls is the order of the turns.
    pub(super) fn enter(self: &Arc<Self>) -> Turn {
        let mut state = lock(&self.state);
        let ticket = match state.free.pop() {
            Some(seat) => Arc::new(Mutex::new(Ticket::Granted(seat))),
            None => {
                let ticket = Arc::new(Mutex::new(Ticket::Waiting(None)));
                state.waiting.push_back(Arc::clone(&ticket));
                ticket
            }
        };
        drop(state);
        let turns = Arc::clone(self);
        Turn { turns, ticket }
    }

    /// How many seats there are.
    pub(super) fn seats(&self) -> usize {
        lock(&self.state).seats.len()
    }

    /// How many are taken, and how many wait for one.
    pub(super) fn counts(&self) -> (usize, usize) {
        let state = lock(&self.state);
        let waiting = state.waiting.len() - state.gone;
        (state.seats.len() - state.free.len(), waiting)
    }

    pub(super) fn insights(&self) -> Vec<WorkerInsight> {
        let seats = lock(&self.state).seats.clone();
        let now = clock::now_ns();
        let life = now.saturating_sub(self.born_ns);
        let insight = |(number, seat): (usize, History)| {
            let sits = seat.since_ns.map_or(0, |since| now.saturating_sub(since));
            let busy = seat.busy_ns + sits;
            let mut insight = WorkerInsight::new(format!("seat {number}"));
            insight.tasks = seat.tasks;
            insight.busy = Duration::from_nanos(busy);
            insight.idle = Duration::from_nanos(life.saturating_sub(busy));
            insight
        };
        seats.into_iter().enumerate().map(insight).collect()
    }

    /// Gives a seat to the next who waits, or notes that it is free.
    fn hand_on(&self, seat: usize) {
        let mut state = lock(&self.state);
        let waker = loop {
            let Some(next) = state.waiting.pop_front() else {
                state.free.push(seat);
                break None;
            };
            let mut ticket = lock(&next);
            if let Ticket::Waiting(waker) = &mut *ticket {
                let waker = waker.take();
                *ticket = Ticket::Granted(seat);
                break waker;
            }
            state.gone -= 1;
        };
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// A place in the line; as a future it gives a [`Seated`].
pub(super) struct Turn {
    turns: Arc<Turns>,
    ticket: Arc<Mutex<Ticket>>,
}

impl Future for Turn {
    type Output = Seated;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Seated> {
        let mut ticket = lock(&self.ticket);
        match &mut *ticket {
            Ticket::Waiting(waker) => {
                match waker {
                    Some(waker) => waker.clone_from(context.waker()),
                    None => *waker = Some(context.waker().clone()),
                }
                Poll::Pending
            }
            Ticket::Granted(seat) => {
                let seat = *seat;
                *ticket = Ticket::Over;
                drop(ticket);
                let since_ns = Some(clock::now_ns());
                lock(&self.turns.state).seats[seat].since_ns = since_ns;
                let turns = Arc::clone(&self.turns);
                Poll::Ready(Seated { turns, seat })
            }
            Ticket::Over => unreachable!("a turn is taken once"),
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = lock(&self.turns.state);
        let ticket = mem::replace(&mut *lock(&self.ticket), Ticket::Over);
        match ticket {
            Ticket::Granted(seat) => {
                drop(state);
                self.turns.hand_on(seat);
            }
            Ticket::Waiting(_) => {
                state.gone += 1;
                if state.gone > 32 && state.gone > state.waiting.len() / 2 {
                    let waits = |ticket: &Arc<_>| matches!(&*lock(ticket), Ticket::Waiting(_));
                    state.waiting.retain(waits);
                    state.gone = 0;
                }
            }
            Ticket::Over => {}
        }
    }
}

/// The right to run; given on when it is dropped.
pub(super) struct Seated {
    turns: Arc<Turns>,
    seat: usize,
}

impl Drop for Seated {
    fn drop(&mut self) {
        let mut state = lock(&self.turns.state);
        let history = &mut state.seats[self.seat];
        history.tasks += 1;
        if let Some(since) = history.since_ns.take() {
            history.busy_ns += clock::now_ns().saturating_sub(since);
        }
        drop(state);
        self.turns.hand_on(self.seat);
    }
}
