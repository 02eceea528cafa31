//! Values by key: dicts and namespaces.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::super::wire::{Answer, DataOp, Packed};
use super::super::{Result, Update};
use super::proxy;

proxy! {
    /// Values by key, keys and values of any type, in the order of their keys; from
    /// [`Manager::dict`](crate::manager::Manager::dict).
    ///
    /// # Examples
    ///
    /// ```
    /// # use ropewalk_process::manager::{Manager, Update};
    /// # let server = Manager::builder().serve()?;
    /// # let manager = server.manager()?;
    /// let dict = manager.dict()?;
    /// dict.insert("name", "rope")?;
    /// dict.insert(7, [1.5, 2.5])?;
    /// assert_eq!(dict.get::<String>("name")?.as_deref(), Some("rope"));
    /// assert_eq!(dict.get::<Vec<f64>>(7)?, Some(vec![1.5, 2.5]));
    /// assert_eq!(dict.update_or::<u64>("hits", 0, Update::add(1))?, 1);
    /// # Ok::<(), ropewalk_process::manager::Error>(())
    /// ```
    DictProxy: Dict | Namespace
}

impl DictProxy {
    /// The value at a key.
    ///
    /// # Errors
    ///
    /// [`WrongType`](crate::manager::Error::WrongType) if it isn't a `T`; else as all calls.
    pub fn get<T: DeserializeOwned>(&self, key: impl Serialize) -> Result<Option<T>> {
        self.0.data(DataOp::Get(Packed::of(&key)?))?.value()
    }

    /// Sets the value at a key.
    ///
    /// # Errors
    ///
    /// As all calls.
    pub fn insert(&self, key: impl Serialize, value: impl Serialize) -> Result<()> {
        let op = DataOp::Insert(Packed::of(&key)?, Packed::of(&value)?);
        self.0.data(op).map(drop)
    }

    /// Sets the value at a key, and gives the one that was there.
    ///
    /// # Errors
    ///
    /// As all calls; if the old value is not a `T`, it is replaced all the same.
    pub fn replace<T: Serialize + DeserializeOwned>(
        &self,
        key: impl Serialize,
        value: T,
    ) -> Result<Option<T>> {
        let op = DataOp::Insert(Packed::of(&key)?, Packed::of(&value)?);
        self.0.data(op)?.value()
    }

    /// The value at a key, which is set to `value` first if there is none.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn get_or_insert<T: Serialize + DeserializeOwned>(
        &self,
        key: impl Serialize,
        value: T,
    ) -> Result<T> {
        let op = DataOp::InsertNew(Packed::of(&key)?, Packed::of(&value)?);
        self.0.data(op)?.some()
    }

    /// Changes the value at a key in one step; gives what it is then.
    ///
    /// # Errors
    ///
    /// [`NoSuchKey`](crate::manager::Refusal::NoSuchKey); another refusal if the value can't be
    /// changed so; else as all calls.
    pub fn update<T: DeserializeOwned>(&self, key: impl Serialize, update: Update) -> Result<T> {
        let op = DataOp::Update {
            key: Packed::of(&key)?,
            default: None,
            update,
        };
        self.0.data(op)?.some()
    }

    /// As [`update`](Self::update), from `default` if there is no value.
    ///
    /// # Errors
    ///
    /// As [`update`](Self::update).
    pub fn update_or<T: DeserializeOwned>(
        &self,
        key: impl Serialize,
        default: impl Serialize,
        update: Update,
    ) -> Result<T> {
        let op = DataOp::Update {
            key: Packed::of(&key)?,
            default: Some(Packed::of(&default)?),
            update,
        };
        self.0.data(op)?.some()
    }

    /// Replaces the value at a key, or sets or removes it, if it is as expected; else gives
    /// what there is. `None` is no value.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn compare_exchange<T: Serialize + DeserializeOwned>(
        &self,
        key: impl Serialize,
        expected: Option<&T>,
        new: Option<&T>,
    ) -> Result<std::result::Result<(), Option<T>>> {
        let op = DataOp::Exchange {
            key: Packed::of(&key)?,
            expected: expected.map(Packed::of).transpose()?,
            new: new.map(Packed::of).transpose()?,
        };
        self.0.data(op)?.exchanged()
    }

    /// Replaces the value at a key by what `change` makes of it: again, if somebody else
    /// changed it meanwhile. Gives the new one.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn update_with<T: Serialize + DeserializeOwned>(
        &self,
        key: impl Serialize,
        mut change: impl FnMut(Option<&T>) -> Option<T>,
    ) -> Result<Option<T>> {
        let mut old = self.get(&key)?;
        loop {
            let new = change(old.as_ref());
            match self.compare_exchange(&key, old.as_ref(), new.as_ref())? {
                Ok(()) => return Ok(new),
                Err(there) => old = there,
            }
        }
    }

    /// Takes the value at a key out.
    ///
    /// # Errors
    ///
    /// As all calls; a value that is not a `T` is taken out all the same.
    pub fn remove<T: DeserializeOwned>(&self, key: impl Serialize) -> Result<Option<T>> {
        self.0.data(DataOp::Remove(Packed::of(&key)?))?.value()
    }

    /// Says whether there is a value at a key.
    ///
    /// # Errors
    ///
    /// As all calls.
    pub fn contains_key(&self, key: impl Serialize) -> Result<bool> {
        self.0.data(DataOp::Contains(Packed::of(&key)?))?.yes()
    }

    /// Sets several values in one step.
    ///
    /// # Errors
    ///
    /// As all calls.
    pub fn extend<K: Serialize, V: Serialize>(
        &self,
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Result<()> {
        let pairs = pairs.into_iter();
        let pairs = pairs.map(|(key, value)| Ok((Packed::of(&key)?, Packed::of(&value)?)));
        self.0
            .data(DataOp::Extend(pairs.collect::<Result<_>>()?))?
            .done()
    }

    /// How many there are.
    ///
    /// # Errors
    ///
    /// As all calls.
    pub fn len(&self) -> Result<usize> {
        self.0.data(DataOp::Len)?.count()
    }

    /// Says whether there are none.
    ///
    /// # Errors
    ///
    /// As all calls.
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Takes all out.
    ///
    /// # Errors
    ///
    /// As all calls.
    pub fn clear(&self) -> Result<()> {
        self.0.data(DataOp::Clear)?.done()
    }

    /// All keys, as they are at one moment.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn keys<K: DeserializeOwned>(&self) -> Result<Vec<K>> {
        self.0.data(DataOp::Keys)?.values()
    }

    /// All values, likewise.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn values<T: DeserializeOwned>(&self) -> Result<Vec<T>> {
        self.0.data(DataOp::Values)?.values()
    }

    /// All keys with their values, likewise.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn items<K: DeserializeOwned, T: DeserializeOwned>(&self) -> Result<Vec<(K, T)>> {
        match self.0.data(DataOp::Items)? {
            Answer::Pairs(pairs) => pairs
                .iter()
                .map(|(key, value)| Ok((key.get()?, value.get()?)))
                .collect(),
            other => Err(other.unexpected()),
        }
    }
}

proxy! {
    /// Values by name; from [`Manager::namespace`](crate::manager::Manager::namespace).
    ///
    /// # Examples
    ///
    /// ```
    /// # use ropewalk_process::manager::Manager;
    /// # let server = Manager::builder().serve()?;
    /// # let manager = server.manager()?;
    /// let settings = manager.namespace()?;
    /// settings.set("depth", 3)?;
    /// settings.set("title", "knots")?;
    /// assert_eq!(settings.get::<u8>("depth")?, 3);
    /// assert!(settings.get::<u8>("width").is_err());
    /// # Ok::<(), ropewalk_process::manager::Error>(())
    /// ```
    NamespaceProxy: Namespace
}

impl NamespaceProxy {
    /// The value of that name.
    ///
    /// # Errors
    ///
    /// [`NoSuchKey`](crate::manager::Refusal::NoSuchKey);
    /// [`WrongType`](crate::manager::Error::WrongType) if it isn't a `T`; else as all calls.
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        let value = self.0.data(DataOp::Get(Packed::of(name)?))?.value()?;
        value.ok_or_else(|| super::super::Refusal::NoSuchKey.into())
    }

    /// Sets the value of that name.
    ///
    /// # Errors
    ///
    /// As all calls.
    pub fn set(&self, name: &str, value: impl Serialize) -> Result<()> {
        let op = DataOp::Insert(Packed::of(name)?, Packed::of(&value)?);
        self.0.data(op).map(drop)
    }

    /// Takes the value of that name out; says whether there was one.
    ///
    /// # Errors
    ///
    /// As all calls.
    pub fn unset(&self, name: &str) -> Result<bool> {
        match self.0.data(DataOp::Remove(Packed::of(name)?))? {
            Answer::Value(old) => Ok(old.is_some()),
            other => Err(other.unexpected()),
        }
    }

    /// Changes the value of that name in one step; gives what it is then.
    ///
    /// # Errors
    ///
    /// As [`DictProxy::update`].
    pub fn update<T: DeserializeOwned>(&self, name: &str, update: Update) -> Result<T> {
        self.as_dict().update(name, update)
    }

    /// All names, in their order.
    ///
    /// # Errors
    ///
    /// As all calls.
    pub fn names(&self) -> Result<Vec<String>> {
        self.0.data(DataOp::Keys)?.values()
    }

    /// The same object as a dict, for all else that dicts can do, and for batches.
    pub fn as_dict(&self) -> DictProxy {
        DictProxy(self.0.clone())
    }
}
