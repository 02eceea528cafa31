//! The process's signal handler, and the thread that passes signals on to the listeners.
//!
//! ```text
//!   kernel ──▶ on_signal: count it, ring the bell, call who was there before
//!                 │ eventfd
//!                 ▼
//!   thread "ropewalk-signals": take the counts, send to each listener's channel
//! ```
//!
//! Installed, restored and passed on under one lock. The handler takes none: it reads the
//! bell and what was there before by atomics, both set before it is installed, and what was
//! there before is never freed. When the last listener of a signal goes, what was there before
//! is put back, unless somebody else has installed a handler after ours: theirs may call ours,
//! so ours stays behind it, and does nothing but call on.
//!
//! The thread is there while somebody listens; without it, a program whose coroutines all wait
//! for each other can be seen to be dead.
//!
//! A forked child shares the bell but not the counts: its signals wake this thread for nothing.

use std::ffi::{c_int, c_void};
use std::io;
use std::mem;
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use ropewalk_kernel::sys;

use crate::channel::Sender;

/// One more than the highest signal of Linux.
const SIGNALS: usize = 65;

struct Slot {
    /// How many came that were not passed on.
    count: AtomicUsize,
    /// What was there before ours; null if ours never was.
    before: AtomicPtr<libc::sigaction>,
}

static SLOTS: [Slot; SIGNALS] = [const {
    Slot {
        count: AtomicUsize::new(0),
        before: AtomicPtr::new(ptr::null_mut()),
    }
}; SIGNALS];

/// An eventfd, once there was a listener; it stays open, since a handler may be about to ring.
static BELL: AtomicI32 = AtomicI32::new(-1);

struct Listener {
    id: u64,
    signals: Vec<c_int>,
    sender: Sender<c_int>,
}

struct Listeners {
    next_id: u64,
    all: Vec<Listener>,
    /// Whether the thread is there. It ends when nobody listens any more.
    passed_on: bool,
}

impl Listeners {
    fn wanted(&self, signal: c_int) -> bool {
        self.all
            .iter()
            .any(|listener| listener.signals.contains(&signal))
    }
}

static LISTENERS: Mutex<Listeners> = Mutex::new(Listeners {
    next_id: 0,
    all: Vec::new(),
    passed_on: false,
});

fn listeners() -> MutexGuard<'static, Listeners> {
    LISTENERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Adds a listener, and gives its id.
pub(super) fn listen(signals: Vec<c_int>, sender: Sender<c_int>) -> io::Result<u64> {
    let mut listeners = listeners();
    start(&mut listeners)?;
    let id = listeners.next_id;
    listeners.next_id += 1;
    for (at, &signal) in signals.iter().enumerate() {
        if !listeners.wanted(signal)
            && let Err(error) = install(signal)
        {
            let installed = signals[..at].iter();
            installed
                .filter(|&&signal| !listeners.wanted(signal))
                .for_each(|&signal| restore(signal));
            // The thread may have been started for nobody.
            ring();
            return Err(error);
        }
    }
    let listener = Listener {
        id,
        signals,
        sender,
    };
    listeners.all.push(listener);
    Ok(id)
}

/// Takes a listener away.
pub(super) fn leave(id: u64) {
    let mut listeners = listeners();
    let Some(at) = listeners.all.iter().position(|listener| listener.id == id) else {
        return;
    };
    let gone = listeners.all.swap_remove(at);
    for &signal in &gone.signals {
        if !listeners.wanted(signal) {
            restore(signal);
        }
    }
    if listeners.all.is_empty() {
        ring();
    }
    // It wakes who waits for more, which may listen, or leave, at once.
    drop(listeners);
    drop(gone);
}

/// Starts the thread, unless it is there.
fn start(listeners: &mut Listeners) -> io::Result<()> {
    if BELL.load(Ordering::Relaxed) < 0 {
        BELL.store((sys::table().eventfd)()?, Ordering::Release);
    }
    if !listeners.passed_on {
        let bell = BELL.load(Ordering::Relaxed);
        thread::Builder::new()
            .name("ropewalk-signals".to_owned())
            .stack_size(128 * 1024)
            .spawn(move || pass_on(bell))?;
        listeners.passed_on = true;
    }
    Ok(())
}

fn ring() {
    let one = 1u64.to_ne_bytes();
    // SAFETY: eight readable bytes. It fails only if it has rung already.
    unsafe { libc::write(BELL.load(Ordering::Acquire), one.as_ptr().cast(), one.len()) };
}

/// Passes signals on, as long as somebody listens.
fn pass_on(bell: c_int) {
    loop {
        let mut fds = [libc::pollfd {
            fd: bell,
            events: libc::POLLIN,
            revents: 0,
        }];
        // A failure, such as an interruption, means to look again.
        let _ = (sys::table().poll)(&mut fds, None);
        let mut rung = [0u8; 8];
        // SAFETY: eight writable bytes; non-blocking.
        if unsafe { libc::read(bell, rung.as_mut_ptr().cast(), rung.len()) } < 0 {
            thread::yield_now();
            continue;
        }
        let mut listeners = listeners();
        if listeners.all.is_empty() {
            listeners.passed_on = false;
            return;
        }
        let mut letters = Vec::new();
        for (signal, slot) in SLOTS.iter().enumerate() {
            let signal = signal as c_int;
            let times = slot.count.swap(0, Ordering::AcqRel);
            if times > 0 {
                let wanting = listeners.all.iter();
                let wanting = wanting.filter(|listener| listener.signals.contains(&signal));
                letters.extend(wanting.map(|listener| (listener.sender.clone(), signal, times)));
            }
        }
        // Whoever is woken may listen, or leave, at once: a foreign waker may run a task.
        drop(listeners);
        for (sender, signal, times) in letters {
            for _ in 0..times {
                // Full: lost for this one.
                let _ = sender.try_send(signal);
            }
        }
    }
}

fn ours() -> usize {
    let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) = on_signal;
    handler as *const () as usize
}

fn current(signal: c_int) -> io::Result<libc::sigaction> {
    // SAFETY: all zeroes is a valid action; it is only written to.
    unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        if libc::sigaction(signal, ptr::null(), &raw mut action) != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(action)
    }
}

fn install(signal: c_int) -> io::Result<()> {
    let now = current(signal)?;
    if now.sa_sigaction == ours() {
        return Ok(());
    }
    let slot = &SLOTS[signal as usize];
    // Signals that came while nobody listened are nobody's.
    slot.count.store(0, Ordering::Release);
    // SAFETY: null, or leaked below.
    let before = unsafe { slot.before.load(Ordering::Acquire).as_ref() };
    let same = before.is_some_and(|before| {
        before.sa_sigaction == now.sa_sigaction && before.sa_flags == now.sa_flags
    });
    if !same {
        // Leaked: a handler that runs at this moment may read the old one.
        let before = Box::into_raw(Box::new(now));
        slot.before.store(before, Ordering::Release);
    }
    // SAFETY: all zeroes, with an empty mask, and a handler that does only what signal handlers
    // may do. It runs on the alternate stack, a coroutine's may be small.
    unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        action.sa_sigaction = ours();
        action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART | libc::SA_ONSTACK;
        libc::sigemptyset(&raw mut action.sa_mask);
        if libc::sigaction(signal, &raw const action, ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

fn restore(signal: c_int) {
    let Ok(now) = current(signal) else { return };
    let before = SLOTS[signal as usize].before.load(Ordering::Acquire);
    if now.sa_sigaction == ours() && !before.is_null() {
        // SAFETY: an action that was in force, leaked by `install`.
        unsafe { libc::sigaction(signal, before, ptr::null_mut()) };
    }
}

extern "C" fn on_signal(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let slot = &SLOTS[signal as usize % SIGNALS];
    slot.count.fetch_add(1, Ordering::AcqRel);
    let one = 1u64.to_ne_bytes();
    // SAFETY: `write` and errno are for signal handlers; what was there before is called as
    // its flags say it is to be called.
    unsafe {
        let errno = *libc::__errno_location();
        libc::write(BELL.load(Ordering::Acquire), one.as_ptr().cast(), one.len());
        if let Some(before) = slot.before.load(Ordering::Acquire).as_ref()
            && before.sa_sigaction != libc::SIG_DFL
            && before.sa_sigaction != libc::SIG_IGN
        {
            if before.sa_flags & libc::SA_SIGINFO != 0 {
                let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) =
                    mem::transmute(before.sa_sigaction);
                handler(signal, info, context);
            } else {
                let handler: extern "C" fn(c_int) = mem::transmute(before.sa_sigaction);
                handler(signal);
            }
        }
        *libc::__errno_location() = errno;
    }
}
