//! Rows T3 to T8: computing and waiting, locks, conditions, semaphores.

use ropewalk::process::Process;
use ropewalk::time::Duration;

use crate::program::{t3_gil, t4_lost_update, t5_deadlock, t6_locks, t7_condition, t8_semaphore};

/// T3: two threads count faster than one. A noisy machine may hide that, but not every time.
#[test]
fn computing_scales_to_the_cores() {
    if std::thread::available_parallelism().unwrap().get() < 2 {
        return;
    }
    let measured: Vec<_> = std::iter::repeat_with(|| t3_gil::compute(2_000_000).unwrap())
        .take(200)
        .take_while(|computed| computed.threads > computed.serial.mul_f64(0.8))
        .collect();
    assert!(measured.len() < 200, "{measured:?}");
}

/// Says whether two processes counted faster than one.
#[ropewalk::task]
fn processes_are_faster(from: u64) -> bool {
    let computed = t3_gil::compute(from).unwrap();
    computed.processes < computed.serial.mul_f64(0.9)
}

/// T3: so do two processes, if there is enough to count that their start doesn't matter. That is
/// a fork, and takes long in a process with as many stacks as other tests here have: so it is
/// measured from another process.
#[test]
fn computing_scales_to_the_cores_in_processes() {
    if std::thread::available_parallelism().unwrap().get() < 2 {
        return;
    }
    let faster = || {
        let measuring = Process::spawn(processes_are_faster, (30_000_000,)).unwrap();
        measuring.join().unwrap()
    };
    assert!((0..60).any(|_| faster()));
}

/// T3: waiting in turns takes the sum of all waits, waiting together little more than one. A noisy
/// machine may hide the latter, but not every time.
#[ropewalk::test]
fn waiting_scales_to_the_tasks() {
    let (requests, delay) = (20, Duration::from_millis(50));
    let scales = || {
        let waited = t3_gil::wait(requests, delay).unwrap();
        assert!(waited.serial >= delay * requests as u32, "{waited:?}");
        let at_once = [waited.threads, waited.coroutines];
        assert!(at_once.iter().all(|took| *took >= delay), "{waited:?}");
        at_once.iter().all(|took| *took < waited.serial / 2)
    };
    assert!((0..30).any(|_| scales()));
}

/// T3: thousands of threads that are all alive at once.
#[test]
fn thousands_of_threads_work() {
    assert!(t3_gil::thousands_of_threads(2000).unwrap() >= 2000);
}

/// T4: what is not one step loses counts; with a lock, or in one step, none are lost.
#[ropewalk::test]
fn updates_are_lost_without_a_lock() {
    for start in [
        t4_lost_update::start_thread as t4_lost_update::Start,
        t4_lost_update::start_coroutine,
    ] {
        let left = t4_lost_update::load_and_store(start);
        assert!((1..t4_lost_update::TASKS).contains(&left), "{left}");
        assert_eq!(t4_lost_update::locked(start), 0);
        assert_eq!(t4_lost_update::one_step(start), 0);
    }
}

/// T5: both deadlocks are reported with every stack in them. One test, as the hook for reports
/// is the process's.
#[test]
fn deadlocks_are_reported_with_every_stack() {
    let found = t5_deadlock::two_orders().unwrap();
    assert_eq!(found.stuck.left.len(), t5_deadlock::TASKS);
    let members = found.report.members();
    let stacks: Vec<_> = members
        .iter()
        .map(|member| member.stack().expect("each stack is there"))
        .collect();
    assert_eq!(stacks.len(), 2);
    assert_ne!(members[0].lock(), members[1].lock());
    for function in ["a_then_b", "b_then_a"] {
        let inside = stacks.iter().filter(|stack| stack.contains(function));
        assert_eq!(inside.count(), 1, "{}", found.report);
    }
    // Who waits behind the circle is told of, too.
    let stuck = found.stuck.to_string();
    for number in 0..t5_deadlock::TASKS {
        assert!(stuck.contains(&format!("task {number}")), "{stuck}");
    }

    let found = t5_deadlock::twice().unwrap();
    assert_eq!(found.stuck.left.len(), 1);
    let [member] = found.report.members() else {
        panic!("{}", found.report);
    };
    let stack = member.stack().expect("its stack is there");
    for function in ["takes_it_twice", "takes_it_again"] {
        assert!(stack.contains(function), "{stack}");
    }
    assert!(found.report.to_string().contains("the only one"));
}

/// T5: either cure lets all ten through.
#[ropewalk::test]
fn deadlocks_are_cured() {
    assert_eq!(t5_deadlock::in_order(), (10, 10));
    assert_eq!(t5_deadlock::one_lock(), (10, 10));
}

fn re_entry() {
    for times in 1..4 {
        let mut expected = vec![false; times];
        expected.push(true);
        for other in [
            t6_locks::start_thread as t6_locks::Start,
            t6_locks::start_coroutine,
        ] {
            assert_eq!(t6_locks::reenter(times, other), expected);
        }
    }
    assert!(!t6_locks::plain_lock_again());
}

/// T6: n locks need n unlocks, in a thread.
#[test]
fn a_thread_may_lock_again() {
    re_entry();
}

/// T6: n locks need n unlocks, in a coroutine.
#[ropewalk::test]
fn a_coroutine_may_lock_again() {
    re_entry();
}

/// T6: what counts is the coroutine, not the thread under it.
#[test]
fn a_coroutine_of_the_same_worker_is_kept_out() {
    assert_eq!(t6_locks::same_worker().unwrap(), (false, true));
}

/// T6: a list is seen whole under the lock, and by halves without.
#[ropewalk::test]
fn a_list_is_never_seen_half_written() {
    assert_eq!(t6_locks::half_written_with_lock(300), 0);
    assert!(t6_locks::half_written_without(300).unwrap() > 0);
}

/// T7: everything arrives once, through two conditions on one lock.
#[ropewalk::test]
fn goods_arrive_through_conditions() {
    for (room, producers, consumers) in [(1, 1, 1), (1, 3, 4), (5, 4, 2)] {
        let (arrived, most) = t7_condition::trade(room, producers, consumers, 200);
        assert_eq!(arrived, (0..200).collect::<Vec<_>>());
        assert!((1..=room).contains(&most), "{most} in a room for {room}");
    }
}

/// T7: `notify_one` wakes one, `notify_all` the others.
#[ropewalk::test]
fn one_is_notified_or_all() {
    for waiters in [1, 2, 20] {
        let expected = t7_condition::Notified {
            by_one: 1,
            by_all: waiters - 1,
            nobody: true,
        };
        assert_eq!(t7_condition::notify(waiters), expected);
    }
}

/// T7: waits that end by themselves.
#[ropewalk::test]
fn a_condition_is_not_waited_for_longer_than_told() {
    let patience = Duration::from_millis(20);
    let (timed_out, took) = t7_condition::wait_in_vain(patience);
    assert!(timed_out && took >= patience, "{took:?}");

    let store = t7_condition::Store::new(1);
    assert_eq!(store.take_within(patience), None);
    store.bring(1);
    assert_eq!(store.take_within(Duration::ZERO), Some(1));
    ropewalk::scope(|s| {
        let taker = s.spawn(|| store.take_within(Duration::from_secs(60)));
        store.bring(2);
        assert_eq!(taker.join().unwrap(), Some(2));
    });
}

/// T8: never more inside than there are permits.
#[ropewalk::test]
fn no_more_are_inside_than_permitted() {
    for permits in [1, 5] {
        let (most, all) = t8_semaphore::limited(permits, 20);
        assert!((1..=permits).contains(&most), "{most} by {permits}");
        assert_eq!(all, 20);
    }
}

/// T8: another task may give back; and nobody more than was taken, if that is asked for.
#[ropewalk::test]
fn permits_come_back_from_anyone_but_not_too_many() {
    assert_eq!(t8_semaphore::released_by_another(), 2);
    let (plain, refused, bounded) = t8_semaphore::over_release();
    assert_eq!((plain, bounded), (2, 1));
    assert!(refused.unwrap_err().contains("too many times"));
}

/// T8: the server sees no more connections than the pool has, and each asker its own answer.
#[ropewalk::test]
fn a_pool_shares_few_connections() {
    for connections_max in [1, 5] {
        let (most, all) = t8_semaphore::through_a_pool(connections_max, 20).unwrap();
        assert!(most <= connections_max, "{most} of {connections_max}");
        assert!((1..=connections_max).contains(&all), "{all} connections");
    }
}

/// T8: a broken connection doesn't go back into the pool, its place does.
#[ropewalk::test]
fn a_broken_connection_is_replaced() {
    let (broken, again) = t8_semaphore::broken_connection().unwrap();
    assert_eq!(broken, std::io::ErrorKind::UnexpectedEof);
    assert_eq!(again, "HELLO AGAIN");
}
