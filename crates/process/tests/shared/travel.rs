//! How handles travel, where they can't, and what is left when they are gone.

use ropewalk_process::queue::PutError;
use ropewalk_process::shared::{Array, Event, Lock, RawArray, RawValue, Value};
use ropewalk_process::{Pipe, Queue, pipe};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::start;

#[ropewalk_macros::task(crate = ropewalk_rt)]
fn all_kinds(
    value: Value<f64>,
    array: Array<u8>,
    raw: (RawValue<i32>, RawArray<u16>),
    nested: Vec<Value<f64>>,
) {
    value.update(|value| *value *= 2.0);
    array.write(0, b"there");
    raw.0.set(raw.1.get(1).into());
    // All the same value, mapped once.
    for value in &nested {
        value.update(|value| *value += 1.0);
    }
}

#[test]
fn arguments_may_hold_handles_anywhere() {
    let value = Value::new(1.5).unwrap();
    let array = Array::<u8>::new(5).unwrap();
    let raw = (
        RawValue::new(0).unwrap(),
        RawArray::from_slice(&[3, 4]).unwrap(),
    );
    let nested = vec![value.clone(); 3];
    let args = (value.clone(), array.clone(), raw.clone(), nested);
    start(all_kinds, args).join().unwrap();
    assert_eq!(value.get(), 6.0);
    assert_eq!(array.to_vec(), b"there");
    assert_eq!(raw.0.get(), 4);
}

#[ropewalk_macros::task(crate = ropewalk_rt)]
fn from_pipe(pipe: Pipe<Value<u32>, Value<u32>>) {
    let value = pipe.recv().unwrap();
    value.update(|value| *value += 1);
    let own = Value::new(value.get() + 1).unwrap();
    pipe.send(own).unwrap();
}

#[test]
fn a_pipe_carries_handles_both_ways() {
    let (here, there) = pipe::duplex().unwrap();
    let process = start(from_pipe, (there,));
    let value = Value::new(1_u32).unwrap();
    here.send(value.clone()).unwrap();
    let other: Value<u32> = here.recv().unwrap();
    process.join().unwrap();
    assert_eq!((value.get(), other.get()), (2, 3));
}

#[test]
fn elsewhere_a_handle_is_an_error() {
    let lock = Lock::new().unwrap();
    assert!(postcard::to_stdvec(&lock).is_err());
    let queue = Queue::<Lock>::new(1).unwrap();
    let error = queue.put(lock).unwrap_err();
    assert!(matches!(error, PutError::Encode { .. }), "{error}");
    assert!(!error.into_inner().is_locked());
    assert!(postcard::from_bytes::<Lock>(&[0]).is_err());
}

/// Leaves as a handle of one kind and arrives as one of another.
struct Mistaken {
    sent: Sent,
    received: Vec<String>,
}

enum Sent {
    Nothing,
    Event(Event),
    Array(Array<u32>),
    Other(Value<f32>),
    Right(Value<u32>),
}

impl Serialize for Mistaken {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.sent {
            Sent::Nothing => 0_u32.serialize(serializer),
            Sent::Event(event) => event.serialize(serializer),
            Sent::Array(array) => array.serialize(serializer),
            Sent::Other(value) => value.serialize(serializer),
            Sent::Right(value) => value.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Mistaken {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Mistaken, D::Error> {
        let received = match Value::<u32>::deserialize(deserializer) {
            Ok(value) => vec![value.get().to_string()],
            Err(error) => vec!["refused".to_owned(), error.to_string()],
        };
        Ok(Mistaken {
            sent: Sent::Nothing,
            received,
        })
    }
}

#[ropewalk_macros::task(crate = ropewalk_rt)]
fn what_arrived(arrived: Mistaken) -> Vec<String> {
    arrived.received
}

#[test]
fn a_handle_of_another_kind_is_refused() {
    let arrives = |sent| {
        let received = Vec::new();
        let process = start(what_arrived, (Mistaken { sent, received },));
        process.join().unwrap()
    };
    assert_eq!(arrives(Sent::Right(Value::new(5).unwrap())), ["5"]);
    let wrong = [
        Sent::Nothing,
        Sent::Event(Event::new().unwrap()),
        Sent::Array(Array::new(1).unwrap()),
        Sent::Other(Value::new(0.5).unwrap()),
    ];
    for sent in wrong {
        assert_eq!(arrives(sent)[0], "refused");
    }
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn mappings() -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines()
        .filter(|line| line.contains("memfd:ropewalk"))
        .count()
}

/// In a process of its own: the other tests here make and drop handles as well.
#[ropewalk_macros::task(crate = ropewalk_rt)]
fn make_and_drop() {
    // The first ones start threads and the like.
    let event = Event::new().unwrap();
    let late = event.wait_timeout(std::time::Duration::from_millis(1));
    assert!(late.is_err());
    drop(event);
    let settled = || {
        while mappings() != 0 {
            ropewalk_rt::coroutine::yield_now();
        }
        descriptors()
    };
    let before = settled();
    for _ in 0..50 {
        let value = Value::new([1_u64; 10]).unwrap();
        let lock = Lock::new().unwrap();
        let clones = (value.clone(), lock.clone());
        value.update(|value| value[0] += 1);
        drop(lock.lock().unwrap());
        drop((value, lock));
        assert_eq!(mappings(), 2);
        assert_eq!(clones.0.get()[0], 2);
    }
    assert_eq!(settled(), before);
}

#[test]
fn the_last_handle_unmaps_and_closes() {
    start(make_and_drop, ()).join().unwrap();
}
