//! What a worker's thread does at this moment: registers and stack, taken by a signal.
//!
//! A backtrace can't be taken in a signal handler soundly: unwinders and `std::backtrace` take
//! locks and allocate, and the interrupted code may hold them. So the handler only saves three
//! registers and has the system copy the innermost part of the stack; the watcher's own
//! thread unwinds the copy, see `unwind`. This is what sampling profilers do.
//!
//! # In the signal handler
//!
//! [`on_sample`] reads atomics, the slab registry and the worker's thread-local pointer, and
//! makes two system calls (`gettid` and `process_vm_readv` of this very process: a copy made
//! by the kernel races with nobody as far as the language is concerned, and fails instead of
//! faulting). It runs on the worker's alternate stack: the coroutine's may be nearly used up.
//!
//! # The signal
//!
//! `SIGURG`, as its default is to be ignored, and hardly anybody uses it. A program that has a
//! handler for it keeps it, and gets reports without stacks. The handler is installed with the
//! first report; a system call that it interrupts is restarted where the system does that, and
//! ends with `EINTR` where it doesn't: once for each spawn site that is told of.
//!
//! # The handing over
//!
//! ```text
//!   IDLE ──watcher──▶ ASKED ──handler──▶ TAKING ──handler──▶ TAKEN ──watcher──▶ IDLE
//!                       └──watcher: too late──▶ IDLE
//! ```
//!
//! A watcher asks for one sample at a time. The fields belong to the handler from TAKING
//! to TAKEN (its store releases them), else to the watcher.

use std::cell::UnsafeCell;
use std::ffi::{c_int, c_void};
use std::mem;
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::stack;
use crate::worker::Worker;

const SIGNAL: c_int = libc::SIGURG;

/// How much of a stack is copied, from its innermost end.
const COPIED_MAX: usize = 128 << 10;

const IDLE: u32 = 0;
const ASKED: u32 = 1;
const TAKING: u32 = 2;
const TAKEN: u32 = 3;

static STATE: AtomicU32 = AtomicU32::new(IDLE);
/// Whom the watcher asked.
static THREAD: AtomicI32 = AtomicI32::new(0);
static PLACE: Place = Place(UnsafeCell::new(Taken {
    id: 0,
    registers: Registers {
        ip: 0,
        sp: 0,
        fp: 0,
        lr: 0,
    },
    copied: 0,
    stack: [0; COPIED_MAX],
}));

struct Place(UnsafeCell<Taken>);

// SAFETY: see "The handing over".
unsafe impl Sync for Place {}

struct Taken {
    id: u64,
    registers: Registers,
    copied: usize,
    stack: [u8; COPIED_MAX],
}

/// The registers that unwinding needs; `lr` only where there is one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Registers {
    pub(super) ip: usize,
    pub(super) sp: usize,
    pub(super) fp: usize,
    pub(super) lr: usize,
}

/// A look at a thread.
#[derive(Debug)]
pub(super) struct Sample {
    /// The coroutine that ran there.
    pub(super) id: u64,
    pub(super) registers: Registers,
    /// The stack from `registers.sp` on.
    pub(super) stack: Vec<u8>,
}

/// Takes a sample of a worker's thread. `None` if it can't be had.
pub(super) fn take(thread: i32) -> Option<Sample> {
    const PATIENCE: Duration = Duration::from_millis(500);
    // A watcher that was dismissed may still be at it.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    if !install() {
        return None;
    }
    THREAD.store(thread, Ordering::Relaxed);
    STATE.store(ASKED, Ordering::Release);
    // SAFETY: no pointers. Of this process only: a thread that has ended is not found.
    unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, SIGNAL) };
    let begun = Instant::now();
    while STATE.load(Ordering::Acquire) != TAKEN {
        if begun.elapsed() > PATIENCE {
            let gone = STATE.compare_exchange(ASKED, IDLE, Ordering::Relaxed, Ordering::Relaxed);
            if gone.is_ok() {
                return None;
            }
        }
        thread::sleep(Duration::from_micros(200));
    }
    // SAFETY: TAKEN: ours.
    let taken = unsafe { &*PLACE.0.get() };
    let sample = Sample {
        id: taken.id,
        registers: taken.registers,
        stack: taken.stack[..taken.copied].to_vec(),
    };
    STATE.store(IDLE, Ordering::Relaxed);
    Some(sample)
}

/// Puts the handler in place, unless the program has one of its own.
fn install() -> bool {
    let ours = on_sample as *const () as usize;
    // SAFETY: a zeroed action is a valid one, and the pointers are valid or null. The handler
    // has the signature that SA_SIGINFO asks for.
    unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        if libc::sigaction(SIGNAL, ptr::null(), &raw mut action) != 0 {
            return false;
        }
        match action.sa_sigaction {
            handler if handler == ours => return true,
            libc::SIG_DFL | libc::SIG_IGN => {}
            _ => return false,
        }
        action = mem::zeroed();
        action.sa_sigaction = ours;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
        libc::sigemptyset(&raw mut action.sa_mask);
        libc::sigaction(SIGNAL, &raw const action, ptr::null_mut()) == 0
    }
}

/// The handler. See the opening of this file.
extern "C" fn on_sample(_signal: c_int, _info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: no pointers.
    if THREAD.load(Ordering::Relaxed) != unsafe { libc::gettid() } {
        return;
    }
    let asked = STATE.compare_exchange(ASKED, TAKING, Ordering::Acquire, Ordering::Relaxed);
    if asked.is_err() {
        return;
    }
    // SAFETY: errno is the thread's own.
    let errno = unsafe { *libc::__errno_location() };
    // SAFETY: TAKING: ours.
    let place = unsafe { &mut *PLACE.0.get() };
    let record = Worker::current().and_then(Worker::current_record);
    place.id = record.map_or(0, |record| record.id());
    // SAFETY: the kernel gives a handler with SA_SIGINFO a valid context.
    place.registers = unsafe { registers(context) };
    place.copied = copy(place.registers.sp, &mut place.stack);
    STATE.store(TAKEN, Ordering::Release);
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = errno };
}

/// Copies the coroutine's stack from `sp` on; gives how much.
fn copy(sp: usize, to: &mut [u8; COPIED_MAX]) -> usize {
    let Some(top) = stack::top_above(sp) else {
        return 0;
    };
    let len = (top - sp).min(COPIED_MAX);
    let local = libc::iovec {
        iov_base: to.as_mut_ptr().cast(),
        iov_len: len,
    };
    let remote = libc::iovec {
        iov_base: ptr::with_exposed_provenance_mut(sp),
        iov_len: len,
    };
    // SAFETY: the local range is writable; the system checks the other.
    let copied = unsafe {
        libc::process_vm_readv(libc::getpid(), &raw const local, 1, &raw const remote, 1, 0)
    };
    usize::try_from(copied).unwrap_or(0)
}

/// # Safety
///
/// `context` is the third argument of a handler with SA_SIGINFO.
unsafe fn registers(context: *mut c_void) -> Registers {
    let context = context.cast::<libc::ucontext_t>();
    // SAFETY: by the contract above.
    let machine = unsafe { &(*context).uc_mcontext };
    #[cfg(target_arch = "x86_64")]
    return Registers {
        ip: machine.gregs[libc::REG_RIP as usize] as usize,
        sp: machine.gregs[libc::REG_RSP as usize] as usize,
        fp: machine.gregs[libc::REG_RBP as usize] as usize,
        lr: 0,
    };
    #[cfg(target_arch = "aarch64")]
    return Registers {
        ip: machine.pc as usize,
        sp: machine.sp as usize,
        fp: machine.regs[29] as usize,
        lr: machine.regs[30] as usize,
    };
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        let _ = machine;
        Registers {
            ip: 0,
            sp: 0,
            fp: 0,
            lr: 0,
        }
    }
}
