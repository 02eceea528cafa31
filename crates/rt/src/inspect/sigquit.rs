//! A dump on standard error for each SIGQUIT, as other runtimes give it.

use std::io::{self, Write as _};
use std::sync::{Mutex, PoisonError};

use ropewalk_kernel::runtime::OwnThread;
use signal_hook::consts::SIGQUIT;
use signal_hook::iterator::Signals;

use super::dump;

/// Has each SIGQUIT (`kill -QUIT pid`, or Ctrl-\ in the terminal) write a dump to standard error;
/// the process goes on. For the rest of its life; later calls do nothing.
///
/// A thread waits for the signal. Signals that come while it writes are one.
///
/// # Errors
///
/// The system's, if it has no pipe or thread for it, or refuses the handler.
///
/// # Examples
///
/// ```
/// ropewalk_rt::inspect::on_sigquit()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn on_sigquit() -> io::Result<()> {
    static IS_ON: Mutex<bool> = Mutex::new(false);
    let mut is_on = IS_ON.lock().unwrap_or_else(PoisonError::into_inner);
    if *is_on {
        return Ok(());
    }
    let mut signals = Signals::new([SIGQUIT])?;
    std::thread::Builder::new()
        .name("ropewalk-sigquit".into())
        .spawn(move || {
            let _counted = OwnThread::new();
            for _ in &mut signals {
                let text = dump().to_string();
                // In one piece, if it can be; without an error stream there is nobody to tell.
                let _ = io::stderr().lock().write_all(text.as_bytes());
            }
        })?;
    *is_on = true;
    Ok(())
}
