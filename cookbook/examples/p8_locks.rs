//! P8, known as `multiprocessing.Lock`, `RLock`, `Semaphore`, `BoundedSemaphore`, `Event`,
//! `Condition`, `Barrier`, passed to processes as arguments.
//!
//! They work as their namesakes for threads do. What Python leaves waiting for ever, a holder
//! that was killed, is reported here to the next who takes the lock; its permits come back, and
//! its barrier breaks.

use std::io;

use ropewalk::process::Process;
use ropewalk::process::shared::{
    Barrier, BarrierError, BoundedSemaphore, Condition, Event, HolderDied, Lock, RLock, RawValue,
    Semaphore, Value,
};
use ropewalk::task;
use ropewalk::time::{Duration, sleep};

#[task]
fn deposit(lock: Lock, balance: RawValue<i64>, times: u32) {
    for _ in 0..times {
        let _guard = lock.lock().expect("nobody dies here");
        balance.set(balance.get() + 1);
    }
}

/// Several processes add to one balance under a lock.
///
/// # Errors
///
/// If a process can't be started, or fails.
pub fn bank(processes: u32, times: u32) -> io::Result<i64> {
    let (lock, balance) = (Lock::new()?, RawValue::new(0)?);
    let mut all = Vec::new();
    for _ in 0..processes {
        let args = (lock.clone(), balance.clone(), times);
        all.push(Process::spawn(deposit, args)?);
    }
    for process in all {
        process.join()?;
    }
    Ok(balance.get())
}

fn descend(lock: &RLock, depth: u32) -> u32 {
    let _guard = lock.lock().expect("nobody dies here");
    match depth {
        0 => 0,
        depth => 1 + descend(lock, depth - 1),
    }
}

/// Gives how deep it got, and whether others could enter meanwhile.
#[task]
fn again(lock: RLock, depth: u32) -> (u32, bool) {
    let _outer = lock.lock().expect("nobody dies here");
    let others = lock.clone();
    let entered = ropewalk::spawn(move || others.try_lock().is_ok());
    let entered = entered.join().expect("no panic");
    (descend(&lock, depth), entered)
}

/// A process locks a re-entrant lock in a recursion.
///
/// # Errors
///
/// If the process can't be started, or fails.
pub fn recursion(depth: u32) -> io::Result<(u32, bool)> {
    Ok(Process::spawn(again, (RLock::new()?, depth))?.join()?)
}

#[task]
fn use_one_of(desks: Semaphore, inside: Value<u32>, most: Value<u32>) {
    let _desk = desks.acquire().expect("nobody cancels");
    let now = inside.update(|inside| {
        *inside += 1;
        *inside
    });
    most.update(|most| *most = now.max(*most));
    sleep(Duration::from_millis(5));
    inside.update(|inside| *inside -= 1);
}

/// Six processes share a few desks; gives how many sat at once at most, and what a bounded
/// semaphore says to one desk too many.
///
/// # Errors
///
/// If a process can't be started, or fails.
pub fn office(desks: usize) -> io::Result<(u32, String)> {
    let (inside, most) = (Value::new(0)?, Value::new(0)?);
    let semaphore = Semaphore::new(desks)?;
    let mut all = Vec::new();
    for _ in 0..6 {
        let args = (semaphore.clone(), inside.clone(), most.clone());
        all.push(Process::spawn(use_one_of, args)?);
    }
    for process in all {
        process.join()?;
    }
    let too_many = BoundedSemaphore::new(desks)?.release();
    let too_many = too_many.expect_err("nobody has taken one");
    Ok((most.get(), too_many.to_string()))
}

#[task]
fn run_race(
    start: Event,
    line: Barrier,
    place: Condition,
    lock: Lock,
    next: Value<u32>,
    lane: u32,
) {
    start.wait().expect("nobody cancels");
    line.wait().expect("nobody dies here");
    let mut guard = lock.lock().expect("nobody dies here");
    place
        .wait_while(&mut guard, || next.get() != lane)
        .expect("nobody dies here");
    next.set(lane + 1);
    place.notify_all();
}

/// Runners wait for the start, then for one another, and finish in the order of their lanes.
///
/// # Errors
///
/// If a process can't be started, or fails.
pub fn race(runners: u32) -> io::Result<u32> {
    let (start, line) = (Event::new()?, Barrier::new(runners as usize)?);
    let (place, lock, next) = (Condition::new()?, Lock::new()?, Value::new(0)?);
    let mut all = Vec::new();
    for lane in (0..runners).rev() {
        let shared = (start.clone(), line.clone(), place.clone(), lock.clone());
        let args = (shared.0, shared.1, shared.2, shared.3, next.clone(), lane);
        all.push(Process::spawn(run_race, args)?);
    }
    start.set();
    for process in all {
        process.join()?;
    }
    Ok(next.get())
}

#[task]
fn hold_for_ever(lock: Lock, desks: Semaphore, line: Barrier, held: Event) {
    let _guard = lock.lock().expect("nobody has died yet");
    let _desk = desks.acquire().expect("nobody cancels");
    held.set();
    let _ = line.wait();
}

/// Kills a process that holds a lock, a permit, and others up at a barrier. Gives what the next
/// one is told of the lock, whether it was the process that was named, how many permits there
/// are, and whether the barrier is broken.
///
/// # Errors
///
/// If the process can't be started.
pub fn death() -> io::Result<(bool, usize, bool)> {
    let (lock, desks) = (Lock::new()?, Semaphore::new(1)?);
    let (line, held) = (Barrier::new(3)?, Event::new()?);
    let args = (lock.clone(), desks.clone(), line.clone(), held.clone());
    let holder = Process::spawn(hold_for_ever, args)?;
    held.wait().expect("nobody cancels");
    holder.kill()?;
    holder.wait()?;

    let died = lock.lock().expect_err("its holder was killed");
    let named = died.pid() == Some(holder.pid());
    // Whatever it had half done is put in order, and then:
    drop(HolderDied::recover(died));
    drop(lock.lock().expect("all is in order"));

    drop(desks.acquire().expect("nobody cancels"));
    let died = Some(holder.pid());
    let broken = line.wait() == Err(BarrierError::Broken { died });
    Ok((named, desks.available_permits(), broken))
}

#[ropewalk::main]
fn main() -> io::Result<()> {
    println!("balance: {}", bank(4, 250)?);
    let (depth, entered) = recursion(10)?;
    println!("locked again, {depth} deep; others got in: {entered}");
    let (most, too_many) = office(2)?;
    println!(
        "at 2 desks at once: {}; {too_many}",
        if most <= 2 { "2 at most" } else { "more" }
    );
    println!("finished in order: {}", race(4)?);
    let (named, permits, broken) = death()?;
    println!("the dead holder was named: {named}");
    println!("its permit came back: {}", permits == 1);
    println!("its barrier is broken: {broken}");
    Ok(())
}
