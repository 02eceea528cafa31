//! The faults: what is put in the place of what.

/// A way to break a protocol.
#[allow(
    dead_code,
    reason = "all but the name is for the build script, or all is"
)]
pub(crate) struct Fault {
    pub(crate) name: &'static str,
    /// The source, below `crates/`.
    pub(crate) file: &'static str,
    /// Where to look: behind this text; empty: it is the only place.
    pub(crate) after: &'static str,
    /// What stands there; white space doesn't matter. A statement, with its end, or an expression.
    pub(crate) real: &'static str,
    pub(crate) broken: &'static str,
}

pub(crate) const FAULTS: &[Fault] = &[
    // The claim word.
    Fault {
        name: "a claim does not ask whether the wait is decided",
        file: "kernel/src/wait/queue.rs",
        after: "",
        real: "wait.is_mine_to_decide()",
        broken: "true",
    },
    Fault {
        name: "a deadline does not ask whether the wait is decided",
        file: "kernel/src/wait/waiting.rs",
        after: "",
        real: "wait.decide(EXPIRED).is_ok()",
        broken: "{ wait.claim.store(EXPIRED, Ordering::Release); true }",
    },
    Fault {
        name: "a thread leaves its wait before it has the token",
        file: "kernel/src/wait/waiting.rs",
        after: "",
        real: "parker.take();",
        broken: "",
    },
    // The queue.
    Fault {
        name: "the queue's lock is given back without release",
        file: "kernel/src/wait/queue.rs",
        after: "",
        real: "self.queue .state .store(self.head as usize, Ordering::Release);",
        broken: "self.queue.state.store(self.head as usize, Ordering::Relaxed);",
    },
    Fault {
        name: "the look for waiters is only an acquire",
        file: "kernel/src/wait/queue.rs",
        after: "",
        real: "self.state.load(Ordering::SeqCst) == 0",
        broken: "self.state.load(Ordering::Acquire) == 0",
    },
    Fault {
        name: "the queue's lock is only an acquire",
        file: "kernel/src/wait/queue.rs",
        after: "",
        real: "self.state .compare_exchange_weak( unlocked, unlocked | LOCKED, Ordering::SeqCst, Ordering::Relaxed, )",
        broken: "self.state.compare_exchange_weak(unlocked, unlocked | LOCKED, Ordering::Acquire, Ordering::Relaxed)",
    },
    Fault {
        name: "waking all wakes the first",
        file: "kernel/src/wait/queue.rs",
        after: "",
        real: "guard.len()",
        broken: "0",
    },
    // Several queues, and cancellation.
    Fault {
        name: "a ready object ends a wait that was claimed",
        file: "kernel/src/wait/any.rs",
        after: "",
        real: "wait.decide(EXPIRED).is_ok()",
        broken: "{ let _ = wait.decide(EXPIRED); true }",
    },
    Fault {
        name: "a thread does not look at the flag after naming its wait",
        file: "kernel/src/cancel.rs",
        after: "fn while_named",
        real: "f(cancelled)",
        broken: "f(false)",
    },
    Fault {
        name: "a cancellation does not ask whether the wait is decided",
        file: "kernel/src/wait/queue.rs",
        after: "fn cancel_thread",
        real: "self.decide(CANCELLED).is_ok()",
        broken: "{ self.claim.store(CANCELLED, Ordering::Release); true }",
    },
    Fault {
        name: "a coroutine does not name its wait",
        file: "kernel/src/wait/waiting.rs",
        after: "",
        real: "record.wait.set(Named::queue(wait));",
        broken: "",
    },
    Fault {
        name: "a waiter does not see that it was moved",
        file: "kernel/src/wait/queue.rs",
        after: "",
        real: "self.queue.load(Ordering::Relaxed) != queue",
        broken: "false",
    },
    // The mutex.
    Fault {
        name: "unlocking a mutex is no release",
        file: "rt/src/sync/mutex.rs",
        after: "unsafe fn unlock",
        real: "self .state .compare_exchange(LOCKED, 0, Ordering::Release, Ordering::Relaxed)",
        broken: "self.state.compare_exchange(LOCKED, 0, Ordering::Relaxed, Ordering::Relaxed)",
    },
    Fault {
        name: "unlocking a mutex forgets the others who wait",
        file: "rt/src/sync/mutex.rs",
        after: "fn unlock_slow",
        real: "if guard.is_empty() { 0 } else { WAITERS }",
        broken: "0",
    },
    Fault {
        name: "a mutex is free while it is handed over",
        file: "rt/src/sync/mutex.rs",
        after: "fn unlock_slow",
        real: "keep = LOCKED;",
        broken: "",
    },
    Fault {
        name: "who waits for a mutex does not say so",
        file: "rt/src/sync/mutex.rs",
        after: "fn take_or_announce",
        real: "state | WAITERS",
        broken: "state",
    },
    Fault {
        name: "a future that gives a mutex up passes nothing on",
        file: "rt/src/sync/mutex.rs",
        after: "fn abandon",
        real: "self.is_free()",
        broken: "false",
    },
    Fault {
        name: "a waiter is moved to a lock that is not told",
        file: "rt/src/sync/mutex.rs",
        after: "fn announce_if_held",
        real: "state | WAITERS",
        broken: "state",
    },
    // The semaphore.
    Fault {
        name: "giving a permit is no release",
        file: "rt/src/sync/semaphore/raw.rs",
        after: "fn give(",
        real: "self.state.compare_exchange_weak( state, state + (n << SHIFT), Ordering::Release, Ordering::Relaxed, )",
        broken: "self.state.compare_exchange_weak(state, state + (n << SHIFT), Ordering::Relaxed, Ordering::Relaxed)",
    },
    Fault {
        name: "who waits for a permit does not say so",
        file: "rt/src/sync/semaphore/raw.rs",
        after: "fn take_or_announce",
        real: "state | WAITERS",
        broken: "state",
    },
    Fault {
        name: "who gives a permit up serves nobody",
        file: "rt/src/sync/semaphore/raw.rs",
        after: "fn take_slow",
        real: "self.serve(self.queue.lock(), Serve::All);",
        broken: "",
    },
    Fault {
        name: "a future that gives a permit up serves nobody",
        file: "rt/src/sync/semaphore/raw.rs",
        after: "fn leave",
        real: "self.serve(self.queue.lock(), whom);",
        broken: "",
    },
    Fault {
        name: "a permit is handed over and stays free",
        file: "rt/src/sync/semaphore/raw.rs",
        after: "fn serve",
        real: "self.take_for_waiter(waiting.wants)",
        broken: "true",
    },
    // The promise.
    Fault {
        name: "a settled promise is settled again",
        file: "rt/src/promise.rs",
        after: "let claim",
        real: "word & CLAIMED == 0",
        broken: "true",
    },
    Fault {
        name: "a promise is done without an order to the look for waiters",
        file: "rt/src/promise.rs",
        after: "let word = loop",
        real: "self .word .fetch_update(Ordering::SeqCst, Ordering::SeqCst, publish)",
        broken: "self.word.fetch_update(Ordering::AcqRel, Ordering::Acquire, publish)",
    },
    Fault {
        name: "a handle of a promise that is not done takes the outcome",
        file: "rt/src/promise.rs",
        after: "fetch_or(GONE",
        real: "word & DONE != 0",
        broken: "true",
    },
    Fault {
        name: "a promise is done before its callbacks are called",
        file: "rt/src/promise.rs",
        after: "let publish",
        real: "(word & CALLBACKS == 0)",
        broken: "true",
    },
    // The channels.
    Fault {
        name: "a full slot is stamped without release",
        file: "rt/src/channel/ring.rs",
        after: "fn push",
        real: "slot.stamp.store(position | FULL, Ordering::Release);",
        broken: "slot.stamp.store(position | FULL, Ordering::Relaxed);",
    },
    Fault {
        name: "a receiver does not look again under the lock",
        file: "rt/src/channel/buffered.rs",
        after: "pub(super) fn recv(",
        real: "!self.buffer.is_idle()",
        broken: "false",
    },
    Fault {
        name: "the tail is moved without an order to the look for receivers",
        file: "rt/src/channel/ring.rs",
        after: "fn claim_tail",
        real: "self.tail.compare_exchange_weak( tail, self.next(tail), Ordering::SeqCst, Ordering::Relaxed, )",
        broken: "self.tail.compare_exchange_weak(tail, self.next(tail), Ordering::AcqRel, Ordering::Relaxed)",
    },
    Fault {
        name: "nobody is told of room in a buffer",
        file: "rt/src/channel/buffered.rs",
        after: "fn made_room",
        real: "self.senders.wake_one();",
        broken: "",
    },
    Fault {
        name: "a rendezvous is let go of before the sender waits",
        file: "rt/src/channel/rendezvous.rs",
        after: "pub(super) fn send(",
        real: "(message, locked)",
        broken: "{ drop(locked); (message, self.lock()) }",
    },
    Fault {
        name: "closing a rendezvous wakes no receiver",
        file: "rt/src/channel/rendezvous.rs",
        after: "fn disconnect",
        real: "self.receivers.wake_all();",
        broken: "",
    },
    Fault {
        name: "a token ends any wait of a thread that stood under it",
        file: "kernel/src/cancel.rs",
        after: "Waiting::Queue(wait, under) if",
        real: "concerns(*under)",
        broken: "true",
    },
    // The parker.
    Fault {
        name: "setting the token wakes nobody",
        file: "kernel/src/wait/thread.rs",
        after: "",
        real: "futex_wake(state);",
        broken: "",
    },
    Fault {
        name: "a token that was taken stays",
        file: "kernel/src/wait/thread.rs",
        after: "",
        real: "self.state.store(EMPTY, Ordering::Relaxed);",
        broken: "",
    },
    Fault {
        name: "the token is set without release",
        file: "kernel/src/wait/thread.rs",
        after: "",
        real: "(*state).swap(NOTIFIED, Ordering::Release)",
        broken: "(*state).swap(NOTIFIED, Ordering::Relaxed)",
    },
    Fault {
        name: "the token is taken without acquire",
        file: "kernel/src/wait/thread.rs",
        after: "fn take",
        real: "self.state.load(Ordering::Acquire)",
        broken: "self.state.load(Ordering::Relaxed)",
    },
    // Async tasks.
    Fault {
        name: "waking a queued task only looks",
        file: "kernel/src/future.rs",
        after: "fn wake(",
        real: "record .phase .compare_exchange_weak(phase, next, Ordering::AcqRel, Ordering::Relaxed)",
        broken: "if phase == SCHEDULED || phase == NOTIFIED { Ok(phase) } else {
            record.phase.compare_exchange_weak(phase, next, Ordering::AcqRel, Ordering::Relaxed)
        }",
    },
    Fault {
        name: "a runner does not take over from wakers",
        file: "kernel/src/future.rs",
        after: "",
        real: "record.phase.swap(RUNNING, Ordering::AcqRel);",
        broken: "record.phase.store(RUNNING, Ordering::Release);",
    },
    Fault {
        name: "a wake during a poll is overlooked",
        file: "kernel/src/future.rs",
        after: "fn pause",
        real: "idle.is_err()",
        broken: "{ record.phase.store(IDLE, Ordering::Release); false }",
    },
    Fault {
        name: "waking a running task queues it",
        file: "kernel/src/future.rs",
        after: "fn wake(",
        real: "phase == IDLE",
        broken: "phase == IDLE || phase == RUNNING",
    },
    Fault {
        name: "a task goes to sleep without release",
        file: "kernel/src/future.rs",
        after: "fn pause",
        real: "record .phase .compare_exchange(RUNNING, IDLE, Ordering::AcqRel, Ordering::Relaxed)",
        broken: "record.phase.compare_exchange(RUNNING, IDLE, Ordering::Relaxed, Ordering::Relaxed)",
    },
    // The read-write lock.
    Fault {
        name: "unlocking for reading is no release",
        file: "rt/src/sync/rwlock/api.rs",
        after: "unsafe fn unlock_shared",
        real: "self.state.compare_exchange_weak( state, state - READER, Ordering::Release, Ordering::Relaxed, )",
        broken: "self.state.compare_exchange_weak(state, state - READER, Ordering::Relaxed, Ordering::Relaxed)",
    },
    Fault {
        name: "the last reader does not look for waiters",
        file: "rt/src/sync/rwlock/api.rs",
        after: "fn is_awaited",
        real: "state & WAITERS != 0 && readers(state) == 1",
        broken: "false",
    },
    Fault {
        name: "the last other reader does not look for the upgrader",
        file: "rt/src/sync/rwlock/api.rs",
        after: "fn is_awaited",
        real: "state & UPGRADING != 0 && readers(state) == 2",
        broken: "false",
    },
    Fault {
        name: "a starved writer is handed the lock and readers may come in",
        file: "rt/src/sync/rwlock/raw.rs",
        after: "fn hand_over",
        real: "self.take_if(kind, |state| kind.fits(state))",
        broken: "true",
    },
    Fault {
        name: "a writer that gives up serves nobody",
        file: "rt/src/sync/rwlock/raw.rs",
        after: "fn take_slow",
        real: "self.serve(self.queue.lock());",
        broken: "",
    },
    Fault {
        name: "futures that want to read are not looked for",
        file: "rt/src/sync/rwlock/raw.rs",
        after: "fn serve<",
        real: "self.lookers.wake_all();",
        broken: "",
    },
    Fault {
        name: "an upgrade that fails leaves its mark",
        file: "rt/src/sync/rwlock/raw.rs",
        after: "fn upgrade_slow",
        real: "state & !UPGRADING",
        broken: "state",
    },
    // Running once.
    Fault {
        name: "an initialisation is done without an order to the look for waiters",
        file: "rt/src/sync/once.rs",
        after: "fn end",
        real: "self.once.state.store(state, Ordering::SeqCst);",
        broken: "self.once.state.store(state, Ordering::Release);",
    },
    Fault {
        name: "who waits for an initialisation does not look again",
        file: "rt/src/sync/once.rs",
        after: "fn wait_while",
        real: "!those(self.state.load(Ordering::SeqCst))",
        broken: "false",
    },
    // The lot.
    Fault {
        name: "who parks in the lot does not look whether to wait",
        file: "kernel/src/wait/lot.rs",
        after: "pub fn park",
        real: "!validate()",
        broken: "false",
    },
    Fault {
        name: "unparking in the lot wakes whoever is first",
        file: "kernel/src/wait/lot.rs",
        after: "pub fn unpark_one",
        real: "queue.lock().claim_with_token(key)",
        broken: "queue.lock().claim_next()",
    },
    // The end of a task.
    Fault {
        name: "a task is done without an order to the look for joiners",
        file: "kernel/src/task.rs",
        after: "let next = (life | DONE) - REF;",
        real: "record .life .compare_exchange_weak(life, next, Ordering::SeqCst, Ordering::Acquire)",
        broken: "record.life.compare_exchange_weak(life, next, Ordering::AcqRel, Ordering::Acquire)",
    },
    Fault {
        name: "a joiner that is woken does not look again",
        file: "kernel/src/task.rs",
        after: "pub fn wait(&self",
        real: "outcome != Outcome::Woken",
        broken: "true",
    },
    Fault {
        name: "a dropped handle does not look whether the task is done",
        file: "kernel/src/task.rs",
        after: "impl<T> Drop for Handle<T>",
        real: "record.life.fetch_or(DETACHED, Ordering::AcqRel) & DONE != 0",
        broken: "{ record.life.fetch_or(DETACHED, Ordering::AcqRel); false }",
    },
];
