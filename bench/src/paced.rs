//! A contender that does counted work on request, in portions long enough to be timed.

use std::io;
use std::time::Duration;

use crate::arguments::Arguments;
use crate::child::{Child, Role, numbers};
use crate::contest::{self, Entry};
use crate::measure;

/// The first portion tried; from there on up until one lasts.
const FIRST_PORTION: u64 = 1_000;

/// Work that a child's `tasks` role does: what to ask for, for so many operations.
///
/// Gives the line for the child and how many operations that really is.
type Request = dyn Fn(u64) -> (String, u64);

/// One contender's process and the portion it does a round.
struct Paced<'r> {
    child: Child,
    request: &'r Request,
    portion: u64,
}

impl Paced<'_> {
    /// Starts `contender` and finds the portion that takes it about `portion_time`; the
    /// attempts are its warm-up.
    fn set_up<'r>(
        child: Child,
        request: &'r Request,
        portion_time: Duration,
    ) -> io::Result<Paced<'r>> {
        let mut paced = Paced {
            child,
            request,
            portion: FIRST_PORTION,
        };
        let wanted_ns = portion_time.as_nanos() as f64;
        loop {
            let (operations, answer) = paced.ask()?;
            let elapsed_ns = first_number(&answer)?;
            let share = elapsed_ns as f64 / wanted_ns;
            if share >= 0.25 {
                paced.portion = (operations as f64 / share).max(1.0) as u64;
                return Ok(paced);
            }
            paced.portion = operations.saturating_mul(4);
        }
    }

    /// Does one portion: nanoseconds an operation.
    fn sample(&mut self) -> io::Result<f64> {
        let (operations, answer) = self.ask()?;
        let [elapsed_ns] = numbers(&answer)?;
        Ok(elapsed_ns as f64 / operations as f64)
    }

    /// Does one portion in the `waiting` role.
    fn sample_waiting(&mut self) -> io::Result<Waited> {
        let (operations, answer) = self.ask()?;
        let [elapsed_ns, cpu_us, least, most] = numbers(&answer)?;
        let operations = operations as f64;
        Ok(Waited {
            ns: elapsed_ns as f64 / operations,
            cpu_ns: cpu_us as f64 * 1000.0 / operations,
            least: least as f64 / 1000.0,
            most: most as f64 / 1000.0,
        })
    }

    /// Does one portion: the operations done and the answer, which begins with the nanoseconds
    /// they took.
    fn ask(&mut self) -> io::Result<(u64, String)> {
        let (line, operations) = (self.request)(self.portion);
        Ok((operations, self.child.ask(&line)?))
    }
}

fn first_number(answer: &str) -> io::Result<u64> {
    let [number] = numbers(answer.split(' ').next().unwrap_or_default())?;
    Ok(number)
}

/// Measures nanoseconds an operation, a sample a round, of every contender in turn.
pub(crate) fn compare(
    title: &str,
    arguments: &Arguments,
    contenders: &[&'static str],
    request: &Request,
) -> Vec<Entry<f64>> {
    let portion_time = Duration::from_millis(if arguments.quick { 50 } else { 100 });
    contest::interleave(
        title,
        &arguments.select(contenders),
        arguments.rounds(9, 25),
        |contender| {
            let child = Child::start(Role::Tasks, contender, measure::server_core())?;
            Paced::set_up(child, request, portion_time)
        },
        Paced::sample,
    )
}

/// As [`compare`], on all cores, of contenders that `start` starts.
pub(crate) fn compare_started(
    title: &str,
    contenders: &[&'static str],
    rounds: usize,
    portion_time: Duration,
    request: &Request,
    start: impl Fn(&'static str) -> io::Result<Child>,
) -> Vec<Entry<f64>> {
    contest::interleave(
        title,
        contenders,
        rounds,
        |contender| Paced::set_up(start(contender)?, request, portion_time),
        Paced::sample,
    )
}

/// Where a contender of `mutex`, `channel` and `timers` runs, and how long a portion of its work
/// is to last.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Kept to one core, as those with one worker or one thread are.
    OneCore,
    /// On all cores.
    AllCores,
    /// On all cores, for long enough that each of many threads gets its turn on them.
    AllCoresForLong,
}

impl Place {
    fn core(self) -> Option<usize> {
        match self {
            Place::OneCore => measure::server_core(),
            Place::AllCores | Place::AllCoresForLong => None,
        }
    }

    fn portion_time(self, quick: bool) -> Duration {
        Duration::from_millis(match (self, quick) {
            (Place::AllCoresForLong, false) => 250,
            (_, false) => 60,
            (Place::AllCoresForLong, true) => 60,
            (_, true) => 20,
        })
    }
}

/// What a portion of waiting came to.
pub(crate) struct Waited {
    /// Nanoseconds an operation.
    pub(crate) ns: f64,
    /// Processor time of the contender's process, nanoseconds an operation.
    pub(crate) cpu_ns: f64,
    /// What the worst served of several did, as a part of an even share.
    pub(crate) least: f64,
    /// What the best served of several did, as a part of an even share.
    pub(crate) most: f64,
}

/// As [`compare`], in the `waiting` role.
pub(crate) fn compare_waiting(
    title: &str,
    arguments: &Arguments,
    contenders: &[&'static str],
    request: &Request,
    place: Place,
) -> Vec<Entry<Waited>> {
    contest::interleave(
        title,
        &arguments.select(contenders),
        arguments.rounds(7, 15),
        |contender| {
            let child = Child::start(Role::Waiting, contender, place.core())?;
            Paced::set_up(child, request, place.portion_time(arguments.quick))
        },
        Paced::sample_waiting,
    )
}

/// As [`compare_waiting`], with one portion of the request's own size a round.
pub(crate) fn compare_once(
    title: &str,
    arguments: &Arguments,
    contenders: &[&'static str],
    request: &Request,
    place: Place,
) -> Vec<Entry<Waited>> {
    contest::interleave(
        title,
        &arguments.select(contenders),
        arguments.rounds(3, 7),
        |contender| {
            let child = Child::start(Role::Waiting, contender, place.core())?;
            let mut paced = Paced {
                child,
                request,
                portion: 0,
            };
            // The first is the warm-up.
            paced.ask()?;
            Ok(paced)
        },
        Paced::sample_waiting,
    )
}
