//! Holders that are killed are reported, and what they held comes back.

use ropewalk_process::shared::{
    Barrier, BarrierError, Condition, Event, HolderDied, Lock, RLock, Semaphore, Value,
};

use crate::stage::on_each;
use crate::{kill, start};

/// Holds everything until it is killed.
#[ropewalk_macros::task(crate = ropewalk_rt)]
fn hold_for_ever(lock: Lock, again: RLock, permits: Semaphore, held: Event) {
    let _guard = lock.lock().unwrap_or_else(HolderDied::recover);
    let _outer = again.lock().unwrap_or_else(HolderDied::recover);
    let _inner = again.lock().unwrap();
    let _permits = [permits.acquire().unwrap(), permits.acquire().unwrap()];
    held.set();
    Event::new().unwrap().wait().unwrap();
}

#[test]
fn a_killed_holder_is_reported_to_one() {
    on_each(|| {
        let (lock, again) = (Lock::new().unwrap(), RLock::new().unwrap());
        let permits = Semaphore::new(2).unwrap();
        let held = Event::new().unwrap();
        let args = (lock.clone(), again.clone(), permits.clone(), held.clone());
        let holder = start(hold_for_ever, args);
        held.wait().unwrap();
        assert!(lock.try_lock().unwrap_err().is_busy());
        kill(&holder);
        assert!(!lock.is_locked());

        let died = lock.try_lock().unwrap_err();
        assert!(died.is_holder_died(), "{died:?}");
        assert!(died.to_string().contains(&holder.pid().to_string()));
        // The lock is held all the same.
        assert!(lock.try_lock().unwrap_err().is_busy());
        // Not recovered: the next one is told too.
        drop(died);
        let died = lock.lock().unwrap_err();
        assert_eq!(died.pid(), Some(holder.pid()));
        drop(died.recover());
        drop(lock.lock().unwrap());

        let died = again.lock().unwrap_err();
        assert_eq!(died.pid(), Some(holder.pid()));
        let outer = died.recover();
        drop(again.lock().unwrap());
        drop(outer);
        drop(again.lock().unwrap());

        let one = permits.acquire().unwrap();
        let two = permits.try_acquire().unwrap();
        assert_eq!(permits.available_permits(), 0);
        drop((one, two));
        assert_eq!(permits.available_permits(), 2);
    });
}

#[ropewalk_macros::task(crate = ropewalk_rt)]
fn hold_lock(lock: Lock, held: Event) {
    let _guard = lock.lock().unwrap_or_else(HolderDied::recover);
    held.set();
    Event::new().unwrap().wait().unwrap();
}

/// Those who sleep already when the holder is killed, in this process and in another.
#[test]
fn sleepers_learn_of_a_death() {
    on_each(|| {
        let (lock, held) = (Lock::new().unwrap(), Event::new().unwrap());
        let holder = start(hold_lock, (lock.clone(), held.clone()));
        held.wait().unwrap();
        let next_held = Event::new().unwrap();
        let next = start(hold_lock, (lock.clone(), next_held.clone()));
        ropewalk_rt::scope(|s| {
            let sleepers: Vec<_> = (0..3)
                .map(|_| s.spawn(|| lock.lock().map(drop).map_err(|died| died.pid())))
                .collect();
            kill(&holder);
            // Whichever order they come in: the other process recovers and holds it until killed.
            next_held.wait().unwrap();
            kill(&next);
            let ends: Vec<_> = sleepers
                .into_iter()
                .map(|one| one.join().unwrap())
                .collect();
            let told = ends.iter().filter(|end| end.is_err()).count();
            assert!(told >= 1, "{ends:?}");
        });
        drop(lock.lock().map_err(HolderDied::recover));
        drop(lock.lock().unwrap());
    });
}

/// A process whose number in the table was a dead one's must not be taken for it.
#[test]
fn a_slot_in_use_again_does_not_revive_its_dead() {
    let (lock, permits) = (Lock::new().unwrap(), Semaphore::new(1).unwrap());
    let again = RLock::new().unwrap();
    let two = Semaphore::new(2).unwrap();
    for round in 0..4 {
        let held = Event::new().unwrap();
        let args = (lock.clone(), again.clone(), two.clone(), held.clone());
        let holder = start(hold_for_ever, args);
        held.wait().unwrap();
        kill(&holder);
        // Takes the dead one's slots, and lives.
        let idle = Event::new().unwrap();
        let args = (
            lock.clone(),
            again.clone(),
            two.clone(),
            permits.clone(),
            idle.clone(),
        );
        let other = start(map_and_wait, args);
        idle.wait().unwrap();
        let died = lock.lock().unwrap_err();
        // The dead one's process id is gone with its slot, or still there.
        assert!(
            died.pid().is_none() || died.pid() == Some(holder.pid()),
            "{round}"
        );
        drop(died.recover());
        drop(again.lock().unwrap_err().recover());
        assert_eq!(two.available_permits(), 2);
        kill(&other);
        assert!(lock.lock().is_ok() && again.lock().is_ok());
    }
}

#[ropewalk_macros::task(crate = ropewalk_rt)]
fn map_and_wait(lock: Lock, again: RLock, two: Semaphore, one: Semaphore, idle: Event) {
    idle.set();
    Event::new().unwrap().wait().unwrap();
    drop((lock, again, two, one));
}

#[ropewalk_macros::task(crate = ropewalk_rt)]
fn come(barrier: Barrier, here: Event, early: bool) -> bool {
    if early {
        here.set();
        Event::new().unwrap().wait().unwrap();
    }
    here.set();
    barrier.wait().is_ok()
}

#[test]
fn a_dead_party_breaks_the_barrier() {
    on_each(|| {
        for early in [true, false] {
            let (barrier, here) = (Barrier::new(3).unwrap(), Event::new().unwrap());
            let args = (barrier.clone(), here.clone(), early);
            let victim = start(come, args);
            here.wait().unwrap();
            let broken = ropewalk_rt::scope(|s| {
                let waiter = s.spawn(|| barrier.wait());
                while barrier.waiting() == 0 {
                    ropewalk_rt::coroutine::yield_now();
                }
                kill(&victim);
                waiter.join().unwrap()
            });
            let died = Some(victim.pid());
            assert_eq!(broken, Err(BarrierError::Broken { died }));
            assert!(barrier.is_broken());
            assert!(barrier.wait().unwrap_err().is_broken());
            barrier.reset();
            assert!(!barrier.is_broken());
            let late = barrier.wait_timeout(std::time::Duration::from_millis(1));
            assert_eq!(late, Err(BarrierError::Timeout));
        }
    });
}

/// One that did its part and went is no dead one.
#[test]
fn a_party_that_leaves_breaks_nothing() {
    let (barrier, here) = (Barrier::new(2).unwrap(), Event::new().unwrap());
    let first = start(come, (barrier.clone(), here.clone(), false));
    assert!(barrier.wait().is_ok());
    assert!(first.join().unwrap());
    let second = start(come, (barrier.clone(), here.clone(), false));
    assert!(barrier.wait().is_ok());
    assert!(second.join().unwrap());
    assert!(!barrier.is_broken());
}

#[test]
fn an_aborted_barrier_is_reset() {
    on_each(|| {
        let barrier = Barrier::new(2).unwrap();
        for reset_at_once in [false, true] {
            let ended = ropewalk_rt::scope(|s| {
                let waiter = s.spawn(|| barrier.wait());
                while barrier.waiting() == 0 {
                    ropewalk_rt::coroutine::yield_now();
                }
                if !reset_at_once {
                    barrier.abort();
                }
                barrier.reset();
                waiter.join().unwrap()
            });
            assert_eq!(ended, Err(BarrierError::Broken { died: None }));
            assert!(!barrier.is_broken());
        }
        ropewalk_rt::scope(|s| {
            let other = s.spawn(|| barrier.wait().unwrap().is_leader());
            let here = barrier.wait().unwrap().is_leader();
            assert_ne!(other.join().unwrap(), here);
        });
    });
}

#[ropewalk_macros::task(crate = ropewalk_rt)]
fn wait_with_condition(lock: Lock, changed: Condition, waiting: Event) -> bool {
    let mut guard = lock.lock().unwrap();
    waiting.set();
    let told = changed.wait(&mut guard).unwrap_err().is_holder_died();
    guard.recover();
    told && changed
        .wait_timeout(&mut guard, std::time::Duration::from_millis(1))
        .unwrap_err()
        .is_timeout()
}

#[ropewalk_macros::task(crate = ropewalk_rt)]
fn notify_and_die(lock: Lock, changed: Condition) {
    let _guard = lock.lock().unwrap();
    changed.notify_one();
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)
        .unwrap();
    unreachable!();
}

#[test]
fn a_notifier_that_dies_with_the_lock_has_notified_and_is_reported() {
    let (lock, changed) = (Lock::new().unwrap(), Condition::new().unwrap());
    let waiting = Event::new().unwrap();
    let args = (lock.clone(), changed.clone(), waiting.clone());
    let waiter = start(wait_with_condition, args);
    waiting.wait().unwrap();
    let notifier = start(notify_and_die, (lock.clone(), changed.clone()));
    assert!(notifier.join().is_err());
    assert!(waiter.join().unwrap());
    drop(lock.lock().unwrap());
}

#[ropewalk_macros::task(crate = ropewalk_rt)]
fn update_for_ever(value: Value<u32>, inside: Event) {
    value.update(|value| {
        *value = 7;
        inside.set();
        Event::new().unwrap().wait().unwrap();
    });
}

#[test]
fn a_value_whose_writer_was_killed_is_as_before() {
    on_each(|| {
        let (value, inside) = (Value::new(1_u32).unwrap(), Event::new().unwrap());
        let writer = start(update_for_ever, (value.clone(), inside.clone()));
        inside.wait().unwrap();
        assert!(value.try_update(|_| ()).is_err());
        kill(&writer);
        assert_eq!(value.get(), 1);
        value.update(|value| *value += 1);
        assert_eq!(value.get(), 2);
    });
}

#[ropewalk_macros::task(crate = ropewalk_rt)]
fn exit_with_all(lock: Lock, permits: Semaphore) {
    let _guard = lock.lock().unwrap();
    let _permit = permits.acquire().unwrap();
    std::process::exit(0);
}

/// Ended by itself, but without giving anything back.
#[test]
fn a_holder_that_exits_is_reported_as_well() {
    let (lock, permits) = (Lock::new().unwrap(), Semaphore::new(1).unwrap());
    let process = start(exit_with_all, (lock.clone(), permits.clone()));
    let pid = process.pid();
    assert!(process.join().is_err());
    assert_eq!(lock.lock().unwrap_err().pid(), Some(pid));
    assert!(permits.try_acquire().is_some());
}

#[ropewalk_macros::task(crate = ropewalk_rt)]
fn panic_with_all(lock: Lock, permits: Semaphore, value: Value<u32>) {
    let _guard = lock.lock().unwrap();
    let _permit = permits.acquire().unwrap();
    value.update(|value| {
        *value = 9;
        panic!("with all of it");
    });
}

/// A panic unwinds, and gives back what is held: nobody has died.
#[test]
fn a_holder_that_panics_gives_back() {
    let (lock, permits) = (Lock::new().unwrap(), Semaphore::new(1).unwrap());
    let value = Value::new(1).unwrap();
    let args = (lock.clone(), permits.clone(), value.clone());
    let process = ropewalk_process::Process::builder(panic_with_all, args);
    let process = process
        .stderr(ropewalk_process::Stream::Null)
        .spawn()
        .unwrap();
    assert!(process.join().unwrap_err().is_panic());
    drop(lock.lock().unwrap());
    assert!(permits.try_acquire().is_some());
    assert_eq!(value.get(), 1);
}

/// Who is stopped is alive, and waited for.
#[test]
fn a_stopped_holder_is_not_a_dead_one() {
    let (lock, held) = (Lock::new().unwrap(), Event::new().unwrap());
    let holder = start(hold_lock, (lock.clone(), held.clone()));
    held.wait().unwrap();
    let pid = rustix::process::Pid::from_raw(holder.pid() as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    let late = lock.lock_timeout(std::time::Duration::from_millis(150));
    assert!(late.unwrap_err().is_timeout());
    assert!(lock.is_locked());
    kill(&holder);
    assert!(lock.lock().is_err());
}
