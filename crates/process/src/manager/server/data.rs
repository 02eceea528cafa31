//! What is done with data: dicts, lists, values, and queues as far as nobody waits.
//!
//! Each operation is done entirely or not at all. In a batch it also notes how to undo it.

use std::collections::BTreeMap;

use super::super::Refusal;
use super::super::value::Value;
use super::super::wire::{Answer, DataOp, Held, Kind};
use super::object::{Body, Queue};

type Outcome = Result<Answer<Held>, Refusal>;

/// How to undo one operation.
pub(super) enum Undo {
    Key(Value, Option<Value>),
    Map(BTreeMap<Value, Value>),
    List(Vec<Value>),
    Truncate(usize),
    At(usize, Value),
    Insert(usize, Value),
    Remove(usize),
    Cell(Value),
    Unput,
    Untake(Value),
    Items(Vec<Value>),
    Reopen,
    Undone,
}

/// The log of a batch; none for a single operation.
pub(super) struct Log(pub(super) Option<Vec<Undo>>);

impl Log {
    fn note(&mut self, undo: impl FnOnce() -> Undo) {
        if let Some(log) = &mut self.0 {
            log.push(undo());
        }
    }
}

impl Undo {
    /// Undoes it; the later ones were undone before.
    pub(super) fn run(self, body: &mut Body) {
        match (self, body) {
            (Undo::Key(key, Some(value)), Body::Map(map)) => {
                map.insert(key, value);
            }
            (Undo::Key(key, None), Body::Map(map)) => {
                map.remove(&key);
            }
            (Undo::Map(old), Body::Map(map)) => *map = old,
            (Undo::List(old), Body::List { values, .. }) => *values = old,
            (Undo::Truncate(len), Body::List { values, .. }) => values.truncate(len),
            (Undo::At(index, old), Body::List { values, .. }) => values[index] = old,
            (Undo::Insert(index, old), Body::List { values, .. }) => values.insert(index, old),
            (Undo::Remove(index), Body::List { values, .. }) => {
                values.remove(index);
            }
            (Undo::Cell(old), Body::Cell(value)) => *value = old,
            (Undo::Unput, Body::Queue(queue)) => {
                queue.items.pop_back();
                queue.unfinished -= 1;
            }
            (Undo::Untake(old), Body::Queue(queue)) => queue.items.push_front(old),
            (Undo::Items(old), Body::Queue(queue)) => queue.items.extend(old),
            (Undo::Reopen, Body::Queue(queue)) => queue.is_closed = false,
            (Undo::Undone, Body::Queue(queue)) => queue.unfinished += 1,
            _ => unreachable!("undone where it was done"),
        }
    }
}

/// Does one operation.
pub(super) fn apply(kind: Kind, body: &mut Body, op: DataOp<Held>, log: &mut Log) -> Outcome {
    match body {
        Body::Map(map) => in_map(kind, map, op, log),
        Body::List { values, is_fixed } => in_list(kind, values, *is_fixed, op, log),
        Body::Cell(value) => in_cell(value, op, log),
        Body::Queue(queue) => in_queue(queue, op, log),
        _ => Err(wrong_kind("dict, list, value or queue", kind)),
    }
}

fn wrong_kind(wanted: &str, kind: Kind) -> Refusal {
    Refusal::WrongKind {
        wanted: wanted.into(),
        is: kind.name().into(),
    }
}

fn held(value: &Value) -> Held {
    Held(value.clone())
}

fn all<'v>(values: impl IntoIterator<Item = &'v Value>) -> Answer<Held> {
    Answer::Values(values.into_iter().map(held).collect())
}

fn in_map(
    kind: Kind,
    map: &mut BTreeMap<Value, Value>,
    op: DataOp<Held>,
    log: &mut Log,
) -> Outcome {
    Ok(match op {
        DataOp::Len => Answer::Count(map.len() as u64),
        DataOp::Clear => {
            let old = std::mem::take(map);
            log.note(|| Undo::Map(old));
            Answer::Done
        }
        DataOp::Get(key) => Answer::Value(map.get(&key.0).map(held)),
        DataOp::Contains(key) => Answer::Yes(map.contains_key(&key.0)),
        DataOp::Keys => all(map.keys()),
        DataOp::Values => all(map.values()),
        DataOp::Items => {
            let pairs = map.iter().map(|(key, value)| (held(key), held(value)));
            Answer::Pairs(pairs.collect())
        }
        DataOp::Insert(Held(key), Held(value)) => {
            log.note(|| Undo::Key(key.clone(), map.get(&key).cloned()));
            Answer::Value(map.insert(key, value).map(Held))
        }
        DataOp::InsertNew(Held(key), Held(value)) => match map.get(&key) {
            Some(there) => Answer::Value(Some(held(there))),
            None => {
                log.note(|| Undo::Key(key.clone(), None));
                let answer = held(&value);
                map.insert(key, value);
                Answer::Value(Some(answer))
            }
        },
        DataOp::Remove(Held(key)) => {
            let old = map.remove(&key);
            if let Some(old) = &old {
                log.note(|| Undo::Key(key, Some(old.clone())));
            }
            Answer::Value(old.map(Held))
        }
        DataOp::Extend(pairs) => {
            for (Held(key), Held(value)) in pairs {
                log.note(|| Undo::Key(key.clone(), map.get(&key).cloned()));
                map.insert(key, value);
            }
            Answer::Done
        }
        DataOp::Update {
            key: Held(key),
            default,
            update,
        } => {
            if let Some(value) = map.get_mut(&key) {
                let old = log.0.is_some().then(|| value.clone());
                update.apply(value)?;
                log.note(|| Undo::Key(key, old));
                return Ok(Answer::Value(Some(held(value))));
            }
            let mut value = default.ok_or(Refusal::NoSuchKey)?.0;
            update.apply(&mut value)?;
            log.note(|| Undo::Key(key.clone(), None));
            let answer = held(&value);
            map.insert(key, value);
            Answer::Value(Some(answer))
        }
        DataOp::Exchange {
            key: Held(key),
            expected,
            new,
        } => {
            let there = map.get(&key);
            if there != expected.as_ref().map(|expected| &expected.0) {
                return Ok(Answer::Exchanged(Err(there.map(held))));
            }
            log.note(|| Undo::Key(key.clone(), there.cloned()));
            match new {
                Some(Held(new)) => map.insert(key, new),
                None => map.remove(&key),
            };
            Answer::Exchanged(Ok(()))
        }
        DataOp::Expect { key, value } => {
            if map.get(&key.0) != value.as_ref().map(|value| &value.0) {
                return Err(Refusal::Unexpected);
            }
            Answer::Done
        }
        _ => return Err(wrong_kind("list, value or queue", kind)),
    })
}

fn in_list(
    kind: Kind,
    values: &mut Vec<Value>,
    is_fixed: bool,
    op: DataOp<Held>,
    log: &mut Log,
) -> Outcome {
    let len = values.len();
    // Up to `limit` is inside.
    let inside = |index: u64, limit: usize| match usize::try_from(index) {
        Ok(index) if index < limit => Ok(index),
        _ => Err(Refusal::OutOfRange {
            index,
            len: len as u64,
        }),
    };
    let changes_len = matches!(
        op,
        DataOp::Clear
            | DataOp::Push(_)
            | DataOp::InsertAt(..)
            | DataOp::RemoveAt(_)
            | DataOp::Pop
            | DataOp::Append(_)
    );
    if is_fixed && changes_len {
        return Err(wrong_kind("list", kind));
    }
    Ok(match op {
        DataOp::Len => Answer::Count(len as u64),
        DataOp::Clear => {
            let old = std::mem::take(values);
            log.note(|| Undo::List(old));
            Answer::Done
        }
        DataOp::At(index) => match inside(index, len) {
            Ok(index) => Answer::Value(Some(held(&values[index]))),
            Err(_) => Answer::Value(None),
        },
        DataOp::Set(index, Held(value)) => {
            let index = inside(index, len)?;
            let old = std::mem::replace(&mut values[index], value);
            log.note(|| Undo::At(index, old));
            Answer::Done
        }
        DataOp::Push(Held(value)) => {
            values.push(value);
            log.note(|| Undo::Truncate(len));
            Answer::Count(len as u64)
        }
        DataOp::InsertAt(index, Held(value)) => {
            let index = inside(index, len + 1)?;
            values.insert(index, value);
            log.note(|| Undo::Remove(index));
            Answer::Done
        }
        DataOp::RemoveAt(index) => {
            let index = inside(index, len)?;
            let old = values.remove(index);
            log.note(|| Undo::Insert(index, old.clone()));
            Answer::Value(Some(Held(old)))
        }
        DataOp::Pop => {
            let old = values.pop();
            if let Some(old) = &old {
                log.note(|| Undo::Insert(len - 1, old.clone()));
            }
            Answer::Value(old.map(Held))
        }
        DataOp::Slice(from, to) => {
            let clamp = |index: u64| usize::try_from(index).map_or(len, |index| index.min(len));
            all(values.get(clamp(from)..clamp(to)).unwrap_or_default())
        }
        DataOp::Append(more) => {
            values.extend(more.into_iter().map(|held| held.0));
            log.note(|| Undo::Truncate(len));
            Answer::Done
        }
        DataOp::Position(Held(value)) => match values.iter().position(|there| *there == value) {
            Some(index) => Answer::Count(index as u64),
            None => Answer::Done,
        },
        DataOp::Sort => {
            log.note(|| Undo::List(values.clone()));
            values.sort();
            Answer::Done
        }
        DataOp::Reverse => {
            log.note(|| Undo::List(values.clone()));
            values.reverse();
            Answer::Done
        }
        DataOp::UpdateAt(index, update) => {
            let index = inside(index, len)?;
            let old = log.0.is_some().then(|| values[index].clone());
            update.apply(&mut values[index])?;
            log.note(|| Undo::At(index, old.expect("cloned for the log")));
            Answer::Value(Some(held(&values[index])))
        }
        DataOp::ExchangeAt {
            index,
            expected: Held(expected),
            new: Held(new),
        } => {
            let index = inside(index, len)?;
            if values[index] != expected {
                return Ok(Answer::Exchanged(Err(Some(held(&values[index])))));
            }
            let old = std::mem::replace(&mut values[index], new);
            log.note(|| Undo::At(index, old));
            Answer::Exchanged(Ok(()))
        }
        _ => return Err(wrong_kind("dict, value or queue", kind)),
    })
}

fn in_cell(value: &mut Value, op: DataOp<Held>, log: &mut Log) -> Outcome {
    Ok(match op {
        DataOp::Load => Answer::Value(Some(held(value))),
        DataOp::Store(Held(new)) => {
            let old = std::mem::replace(value, new);
            log.note(|| Undo::Cell(old.clone()));
            Answer::Value(Some(Held(old)))
        }
        DataOp::UpdateIt(update) => {
            let old = log.0.is_some().then(|| value.clone());
            update.apply(value)?;
            log.note(|| Undo::Cell(old.expect("cloned for the log")));
            Answer::Value(Some(held(value)))
        }
        DataOp::ExchangeIt {
            expected: Held(expected),
            new: Held(new),
        } => {
            if *value != expected {
                return Ok(Answer::Exchanged(Err(Some(held(value)))));
            }
            let old = std::mem::replace(value, new);
            log.note(|| Undo::Cell(old));
            Answer::Exchanged(Ok(()))
        }
        _ => return Err(wrong_kind("dict, list or queue", Kind::Cell)),
    })
}

/// Who waits for what this changes is served afterwards.
fn in_queue(queue: &mut Queue, op: DataOp<Held>, log: &mut Log) -> Outcome {
    Ok(match op {
        DataOp::Len => Answer::Count(queue.items.len() as u64),
        DataOp::Clear => {
            let old = queue.items.drain(..).collect();
            log.note(|| Undo::Items(old));
            Answer::Done
        }
        DataOp::TryPut(_) if queue.is_closed => return Err(Refusal::Closed),
        DataOp::TryPut(Held(value)) => {
            let has_room = queue.has_room();
            if has_room {
                queue.put(value);
                log.note(|| Undo::Unput);
            }
            Answer::Yes(has_room)
        }
        DataOp::TryGet => match queue.items.pop_front() {
            Some(value) => {
                log.note(|| Undo::Untake(value.clone()));
                Answer::Value(Some(Held(value)))
            }
            None if queue.is_closed => return Err(Refusal::Closed),
            None => Answer::Value(None),
        },
        DataOp::Close => {
            if !std::mem::replace(&mut queue.is_closed, true) {
                log.note(|| Undo::Reopen);
            }
            Answer::Done
        }
        DataOp::IsClosed => Answer::Yes(queue.is_closed),
        DataOp::TaskDone => {
            queue.unfinished = queue
                .unfinished
                .checked_sub(1)
                .ok_or(Refusal::TooManyDone)?;
            log.note(|| Undo::Undone);
            Answer::Done
        }
        _ => return Err(wrong_kind("dict, list or value", Kind::Queue)),
    })
}
