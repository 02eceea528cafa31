//! A contender in a process of its own, and the few words spoken with it.
//!
//! Every contender runs in a process that this program starts from its own executable, so
//! that one contender's threads, heap and settings are not another's, and a crash is one
//! failed row. The parent writes a line to the child's standard input and the child answers
//! with one line on its standard output; when its input ends, the child exits, so no child
//! outlives its parent.
//!
//! | role | said by the child at first | the parent's lines | the answers |
//! |---|---|---|---|
//! | tasks | nothing | `switch TASKS YIELDS`, `switch-calls TASKS YIELDS`, `spawn BATCH BATCHES` | nanoseconds |
//! | tasks | nothing | `sleepers COUNT BUFFER` | four numbers, see `memory::hold` |
//! | waiting | nothing | a command of `mutex`, `channel`, `timers`, `udp`, `files` or `executor` and three numbers | four numbers, see `Fixed::run` |
//! | pools | nothing | `pipelined TASKS 0`, `mapped TASKS 0`, `trips TASKS 0`, `payload-in TASKS BYTES`, `payload-back TASKS BYTES` | nanoseconds |
//! | echo, http, http-pipelined | its port | `usage` | user and system microseconds |

use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::measure::{self, Usage};
use crate::memory;
use crate::peers::{self, Fixed, YieldSite, pools};

/// How long the parent waits for an answer before it gives a child up.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// What a child is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Runs tasks on request: `switch`, `spawn` and `memory`.
    Tasks,
    /// Locks, sends, sleeps and forks on request: `mutex`, `channel`, `timers` and others.
    Waiting,
    /// Gives tasks to a pool of processes on request: `process`.
    Pools,
    /// Serves a TCP echo.
    Echo,
    /// Serves HTTP.
    Http,
    /// Serves HTTP with what the contender recommends for pipelined requests.
    HttpPipelined,
}

impl Role {
    const ALL: [Role; 6] = [
        Role::Tasks,
        Role::Waiting,
        Role::Pools,
        Role::Echo,
        Role::Http,
        Role::HttpPipelined,
    ];

    fn name(self) -> &'static str {
        match self {
            Role::Tasks => "tasks",
            Role::Waiting => "waiting",
            Role::Pools => "pools",
            Role::Echo => "echo",
            Role::Http => "http",
            Role::HttpPipelined => "http-pipelined",
        }
    }

    /// The role of that name.
    pub(crate) fn from_name(name: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.name() == name)
    }
}

/// How long a child may take to end once its input has.
const END_LIMIT: Duration = Duration::from_secs(5);

/// The parent's end. Dropping it ends the child.
pub(crate) struct Child {
    process: std::process::Child,
    /// There until the end.
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Child {
    /// Starts `contender` in `role`, kept to `core` if one is given.
    ///
    /// # Errors
    /// If the process can't be started.
    pub(crate) fn start(role: Role, contender: &str, core: Option<usize>) -> io::Result<Child> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["--child", role.name(), contender])
            .args(core.map(|core| core.to_string()));
        match peers::driver(contender) {
            Some(driver) => command.env("ROPEWALK_DRIVER", driver),
            None => command.env_remove("ROPEWALK_DRIVER"),
        };
        Child::of(&mut command)
    }

    /// Starts a process that speaks as such a child does.
    ///
    /// # Errors
    /// If the process can't be started.
    pub(crate) fn of(command: &mut Command) -> io::Result<Child> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit());
        let mut process = command.spawn()?;
        let input = process.stdin.take();
        let output = process.stdout.take().expect("standard output is piped");
        Ok(Child {
            process,
            input,
            output: BufReader::new(output),
        })
    }

    /// Writes `line` and waits for the answer.
    ///
    /// # Errors
    /// If the child has died or does not answer in time.
    pub(crate) fn ask(&mut self, line: &str) -> io::Result<String> {
        let input = self.input.as_mut().expect("standard input is piped");
        writeln!(input, "{line}")?;
        self.answer()
    }

    /// Waits for the child's next line.
    ///
    /// # Errors
    /// If the child has died or does not answer in time.
    pub(crate) fn answer(&mut self) -> io::Result<String> {
        let descriptor = self.output.get_ref().as_raw_fd();
        let mut wanted = libc::pollfd {
            fd: descriptor,
            events: libc::POLLIN,
            revents: 0,
        };
        let limit_ms = i32::try_from(ANSWER_LIMIT.as_millis()).expect("minutes fit in an i32");
        // The child writes one line for one question, so nothing can be left in our buffer.
        // SAFETY: `wanted` is one live pollfd whose descriptor `self` keeps open.
        if unsafe { libc::poll(&mut wanted, 1, limit_ms) } != 1 {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "no answer from the contender",
            ));
        }
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            let status = self.process.wait()?;
            return Err(io::Error::other(format!(
                "the contender's process ended: {status}"
            )));
        }
        Ok(line.trim_end().to_owned())
    }

    /// Asks a server for the processor time it has used so far.
    ///
    /// # Errors
    /// As [`Child::ask`].
    pub(crate) fn usage(&mut self) -> io::Result<Usage> {
        let answer = self.ask("usage")?;
        let [user_us, system_us] = numbers(&answer)?;
        Ok(Usage { user_us, system_us })
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // By itself at first: killed, it would leave its own children behind.
        drop(self.input.take());
        let begun = Instant::now();
        while matches!(self.process.try_wait(), Ok(None)) && begun.elapsed() < END_LIMIT {
            thread::sleep(Duration::from_millis(1));
        }
        // Both fail only if the child is gone already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Reads exactly `N` numbers, separated by spaces.
///
/// # Errors
/// If there are more, fewer, or other things.
pub(crate) fn numbers<const N: usize>(line: &str) -> io::Result<[u64; N]> {
    let read: Result<Vec<u64>, _> = line.split_whitespace().map(str::parse).collect();
    let read = read
        .ok()
        .and_then(|numbers| <[u64; N]>::try_from(numbers).ok());
    read.ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{N} numbers expected: {line:?}"),
        )
    })
}

/// The child's end: plays `role` until standard input ends.
///
/// # Panics
/// If the contender does not play this role or fails in it; the parent sees the process end.
pub(crate) fn play(role: Role, contender: &str, core: Option<usize>) {
    measure::raise_descriptor_limit();
    if let Some(core) = core {
        measure::pin(&[core]);
    }
    match role {
        Role::Tasks => run_tasks(contender),
        Role::Waiting => wait_on_request(contender),
        Role::Pools => give_to_pool(contender),
        Role::Echo => serve(peers::echo_server(contender)),
        Role::Http => serve(peers::http_server(contender, false)),
        Role::HttpPipelined => serve(peers::http_server(contender, true)),
    }
}

fn run_tasks(contender: &str) {
    let tasks = peers::tasks(contender).expect("a contender that runs tasks");
    for line in io::stdin().lock().lines() {
        let line = line.expect("readable standard input");
        let (command, rest) = line.split_once(' ').expect("a command and its numbers");
        let [first, second] = numbers(rest).expect("two numbers");
        let (count, times) = (usize::try_from(first).expect("a small count"), second);
        match command {
            "switch" => {
                say(&tasks
                    .switch(count, times, YieldSite::Loop)
                    .as_nanos()
                    .to_string());
            }
            "switch-calls" => {
                say(&tasks
                    .switch(count, times, YieldSite::TwoCallsDown)
                    .as_nanos()
                    .to_string());
            }
            "spawn" => say(&tasks.spawn_and_join(count, times).as_nanos().to_string()),
            "sleepers" => say(&memory::hold(tasks.as_ref(), count, times != 0)),
            other => panic!("unknown command: {other}"),
        }
    }
}

fn wait_on_request(contender: &str) {
    let mut fixed = Fixed::default();
    for line in io::stdin().lock().lines() {
        let line = line.expect("readable standard input");
        let (command, rest) = line.split_once(' ').expect("a command and its numbers");
        let counts = numbers(rest).expect("three numbers");
        say(&fixed.run(contender, command, counts));
    }
}

fn give_to_pool(contender: &str) {
    let mut pool = peers::pool(contender).expect("a pool of processes");
    for line in io::stdin().lock().lines() {
        let line = line.expect("readable standard input");
        let (command, rest) = line.split_once(' ').expect("a command and its numbers");
        let [count, bytes] = numbers(rest).expect("two numbers");
        let spent = pools::work(pool.as_mut(), command, count, bytes);
        say(&spent.as_nanos().to_string());
    }
}

/// Announces the server's port, then answers `usage` until standard input ends. The server
/// itself runs on threads of its own.
fn serve(server: Option<io::Result<u16>>) {
    let port = server
        .expect("a contender that serves this")
        .expect("a listening server");
    say(&port.to_string());
    for line in io::stdin().lock().lines() {
        if line.expect("readable standard input") == "usage" {
            let usage = Usage::of_this_process();
            say(&format!("{} {}", usage.user_us, usage.system_us));
        }
    }
}

fn say(line: &str) {
    let mut output = io::stdout().lock();
    writeln!(output, "{line}")
        .and_then(|()| output.flush())
        .expect("writable standard output");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_is_found_by_its_name() {
        for role in Role::ALL {
            assert_eq!(Role::from_name(role.name()), Some(role));
        }
        assert_eq!(Role::from_name("nothing"), None);
    }

    #[test]
    fn numbers_wants_the_exact_count() {
        assert_eq!(numbers::<2>("1 22").unwrap(), [1, 22]);
        assert!(numbers::<2>("1").is_err());
        assert!(numbers::<2>("1 2 3").is_err());
        assert!(numbers::<1>("one").is_err());
    }
}
