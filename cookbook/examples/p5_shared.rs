//! P5, known as `multiprocessing.Value('d', …)`, `Array('i', …)`, with all type codes, with and
//! without `lock=False`, and `with value.get_lock(): value.value += 1`.
//!
//! A shared value is copied out and in, so it holds plain data only: the compiler sees to that.
//! `update` reads and writes with nobody in between, whatever process they are in; to get a
//! value and set it is two steps here as everywhere.

use std::io;

use ropewalk::process::Process;
use ropewalk::process::shared::{Array, RawArray, RawValue, Value};
use ropewalk::task;

#[task]
fn square(number: Value<f64>, array: Array<i32>) {
    number.set(2.5);
    array.update_range(.., |all| all.iter_mut().for_each(|n| *n *= *n));
}

/// The first example of Python's documentation: a process changes what its parent sees.
///
/// # Errors
///
/// If the process can't be started, or fails.
pub fn change() -> io::Result<(f64, Vec<i32>)> {
    let number = Value::new(0.0)?;
    let array = Array::from_slice(&[0, -1, 2, -3, 4])?;
    Process::spawn(square, (number.clone(), array.clone()))?.join()?;
    Ok((number.get(), array.to_vec()))
}

#[task]
fn count(atomic: Value<u64>, stepwise: RawValue<u64>, histogram: Array<u32>, times: u64) {
    for n in 0..times {
        atomic.update(|count| *count += 1);
        // Somebody else may write in between.
        stepwise.set(stepwise.get() + 1);
        histogram.update((n % 3) as usize, |count| *count += 1);
    }
}

/// Four processes count to `times` each. Gives what the atomic count and the histogram came
/// to, and whether the one that is read and written apart came to more than that.
///
/// # Errors
///
/// If a process can't be started, or fails.
pub fn count_together(times: u64) -> io::Result<(u64, Vec<u32>, bool)> {
    let atomic = Value::new(0)?;
    let stepwise = RawValue::new(0)?;
    let histogram = Array::new(3)?;
    let mut all = Vec::new();
    for _ in 0..4 {
        let args = (atomic.clone(), stepwise.clone(), histogram.clone(), times);
        all.push(Process::spawn(count, args)?);
    }
    for process in all {
        process.join()?;
    }
    let too_many = stepwise.get() > atomic.get();
    Ok((atomic.get(), histogram.to_vec(), too_many))
}

/// One of each type that Python has a code for, and `lock=False` arrays of two of them.
type AllTypes = (
    (Value<i8>, Value<u8>, Value<u32>),
    (Value<i16>, Value<u16>, Value<i32>, Value<u32>),
    (Value<i64>, Value<u64>, Value<f32>, Value<f64>),
    (RawArray<i64>, RawArray<u8>),
);

#[task]
fn set_to_highest(all: AllTypes) {
    let ((b, ub, wide), (h, uh, i, ui), (l, ul, f, d), (q, c)) = all;
    b.set(i8::MAX);
    ub.set(u8::MAX);
    wide.set('\u{10ffff}'.into());
    h.set(i16::MAX);
    uh.set(u16::MAX);
    i.set(i32::MAX);
    ui.set(u32::MAX);
    l.set(i64::MAX);
    ul.set(u64::MAX);
    f.set(f32::MAX);
    d.set(f64::MAX);
    q.write(0, &[i64::MIN, i64::MAX]);
    c.write(0, b"bytes");
}

/// Another process sets each to the highest there is. Gives them with their codes.
///
/// # Errors
///
/// If the process can't be started, or fails.
pub fn all_types() -> io::Result<Vec<(char, String)>> {
    let all: AllTypes = (
        (Value::new(0)?, Value::new(0)?, Value::new(0)?),
        (
            Value::new(0)?,
            Value::new(0)?,
            Value::new(0)?,
            Value::new(0)?,
        ),
        (
            Value::new(0)?,
            Value::new(0)?,
            Value::new(0.0)?,
            Value::new(0.0)?,
        ),
        (RawArray::new(2)?, RawArray::new(5)?),
    );
    Process::spawn(set_to_highest, (all.clone(),))?.join()?;
    let ((b, ub, wide), (h, uh, i, ui), (l, ul, f, d), (q, c)) = all;
    Ok(vec![
        ('b', b.get().to_string()),
        ('B', ub.get().to_string()),
        ('u', format!("{:?}", char::from_u32(wide.get()))),
        ('h', h.get().to_string()),
        ('H', uh.get().to_string()),
        ('i', i.get().to_string()),
        ('I', ui.get().to_string()),
        ('l', l.get().to_string()),
        ('L', ul.get().to_string()),
        ('f', f.get().to_string()),
        ('d', format!("{:e}", d.get())),
        ('q', format!("{:?}", q.to_vec())),
        ('c', String::from_utf8_lossy(&c.to_vec()).into_owned()),
    ])
}

#[ropewalk::main]
fn main() -> io::Result<()> {
    let (number, array) = change()?;
    println!("{number} {array:?}");
    let (counted, histogram, too_many) = count_together(1000)?;
    println!("4 processes counted to {counted}, as {histogram:?}; too many: {too_many}");
    for (code, value) in all_types()? {
        println!("{code}: {value}");
    }
    Ok(())
}
