//! P1, known as `multiprocessing.Process`: `target`, `args`, `name`, subclassing it, `start`,
//! `join(timeout)`, `pid`, `os.getppid()`, `daemon`, `is_alive`, `terminate`, `exitcode`,
//! `active_children`.
//!
//! A process runs a task: a function with a name that both sides know. It is this program
//! started again, so no lock and no thread of the parent is there; what it is given was copied.

use std::io;

use ropewalk::process::pipe::{self, Pipe, Sender};
use ropewalk::process::{self, Command, Process, RunProcess, Stream, active_children};
use ropewalk::time::{Duration, sleep};
use ropewalk::{JoinError, Run};
use serde::{Deserialize, Serialize};

/// What a process knows of itself.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Introduction {
    /// Its id.
    pub pid: u32,
    /// Its parent's.
    pub ppid: u32,
    /// Its name.
    pub name: String,
    /// What it made of its arguments.
    pub greeting: String,
}

/// The target. Python's keyword arguments are a struct or an `Option` here.
#[ropewalk::task]
fn introduce(greeting: String, times: Option<usize>, parent: Pipe<(), ()>) -> Introduction {
    // Says that it has begun, and lives until the parent has seen enough.
    parent.send(()).expect("the parent looks");
    let _ = parent.recv();
    Introduction {
        pid: process::pid(),
        ppid: process::ppid(),
        name: process::name().to_owned(),
        greeting: greeting.repeat(times.unwrap_or(1)),
    }
}

/// What the parent saw of a process, and what that said of itself.
#[derive(Debug)]
pub struct Life {
    /// The id that the parent knows.
    pub pid: u32,
    /// The name as `ps` shows it.
    pub in_ps: String,
    /// Whether it was alive and among the children before it was joined.
    pub alive_before: bool,
    /// And after.
    pub alive_after: bool,
    /// How it ended.
    pub exit_code: Option<i32>,
    /// What it said.
    pub said: Introduction,
}

/// Starts a process with a name, looks at it from outside, and joins it.
///
/// # Errors
///
/// If it can't be started, or there is no `ps`.
pub fn observe(name: &str) -> io::Result<Life> {
    let (look, parent) = pipe::duplex()?;
    let builder = Process::builder(introduce, ("hello ".to_owned(), Some(2), parent));
    let process = builder.name(name).spawn()?;
    let handle = process.handle();
    let pid = process.pid();
    look.recv()?;
    let is_listed = || active_children().iter().any(|child| child.pid() == pid);
    let alive_before = process.is_alive() && is_listed();
    let mut ps = Command::new("ps");
    let ps = ps.args(["-o", "comm=", "-p", &pid.to_string()]).output()?;
    drop(look);
    let said = process.join()?;
    Ok(Life {
        pid,
        in_ps: String::from_utf8_lossy(&ps.stdout).trim().to_owned(),
        alive_before,
        alive_after: handle.is_alive() || is_listed(),
        exit_code: handle.exit_code(),
        said,
    })
}

/// Python's subclass: a value that runs.
#[derive(Serialize, Deserialize)]
pub struct Factorial(pub u64);

impl Run for Factorial {
    type Output = u64;

    fn run(self) -> u64 {
        (1..=self.0).product()
    }
}

ropewalk::register! { "factorial" => Factorial::run }

#[ropewalk::task]
fn sleeps_for_an_hour(begun: Sender<()>) {
    begun.send(()).expect("the parent listens");
    sleep(Duration::from_secs(3600));
}

#[ropewalk::task]
fn exits(code: i32) {
    std::process::exit(code);
}

#[ropewalk::task]
fn fails() {
    panic!("the sums don't agree");
}

/// How the exit codes come out: after a join that ran out of time and SIGTERM, after SIGKILL,
/// after an exit, after a panic with its message.
///
/// # Errors
///
/// If a process can't be started.
pub fn endings() -> io::Result<(Vec<Option<i32>>, String)> {
    let (begun, has_begun) = pipe::one_way()?;
    let mut codes = Vec::new();

    let slow = Process::spawn(sleeps_for_an_hour, (begun.clone(),))?;
    has_begun.recv()?;
    // Joining gives the process back if the time is over.
    let slow = slow
        .join_timeout(Duration::from_millis(10))
        .expect_err("it sleeps for an hour");
    codes.push(slow.exit_code());
    slow.terminate()?;
    slow.wait()?;
    codes.push(slow.exit_code());

    let slow = Process::spawn(sleeps_for_an_hour, (begun,))?;
    has_begun.recv()?;
    slow.kill()?;
    slow.wait()?;
    codes.push(slow.exit_code());

    let process = Process::spawn(exits, (3,))?;
    process.wait()?;
    codes.push(process.exit_code());

    let process = Process::builder(fails, ()).stderr(Stream::Null).spawn()?;
    process.wait()?;
    codes.push(process.exit_code());
    let error: JoinError = process.join().expect_err("it panics");
    let message = error.panic_message().unwrap_or_default().to_owned();
    Ok((codes, message))
}

#[ropewalk::task]
fn holds(main_alive: pipe::Receiver<()>) {
    // Main's end is gone with main.
    let _ = main_alive.recv();
    println!("no daemon: heard to the end");
}

#[ropewalk::task]
fn serves(begun: Sender<()>) {
    begun.send(()).expect("main waits");
    sleep(Duration::from_secs(3600));
    println!("daemon: ended");
}

#[ropewalk::main]
fn main() -> io::Result<()> {
    let life = observe("diver")?;
    let said = &life.said;
    println!("said: {:?}, named {:?}", said.greeting, said.name);
    println!("in ps: {:?}", life.in_ps);
    let mine = said.ppid == process::pid() && said.pid == life.pid && said.pid != said.ppid;
    println!("its pid is its own, its ppid is ours: {mine}");
    println!("alive: {}, then {}", life.alive_before, life.alive_after);
    println!("exit code: {:?}", life.exit_code);

    let factorial = Factorial(10).start_process()?.join();
    println!("a value that runs: {:?}", factorial?);

    let (codes, message) = endings()?;
    println!("exit codes: {codes:?}");
    println!("the panic: {message:?}");

    // Nobody joins these.
    let (_alive, main_alive) = pipe::one_way()?;
    drop(Process::spawn(holds, (main_alive,))?);
    let (begun, has_begun) = pipe::one_way()?;
    drop(Process::builder(serves, (begun,)).daemon(true).spawn()?);
    has_begun.recv()?;
    println!("main: ends");
    Ok(())
}
