//! Who holds which lock and who wants it: finding cycles of waiting, and reporting them.
//!
//! Tracking is on in builds with debug assertions, off in others; `ROPEWALK_DEADLOCKS=1` or
//! `=0` and [`track`] decide otherwise. A lock notes its owner's id when it is taken, and clears
//! it before it is given up. A task that must wait for a lock, and has no deadline, enters the
//! table of wants, and in the same step follows owner and want from there: the one who closes a
//! cycle finds it, for all others in it have entered before, and wait.
//!
//! The owner is who took the lock: a guard that was sent to another task still counts as the
//! first one's. Readers of a read-write lock are not tracked.

use std::collections::HashMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::cancel::current_id;
use crate::inspect::Frames;
use crate::inspect::symbols;
use crate::inspect::walk::walk_thread;
use crate::probe;
use crate::record;
use crate::wait::{in_coroutine, may_wait};

const UNKNOWN: u8 = 0;
const OFF: u8 = 1;
const ON: u8 = 2;

static TRACKING: AtomicU8 = AtomicU8::new(UNKNOWN);

/// Switches tracking on or off, for locks that are taken from now on.
pub fn track(on: bool) {
    TRACKING.store(if on { ON } else { OFF }, Ordering::Relaxed);
}

/// Says whether owners of locks are tracked.
#[inline]
pub fn is_tracking() -> bool {
    match TRACKING.load(Ordering::Relaxed) {
        OFF => false,
        ON => true,
        _ => decide(),
    }
}

#[cold]
fn decide() -> bool {
    let on = match std::env::var_os("ROPEWALK_DEADLOCKS") {
        Some(value) if value == "0" => false,
        Some(value) if value == "1" => true,
        _ => cfg!(debug_assertions),
    };
    track(on);
    on
}

/// The id of the task that holds a lock; 0 if nobody does, or it isn't known.
#[derive(Debug, Default)]
pub struct Owner(AtomicU64);

impl Owner {
    /// Nobody.
    pub const fn none() -> Owner {
        Owner(AtomicU64::new(0))
    }

    /// Notes that the caller has taken the lock.
    #[inline]
    pub fn acquired(&self) {
        if is_tracking() {
            self.0.store(current_id(), Ordering::Relaxed);
        }
    }

    /// Notes that the caller is about to give it up.
    #[inline]
    pub fn released(&self) {
        if is_tracking() {
            self.0.store(0, Ordering::Relaxed);
        }
    }
}

struct Want {
    owner: NonNull<Owner>,
    lock: usize,
    /// Of a thread: nobody can look at it later.
    stack: Option<Frames>,
    name: Option<Arc<str>>,
}

// SAFETY: a lock outlives the wants for it: each is taken out before its waiter returns.
unsafe impl Send for Want {}

fn wants() -> MutexGuard<'static, HashMap<u64, Want>> {
    static WANTS: OnceLock<Mutex<HashMap<u64, Want>>> = OnceLock::new();
    WANTS
        .get_or_init(Mutex::default)
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
}

/// The caller's want of a lock, for as long as it waits.
pub struct Wanting(Option<u64>);

impl Drop for Wanting {
    fn drop(&mut self) {
        if let Some(id) = self.0 {
            wants().remove(&id);
        }
    }
}

/// Notes that the caller is about to wait for a lock without a deadline, and reports if that
/// closes a cycle. May wait itself, to look at the others' stacks.
#[inline]
pub fn want(owner: &Owner, lock: usize) -> Wanting {
    if is_tracking() {
        want_slow(owner, lock)
    } else {
        Wanting(None)
    }
}

/// For each task that waits for a tracked lock without a deadline: who holds that lock.
pub(crate) fn owners() -> HashMap<u64, u64> {
    let wants = wants();
    let held = wants.iter().map(|(id, want)| {
        // SAFETY: a lock outlives the wants for it, and we hold the table.
        let owner = unsafe { want.owner.as_ref() };
        (*id, owner.0.load(Ordering::Relaxed))
    });
    held.filter(|(_, owner)| *owner != 0).collect()
}

#[cold]
fn want_slow(owner: &Owner, lock: usize) -> Wanting {
    let me = current_id();
    let stack = (!in_coroutine()).then(walk_thread);
    let want = Want {
        owner: NonNull::from(owner),
        lock,
        stack,
        name: crate::task::Task::current().name(),
    };
    let mut wants = wants();
    wants.insert(me, want);
    let mut cycle = Vec::new();
    let mut at = me;
    while let Some(want) = wants.get(&at) {
        cycle.push((at, want.lock, want.stack.clone(), want.name.clone()));
        // SAFETY: a lock outlives the wants for it, and we hold the table.
        at = unsafe { want.owner.as_ref() }.0.load(Ordering::Relaxed);
        if at == me || cycle.len() > wants.len() {
            break;
        }
    }
    drop(wants);
    if at == me {
        // Its own, here: below lie more frames than reports leave out.
        cycle[0].2.get_or_insert_with(walk_thread);
        // The caller may be a guard that takes its lock again: nothing may unwind there.
        let told = catch_unwind(AssertUnwindSafe(|| report(cycle)));
        if let Err(payload) = told {
            // The panic hook has told of it; its drop may panic too.
            std::mem::forget(payload);
        }
    }
    Wanting(Some(me))
}

type Found = (u64, usize, Option<Frames>, Option<Arc<str>>);

#[cold]
fn report(cycle: Vec<Found>) {
    let members = cycle
        .into_iter()
        .map(|(id, lock, stack, name)| {
            let found = record::find(id)
                // SAFETY: type-stable.
                .and_then(|record| record::snapshot(unsafe { record.as_ref() }, std::ptr::null()))
                .filter(|snapshot| snapshot.id == id);
            let who = match (found, name) {
                (Some(snapshot), _) => {
                    let kind = if snapshot.thread {
                        "thread"
                    } else {
                        "coroutine"
                    };
                    let name = snapshot.name.as_deref().unwrap_or("unnamed");
                    match snapshot.site {
                        Some(site) => format!("{kind} '{name}' (id {id}, spawned at {site})"),
                        None => format!("{kind} '{name}' (id {id})"),
                    }
                }
                (None, Some(name)) => format!("thread '{name}' (id {id})"),
                (None, None) => format!("a thread (id {id})"),
            };
            // The others' are waited for.
            let stack = stack.or_else(|| may_wait().then(|| probe::stack_of(id))?);
            Member {
                id,
                who,
                lock,
                stack: stack.map(|stack| symbols::describe(&stack)),
            }
        })
        .collect();
    tell(&Deadlock { members });
}

/// Tasks that wait for each other's locks in a circle: none of them ever goes on.
#[derive(Clone, Debug)]
pub struct Deadlock {
    members: Vec<Member>,
}

/// One task of a [`Deadlock`].
#[derive(Clone, Debug)]
pub struct Member {
    id: u64,
    who: String,
    lock: usize,
    stack: Option<String>,
}

impl Deadlock {
    /// The tasks, each waiting for a lock that the next one holds, the last for the first's.
    pub fn members(&self) -> &[Member] {
        &self.members
    }
}

impl Member {
    /// The task's id.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The address of the lock it waits for.
    pub fn lock(&self) -> usize {
        self.lock
    }

    /// Its stack, innermost frame first, if it could be looked at.
    pub fn stack(&self) -> Option<&str> {
        self.stack.as_deref()
    }
}

impl fmt::Display for Deadlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.members.len();
        if count == 1 {
            writeln!(f, "deadlock: a task waits for a lock that it holds itself")?;
        } else {
            writeln!(f, "deadlock: {count} tasks wait for each other's locks")?;
        }
        for (index, member) in self.members.iter().enumerate() {
            let next = &self.members[(index + 1) % count];
            writeln!(
                f,
                "  {} waits for the lock at {:#x}, held by id {}",
                member.who, member.lock, next.id
            )?;
            match &member.stack {
                Some(stack) => f.write_str(stack)?,
                None => writeln!(f, "      (its stack could not be looked at)")?,
            }
        }
        Ok(())
    }
}

type Hook = Arc<dyn Fn(&Deadlock) + Send + Sync>;

static HOOK: Mutex<Option<Hook>> = Mutex::new(None);

/// Has `hook` called with each deadlock that is found, in the place of a report on standard
/// error; on the task that closed the circle, which then waits. A panic inside it is contained: the
/// panic hook tells of it, and nothing else comes of it.
pub fn set_hook(hook: impl Fn(&Deadlock) + Send + Sync + 'static) {
    *HOOK.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(hook));
}

/// Goes back to reports on standard error.
pub fn take_hook() {
    *HOOK.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

fn tell(deadlock: &Deadlock) {
    let hook = HOOK.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match hook {
        Some(hook) => hook(deadlock),
        None => eprint!("ropewalk: {deadlock}"),
    }
}
