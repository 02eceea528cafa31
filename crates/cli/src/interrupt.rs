//! Ctrl-C, SIGTERM and a terminal that goes (SIGHUP): the first asks the command to finish, the second
//! ends the process at once.
//!
//! A thread of its own waits for signals, so neither a busy worker nor a blocked output can keep the
//! second one from working.

use std::fs;
use std::io;
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Calls `first` with the signal's number on the first signal that asks for the end, and ends the
/// process with [`exit_code`] on the second.
///
/// # Errors
/// When the handler can't be installed or its thread can't be started.
pub(crate) fn watch(first: impl FnOnce(i32) + Send + 'static) -> io::Result<()> {
    let mut first = Some(first);
    watch_all(&[], move |signal| match first.take() {
        Some(first) => first(signal),
        None => signal_hook::low_level::exit(i32::from(exit_code(signal))),
    })
}

/// Calls `each` with the signal's number on each SIGINT, SIGTERM, and SIGHUP unless `nohup` has it
/// ignored; and on each of the signals `besides`.
///
/// # Errors
/// As [`watch`].
pub(crate) fn watch_all(
    besides: &[i32],
    mut each: impl FnMut(i32) + Send + 'static,
) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    if !is_ignored(SIGHUP) {
        signals.add_signal(SIGHUP)?;
    }
    for &signal in besides {
        signals.add_signal(signal)?;
    }
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || signals.forever().for_each(&mut each))?;
    Ok(())
}

/// Says whether a signal is ignored, by the kernel's account; if that can't be had, it is not.
fn is_ignored(signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

/// Returns the exit code shells expect of a program ended by `signal`: 130 for Ctrl-C.
pub(crate) fn exit_code(signal: i32) -> u8 {
    u8::try_from(128 + signal).unwrap_or(u8::MAX)
}

/// Returns the usual name of a signal watched here.
pub(crate) fn name(signal: i32) -> &'static str {
    signal_hook::low_level::signal_name(signal).unwrap_or("unknown")
}
