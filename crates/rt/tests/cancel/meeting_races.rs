//! Events, barriers, groups, what is initialised once, and tokens: a wait that is cancelled, or
//! whose time is over, against what it waits for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use ropewalk_rt::cancel::{Token, WaitError};
use ropewalk_rt::sync::{Barrier, Event, Once, OnceLock, Semaphore, WaitGroup};
use ropewalk_rt::{Group, coroutine};

use crate::duel::{Form, Score, duel, is_cancelled, rounds};
use crate::stage::in_coroutines;

// Who has no limit goes on in each round, whatever those with one do.
#[test]
fn events() {
    in_coroutines(|| {
        let mut score = Score::default();
        for round in 0..rounds() {
            let event = Arc::new(Event::new());
            let (own, other) = (Arc::clone(&event), Arc::clone(&event));
            let patient = coroutine::spawn(move || other.wait());
            let result = duel(
                round,
                move |form| match form {
                    Form::Plain => own.wait().map_err(|_| WaitError::Cancelled),
                    Form::Timeout(limit) => own.wait_timeout(limit),
                    Form::Deadline(when) => own.wait_deadline(when),
                },
                || {
                    event.set();
                    if is_cancelled(round) {
                        event.clear();
                    }
                },
            );
            score.count(result == Some(Ok(())));
            // Was it late, it finds the flag down again.
            event.set();
            assert!(patient.join().unwrap().is_ok());
        }
        score.assert_both_seen();
    });
}

// Permits of several at once: taken, or there.
#[test]
fn semaphores() {
    in_coroutines(|| {
        let permits = Arc::new(Semaphore::new(0));
        let mut score = Score::default();
        for round in 0..rounds() {
            let own = Arc::clone(&permits);
            let taken = duel(
                round,
                move |form| {
                    let taken = match form {
                        Form::Plain => own.acquire_many(2).map_err(|_| WaitError::Cancelled),
                        Form::Timeout(limit) => own.acquire_many_timeout(2, limit),
                        Form::Deadline(when) => own.acquire_many_deadline(2, when),
                    };
                    taken.map(|permit| permit.forget()).is_ok()
                },
                || {
                    permits.release();
                    permits.release();
                },
            );
            score.count(taken == Some(true));
            if taken != Some(true) {
                permits
                    .try_acquire_many(2)
                    .expect("both are there")
                    .forget();
            }
            assert_eq!(permits.available_permits(), 0);
        }
        score.assert_both_seen();
    });
}

// Two are needed. Whoever gave up is not counted: the other meets the next one.
#[test]
fn barriers() {
    in_coroutines(|| {
        let barrier = Arc::new(Barrier::new(2));
        let mut score = Score::default();
        for round in 0..rounds() {
            let (own, others) = (Arc::clone(&barrier), Arc::clone(&barrier));
            let mut partner = None;
            let result = duel(
                round,
                move |form| match form {
                    Form::Plain => own.wait_cancellable().map_err(|_| WaitError::Cancelled),
                    Form::Timeout(limit) => own.wait_timeout(limit),
                    Form::Deadline(when) => own.wait_deadline(when),
                },
                || partner = Some(coroutine::spawn(move || others.wait().is_leader())),
            );
            let met = result.and_then(Result::ok);
            score.count(met.is_some());
            let led = met.unwrap_or_else(|| barrier.wait()).is_leader();
            assert_ne!(partner.unwrap().join().unwrap(), led, "one of two leads");
        }
        score.assert_both_seen();
    });
}

// Whoever gave up is a member again, and may wait anew.
#[test]
fn wait_groups() {
    in_coroutines(|| {
        let mut score = Score::default();
        for round in 0..rounds() {
            let group = WaitGroup::new();
            let (member, patient) = (group.clone(), group.clone());
            let patient = coroutine::spawn(move || patient.wait());
            let result = duel(
                round,
                move |form| match form {
                    Form::Plain => group.wait_cancellable(),
                    Form::Timeout(limit) => group.wait_timeout(limit),
                    Form::Deadline(when) => group.wait_deadline(when),
                },
                || drop(member),
            );
            score.count(matches!(result, Some(Ok(()))));
            if let Some(Err(unfinished)) = result {
                unfinished.group.wait();
            }
            patient.join().unwrap();
        }
        score.assert_both_seen();
    });
}

// Waiting for somebody else's initialiser, which fails in some rounds and is run again then.
#[test]
fn once() {
    in_coroutines(|| {
        let mut score = Score::default();
        for round in 0..rounds() {
            let place = Arc::new(OnceLock::new());
            let (own, other) = (Arc::clone(&place), Arc::clone(&place));
            let patient = coroutine::spawn(move || *other.wait());
            let runs = AtomicU32::new(0);
            let result = duel(
                round,
                move |form| match form {
                    Form::Plain => Ok(*own.wait()),
                    Form::Timeout(limit) => own.wait_timeout(limit).copied(),
                    Form::Deadline(when) => own.wait_deadline(when).copied(),
                },
                || {
                    let fails = round & 64 == 0;
                    let failed = place.get_or_try_init(|| {
                        runs.fetch_add(1, Ordering::Relaxed);
                        coroutine::yield_now();
                        if fails { Err(()) } else { Ok(round) }
                    });
                    assert_eq!(failed.is_err(), fails);
                    place.get_or_init(|| round);
                },
            );
            let seen = matches!(result, Some(Ok(value)) if value == round);
            score.count(seen);
            assert_eq!(runs.into_inner(), 1);
            assert_eq!(patient.join().unwrap(), round);
        }
        score.assert_both_seen();
    });
}

#[test]
fn once_run() {
    in_coroutines(|| {
        let mut score = Score::default();
        for round in 0..rounds() {
            let once = Arc::new(Once::new());
            let (own, other) = (Arc::clone(&once), Arc::clone(&once));
            let patient = coroutine::spawn(move || other.wait());
            let result = duel(
                round,
                move |form| match form {
                    Form::Plain => {
                        own.wait();
                        Ok(())
                    }
                    Form::Timeout(limit) => own.wait_timeout(limit),
                    Form::Deadline(when) => own.wait_deadline(when),
                },
                || once.call_once(coroutine::yield_now),
            );
            score.count(result == Some(Ok(())));
            patient.join().unwrap();
        }
        score.assert_both_seen();
    });
}

// One token waited for under another.
#[test]
fn tokens() {
    in_coroutines(|| {
        let mut score = Score::default();
        for round in 0..rounds() {
            let awaited = Token::root();
            let (own, other) = (awaited.clone(), awaited.clone());
            let patient = coroutine::spawn(move || other.wait());
            let seen = duel(
                round,
                move |_| {
                    own.wait();
                    own.is_cancelled()
                },
                || awaited.cancel(),
            );
            score.count(seen == Some(true));
            patient.join().unwrap();
        }
        score.assert_both_seen();
    });
}

// A group's only place, and its end.
#[test]
fn groups() {
    in_coroutines(|| {
        let mut score = Score::default();
        for round in 0..rounds() {
            let group = Arc::new(Group::with_limit(1));
            let gate = Arc::new(Event::new());
            let (own, closed) = (Arc::clone(&group), Arc::clone(&gate));
            let first = group.spawn(move || closed.wait().is_ok());
            let joins = round & 64 == 0;
            let done = duel(
                round,
                move |form| match (joins, form) {
                    (true, Form::Plain) => own.join().is_ok(),
                    (true, Form::Timeout(limit)) => own.join_timeout(limit).is_ok(),
                    (true, Form::Deadline(when)) => own.join_deadline(when).is_ok(),
                    (false, Form::Plain) => own.spawn(|| ()).join().is_ok(),
                    (false, Form::Timeout(limit)) => own.spawn_timeout(limit, || ()).is_ok(),
                    (false, Form::Deadline(when)) => own.spawn_deadline(when, || ()).is_ok(),
                },
                || gate.set(),
            );
            score.count(done == Some(true));
            assert!(first.join().unwrap());
            group.join().unwrap();
            assert!(group.try_spawn(|| ()).is_ok(), "the place is there again");
        }
        score.assert_both_seen();
    });
}
