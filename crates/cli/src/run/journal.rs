//! The job log: one line a job, in the form of GNU parallel's, and what a later run learns from it.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const HEAD: &str = "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand";

/// A job log that is written.
pub(crate) struct Journal {
    file: File,
    path: PathBuf,
}

/// One line of it.
pub(crate) struct Entry<'a> {
    pub(crate) job: u64,
    pub(crate) started: SystemTime,
    pub(crate) took: Duration,
    pub(crate) output_bytes: u64,
    pub(crate) exit_code: i32,
    pub(crate) signal: i32,
    pub(crate) command: &'a str,
}

/// What a log says of jobs that ended before: by number, whether it went well, and its command.
#[derive(Debug, Default)]
pub(crate) struct Past(HashMap<u64, (bool, String)>);

impl Journal {
    /// Opens a log: anew, or to go on with it, without the piece of a line that it may end with
    /// after a full disk or a crash.
    ///
    /// # Errors
    ///
    /// The file's, with its name.
    pub(crate) fn open(path: &Path, go_on: bool) -> io::Result<Journal> {
        let open = || {
            let mut options = OpenOptions::new();
            options.create(true);
            match go_on {
                true => options.append(true).read(true),
                false => options.write(true).truncate(true),
            };
            let mut file = options.open(path)?;
            if go_on {
                cut_to_whole_lines(&file)?;
            }
            if file.metadata()?.len() == 0 {
                writeln!(file, "{HEAD}")?;
            }
            Ok(file)
        };
        let file = open().map_err(|error| named(path, &error))?;
        let path = path.to_owned();
        Ok(Journal { file, path })
    }

    /// Writes a line, in one piece: a run that is killed leaves whole lines.
    ///
    /// # Errors
    ///
    /// The file's, with its name.
    pub(crate) fn write(&mut self, entry: &Entry<'_>) -> io::Result<()> {
        let started = entry.started.duration_since(UNIX_EPOCH).unwrap_or_default();
        let line = format!(
            "{}\t:\t{:.3}\t{:10.3}\t0\t{}\t{}\t{}\t{}\n",
            entry.job,
            started.as_secs_f64(),
            entry.took.as_secs_f64(),
            entry.output_bytes,
            entry.exit_code,
            entry.signal,
            entry.command,
        );
        let written = self.file.write_all(line.as_bytes());
        written
            .map_err(|error| io::Error::other(format!("the job log {}", named(&self.path, &error))))
    }
}

/// Cuts off what follows the last line end. A pipe or a device has no length to speak of, and
/// stays as it is.
fn cut_to_whole_lines(file: &File) -> io::Result<()> {
    let len = file.metadata()?.len();
    let mut whole = len;
    let mut byte = [0];
    while whole > 0 {
        file.read_exact_at(&mut byte, whole - 1)?;
        if byte == *b"\n" {
            break;
        }
        whole -= 1;
    }
    if whole < len {
        file.set_len(whole)?;
    }
    Ok(())
}

impl Past {
    /// Reads a log; one that is not there is empty.
    ///
    /// # Errors
    ///
    /// The file's, and that it is no job log; both with its name.
    pub(crate) fn read(path: &Path) -> io::Result<Past> {
        let mut file = match File::open(path) {
            Ok(file) => BufReader::new(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Past::default()),
            Err(error) => return Err(named(path, &error)),
        };
        let mut past = HashMap::new();
        for number in 0.. {
            let mut line = String::new();
            file.read_line(&mut line)
                .map_err(|error| named(path, &error))?;
            // A piece of a line at the end tells nothing that can be relied on.
            let (line, is_whole) = match line.strip_suffix('\n') {
                Some(line) => (line, true),
                None => (line.as_str(), false),
            };
            if !is_whole && (number > 0 || HEAD.starts_with(line)) {
                break;
            }
            if line == HEAD {
                continue;
            }
            let Some((job, ended)) = read_line(line) else {
                let text = format!(
                    "{}: line {} is none of a job log",
                    path.display(),
                    number + 1
                );
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            };
            // A job that was run again: its last run counts.
            past.insert(job, ended);
        }
        Ok(Past(past))
    }

    /// Says whether a job need not be run again.
    ///
    /// # Errors
    ///
    /// A sentence, if the log has another command for its number.
    pub(crate) fn is_done(
        &self,
        job: u64,
        command: &str,
        failed_again: bool,
    ) -> Result<bool, String> {
        match self.0.get(&job) {
            None => Ok(false),
            Some((_, before)) if before != command => Err(format!(
                "the job log is of other jobs: number {job} was `{before}` and is `{command}` now; \
                 use another log, or none"
            )),
            Some((well, _)) => Ok(*well || !failed_again),
        }
    }
}

fn read_line(line: &str) -> Option<(u64, (bool, String))> {
    let mut fields = line.splitn(9, '\t');
    let job = fields.next()?.parse().ok()?;
    let exit_code: i32 = fields.nth(5)?.parse().ok()?;
    let signal: i32 = fields.next()?.parse().ok()?;
    let command = fields.next()?.to_owned();
    Some((job, (exit_code == 0 && signal == 0, command)))
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
