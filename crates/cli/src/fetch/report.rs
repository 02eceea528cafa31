//! The collector: takes outcomes as they come, writes records, draws the progress bar, and sums up.
//!
//! It runs on a thread of its own (the main one), because standard output may be a pipe nobody reads
//! for a while: then the collector waits, the event channel fills, fetches wait to hand over their
//! outcomes, and no worker is blocked.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, BufWriter, IsTerminal, Stdout, Write};
use std::sync::atomic::{AtomicI32, Ordering};

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use ropewalk::channel::{Receiver, RecvTimeoutError};
use ropewalk::time::{Duration, Instant};

use super::frontier::Frontier;
use super::latency::Latency;
use super::record::{Kind, Outcome};
use crate::{interrupt, say};

/// How often the bar is brought up to date when nothing happens, and an interrupt is noticed.
const TICK: Duration = Duration::from_millis(50);
/// How long fetches under way may go on after Ctrl-C.
const INTERRUPT_GRACE: Duration = Duration::from_secs(2);
/// Outcomes taken before records are flushed and the bar is redrawn.
const BATCH_MAX: usize = 1024;

/// What the collector is told.
pub(crate) enum Event {
    /// A URL is done with.
    Done(Box<Outcome>),
    /// The input could not be read to its end.
    InputFailed(String),
}

/// How collecting ended.
pub(crate) enum Ending {
    /// Every URL is done with.
    Complete,
    /// A signal came.
    Interrupted(i32),
    /// Nobody reads standard output any more.
    OutputClosed,
    /// Records could not be written.
    OutputFailed(io::Error),
}

/// What the collector shows.
pub(crate) struct Show {
    /// Records on standard output.
    pub(crate) records: bool,
    /// A progress bar, if standard error is a terminal.
    pub(crate) progress: bool,
    /// The number of threads, in the summary.
    pub(crate) threads: bool,
}

/// The counts of a run and where they are shown.
pub(crate) struct Report {
    show: Show,
    out: BufWriter<Stdout>,
    bar: Option<ProgressBar>,
    start: Instant,
    elapsed: Duration,
    fetched: u64,
    failed: u64,
    bytes: u64,
    retries: u64,
    latency: Latency,
    kinds: BTreeMap<Kind, u64>,
    statuses: BTreeMap<u16, u64>,
    threads_max: u64,
    /// Why the input was not read to its end.
    pub(crate) input_error: Option<String>,
}

impl Report {
    /// Starts the clock.
    pub(crate) fn start(show: Show) -> Report {
        let bar = (show.progress && io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.set_style(style("{spinner} [{elapsed}] {pos} done ({per_sec}) {msg}"));
            bar
        });
        Report {
            show,
            out: BufWriter::with_capacity(64 * 1024, io::stdout()),
            bar,
            start: Instant::now(),
            elapsed: Duration::ZERO,
            fetched: 0,
            failed: 0,
            bytes: 0,
            retries: 0,
            latency: Latency::new(),
            kinds: BTreeMap::new(),
            statuses: BTreeMap::new(),
            threads_max: 0,
            input_error: None,
        }
    }

    /// Takes events until all is done. `signal` is 0 until one arrives; then the frontier is stopped
    /// and what runs gets [`INTERRUPT_GRACE`].
    pub(crate) fn collect(
        &mut self,
        events: &Receiver<Event>,
        frontier: &Frontier,
        signal: &AtomicI32,
    ) -> Ending {
        let mut give_up_at = None;
        let ending = loop {
            let arrived = events.recv_timeout(TICK);
            let ended = matches!(arrived, Err(RecvTimeoutError::Disconnected));
            let batch = arrived.into_iter().chain(events.try_iter()).take(BATCH_MAX);
            if let Err(e) = self.take(batch) {
                break output_ending(e, signal);
            }
            self.sample_threads();
            self.draw(frontier);
            let signal = signal.load(Ordering::Acquire);
            if signal == 0 {
                if ended {
                    break Ending::Complete;
                }
                continue;
            }
            let now = Instant::now();
            let give_up_at = *give_up_at.get_or_insert_with(|| {
                frontier.stop();
                self.announce_interrupt(frontier.running());
                now + INTERRUPT_GRACE
            });
            // Outcomes are sent before their slots are given back, so with no slot in use and no
            // event waiting there is nothing more to come.
            let idle = frontier.running() == 0 && events.is_empty();
            if ended || idle || now >= give_up_at {
                break Ending::Interrupted(signal);
            }
        };
        self.elapsed = self.start.elapsed();
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        ending
    }

    /// Tells whether every URL was fetched.
    pub(crate) fn all_fetched(&self) -> bool {
        self.failed == 0
    }

    /// Counts events and writes their records.
    fn take(&mut self, events: impl Iterator<Item = Event>) -> io::Result<()> {
        // A bar and records on one terminal: the bar steps aside while lines are written.
        let aside = match &self.bar {
            Some(bar) if self.show.records && io::stdout().is_terminal() => Some(bar.clone()),
            _ => None,
        };
        let write = || {
            for event in events {
                self.take_one(event)?;
            }
            self.out.flush()
        };
        match aside {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    fn take_one(&mut self, event: Event) -> io::Result<()> {
        let outcome = match event {
            Event::Done(outcome) => outcome,
            Event::InputFailed(error) => {
                self.input_error = Some(error);
                return Ok(());
            }
        };
        self.bytes += outcome.bytes;
        self.retries += u64::from(outcome.attempts.saturating_sub(1));
        match &outcome.failure {
            None => {
                self.fetched += 1;
                self.latency.record(outcome.elapsed);
            }
            Some(failure) => {
                self.failed += 1;
                match (failure.kind, outcome.status) {
                    (Kind::Status, Some(status)) => *self.statuses.entry(status).or_default() += 1,
                    (kind, _) => *self.kinds.entry(kind).or_default() += 1,
                }
            }
        }
        if self.show.records {
            self.out.write_all(&outcome.record())
        } else {
            Ok(())
        }
    }

    fn draw(&self, frontier: &Frontier) {
        let Some(bar) = &self.bar else { return };
        if bar.length().is_none()
            && let Some(total) = frontier.total()
        {
            bar.set_length(total);
            bar.set_style(style(
                "[{elapsed}] {bar:30} {pos}/{len} ({per_sec}, {eta} to go) {msg}",
            ));
        }
        let running = frontier.running();
        bar.set_message(format!(
            "{running} under way, {} failed, {}",
            self.failed,
            HumanBytes(self.bytes)
        ));
        bar.set_position(self.fetched + self.failed);
    }

    fn sample_threads(&mut self) {
        if self.show.threads {
            self.threads_max = self.threads_max.max(threads_now().unwrap_or(0));
        }
    }

    fn announce_interrupt(&self, running: usize) {
        let text = format!(
            "interrupted: giving {running} fetches under way {INTERRUPT_GRACE:?} to end \
             (again to end at once)\n"
        );
        match &self.bar {
            Some(bar) => bar.suspend(|| say(&text)),
            None => say(&text),
        }
    }

    /// Prints the summary on standard error.
    pub(crate) fn summarise(&self, frontier: &Frontier, ending: &Ending) {
        say(&self.summary(frontier, ending));
    }

    fn summary(&self, frontier: &Frontier, ending: &Ending) -> String {
        let mut text = String::new();
        let seconds = self.elapsed.as_secs_f64();
        let done = self.fetched + self.failed;
        let _ = write!(text, "{} fetched, {} failed", self.fetched, self.failed);
        if matches!(ending, Ending::Interrupted(_)) {
            let _ = write!(text, ", {} not finished", frontier.running());
        }
        let rate = |amount: f64| if seconds > 0.0 { amount / seconds } else { 0.0 };
        let _ = writeln!(
            text,
            " in {seconds:.3} s ({:.1} a second); {}, {} a second",
            rate(done as f64),
            HumanBytes(self.bytes),
            HumanBytes(rate(self.bytes as f64) as u64)
        );
        if let Some(max) = self.latency.max() {
            let _ = write!(text, "time per fetch:");
            for percent in [50.0, 90.0, 99.0] {
                let duration = self.latency.percentile(percent).unwrap_or(max);
                let _ = write!(text, " p{percent} {},", milliseconds(duration));
            }
            let _ = writeln!(text, " max {}", milliseconds(max));
        }
        if self.failed > 0 {
            let kinds = self
                .kinds
                .iter()
                .map(|(kind, count)| format!("{} {count}", kind.name()));
            let statuses = self
                .statuses
                .iter()
                .map(|(s, count)| format!("status {s} {count}"));
            let classes: Vec<String> = kinds.chain(statuses).collect();
            let _ = writeln!(text, "failures: {}", classes.join(", "));
        }
        if self.retries > 0 {
            let _ = writeln!(text, "retries: {}", self.retries);
        }
        if self.show.threads {
            let at_once = frontier.running_max();
            let _ = writeln!(
                text,
                "at most {at_once} fetches at once, on {} threads of one process",
                self.threads_max
            );
        }
        if let Ending::Interrupted(signal) = ending {
            let name = interrupt::name(*signal);
            let more = if frontier.has_more() {
                "; the rest was not started"
            } else {
                ""
            };
            let _ = writeln!(text, "ended by signal {signal} ({name}){more}");
        }
        text
    }
}

/// Decides what failing to write records means.
fn output_ending(error: io::Error, signal: &AtomicI32) -> Ending {
    if error.kind() != io::ErrorKind::BrokenPipe {
        return Ending::OutputFailed(error);
    }
    // Ctrl-C reaches a whole pipeline, and the reader may be gone before our signal is here.
    std::thread::sleep(TICK);
    match signal.load(Ordering::Acquire) {
        0 => Ending::OutputClosed,
        signal => Ending::Interrupted(signal),
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .expect("the template is valid")
        .progress_chars("=> ")
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1000.0)
}

/// Returns how many threads this process has now, by the kernel's count.
fn threads_now() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status
        .lines()
        .find_map(|line| line.strip_prefix("Threads:"))?
        .trim()
        .parse()
        .ok()
}
