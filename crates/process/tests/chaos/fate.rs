//! What becomes of a task, and what may be said of it afterwards.

use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use ropewalk_rt::JoinError;
use rustix::process::{Resource, Rlimit, Signal, getpid, kill_process, setrlimit};
use rustix::stdio::dup2_stderr;
use serde::{Deserialize, Serialize};

use crate::chance::Chance;

/// Silences a worker: hundreds tell of their panics and their deaths.
pub(crate) fn be_quiet() {
    let nowhere = File::options().write(true).open("/dev/null");
    dup2_stderr(nowhere.expect("the null device")).expect("a standard error");
}

/// How a task ends, if nobody ends it before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Fate {
    Return,
    /// Takes so many milliseconds.
    Late(u64),
    Panic,
    Exit(i32),
    Abort,
    /// Kills its process with this signal.
    Kill(i32),
    /// Overflows its stack.
    Overflow,
    /// Takes more memory than it may have.
    Memory,
}

impl Fate {
    /// Mostly the first; one in thirty is bad.
    pub(crate) fn draw(chance: &mut Chance) -> Fate {
        match chance.below(300) {
            0 => Fate::Exit(0),
            1 | 2 => Fate::Exit(chance.below(255) as i32 + 1),
            3 | 4 => Fate::Abort,
            5 | 6 => Fate::Kill(Signal::KILL.as_raw()),
            7 => Fate::Kill(Signal::TERM.as_raw()),
            8 => Fate::Overflow,
            9 => Fate::Memory,
            10..=20 => Fate::Panic,
            21..=40 => Fate::Late(chance.below(5)),
            _ => Fate::Return,
        }
    }

    /// Whether it is the end of its process.
    pub(crate) fn is_deadly(self) -> bool {
        !matches!(self, Fate::Return | Fate::Late(_) | Fate::Panic)
    }

    /// Meets it: comes back only from the first two.
    pub(crate) fn meet(self) {
        match self {
            Fate::Return => {}
            Fate::Late(ms) => std::thread::sleep(Duration::from_millis(ms)),
            Fate::Panic => panic!("as it was to be"),
            Fate::Exit(code) => std::process::exit(code),
            Fate::Abort => std::process::abort(),
            Fate::Kill(signal) => {
                let signal = Signal::from_named_raw(signal).expect("a signal");
                kill_process(getpid(), signal).expect("one may kill oneself");
                loop {
                    std::thread::sleep(Duration::from_secs(1));
                }
            }
            Fate::Overflow => drop(dig(0)),
            Fate::Memory => exhaust(),
        }
    }

    /// Whether a process of this fate ends so.
    fn ends_with(self, status: std::process::ExitStatus) -> bool {
        match self {
            Fate::Return | Fate::Late(_) | Fate::Panic => false,
            Fate::Exit(code) => status.code() == Some(code),
            Fate::Kill(signal) => status.signal() == Some(signal),
            Fate::Abort | Fate::Memory => status.signal() == Some(Signal::ABORT.as_raw()),
            Fate::Overflow => [Signal::ABORT, Signal::SEGV]
                .map(|signal| Some(signal.as_raw()))
                .contains(&status.signal()),
        }
    }

    /// Says why a result can't be that of a task with this fate whose processes may be killed
    /// (SIGKILL) from outside; `expected` is what it returns.
    pub(crate) fn contradicts<T: PartialEq + std::fmt::Debug>(
        self,
        result: &Result<T, JoinError>,
        expected: &T,
    ) -> Option<String> {
        let fits = match result {
            Ok(value) => matches!(self, Fate::Return | Fate::Late(_)) && value == expected,
            Err(JoinError::WorkerDied { status, .. }) => {
                status.signal() == Some(Signal::KILL.as_raw()) || self.ends_with(*status)
            }
            Err(JoinError::Panicked(_)) => {
                let error = result.as_ref().unwrap_err();
                self == Fate::Panic && error.panic_message() == Some("as it was to be")
            }
            Err(_) => false,
        };
        (!fits).then(|| format!("{self:?} gave {result:?}"))
    }
}

#[allow(unconditional_recursion)]
fn dig(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 128]);
    dig(depth + 1) + frame[depth as usize % 128]
}

/// Until the system refuses, at which Rust aborts.
fn exhaust() {
    let limit = Rlimit {
        current: Some(1 << 20),
        maximum: Some(1 << 20),
    };
    setrlimit(Resource::As, limit).expect("limits may be lowered");
    let mut all = Vec::new();
    loop {
        all.push(vec![1_u8; 1 << 20]);
    }
}
