//! The thread that starts workers, hears whether they are ready, and notices their deaths.
//!
//! A worker is the keeper's alone until it has said that it is ready; then its lane goes into
//! the pool's state, and its reader to the collector. It dies by the readability of its pidfd:
//! the lane is moved to the dying, where the collector takes what it left, and another worker is
//! started in its place at once.
//!
//! Workers that die before they are ready are started again after a pause that doubles each
//! time. If that happens [`ATTEMPTS`] times in a row in one place, and no other worker is
//! there, the pool is broken: it says why, and nothing waits for it any more.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ropewalk_rt::JoinError;
use ropewalk_rt::process::{Child, ChildHandle};
use rustix::event::{PollFd, PollFlags};

use super::Inner;
use super::error::PoolBroken;
use super::lane::{Lane, Phase};
use super::output::Output;
use super::state::{After, Dying, Stage};
use super::wire::{HELLO_MAX, Hello, KIND, Orders};
use crate::StartError;
use crate::launch::Launch;
use crate::ring::Layout;
use crate::ring::reader::Reader;
use crate::ring::sender::{Sender, Shared};

/// How often in a row a worker may fail to begin.
const ATTEMPTS: u32 = 5;
const PAUSE_FIRST: Duration = Duration::from_millis(10);
const PAUSE_LAST: Duration = Duration::from_secs(1);

pub(super) struct Keeper {
    inner: Arc<Inner>,
    places: Vec<Place>,
    output: Option<Output>,
}

/// Where a worker is, or will be.
struct Place {
    worker: Option<Worker>,
    /// How often in a row one has failed to begin here.
    failures: u32,
    /// Not before this another one is started.
    next: Instant,
}

/// A process that has not been reaped.
struct Worker {
    child: Child,
    handle: ChildHandle,
    pidfd: OwnedFd,
    starting: Option<Starting>,
    generation: u64,
}

struct Starting {
    shared: Arc<Shared>,
    name: String,
    since: Instant,
    deadline: Instant,
    /// Why it failed, if it said so.
    why: Option<String>,
}

impl Keeper {
    /// Starts the first workers, so that what makes all of them fail is an error at once.
    pub(super) fn begin(inner: Arc<Inner>) -> Result<Keeper, StartError> {
        let output = match inner.settings.prefix_output {
            true => Some(Output::start()?),
            false => None,
        };
        let now = Instant::now();
        let place = |_| Place {
            worker: None,
            failures: 0,
            next: now,
        };
        let mut keeper = Keeper {
            places: (0..inner.settings.workers).map(place).collect(),
            inner,
            output,
        };
        for index in 0..keeper.places.len() {
            match keeper.start(index) {
                Ok(worker) => keeper.places[index].worker = Some(worker),
                Err(error) => {
                    keeper.kill_all();
                    return Err(error);
                }
            }
        }
        Ok(keeper)
    }

    fn kill_all(&mut self) {
        for place in &mut self.places {
            if let Some(worker) = &mut place.worker {
                // It can fail only for a process that has ended; dropped, it is reaped.
                let _ = worker.child.kill();
                let _ = worker.child.wait();
            }
            place.worker = None;
        }
    }

    fn start(&mut self, index: usize) -> Result<Worker, StartError> {
        let settings = &self.inner.settings;
        let name = format!("{}-{index}", settings.name);
        let (here, there) = rustix::net::socketpair(
            rustix::net::AddressFamily::UNIX,
            rustix::net::SocketType::SEQPACKET,
            rustix::net::SocketFlags::CLOEXEC,
            None,
        )
        .map_err(io::Error::from)?;
        let layout = Layout {
            slots: settings.slots,
            arena: settings.arena,
        };
        let shared = Shared::new(layout, here)?;
        let mut launch = Launch::new(KIND, name.clone());
        launch.fds = vec![
            shared.region.fd().try_clone_to_owned()?,
            self.inner.bell.fd().try_clone_to_owned()?,
            there,
        ];
        let mut initializer = None;
        if let Some(encode) = &settings.initializer {
            let (task, args, fds) = encode()?;
            initializer = Some((task, args));
            launch.fds.extend(fds);
        }
        let orders = Orders {
            layout,
            stack_size: settings.stack_size,
            memory_max: settings.memory_max,
            spin_ns: settings.spin_ns,
            initializer,
        };
        let setup = postcard::to_stdvec(&orders);
        launch.setup = setup.map_err(|error| StartError::Encode(error.into()))?;
        launch.env.clone_from(&settings.env);
        if let Some(output) = &self.output {
            launch.stdout = Some(output.pipe(&name, false)?);
            launch.stderr = Some(output.pipe(&name, true)?);
        }
        let since = Instant::now();
        let mut child = launch.start()?;
        // Not reaped yet: the id is its own.
        let pid = rustix::process::Pid::from_raw(child.id() as i32);
        let pid = pid.expect("a child's id is not 0");
        let flags = rustix::process::PidfdFlags::empty();
        let pidfd = match rustix::process::pidfd_open(pid, flags) {
            Ok(pidfd) => pidfd,
            Err(error) => {
                // A worker whose death nobody would see is of no use.
                let _ = child.kill();
                let _ = child.wait();
                return Err(StartError::Io(error.into()));
            }
        };
        let mut state = self.inner.state();
        state.generation += 1;
        Ok(Worker {
            handle: child.handle(),
            child,
            pidfd,
            starting: Some(Starting {
                shared,
                name,
                since,
                deadline: since + settings.handshake_timeout,
                why: None,
            }),
            generation: state.generation,
        })
    }

    /// Runs until the pool is closed, its work done and its workers gone.
    pub(super) fn run(mut self) {
        loop {
            let (wanted, dying) = {
                let state = self.inner.state();
                let wanted = match state.stage {
                    Stage::Open => true,
                    Stage::Closed => state.outstanding() > 0,
                    Stage::Terminated | Stage::Broken(_) => false,
                };
                (wanted, !state.dying.is_empty())
            };
            if wanted {
                self.fill();
            } else {
                self.kill_starting();
                if !dying && self.places.iter().all(|place| place.worker.is_none()) {
                    break;
                }
            }
            let timeout = self.next_look(wanted);
            self.wait(timeout);
            self.inner.drain_keeper();
            for index in 0..self.places.len() {
                self.look(index);
            }
        }
        // Before the pool can be seen to have ended: the program may end with it.
        if let Some(output) = self.output.take() {
            output.finish();
        }
        self.inner.state().kept = true;
        self.inner.attend();
    }

    /// Starts workers where there are none.
    fn fill(&mut self) {
        for index in 0..self.places.len() {
            let place = &self.places[index];
            if place.worker.is_some() || place.next > Instant::now() {
                continue;
            }
            match self.start(index) {
                Ok(worker) => self.places[index].worker = Some(worker),
                Err(error) => self.failed(index, &error.to_string()),
            }
        }
    }

    /// Nobody needs those that have not begun.
    fn kill_starting(&mut self) {
        for place in &mut self.places {
            if let Some(worker) = &mut place.worker
                && worker.starting.is_some()
            {
                // It can fail only for a process that has ended.
                let _ = worker.child.kill();
            }
        }
    }

    fn next_look(&self, wanted: bool) -> Option<Instant> {
        let times = self.places.iter().filter_map(|place| match &place.worker {
            Some(worker) => worker.starting.as_ref().map(|starting| starting.deadline),
            None => wanted.then_some(place.next),
        });
        times.min()
    }

    /// Waits until there is something to look at.
    fn wait(&self, until: Option<Instant>) {
        let mut fds = vec![PollFd::new(&self.inner.keeper, PollFlags::IN)];
        for worker in self.places.iter().filter_map(|place| place.worker.as_ref()) {
            fds.push(PollFd::new(&worker.pidfd, PollFlags::IN));
            if let Some(starting) = &worker.starting
                && starting.why.is_none()
            {
                fds.push(PollFd::new(&starting.shared.socket, PollFlags::IN));
            }
        }
        let timeout = until.map(|until| {
            let left = until.saturating_duration_since(Instant::now());
            // Rounded up by a little, so as not to come back before the time.
            let left = left + Duration::from_micros(100);
            rustix::time::Timespec {
                tv_sec: left.as_secs() as i64,
                tv_nsec: left.subsec_nanos().into(),
            }
        });
        // Interrupted or not, everything is looked at.
        let _ = rustix::event::poll(&mut fds, timeout.as_ref());
    }

    fn look(&mut self, index: usize) {
        let Some(worker) = &mut self.places[index].worker else {
            return;
        };
        // Before it is listened to: what it has said was said by then, and is heard.
        let ended = match worker.child.try_wait() {
            Ok(ended) => ended,
            Err(_) => {
                // Somebody else has reaped it, as a handler of SIGCHLD might: it is gone.
                use std::os::unix::process::ExitStatusExt;
                Some(ExitStatus::from_raw(0))
            }
        };
        if let Some(starting) = &mut worker.starting {
            let late = starting.deadline <= Instant::now();
            match hear(&starting.shared) {
                Some(Hello::Ready) => {
                    self.ready(index);
                }
                Some(Hello::Failed(why)) => starting.why = Some(why),
                None if late && ended.is_none() && starting.why.is_none() => {
                    let patience = self.inner.settings.handshake_timeout;
                    starting.why = Some(format!("it was not ready after {patience:?}"));
                    // It can fail only for a process that has ended.
                    let _ = worker.child.kill();
                }
                None => {}
            }
        }
        if let Some(status) = ended {
            self.died(index, status);
        }
    }

    /// A worker has said that it is ready.
    fn ready(&mut self, index: usize) {
        let place = &mut self.places[index];
        place.failures = 0;
        let Some(worker) = &mut place.worker else {
            return;
        };
        let Some(starting) = worker.starting.take() else {
            return;
        };
        let now = Instant::now();
        let lane = Lane {
            index,
            generation: worker.generation,
            name: starting.name,
            phase: Phase::Ready,
            sender: Sender::new(Arc::clone(&starting.shared)),
            in_flight: Default::default(),
            child: Some(worker.handle.clone()),
            pid: worker.handle.id(),
            ready_at: now,
            start_up: now - starting.since,
            given: 0,
            blocked: false,
            stalled: false,
            first_seen: None,
            to_ring: false,
        };
        let mut after = After::default();
        {
            let mut state = self.inner.state();
            let reader = Reader::new(starting.shared);
            state.new_readers.push((lane.generation, reader));
            if matches!(state.stage, Stage::Terminated | Stage::Broken(_)) {
                lane.kill();
            }
            state.lanes[index] = Some(lane);
            state.go_on(&self.inner.settings, &mut after);
        }
        self.inner.finish(after);
        self.inner.attend();
    }

    fn died(&mut self, index: usize, status: ExitStatus) {
        let place = &mut self.places[index];
        let Some(worker) = place.worker.take() else {
            return;
        };
        place.next = Instant::now();
        if let Some(starting) = worker.starting {
            let why = starting
                .why
                .unwrap_or_else(|| format!("it ended with {status}"));
            self.failed(index, &why);
            return;
        }
        {
            let mut state = self.inner.state();
            if let Some(lane) = state.lanes[index].take() {
                state.replaced += 1;
                state.dying.push(Dying { lane, status });
            }
        }
        self.inner.attend();
    }

    /// A worker could not be started, or died before it was ready.
    fn failed(&mut self, index: usize, why: &str) {
        let place = &mut self.places[index];
        place.failures += 1;
        let failures = place.failures;
        let pause = PAUSE_FIRST * 2_u32.saturating_pow(failures - 1).min(1 << 10);
        place.next = Instant::now() + pause.min(PAUSE_LAST);
        if failures < ATTEMPTS {
            return;
        }
        let mut after = After::default();
        {
            let mut state = self.inner.state();
            let given_up = match state.stage {
                Stage::Open => false,
                Stage::Closed => state.outstanding() == 0,
                Stage::Terminated | Stage::Broken(_) => true,
            };
            if given_up || state.lanes.iter().any(Option::is_some) {
                return;
            }
            let why: Arc<str> = why.into();
            let broken = PoolBroken {
                why: Arc::clone(&why),
            };
            state.give_up(Stage::Broken(why), &mut after, || {
                JoinError::Failed(Box::new(broken.clone()))
            });
        }
        self.inner.finish(after);
    }
}

/// What a worker that starts has said, if it has.
fn hear(shared: &Shared) -> Option<Hello> {
    let mut bytes = vec![0; HELLO_MAX];
    let flags = rustix::net::RecvFlags::DONTWAIT;
    let (len, _) = rustix::net::recv(shared.socket.as_fd(), &mut bytes[..], flags).ok()?;
    if len == 0 {
        // Closed: the death is what tells.
        return None;
    }
    let hello = postcard::from_bytes(&bytes[..len]);
    Some(hello.unwrap_or_else(|_| Hello::Failed("what it says makes no sense".to_owned())))
}
