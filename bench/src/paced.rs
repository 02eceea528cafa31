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
            let (operations, elapsed_ns) = paced.run()?;
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
        let (operations, ns) = self.run()?;
        Ok(ns as f64 / operations as f64)
    }

    /// Does one portion: the operations done and the nanoseconds they took.
    fn run(&mut self) -> io::Result<(u64, u64)> {
        let (line, operations) = (self.request)(self.portion);
        let [elapsed_ns] = numbers(&self.child.ask(&line)?)?;
        Ok((operations, elapsed_ns))
    }
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

/// As [`compare`], in the `waiting` role and on all cores.
pub(crate) fn compare_free(
    title: &str,
    arguments: &Arguments,
    contenders: &[&'static str],
    request: &Request,
) -> Vec<Entry<f64>> {
    let portion_time = Duration::from_millis(if arguments.quick { 20 } else { 60 });
    contest::interleave(
        title,
        &arguments.select(contenders),
        arguments.rounds(7, 15),
        |contender| {
            let child = Child::start(Role::Waiting, contender, None)?;
            Paced::set_up(child, request, portion_time)
        },
        Paced::sample,
    )
}

/// As [`compare_free`], with one portion of the request's own size a round.
pub(crate) fn compare_once(
    title: &str,
    arguments: &Arguments,
    contenders: &[&'static str],
    request: &Request,
) -> Vec<Entry<f64>> {
    contest::interleave(
        title,
        &arguments.select(contenders),
        arguments.rounds(3, 7),
        |contender| {
            let child = Child::start(Role::Waiting, contender, None)?;
            let mut paced = Paced {
                child,
                request,
                portion: 0,
            };
            // The first is the warm-up.
            paced.run()?;
            Ok(paced)
        },
        Paced::sample,
    )
}
