//! How a map gives its items to a pool: as calls of a task, or as closures.

use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use ropewalk_kernel::clock;

use super::{Patience, Portable, RunTask, SpawnClosure, SubmitError, TaskFn};
use crate::{JoinError, JoinHandle};

/// What a chunk of calls gives: an outcome for each, in their order.
pub(super) type Chunk<R> = Vec<Result<R, JoinError>>;

/// Calls `call` with each of `list`; the panic of one does not keep the others from being called.
///
/// For pools in this process: it is what their [`start_chunk`](RunTask::start_chunk) runs.
pub fn call_each<A, R>(list: Vec<A>, mut call: impl FnMut(A) -> R) -> Vec<Result<R, JoinError>> {
    let begun = clock::now_ns();
    let mut one = |args| {
        catch_unwind(AssertUnwindSafe(|| call(args)))
            .map_err(|payload| JoinError::Panicked(payload.into()))
    };
    let results = list.into_iter().map(&mut one).collect();
    BEGUN.set(Some(begun));
    results
}

thread_local! {
    /// When the chunk that has just ended on this thread was begun. Who is called at its end is
    /// called here and at once.
    static BEGUN: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Takes the time at which the chunk was begun that has just ended on this thread; `None` if that
/// was none, as of a single call, or ended elsewhere.
pub(super) fn take_begun() -> Option<u64> {
    BEGUN.take()
}

/// How a [`Map`](super::Map) gives its items to a pool: [`Tasks`] or [`Closures`].
///
/// It can't be implemented outside this crate.
pub trait Start: sealed::Start {}

impl<S: sealed::Start> Start for S {}

pub(super) mod sealed {
    use super::*;

    /// What is needed of it.
    pub trait Start {
        /// What the input gives.
        type Item;
        /// What the function makes of it.
        type Output;
        /// Items that are to be run as one.
        type Work;

        fn pack(&self, items: Vec<Self::Item>) -> Self::Work;

        /// The items again, where that can be done.
        fn unpack(&self, work: Self::Work) -> Option<Vec<Self::Item>>;

        fn start(
            &self,
            work: Self::Work,
            patience: Patience,
        ) -> Result<Running<Self::Output>, SubmitError<Self::Work>>;

        fn width(&self) -> usize;

        fn largest_chunk(&self) -> usize;
    }
}

/// What runs, or is over.
pub enum Running<R> {
    /// A single item.
    One(JoinHandle<R>),
    /// A chunk of them.
    Many(JoinHandle<Vec<Result<R, JoinError>>>),
    /// Never started: its outcome was there at once.
    Refused(Vec<Result<R, JoinError>>),
}

/// Items as arguments of a task; what [`RunTask::map`] and its kin make.
pub struct Tasks<'p, P: ?Sized, F, A> {
    pool: &'p P,
    task: F,
    args: PhantomData<fn(A)>,
}

impl<'p, P: ?Sized, F, A> Tasks<'p, P, F, A> {
    pub(super) fn new(pool: &'p P, task: F) -> Self {
        let args = PhantomData;
        Tasks { pool, task, args }
    }
}

impl<P, F, A> sealed::Start for Tasks<'_, P, F, A>
where
    P: RunTask + ?Sized,
    F: TaskFn<A, Output: Portable>,
    A: Portable,
{
    type Item = A;
    type Output = F::Output;
    type Work = Vec<A>;

    fn pack(&self, items: Vec<A>) -> Vec<A> {
        items
    }

    fn unpack(&self, work: Vec<A>) -> Option<Vec<A>> {
        Some(work)
    }

    fn start(
        &self,
        mut work: Vec<A>,
        patience: Patience,
    ) -> Result<Running<F::Output>, SubmitError<Vec<A>>> {
        if work.len() != 1 {
            let started = self.pool.start_chunk(self.task, work, patience);
            return started.map(Running::Many);
        }
        let args = work.pop().expect("there is one");
        match self.pool.start(self.task, args, patience) {
            Ok(handle) => Ok(Running::One(handle)),
            Err(SubmitError { reason, work: args }) => {
                work.push(args);
                Err(SubmitError::new(reason, work))
            }
        }
    }

    fn width(&self) -> usize {
        self.pool.width()
    }

    fn largest_chunk(&self) -> usize {
        self.pool.largest_chunk()
    }
}

impl<P: ?Sized, F, A> fmt::Debug for Tasks<'_, P, F, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tasks")
            .field("task", &std::any::type_name::<F>())
            .finish_non_exhaustive()
    }
}

/// Items that a closure is called with; what [`SpawnClosure::spawn_map`] makes.
pub struct Closures<'p, P: ?Sized, F, A, R> {
    pool: &'p P,
    f: Arc<F>,
    types: PhantomData<fn(A) -> R>,
}

impl<'p, P: ?Sized, F, A, R> Closures<'p, P, F, A, R> {
    pub(super) fn new(pool: &'p P, f: F) -> Self {
        let (f, types) = (Arc::new(f), PhantomData);
        Closures { pool, f, types }
    }
}

impl<P, F, A, R> sealed::Start for Closures<'_, P, F, A, R>
where
    P: SpawnClosure + RunTask + ?Sized,
    F: Fn(A) -> R + Send + Sync + 'static,
    A: Send + 'static,
    R: Send + 'static,
{
    type Item = A;
    type Output = R;
    // Boxed, so that what the pool gives back has a name.
    type Work = Box<dyn FnOnce() -> Vec<Result<R, JoinError>> + Send>;

    fn pack(&self, items: Vec<A>) -> Self::Work {
        let f = Arc::clone(&self.f);
        Box::new(move || call_each(items, |item| f(item)))
    }

    fn unpack(&self, _work: Self::Work) -> Option<Vec<A>> {
        None
    }

    fn start(
        &self,
        work: Self::Work,
        patience: Patience,
    ) -> Result<Running<R>, SubmitError<Self::Work>> {
        self.pool.start_closure(work, patience).map(Running::Many)
    }

    fn width(&self) -> usize {
        self.pool.width()
    }

    fn largest_chunk(&self) -> usize {
        usize::MAX
    }
}

impl<P: ?Sized, F, A, R> fmt::Debug for Closures<'_, P, F, A, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Closures").finish_non_exhaustive()
    }
}

/// Items as tuples of one argument; what [`RunTask::map`] makes of its input.
#[derive(Clone, Debug)]
pub struct Singles<I>(I);

impl<I: Iterator> Singles<I> {
    pub(super) fn new(items: impl IntoIterator<IntoIter = I>) -> Singles<I> {
        Singles(items.into_iter())
    }
}

impl<I: Iterator> Iterator for Singles<I> {
    type Item = (I::Item,);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|item| (item,))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

/// The error of a chunk, for each of its items.
pub(super) fn share<R>(error: JoinError, len: usize) -> Chunk<R> {
    if len == 1 {
        return vec![Err(error)];
    }
    let text = error.to_string();
    let alike = || match &error {
        JoinError::Cancelled => JoinError::Cancelled,
        JoinError::Shutdown => JoinError::Shutdown,
        JoinError::Dropped => JoinError::Dropped,
        JoinError::TimedOut => JoinError::TimedOut,
        JoinError::WorkerDied { pid, status } => JoinError::WorkerDied {
            pid: *pid,
            status: *status,
        },
        JoinError::Panicked(_) => {
            let payload: Box<dyn Any + Send> = Box::new(text.clone());
            JoinError::Panicked(payload.into())
        }
        _ => JoinError::Failed(text.clone().into()),
    };
    let mut errors: Chunk<R> = (1..len).map(|_| Err(alike())).collect();
    errors.insert(0, Err(error));
    errors
}
