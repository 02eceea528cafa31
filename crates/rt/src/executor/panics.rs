//! Panics as something that can travel: what was said, where, and the stack.
//!
//! The payload of a panic doesn't have its place, only the panic hook sees that. So a hook is put
//! in front of the one that is there, once, which notes it for the task that [`catch`] is called
//! in.

use std::any::Any;
use std::backtrace::Backtrace;
use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::{Once, OnceLock};
use std::{env, process, thread};

use ropewalk_kernel::wait::mark_panic_hook;

use crate::{RemotePanic, coroutine_local};

coroutine_local! {
    static NOTED: RefCell<Option<Noted>> = const { RefCell::new(None) };
}

/// What the hook saw of the last panic.
#[derive(Default)]
struct Noted {
    location: Option<String>,
    backtrace: Option<String>,
}

/// Calls `f`, and gives its panic, if it does, as another process can be told of it. The panic
/// hook is called as ever.
///
/// # Errors
///
/// The panic.
pub fn catch<R>(f: impl FnOnce() -> R) -> Result<R, RemotePanic> {
    install_hook();
    let outer = NOTED.replace(Some(Noted::default()));
    let result = catch_unwind(AssertUnwindSafe(f));
    let noted = NOTED.replace(outer).unwrap_or_default();
    result.map_err(|payload| RemotePanic {
        message: message_of(payload.as_ref()),
        location: noted.location,
        backtrace: noted.backtrace,
        pid: process::id(),
    })
}

fn install_hook() {
    static HOOK: Once = Once::new();
    // Hooks can't be set by a thread that panics, `take_hook` would panic in the midst of that: it
    // is the next call that does it.
    if !HOOK.is_completed() && thread::panicking() {
        return;
    }
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            note(info);
            before(info);
        }));
    });
}

fn note(info: &PanicHookInfo<'_>) {
    // In the middle of the end of a task, or of `NOTED` itself, there is nowhere to put it.
    let _ = NOTED.try_with(|noted| {
        let Ok(mut noted) = noted.try_borrow_mut() else {
            return;
        };
        let Some(noted) = noted.as_mut() else {
            return;
        };
        noted.location = info.location().map(ToString::to_string);
        noted.backtrace = mark_panic_hook(|| {
            let wanted = wants_backtrace();
            wanted.then(|| Backtrace::force_capture().to_string())
        });
    });
}

/// Whether the stack is looked at. Who gets the panic can't do it any more, and may be on another
/// machine's screen: so it is, unless the variables that `std` goes by forbid it.
fn wants_backtrace() -> bool {
    static WANTED: OnceLock<bool> = OnceLock::new();
    *WANTED.get_or_init(|| {
        let of_libraries = env::var_os("RUST_LIB_BACKTRACE");
        let said = of_libraries.or_else(|| env::var_os("RUST_BACKTRACE"));
        said.is_none_or(|said| said != "0")
    })
}

fn message_of(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a value that is no text")
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_tells_what_and_where() {
        assert_eq!(catch(|| 7).unwrap(), 7);
        let line = line!() + 1;
        let panic = catch(|| panic!("number {}", 5)).unwrap_err();
        assert_eq!(panic.message, "number 5");
        let location = panic.location.unwrap();
        assert!(
            location.contains(&format!("panics.rs:{line}")),
            "{location}"
        );
        assert_eq!(panic.pid, process::id());
    }

    #[test]
    fn each_catch_has_its_own_panic() {
        let panic = catch(|| {
            let inner = catch(|| panic!("inner")).unwrap_err();
            assert_eq!(inner.message, "inner");
            panic::panic_any(3)
        });
        let panic: RemotePanic = panic.unwrap_err();
        assert_eq!(panic.message, "a value that is no text");
    }
}
