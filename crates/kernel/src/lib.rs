//! The scheduler of Ropewalk: stacks, switching, workers, waiting, timers and I/O drivers.
//!
//! This crate is the ground floor: it knows nothing of locks, channels, sockets' types or
//! HTTP. `ropewalk-rt` builds the mirror of `std` on it; users add `ropewalk`.
//!
//! | module | what lives there |
//! |---|---|
//! | [`wait`] | the one door: queues of threads, coroutines and wakers |
//! | `worker` | the loop that runs coroutines; its queues, stealing and sleeping |
//! | [`task`], `record` | starting a task, its record, its outcome |
//! | `host`, `switch` | stacks that run tasks, and entering and leaving them |
//! | [`stack`] | slabs of stacks, guards, the overflow report |
//! | [`driver`] | io_uring and epoll behind one contract |
//! | [`cancel`] | tokens, and how a cancellation finds the wait it ends |
//! | [`job`] | fork and join: halves that are taken back, or stolen |
//! | [`future`] | async tasks on the workers; timers for futures |
//! | [`local`] | a task's own values |
//! | [`locks`], [`probe`], `stall` | who holds and wants which lock; the stack of one parked coroutine; seeing that all are asleep |
//! | `trace` | spans and events of tasks for `tracing`, behind a feature |
//! | [`inspect`] | surveys: all tasks with their stacks |
//! | `timer`, [`clock`] | the timing wheel and the clock behind it |
//! | [`runtime`], [`scope`] | starting and ending it all |
//! | `places`, `fork` | the limit on coroutines; refusing forked children |
//! | [`watcher`] | noticing workers that one coroutine keeps |
//! | [`blocking`] | threads for what no driver can do |
//! | [`sys`] | the replaceable table of system calls |

#[cfg(not(target_os = "linux"))]
compile_error!("Ropewalk runs on Linux only (5.10 or later): it stands on epoll and io_uring");

pub mod blocking;
pub mod cancel;
mod choices;
#[doc(hidden)]
pub mod clock;
pub mod driver;
mod fork;
pub mod future;
mod host;
pub mod inspect;
pub mod job;
pub mod local;
pub mod locks;
pub mod outcome;
mod places;
pub mod probe;
pub mod record;
pub mod remote;
pub mod runtime;
pub mod scope;
pub mod stack;
mod stall;
mod switch;
pub mod sys;
pub mod task;
mod timer;
#[cfg(feature = "tracing")]
mod trace;
pub mod wait;
pub mod watcher;
mod worker;

pub use record::{Snapshot, living_everywhere};
