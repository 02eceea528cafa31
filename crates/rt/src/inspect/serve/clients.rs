//! Those who are connected: one thread each, a few at once.
//!
//! A request is a line; each is answered with a line `ok <bytes>` and that many bytes, or with a
//! line `error <text>`. Nothing of what a client does can hold up more than its own thread: lines
//! are bounded, a request must arrive and an answer be taken within a time. When there are as
//! many as there may be, a newcomer takes the place of the one that has been silent for longest.
//!
//! A client is silent (`since` is `Some`) while its request is awaited, or its answer not yet taken;
//! busy while its answer is made. Whoever is pushed out finds its connection shut down; only its own thread takes it
//! off the list.

use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use ropewalk_kernel::runtime::OwnThread;
use socket2::SockRef;

use super::place;

/// How many are served at once.
const CLIENTS_MAX: usize = 8;
/// How many threads there may be: those that were pushed out need a moment to end.
const THREADS_MAX: usize = 2 * CLIENTS_MAX;
/// The longest request, without the end of its line.
const LINE_BYTES_MAX: usize = 128;
/// How long a request may take to arrive.
const REQUEST_PATIENCE: Duration = Duration::from_secs(10);
/// How long an answer may take to be read.
const ANSWER_PATIENCE: Duration = Duration::from_secs(30);

/// What answers a request: a body, or why there is none.
pub(super) type Answer = fn(&str) -> Result<String, String>;

/// The clients of a server.
#[derive(Debug, Default)]
pub(super) struct Clients(Mutex<Vec<Client>>);

#[derive(Debug)]
struct Client {
    stream: Arc<UnixStream>,
    /// Since when its request, or its reading the answer, has been awaited.
    since: Option<Instant>,
}

impl Clients {
    /// Serves `stream` on a thread of its own, or turns it away.
    pub(super) fn admit(self: &Arc<Self>, stream: UnixStream, answer: Answer) {
        let stream = Arc::new(stream);
        if let Err(text) = check_peer(&stream).and_then(|()| self.make_room()) {
            refuse(&stream, &text);
            return;
        }
        self.lock().push(Client {
            stream: Arc::clone(&stream),
            since: Some(Instant::now()),
        });
        let place = Place {
            clients: Arc::clone(self),
            stream,
        };
        // On failure the place is dropped, and with it the connection.
        let _ = thread::Builder::new()
            .name("inspect-client".to_owned())
            .spawn(move || {
                let _own = OwnThread::new();
                let _ = converse(&place, answer);
            });
    }

    /// Shuts every connection down.
    pub(super) fn shut_down(&self) {
        for client in self.lock().iter() {
            let _ = client.stream.shutdown(std::net::Shutdown::Both);
        }
    }

    fn make_room(&self) -> Result<(), String> {
        let clients = self.lock();
        if clients.len() < CLIENTS_MAX {
            return Ok(());
        }
        let silent = clients.iter().filter(|client| client.since.is_some());
        let longest = silent.min_by_key(|client| client.since);
        match longest {
            Some(client) if clients.len() < THREADS_MAX => {
                let _ = client.stream.shutdown(std::net::Shutdown::Both);
                Ok(())
            }
            _ => Err(format!("busy: {CLIENTS_MAX} clients are being served")),
        }
    }

    fn set_since(&self, stream: &Arc<UnixStream>, since: Option<Instant>) {
        let mut clients = self.lock();
        let mut own = clients
            .iter_mut()
            .filter(|client| Arc::ptr_eq(&client.stream, stream));
        if let Some(client) = own.next() {
            client.since = since;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Client>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client's place on the list, given back when dropped.
struct Place {
    clients: Arc<Clients>,
    stream: Arc<UnixStream>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut clients = self.clients.lock();
        clients.retain(|client| !Arc::ptr_eq(&client.stream, &self.stream));
    }
}

/// Answers requests until the client goes, errs or takes too long.
fn converse(place: &Place, answer: Answer) -> io::Result<()> {
    let mut lines = Lines::new(&place.stream);
    loop {
        let deadline = Instant::now() + REQUEST_PATIENCE;
        let line = match lines.next(deadline) {
            Ok(Some(line)) => line,
            Ok(None) => return Ok(()),
            Err(e) if e.kind() == io::ErrorKind::InvalidData => {
                refuse(&place.stream, &e.to_string());
                return Err(e);
            }
            Err(e) => return Err(e),
        };
        place.clients.set_since(&place.stream, None);
        let answer = answer(&line);
        // Who doesn't read its answer is as silent as who doesn't ask.
        place.clients.set_since(&place.stream, Some(Instant::now()));
        let deadline = Instant::now() + ANSWER_PATIENCE;
        match answer {
            Ok(body) => {
                let status = format!("ok {}\n", body.len());
                send(&place.stream, status.as_bytes(), deadline)?;
                send(&place.stream, body.as_bytes(), deadline)?;
            }
            Err(text) => send(&place.stream, error_line(&text).as_bytes(), deadline)?,
        }
        place.clients.set_since(&place.stream, Some(Instant::now()));
    }
}

/// Reads lines of bounded length.
struct Lines<'a> {
    stream: &'a UnixStream,
    /// Read and not yet returned.
    held: Vec<u8>,
}

impl<'a> Lines<'a> {
    fn new(stream: &'a UnixStream) -> Lines<'a> {
        let held = Vec::with_capacity(LINE_BYTES_MAX + 1);
        Lines { stream, held }
    }

    /// Returns the next line without its end, `None` at the end of the stream.
    fn next(&mut self, deadline: Instant) -> io::Result<Option<String>> {
        loop {
            if let Some(end) = self.held.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.held.drain(..=end).collect();
                let line = std::str::from_utf8(&line[..end]).map_err(|_| invalid("not UTF-8"))?;
                return Ok(Some(line.trim_end_matches('\r').to_owned()));
            }
            let room = (LINE_BYTES_MAX + 1).saturating_sub(self.held.len());
            if room == 0 {
                return Err(invalid("the request is too long"));
            }
            let mut bytes = [0; LINE_BYTES_MAX + 1];
            self.stream.set_read_timeout(Some(left(deadline)?))?;
            match self.stream.read(&mut bytes[..room]) {
                Ok(0) => return Ok(None),
                Ok(count) => self.held.extend_from_slice(&bytes[..count]),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }
}

fn invalid(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(io::ErrorKind::TimedOut.into());
    }
    // The system's unit.
    Ok(left.max(Duration::from_micros(1)))
}

/// Sends all of `bytes`, without a SIGPIPE: the process may not ignore it.
fn send(stream: &UnixStream, mut bytes: &[u8], deadline: Instant) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.set_write_timeout(Some(left(deadline)?))?;
        match SockRef::from(stream).send_with_flags(bytes, libc::MSG_NOSIGNAL) {
            Ok(count) => bytes = &bytes[count..],
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

fn error_line(text: &str) -> String {
    format!("error {}\n", text.replace('\n', " "))
}

/// Says why, without waiting: a line fits into the socket's buffer.
fn refuse(stream: &UnixStream, text: &str) {
    let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
    let _ = SockRef::from(stream).send_with_flags(error_line(text).as_bytes(), flags);
}

fn check_peer(stream: &UnixStream) -> Result<(), String> {
    let own = place::own_uid();
    let uid = peer_uid(stream).map_err(|e| format!("cannot tell who you are: {e}"))?;
    may_look(uid, own)
}

/// Says whether user `uid` may look into a process of user `own`: only the same one, not even root.
fn may_look(uid: u32, own: u32) -> Result<(), String> {
    if uid == own {
        return Ok(());
    }
    Err(format!(
        "only user {own} may look into this process, you are {uid}"
    ))
}

/// The user who connected, as of the moment of connecting.
fn peer_uid(stream: &UnixStream) -> io::Result<u32> {
    let mut peer = libc::ucred {
        pid: 0,
        uid: u32::MAX,
        gid: u32::MAX,
    };
    let mut length = libc::socklen_t::try_from(size_of::<libc::ucred>()).expect("it is small");
    // SAFETY: both pointers are to locals, and the length is that of the first.
    let failed = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut peer).cast(),
            &raw mut length,
        )
    };
    if failed != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(peer.uid)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};

    use super::*;

    fn echo(request: &str) -> Result<String, String> {
        match request {
            "big" => Ok("x".repeat(8 << 20)),
            "bad" => Err("no\nsuch thing".to_owned()),
            other => Ok(format!("<{other}>")),
        }
    }

    fn connect(clients: &Arc<Clients>) -> BufReader<UnixStream> {
        let (ours, theirs) = UnixStream::pair().unwrap();
        clients.admit(theirs, echo);
        BufReader::new(ours)
    }

    fn line(stream: &mut BufReader<UnixStream>) -> String {
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        line
    }

    fn body(stream: &mut BufReader<UnixStream>) -> String {
        let status = line(stream);
        let length = status.strip_prefix("ok ").expect(&status).trim_end();
        let mut body = vec![0; length.parse().unwrap()];
        stream.read_exact(&mut body).unwrap();
        String::from_utf8(body).unwrap()
    }

    #[test]
    fn only_the_same_user_may_look() {
        assert_eq!(may_look(1000, 1000), Ok(()));
        assert_eq!(may_look(0, 0), Ok(()));
        assert!(may_look(1000, 0).is_err() && may_look(1000, 1001).is_err());
        assert!(may_look(0, 1000).is_err(), "not even root");
        let (ours, _theirs) = UnixStream::pair().unwrap();
        assert_eq!(peer_uid(&ours).unwrap(), place::own_uid());
    }

    #[test]
    fn several_requests_on_a_connection() {
        let clients = Arc::new(Clients::default());
        let mut stream = connect(&clients);
        for request in ["one", "two"] {
            writeln!(stream.get_mut(), "{request}").unwrap();
            assert_eq!(body(&mut stream), format!("<{request}>"));
        }
        stream.get_mut().write_all(b"bad\nthr").unwrap();
        assert_eq!(line(&mut stream), "error no such thing\n");
        stream.get_mut().write_all(b"ee\r\nfour\n").unwrap();
        assert_eq!(body(&mut stream), "<three>");
        assert_eq!(body(&mut stream), "<four>");
        writeln!(stream.get_mut(), "big").unwrap();
        assert_eq!(body(&mut stream).len(), 8 << 20);
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let clients = Arc::new(Clients::default());
        let mut stream = connect(&clients);
        // The other side may close before it has read all.
        let _ = stream.get_mut().write_all(&[b'a'; 1000]);
        assert_eq!(line(&mut stream), "error the request is too long\n");
        let mut stream = connect(&clients);
        stream.get_mut().write_all(b"\xff\n").unwrap();
        assert_eq!(line(&mut stream), "error not UTF-8\n");
    }

    #[test]
    fn newcomers_take_the_places_of_the_silent() {
        let clients = Arc::new(Clients::default());
        let mut silent: Vec<_> = (0..CLIENTS_MAX).map(|_| connect(&clients)).collect();
        let mut last = connect(&clients);
        writeln!(last.get_mut(), "here").unwrap();
        assert_eq!(body(&mut last), "<here>");
        assert_eq!(line(&mut silent[0]), "", "the first one was shut down");
        // Many more: each is answered or told that there is no room; nobody hangs.
        for _ in 0..200 {
            let mut stream = connect(&clients);
            let _ = writeln!(stream.get_mut(), "x");
            let answer = line(&mut stream);
            assert!(
                answer.starts_with("ok ") || answer.starts_with("error busy"),
                "{answer:?}"
            );
        }
        assert!(clients.lock().len() <= THREADS_MAX);
    }

    #[test]
    fn who_does_not_read_is_pushed_out_by_nobody_but_waits_alone() {
        let clients = Arc::new(Clients::default());
        let mut stuck = connect(&clients);
        writeln!(stuck.get_mut(), "big").unwrap();
        let mut other = connect(&clients);
        writeln!(other.get_mut(), "x").unwrap();
        assert_eq!(body(&mut other), "<x>");
        clients.shut_down();
        let mut rest = Vec::new();
        stuck.read_to_end(&mut rest).unwrap();
        assert!(rest.len() < 8 << 20);
    }
}
