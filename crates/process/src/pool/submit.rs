//! Giving tasks to a pool of processes.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use ropewalk_kernel::wait::may_wait;
use ropewalk_rt::executor::tasks::{self, CallError, Panic, TaskEntry};
use ropewalk_rt::executor::{Patience, Portable, Refusal, RunTask, SubmitError, TaskFn};
use ropewalk_rt::{JoinError, JoinHandle, promise};
use serde::Serialize;

use super::error::PoolBroken;
use super::job::Job;
use super::state::{After, Stage};
use super::wire::Code;
use super::{Inner, ProcessPool};
use crate::ring::Layout;
use crate::ring::payload::{Payload, Writer};

impl RunTask for ProcessPool {
    fn start<F, A>(
        &self,
        task: F,
        args: A,
        patience: Patience,
    ) -> Result<JoinHandle<F::Output>, SubmitError<A>>
    where
        F: TaskFn<A, Output: Portable>,
        A: Portable,
    {
        let code = code::<F, A>(&task, false);
        let timeout = self.inner.settings.task_timeout;
        let decode = tasks::decode::<F::Output>;
        submit(&self.inner, code, args, patience, timeout, decode)
    }

    fn start_chunk<F, A>(
        &self,
        task: F,
        list: Vec<A>,
        patience: Patience,
    ) -> Result<JoinHandle<Vec<Result<F::Output, JoinError>>>, SubmitError<Vec<A>>>
    where
        F: TaskFn<A, Output: Portable>,
        A: Portable,
    {
        let code = code::<F, A>(&task, true);
        let timeout = self.inner.settings.task_timeout;
        let decode = decode_chunk::<F::Output>;
        submit(&self.inner, code, list, patience, timeout, decode)
    }

    fn width(&self) -> usize {
        self.inner.settings.workers
    }

    /// Each call is a piece of work of its own: only what a worker runs is lost when it dies.
    fn largest_chunk(&self) -> usize {
        1
    }
}

/// A pool whose tasks may run for a limited time; from [`ProcessPool::with_timeout`].
#[derive(Clone, Copy, Debug)]
pub struct WithTimeout<'p> {
    pool: &'p ProcessPool,
    timeout: Duration,
}

impl ProcessPool {
    /// The same pool for tasks that may run no longer than `timeout`, whatever the pool's own limit
    /// is: then the worker is killed and replaced, and joining the task gives
    /// [`JoinError::TimedOut`]. The wait in the queue doesn't count. For a chunk it is the time
    /// for all of it.
    pub fn with_timeout(&self, timeout: Duration) -> WithTimeout<'_> {
        WithTimeout {
            pool: self,
            timeout,
        }
    }
}

impl RunTask for WithTimeout<'_> {
    fn start<F, A>(
        &self,
        task: F,
        args: A,
        patience: Patience,
    ) -> Result<JoinHandle<F::Output>, SubmitError<A>>
    where
        F: TaskFn<A, Output: Portable>,
        A: Portable,
    {
        let code = code::<F, A>(&task, false);
        let timeout = Some(self.timeout);
        let decode = tasks::decode::<F::Output>;
        submit(&self.pool.inner, code, args, patience, timeout, decode)
    }

    fn start_chunk<F, A>(
        &self,
        task: F,
        list: Vec<A>,
        patience: Patience,
    ) -> Result<JoinHandle<Vec<Result<F::Output, JoinError>>>, SubmitError<Vec<A>>>
    where
        F: TaskFn<A, Output: Portable>,
        A: Portable,
    {
        let code = code::<F, A>(&task, true);
        let timeout = Some(self.timeout);
        let decode = decode_chunk::<F::Output>;
        submit(&self.pool.inner, code, list, patience, timeout, decode)
    }

    fn width(&self) -> usize {
        self.pool.width()
    }

    fn largest_chunk(&self) -> usize {
        self.pool.largest_chunk()
    }
}

fn code<F, A>(task: &F, chunk: bool) -> Result<Code, Refusal>
where
    F: TaskFn<A>,
{
    match TaskEntry::of::<F, A>(task) {
        Some(entry) => Ok(Code::new(entry.index(), chunk)),
        None => Err(Refusal::NotATask {
            function: std::any::type_name::<F>(),
        }),
    }
}

fn submit<V, R>(
    inner: &Arc<Inner>,
    code: Result<Code, Refusal>,
    value: V,
    patience: Patience,
    timeout: Option<Duration>,
    decode: fn(&[u8]) -> Result<R, CallError>,
) -> Result<JoinHandle<R>, SubmitError<V>>
where
    V: Serialize,
    R: Send + 'static,
{
    let code = match code {
        Ok(code) => code,
        Err(reason) => return Err(SubmitError::new(reason, value)),
    };
    if let Err(reason) = inner.take_place(patience) {
        return Err(SubmitError::new(reason, value));
    }
    let payload = match encode(inner, &value) {
        Ok(payload) => payload,
        Err(error) => {
            inner.room.add_permits(1);
            return Err(SubmitError::new(Refusal::Encode(error), value));
        }
    };
    let (promise, handle) = promise::promise::<R>();
    let job = Job::new(code, payload, timeout, promise, decode);
    let id = match inner.enter(job) {
        Ok(id) => id,
        Err(reason) => {
            inner.room.add_permits(1);
            return Err(SubmitError::new(reason, value));
        }
    };
    let pool = Arc::downgrade(inner);
    handle.on_done(move |outcome| {
        if matches!(outcome, Err(JoinError::Cancelled))
            && let Some(inner) = pool.upgrade()
        {
            inner.cancelled(id);
        }
    });
    Ok(JoinHandle::from(handle))
}

/// Reads what [`TaskEntry::run_chunk`] wrote.
fn decode_chunk<R: Portable>(bytes: &[u8]) -> Result<Vec<Result<R, JoinError>>, CallError> {
    let list = tasks::decode::<Vec<Result<R, Panic>>>(bytes)?;
    let list = list.into_iter();
    Ok(list.map(|result| result.map_err(JoinError::from)).collect())
}

fn encode<V: Serialize>(inner: &Inner, value: &V) -> Result<Payload, Box<dyn Error + Send + Sync>> {
    let layout = Layout {
        slots: inner.settings.slots,
        arena: inner.settings.arena,
    };
    let mut writer = Writer::new(Vec::new(), layout.arena_max(), Some(inner.parcels.clone()));
    match tasks::encode(value, &mut writer) {
        Ok(()) => Ok(writer.finish()?),
        Err(error) => match writer.take_error() {
            Some(error) => Err(error.into()),
            None => Err(error.into()),
        },
    }
}

impl Inner {
    /// Waits for a place in the queue.
    fn take_place(&self, patience: Patience) -> Result<(), Refusal> {
        let place = match self.room.try_acquire() {
            Some(place) => place,
            None => {
                if let Some(refusal) = self.refusal() {
                    return Err(refusal);
                }
                match patience {
                    Patience::No => return Err(Refusal::Full),
                    _ if !may_wait() => return Err(Refusal::Full),
                    Patience::Wait => self.room.acquire().map_err(|_| Refusal::Cancelled)?,
                    Patience::Until(deadline) => match self.room.acquire_deadline(deadline) {
                        Ok(place) => place,
                        Err(error) if error.is_timeout() => {
                            return Err(self.refusal().unwrap_or(Refusal::TimedOut));
                        }
                        Err(_) => return Err(Refusal::Cancelled),
                    },
                }
            }
        };
        place.forget();
        Ok(())
    }

    /// Why the pool takes nothing, if it doesn't.
    fn refusal(&self) -> Option<Refusal> {
        refusal(&self.state().stage)
    }

    /// Puts a job into the queue, and hands out what it can; the job's number.
    fn enter(&self, mut job: Box<Job>) -> Result<u64, Refusal> {
        let mut after = After::default();
        let id = {
            let mut state = self.state();
            if let Some(refusal) = refusal(&state.stage) {
                return Err(refusal);
            }
            let id = state.next_id;
            state.next_id += 1;
            job.id = id;
            let timed = job.timeout.is_some();
            state.queue.insert(job);
            state.dispatch(&self.settings, &mut after);
            if timed {
                after.collector = true;
            }
            id
        };
        self.finish(after);
        Ok(id)
    }

    fn cancelled(&self, id: u64) {
        let mut after = After::default();
        self.state().cancelled(id, &self.settings, &mut after);
        self.finish(after);
    }
}

fn refusal(stage: &Stage) -> Option<Refusal> {
    match stage {
        Stage::Open => None,
        Stage::Closed | Stage::Terminated => Some(Refusal::Closed),
        Stage::Broken(why) => Some(Refusal::Broken(Box::new(PoolBroken {
            why: Arc::clone(why),
        }))),
    }
}
