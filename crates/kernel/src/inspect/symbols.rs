//! From return addresses to names: each address is looked up once in the life of the process.
//!
//! Reading the debug information needs a deep stack: on a thread, not in a coroutine.

use std::collections::HashMap;
use std::ffi::c_void;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::wait::in_coroutine;
use crate::watcher;

/// One function on a stack. Inlined ones count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its name, without the hash; `?` if there is no symbol.
    pub function: Arc<str>,
    /// The file of the call.
    pub file: Option<Arc<str>>,
    /// The line of the call.
    pub line: Option<u32>,
}

/// A stack for people: without the runtime's own innermost frames, and without those below the
/// task's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folded {
    /// The frames, innermost first.
    pub frames: Vec<Frame>,
    /// How many of the runtime's were left out.
    pub folded: usize,
}

/// Names the frames of a stack.
pub fn resolve(pcs: &[usize]) -> Folded {
    if in_coroutine() {
        let look_up = || std::thread::scope(|s| s.spawn(|| fold(&named(pcs))).join());
        let found = watcher::excuse(look_up);
        return found.unwrap_or_default();
    }
    fold(&named(pcs))
}

/// A stack as lines of text.
pub(crate) fn describe(pcs: &[usize]) -> String {
    let mut text = String::new();
    for frame in resolve(pcs).frames {
        let _ = writeln!(text, "      {}", frame.function);
        if let Some(file) = frame.file {
            let _ = writeln!(text, "        at {file}:{}", frame.line.unwrap_or(0));
        }
    }
    text
}

/// Gives back the memory of what was read of the debug information; names stay known.
pub fn forget() {
    backtrace::clear_symbol_cache();
}

fn named(pcs: &[usize]) -> Vec<Frame> {
    static KNOWN: OnceLock<Mutex<HashMap<usize, Arc<[Frame]>>>> = OnceLock::new();
    let known = KNOWN.get_or_init(Mutex::default);
    let mut frames = Vec::new();
    for &pc in pcs {
        let found = known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&pc)
            .cloned();
        let found = found.unwrap_or_else(|| {
            let fresh = look_up(pc);
            known
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(pc, Arc::clone(&fresh));
            fresh
        });
        frames.extend(found.iter().cloned());
    }
    frames
}

fn look_up(pc: usize) -> Arc<[Frame]> {
    let mut frames = Vec::new();
    backtrace::resolve(pc as *mut c_void, |symbol| {
        let function = match symbol.name() {
            Some(name) => format!("{name:#}").into(),
            None => "?".into(),
        };
        frames.push(Frame {
            function,
            file: symbol.filename().map(|file| file.to_string_lossy().into()),
            line: symbol.lineno(),
        });
    });
    if frames.is_empty() {
        frames.push(Frame {
            function: "?".into(),
            file: None,
            line: None,
        });
    }
    frames.into()
}

fn fold(frames: &[Frame]) -> Folded {
    const INNER: [&str; 6] = [
        "std::",
        "core::",
        "alloc::",
        "ropewalk_kernel::",
        "ropewalk_rt::",
        "lock_api::",
    ];
    const OUTER: [&str; 4] = [
        "std::panicking",
        "std::panic::catch_unwind",
        "__rust_try",
        "do_call<",
    ];
    const CALL: [&str; 2] = ["core::ops::function::", "core::panic::unwind_safe::"];
    let starts =
        |frame: &Frame, with: &[&str]| with.iter().any(|prefix| is_of(&frame.function, prefix));
    let inside = |frame: &Frame| starts(frame, &INNER) || is_inlined_runtime(frame);
    // Who asks about itself has the asking on its stack.
    let asking = |frame: &Frame| {
        ["locks::", "probe::", "inspect::"].iter().any(|module| {
            frame
                .function
                .strip_prefix("ropewalk_kernel::")
                .is_some_and(|rest| rest.starts_with(module))
        })
    };
    let end = frames.iter().position(|frame| starts(frame, &OUTER));
    let mut own = &frames[..end.unwrap_or(frames.len())];
    let calls = |frame: &Frame| {
        starts(frame, &CALL)
            || frame.function.starts_with("call_once<") && is_inlined_runtime(frame)
    };
    while own.last().is_some_and(calls) {
        own = &own[..own.len() - 1];
    }
    let asked = own.iter().rposition(asking).map_or(0, |last| last + 1);
    let inner = own[asked..].iter().take_while(|frame| inside(frame));
    let folded = asked + inner.count();
    if folded == own.len() {
        // All the runtime's: then that is what there is to see.
        return Folded {
            frames: own.to_vec(),
            folded: 0,
        };
    }
    Folded {
        frames: own[folded..].to_vec(),
        folded,
    }
}

/// Says whether a function's path, or that of the type it is implemented for, begins so.
fn is_of(function: &str, prefix: &str) -> bool {
    function
        .trim_start_matches(['<', '&', '*'])
        .starts_with(prefix)
}

/// Says whether it is an inlined function of the runtime, of what it is built on, or of std: debug
/// information gives those without their paths, but with their files.
fn is_inlined_runtime(frame: &Frame) -> bool {
    static SOURCES: OnceLock<[String; 3]> = OnceLock::new();
    /// In a registry, and in an installed standard library.
    const WITHIN: [&str; 2] = ["/lock_api-", "/rustlib/src/rust/library/"];
    let path = frame.function.split('<').next().unwrap_or_default();
    let Some(file) = frame.file.as_deref().filter(|_| !path.contains("::")) else {
        return false;
    };
    let sources = SOURCES.get_or_init(|| {
        let here = env!("CARGO_MANIFEST_DIR");
        // Beside it, in the repository and in a registry.
        let rt = match here.strip_suffix("/kernel") {
            Some(crates) => format!("{crates}/rt"),
            None => here.replace("ropewalk-kernel", "ropewalk-rt"),
        };
        [
            format!("{here}/src/"),
            format!("{rt}/src/"),
            "/rustc/".into(),
        ]
    });
    sources.iter().any(|source| file.starts_with(&**source))
        || WITHIN.iter().any(|part| file.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(of: &[(&str, &str)]) -> Vec<Frame> {
        let frame = |&(function, file): &(&str, &str)| Frame {
            function: function.into(),
            file: (!file.is_empty()).then(|| file.into()),
            line: Some(1),
        };
        of.iter().map(frame).collect()
    }

    fn folded(of: &[(&str, &str)]) -> (Vec<String>, usize) {
        let folded = fold(&frames(of));
        let names = folded.frames.iter().map(|frame| frame.function.to_string());
        (names.collect(), folded.folded)
    }

    const OUTSIDE: [(&str, &str); 3] = [
        (
            "call_once<(), app::{closure_env#0}>",
            "/rustc/0/library/core/src/panic/unwind_safe.rs",
        ),
        (
            "do_call<app::{closure_env#0}, ()>",
            "/rustc/0/library/std/src/panicking.rs",
        ),
        ("ropewalk_kernel::task::Typed<F,T>::run", ""),
    ];

    #[test]
    fn the_runtimes_own_frames_are_left_out() {
        let mut stack = vec![
            ("ropewalk_kernel::worker::Worker::walk_own", ""),
            (
                "park",
                concat!(env!("CARGO_MANIFEST_DIR"), "/src/worker/mod.rs"),
            ),
            (
                "<ropewalk_rt::sync::mutex::RawMutex as lock_api::mutex::RawMutex>::lock",
                "",
            ),
            (
                "lock<ropewalk_rt::sync::mutex::RawMutex, u32>",
                "/registry/lock_api-0.4.14/src/mutex.rs",
            ),
            ("{closure#0}", "/home/app/src/main.rs"),
            ("core::iter::Iterator::for_each", ""),
            ("app::main::{{closure}}", "/home/app/src/main.rs"),
        ];
        stack.extend(OUTSIDE);
        let own = [
            "{closure#0}",
            "core::iter::Iterator::for_each",
            "app::main::{{closure}}",
        ];
        assert_eq!(folded(&stack), (own.map(String::from).to_vec(), 4));
    }

    #[test]
    fn who_asks_about_itself_does_not_see_the_asking() {
        let mut stack = vec![
            ("ropewalk_kernel::inspect::walk::walk_thread", ""),
            ("some_crate::map", ""),
            ("ropewalk_kernel::locks::want_slow", ""),
            ("app::work", ""),
        ];
        stack.extend(OUTSIDE);
        assert_eq!(folded(&stack), (vec!["app::work".into()], 3));
    }

    #[test]
    fn a_stack_of_the_runtime_alone_is_shown() {
        let stack = [("ropewalk_rt::a", ""), ("ropewalk_kernel::b", "")];
        let own = ["ropewalk_rt::a", "ropewalk_kernel::b"].map(String::from);
        assert_eq!(folded(&stack), (own.to_vec(), 0));
        assert_eq!(folded(&[]), (vec![], 0));
    }
}
