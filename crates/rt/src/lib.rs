//! Ropewalk's mirror of `std`: coroutines, threads, locks, channels, time and sockets.
//!
//! Everything here blocks the caller as its counterpart in `std` does; if the caller is
//! a coroutine, only the coroutine waits. The same calls work from plain threads.
//!
//! Users add the crate `ropewalk`, which re-exports this one and documents the model.

pub mod cancel;
pub mod channel;
pub mod coroutine;
pub mod deadlock;
pub mod executor;
pub mod fs;
pub mod future;
pub mod generator;
pub mod group;
pub mod inspect;
pub mod io;
mod join;
pub mod local;
pub mod net;
mod patience;
mod private;
pub mod process;
pub mod promise;
pub mod queue;
pub mod results;
mod run;
mod runtime;
pub mod signal;
pub mod symmetric;
pub mod sync;
mod task;
pub mod thread;
pub mod time;
#[cfg(feature = "tokio")]
pub mod tokio;

pub use coroutine::{scope, spawn};
pub use future::{block_on, spawn_async};
pub use group::Group;
pub use join::JoinHandle;
pub use promise::{Promise, PromiseHandle, promise};
pub use results::{as_completed, join_all, race, try_scope, wait_first};
pub use ropewalk_kernel::blocking::unblock;
pub use ropewalk_kernel::driver::DriverKind;
pub use ropewalk_kernel::outcome::{JoinError, PanicPayload, RemotePanic};
pub use ropewalk_kernel::runtime::StillRunning;
pub use run::Run;
pub use runtime::{Closed, DelayedCall, Runtime, RuntimeBuilder, RuntimeHandle};
pub use task::{Info, Task};

#[doc(hidden)]
pub mod __private {
    pub use crate::private::{
        EndHook, MainOptions, StartHook, TestOptions, finish, main, run_main, test,
    };
}
