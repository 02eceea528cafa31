//! Which types may lie in shared memory.

use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Plain data: any bytes are a valid value, there is no padding, and no pointer inside.
///
/// It is implemented for every type that zerocopy's traits say this of: the integers and
/// floating-point numbers, arrays of such, and structures that derive the three traits (add the
/// crate `zerocopy` for that). It is not for `bool`, `char`, enums, references and `String`:
/// another process could write bytes that are no value of theirs, or an address that means
/// nothing here. (Use a `u8`, a `u32`, numbers, or an array of bytes.)
///
/// # Examples
///
/// ```
/// use ropewalk_process::shared::Value;
/// use zerocopy::{FromBytes, Immutable, IntoBytes};
///
/// #[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
/// #[repr(C)]
/// struct Point {
///     x: f64,
///     y: f64,
/// }
///
/// let point = Value::new(Point { x: 1.0, y: 2.0 }).unwrap();
/// point.update(|point| point.x += point.y);
/// assert_eq!(point.get().x, 3.0);
/// ```
///
/// What isn't plain data does not compile:
///
/// ```compile_fail
/// let text = ropewalk_process::shared::Value::new(String::from("no"));
/// ```
///
/// ```compile_fail
/// let flag = ropewalk_process::shared::Value::new(true);
/// ```
pub trait Plain: FromBytes + IntoBytes + Immutable + Copy + Send + 'static {}

impl<T: FromBytes + IntoBytes + Immutable + Copy + Send + 'static> Plain for T {}
