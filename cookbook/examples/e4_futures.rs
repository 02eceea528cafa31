//! E4, known as `concurrent.futures`: `map`, `as_completed`, `wait`, timeouts, `cancel`, `exception`.
//!
//! A handle is a `Future`: `join()` is `result()`, and its error is `exception()`. What Python raises at
//! each `result()` is a value here, so that one that fails doesn't hide the others.

use std::error::Error;
use std::sync::Arc;

use ropewalk::executor::{CoroutinePool, RunTask};
use ropewalk::results::{ReturnWhen, as_completed, wait};
use ropewalk::sync::Event;
use ropewalk::time::Duration;
use ropewalk::{JoinError, JoinHandle};

const MOMENT: Duration = Duration::from_millis(20);

/// Any error of these functions.
pub type Failure = Box<dyn Error>;

fn divide(a: u32, b: u32) -> u32 {
    a / b
}

/// `map`: results in order, whatever the order in which they come; an error is in its place.
pub fn map(pool: &CoroutinePool) -> Vec<String> {
    let quotients = pool.starmap(divide, [(10, 5), (1, 0), (9, 3)]);
    quotients.map(|quotient| describe(&quotient)).collect()
}

/// A result in words.
pub fn describe(result: &Result<u32, JoinError>) -> String {
    match result {
        Ok(value) => value.to_string(),
        Err(error) => match error.panic_message() {
            Some(message) => format!("panicked: {message}"),
            None => error.to_string(),
        },
    }
}

/// Three tasks, each of which ends when its event is set.
struct Three {
    handles: Vec<JoinHandle<u32>>,
    events: [Arc<Event>; 3],
}

fn three(pool: &CoroutinePool) -> Result<Three, Failure> {
    let events: [Arc<Event>; 3] = Default::default();
    let mut handles = Vec::new();
    for (n, event) in (0..).zip(&events) {
        let event = Arc::clone(event);
        let task = pool.spawn(move || event.wait().map_or(100, |()| n));
        handles.push(task?);
    }
    Ok(Three { handles, events })
}

/// `as_completed`: each one starts the next, from the last to the first.
///
/// # Errors
///
/// If the pool takes no work.
pub fn in_order_of_their_ends(pool: &CoroutinePool) -> Result<Vec<usize>, Failure> {
    let Three { handles, events } = three(pool)?;
    events[2].set();
    let mut order = Vec::new();
    for (index, _value) in as_completed(handles) {
        order.push(index);
        if index > 0 {
            events[index - 1].set();
        }
    }
    Ok(order)
}

/// `wait`: how many are done and not done, when the first has ended, after a moment, and when all
/// have.
///
/// # Errors
///
/// If the pool takes no work.
pub fn wait_for_some(pool: &CoroutinePool) -> Result<Vec<(usize, usize)>, Failure> {
    let Three { handles, events } = three(pool)?;
    let mut counts = Vec::new();
    events[1].set();
    let (done, left) = wait(handles, ReturnWhen::First, None);
    counts.push((done.len(), left.len()));
    let (done, left) = wait(left, ReturnWhen::All, Some(MOMENT));
    counts.push((done.len(), left.len()));
    events.iter().for_each(|event| event.set());
    let (done, left) = wait(left, ReturnWhen::All, None);
    counts.push((done.len(), left.len()));
    Ok(counts)
}

/// `wait(return_when=FIRST_EXCEPTION)`: whether it came back though others were not done.
///
/// # Errors
///
/// If the pool takes no work.
pub fn wait_for_an_error(pool: &CoroutinePool) -> Result<bool, Failure> {
    let Three {
        mut handles,
        events,
    } = three(pool)?;
    handles.push(pool.submit(divide, (1, 0))?);
    let (_done, left) = wait(handles, ReturnWhen::FirstError, None);
    events.iter().for_each(|event| event.set());
    Ok(left.len() == 3)
}

/// `result(timeout=)`, which gives the handle back; and `map(timeout=)`, whose last item says so.
///
/// # Errors
///
/// If the pool takes no work, or something is in time that can't be.
pub fn timeouts(pool: &CoroutinePool) -> Result<(u32, String), Failure> {
    let Three {
        mut handles,
        events,
    } = three(pool)?;
    let late = handles.pop().ok_or("three were started")?;
    let late = late
        .join_timeout(MOMENT)
        .err()
        .ok_or("nobody has set its event")?;
    events.iter().for_each(|event| event.set());
    let in_the_end = late.join()?;
    let forever = |_: u32| Event::new().wait().map_or(0, |()| 1);
    let mut map = pool.starmap(forever, [(1,), (2,)]).timeout(MOMENT);
    let last = map.next().ok_or("it says that time is over")?;
    Ok((in_the_end, describe(&last)))
}

/// `cancel`: of what is queued, which never runs; and of what runs, which is told.
///
/// # Errors
///
/// If the pool takes no work, or what runs doesn't end well.
pub fn cancel() -> Result<(String, bool), Failure> {
    let pool = CoroutinePool::new(1);
    let begun = Arc::new(Event::new());
    let began = Arc::clone(&begun);
    let runs = move || {
        began.set();
        // `true` if the wait was ended by a cancellation.
        Event::new().wait().is_err()
    };
    let runs = pool.spawn(runs)?;
    let queued = pool.submit(divide, (6, 2))?;
    begun.wait()?;
    queued.cancel();
    runs.cancel();
    Ok((describe(&queued.join()), runs.join()?))
}

#[ropewalk::main]
fn main() -> Result<(), Failure> {
    let pool = CoroutinePool::new(4);
    println!("map: {:?}", map(&pool));
    println!("as completed: {:?}", in_order_of_their_ends(&pool)?);
    println!("done and not done: {:?}", wait_for_some(&pool)?);
    println!("back at the first error: {}", wait_for_an_error(&pool)?);
    let (late, last) = timeouts(&pool)?;
    println!("late, and still to be had: {late}; a map that was too late: {last}");
    let (queued, told) = cancel()?;
    println!("cancelled in the queue: {queued}; while it ran, it was told: {told}");
    Ok(())
}
