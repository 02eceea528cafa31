//! `ropewalk run`: many commands at once.
//!
//! Who does what:
//! - `inputs` gives the values of each job, `template` makes them a command;
//! - the starter, one coroutine, waits for a free slot and starts a coroutine for each job;
//! - `job` is what such a coroutine does: a process, its time-out, its retries;
//! - `collect`, on the main thread, shows what jobs print, keeps the `journal` and counts;
//! - `running` knows the process groups, so that all can be ended.

mod collect;
mod halt;
mod inputs;
mod job;
mod journal;
mod running;
mod template;

use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Once};
use std::thread;
use std::time::Duration;

use ropewalk::channel::{self, Receiver, Sender};
use ropewalk::coroutine;
use ropewalk::sync::Semaphore;
use rustix::process::{Resource, getrlimit};
use signal_hook::consts::SIGQUIT;

use self::collect::{Collector, Counts, Show};
use self::halt::Halt;
use self::inputs::{Inputs, Linked, Source};
use self::job::{Event, Job, Output, Way};
use self::journal::{Journal, Past};
use self::running::{Running, Stop};
use self::template::{Filling, Template};
use crate::{duration, interrupt, limits, say, start_runtime};

/// The exit code for all that is no job's fault; 1 to 101 tell how many jobs failed.
pub(crate) const UNABLE: u8 = 255;
/// Jobs at once that `-j 0` takes at most.
const JOBS_MAX: usize = 4096;
/// Values read ahead of the jobs.
const READ_AHEAD: usize = 256;

/// Run many commands at once
#[derive(clap::Args, Debug)]
#[command(after_long_help = HELP_AFTER)]
pub(crate) struct Args {
    /// The command, with {} where values go, then ::: and values, or :::: and files of values
    ///
    /// Without ::: and ::::, values are lines of standard input. Without a command, each line is one.
    #[arg(value_name = "COMMAND", trailing_var_arg = true)]
    command: Vec<OsString>,

    /// Run at most N jobs at once; also 50% of the cores, or +2 or -1 with regard to them; 0 is as
    /// many as possible [default: one for each core]
    #[arg(short, long, value_name = "N", default_value = "100%", hide_default_value = true,
        value_parser = parse_jobs, allow_hyphen_values = true)]
    jobs: usize,

    /// Take values from FILE, one a line; `-` is standard input
    #[arg(short, long, value_name = "FILE")]
    arg_file: Vec<PathBuf>,

    /// Values end with a NUL byte, not with a line
    #[arg(short = '0', long)]
    null: bool,

    /// Take the values of several sources side by side, not each with each; short ones begin anew
    #[arg(long)]
    link: bool,

    /// Show what jobs print in the order of the input
    #[arg(short, long)]
    keep_order: bool,

    /// Show each line as it comes, not all at the end of its job
    #[arg(long, conflicts_with = "ungroup")]
    line_buffer: bool,

    /// Leave what jobs print alone: it is mixed, and not delayed
    #[arg(short, long, conflicts_with = "keep_order")]
    ungroup: bool,

    /// Begin each line of output with the values of its job and a tab
    #[arg(long, conflicts_with = "ungroup")]
    tag: bool,

    /// Give commands to /bin/sh; values are quoted
    #[arg(long)]
    shell: bool,

    /// Only show the commands
    #[arg(long)]
    dry_run: bool,

    /// Try a failed job again up to N times
    #[arg(long, value_name = "N", default_value_t = 0)]
    retries: u32,

    /// End a job that takes longer, with all that it started: SIGTERM, and SIGKILL 2 s later
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_positive)]
    timeout: Option<Duration>,

    /// When to stop early: soon (let jobs end) or now (end them), then fail=N, success=N, done=N or N%
    #[arg(long, value_name = "POLICY", default_value = "never")]
    halt: Halt,

    /// Write a line for each job to FILE, in the form of GNU parallel's job log
    #[arg(long, value_name = "FILE")]
    joblog: Option<PathBuf>,

    /// Go on with the job log: leave out the jobs that are in it
    #[arg(long, requires = "joblog")]
    resume: bool,

    /// Go on with the job log, and run the jobs again that failed
    #[arg(long, requires = "joblog")]
    resume_failed: bool,

    /// Show no progress bar
    #[arg(long)]
    no_progress: bool,
}

const HELP_AFTER: &str = "\
Places in the command (of the value dir/photo.tar.gz):
  {}   dir/photo.tar.gz     {.}  dir/photo.tar     {#}  the number of the job
  {/}  photo.tar.gz         {/.} photo.tar         {%}  the slot it runs in
  {//} dir                  {2}, {2.}, {2/} ...    of the second source
  A command without any gets {} at its end. Nothing is given to a shell unless --shell is.
  ::: and :::: combine each value with each; :::+ and ::::+ go side by side with the source before.

Exit codes:
  0        all jobs went well
  1 - 100  so many failed
  101      more than 100 failed
  255      bad usage, or the input could not be read or the output not written
  130      ended by Ctrl-C; a second one kills what still runs (129, 131, 143: by SIGHUP, SIGQUIT,
           SIGTERM)
  If --halt stopped the run: with fail=1 and done=1 the exit code of the job that did, with fail=N
  and done=N how many failed, with N% which share of all jobs, with success= 0. For N% all of the
  input is read before the first job starts.

Examples:
  ropewalk run -j 8 'convert {} {.}.png' ::: *.jpg
  ropewalk run --shell 'zcat {} | wc -l' :::: files.txt
  ropewalk run -k --timeout 10s ping -c 1 ::: host1 host2
  ropewalk run --joblog log --resume --retries 2 < commands.txt";

fn parse_jobs(text: &str) -> Result<usize, String> {
    let wrong = || "expected a number, or a share of the cores such as 50%, +2 or -1".to_owned();
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let jobs = if let Some(percent) = text.strip_suffix('%') {
        let percent: usize = percent.parse().map_err(|_| wrong())?;
        (cores.saturating_mul(percent) / 100).max(1)
    } else if let Some(more) = text.strip_prefix('+') {
        cores.saturating_add(more.parse().map_err(|_| wrong())?)
    } else if let Some(fewer) = text.strip_prefix('-') {
        let fewer: usize = fewer.parse().map_err(|_| wrong())?;
        cores.saturating_sub(fewer).max(1)
    } else {
        match text.parse().map_err(|_| wrong())? {
            0 => return Ok(0),
            jobs => jobs,
        }
    };
    match jobs {
        1..=JOBS_MAX => Ok(jobs),
        _ => Err(format!("at most {JOBS_MAX} jobs at once")),
    }
}

/// What the starter goes by.
struct Plan {
    /// `None`: each value is a command of its own.
    template: Option<Template>,
    way: Way,
    jobs: usize,
    unshown_max: usize,
    tag: bool,
    dry_run: bool,
    past: Option<Past>,
    failed_again: bool,
}

/// Runs the command and returns its exit code.
///
/// # Errors
/// A sentence: what kept it from starting.
pub(crate) fn run(args: Args) -> Result<u8, String> {
    let go_on = args.resume || args.resume_failed;
    let past = match args.joblog.as_deref().filter(|_| go_on) {
        Some(log) => Some(Past::read(log).map_err(|e| e.to_string())?),
        None => None,
    };
    let (command, mut sources) = inputs::take_apart(args.command, &args.arg_file, args.link)?;
    if sources.is_empty() {
        if io::stdin().is_terminal() {
            say("ropewalk: reading from the terminal, a line a job; Ctrl-D ends it\n");
        }
        sources.push(Source {
            from: inputs::From::File("-".into()),
            linked: Linked::No,
        });
    }
    if let ([text], false) = (command.as_slice(), args.shell) {
        note_shell_words(&template::split(text)?);
    }
    let template = match command.is_empty() {
        true => None,
        false => Some(Template::new(&command, args.shell)?),
    };
    let mut inputs = Inputs::open(sources, args.null).map_err(|e| format!("cannot read {e}"))?;
    let named = template.as_ref().map_or(0, Template::sources_named);
    if named > inputs.width() {
        return Err(format!(
            "the command has a place {{{named}}}, and there are no more than {} sources of values",
            inputs.width()
        ));
    }
    if template.is_none() && inputs.width() > 1 {
        return Err("without a command there can be only one source, of commands".to_owned());
    }
    if args.halt.is_share() {
        let commands = template.is_none();
        let read = inputs.read_all(commands);
        read.map_err(|error| format!("cannot read the input: {error}"))?;
    }
    let output = match (args.ungroup, args.line_buffer) {
        (true, _) => Output::Inherited,
        (_, true) => Output::Lines,
        _ => Output::Grouped,
    };
    let (jobs, unshown_max) = limits_for(args.jobs)?;
    if output == Output::Grouped && !args.dry_run {
        job::try_capture()?;
    }
    // Now that nothing else is wrong: a log that is begun anew is emptied by this.
    let journal = match args.joblog.as_deref().filter(|_| !args.dry_run) {
        Some(log) => Some(Journal::open(log, go_on).map_err(|e| e.to_string())?),
        None => None,
    };
    let plan = Plan {
        template,
        way: Way {
            shell: args.shell,
            timeout: args.timeout,
            retries: args.retries,
            output,
        },
        jobs,
        unshown_max,
        tag: args.tag,
        dry_run: args.dry_run,
        past,
        failed_again: args.resume_failed,
    };
    let show = Show {
        keep_order: args.keep_order,
        progress: !args.no_progress && !args.dry_run && !args.ungroup,
        journal,
    };
    start(plan, inputs, show, args.halt)
}

/// How many jobs run at once, and how many may be between their start and their being shown: each
/// of these holds two files, and a few more while it starts.
fn limits_for(jobs: usize) -> Result<(usize, usize), String> {
    const ASIDE: u64 = 64;
    const EACH: u64 = 6;
    // Left as it is: jobs inherit it.
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let possible = usize::try_from(limit.saturating_sub(ASIDE) / EACH).unwrap_or(usize::MAX);
    let possible = possible.clamp(1, JOBS_MAX);
    match jobs {
        0 => Ok((possible, possible)),
        jobs if jobs <= possible => Ok((jobs, possible)),
        jobs => Err(format!(
            "the limit of {limit} open files is too low for {jobs} jobs at once: use -j {possible}, \
             or {}",
            limits::remedy(jobs as u64 * EACH + ASIDE)
        )),
    }
}

fn start(plan: Plan, inputs: Inputs, show: Show, halt: Halt) -> Result<u8, String> {
    let total = inputs.len_known();
    let running = Arc::new(Running::new(halt, total.unwrap_or(u64::MAX)));
    let interrupted = Arc::new(AtomicI32::new(0));
    let (told, noted) = (Arc::clone(&running), Arc::clone(&interrupted));
    // Jobs are groups of their own, which neither the terminal's Ctrl-\\ nor its end reaches.
    interrupt::watch_all(&[SIGQUIT], move |signal| {
        let first = noted.swap(signal, Ordering::AcqRel) == 0;
        told.stop(if first { Stop::Now } else { Stop::Kill });
    })
    .map_err(|e| format!("cannot watch for signals: {e}"))?;

    let runtime = start_runtime()?;
    let (events, arriving) = channel::bounded(READ_AHEAD);
    let (values, feed) = channel::bounded(READ_AHEAD);
    let collector = Collector::new(show, &running, total);
    // Standard input blocks, and may do so for ever: nobody waits for this thread.
    thread::Builder::new()
        .name("input".to_owned())
        .spawn(move || inputs.into_iter().try_for_each(|one| values.send(one)))
        .map_err(|e| format!("cannot start a thread: {e}"))?;
    let starter = Arc::clone(&running);
    let running_all = thread::Builder::new()
        .name("run".to_owned())
        .spawn(move || runtime.run(|| start_all(&plan, &feed, &starter, &events)))
        .map_err(|e| format!("cannot start a thread: {e}"))?;
    let counts = collector.collect(&arriving, &interrupted);
    running_all
        .join()
        .map_err(|_| "running jobs panicked".to_owned())?;
    finish(counts, halt, interrupted.load(Ordering::Acquire))
}

/// Starts a job for each of the values, as slots come free.
fn start_all(
    plan: &Plan,
    feed: &Receiver<io::Result<Vec<OsString>>>,
    running: &Arc<Running>,
    events: &Sender<Event>,
) {
    let unshown = Arc::new(Semaphore::new(plan.unshown_max));
    let (free, slots) = channel::bounded(plan.jobs);
    for slot in 1..=plan.jobs {
        let _ = free.send(slot);
    }
    coroutine::scope(|s| {
        let mut number = 0;
        running.starting().run(|| {
            while let Ok(slot) = slots.recv() {
                let Some(job) = next_job(plan, feed, events, &mut number, slot) else {
                    return;
                };
                let Ok(place) = unshown.acquire_owned() else {
                    return;
                };
                let free = free.clone();
                // What has started is ended by its process's end, not by its token.
                coroutine::Builder::new()
                    .spawn_scoped(s, move || {
                        ropewalk::cancel::shield(|| {
                            let mut outcome = job::run(job, plan.way, running, events, place);
                            outcome.cut_short = !outcome.end.is_success() && running.is_ending();
                            outcome.halts = running.note_end(&outcome.end);
                            let _ = free.send(slot);
                            let _ = events.send(Event::Done(Box::new(outcome)));
                        });
                    })
                    .expect("the runtime is there");
            }
        });
    });
}

/// The next job that is to be run; `None` at the end of the input, or of the run.
fn next_job(
    plan: &Plan,
    feed: &Receiver<io::Result<Vec<OsString>>>,
    events: &Sender<Event>,
    number: &mut u64,
    slot: usize,
) -> Option<Job> {
    loop {
        let Ok(values) = feed.recv() else {
            let _ = events.send(Event::Total(*number));
            return None;
        };
        let job = values
            .map_err(|error| format!("cannot read the input: {error}"))
            .and_then(|values| make_job(plan, values, *number + 1, slot));
        let job = match job {
            Ok(Some(job)) => job,
            Ok(None) => continue,
            Err(error) => {
                let _ = events.send(Event::Failed(error));
                return None;
            }
        };
        *number += 1;
        let past = plan.past.as_ref();
        let done = past.map(|past| past.is_done(job.number, &job.shown, plan.failed_again));
        let event = match done {
            Some(Err(error)) => {
                let _ = events.send(Event::Failed(error));
                return None;
            }
            Some(Ok(true)) => Event::Skipped(job.number),
            _ if plan.dry_run => Event::Shown(job.shown),
            _ => return Some(job),
        };
        events.send(event).ok()?;
    }
}

/// Makes a command of values; `None` for a line that is none.
fn make_job(
    plan: &Plan,
    values: Vec<OsString>,
    number: u64,
    slot: usize,
) -> Result<Option<Job>, String> {
    let shell = plan.way.shell;
    let words = match &plan.template {
        Some(template) => template.fill(Filling {
            values: &values,
            job: number,
            slot,
        }),
        None => {
            if !inputs::is_command(&values[0]) {
                return Ok(None);
            }
            match shell {
                true => values.clone(),
                false => {
                    let words = template::split(&values[0]);
                    let words = words.map_err(|e| format!("job {number}: {e}"))?;
                    note_shell_words(&words);
                    words
                }
            }
        }
    };
    let tag = plan.tag.then(|| {
        let tag = values.join(OsStr::new(" "));
        tag.to_string_lossy().replace('\n', " ")
    });
    Ok(Some(Job {
        number,
        shown: template::shown(&words, shell),
        words,
        tag,
    }))
}

/// Tells, once, of a word that was meant for a shell, perhaps, where none is asked.
fn note_shell_words(words: &[OsString]) {
    static TOLD: Once = Once::new();
    let shells = ["|", "||", "&&", "&", ">", ">>", "<", "2>", "2>&1"];
    let mut words = words.iter().filter_map(|word| word.to_str());
    if let Some(word) = words.find(|word| shells.contains(word)) {
        TOLD.call_once(|| {
            say(&format!(
                "ropewalk: note: {word} goes to the command as it is; with --shell it is the shell's\n"
            ));
        });
    }
}

fn finish(counts: Counts, halt: Halt, interrupted: i32) -> Result<u8, String> {
    if interrupted != 0 {
        say(&format!(
            "ropewalk: ended by signal {interrupted} ({}): {} jobs went well, {} did not\n",
            interrupt::name(interrupted),
            counts.succeeded,
            counts.failed
        ));
        return Ok(interrupt::exit_code(interrupted));
    }
    if let Some(error) = counts.error {
        return Err(error);
    }
    if let Some(code) = counts.halted {
        return Ok(code);
    }
    if counts.output_closed {
        return Ok(0);
    }
    let all = counts.failed + counts.succeeded;
    if counts.failed > 0 {
        say(&format!(
            "ropewalk: {} of {all} jobs failed\n",
            counts.failed
        ));
    }
    Ok(halt.failed_code(counts.failed, all))
}
