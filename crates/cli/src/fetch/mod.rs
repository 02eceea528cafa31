//! `ropewalk fetch`: many URLs at once.
//!
//! Who does what:
//! - `input` reads URLs on a plain thread (standard input blocks) and pushes them into the
//!   `frontier`, which decides what starts next;
//! - the dispatcher, one coroutine, takes from the frontier and starts a coroutine for each URL;
//! - `attempt` is what such a coroutine does: one request, its body into nothing or a `folder`;
//! - `report`, on the main thread, takes the outcomes, writes records and sums up;
//! - `demo` is the embedded server.

mod attempt;
mod demo;
mod folder;
mod frontier;
mod input;
mod latency;
mod record;
mod report;

use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufReader};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread;

use clap::builder::RangedU64ValueParser;
use ropewalk::channel::{self, Sender};
use ropewalk::coroutine;
use ropewalk::http::client::Client;
use ropewalk::time::Duration;
use url::Url;

use self::attempt::Attempt;
use self::demo::Demo;
use self::folder::Folder;
use self::frontier::{Frontier, Job};
use self::input::{Entry, Lines};
use self::record::{Failure, Kind, Outcome};
use self::report::{Ending, Event, Report, Show};
use crate::{duration, interrupt, limits, say, start_runtime};

/// Fetches at once unless `-c` says otherwise.
const CONCURRENCY: usize = 64;
/// Most fetches at once that `--demo` takes by itself.
const DEMO_CONCURRENCY_MAX: usize = 5_000;
/// How long the demo's server takes to answer unless `--delay` says otherwise.
const DEMO_DELAY: Duration = Duration::from_millis(100);
/// URLs that wait before the input has to, at least.
const WAITING_MIN: usize = 10_000;
/// Outcomes on their way to the report.
const EVENTS_MAX: usize = 1024;
/// The first wait before a retry; doubled each time.
const BACKOFF_FIRST: Duration = Duration::from_millis(200);
/// The longest wait before a retry.
const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// Fetch many URLs at once
#[derive(clap::Args, Debug)]
#[command(after_long_help = HELP_AFTER)]
pub(crate) struct Args {
    /// URLs to fetch (http, https); `-` reads them from standard input
    #[arg(value_name = "URL", required_unless_present_any = ["input", "demo"])]
    urls: Vec<String>,

    /// Read URLs from FILE, one a line; `-` is standard input
    ///
    /// Blank lines and lines that start with # are skipped. Fetching starts with the first line.
    #[arg(short, long, value_name = "FILE")]
    input: Option<PathBuf>,

    /// Fetch at most N at once [default: 64]
    #[arg(short, long, value_name = "N",
        value_parser = RangedU64ValueParser::<usize>::new().range(1..=1_000_000))]
    concurrency: Option<usize>,

    /// Fetch at most N at once from each host and port
    ///
    /// URLs of a host at its limit wait aside, so a slow host never keeps the others from their turn.
    #[arg(long, value_name = "N",
        value_parser = RangedU64ValueParser::<usize>::new().range(1..=1_000_000))]
    per_host: Option<usize>,

    /// Give each attempt this long, from connecting to the end of the body
    #[arg(long, value_name = "DURATION", default_value = "30s",
        value_parser = duration::parse_positive)]
    timeout: Duration,

    /// Give connecting (name, TCP, TLS) this long
    #[arg(long, value_name = "DURATION", default_value = "10s",
        value_parser = duration::parse_positive)]
    connect_timeout: Duration,

    /// Try again up to N times after a failed connection, a timeout, or status 429 or 5xx
    ///
    /// Waits 200 ms, then twice as long each time up to 10 s, somewhat at random, and at least as
    /// long as the server's Retry-After says (up to 60 s).
    #[arg(long, value_name = "N", default_value_t = 0)]
    retries: u32,

    /// Write each body to a file in DIR, named after its URL
    ///
    /// A file appears when its body is complete. Bodies of failed fetches are not kept.
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,

    /// Show no progress bar
    #[arg(long)]
    no_progress: bool,

    /// Fetch N times from a server inside this process instead
    #[arg(long, value_name = "N", conflicts_with_all = ["urls", "input"])]
    demo: Option<u64>,

    /// The time the demo's server takes to answer [default: 100ms]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    delay: Option<Duration>,

    /// Print records in the demo too
    #[arg(long)]
    json: bool,
}

const HELP_AFTER: &str = "\
Records:
  One JSON object a line on standard output, in order of completion:
  url, status, bytes, ms, error, attempts; error_kind if it failed; redirected_to; file (with -o).
  `ms` is the time of the last attempt. A status of 400 or above counts as failed.
  The summary goes to standard error.

Exit codes:
  0  all fetched
  1  some failed
  2  bad usage, or the input could not be read or the output not written
  130  ended by Ctrl-C (129, 143: by SIGHUP, SIGTERM)

Examples:
  ropewalk fetch https://example.com https://example.org
  ropewalk fetch -i urls.txt -c 500 --per-host 8 --retries 2 > records.ndjson
  zcat urls.gz | ropewalk fetch -i - -o pages
  ropewalk fetch --demo 1000 --delay 100ms -c 1000";

/// What all fetches of a run share.
struct Work {
    frontier: Frontier,
    client: Client,
    folder: Option<Folder>,
    retries: u32,
}

/// An input.
type Entries = Box<dyn Iterator<Item = io::Result<Entry>> + Send>;

/// What is fetched.
enum Source {
    Entries(Entries),
    Demo(Demo),
}

/// Runs the command and returns its exit code.
///
/// # Errors
/// A sentence: what kept it from starting, from reading its input or from writing its output.
pub(crate) fn run(args: Args) -> Result<u8, String> {
    let show = Show {
        records: args.demo.is_none() || args.json,
        progress: !args.no_progress,
        threads: args.demo.is_some(),
    };
    if args.delay.is_some() && args.demo.is_none() {
        return Err("--delay is for --demo only".to_owned());
    }
    let concurrency = concurrency(&args)?;
    let source = source(&args)?;
    let work = Arc::new(Work {
        frontier: Frontier::new(frontier::Limits {
            concurrency,
            per_host: args.per_host.unwrap_or(usize::MAX),
            waiting_max: WAITING_MIN.max(concurrency.saturating_mul(4)),
        }),
        client: client(&args, concurrency)?,
        folder: args
            .output
            .as_deref()
            .map(|dir| Folder::open(dir).map_err(|e| format!("cannot use {}: {e}", dir.display())))
            .transpose()?,
        retries: args.retries,
    });
    let signal = Arc::new(AtomicI32::new(0));
    let arrived = Arc::clone(&signal);
    interrupt::watch(move |signal| arrived.store(signal, Ordering::Release))
        .map_err(|e| format!("cannot watch for signals: {e}"))?;

    let runtime = start_runtime()?;
    let (events, arriving) = channel::bounded(EVENTS_MAX);
    let mut report = Report::start(show);
    let running = thread::Builder::new()
        .name("fetch".to_owned())
        .spawn({
            let work = Arc::clone(&work);
            move || runtime.run(|| fetch_all(&work, source, events))
        })
        .map_err(|e| format!("cannot start a thread: {e}"))?;
    let ending = report.collect(&arriving, &work.frontier, &signal);
    if let Ending::Complete = ending {
        running
            .join()
            .map_err(|_| "fetching panicked".to_owned())??;
    } else if let Some(folder) = &work.folder {
        folder.abandon();
    }
    finish(&report, &work, ending)
}

/// Sums up and decides on the exit code.
fn finish(report: &Report, work: &Work, ending: Ending) -> Result<u8, String> {
    match &ending {
        // As when a pager is left: what was wanted has been read.
        Ending::OutputClosed => return Ok(0),
        Ending::OutputFailed(e) => return Err(format!("cannot write to standard output: {e}")),
        Ending::Complete | Ending::Interrupted(_) => {}
    }
    report.summarise(&work.frontier, &ending);
    match (&report.input_error, ending) {
        (_, Ending::Interrupted(signal)) => Ok(interrupt::exit_code(signal)),
        (Some(error), _) => Err(error.clone()),
        (None, _) => Ok(if report.all_fetched() { 0 } else { 1 }),
    }
}

/// Decides how many fetches run at once, as far as descriptors reach.
fn concurrency(args: &Args) -> Result<usize, String> {
    let asked = match (args.concurrency, args.demo) {
        (Some(asked), _) => asked,
        (None, None) => CONCURRENCY,
        (None, Some(count)) => usize::try_from(count)
            .unwrap_or(usize::MAX)
            .clamp(1, DEMO_CONCURRENCY_MAX),
    };
    // A connection has two ends, and in the demo both are here; a body's file is a descriptor too.
    let each = 1 + u64::from(args.demo.is_some()) + u64::from(args.output.is_some());
    let wanted = (asked as u64).saturating_mul(each) + limits::DESCRIPTORS_ASIDE;
    let limit = limits::raise_descriptors(wanted);
    if limit >= wanted {
        return Ok(asked);
    }
    let possible = limit.saturating_sub(limits::DESCRIPTORS_ASIDE) / each;
    if possible == 0 {
        return Err(format!(
            "the limit of {limit} open files is too low to fetch anything; {}",
            limits::remedy(wanted)
        ));
    }
    say(&format!(
        "note: fetching {possible} at once, not {asked}: the limit on open files is {limit}; {}\n",
        limits::remedy(wanted)
    ));
    Ok(usize::try_from(possible).unwrap_or(asked))
}

fn client(args: &Args, concurrency: usize) -> Result<Client, String> {
    // The frontier limits what runs at once, so the client need not. What is kept alive counts
    // against the limit on open files like what is in use.
    Client::builder()
        .timeout(args.timeout)
        .connect_timeout(args.connect_timeout)
        .connections_per_host_max(None)
        .pool_idle_per_host_max(concurrency)
        .pool_idle_max(concurrency)
        .build()
        .map_err(|e| format!("cannot make the client: {e}"))
}

/// Opens the input, so that a wrong name is told before anything starts.
fn source(args: &Args) -> Result<Source, String> {
    if let Some(count) = args.demo {
        return Ok(Source::Demo(Demo {
            count,
            delay: args.delay.unwrap_or(DEMO_DELAY),
        }));
    }
    let mut parts: Vec<Entries> = Vec::new();
    let mut stdin_taken = false;
    let mut stdin = || -> Result<_, String> {
        if std::mem::replace(&mut stdin_taken, true) {
            return Err("standard input is named twice".to_owned());
        }
        Ok(Lines::new(BufReader::new(io::stdin())))
    };
    for url in &args.urls {
        parts.push(match url.as_str() {
            "-" => Box::new(stdin()?),
            url => Box::new(std::iter::once(Ok(Entry::Url(url.to_owned())))),
        });
    }
    match &args.input {
        None => {}
        Some(path) if path.as_os_str() == "-" => parts.push(Box::new(stdin()?)),
        Some(path) => {
            let cannot = |e| format!("cannot read {}: {e}", path.display());
            let file = File::open(path).map_err(cannot)?;
            if file.metadata().map_err(cannot)?.is_dir() {
                return Err(format!("cannot read {}: it is a folder", path.display()));
            }
            parts.push(Box::new(Lines::new(BufReader::new(file))));
        }
    }
    Ok(Source::Entries(Box::new(parts.into_iter().flatten())))
}

/// Fetches everything, inside the runtime. The report ends when the last sender of events goes.
fn fetch_all(work: &Arc<Work>, source: Source, events: Sender<Event>) -> Result<(), String> {
    let (entries, server) = match source {
        Source::Entries(entries) => (entries, None),
        Source::Demo(demo) => {
            let server = demo
                .start()
                .map_err(|e| format!("cannot start the demo's server: {e}"))?;
            (server.entries(), Some(server))
        }
    };
    let input = thread::Builder::new().name("input".to_owned()).spawn({
        let (work, events) = (Arc::clone(work), events.clone());
        move || feed(entries, &work.frontier, &events)
    });
    if let Err(e) = input {
        return Err(format!("cannot start a thread: {e}"));
    }
    coroutine::scope(|scope| {
        while let Some(job) = work.frontier.take() {
            let events = &events;
            scope.spawn(move || fetch(work, job, events));
        }
    });
    drop(events);
    if let Some(server) = server {
        server.stop();
    }
    Ok(())
}

/// Pushes the input into the frontier; what isn't a URL is done with at once.
fn feed(
    entries: impl Iterator<Item = io::Result<Entry>>,
    frontier: &Frontier,
    events: &Sender<Event>,
) {
    for entry in entries {
        let job = match entry {
            Ok(Entry::Url(url)) => job(url),
            Ok(Entry::Bad { shown, why }) => Err(Outcome::bad_url(shown, why)),
            Err(e) => {
                let _ = events.send(Event::InputFailed(format!("cannot read the input: {e}")));
                break;
            }
        };
        let goes_on = match job {
            Ok(job) => frontier.push(job),
            Err(bad) => {
                frontier.count_bad();
                events.send(Event::Done(bad)).is_ok()
            }
        };
        if !goes_on {
            break;
        }
    }
    frontier.close();
}

/// Makes a job of a URL.
fn job(given: String) -> Result<Job, Box<Outcome>> {
    let refuse = |given: String, why: String| Err(Outcome::bad_url(given, why));
    let url = match Url::parse(&given) {
        Ok(url) => url,
        Err(url::ParseError::RelativeUrlWithoutBase) => {
            let why = "not a URL: it does not begin with http:// or https://";
            return refuse(given, why.to_owned());
        }
        Err(e) => return refuse(given, format!("not a URL: {e}")),
    };
    if !matches!(url.scheme(), "http" | "https") {
        let why = format!("the scheme {:?} is not http or https", url.scheme());
        return refuse(given, why);
    }
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
        return refuse(given, "the URL has no host".to_owned());
    };
    let host = format!("{host}:{port}").into();
    Ok(Job {
        given,
        url,
        host,
        attempts: 0,
    })
}

/// What each coroutine does: one attempt, then either back to the frontier or on to the report.
fn fetch(work: &Work, job: Job, events: &Sender<Event>) {
    let host = Arc::clone(&job.host);
    let attempt = catch_unwind(AssertUnwindSafe(|| {
        attempt::make(&work.client, &job, work.folder.as_ref())
    }))
    .unwrap_or_else(|_| {
        let failure = Failure::new(Kind::Other, "panicked: a bug in ropewalk");
        let mut outcome = Outcome::new(job.given.clone());
        outcome.attempts = job.attempts + 1;
        outcome.failure = Some(failure);
        Attempt {
            outcome,
            retryable: false,
            retry_after: None,
        }
    });
    if attempt.retryable && job.attempts < work.retries {
        let wait = backoff(job.attempts).max(attempt.retry_after.unwrap_or_default());
        let again = Job {
            attempts: job.attempts + 1,
            ..job
        };
        work.frontier.finish(&host, Some((again, wait)));
    } else {
        // The outcome first: with its slot free and its event not there yet, it could be missed.
        let _ = events.send(Event::Done(Box::new(attempt.outcome)));
        work.frontier.finish(&host, None);
    }
}

/// Returns how long to wait before the next attempt: doubling, capped, the second half at random so
/// that those who failed together don't come back together.
fn backoff(attempts_before: u32) -> Duration {
    let full = BACKOFF_FIRST
        .saturating_mul(1 << attempts_before.min(16))
        .min(BACKOFF_MAX);
    let random = RandomState::new().hash_one(attempts_before) as f64 / u64::MAX as f64;
    full.mul_f64(0.5 + random / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs() {
        let host = |url: &str| job(url.to_owned()).map(|job| job.host.to_string()).ok();
        assert_eq!(host("http://Example.com/a").unwrap(), "example.com:80");
        assert_eq!(host("https://example.com").unwrap(), "example.com:443");
        assert_eq!(host("http://[::1]:8080/").unwrap(), "[::1]:8080");
        for bad in [
            "",
            "example.com",
            "ftp://h/",
            "mailto:a@b",
            "http://",
            "http://h:99999/",
        ] {
            assert_eq!(host(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn backoff_doubles_up_to_its_cap() {
        for attempt in 0..40 {
            let full = Duration::from_millis(200 * (1 << attempt.min(10))).min(BACKOFF_MAX);
            let wait = backoff(attempt);
            assert!(wait >= full / 2 && wait <= full, "{attempt}: {wait:?}");
        }
    }
}
