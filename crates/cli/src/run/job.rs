//! One job: its process, started, watched and brought to its end.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant, SystemTime};

use ropewalk::channel::Sender;
use ropewalk::coroutine;
use ropewalk::process::{Child, Command, ExitStatus, Stdio};
use ropewalk::sync::OwnedSemaphorePermit;
use ropewalk::unblock;

use super::running::Running;

/// How long a job that was told to end may take before it is killed.
pub(super) const GRACE: Duration = Duration::from_secs(2);
/// How long the output of a job that has ended is still listened to, in case a process that it left
/// behind holds it open.
const OUTPUT_GRACE: Duration = Duration::from_secs(1);
/// The shell that is asked if a shell is asked for.
const SHELL: &str = "/bin/sh";

/// What is to be run.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) number: u64,
    pub(super) words: Vec<OsString>,
    /// The command as people see it.
    pub(super) shown: String,
    /// What each of its lines begins with, if that was asked for.
    pub(super) tag: Option<String>,
}

/// How jobs are run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    pub(super) shell: bool,
    pub(super) timeout: Option<Duration>,
    pub(super) retries: u32,
    pub(super) output: Output,
}

/// What becomes of what jobs print.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Output {
    /// Shown when the job has ended, in one piece.
    Grouped,
    /// Shown line by line.
    Lines,
    /// Not ours to care for.
    Inherited,
}

/// How a job's process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    Exited(i32),
    Signalled(i32),
    TimedOut(i32),
    /// It could not be started: the exit code that a shell gives for that, and why.
    NotStarted(i32, String),
}

/// What became of a job.
pub(super) struct Outcome {
    pub(super) job: Job,
    pub(super) end: End,
    pub(super) started: SystemTime,
    pub(super) took: Duration,
    pub(super) captured: Option<Captured>,
    /// The exit code of the run, if this job ends it.
    pub(super) halts: Option<u8>,
    /// Whether it went badly because all that ran was ended: it is still to be done.
    pub(super) cut_short: bool,
    /// One of the places between what is started and what is shown.
    _place: OwnedSemaphorePermit,
}

/// What a job printed, in files without a name.
pub(super) struct Captured {
    pub(super) out: File,
    pub(super) err: File,
}

/// What the collector is told.
pub(super) enum Event {
    /// A line, or the beginning of one that is too long to wait for its end.
    Line {
        number: u64,
        tag: Option<String>,
        error: bool,
        line: Vec<u8>,
    },
    Done(Box<Outcome>),
    /// A command that is only shown.
    Shown(String),
    /// This job was done by an earlier run.
    Skipped(u64),
    /// There will be no further jobs than so many.
    Total(u64),
    /// The input can't be read on, or makes no job.
    Failed(String),
}

impl End {
    pub(super) fn is_success(&self) -> bool {
        *self == End::Exited(0)
    }

    /// What the job log has for it: exit code and signal.
    pub(super) fn logged(&self) -> (i32, i32) {
        match *self {
            End::Exited(code) | End::NotStarted(code, _) => (code, 0),
            End::Signalled(signal) => (0, signal),
            End::TimedOut(signal) => (-1, signal),
        }
    }

    /// The exit code that a shell would give for it.
    pub(super) fn exit_code(&self) -> u8 {
        let code = match *self {
            End::Exited(code) | End::NotStarted(code, _) => code,
            End::Signalled(signal) => 128 + signal,
            End::TimedOut(_) => 124,
        };
        u8::try_from(code).unwrap_or(255)
    }

    fn of(status: ExitStatus) -> End {
        match status.code() {
            Some(code) => End::Exited(code),
            None => End::Signalled(status.signal().unwrap_or(0)),
        }
    }
}

/// Runs a job, again if it fails and may be tried again.
pub(super) fn run(
    job: Job,
    way: Way,
    running: &Running,
    events: &Sender<Event>,
    place: OwnedSemaphorePermit,
) -> Outcome {
    let mut tries = 0;
    loop {
        let (started, begun) = (SystemTime::now(), Instant::now());
        let (end, captured) = match attempt(&job, way, running, events) {
            Ok((end, captured)) => (end, captured),
            Err(error) => {
                let code = match error.kind() {
                    io::ErrorKind::NotFound => 127,
                    _ => 126,
                };
                let program = job.words.first().map(|word| word.to_string_lossy());
                let why = format!("{}: {error}", program.unwrap_or_default());
                (End::NotStarted(code, why), None)
            }
        };
        tries += 1;
        if end.is_success() || tries > way.retries || running.is_stopping() {
            return Outcome {
                job,
                end,
                started,
                took: begun.elapsed(),
                captured,
                halts: None,
                cut_short: false,
                _place: place,
            };
        }
    }
}

fn attempt(
    job: &Job,
    way: Way,
    running: &Running,
    events: &Sender<Event>,
) -> io::Result<(End, Option<Captured>)> {
    let mut command = match (way.shell, job.words.as_slice()) {
        (true, [text]) => {
            let mut command = Command::new(SHELL);
            command.arg("-c").arg(text);
            command
        }
        (_, [program, arguments @ ..]) => {
            let mut command = Command::new(program);
            command.args(arguments);
            command
        }
        (_, []) => return Err(io::Error::new(io::ErrorKind::NotFound, "an empty command")),
    };
    // A group of its own, so that whatever it starts can be ended with it.
    command.stdin(Stdio::null()).process_group(0);
    // One hop to where waiting for a disk keeps nobody up, for the files and the start together.
    let (mut child, captured) = unblock(|| {
        let captured = connect(&mut command, way.output)?;
        Ok::<_, io::Error>((command.spawn()?, captured))
    })?;
    // The command holds copies of the files until then.
    drop(command);
    let group = running.enter(child.id());
    let end = match way.output {
        Output::Lines => with_lines(&mut child, job, way, &group, events)?,
        _ => watch(&mut child, way, &group)?,
    };
    Ok((end, captured))
}

/// Makes sure that there is a place for what jobs print, before any is started.
///
/// # Errors
/// A sentence that says what to do.
pub(super) fn try_capture() -> Result<(), String> {
    tempfile::tempfile().map(drop).map_err(|error| {
        format!(
            "cannot keep what jobs print in {}: {error}; name another folder in TMPDIR, or use \
             --line-buffer or --ungroup, which keep nothing",
            std::env::temp_dir().display()
        )
    })
}

/// Connects a job's output, and gives the files it goes to, if it goes to files.
fn connect(command: &mut Command, output: Output) -> io::Result<Option<Captured>> {
    match output {
        Output::Grouped => {
            let (out, err) = (tempfile::tempfile()?, tempfile::tempfile()?);
            command.stdout(out.try_clone()?).stderr(err.try_clone()?);
            return Ok(Some(Captured { out, err }));
        }
        Output::Lines => command.stdout(Stdio::piped()).stderr(Stdio::piped()),
        Output::Inherited => command.stdout(Stdio::inherit()).stderr(Stdio::inherit()),
    };
    Ok(None)
}

/// Waits for the end of a job's process; one that takes too long is told to end, then killed.
fn watch(child: &mut Child, way: Way, group: &super::running::Group<'_>) -> io::Result<End> {
    let Some(timeout) = way.timeout else {
        return child.wait().map(End::of);
    };
    if let Some(status) = in_time(child, timeout)? {
        return Ok(End::of(status));
    }
    group.tell_to_end();
    let in_grace = in_time(child, GRACE)?;
    // Whoever is left of the group, whether or not its leader has ended.
    group.kill();
    let status = match in_grace {
        Some(status) => status,
        None => child.wait()?,
    };
    Ok(End::TimedOut(status.signal().unwrap_or(0)))
}

fn in_time(child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    match child.wait_timeout(limit) {
        Ok(status) => Ok(Some(status)),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Ok(None),
        Err(error) => Err(error),
    }
}

fn with_lines(
    child: &mut Child,
    job: &Job,
    way: Way,
    group: &super::running::Group<'_>,
    events: &Sender<Event>,
) -> io::Result<End> {
    let out = child.stdout.take().expect("piped");
    let err = child.stderr.take().expect("piped");
    coroutine::scope(|s| {
        let readers = [
            s.spawn(|| forward(&out, job, false, events)),
            s.spawn(|| forward(&err, job, true, events)),
        ];
        let end = watch(child, way, group);
        let until = Instant::now() + OUTPUT_GRACE;
        for reader in readers {
            let left = until.saturating_duration_since(Instant::now());
            if let Err(late) = reader.join_timeout(left) {
                late.cancel();
            }
        }
        end
    })
}

/// Hands on what a job prints, line by line, until its end or until this is cancelled.
fn forward(mut from: impl Read, job: &Job, error: bool, events: &Sender<Event>) {
    /// The longest line that is waited for.
    const LINE_BYTES_MAX: usize = 1 << 20;
    let mut line = Vec::new();
    let mut buf = [0; 8192];
    let tell = |line: Vec<u8>| {
        events
            .send(Event::Line {
                number: job.number,
                tag: job.tag.clone(),
                error,
                line,
            })
            .is_ok()
    };
    while let Ok(read @ 1..) = from.read(&mut buf) {
        line.extend_from_slice(&buf[..read]);
        let whole = line.iter().rposition(|&byte| byte == b'\n');
        let whole = match whole {
            Some(end) => end + 1,
            None if line.len() >= LINE_BYTES_MAX => line.len(),
            None => continue,
        };
        let rest = line.split_off(whole);
        if !tell(std::mem::replace(&mut line, rest)) {
            return;
        }
    }
    if !line.is_empty() {
        tell(line);
    }
}
