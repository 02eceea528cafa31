//! A Unix socket that serves [`dump`](super::dump()) and [`metrics`](super::metrics()), for
//! `ropewalk top` and scripts.
//!
//! It is served by plain threads that wait for nothing in the runtime but the dump itself, which
//! has bounded patience: it answers when all workers compute or are deadlocked, too. A descriptor
//! is kept aside, so that it also answers when the process has run out of them.
//!
//! The threads count as the runtime's own: that somebody may look doesn't keep a program whose
//! coroutines are all asleep for ever from being ended with a report.

mod clients;
mod place;

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError, TryLockError, Weak};
use std::thread;
use std::time::Duration;

use ropewalk_kernel::runtime::{self, OwnThread};
use socket2::SockRef;

use clients::Clients;

/// How long to wait before the next try when accepting fails.
const PAUSE: Duration = Duration::from_millis(100);

/// The server of this process, if there is one.
static CURRENT: Mutex<Weak<Running>> = Mutex::new(Weak::new());

/// Serves [`dump`](super::dump()) and [`metrics`](super::metrics()) on a Unix socket until the
/// returned value, and every other one of this process, has been dropped.
///
/// The environment variable `ROPEWALK_INSPECT=1` does the same for the life of the process, when
/// its first runtime starts; so does [`RuntimeBuilder::inspect`](crate::RuntimeBuilder::inspect).
///
/// The socket is `$XDG_RUNTIME_DIR/ropewalk/<pid>.sock`; without a usable folder in that variable,
/// `/tmp/ropewalk-<uid>/<pid>.sock`. Only processes of the same effective user may connect. They
/// see names, places in the source and addresses, but no data of the program.
///
/// A request is one of the lines `dump text`, `dump json`, `dump json 20` (with no more than 20 of
/// each group's tasks), `metrics json`, `metrics prometheus` and `ping`. The answer is a line `ok <bytes>` and as many bytes, or a line `error <text>`.
///
/// # Errors
///
/// `PermissionDenied` if the folder is open to others or not ours, `AddrInUse` if somebody
/// listens there, what making a folder, a socket and a thread gives.
///
/// # Examples
///
/// ```
/// let server = ropewalk_rt::inspect::serve()?;
/// println!("ropewalk top {}  # {}", std::process::id(), server.path().display());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn serve() -> io::Result<Server> {
    let mut current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
    // In a forked child, the parent's server is not ours.
    let running = current
        .upgrade()
        .filter(|running| running.pid == std::process::id());
    let running = match running {
        Some(running) => running,
        None => {
            let running = Arc::new(Running::start()?);
            *current = Arc::downgrade(&running);
            running
        }
    };
    Ok(Server { running })
}

/// Keeps the socket of [`serve`] open.
#[must_use = "the socket is closed when this is dropped"]
pub struct Server {
    running: Arc<Running>,
}

impl Server {
    /// Returns where the socket is.
    pub fn path(&self) -> &Path {
        &self.running.path
    }

    /// Keeps the socket open until the process ends.
    pub fn keep(self) {
        std::mem::forget(self);
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("path", &self.path())
            .finish()
    }
}

/// A listening socket, its thread and its clients.
struct Running {
    path: PathBuf,
    /// The process that listens: a fork must not take its socket away.
    pid: u32,
    listener: Arc<UnixListener>,
    stopping: Arc<AtomicBool>,
    clients: Arc<Clients>,
}

impl Running {
    fn start() -> io::Result<Running> {
        let (listener, path) = place::listen(&place::folder()?)?;
        let running = Running {
            path,
            pid: std::process::id(),
            listener: Arc::new(listener),
            stopping: Arc::default(),
            clients: Arc::default(),
        };
        remove_at_exit();
        let listener = Arc::clone(&running.listener);
        let stopping = Arc::clone(&running.stopping);
        let clients = Arc::clone(&running.clients);
        thread::Builder::new()
            .name("inspect".to_owned())
            .spawn(move || {
                let _own = OwnThread::new();
                accept(&listener, &stopping, &clients);
            })?;
        Ok(running)
    }

    fn remove_socket(&self) {
        if self.pid == std::process::id() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.pid != std::process::id() {
            return;
        }
        self.remove_socket();
        self.stopping.store(true, Ordering::SeqCst);
        // Ends the thread's `accept`.
        let _ = SockRef::from(&*self.listener).shutdown(std::net::Shutdown::Both);
        self.clients.shut_down();
    }
}

/// Accepts until the server stops.
fn accept(listener: &UnixListener, stopping: &AtomicBool, clients: &Arc<Clients>) {
    let mut aside = None;
    while !stopping.load(Ordering::SeqCst) {
        if aside.is_none() {
            aside = File::open("/dev/null").ok();
        }
        let mut accepted = listener.accept();
        if accepted.as_ref().is_err_and(is_want_of_descriptors) {
            drop(aside.take());
            accepted = listener.accept();
        }
        match accepted {
            Ok((stream, _)) if !stopping.load(Ordering::SeqCst) => clients.admit(stream, answer),
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(_) if stopping.load(Ordering::SeqCst) => {}
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

fn is_want_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

/// Answers a request.
fn answer(request: &str) -> Result<String, String> {
    // One dump at a time: each takes some of the workers' time.
    static DUMPING: Mutex<()> = Mutex::new(());
    let dump = || {
        let _one = DUMPING.lock().unwrap_or_else(PoisonError::into_inner);
        super::dump()
    };
    if let Some(tasks_max) = request.strip_prefix("dump json ") {
        let tasks_max = tasks_max
            .parse()
            .map_err(|_| "that is no number of tasks")?;
        return Ok(dump().to_json_with(tasks_max));
    }
    match request {
        "ping" => Ok("pong\n".to_owned()),
        "dump text" => Ok(dump().to_string()),
        "dump json" => Ok(dump().to_json()),
        "metrics json" => Ok(super::metrics().to_json()),
        "metrics prometheus" => Ok(super::metrics().to_prometheus()),
        _ => Err(
            "unknown request: use `dump text`, `dump json`, `metrics json`, `metrics prometheus` \
             or `ping`"
                .to_owned(),
        ),
    }
}

/// Removes the socket when the process exits in an orderly way.
fn remove_at_exit() {
    extern "C" fn remove() {
        let current = match CURRENT.try_lock() {
            Ok(current) => current,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            // Somebody starts one at this moment: the next process removes it.
            Err(TryLockError::WouldBlock) => return,
        };
        if let Some(running) = current.upgrade() {
            running.remove_socket();
            // Its drop has nothing to do any more, and might wait for the lock.
            std::mem::forget(running);
        }
    }
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the function stays where it is, takes no lock that exiting may hold, and
        // doesn't unwind.
        let _ = unsafe { libc::atexit(remove) };
    });
}

/// Switches the server on when the first runtime starts, if the environment asks for it.
///
/// Programs need not name anything of this crate's root to start a runtime, so this is hooked
/// into the kernel by the loader, before `main`.
mod by_environment {
    use super::{Once, runtime, serve};

    #[used]
    // SAFETY: the loader calls what stands in this section, with arguments that a C function may
    // ignore. `install` only sets a pointer: it needs nothing that `main` would have prepared.
    #[unsafe(link_section = ".init_array")]
    static INSTALL: extern "C" fn() = install;

    extern "C" fn install() {
        runtime::on_start(start_if_asked);
    }

    fn start_if_asked() {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            if std::env::var_os("ROPEWALK_INSPECT").is_none_or(|value| value != "1") {
                return;
            }
            match serve() {
                Ok(server) => server.keep(),
                Err(error) => eprintln!("ropewalk: inspection can't be switched on: {error}"),
            }
        });
    }
}
