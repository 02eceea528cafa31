//! Values of any type, as the server holds them, and how they are encoded.
//!
//! MessagePack: it says itself what it is, so processes of different builds understand each
//! other, and the server needs none of its clients' types. Structs travel with their fields'
//! names.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

use rmp_serde::config::BytesMode;
use rmp_serde::{Deserializer, Serializer};
use serde::de::{self, DeserializeOwned, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::{Error, Result};

/// How deep values may be nested. Decoding calls itself for each level, on a coroutine's stack.
const DEPTH_MAX: usize = 48;

/// A value of any type: what is in a manager's dicts, lists and queues.
///
/// Numbers, texts and collections go in with `into`, other types with [`Value::of`];
/// [`Value::get`] gives them back. They have a total order, in which values of different
/// types differ, also `1` and `1.0`, and a NaN equals itself.
///
/// # Examples
///
/// ```
/// use ropewalk_process::manager::Value;
///
/// let mixed = vec![Value::from(1), Value::from("two"), Value::of(&(3, 4.5))?];
/// assert_eq!(mixed[1].get::<String>()?, "two");
/// assert_eq!(mixed[2].get::<(u8, f64)>()?, (3, 4.5));
/// assert!(mixed[1].get::<u32>().is_err());
/// # Ok::<(), ropewalk_process::manager::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Value {
    /// Nothing: `None` and `()`.
    #[default]
    Nil,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A whole number above [`i64::MAX`]; smaller ones are [`Value::Int`].
    UInt(u64),
    /// A floating-point number.
    Float(f64),
    /// A text.
    Text(String),
    /// Bytes: a `Vec<u8>` that is not empty, and what serialises as bytes.
    Bytes(Vec<u8>),
    /// A sequence or tuple.
    List(Vec<Value>),
    /// A map, or a struct by its fields' names.
    Map(BTreeMap<Value, Value>),
}

impl Value {
    /// Makes a value of anything that serialises.
    ///
    /// # Errors
    ///
    /// [`Error::Encode`] if it refuses to.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Value> {
        unpack(&pack(value)?)
    }

    /// Makes a `T` of it.
    ///
    /// # Errors
    ///
    /// [`Error::WrongType`] if it isn't one.
    pub fn get<T: DeserializeOwned>(&self) -> Result<T> {
        unpack(&pack(self)?)
    }

    /// What it is, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Value::Nil => "nothing",
            Value::Bool(_) => "a truth value",
            Value::Int(_) | Value::UInt(_) => "a whole number",
            Value::Float(_) => "a floating-point number",
            Value::Text(_) => "a text",
            Value::Bytes(_) => "bytes",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Value::Nil => 0,
            Value::Bool(_) => 1,
            Value::Int(_) => 2,
            Value::UInt(_) => 3,
            Value::Float(_) => 4,
            Value::Text(_) => 5,
            Value::Bytes(_) => 6,
            Value::List(_) => 7,
            Value::Map(_) => 8,
        }
    }
}

impl Ord for Value {
    fn cmp(&self, other: &Value) -> Ordering {
        match (self, other) {
            (Value::Bool(one), Value::Bool(two)) => one.cmp(two),
            (Value::Int(one), Value::Int(two)) => one.cmp(two),
            (Value::UInt(one), Value::UInt(two)) => one.cmp(two),
            (Value::Float(one), Value::Float(two)) => one.total_cmp(two),
            (Value::Text(one), Value::Text(two)) => one.cmp(two),
            (Value::Bytes(one), Value::Bytes(two)) => one.cmp(two),
            (Value::List(one), Value::List(two)) => one.cmp(two),
            (Value::Map(one), Value::Map(two)) => one.cmp(two),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Value) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Value) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Value {}

macro_rules! from_number {
    ($variant:ident as $wide:ty: $($number:ty),*) => {
        $(
            impl From<$number> for Value {
                fn from(number: $number) -> Value {
                    Value::$variant(<$wide>::from(number))
                }
            }
        )*
    };
}

from_number!(Int as i64: i8, i16, i32, i64, u8, u16, u32);
from_number!(Float as f64: f32, f64);

impl From<u64> for Value {
    fn from(number: u64) -> Value {
        match i64::try_from(number) {
            Ok(number) => Value::Int(number),
            Err(_) => Value::UInt(number),
        }
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Value {
        Value::from(number as u64)
    }
}

impl From<isize> for Value {
    fn from(number: isize) -> Value {
        Value::Int(number as i64)
    }
}

impl From<()> for Value {
    fn from((): ()) -> Value {
        Value::Nil
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Value {
        Value::Bool(value)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Text(text)
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Value {
        Value::Bytes(bytes.to_vec())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Value {
        value.map_or(Value::Nil, Into::into)
    }
}

impl From<Vec<Value>> for Value {
    fn from(values: Vec<Value>) -> Value {
        Value::List(values)
    }
}

impl From<BTreeMap<Value, Value>> for Value {
    fn from(map: BTreeMap<Value, Value>) -> Value {
        Value::Map(map)
    }
}

impl Serialize for Value {
    fn serialize<S: serde::Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            Value::Nil => to.serialize_unit(),
            Value::Bool(value) => to.serialize_bool(*value),
            Value::Int(number) => to.serialize_i64(*number),
            Value::UInt(number) => to.serialize_u64(*number),
            Value::Float(number) => to.serialize_f64(*number),
            Value::Text(text) => to.serialize_str(text),
            Value::Bytes(bytes) => to.serialize_bytes(bytes),
            Value::List(values) => values.serialize(to),
            Value::Map(map) => map.serialize(to),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: de::Deserializer<'de>>(from: D) -> std::result::Result<Value, D::Error> {
        from.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> std::result::Result<Value, E> {
        Ok(Value::Nil)
    }

    fn visit_none<E>(self) -> std::result::Result<Value, E> {
        Ok(Value::Nil)
    }

    fn visit_some<D: de::Deserializer<'de>>(self, from: D) -> std::result::Result<Value, D::Error> {
        Value::deserialize(from)
    }

    fn visit_bool<E>(self, value: bool) -> std::result::Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, number: i64) -> std::result::Result<Value, E> {
        Ok(Value::Int(number))
    }

    fn visit_u64<E>(self, number: u64) -> std::result::Result<Value, E> {
        Ok(Value::from(number))
    }

    fn visit_f64<E>(self, number: f64) -> std::result::Result<Value, E> {
        Ok(Value::Float(number))
    }

    fn visit_str<E>(self, text: &str) -> std::result::Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> std::result::Result<Value, E> {
        Ok(Value::Bytes(bytes.to_vec()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<Value, A::Error> {
        // The length is what the other side claims.
        let mut values = Vec::with_capacity(seq.size_hint().unwrap_or(0).min(1024));
        while let Some(value) = seq.next_element()? {
            values.push(value);
        }
        Ok(Value::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Value, A::Error> {
        let mut values = BTreeMap::new();
        while let Some((key, value)) = map.next_entry()? {
            values.insert(key, value);
        }
        Ok(Value::Map(values))
    }
}

/// Encodes a value.
pub(super) fn pack<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut to = Serializer::new(&mut bytes)
        .with_struct_map()
        .with_bytes(BytesMode::ForceIterables);
    value
        .serialize(&mut to)
        .map_err(|error| Error::Encode(error.to_string()))?;
    Ok(bytes)
}

/// Decodes a value; whatever is in `bytes`, the worst is an error.
pub(super) fn unpack<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let mut from = Deserializer::from_read_ref(bytes);
    from.set_max_depth(DEPTH_MAX);
    T::deserialize(&mut from).map_err(|error| Error::WrongType(error.to_string()))
}
