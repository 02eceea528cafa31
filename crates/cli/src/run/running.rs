//! The process groups of running jobs, and how all of them are ended.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use ropewalk::cancel::Token;
use rustix::process::{Pid, Signal, kill_process_group};

use super::halt::Halt;
use super::job::{End, GRACE};

/// Who runs, and whether more may be started.
pub(super) struct Running {
    state: Mutex<State>,
    /// Ends the waits of who starts jobs.
    starting: Token,
    halt: Halt,
    /// How many jobs there are in all, if the policy asks for a share of them.
    all: u64,
}

#[derive(Default)]
struct State {
    groups: BTreeSet<u32>,
    stop: Option<Stop>,
    failed: u64,
    succeeded: u64,
    halted: bool,
}

/// How the run is to stop before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stop {
    /// What runs may end by itself.
    Soon,
    /// It is told to end.
    Now,
    /// It is killed.
    Kill,
}

/// A running job's group; leaves the list when dropped.
pub(super) struct Group<'r> {
    running: &'r Running,
    id: u32,
}

impl Running {
    pub(super) fn new(halt: Halt, all: u64) -> Running {
        Running {
            state: Mutex::default(),
            starting: Token::root(),
            halt,
            all,
        }
    }

    /// Counts a job that has ended, and stops the run if it is time to; gives the exit code if
    /// that is because of this job. Called before the job's slot is free: no other is begun
    /// meanwhile.
    pub(super) fn note_end(self: &Arc<Self>, end: &End) -> Option<u8> {
        let mut state = self.state();
        match end.is_success() {
            true => state.succeeded += 1,
            false => state.failed += 1,
        }
        if state.halted || !self.halt.is_due(state.failed, state.succeeded, self.all) {
            return None;
        }
        state.halted = true;
        let code = self.halt.exit_code(end.exit_code(), state.failed, self.all);
        drop(state);
        self.stop(if self.halt.now { Stop::Now } else { Stop::Soon });
        Some(code)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The token under which jobs are started.
    pub(super) fn starting(&self) -> &Token {
        &self.starting
    }

    /// Notes a group that was just started; told to end, if all are.
    pub(super) fn enter(&self, id: u32) -> Group<'_> {
        let mut state = self.state();
        state.groups.insert(id);
        signal(id, state.stop);
        Group { running: self, id }
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.state().stop.is_some()
    }

    /// Says whether what runs was told to end, or killed.
    pub(super) fn is_ending(&self) -> bool {
        self.state().stop >= Some(Stop::Now)
    }

    /// Starts nothing more, and ends what runs as `stop` says.
    ///
    /// Who is told to end and has not after a while is killed.
    pub(super) fn stop(self: &Arc<Self>, stop: Stop) {
        let mut state = self.state();
        if state.stop >= Some(stop) {
            return;
        }
        state.stop = Some(stop);
        for &id in &state.groups {
            signal(id, Some(stop));
        }
        drop(state);
        self.starting.cancel();
        if stop == Stop::Now {
            let running = Arc::clone(self);
            let late = move || {
                thread::sleep(GRACE);
                running.stop(Stop::Kill);
            };
            // Without a thread for it, a second Ctrl-C does the same.
            let _ = thread::Builder::new().name("grace".to_owned()).spawn(late);
        }
    }
}

impl Group<'_> {
    pub(super) fn tell_to_end(&self) {
        signal(self.id, Some(Stop::Now));
    }

    pub(super) fn kill(&self) {
        signal(self.id, Some(Stop::Kill));
    }
}

impl Drop for Group<'_> {
    fn drop(&mut self) {
        self.running.state().groups.remove(&self.id);
    }
}

/// A group that has ended is not there any more, which is what was wanted.
fn signal(id: u32, stop: Option<Stop>) {
    let signal = match stop {
        None | Some(Stop::Soon) => return,
        Some(Stop::Now) => Signal::TERM,
        Some(Stop::Kill) => Signal::KILL,
    };
    if let Some(group) = i32::try_from(id).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(group, signal);
    }
}
