//! Queues between processes.

use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::super::Result;
use super::super::wire::{DataOp, Packed, WaitOp};
use super::{after, proxy};

proxy! {
    /// A queue, first in first out; from [`Manager::queue`](crate::manager::Manager::queue).
    ///
    /// Who waits is served in the order of coming. An item that was sent to a process which
    /// then dies is gone with it; use [`task_done`](Self::task_done) and
    /// [`join_timeout`](Self::join_timeout) to notice.
    ///
    /// # Cancellation
    ///
    /// Waits are cancellation points: a cancelled `get` has taken nothing, a cancelled `put`
    /// has put nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// # use ropewalk_process::manager::Manager;
    /// # let server = Manager::builder().serve()?;
    /// # let manager = server.manager()?;
    /// use std::time::Duration;
    ///
    /// let queue = manager.bounded_queue(2)?;
    /// queue.put(1)?;
    /// queue.put("two")?;
    /// assert!(!queue.try_put(3.0)?);
    /// assert_eq!(queue.get::<i32>()?, 1);
    /// assert_eq!(queue.get::<String>()?, "two");
    /// assert_eq!(queue.get_timeout::<f64>(Duration::from_millis(1))?, None);
    /// # Ok::<(), ropewalk_process::manager::Error>(())
    /// ```
    QueueProxy: Queue
}

impl QueueProxy {
    /// Puts an item in, waiting for room.
    ///
    /// # Errors
    ///
    /// [`Closed`](crate::manager::Refusal::Closed); else as all calls.
    pub fn put(&self, item: impl Serialize) -> Result<()> {
        let value = Packed::of(&item)?;
        self.0.wait(WaitOp::Put { value })?.done()
    }

    /// Puts an item in if there is room; says whether it did.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    pub fn try_put(&self, item: impl Serialize) -> Result<bool> {
        self.0.data(DataOp::TryPut(Packed::of(&item)?))?.yes()
    }

    /// As [`put`](Self::put), waiting for `timeout` at most; says whether it did.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    pub fn put_timeout(&self, item: impl Serialize, timeout: Duration) -> Result<bool> {
        self.put_deadline(item, after(timeout))
    }

    /// As [`put_timeout`](Self::put_timeout), until a point in time.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    pub fn put_deadline(&self, item: impl Serialize, deadline: Instant) -> Result<bool> {
        let value = Packed::of(&item)?;
        match self.0.wait_until(WaitOp::Put { value }, deadline)? {
            Some(answer) => answer.done().map(|()| true),
            None => Ok(false),
        }
    }

    /// Takes the first item out, waiting for one.
    ///
    /// # Errors
    ///
    /// [`Closed`](crate::manager::Refusal::Closed) once it is closed and empty;
    /// [`WrongType`](crate::manager::Error::WrongType) if the item, which is taken out, isn't a
    /// `T`; else as all calls.
    pub fn get<T: DeserializeOwned>(&self) -> Result<T> {
        self.0.wait(WaitOp::Take)?.some()
    }

    /// Takes the first item out, if there is one.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn try_get<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        self.0.data(DataOp::TryGet)?.value()
    }

    /// As [`get`](Self::get), waiting for `timeout` at most.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn get_timeout<T: DeserializeOwned>(&self, timeout: Duration) -> Result<Option<T>> {
        self.get_deadline(after(timeout))
    }

    /// As [`get_timeout`](Self::get_timeout), until a point in time.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn get_deadline<T: DeserializeOwned>(&self, deadline: Instant) -> Result<Option<T>> {
        match self.0.wait_until(WaitOp::Take, deadline)? {
            Some(answer) => answer.some().map(Some),
            None => Ok(None),
        }
    }

    /// Reports an item done that was got.
    ///
    /// # Errors
    ///
    /// [`TooManyDone`](crate::manager::Refusal::TooManyDone); else as all calls.
    pub fn task_done(&self) -> Result<()> {
        self.0.data(DataOp::TaskDone)?.done()
    }

    /// Waits until as many were reported done as were put.
    ///
    /// # Errors
    ///
    /// As all calls.
    pub fn join(&self) -> Result<()> {
        self.0.wait(WaitOp::JoinQueue)?.done()
    }

    /// As [`join`](Self::join), for `timeout` at most; says whether all is done.
    ///
    /// # Errors
    ///
    /// As all calls.
    pub fn join_timeout(&self, timeout: Duration) -> Result<bool> {
        match self.0.wait_until(WaitOp::JoinQueue, after(timeout))? {
            Some(answer) => answer.done().map(|()| true),
            None => Ok(false),
        }
    }

    /// Takes nothing more: putting fails, and getting does once it is empty.
    ///
    /// # Errors
    ///
    /// As all calls.
    pub fn close(&self) -> Result<()> {
        self.0.data(DataOp::Close)?.done()
    }

    /// Says whether it is closed.
    ///
    /// # Errors
    ///
    /// As all calls.
    pub fn is_closed(&self) -> Result<bool> {
        self.0.data(DataOp::IsClosed)?.yes()
    }

    /// How many items are in it.
    ///
    /// # Errors
    ///
    /// As all calls.
    pub fn len(&self) -> Result<usize> {
        self.0.data(DataOp::Len)?.count()
    }

    /// Says whether none is.
    ///
    /// # Errors
    ///
    /// As all calls.
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }
}
