//! Several operations in one step.

use serde::Serialize;

use super::super::client::Handle;
use super::super::wire::{Answer, Call, DataOp, Packed};
use super::super::{Error, Result, Update, Value};
use super::{ArrayProxy, DictProxy, ListProxy, QueueProxy, ValueProxy};

/// Operations that are done in one step, all or none; from
/// [`Manager::batch`](crate::manager::Manager::batch).
///
/// Operations see what the earlier ones did. If one fails, the earlier ones are undone, before
/// anybody saw them. Nothing in a batch waits: a queue that is full or empty, or closed, fails
/// it.
///
/// # Examples
///
/// ```
/// # use ropewalk_process::manager::{Manager, Update};
/// # let server = Manager::builder().serve()?;
/// # let manager = server.manager()?;
/// let (accounts, log) = (manager.dict()?, manager.list()?);
/// accounts.extend([("ann", 10), ("bob", 0)])?;
/// let mut batch = manager.batch();
/// batch.update(&accounts, "ann", Update::add(-4))?;
/// batch.update(&accounts, "bob", Update::add(4))?;
/// batch.push(&log, "ann to bob: 4")?;
/// batch.run()?;
/// assert_eq!(accounts.items::<String, i64>()?, [("ann".into(), 6), ("bob".into(), 4)]);
/// # Ok::<(), ropewalk_process::manager::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "a batch does nothing until `run`"]
pub struct Batch {
    first: Option<Handle>,
    ops: Vec<(u64, DataOp<Packed>)>,
}

impl Batch {
    pub(in super::super) fn new() -> Batch {
        Batch {
            first: None,
            ops: Vec::new(),
        }
    }

    fn add(&mut self, handle: &Handle, op: DataOp<Packed>) -> Result<()> {
        let first = self.first.get_or_insert_with(|| handle.clone());
        if first.manager() != handle.manager() {
            return Err(Error::OtherManager);
        }
        self.ops.push((handle.object(), op));
        Ok(())
    }

    /// Sets the value at a key.
    ///
    /// # Errors
    ///
    /// This and the other operations: if a value can't be encoded, or the object is of another
    /// manager than the first one's.
    pub fn insert(
        &mut self,
        dict: &DictProxy,
        key: impl Serialize,
        value: impl Serialize,
    ) -> Result<()> {
        let op = DataOp::Insert(Packed::of(&key)?, Packed::of(&value)?);
        self.add(&dict.0, op)
    }

    /// Takes the value at a key out, if there is one.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert).
    pub fn remove(&mut self, dict: &DictProxy, key: impl Serialize) -> Result<()> {
        self.add(&dict.0, DataOp::Remove(Packed::of(&key)?))
    }

    /// Changes the value at a key; there must be one.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert).
    pub fn update(&mut self, dict: &DictProxy, key: impl Serialize, update: Update) -> Result<()> {
        let op = DataOp::Update {
            key: Packed::of(&key)?,
            default: None,
            update,
        };
        self.add(&dict.0, op)
    }

    /// Fails the batch unless this is the value at the key; `None` is no value.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert).
    pub fn expect<T: Serialize + ?Sized>(
        &mut self,
        dict: &DictProxy,
        key: impl Serialize,
        value: Option<&T>,
    ) -> Result<()> {
        let op = DataOp::Expect {
            key: Packed::of(&key)?,
            value: value.map(Packed::of).transpose()?,
        };
        self.add(&dict.0, op)
    }

    /// Appends a value to a list.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert).
    pub fn push(&mut self, list: &ListProxy, value: impl Serialize) -> Result<()> {
        self.add(&list.0, DataOp::Push(Packed::of(&value)?))
    }

    /// Takes the value at an index of a list out.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert).
    pub fn remove_at(&mut self, list: &ListProxy, index: usize) -> Result<()> {
        self.add(&list.0, DataOp::RemoveAt(index as u64))
    }

    /// Replaces a value of an array.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert).
    pub fn set_at(
        &mut self,
        array: &ArrayProxy,
        index: usize,
        value: impl Serialize,
    ) -> Result<()> {
        let op = DataOp::Set(index as u64, Packed::of(&value)?);
        self.add(&array.0, op)
    }

    /// Changes a value of an array.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert).
    pub fn update_at(&mut self, array: &ArrayProxy, index: usize, update: Update) -> Result<()> {
        self.add(&array.0, DataOp::UpdateAt(index as u64, update))
    }

    /// Replaces a value.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert).
    pub fn set(&mut self, value: &ValueProxy, new: impl Serialize) -> Result<()> {
        self.add(&value.0, DataOp::Store(Packed::of(&new)?))
    }

    /// Changes a value.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert).
    pub fn update_value(&mut self, value: &ValueProxy, update: Update) -> Result<()> {
        self.add(&value.0, DataOp::UpdateIt(update))
    }

    /// Puts an item into a queue, which must have room.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert).
    pub fn put(&mut self, queue: &QueueProxy, item: impl Serialize) -> Result<()> {
        self.add(&queue.0, DataOp::TryPut(Packed::of(&item)?))
    }

    /// Takes the first item out of a queue, which must have one.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert).
    pub fn take(&mut self, queue: &QueueProxy) -> Result<()> {
        self.add(&queue.0, DataOp::TryGet)
    }

    /// Does it. Gives one value for each operation: what was there before (`insert`, `remove`,
    /// `remove_at`, `set`), what is there after an update, the index that was pushed to, the
    /// item that was taken; else [`Value::Nil`].
    ///
    /// # Errors
    ///
    /// [`InBatch`](crate::manager::Refusal::InBatch) if an operation failed; else as all calls. Nothing was
    /// done in either case, unless the connection was lost.
    pub fn run(self) -> Result<Vec<Value>> {
        let Some(handle) = self.first else {
            return Ok(Vec::new());
        };
        match handle.call(&Call::Batch(self.ops))? {
            Answer::Batch(answers) => answers.into_iter().map(value).collect(),
            other => Err(other.unexpected()),
        }
    }
}

fn value(answer: Answer<Packed>) -> Result<Value> {
    match answer {
        Answer::Value(Some(value)) => value.get(),
        Answer::Value(None) | Answer::Done | Answer::Yes(_) => Ok(Value::Nil),
        Answer::Count(count) => Ok(Value::from(count)),
        other => Err(other.unexpected()),
    }
}
