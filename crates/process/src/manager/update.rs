//! Changes made in one step, where the value is.

use serde::{Deserialize, Serialize};

use super::Refusal;
use super::value::Value;

/// A change made in one step, where the value is: nobody else's comes in between.
///
/// # Examples
///
/// ```
/// # use ropewalk_process::manager::{Manager, Update};
/// # let server = Manager::builder().serve()?;
/// # let manager = server.manager()?;
/// let counts = manager.dict()?;
/// counts.update_or::<u64>("hits", 0, Update::add(1))?;
/// counts.update_or::<u64>("hits", 0, Update::add(1))?;
/// assert_eq!(counts.get::<u64>("hits")?, Some(2));
/// # Ok::<(), ropewalk_process::manager::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Update(Op);

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Op {
    Add(Value),
    Append(Value),
    Extend(Value),
    Max(Value),
    Min(Value),
    Put(Value, Value),
}

impl Update {
    /// Adds to a number. Whole numbers stay whole, and are checked; with a floating-point
    /// number on either side the sum is one.
    pub fn add(number: impl Into<Value>) -> Update {
        Update(Op::Add(number.into()))
    }

    /// Appends a text to a text, bytes to bytes, or one element to a list.
    pub fn append(value: impl Into<Value>) -> Update {
        Update(Op::Append(value.into()))
    }

    /// Appends the elements of a list to a list, or those of a map to a map.
    pub fn extend(values: impl Into<Value>) -> Update {
        Update(Op::Extend(values.into()))
    }

    /// Keeps the greater of both, by [`Value`]'s order.
    pub fn max(value: impl Into<Value>) -> Update {
        Update(Op::Max(value.into()))
    }

    /// Keeps the smaller of both, likewise.
    pub fn min(value: impl Into<Value>) -> Update {
        Update(Op::Min(value.into()))
    }

    /// Sets one element of a map.
    pub fn put(key: impl Into<Value>, value: impl Into<Value>) -> Update {
        Update(Op::Put(key.into(), value.into()))
    }

    /// Does it, or leaves `to` as it was.
    pub(super) fn apply(self, to: &mut Value) -> Result<(), Refusal> {
        match (self.0, &mut *to) {
            (Op::Add(number), _) => *to = add(to, &number)?,
            (Op::Append(Value::Text(text)), Value::Text(to)) => to.push_str(&text),
            (Op::Append(Value::Bytes(bytes)), Value::Bytes(to)) => to.extend(bytes),
            (Op::Append(value), Value::List(to)) => to.push(value),
            (Op::Extend(Value::List(values)), Value::List(to)) => to.extend(values),
            (Op::Extend(Value::Map(values)), Value::Map(to)) => to.extend(values),
            (Op::Put(key, value), Value::Map(to)) => {
                to.insert(key, value);
            }
            (Op::Max(value), _) => {
                if value > *to {
                    *to = value;
                }
            }
            (Op::Min(value), _) => {
                if value < *to {
                    *to = value;
                }
            }
            (Op::Append(value) | Op::Extend(value), to) => {
                return Err(unsuitable("append", &value, "to", to));
            }
            (Op::Put(_, value), to) => return Err(unsuitable("put", &value, "into", to)),
        }
        Ok(())
    }
}

/// The sum of two numbers.
fn add(one: &Value, two: &Value) -> Result<Value, Refusal> {
    let whole = |value: &Value| match value {
        Value::Int(number) => Some(i128::from(*number)),
        Value::UInt(number) => Some(i128::from(*number)),
        _ => None,
    };
    let float = |value: &Value| match value {
        Value::Float(number) => Some(*number),
        other => whole(other).map(|number| number as f64),
    };
    if let (Some(one), Some(two)) = (whole(one), whole(two)) {
        let sum = one + two;
        return match (i64::try_from(sum), u64::try_from(sum)) {
            (Ok(sum), _) => Ok(Value::Int(sum)),
            (_, Ok(sum)) => Ok(Value::UInt(sum)),
            _ => Err(Refusal::Overflow),
        };
    }
    match (float(one), float(two)) {
        (Some(one), Some(two)) => Ok(Value::Float(one + two)),
        _ => Err(unsuitable("add", two, "to", one)),
    }
}

fn unsuitable(what: &str, value: &Value, how: &str, to: &Value) -> Refusal {
    Refusal::Unsuitable(format!("can't {what} {} {how} {}", value.kind(), to.kind()))
}
