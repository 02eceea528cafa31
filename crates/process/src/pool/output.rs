//! What workers print, line by line with their names in front.
//!
//! One thread reads the pipes of all workers. A line comes out in one piece; what a worker prints
//! without ending the line comes out when that gets long, or with the worker's end.

use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::event::{EventfdFlags, PollFd, PollFlags};
use rustix::pipe::PipeFlags;

/// A line is cut here.
const LINE_MAX: usize = 64 << 10;

/// The thread, and how it is told.
pub(super) struct Output {
    shared: Arc<Shared>,
    thread: thread::JoinHandle<()>,
}

struct Shared {
    event: OwnedFd,
    news: Mutex<News>,
}

#[derive(Default)]
struct News {
    pipes: Vec<Pipe>,
    finish: bool,
}

struct Pipe {
    from: OwnedFd,
    prefix: String,
    to_stderr: bool,
    line: Vec<u8>,
}

impl Output {
    pub(super) fn start() -> io::Result<Output> {
        let event = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let shared = Arc::new(Shared {
            event,
            news: Mutex::default(),
        });
        let of_thread = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("ropewalk-pool-output".to_owned())
            .spawn(move || of_thread.run())?;
        Ok(Output { shared, thread })
    }

    /// A pipe for a worker's standard output or standard error.
    pub(super) fn pipe(&self, name: &str, to_stderr: bool) -> io::Result<OwnedFd> {
        let (from, to) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&from, true)?;
        self.shared.news().pipes.push(Pipe {
            from,
            prefix: format!("{name}| "),
            to_stderr,
            line: Vec::new(),
        });
        self.shared.tell();
        Ok(to)
    }

    /// Prints what the workers, who are gone, have left.
    pub(super) fn finish(self) {
        self.shared.news().finish = true;
        self.shared.tell();
        // It doesn't panic; if it did, the lines are lost and nothing else.
        let _ = self.thread.join();
    }
}

impl Shared {
    fn news(&self) -> MutexGuard<'_, News> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self) {
        // Full means that it has been told.
        let _ = rustix::io::write(&self.event, &1_u64.to_ne_bytes());
    }

    fn run(&self) {
        let mut pipes: Vec<Pipe> = Vec::new();
        loop {
            let finish = {
                let mut news = self.news();
                pipes.append(&mut news.pipes);
                news.finish
            };
            pipes.retain_mut(Pipe::read);
            if finish {
                // The workers are gone, but what they have started may hold a pipe's other end.
                pipes.iter_mut().for_each(Pipe::flush);
                return;
            }
            let mut fds = vec![PollFd::new(&self.event, PollFlags::IN)];
            fds.extend(
                pipes
                    .iter()
                    .map(|pipe| PollFd::new(&pipe.from, PollFlags::IN)),
            );
            // Interrupted or not, everything is looked at.
            let _ = rustix::event::poll(&mut fds, None);
            let mut count = [0; 8];
            let _ = rustix::io::read(&self.event, &mut count);
        }
    }
}

impl Pipe {
    /// Reads and prints what there is; says whether there may be more.
    fn read(&mut self) -> bool {
        let mut bytes = [0; 8192];
        loop {
            match rustix::io::read(self.from.as_fd(), &mut bytes) {
                Ok(0) => {
                    self.flush();
                    return false;
                }
                Ok(len) => self.take(&bytes[..len]),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return true,
                Err(_) => return false,
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.line.len() >= LINE_MAX {
                self.flush();
            }
        }
    }

    fn flush(&mut self) {
        if self.line.is_empty() {
            return;
        }
        let mut text = self.prefix.clone().into_bytes();
        text.append(&mut self.line);
        if !text.ends_with(b"\n") {
            text.push(b'\n');
        }
        // As for `println!` there may be nobody to read it, which is no matter of the pool's.
        let _ = if self.to_stderr {
            io::stderr().write_all(&text)
        } else {
            let mut stdout = io::stdout().lock();
            stdout.write_all(&text).and_then(|()| stdout.flush())
        };
    }
}
