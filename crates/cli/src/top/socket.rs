//! Finding the socket of a process, and asking it.
//!
//! The socket lies in the runtime folder of the user, `$XDG_RUNTIME_DIR/ropewalk/`, or in
//! `/tmp/ropewalk-<uid>/`. The process may have been started with another environment than this
//! command, so all places that it could have chosen are looked at, and its environment if need be.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::net::sockopt::socket_peercred;
use rustix::process::{Pid, geteuid, test_kill_process};

/// The longest answer that is taken.
const ANSWER_BYTES_MAX: u64 = 1 << 30;
/// How often to try again when the process is busy with others, and how long to wait before.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(100);

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Error {
    /// The process is gone, or no longer listens.
    Ended(u32),
    /// It says no.
    Refused(String),
    /// It is stopped, and says nothing before it goes on.
    Stopped(u32),
    /// It says nothing, or nonsense.
    Failed(u32, io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Ended(pid) => write!(f, "process {pid} ended"),
            Error::Refused(text) => write!(f, "the process answers: {text}"),
            Error::Stopped(pid) => write!(
                f,
                "process {pid} is stopped and can't answer; SIGCONT lets it go on"
            ),
            Error::Failed(pid, e) if e.kind() == io::ErrorKind::WouldBlock => {
                write!(f, "process {pid} does not answer: is it stopped?")
            }
            Error::Failed(pid, e) => write!(f, "cannot ask process {pid}: {e}"),
        }
    }
}

/// A connection to a process's socket, renewed when the process has closed it.
#[derive(Debug)]
pub(super) struct Connection {
    pid: u32,
    path: PathBuf,
    /// How long an answer may take to begin or to go on.
    patience: Duration,
    stream: Option<BufReader<UnixStream>>,
    /// How many times it has been opened.
    pub(super) opened: u32,
}

impl Connection {
    /// Finds the socket of a process and connects.
    ///
    /// # Errors
    /// A sentence that says what to do.
    pub(super) fn open(pid: u32, patience: Duration) -> Result<Connection, String> {
        if let Some(path) = find(pid) {
            let mut connection = Connection {
                pid,
                path,
                patience,
                stream: None,
                opened: 0,
            };
            match connection.connect() {
                Ok(_) => return Ok(connection),
                // It was left behind; say what about the process itself.
                Err(Error::Ended(_)) => {}
                Err(e) => return Err(e.to_string()),
            }
        }
        Err(why_none(pid))
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends a request and returns the body of the answer.
    ///
    /// # Errors
    /// When there is none, also after some more tries if the process is busy or closed an idle
    /// connection.
    pub(super) fn ask(&mut self, request: &str) -> Result<String, Error> {
        let mut tries = 0;
        loop {
            tries += 1;
            let error = match self.try_ask(request) {
                Ok(body) => return Ok(body),
                Err(error) => error,
            };
            self.stream = None;
            let again = match &error {
                Error::Refused(text) => text.starts_with("busy"),
                // The process has closed it: because it was idle, or because it ends.
                Error::Failed(_, e) => is_closed(e),
                Error::Ended(_) | Error::Stopped(_) => false,
            };
            if !again || tries == TRIES {
                return Err(error);
            }
            if tries > 1 {
                thread::sleep(PAUSE);
            }
        }
    }

    fn try_ask(&mut self, request: &str) -> Result<String, Error> {
        let pid = self.pid;
        if is_stopped(pid) {
            return Err(Error::Stopped(pid));
        }
        let stream = match &mut self.stream {
            Some(stream) => stream,
            None => self.connect()?,
        };
        converse(stream, request).map_err(|e| match e {
            Converse::Refused(text) => Error::Refused(text),
            Converse::Failed(e) => Error::Failed(pid, e),
        })
    }

    fn connect(&mut self) -> Result<&mut BufReader<UnixStream>, Error> {
        let stream = connect(&self.path, self.patience).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Error::Ended(self.pid),
            _ => Error::Failed(self.pid, e),
        })?;
        self.opened += 1;
        Ok(self.stream.insert(BufReader::new(stream)))
    }
}

/// Says whether a process is stopped, by a signal or by who debugs it; as far as can be seen.
fn is_stopped(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // Its name, in parentheses, may hold anything.
    let state = stat
        .rsplit(") ")
        .next()
        .and_then(|rest| rest.chars().next());
    matches!(state, Some('T' | 't'))
}

fn is_closed(e: &io::Error) -> bool {
    matches!(
        e.kind(),
        io::ErrorKind::UnexpectedEof
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
    )
}

fn connect(path: &Path, patience: Duration) -> io::Result<UnixStream> {
    let stream = UnixStream::connect(path)?;
    // The folder keeps others out; this makes sure that nobody else answers in its name.
    if socket_peercred(&stream)?.uid != geteuid() {
        let text = "the socket belongs to another user";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    }
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    Ok(stream)
}

enum Converse {
    Refused(String),
    Failed(io::Error),
}

impl From<io::Error> for Converse {
    fn from(e: io::Error) -> Converse {
        Converse::Failed(e)
    }
}

/// Sends a request and reads the answer: `ok <bytes>` and the body, or `error <text>`.
fn converse<S: Read + Write>(stream: &mut BufReader<S>, request: &str) -> Result<String, Converse> {
    stream
        .get_mut()
        .write_all(format!("{request}\n").as_bytes())?;
    let mut status = String::new();
    (&mut *stream).take(4096).read_line(&mut status)?;
    if !status.ends_with('\n') {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    let status = status.trim_end();
    if let Some(text) = status.strip_prefix("error ") {
        return Err(Converse::Refused(super::format::without_controls(text)));
    }
    let invalid = |text: &str| io::Error::new(io::ErrorKind::InvalidData, text.to_owned());
    let length = status
        .strip_prefix("ok ")
        .and_then(|n| n.parse::<u64>().ok());
    let length = length.ok_or_else(|| invalid("its answer is not understood"))?;
    if length > ANSWER_BYTES_MAX {
        return Err(invalid("its answer is too long").into());
    }
    let mut body = Vec::new();
    (&mut *stream).take(length).read_to_end(&mut body)?;
    if body.len() as u64 != length {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    let body = String::from_utf8(body).map_err(|_| invalid("its answer is not text"))?;
    Ok(body)
}

/// Returns the folders in which sockets of this user's processes may lie.
pub(super) fn folders() -> Vec<PathBuf> {
    let uid = geteuid().as_raw();
    let mut folders = Vec::new();
    let own = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let usual = PathBuf::from(format!("/run/user/{uid}"));
    for base in own.into_iter().chain([usual]) {
        let folder = base.join("ropewalk");
        if base.is_absolute() && !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    folders.push(PathBuf::from(format!("/tmp/ropewalk-{uid}")));
    folders
}

/// Returns where the socket of a process lies.
fn find(pid: u32) -> Option<PathBuf> {
    let name = format!("{pid}.sock");
    let own = folders().into_iter().map(|folder| folder.join(&name));
    own.chain(folder_by_environment(pid).map(|folder| folder.join(&name)))
        .find(|path| path.symlink_metadata().is_ok())
}

/// Returns the folder that the environment of the process names.
fn folder_by_environment(pid: u32) -> Option<PathBuf> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let base = environment
        .split(|&byte| byte == 0)
        .find_map(|variable| variable.strip_prefix(b"XDG_RUNTIME_DIR="))?;
    let base = Path::new(OsStr::from_bytes(base));
    base.is_absolute().then(|| base.join("ropewalk"))
}

/// Says why a process has no socket for us, and what to do.
fn why_none(pid: u32) -> String {
    let there = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let there = there.is_some_and(|pid| test_kill_process(pid) != Err(rustix::io::Errno::SRCH));
    if !there {
        return format!(
            "there is no process {pid}; `ropewalk top` lists those that can be inspected"
        );
    }
    let owner = fs::metadata(format!("/proc/{pid}"))
        .ok()
        .map(|process| process.uid());
    let own = geteuid().as_raw();
    match owner {
        Some(uid) if uid != own => format!(
            "process {pid} belongs to user {uid}: only that user may look into it, and you are {own}"
        ),
        _ => format!(
            "process {pid} can't be inspected: if it runs on Ropewalk, start it with ROPEWALK_INSPECT=1 \
             in its environment, or have it call ropewalk::inspect::serve()"
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// What is written goes nowhere; what is read was there before.
    struct Played(Cursor<Vec<u8>>);

    impl Read for Played {
        fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
            self.0.read(bytes)
        }
    }

    impl Write for Played {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn play(answer: &[u8]) -> Result<String, String> {
        let mut stream = BufReader::new(Played(Cursor::new(answer.to_vec())));
        converse(&mut stream, "ping").map_err(|e| match e {
            Converse::Refused(text) => format!("refused: {text}"),
            Converse::Failed(e) => format!("{:?}", e.kind()),
        })
    }

    #[test]
    fn answers() {
        assert_eq!(play(b"ok 5\nhellomore").unwrap(), "hello");
        assert_eq!(play(b"ok 0\n").unwrap(), "");
        assert_eq!(play(b"error go away\n").unwrap_err(), "refused: go away");
        for (answer, kind) in [
            (&b""[..], "UnexpectedEof"),
            (b"ok 5", "UnexpectedEof"),
            (b"ok 5\nhell", "UnexpectedEof"),
            (b"ok -5\n", "InvalidData"),
            (b"ok 99999999999\n", "InvalidData"),
            (b"yes\n", "InvalidData"),
            (b"ok 1\n\xff", "InvalidData"),
            (b"\xff\xfe\n", "InvalidData"),
        ] {
            assert_eq!(play(answer).unwrap_err(), kind, "{answer:?}");
        }
        assert_eq!(play(&[b'x'; 10_000]).unwrap_err(), "UnexpectedEof");
    }

    #[test]
    fn why_there_is_no_socket() {
        assert!(why_none(u32::MAX).contains("no process"));
        assert!(why_none(0).contains("no process"));
        assert!(why_none(std::process::id()).contains("ROPEWALK_INSPECT=1"));
        if geteuid().as_raw() != 0 {
            assert!(why_none(1).contains("belongs to user 0"));
        }
    }
}
