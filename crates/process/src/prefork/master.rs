//! The first process: starts the others, hears of their ends, and does what the roster says.
//!
//! One loop, which alone knows the roster, takes messages: from a coroutine for each process, which
//! waits until it listens and then for its end; from signals; from handles. Between messages it
//! sleeps until the roster's next time.

use std::fmt;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ropewalk_rt::cancel::{Token, shield};
use ropewalk_rt::channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use ropewalk_rt::coroutine::{self, Scope};
use ropewalk_rt::executor::TaskFn;
use ropewalk_rt::executor::tasks::TaskEntry;
use ropewalk_rt::io::{PipeReader, pipe};
use ropewalk_rt::net::TcpListener;
use ropewalk_rt::process::{Child, ChildHandle};
use ropewalk_rt::signal::{SIGHUP, SIGINT, SIGTERM, Signals};

use super::roster::{Process, Roster};
use super::worker::{KIND, Order, Worker};
use super::{Event, Plan};
use crate::launch::{Launch, StartError};
use crate::pass;

/// Has the port, and will have the processes.
pub struct Master {
    plan: Plan,
    listener: TcpListener,
    handle: Handle,
    messages: Receiver<Message>,
}

/// Ends and reloads the processes of a port, from anywhere. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    messages: Sender<Message>,
    processes: Arc<Mutex<Vec<ProcessInfo>>>,
}

/// One of the processes of a port.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProcessInfo {
    /// Its place, from 0.
    pub index: usize,
    /// Its id.
    pub pid: u32,
    /// How many reloads came before it.
    pub generation: u64,
    /// Whether it listens.
    pub ready: bool,
    /// Whether it was told to end.
    pub stopping: bool,
}

enum Message {
    /// That process listens.
    Ready(u64),
    /// It has ended; an error if that could not be waited for.
    Ended(u64, io::Result<ExitStatus>),
    Reload,
    Stop,
}

impl Handle {
    /// Starts new processes, and tells the old ones to end as the new ones listen. Doesn't wait.
    pub fn reload(&self) {
        let _ = self.messages.send(Message::Reload);
    }

    /// Closes the port and tells all processes to end; called again, kills them. Doesn't wait:
    /// [`Master::run`] returns when the last one has ended.
    pub fn shutdown(&self) {
        let _ = self.messages.send(Message::Stop);
    }

    /// The processes there are.
    pub fn processes(&self) -> Vec<ProcessInfo> {
        self.list().clone()
    }

    fn list(&self) -> MutexGuard<'_, Vec<ProcessInfo>> {
        self.processes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("processes", &self.processes())
            .finish()
    }
}

impl fmt::Debug for Master {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Master")
            .field("listener", &self.listener)
            .field("processes", &self.handle.processes())
            .finish_non_exhaustive()
    }
}

impl Master {
    pub(super) fn new(plan: Plan, listener: TcpListener) -> Master {
        let (sender, messages) = unbounded();
        Master {
            plan,
            listener,
            handle: Handle {
                messages: sender,
                processes: Arc::default(),
            },
            messages,
        }
    }

    /// The port's address.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// What ends and reloads the processes.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Starts the processes, has each run `task` with its [`Worker`], and returns when they were
    /// told to end and have. A process whose function returns or panics before counts as dead, and
    /// is replaced.
    ///
    /// # Errors
    ///
    /// [`StartError`] if the program can't start processes at all: its start-up hook is missing, or
    /// `task` is not registered; a cancellation of the caller, after all processes were killed. If
    /// the system is out of something for a while, that is reported and tried again.
    pub fn run<F>(self, task: F) -> Result<(), StartError>
    where
        F: TaskFn<(Worker,), Output = ()>,
    {
        let not_a_task = StartError::NotATask {
            function: std::any::type_name::<F>(),
        };
        let entry = TaskEntry::of(&task).ok_or(not_a_task)?;
        Launch::check()?;
        let heard = match self.plan.signals {
            true => Some(Signals::new([SIGHUP, SIGTERM, SIGINT])?),
            false => None,
        };
        let listening = Token::new();
        coroutine::scope(|scope| {
            if let Some(signals) = &heard {
                let messages = self.handle.messages.clone();
                listening.run(|| scope.spawn(move || forward(signals, &messages)));
            }
            let result = self.serve(scope, entry.index());
            listening.cancel();
            result
        })
    }

    fn serve<'scope>(self, scope: &'scope Scope<'scope, '_>, task: u32) -> Result<(), StartError> {
        let places = self.plan.processes;
        let mut shop = Shop {
            scope,
            roster: Roster::new(places, Instant::now()),
            listener: Some(self.listener),
            plan: self.plan,
            handle: self.handle,
            task,
            count: 0,
        };
        loop {
            shop.do_what_is_due();
            shop.publish();
            if shop.roster.stopping && shop.roster.processes.is_empty() {
                return Ok(());
            }
            let message = match shop.roster.next_time() {
                Some(time) => self.messages.recv_deadline(time),
                None => self
                    .messages
                    .recv()
                    .map_err(|_| RecvTimeoutError::Disconnected),
            };
            match message {
                Ok(message) => shop.take(message),
                Err(RecvTimeoutError::Timeout) => {}
                // We have a sender ourselves: the caller is cancelled.
                Err(RecvTimeoutError::Disconnected) => {
                    shield(|| shop.abandon(&self.messages));
                    let cancelled = ropewalk_rt::cancel::Cancelled::current();
                    return Err(StartError::Io(cancelled.into_io()));
                }
            }
        }
    }
}

/// Makes messages of signals, until it is cancelled.
fn forward(signals: &Signals, messages: &Sender<Message>) {
    while let Ok(signal) = signals.recv() {
        let message = match signal {
            SIGHUP => Message::Reload,
            _ => Message::Stop,
        };
        let _ = messages.send(message);
    }
}

/// Waits until a process listens, then for its end, and tells of both.
fn watch(number: u64, mut child: Child, mut ready: PipeReader, messages: &Sender<Message>) {
    shield(|| {
        // It ends without a byte if the process does.
        if ready.read_exact(&mut [0]).is_ok() {
            let _ = messages.send(Message::Ready(number));
        }
        drop(ready);
        let _ = messages.send(Message::Ended(number, child.wait()));
    });
}

/// What the loop works with.
struct Shop<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    roster: Roster<ChildHandle>,
    /// Until the port is closed.
    listener: Option<TcpListener>,
    plan: Plan,
    handle: Handle,
    task: u32,
    count: u64,
}

impl Drop for Shop<'_, '_> {
    fn drop(&mut self) {
        // There are some if an observer panicked: the scope waits for those who watch them.
        for process in &self.roster.processes {
            let _ = process.handle.kill();
        }
    }
}

impl Shop<'_, '_> {
    fn do_what_is_due(&mut self) {
        while let Some(index) = self.roster.take_due(Instant::now()) {
            if let Err(error) = self.start(index) {
                let (generation, now) = (self.roster.generation, Instant::now());
                let lived = std::time::Duration::ZERO;
                let death = self.roster.note_death(index, generation, lived, now);
                let again_in = death.again_in.unwrap_or_default();
                let error = error.to_string();
                self.tell(Event::NotStarted {
                    index,
                    error,
                    again_in,
                });
                self.tell_storm(death.storm);
            }
        }
        while let Some(late) = self.roster.take_late(Instant::now()) {
            // It fails only for one that has ended.
            let _ = late.handle.kill();
            let (index, pid) = (late.index, late.handle.id());
            let event = match late.told {
                true => Event::Killed { index, pid },
                false => Event::NotReady { index, pid },
            };
            self.tell(event);
        }
    }

    fn start(&mut self, index: usize) -> Result<(), StartError> {
        let Some(listener) = &self.listener else {
            return Ok(());
        };
        let (reader, writer) = pipe()?;
        let generation = self.roster.generation;
        let worker = Worker::new(
            listener,
            writer.into(),
            (index, generation),
            self.plan.grace,
        )?;
        let mut order = Order {
            task: self.task,
            args: Vec::new(),
            threads: self.plan.threads as u64,
            grace: self.plan.grace,
        };
        let encode =
            |error: ropewalk_rt::executor::tasks::CallError| StartError::Encode(error.into());
        let fds = pass::encode(&(worker,), &mut order.args).map_err(encode)?;
        let mut launch = Launch::new(KIND, format!("{}-{index}", self.plan.name));
        pass::encode(&order, &mut launch.setup).map_err(encode)?;
        launch.fds = fds;
        let child = launch.start()?;
        self.count += 1;
        let number = self.count;
        let now = Instant::now();
        let process = Process {
            number,
            index,
            generation,
            handle: child.handle(),
            started: now,
            ready: false,
            told: false,
            killed: false,
            limit: now.checked_add(self.plan.ready_within),
        };
        let pid = process.handle.id();
        self.roster.processes.push(process);
        let messages = self.handle.messages.clone();
        self.scope
            .spawn(move || watch(number, child, reader, &messages));
        self.tell(Event::Started {
            index,
            pid,
            generation,
        });
        Ok(())
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Ready(number) => self.note_ready(number),
            Message::Ended(number, status) => self.note_end(number, status),
            Message::Reload if self.roster.stopping => {}
            Message::Reload => {
                self.roster.reload(Instant::now());
                let generation = self.roster.generation;
                self.tell(Event::Reloading { generation });
                // Of an earlier reload: nobody has been served by them.
                self.tell_to_end(|process, generation| {
                    process.generation < generation && !process.ready
                });
            }
            Message::Stop if self.roster.stopping => {
                for process in &mut self.roster.processes {
                    process.limit = Some(Instant::now());
                }
            }
            Message::Stop => {
                self.roster.stop();
                self.listener = None;
                self.tell(Event::Stopping);
                self.tell_to_end(|_, _| true);
            }
        }
    }

    fn note_ready(&mut self, number: u64) {
        let Some(process) = self.roster.find(number) else {
            return;
        };
        process.ready = true;
        if !process.told {
            process.limit = None;
        }
        let (index, generation) = (process.index, process.generation);
        let pid = process.handle.id();
        self.tell(Event::Ready { index, pid });
        self.tell_to_end(|other, _| other.index == index && other.generation < generation);
    }

    fn note_end(&mut self, number: u64, status: io::Result<ExitStatus>) {
        let was_reloading = self.roster.is_reloading();
        let Some(process) = self.roster.remove(number) else {
            return;
        };
        let (index, pid) = (process.index, process.handle.id());
        let status = status.unwrap_or_default();
        if process.told {
            self.tell(Event::Ended { index, pid, status });
        } else {
            let (now, lived) = (Instant::now(), process.started.elapsed());
            let generation = process.generation;
            let death = self.roster.note_death(index, generation, lived, now);
            let again_in = death.again_in;
            self.tell(Event::Died {
                index,
                pid,
                status,
                again_in,
            });
            self.tell_storm(death.storm);
        }
        if was_reloading && !self.roster.is_reloading() && !self.roster.stopping {
            let generation = self.roster.generation;
            self.tell(Event::Reloaded { generation });
        }
    }

    /// Tells those to end, of a given present generation, who have not been told.
    fn tell_to_end(&mut self, who: impl Fn(&Process<ChildHandle>, u64) -> bool) {
        let generation = self.roster.generation;
        for process in &mut self.roster.processes {
            if !process.told && who(process, generation) {
                process.told = true;
                process.limit = Instant::now().checked_add(self.plan.grace);
                // It fails only for one that has ended.
                let _ = process.handle.signal(SIGTERM);
            }
        }
    }

    /// Kills all, and waits until they have ended.
    fn abandon(&mut self, messages: &Receiver<Message>) {
        self.listener = None;
        self.roster.stop();
        for process in &mut self.roster.processes {
            process.told = true;
            let _ = process.handle.kill();
        }
        while !self.roster.processes.is_empty() {
            if let Ok(Message::Ended(number, status)) = messages.recv() {
                self.note_end(number, status);
            }
        }
        self.publish();
    }

    fn publish(&self) {
        let mut list: Vec<ProcessInfo> = self
            .roster
            .processes
            .iter()
            .map(|process| ProcessInfo {
                index: process.index,
                pid: process.handle.id(),
                generation: process.generation,
                ready: process.ready,
                stopping: process.told || process.killed,
            })
            .collect();
        list.sort_by_key(|info| (info.index, info.generation));
        *self.handle.list() = list;
    }

    fn tell_storm(&self, deaths: Option<usize>) {
        if let Some(deaths) = deaths {
            let within = Roster::<ChildHandle>::STORM_WITHIN;
            self.tell(Event::Storm { deaths, within });
        }
    }

    /// Tells the observer, for whom the handle's list is up to date.
    fn tell(&self, event: Event) {
        self.publish();
        (self.plan.observer)(&event);
    }
}
