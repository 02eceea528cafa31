//! Input and outputs of a child, all at once.
//!
//! A process may write before it has read all, to two pipes in any order: whoever serves one
//! stream after the other can end with both waiting. So each further stream is a coroutine's.

use std::io;
use std::process::ExitStatus;

use ropewalk_kernel::cancel::Cancelled;
use ropewalk_kernel::outcome::JoinError;

use super::{Child, ChildStderr, ChildStdin, ChildStdout};
use crate::coroutine;
use crate::io::end::End;

const CHUNK: usize = 32 * 1024;

/// What came of an exchange; the outputs as far as they came if it failed.
pub(super) struct Exchanged {
    pub(super) status: io::Result<ExitStatus>,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
}

/// Writes `input`, reads both outputs, waits for the end; until `deadline` in clock
/// nanoseconds. The outputs stay with the child when the deadline passes. One that fails is
/// closed: the child, if it writes on, gets SIGPIPE, and so the other streams come to their ends.
pub(super) fn exchange(child: &mut Child, input: &[u8], deadline: Option<u64>) -> Exchanged {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let stdin = child.stdin.take().filter(|_| !input.is_empty());
    let mut first = child.stdout.take().map(|end| end.0);
    let mut second = child.stderr.take().map(|end| end.0);
    let moved = coroutine::scope(|scope| {
        let feeding = stdin.map(|stdin| scope.spawn(move || feed(stdin, input, deadline)));
        let both = first.is_some() && second.is_some();
        let (error, second) = (&mut stderr, &mut second);
        let (aside, here) = if both {
            let aside = scope.spawn(move || drain(second, deadline, error));
            (Some(aside), drain(&mut first, deadline, &mut stdout))
        } else if first.is_some() {
            (None, drain(&mut first, deadline, &mut stdout))
        } else {
            (None, drain(second, deadline, error))
        };
        let mut results = vec![here];
        for other in [aside, feeding].into_iter().flatten() {
            results.push(other.join().unwrap_or_else(|error| Err(failed(&error))));
        }
        results.into_iter().collect::<io::Result<()>>()
    });
    child.stdout = first.map(ChildStdout);
    child.stderr = second.map(ChildStderr);
    Exchanged {
        status: moved.and_then(|()| child.running().wait(deadline)),
        stdout,
        stderr,
    }
}

/// Adds what there is to read at this moment.
pub(super) fn drain_rest(child: &mut Child, exchanged: &mut Exchanged) {
    let mut first = child.stdout.take().map(|end| end.0);
    let mut second = child.stderr.take().map(|end| end.0);
    // The end is not waited for: others may hold the pipes open.
    let _ = drain(&mut first, Some(0), &mut exchanged.stdout);
    let _ = drain(&mut second, Some(0), &mut exchanged.stderr);
}

/// A stream's coroutine never panics: the caller was cancelled, or the runtime shut down.
fn failed(error: &JoinError) -> io::Error {
    if error.is_wait_cancelled() || error.is_cancelled() {
        Cancelled::current().into_io()
    } else {
        io::Error::other(error.to_string())
    }
}

fn feed(stdin: ChildStdin, input: &[u8], deadline: Option<u64>) -> io::Result<()> {
    let mut left = input;
    while !left.is_empty() {
        match stdin.0.source().write(left, deadline) {
            Ok(written) => left = &left[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn drain(slot: &mut Option<End>, deadline: Option<u64>, into: &mut Vec<u8>) -> io::Result<()> {
    let Some(end) = slot else { return Ok(()) };
    loop {
        let len = into.len();
        into.resize(len + CHUNK, 0);
        let result = end.source().read(&mut into[len..], deadline);
        into.truncate(len + result.as_ref().copied().unwrap_or(0));
        match result {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                if error.kind() != io::ErrorKind::TimedOut {
                    *slot = None;
                }
                return Err(error);
            }
        }
    }
}
