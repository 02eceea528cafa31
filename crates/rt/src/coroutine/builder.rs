//! Spawning a coroutine with a name, a stack of another size, or as a daemon.

use std::future::Future;
use std::io;
use std::panic::Location;

use ropewalk_kernel::runtime;
use ropewalk_kernel::task::Options;

use super::TrySpawnError;
use crate::join::JoinHandle;

/// How a coroutine is to be started; mirrors [`std::thread::Builder`].
#[derive(Clone, Debug, Default)]
#[must_use = "a builder does nothing until `spawn`"]
pub struct Builder {
    options: Options,
}

impl Builder {
    /// A coroutine without a name, with the runtime's stack size, a daemon if its parent
    /// is one.
    pub fn new() -> Builder {
        Builder::default()
    }

    /// Names it, for dumps and panics.
    pub fn name(mut self, name: impl Into<String>) -> Builder {
        self.options.name = Some(name.into().into());
        self
    }

    /// Sets the usable stack, in bytes; rounded up to what the pool has.
    pub fn stack_size(mut self, bytes: usize) -> Builder {
        self.options.stack_bytes = bytes;
        self
    }

    /// Says whether the program's end ([`#[ropewalk::main]`](https://docs.rs/ropewalk)) may
    /// come without waiting for it. Inherited from the parent if not said; can't change
    /// after the start.
    pub fn daemon(mut self, daemon: bool) -> Builder {
        self.options.daemon = Some(daemon);
        self
    }

    /// Has it run on the worker with this index, counted from 0, and never be stolen; as
    /// [`coroutine::spawn_on`](super::spawn_on).
    pub fn on_worker(mut self, index: usize) -> Builder {
        self.options.on_worker(index);
        self
    }

    /// Spawns it unless that would have to wait, as [`coroutine::try_spawn`](super::try_spawn).
    ///
    /// # Errors
    ///
    /// The closure, and why: the runtime is full, has no such worker, or can't be started.
    #[track_caller]
    pub fn try_spawn<F, T>(self, f: F) -> Result<JoinHandle<T>, TrySpawnError<F>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        runtime::try_spawn(self.options, Location::caller(), f)
            .map(JoinHandle::from)
            .map_err(TrySpawnError::new)
    }

    /// Spawns it, as [`coroutine::spawn`](super::spawn).
    ///
    /// # Errors
    ///
    /// Those of the global runtime's start, when called outside any runtime; `InvalidInput` if
    /// there is no such worker.
    #[track_caller]
    pub fn spawn<F, T>(self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        // SAFETY: `'static`.
        unsafe { runtime::spawn_unchecked(self.options, None, Location::caller(), f) }
            .map(JoinHandle::from)
    }

    /// Spawns a future as a task, as [`spawn_async`](crate::spawn_async); the stack size is
    /// not used.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn); `InvalidInput` for one that is to have a worker of its own,
    /// as each poll may be on another.
    #[track_caller]
    pub fn spawn_async<F>(self, future: F) -> io::Result<JoinHandle<F::Output>>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        if self.options.worker.is_some() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "an async task can't be tied to a worker",
            ));
        }
        crate::future::spawn_with(self.options, Location::caller(), future)
    }

    /// Spawns it on the caller's worker, as [`coroutine::spawn_local`](super::spawn_local).
    ///
    /// # Panics
    ///
    /// Outside a coroutine; with [`on_worker`](Self::on_worker), if that is another one.
    #[track_caller]
    pub fn spawn_local<F, T>(self, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        JoinHandle::from(runtime::spawn_local(self.options, Location::caller(), f))
    }

    /// Spawns it into a scope, as [`Scope::spawn`](super::Scope::spawn).
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn).
    #[track_caller]
    pub fn spawn_scoped<'scope, 'env, F, T>(
        self,
        scope: &'scope super::Scope<'scope, 'env>,
        f: F,
    ) -> io::Result<super::ScopedJoinHandle<'scope, T>>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        scope.start(self.options, Location::caller(), f)
    }
}
