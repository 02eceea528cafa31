//! The collector: shows what jobs print, keeps the job log, draws the progress bar and counts.
//!
//! It runs on the main thread, because standard output may be a pipe nobody reads for a while: then
//! the channel of events fills, jobs wait to hand over what they printed, and no worker is blocked.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Seek, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use ropewalk::channel::Receiver;

use super::job::{Captured, End, Event, Outcome};
use super::journal::{Entry, Journal};
use super::running::{Running, Stop};
use crate::{interrupt, say};

/// How often the progress bar is drawn while nothing else happens.
const TICK: Duration = Duration::from_millis(500);

/// What the collector is to do.
pub(super) struct Show {
    pub(super) keep_order: bool,
    pub(super) progress: bool,
    pub(super) journal: Option<Journal>,
}

/// The counts of a run.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) succeeded: u64,
    pub(super) failed: u64,
    /// The exit code of the job that ended the run, if one did.
    pub(super) halted: Option<u8>,
    /// What went wrong beside jobs.
    pub(super) error: Option<String>,
    pub(super) output_closed: bool,
}

pub(super) struct Collector<'r> {
    show: Show,
    running: &'r Arc<Running>,
    bar: Option<ProgressBar>,
    counts: Counts,
    /// The job whose output is next, if the order is kept.
    next: u64,
    /// What later jobs have printed, if the order is kept.
    waiting: BTreeMap<u64, Waiting>,
}

#[derive(Default)]
struct Waiting {
    lines: Vec<(Option<String>, bool, Vec<u8>)>,
    done: Option<Option<Outcome>>,
}

impl<'r> Collector<'r> {
    pub(super) fn new(show: Show, running: &'r Arc<Running>, total: Option<u64>) -> Collector<'r> {
        let bar = (show.progress && io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
            bar.set_style(style(total.is_some()));
            // Jobs may take long: the time left goes on meanwhile.
            bar.enable_steady_tick(TICK);
            bar
        });
        Collector {
            show,
            running,
            bar,
            counts: Counts::default(),
            next: 1,
            waiting: BTreeMap::new(),
        }
    }

    /// Takes events until there are no more.
    pub(super) fn collect(mut self, events: &Receiver<Event>, interrupted: &AtomicI32) -> Counts {
        for event in events {
            let taken = match event {
                Event::Line {
                    number,
                    tag,
                    error,
                    line,
                } => self.line(number, tag, error, line),
                Event::Done(outcome) => self.done(*outcome),
                Event::Shown(command) => self.print(false, None, format!("{command}\n").as_bytes()),
                Event::Skipped(number) => self.skipped(number),
                Event::Total(total) => {
                    if let Some(bar) = &self.bar {
                        bar.set_length(total);
                        bar.set_style(style(true));
                    }
                    Ok(())
                }
                Event::Failed(error) => {
                    self.counts.error.get_or_insert(error);
                    self.running.stop(Stop::Soon);
                    Ok(())
                }
            };
            if let Err(error) = taken {
                match error.kind() {
                    // As when a pager is left.
                    io::ErrorKind::BrokenPipe => self.counts.output_closed = true,
                    _ => {
                        let text = format!("cannot write the output: {error}");
                        self.counts.error.get_or_insert(text);
                    }
                }
                self.running.stop(Stop::Now);
            }
        }
        // What was kept back for the order's sake, of a run that was cut off.
        let interrupted = interrupted.load(Ordering::Acquire) != 0;
        for (_, waiting) in std::mem::take(&mut self.waiting) {
            let closed = self.counts.output_closed || self.counts.error.is_some();
            if closed {
                break;
            }
            if let Err(error) = self.show_waiting(waiting)
                && !interrupted
            {
                self.counts.error.get_or_insert(error.to_string());
            }
        }
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        self.counts
    }

    fn line(
        &mut self,
        number: u64,
        tag: Option<String>,
        error: bool,
        line: Vec<u8>,
    ) -> io::Result<()> {
        if self.show.keep_order && number != self.next {
            let waiting = self.waiting.entry(number).or_default();
            waiting.lines.push((tag, error, line));
            return Ok(());
        }
        self.print(error, tag.as_deref(), &line)
    }

    fn skipped(&mut self, number: u64) -> io::Result<()> {
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
        self.counts.succeeded += 1;
        self.in_order(number, None)
    }

    fn done(&mut self, outcome: Outcome) -> io::Result<()> {
        let end = &outcome.end;
        if end.is_success() {
            self.counts.succeeded += 1;
        } else {
            self.counts.failed += 1;
        }
        if let Some(bar) = &self.bar {
            bar.inc(1);
            if self.counts.failed > 0 {
                bar.set_message(format!("{} failed", self.counts.failed));
            }
        }
        let (number, shown) = (outcome.job.number, &outcome.job.shown);
        match end {
            End::NotStarted(_, why) => self.tell(&format!("job {number} was not started: {why}")),
            End::TimedOut(_) => self.tell(&format!("job {number} timed out: {shown}")),
            // Who kills it, or what went wrong in it, may have said nothing.
            End::Signalled(signal) if !self.running.is_stopping() => self.tell(&format!(
                "job {number} was ended by signal {signal} ({}): {shown}",
                interrupt::name(*signal)
            )),
            End::Exited(_) | End::Signalled(_) => {}
        }
        let mut wrote = self.log(&outcome);
        if let Some(code) = outcome.halts {
            self.counts.halted = Some(code);
            self.tell(&format!(
                "stopping, as --halt says, after job {number}: {shown}"
            ));
        }
        wrote = wrote.and(self.in_order(number, Some(outcome)));
        wrote
    }

    fn log(&mut self, outcome: &Outcome) -> io::Result<()> {
        let Some(journal) = self.show.journal.as_mut().filter(|_| !outcome.cut_short) else {
            return Ok(());
        };
        let (exit_code, signal) = outcome.end.logged();
        let output = outcome.captured.as_ref();
        let output_bytes = output.and_then(|captured| captured.out.metadata().ok());
        journal.write(&Entry {
            job: outcome.job.number,
            started: outcome.started,
            took: outcome.took,
            output_bytes: output_bytes.map_or(0, |metadata| metadata.len()),
            exit_code,
            signal,
            command: &outcome.job.shown,
        })
    }

    /// Shows what a job that has ended printed: now, or when it is its turn.
    fn in_order(&mut self, number: u64, outcome: Option<Outcome>) -> io::Result<()> {
        if !self.show.keep_order {
            return self.show_outcome(outcome);
        }
        self.waiting.entry(number).or_default().done = Some(outcome);
        loop {
            let Some(waiting) = self.waiting.get_mut(&self.next) else {
                return Ok(());
            };
            let lines = std::mem::take(&mut waiting.lines);
            let ended = waiting.done.is_some();
            for (tag, error, line) in lines {
                self.print(error, tag.as_deref(), &line)?;
            }
            if !ended {
                return Ok(());
            }
            if let Some(waiting) = self.waiting.remove(&self.next) {
                self.show_waiting(waiting)?;
            }
            self.next += 1;
        }
    }

    fn show_waiting(&mut self, waiting: Waiting) -> io::Result<()> {
        for (tag, error, line) in waiting.lines {
            self.print(error, tag.as_deref(), &line)?;
        }
        self.show_outcome(waiting.done.flatten())
    }

    fn show_outcome(&mut self, outcome: Option<Outcome>) -> io::Result<()> {
        let Some(mut outcome) = outcome else {
            return Ok(());
        };
        let Some(Captured { out, err }) = outcome.captured.take() else {
            return Ok(());
        };
        let tag = outcome.job.tag.as_deref();
        self.print_file(false, tag, out)?;
        self.print_file(true, tag, err)
    }

    fn print_file(&self, error: bool, tag: Option<&str>, mut file: File) -> io::Result<()> {
        if file.metadata()?.len() == 0 {
            return Ok(());
        }
        file.rewind()?;
        let mut copy = || match tag {
            None => to(error, |out| io::copy(&mut file, out).map(drop)),
            Some(tag) => {
                let mut lines = BufReader::new(&mut file);
                let mut line = Vec::new();
                to(error, |out| {
                    while lines.read_until(b'\n', &mut line)? != 0 {
                        write_tagged(out, tag, &line)?;
                        line.clear();
                    }
                    Ok(())
                })
            }
        };
        match &self.bar {
            Some(bar) => bar.suspend(copy),
            None => copy(),
        }
    }

    fn print(&self, error: bool, tag: Option<&str>, text: &[u8]) -> io::Result<()> {
        let write = || {
            to(error, |out| match tag {
                None => out.write_all(text),
                Some(tag) => {
                    let mut lines = text.split_inclusive(|&byte| byte == b'\n');
                    lines.try_for_each(|line| write_tagged(out, tag, line))
                }
            })
        };
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    fn tell(&self, text: &str) {
        let tell = || say(&format!("ropewalk: {text}\n"));
        match &self.bar {
            Some(bar) => bar.suspend(tell),
            None => tell(),
        }
    }
}

fn write_tagged(out: &mut dyn Write, tag: &str, line: &[u8]) -> io::Result<()> {
    out.write_all(tag.as_bytes())?;
    out.write_all(b"\t")?;
    out.write_all(line)
}

/// Writes to one of the two standard streams and flushes it.
fn to(error: bool, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    if error {
        // Nobody has to listen there.
        let _ = write(&mut io::stderr().lock());
        return Ok(());
    }
    let mut out = io::stdout().lock();
    write(&mut out)?;
    out.flush()
}

fn style(total_known: bool) -> ProgressStyle {
    let template = match total_known {
        true => "{bar:30} {pos}/{len} [{elapsed}] {eta} left {msg}",
        false => "{spinner} {pos} done [{elapsed}] {msg}",
    };
    ProgressStyle::with_template(template).expect("a template that is known to be good")
}
