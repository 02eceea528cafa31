//! The report of a coroutine's stack overflow.
//!
//! A handler for `SIGSEGV` and `SIGBUS` runs on an alternate stack (the one that overflowed
//! has no room). It decides by two numbers, the address that faulted and the stack pointer:
//!
//! | address | stack pointer | verdict |
//! |---|---|---|
//! | in a slot's guard | in the same slot | overflow: describe, abort |
//! | in a slot's guard | elsewhere | a stray pointer, or a frame that stepped over the guard: say so, hand on |
//! | elsewhere | any | not ours: hand on |
//!
//! "Hand on" means to the action there was before: its function is called with the same
//! arguments; the default action is put back and the instruction faults again. So std's own
//! report for threads works as ever, and so does a crash reporter, be it installed before
//! (we call it) or after (it calls us).
//!
//! # In a signal handler
//!
//! Everything reached from `on_fault` must be async-signal-safe: no allocation, no lock,
//! no thread-local with a destructor. It reads the slab registry (atomics only), formats
//! integers and strings into a buffer in its own frame ([`Message`]) and calls write,
//! sigaction, raise and abort. The name of the coroutine comes from a function that the
//! kernel registers with [`describe_with`] and that is bound by the same rule.

use std::cell::UnsafeCell;
use std::ffi::{c_int, c_void};
use std::fmt::{self, Write};
use std::marker::PhantomData;
use std::mem::{self, MaybeUninit};
use std::ptr::{self, NonNull};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use super::{GUARD_BYTES, header_of, memory, slab, top_of};
use crate::sys;

/// Writes who runs on the stack with the given header, e.g. `coroutine 'x' (id 4)`.
///
/// Called in a signal handler: see the opening of this module for what it may do. The header
/// is that of the stack the faulting thread was running on.
pub type Describe = fn(header: *const u8, out: &mut Message);

static DESCRIBE: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());

/// Registers how a stack's user is named in the report; the last one registered counts.
pub fn describe_with(describe: Describe) {
    DESCRIBE.store(describe as *mut (), Ordering::Release);
}

/// A text of fixed capacity, written without allocation; what doesn't fit is cut off.
pub struct Message {
    bytes: [u8; Message::CAPACITY],
    len: usize,
}

impl Message {
    const CAPACITY: usize = 768;

    fn new() -> Message {
        Message {
            bytes: [0; Message::CAPACITY],
            len: 0,
        }
    }

    /// Writes the text to standard error, as far as that takes it.
    fn emit(&self) {
        let mut rest = &self.bytes[..self.len];
        while !rest.is_empty() {
            // SAFETY: the slice is readable for its length.
            let written = unsafe { libc::write(2, rest.as_ptr().cast(), rest.len()) };
            match usize::try_from(written) {
                Ok(0) => return,
                Ok(written) => rest = &rest[written..],
                // SAFETY: errno is the thread's own.
                Err(_) if unsafe { *libc::__errno_location() } == libc::EINTR => {}
                Err(_) => return,
            }
        }
    }
}

impl Write for Message {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // The last byte is kept for the end of the line.
        let room = Message::CAPACITY - 1 - self.len;
        let taken = text.len().min(room);
        self.bytes[self.len..self.len + taken].copy_from_slice(&text.as_bytes()[..taken]);
        self.len += taken;
        Ok(())
    }
}

/// The actions there were before ours, for `SIGSEGV` and `SIGBUS`.
static PREVIOUS: [Previous; 2] = [const { Previous::new() }; 2];

struct Previous {
    action: UnsafeCell<MaybeUninit<libc::sigaction>>,
    known: AtomicBool,
}

// SAFETY: written once, under `install`'s `Once`, before `known` is set with release; read
// only after an acquiring load has seen it.
unsafe impl Sync for Previous {}

impl Previous {
    const fn new() -> Previous {
        Previous {
            action: UnsafeCell::new(MaybeUninit::uninit()),
            known: AtomicBool::new(false),
        }
    }

    fn of(signal: c_int) -> &'static Previous {
        &PREVIOUS[usize::from(signal == libc::SIGBUS)]
    }

    fn action(&self) -> Option<&libc::sigaction> {
        self.known.load(Ordering::Acquire).then(|| {
            // SAFETY: see the `Sync` claim above.
            unsafe { (*self.action.get()).assume_init_ref() }
        })
    }
}

/// Installs the handler for the whole process, once; later calls do nothing.
pub fn install() {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        for signal in [libc::SIGSEGV, libc::SIGBUS] {
            install_for(signal);
        }
    });
}

fn install_for(signal: c_int) {
    let previous = Previous::of(signal);
    // SAFETY: a zeroed action is a valid one; both pointers are valid or null. The handler
    // has the signature that SA_SIGINFO asks for. The cell is written here only, before
    // `known` lets anyone read it.
    unsafe {
        // Asked for first, so that the handler finds it from its first moment on.
        let mut before: libc::sigaction = mem::zeroed();
        libc::sigaction(signal, ptr::null(), &mut before);
        (*previous.action.get()).write(before);
        previous.known.store(true, Ordering::Release);

        let mut ours: libc::sigaction = mem::zeroed();
        ours.sa_sigaction = on_fault as *const () as usize;
        ours.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigemptyset(&mut ours.sa_mask);
        let result = libc::sigaction(signal, &ours, ptr::null_mut());
        assert_eq!(result, 0, "SIGSEGV and SIGBUS can be handled");
    }
}

/// The handler. See the table in the opening of this module.
extern "C" fn on_fault(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: errno is the thread's own.
    let errno = unsafe { *libc::__errno_location() };
    // SAFETY: the kernel gives a handler with SA_SIGINFO valid pointers.
    let (code, address) = unsafe { ((*info).si_code, (*info).si_addr().addr()) };
    // Positive codes are the kernel's own; only then is there an address.
    if code > 0
        && let Some((slot, class)) = slab::find(address)
        && address - slot.addr().get() < GUARD_BYTES
    {
        // SAFETY: as above.
        let sp = unsafe { stack_pointer(context) };
        let range = slot.addr().get()..=top_of(slot, class).addr().get();
        if sp.is_none_or(|sp| range.contains(&sp)) {
            report(header_of(slot, class), class.usable_bytes());
            // SAFETY: never returns, and needs nothing.
            unsafe { libc::abort() };
        }
        report_stray(address);
    }
    // SAFETY: the arguments are the kernel's.
    unsafe { hand_on(signal, info, context) };
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = errno };
}

#[cold]
fn report(header: NonNull<u8>, usable_bytes: usize) {
    let mut message = Message::new();
    let _ = message.write_str("\nropewalk: ");
    let start = message.len;
    let describe = DESCRIBE.load(Ordering::Acquire);
    if !describe.is_null() {
        // SAFETY: only `describe_with` stores here, and it takes a `Describe`.
        let describe = unsafe { mem::transmute::<*mut (), Describe>(describe) };
        describe(header.as_ptr(), &mut message);
    }
    if message.len == start {
        let _ = message.write_str("a coroutine");
    }
    let _ = writeln!(
        message,
        " has overflowed its stack of {} KiB. Raise it with \
         coroutine::Builder::stack_size(...) or RuntimeBuilder::stack_size(...), or move large \
         values to the heap.",
        usable_bytes >> 10
    );
    message.bytes[message.len] = b'\n';
    message.emit();
}

#[cold]
fn report_stray(address: usize) {
    let mut message = Message::new();
    let _ = writeln!(
        message,
        "\nropewalk: the address {address:#x} lies in the guard below a coroutine's stack, but \
         the thread that used it ran elsewhere: a stray pointer, or a frame of foreign code \
         larger than the guard."
    );
    message.emit();
}

/// Does what would have been done had we not been here.
///
/// # Safety
///
/// The arguments are those the kernel gave the handler.
unsafe fn hand_on(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let action = Previous::of(signal).action();
    let handler = action.map_or(libc::SIG_DFL, |action| action.sa_sigaction);
    // SAFETY: as above.
    let raised_by_kernel = unsafe { (*info).si_code } > 0;
    match handler {
        libc::SIG_IGN if !raised_by_kernel => {}
        // A fault can't be ignored: the kernel takes the default action for it.
        libc::SIG_DFL | libc::SIG_IGN => {
            // SAFETY: the default action is a valid one.
            unsafe {
                let mut default: libc::sigaction = mem::zeroed();
                default.sa_sigaction = libc::SIG_DFL;
                libc::sigaction(signal, &default, ptr::null_mut());
            }
            // A fault comes again by itself when we return; a signal sent has to be sent
            // again, and is delivered then.
            if !raised_by_kernel {
                // SAFETY: no pointers.
                unsafe { libc::raise(signal) };
            }
        }
        function => {
            let flags = action.map_or(0, |action| action.sa_flags);
            if flags & libc::SA_SIGINFO != 0 {
                type WithInfo = unsafe extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);
                // SAFETY: an action with SA_SIGINFO holds a function of this type, which
                // expects the kernel's arguments.
                unsafe { mem::transmute::<usize, WithInfo>(function)(signal, info, context) };
            } else {
                type Plain = unsafe extern "C" fn(c_int);
                // SAFETY: an action without it holds a function of this type.
                unsafe { mem::transmute::<usize, Plain>(function)(signal) };
            }
        }
    }
}

/// The stack pointer at the fault, where we know how the architecture saves it.
///
/// # Safety
///
/// `context` is the third argument of a handler with SA_SIGINFO.
unsafe fn stack_pointer(context: *mut c_void) -> Option<usize> {
    let context = context.cast::<libc::ucontext_t>();
    // SAFETY: by the contract above.
    let machine = unsafe { &(*context).uc_mcontext };
    #[cfg(target_arch = "x86_64")]
    return Some(machine.gregs[libc::REG_RSP as usize] as usize);
    #[cfg(target_arch = "aarch64")]
    return Some(machine.sp as usize);
    #[cfg(target_arch = "riscv64")]
    return Some(machine.__gregs[libc::REG_SP] as usize);
    #[cfg(not(any(
        target_arch = "x86_64",
        target_arch = "aarch64",
        target_arch = "riscv64"
    )))]
    {
        let _ = machine;
        None
    }
}

/// The alternate signal stack of a thread; restores the one before when dropped.
///
/// Belongs to the thread that made it:
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<ropewalk_kernel::stack::overflow::AltStack>();
/// ```
#[must_use = "the alternate stack is taken away again when this is dropped"]
pub struct AltStack {
    /// What was mapped: a guard page, then the stack. `None` if nothing could be.
    mapping: Option<(NonNull<u8>, usize)>,
    previous: libc::stack_t,
    _not_send: PhantomData<*const ()>,
}

/// Room for the report, beside what the kernel saves of the registers.
const ALT_STACK_BYTES: usize = 64 << 10;

/// Gives the calling thread an alternate signal stack of at least 64 KiB with a guard page.
///
/// If the system has no memory for it the thread keeps the one it has: std gives its threads
/// a small one.
pub fn install_thread() -> AltStack {
    // SAFETY: zeroes are a valid `stack_t`; a null new stack only asks.
    let mut previous: libc::stack_t = unsafe { mem::zeroed() };
    // SAFETY: as above.
    unsafe { libc::sigaltstack(ptr::null(), &mut previous) };
    let mut alt = AltStack {
        mapping: None,
        previous,
        _not_send: PhantomData,
    };
    // SAFETY: no pointers. 0 where the kernel doesn't say.
    let frame_bytes = unsafe { libc::getauxval(libc::AT_MINSIGSTKSZ) } as usize;
    let page = memory::page_bytes();
    let bytes = (ALT_STACK_BYTES + frame_bytes).next_multiple_of(page) + page;
    let flags = libc::MAP_NORESERVE | libc::MAP_STACK;
    // SAFETY: fresh memory at an address of the kernel's choice touches nothing.
    let mapped = unsafe { (sys::table().mmap)(bytes, libc::PROT_READ | libc::PROT_WRITE, flags) };
    let Ok(Some(start)) = mapped.map(NonNull::new) else {
        return alt;
    };
    alt.mapping = Some((start, bytes));
    // SAFETY: the first page of our own mapping.
    let _ = unsafe { memory::guard_by_protection(start, page) };
    let ours = libc::stack_t {
        // SAFETY: inside the mapping.
        ss_sp: unsafe { start.add(page) }.as_ptr().cast(),
        ss_flags: 0,
        ss_size: bytes - page,
    };
    // SAFETY: the stack stays mapped until it is taken away again.
    let result = unsafe { libc::sigaltstack(&ours, ptr::null_mut()) };
    assert_eq!(
        result, 0,
        "a thread outside a signal handler can change its alternate stack"
    );
    alt
}

impl Drop for AltStack {
    fn drop(&mut self) {
        let Some((start, bytes)) = self.mapping else {
            return;
        };
        // SAFETY: as in `install_thread`, on the same thread (the type is not `Send`).
        unsafe {
            let mut current: libc::stack_t = mem::zeroed();
            libc::sigaltstack(ptr::null(), &mut current);
            let page = memory::page_bytes();
            if current.ss_sp.addr() != start.addr().get() + page {
                // Someone put theirs in place of ours and may put ours back: leave it.
                return;
            }
            libc::sigaltstack(&self.previous, ptr::null_mut());
            memory::unmap(start, bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::super::testing::*;
    use super::super::{DEFAULT_BYTES, Stack};
    use super::*;

    fn describe_for_tests(header: *const u8, out: &mut Message) {
        // SAFETY: the tests write an id there.
        let id = unsafe { header.cast::<u64>().read() };
        let _ = write!(
            out,
            "coroutine 'crunch' (id {id}, spawned at src/main.rs:10:5)"
        );
    }

    fn overflow_on(stack: Stack) {
        run_on(stack, || recurse(u64::MAX));
    }

    #[test]
    fn an_overflow_names_the_coroutine_and_the_remedy() {
        let output = in_child(
            module_path!(),
            "an_overflow_names_the_coroutine_and_the_remedy",
            || {
                install();
                describe_with(describe_for_tests);
                std::thread::spawn(|| {
                    let _alt = install_thread();
                    let stack = Stack::new(200 << 10).unwrap();
                    // SAFETY: the header is 64-byte aligned and ours.
                    unsafe { stack.header_ptr().cast::<u64>().write(42) };
                    overflow_on(stack);
                })
                .join()
                .unwrap();
            },
        );
        assert_eq!(
            output.status.signal(),
            Some(libc::SIGABRT),
            "{}",
            stderr(&output)
        );
        let expected = "ropewalk: coroutine 'crunch' (id 42, spawned at src/main.rs:10:5) has \
                        overflowed its stack of 448 KiB. Raise it with \
                        coroutine::Builder::stack_size(...) or \
                        RuntimeBuilder::stack_size(...), or move large values to the heap.\n";
        assert!(stderr(&output).contains(expected), "{}", stderr(&output));
    }

    #[test]
    fn one_large_frame_is_an_overflow_too() {
        #[inline(never)]
        fn large() -> u8 {
            let mut frame = [1u8; DEFAULT_BYTES + (32 << 10)];
            std::hint::black_box(&mut frame)[7]
        }
        let output = in_child(module_path!(), "one_large_frame_is_an_overflow_too", || {
            install();
            let _alt = install_thread();
            run_on(Stack::new(DEFAULT_BYTES).unwrap(), || {
                std::hint::black_box(large());
            });
        });
        assert_eq!(
            output.status.signal(),
            Some(libc::SIGABRT),
            "{}",
            stderr(&output)
        );
        let expected = format!(
            "a coroutine has overflowed its stack of {} KiB",
            DEFAULT_BYTES >> 10
        );
        assert!(stderr(&output).contains(&expected), "{}", stderr(&output));
    }

    #[test]
    fn other_faults_die_as_before() {
        let output = in_child(module_path!(), "other_faults_die_as_before", || {
            install();
            let _alt = install_thread();
            drop(Stack::new(0).unwrap());
            // SAFETY: none; this is the fault that is wanted.
            unsafe { ptr::without_provenance_mut::<u8>(16).write_volatile(1) };
        });
        assert_eq!(output.status.signal(), Some(libc::SIGSEGV));
        assert!(!stderr(&output).contains("ropewalk"), "{}", stderr(&output));
    }

    #[test]
    fn faults_on_a_coroutines_stack_elsewhere_die_as_before() {
        let output = in_child(
            module_path!(),
            "faults_on_a_coroutines_stack_elsewhere_die_as_before",
            || {
                install();
                let _alt = install_thread();
                run_on(Stack::new(0).unwrap(), || {
                    // SAFETY: as above.
                    unsafe { ptr::without_provenance_mut::<u8>(16).write_volatile(1) };
                });
            },
        );
        assert_eq!(output.status.signal(), Some(libc::SIGSEGV));
        assert!(!stderr(&output).contains("ropewalk"), "{}", stderr(&output));
    }

    #[test]
    fn a_signal_sent_from_outside_kills_as_before() {
        let output = in_child(
            module_path!(),
            "a_signal_sent_from_outside_kills_as_before",
            || {
                // Not std's handler, which only forgets itself the first time.
                // SAFETY: no pointers.
                unsafe { libc::signal(libc::SIGSEGV, libc::SIG_DFL) };
                install();
                // SAFETY: no pointers.
                unsafe { libc::raise(libc::SIGSEGV) };
            },
        );
        assert_eq!(output.status.signal(), Some(libc::SIGSEGV));
        assert!(!stderr(&output).contains("ropewalk"), "{}", stderr(&output));
    }

    #[test]
    fn stray_pointers_into_a_guard_are_not_called_an_overflow() {
        let output = in_child(
            module_path!(),
            "stray_pointers_into_a_guard_are_not_called_an_overflow",
            || {
                install();
                let _alt = install_thread();
                let stack = Stack::new(0).unwrap();
                // SAFETY: none; this is the fault that is wanted.
                unsafe { stack.slot_base().add(100).write_volatile(1) };
            },
        );
        assert_eq!(output.status.signal(), Some(libc::SIGSEGV));
        let said = stderr(&output);
        assert!(
            said.contains("a stray pointer") && !said.contains("overflowed"),
            "{said}"
        );
    }

    #[test]
    fn std_still_reports_overflows_of_threads() {
        let output = in_child(
            module_path!(),
            "std_still_reports_overflows_of_threads",
            || {
                install();
                let thread = std::thread::Builder::new().name("deep".into());
                thread
                    .spawn(|| {
                        let _alt = install_thread();
                        recurse(u64::MAX)
                    })
                    .unwrap()
                    .join()
                    .unwrap();
            },
        );
        assert_eq!(output.status.signal(), Some(libc::SIGABRT));
        let said = stderr(&output);
        assert!(
            said.contains("thread 'deep'") && said.contains("overflowed its stack"),
            "{said}"
        );
        assert!(!said.contains("ropewalk: "), "{said}");
    }

    const FAULT_AT: usize = 0x1230;

    unsafe extern "C" fn earlier_with_info(
        signal: c_int,
        info: *mut libc::siginfo_t,
        context: *mut c_void,
    ) {
        // SAFETY: the arguments are the kernel's; `_exit` is async-signal-safe.
        unsafe {
            let same = signal == libc::SIGSEGV
                && (*info).si_addr().addr() == FAULT_AT
                && stack_pointer(context).is_none_or(|sp| sp != 0);
            libc::_exit(if same { 40 } else { 41 });
        }
    }

    unsafe extern "C" fn earlier_plain(signal: c_int) {
        // SAFETY: async-signal-safe.
        unsafe { libc::_exit(if signal == libc::SIGSEGV { 50 } else { 51 }) };
    }

    /// Makes `handler` the action before ours, then faults.
    fn fault_after(handler: usize, flags: c_int) {
        // SAFETY: a zeroed action is valid; the tests pass functions that fit the flags.
        unsafe {
            let mut action: libc::sigaction = mem::zeroed();
            action.sa_sigaction = handler;
            action.sa_flags = flags;
            assert_eq!(libc::sigaction(libc::SIGSEGV, &action, ptr::null_mut()), 0);
        }
        install();
        // SAFETY: none; this is the fault that is wanted.
        unsafe { ptr::without_provenance_mut::<u8>(FAULT_AT).write_volatile(1) };
    }

    #[test]
    fn an_earlier_handler_gets_what_is_not_ours() {
        let output = in_child(
            module_path!(),
            "an_earlier_handler_gets_what_is_not_ours",
            || {
                fault_after(earlier_with_info as *const () as usize, libc::SA_SIGINFO);
            },
        );
        assert_eq!(output.status.code(), Some(40), "{}", stderr(&output));
    }

    #[test]
    fn an_earlier_handler_without_siginfo_gets_the_signal() {
        let output = in_child(
            module_path!(),
            "an_earlier_handler_without_siginfo_gets_the_signal",
            || fault_after(earlier_plain as *const () as usize, 0),
        );
        assert_eq!(output.status.code(), Some(50), "{}", stderr(&output));
    }

    #[test]
    fn an_ignored_fault_kills_and_an_ignored_signal_does_not() {
        let output = in_child(
            module_path!(),
            "an_ignored_fault_kills_and_an_ignored_signal_does_not",
            || {
                // SAFETY: no pointers.
                unsafe { libc::signal(libc::SIGSEGV, libc::SIG_IGN) };
                install();
                // SAFETY: as above.
                unsafe { libc::raise(libc::SIGSEGV) };
                eprintln!("survived the signal");
                // SAFETY: none; this is the fault that is wanted.
                unsafe { ptr::without_provenance_mut::<u8>(FAULT_AT).write_volatile(1) };
            },
        );
        assert_eq!(output.status.signal(), Some(libc::SIGSEGV));
        assert!(stderr(&output).contains("survived the signal"));
    }

    #[test]
    fn a_thread_gets_its_alternate_stack_back() {
        fn current() -> (usize, usize) {
            // SAFETY: zeroes are a valid `stack_t`; a null new stack only asks.
            unsafe {
                let mut stack: libc::stack_t = mem::zeroed();
                assert_eq!(libc::sigaltstack(ptr::null(), &mut stack), 0);
                (stack.ss_sp.addr(), stack.ss_size)
            }
        }
        std::thread::spawn(|| {
            let before = current();
            let outer = install_thread();
            let ours = current();
            assert_ne!(ours.0, before.0);
            assert!(ours.1 >= ALT_STACK_BYTES);
            let inner = install_thread();
            assert_ne!(current(), ours);
            drop(inner);
            assert_eq!(current(), ours);
            drop(outer);
            assert_eq!(current(), before);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn a_message_too_long_is_cut_off() {
        let mut message = Message::new();
        for _ in 0..200 {
            write!(message, "{} and ", 12345).unwrap();
        }
        assert_eq!(message.len, Message::CAPACITY - 1);
        assert!(message.bytes.starts_with(b"12345 and 12345"));
    }
}
