//! `ropewalk serve`: a folder over HTTP.
//!
//! The main thread waits for the end: of the server, or of its shutting down. Access log lines go
//! through a bounded channel to a thread of their own, so that a slow terminal can't hold up workers.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::mpsc::{self, SyncSender};
use std::thread;
use std::{fs, io};

use clap::builder::RangedU64ValueParser;
use http::header;
use ropewalk::http::files::Files;
use ropewalk::http::server::{Config, Handle, Unfinished};
use ropewalk::http::{App, Request, Response, Server};
use ropewalk::time::{Duration, Instant};

use crate::{interrupt, limits, say, start_runtime};

/// The port unless `--bind` names one.
const PORT: u16 = 8000;
/// Connections at once unless `--connections-max` says otherwise.
const CONNECTIONS_MAX: usize = 25_000;
/// Room for fewer is told of, even if nobody asked for more.
const CONNECTIONS_FEW: u64 = 1_000;
/// How long requests under way may take to end after a signal.
const PATIENCE: Duration = Duration::from_secs(10);
/// Lines of the access log that wait to be written; what comes on top is dropped.
const LOG_LINES_MAX: usize = 4096;

/// Serve the files of a folder over HTTP
#[derive(clap::Args, Debug)]
#[command(after_long_help = HELP_AFTER)]
pub(crate) struct Args {
    /// The folder
    #[arg(value_name = "DIR")]
    dir: PathBuf,

    /// Listen on this address; port 0 takes a free one
    #[arg(short, long, value_name = "[ADDR:]PORT", default_value = "127.0.0.1:8000",
        value_parser = bind_address)]
    bind: SocketAddr,

    /// Show no page for a folder without index.html
    #[arg(long)]
    no_listing: bool,

    /// Serve files and folders whose names start with a dot
    #[arg(long)]
    hidden: bool,

    /// Hold at most N connections; more wait to be accepted [default: 25000, or what the limit on open
    /// files has room for]
    #[arg(long, value_name = "N",
        value_parser = RangedU64ValueParser::<usize>::new().range(1..=10_000_000))]
    connections_max: Option<usize>,

    /// Log each request on standard error
    #[arg(short, long)]
    verbose: bool,
}

const HELP_AFTER: &str = "\
What is served:
  GET and HEAD of regular files; ranges; ETag and Last-Modified with 304. Nothing outside of DIR:
  symbolic links that lead out are not followed. Names that start with a dot only with --hidden
  (.well-known always). For a folder its index.html, else a listing.

Ctrl-C, SIGTERM or SIGHUP: no new connections; requests under way have 10 s to end; exit code 0.

Examples:
  ropewalk serve .
  ropewalk serve public --bind 0.0.0.0:8080 -v
  ropewalk serve /srv/files --no-listing --connections-max 100000";

/// What ends the command.
enum End {
    /// The server, by itself or after shutting down.
    Served(io::Result<()>),
    /// Shutting down is over.
    ShutDown(Result<(), Unfinished>),
}

/// Runs the command and returns its exit code.
///
/// # Errors
/// A sentence: what kept it from starting or going on.
pub(crate) fn run(args: Args) -> Result<u8, String> {
    let connections_max = connections_max(args.connections_max)?;
    let cannot_serve = |e| format!("cannot serve {}: {e}", args.dir.display());
    let dir = fs::canonicalize(&args.dir).map_err(cannot_serve)?;
    let files = Files::new(&dir).map_err(cannot_serve)?;
    let files = files.listing(!args.no_listing).dotfiles(args.hidden);

    let runtime = start_runtime()?;
    let cannot_listen = |e| cannot_listen(args.bind, &e);
    let server = Server::bind(args.bind).map_err(cannot_listen)?;
    let address = server.local_addr().map_err(cannot_listen)?;
    let server = server.config(Config {
        connections_max,
        ..Config::default()
    });

    let (ends, end) = mpsc::channel();
    watch(server.handle(), ends.clone())?;
    say(&format!("serving {} at http://{address}/\n", dir.display()));
    let app = app(files, args.verbose)?;
    thread::Builder::new()
        .name("serve".to_owned())
        .spawn(move || {
            let _ = ends.send(End::Served(runtime.run(|| server.serve(app))));
        })
        .map_err(cannot_start_thread)?;
    match end.recv() {
        Ok(End::Served(Ok(())) | End::ShutDown(Ok(()))) => Ok(0),
        Ok(End::ShutDown(Err(unfinished))) => {
            say(&format!("{unfinished}\n"));
            Ok(0)
        }
        Ok(End::Served(Err(e))) => Err(format!("cannot go on accepting connections: {e}")),
        Err(_) => Err("the server panicked".to_owned()),
    }
}

/// Says what to do about an address that can't be had.
fn cannot_listen(address: SocketAddr, e: &io::Error) -> String {
    let remedy = match e.kind() {
        io::ErrorKind::AddrInUse => {
            "; another program listens there: choose another port with --bind"
        }
        io::ErrorKind::AddrNotAvailable => "; it is no address of this machine",
        io::ErrorKind::PermissionDenied => {
            "; ports below 1024 are for root: choose another with --bind"
        }
        _ => "",
    };
    format!("cannot listen on {address}: {e}{remedy}")
}

fn cannot_start_thread(e: io::Error) -> String {
    format!("cannot start a thread: {e}")
}

/// Makes room for the connections asked for, or says how to and returns how many there is room for.
fn connections_max(asked: Option<usize>) -> Result<usize, String> {
    let most = asked.unwrap_or(CONNECTIONS_MAX);
    let wanted = most as u64 + limits::DESCRIPTORS_ASIDE;
    let limit = limits::raise_descriptors(wanted);
    if limit >= wanted {
        return Ok(most);
    }
    let possible = limit.saturating_sub(limits::DESCRIPTORS_ASIDE);
    let remedy = limits::remedy(wanted);
    if possible == 0 {
        return Err(format!(
            "the limit of {limit} open files is too low to serve; {remedy}"
        ));
    }
    if asked.is_some() || possible < CONNECTIONS_FEW {
        say(&format!(
            "note: room for {possible} connections at once, not {most}: the limit on open files is \
             {limit}; {remedy}\n"
        ));
    }
    Ok(usize::try_from(possible).unwrap_or(most))
}

/// Shuts the server down on the first signal. On a thread of its own, so that a second signal still
/// finds somebody.
fn watch(handle: Handle, ends: mpsc::Sender<End>) -> Result<(), String> {
    let shut_down = move |_| {
        let ends_too = ends.clone();
        let shutting_down = thread::Builder::new()
            .name("shutdown".to_owned())
            .spawn(move || {
                say("shutting down (again to end at once)\n");
                let _ = ends.send(End::ShutDown(handle.shutdown(PATIENCE)));
            });
        if shutting_down.is_err() {
            // No thread to be had: then without waiting for anybody.
            let _ = ends_too.send(End::ShutDown(Ok(())));
        }
    };
    interrupt::watch(shut_down).map_err(|e| format!("cannot watch for signals: {e}"))
}

fn app(files: Files, verbose: bool) -> Result<App, String> {
    let app = App::new();
    if !verbose {
        return Ok(app.fallback(files));
    }
    let log = start_log().map_err(cannot_start_thread)?;
    Ok(app.fallback(move |request: &mut Request<'_>| {
        let start = Instant::now();
        let mut response = files.respond(request);
        let line = log_line(request, &mut response, start.elapsed());
        // A full channel means nobody keeps up with reading: the log has a gap then.
        let _ = log.try_send(line);
        response
    }))
}

/// Writes who asked for what, the status, the bytes of the body, and the time to the head.
fn log_line(request: &Request<'_>, response: &mut Response, elapsed: Duration) -> String {
    let mut line = String::new();
    match request.peer() {
        Some(peer) => write!(line, "{}", peer.ip()),
        None => write!(line, "-"),
    }
    .expect("writing to a String");
    let bytes = response.headers_mut().get(header::CONTENT_LENGTH);
    let bytes = bytes
        .and_then(|value| value.to_str().ok())
        .unwrap_or("-")
        .to_owned();
    // As a string literal, so that nothing in it can look like another line or field.
    let asked = format!("{} {}", request.method(), request.target());
    let (status, ms) = (response.status().as_u16(), elapsed.as_secs_f64() * 1000.0);
    writeln!(line, " {asked:?} {status} {bytes} {ms:.2}ms").expect("writing to a String");
    line
}

/// Starts the thread that writes the access log.
fn start_log() -> io::Result<SyncSender<String>> {
    let (lines, arriving) = mpsc::sync_channel::<String>(LOG_LINES_MAX);
    thread::Builder::new()
        .name("log".to_owned())
        .spawn(move || {
            for line in arriving {
                say(&line);
            }
        })?;
    Ok(lines)
}

/// Parses `PORT`, `ADDR:PORT` or `ADDR`.
fn bind_address(text: &str) -> Result<SocketAddr, String> {
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let text = match text.strip_prefix("localhost") {
        Some(rest) if rest.is_empty() || rest.starts_with(':') => format!("{loopback}{rest}"),
        _ => text.to_owned(),
    };
    if let Ok(port) = text.parse() {
        return Ok(SocketAddr::new(loopback, port));
    }
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    match text.trim_matches(['[', ']']).parse() {
        Ok(ip) => Ok(SocketAddr::new(ip, PORT)),
        Err(_) => Err("expected a port, or an IP address with or without one".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, expected) in [
            ("8080", "127.0.0.1:8080"),
            ("0", "127.0.0.1:0"),
            ("0.0.0.0:80", "0.0.0.0:80"),
            ("0.0.0.0", "0.0.0.0:8000"),
            ("[::1]:81", "[::1]:81"),
            ("::1", "[::1]:8000"),
            ("[::1]", "[::1]:8000"),
            ("localhost", "127.0.0.1:8000"),
            ("localhost:81", "127.0.0.1:81"),
        ] {
            assert_eq!(bind_address(text).unwrap().to_string(), expected, "{text}");
        }
        for text in [
            "",
            "nonsense",
            "99999",
            "1.2.3.4:99999",
            "localhosts",
            "example.com:80",
            "-1",
        ] {
            assert!(bind_address(text).is_err(), "{text:?} was taken");
        }
    }
}
