//! Locks and conditions: a wait that is cancelled, or whose time is over, against the unlocking
//! or the notification. In the end nobody holds the lock, and who waits behind has had it.

use std::sync::Arc;

use ropewalk_rt::coroutine;
use ropewalk_rt::sync::{
    Condvar, Mutex, MutexExt, MutexGuard, ReentrantMutex, ReentrantMutexExt, RwLock, RwLockExt,
    RwLockUpgradableReadGuard,
};

use crate::duel::{Form, Score, duel, is_cancelled, rounds};
use crate::stage::in_coroutines;

fn lock(mutex: &Mutex<u64>, form: Form) -> Option<MutexGuard<'_, u64>> {
    match form {
        Form::Plain => mutex.lock_cancellable().ok(),
        Form::Timeout(limit) => mutex.try_lock_for(limit),
        Form::Deadline(when) => mutex.try_lock_until(when),
    }
}

#[test]
fn mutexes() {
    in_coroutines(|| {
        let mutex = Arc::new(Mutex::new(0));
        let (mut score, mut got) = (Score::default(), 0);
        for round in 0..rounds() {
            let guard = mutex.lock();
            let (own, others) = (Arc::clone(&mutex), Arc::clone(&mutex));
            let mut behind = None;
            let took = duel(
                round,
                move |form| lock(&own, form).map(|mut guard| *guard += 1).is_some(),
                || {
                    behind = Some(coroutine::spawn(move || *others.lock() += 1));
                    drop(guard);
                },
            );
            behind.unwrap().join().unwrap();
            score.count(took == Some(true));
            got += 1 + u64::from(took == Some(true));
            assert_eq!(mutex.try_lock().map(|guard| *guard), Some(got));
        }
        score.assert_both_seen();
    });
}

#[test]
fn reentrant_mutexes() {
    in_coroutines(|| {
        let mutex = Arc::new(ReentrantMutex::new(()));
        let mut score = Score::default();
        for round in 0..rounds() {
            let guard = mutex.lock();
            let own = Arc::clone(&mutex);
            let took = duel(
                round,
                move |form| {
                    let outer = match form {
                        Form::Plain => own.lock_cancellable().ok(),
                        Form::Timeout(limit) => own.try_lock_for(limit),
                        Form::Deadline(when) => own.try_lock_until(when),
                    };
                    outer.map(|_outer| drop(own.lock())).is_some()
                },
                || drop(guard),
            );
            score.count(took == Some(true));
            assert!(!mutex.is_locked());
        }
        score.assert_both_seen();
    });
}

/// Writes, reads, or reads and then writes, and counts if it has written.
fn enter(lock: &RwLock<u64>, kind: u64, form: Form) -> Option<u64> {
    let read = |seen: u64| {
        assert!(!lock.is_locked_exclusive());
        (seen > u64::MAX / 2).into()
    };
    match kind {
        0 => match form {
            Form::Plain => lock.read_cancellable().ok(),
            Form::Timeout(limit) => lock.try_read_for(limit),
            Form::Deadline(when) => lock.try_read_until(when),
        }
        .map(|guard| read(*guard)),
        1 => match form {
            Form::Plain => lock.write_cancellable().ok(),
            Form::Timeout(limit) => lock.try_write_for(limit),
            Form::Deadline(when) => lock.try_write_until(when),
        }
        .map(|mut guard| {
            *guard += 1;
            1
        }),
        _ => match form {
            Form::Plain => lock.upgradable_read_cancellable().ok(),
            Form::Timeout(limit) => lock.try_upgradable_read_for(limit),
            Form::Deadline(when) => lock.try_upgradable_read_until(when),
        }
        .map(|guard| {
            let upgraded = match form {
                Form::Plain => RwLockUpgradableReadGuard::try_upgrade(guard),
                Form::Timeout(limit) => RwLockUpgradableReadGuard::try_upgrade_for(guard, limit),
                Form::Deadline(when) => RwLockUpgradableReadGuard::try_upgrade_until(guard, when),
            };
            upgraded.map_or(0, |mut guard| {
                *guard += 1;
                1
            })
        }),
    }
}

#[test]
fn rw_locks() {
    in_coroutines(|| {
        let lock = Arc::new(RwLock::new(0));
        let (mut score, mut written) = (Score::default(), 0);
        for round in 0..rounds() {
            let (own, others) = (Arc::clone(&lock), Arc::clone(&lock));
            // Held by a writer, or by a reader; behind the waiter stands one of each.
            let kind = round / 32 % 3;
            let writer = (round & 32 == 0).then(|| lock.write());
            let reader = writer.is_none().then(|| lock.read());
            let mut behind = None;
            let wrote = duel(
                round,
                move |form| enter(&own, kind, form),
                || {
                    let readers = Arc::clone(&others);
                    behind = Some([
                        coroutine::spawn(move || *others.write() += 1),
                        coroutine::spawn(move || drop(readers.read())),
                    ]);
                    drop((writer, reader));
                },
            );
            for one in behind.unwrap() {
                one.join().unwrap();
            }
            let wrote = wrote.flatten();
            score.count(wrote.is_some());
            written += 1 + wrote.unwrap_or(0);
            assert_eq!(lock.try_write().map(|guard| *guard), Some(written));
        }
        score.assert_both_seen();
    });
}

// One ticket and one notification for two who wait, of whom one may give up: the ticket is taken,
// so nobody who gives up takes a notification with it.
#[test]
fn conditions() {
    #[derive(Default)]
    struct Booth {
        tickets: Mutex<u32>,
        sold: Condvar,
    }
    impl Booth {
        fn sell(&self, locked: bool) {
            let mut tickets = self.tickets.lock();
            *tickets += 1;
            if !locked {
                drop(tickets);
                self.sold.notify_one();
            } else {
                self.sold.notify_one();
            }
        }

        fn buy(&self) {
            let mut tickets = self.tickets.lock();
            self.sold.wait_while(&mut tickets, |tickets| *tickets == 0);
            *tickets -= 1;
        }

        fn try_to_buy(&self, form: Form) -> bool {
            let mut tickets = self.tickets.lock();
            while *tickets == 0 {
                let ended = match form {
                    Form::Plain => self.sold.wait_cancellable(&mut tickets).is_err(),
                    Form::Timeout(limit) => self.sold.wait_for(&mut tickets, limit).timed_out(),
                    Form::Deadline(when) => self.sold.wait_until(&mut tickets, when).timed_out(),
                };
                if ended {
                    return false;
                }
            }
            *tickets -= 1;
            true
        }
    }
    in_coroutines(|| {
        let mut score = Score::default();
        for round in 0..rounds() {
            let booth = Arc::new(Booth::default());
            let (own, other) = (Arc::clone(&booth), Arc::clone(&booth));
            let patient = coroutine::spawn(move || other.buy());
            if round & 64 == 0 {
                coroutine::yield_now();
            }
            let sale = Arc::clone(&booth);
            let bought = duel(
                round,
                move |form| own.try_to_buy(form),
                // One more for who would else wait for ever.
                || {
                    sale.sell(round & 128 == 0);
                    if !is_cancelled(round) {
                        sale.sell(round & 256 == 0);
                    }
                },
            );
            let bought = bought == Some(true);
            score.count(bought);
            if bought && is_cancelled(round) {
                booth.sell(true);
            }
            patient.join().unwrap();
            let left = u32::from(!is_cancelled(round) && !bought);
            assert_eq!(*booth.tickets.lock(), left);
        }
        score.assert_both_seen();
    });
}
