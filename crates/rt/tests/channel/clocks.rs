//! `after`, `at`, `tick` and `never`. What is checked is what comes too early or too often:
//! how late something comes is up to the machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ropewalk_rt::channel::{
    Receiver, RecvTimeoutError, Select, TryRecvError, after, at, never, select, tick, unbounded,
};
use ropewalk_rt::coroutine;

use crate::fixture::{FAR, SOON, join_all, start, until_waits};
use crate::stage::on_each;

// It fires once, with the time that was asked for, and not before.
#[test]
fn after_fires_once() {
    on_each(|| {
        for kind in 0..2 {
            let begun = Instant::now();
            let late = after(SOON);
            let created = Instant::now();
            let (fired, late) = start(kind, move || (late.recv().unwrap(), late))
                .join()
                .unwrap();
            assert!(fired >= begun + SOON && fired <= created + SOON);
            assert!(Instant::now() >= fired);
            assert_eq!(late.try_recv(), Err(TryRecvError::Empty));
            assert_eq!(late.recv_timeout(SOON), Err(RecvTimeoutError::Timeout));
        }
    });
}

#[test]
fn what_after_says_of_itself() {
    on_each(|| {
        let late = after(FAR);
        assert_eq!(late.capacity(), Some(1));
        assert!(late.is_empty() && !late.is_full());
        assert_eq!(late.len(), 0);
        let when = Instant::now();
        let due = at(when);
        assert!(!due.is_empty() && due.is_full());
        assert_eq!((due.len(), due.clone().len()), (1, 1));
        assert_eq!(due.try_recv(), Ok(when));
        assert!(due.is_empty() && !due.is_full());
        assert_eq!((due.len(), due.clone().len()), (0, 0));
    });
}

// Without any time, in the past, and so far away that it never comes.
#[test]
fn extremes() {
    on_each(|| {
        assert!(after(Duration::ZERO).recv().is_ok());
        let past = Instant::now();
        coroutine::sleep(Duration::from_micros(10));
        assert_eq!(at(past).recv(), Ok(past));
        let endless = after(Duration::MAX);
        assert_eq!(endless.recv_timeout(SOON), Err(RecvTimeoutError::Timeout));
        let endless = tick(Duration::MAX);
        assert_eq!(endless.recv_timeout(SOON), Err(RecvTimeoutError::Timeout));
    });
}

// Whoever of several takes it: it is taken once.
#[test]
fn clones_share_one_message() {
    on_each(|| {
        for round in 0..10 {
            let late = after(Duration::from_micros(200 * round));
            let taken = Arc::new(AtomicUsize::new(0));
            let takers: Vec<_> = (0..4)
                .map(|n| {
                    let (late, taken) = (late.clone(), Arc::clone(&taken));
                    start(n, move || {
                        let got = late.recv_timeout(Duration::from_millis(3));
                        taken.fetch_add(usize::from(got.is_ok()), Ordering::SeqCst);
                    })
                })
                .collect();
            join_all(takers);
            taken.fetch_add(late.try_iter().count(), Ordering::SeqCst);
            assert_eq!(taken.load(Ordering::SeqCst), 1);
        }
    });
}

// Of a few alarms the earliest is first, in whichever order they are waited for.
#[test]
fn the_earliest_wins() {
    on_each(|| {
        for order in [[1, 600, 900], [900, 1, 600], [600, 900, 1]] {
            let alarms = order.map(|tenths| after(Duration::from_secs(tenths) / 10));
            let mut select = Select::new();
            alarms.iter().for_each(|alarm| {
                select.recv(alarm);
            });
            let operation = select.select();
            let index = operation.index();
            assert_eq!(order[index], 1);
            operation.recv(&alarms[index]).unwrap();
            assert!(alarms.iter().all(|alarm| alarm.is_empty()));
        }
    });
}

// A loop that does something until its time is over.
#[test]
fn a_time_limit_for_a_loop() {
    on_each(|| {
        let (sender, receiver) = unbounded();
        let begun = Instant::now();
        let limit = after(SOON * 2);
        let mut rounds = 0_u32;
        loop {
            select! {
                recv(receiver) -> n => rounds = n.unwrap(),
                recv(limit) -> _ => break,
                default => sender.send(rounds + 1).unwrap(),
            }
        }
        assert!(begun.elapsed() >= SOON * 2);
    });
}

// A time-out in a select, by an arm and by a default; the message that comes later is there.
#[test]
fn an_arm_as_a_time_out() {
    on_each(|| {
        let (sender, receiver) = unbounded();
        let begun = Instant::now();
        select! {
            recv(receiver) -> _ => panic!("nobody sends"),
            recv(after(SOON)) -> fired => assert!(fired.unwrap() >= begun + SOON),
        }
        assert!(begun.elapsed() >= SOON);
        let partner = start(1, move || sender.send(1));
        select! {
            recv(receiver) -> n => assert_eq!(n, Ok(1)),
            recv(after(FAR)) -> _ => panic!("an hour is not over"),
        }
        partner.join().unwrap().unwrap();
    });
}

// Readiness doesn't take the message.
#[test]
fn becoming_ready() {
    on_each(|| {
        let late = after(SOON);
        let other = after(FAR);
        let mut select = Select::new();
        assert_eq!(select.recv(&other), 0);
        assert_eq!(select.recv(&late), 1);
        assert!(select.try_ready().is_err() || late.len() == 1);
        assert_eq!(select.ready(), 1);
        assert_eq!(select.ready(), 1);
        assert!(late.try_recv().is_ok());
        assert!(select.try_ready().is_err());
        assert!(select.ready_timeout(SOON).is_err());
    });
}

// One tick after another: each at least a period after the one before was taken.
#[test]
fn ticks_keep_their_distance() {
    on_each(|| {
        let begun = Instant::now();
        let ticker = tick(SOON);
        let mut last = begun;
        for _ in 0..4 {
            let fired = ticker.recv().unwrap();
            assert!(fired >= last + SOON, "{:?}", fired - last);
            assert!(Instant::now() >= fired);
            last = fired;
        }
        assert!(begun.elapsed() >= SOON * 4);
    });
}

// Who is late finds one message, not all that were due: the next is a period away from when this
// one was taken.
#[test]
fn late_for_a_tick() {
    on_each(|| {
        let period = Duration::from_millis(5);
        let begun = Instant::now();
        let ticker = tick(period);
        coroutine::sleep(period * 4);
        assert_eq!((ticker.len(), ticker.is_full()), (1, true));
        let before = Instant::now();
        let first = ticker.try_recv().unwrap();
        assert!(first >= begun + period && first <= before);
        let second = ticker.recv().unwrap();
        assert!(second >= before + period, "{:?}", second - before);
        assert!(Instant::now() >= second);
    });
}

#[test]
fn what_tick_says_of_itself() {
    on_each(|| {
        let ticker = tick(FAR);
        assert_eq!((ticker.capacity(), ticker.len()), (Some(1), 0));
        assert!(ticker.is_empty() && !ticker.is_full());
        assert_eq!(ticker.try_recv(), Err(TryRecvError::Empty));
        assert_eq!(ticker.recv_timeout(SOON), Err(RecvTimeoutError::Timeout));
    });
}

// Several share a ticker: they count no more ticks than there was time for.
#[test]
fn a_shared_ticker() {
    on_each(|| {
        let begun = Instant::now();
        let ticker = tick(SOON);
        let sinks: Vec<_> = (0..4)
            .map(|n| {
                let ticker = ticker.clone();
                start(n, move || (0..3).filter(|_| ticker.recv().is_ok()).count())
            })
            .collect();
        let ticks: usize = join_all(sinks).into_iter().sum();
        assert_eq!(ticks, 12);
        assert!(begun.elapsed() >= SOON * 12);
    });
}

// Two tickers in one select: each has its turns.
#[test]
fn two_tickers() {
    on_each(|| {
        let begun = Instant::now();
        let (fast, slow) = (tick(SOON), tick(SOON * 3));
        let (mut fasts, mut slows) = (0, 0);
        while fasts < 4 || slows < 2 {
            select! {
                recv(fast) -> fired => { fired.unwrap(); fasts += 1 }
                recv(slow) -> fired => { fired.unwrap(); slows += 1 }
            }
            assert!(begun.elapsed() >= SOON * fasts && begun.elapsed() >= SOON * 3 * slows);
        }
    });
}

// Nothing ever comes: in all forms.
#[test]
fn never_is_never() {
    on_each(|| {
        let nothing: Receiver<String> = never();
        assert_eq!((nothing.capacity(), nothing.len()), (Some(0), 0));
        assert!(nothing.is_empty() && nothing.is_full());
        assert_eq!(nothing.try_recv(), Err(TryRecvError::Empty));
        let begun = Instant::now();
        assert_eq!(nothing.recv_timeout(SOON), Err(RecvTimeoutError::Timeout));
        assert!(begun.elapsed() >= SOON);
        select! {
            recv(nothing) -> _ => unreachable!(),
            default(SOON) => {}
        }
        select! {
            recv(nothing) -> _ => unreachable!(),
            default => {}
        }
        let mut select = Select::new();
        select.recv(&nothing);
        assert!(select.try_select().is_err() && select.select_timeout(SOON).is_err());
        assert!(select.try_ready().is_err() && select.ready_timeout(SOON).is_err());
        // A static one, as it is `const`.
        static NOTHING: Receiver<u8> = never();
        assert!(NOTHING.try_recv().is_err());
    });
}

// An arm that is there or not.
#[test]
fn optional_arms() {
    on_each(|| {
        let (sender, receiver) = unbounded();
        for n in 0..20 {
            let wanted = (n % 2 == 0).then_some(&receiver);
            let nothing = never();
            sender.send(n).unwrap();
            let got = select! {
                recv(wanted.unwrap_or(&nothing)) -> n => n.ok(),
                default => None,
            };
            assert_eq!(got.is_some(), n % 2 == 0);
        }
        assert_eq!(receiver.len(), 10);
        // Several times the same channel of nothing.
        let limit = after(FAR);
        let waiter = start(0, move || {
            let nothing = never::<u8>();
            select! {
                recv(nothing) -> _ => unreachable!(),
                recv(receiver) -> n => n.unwrap(),
                recv(never::<u8>()) -> _ => unreachable!(),
                recv(limit) -> _ => unreachable!(),
            }
        });
        assert_eq!(waiter.join().unwrap(), 10);
    });
}

// Many wait for many alarms at once.
#[test]
fn many_alarms() {
    on_each(|| {
        let sleepers: Vec<_> = (0..200_u64)
            .map(|n| {
                let late = after(Duration::from_micros(n * 17 % 3_000));
                start((n % 16) as usize, move || {
                    let fired = late.recv().unwrap();
                    Instant::now() >= fired
                })
            })
            .collect();
        assert!(join_all(sleepers).into_iter().all(|in_time| in_time));
    });
}

// Waiting for time can be ended like other waiting.
#[test]
fn a_cancelled_wait_for_time() {
    on_each(|| {
        for receiver in [after(FAR), tick(FAR), never()] {
            for kind in 0..2 {
                let receiver = receiver.clone();
                let waiter = start(kind, move || receiver.recv().is_err());
                until_waits(&waiter, "receiving");
                waiter.cancel();
                assert!(waiter.join().unwrap());
            }
        }
    });
}
