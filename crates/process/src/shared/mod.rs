//! Values, arrays and locks in memory that several processes share.
//!
//! Make one, give clones of it to processes (as an argument of a `Process`, to a pool's
//! initialiser, or through a `Pipe`), and use it as if it were a thread's. Handing one over in
//! any other way, in a task's arguments say, is an error, as its descriptor could not travel
//! along. The memory has no name: it is gone with the last handle, however the processes end.
//!
//! # When a process dies
//!
//! - [`Value`] and [`Array`] are never half written, whoever is killed when.
//! - A [`Lock`] or [`RLock`] whose holder died is given to the next, who is told by
//!   [`HolderDied`], as what the lock guards may be half changed.
//! - Permits of a [`Semaphore`] come back.
//! - A [`Barrier`] breaks.
//! - An [`Event`] and a [`Condition`] lose no wake.
//!
//! A death is noticed within about 100 ms by those who wait. It is the kernel that says who
//! is alive, by a lock that it drops when a process ends; process ids, which are used again, have
//! no part in it. A process that is merely stopped is alive, and waited for.
//!
//! # Waiting
//!
//! All of this works from threads and from coroutines. A coroutine that must wait leaves its
//! worker to others; a thread of the blocking pool sleeps for all that wait for the same thing.
//!
//! # What it costs
//!
//! An object is a descriptor and a mapping of a few pages in each process that has it. For many
//! values take one [`Array`], or one structure.
//!
//! # Plain data
//!
//! Values and arrays hold [`Plain`] data only. Python's type codes are these:
//!
//! | Python | C | Rust |
//! |---|---|---|
//! | `'b'` | `signed char` | `i8` |
//! | `'B'` | `unsigned char` | `u8` |
//! | `'u'`, `'c'` | `wchar_t`, `char` | `u32` (see [`char::from_u32`]), `u8` |
//! | `'h'` | `short` | `i16` |
//! | `'H'` | `unsigned short` | `u16` |
//! | `'i'` | `int` | `i32` |
//! | `'I'` | `unsigned int` | `u32` |
//! | `'l'`, `'q'` | `long`, `long long` | `i64` |
//! | `'L'`, `'Q'` | `unsigned long`, `unsigned long long` | `u64` |
//! | `'f'` | `float` | `f32` |
//! | `'d'` | `double` | `f64` |
//! | a `ctypes.Structure` | `struct` | a `#[repr(C)]` structure that derives [`Plain`]'s traits |
//!
//! `Value('d', 0.0)` is `Value::new(0.0_f64)`, `Array('i', 10)` is `Array::<i32>::new(10)`, and
//! with `lock=False` they are a [`RawValue`] and a [`RawArray`].
//!
//! # In here
//!
//! | module | what lives there |
//! |---|---|
//! | `mapping` | an object's memory as this process has it |
//! | `participants` | who takes part, and who is alive |
//! | `sleeping` | waiting for a word, in slices |
//! | `word` | the lock in one word |
//! | `section` | changing several words as one step |
//! | `steps` | for tests: being killed at each moment |
//! | `handle` | how handles travel |
//! | the others | one object each |

mod array;
mod barrier;
mod condition;
#[cfg(test)]
pub(crate) mod crashes;
mod error;
mod event;
pub(crate) mod handle;
mod lock;
pub(crate) mod mapping;
mod participants;
mod plain;
mod raw;
mod rlock;
pub(crate) mod section;
mod semaphore;
pub(crate) mod sleeping;
pub(crate) mod steps;
mod value;
mod word;

pub use array::Array;
pub use barrier::{Barrier, BarrierError, BarrierWaitResult};
pub use condition::Condition;
pub use error::{HolderDied, LockError, Recover};
pub use event::Event;
pub use lock::{Lock, LockGuard};
pub use plain::Plain;
pub use raw::{RawArray, RawValue};
pub use rlock::{RLock, RLockGuard};
pub use semaphore::{BoundedSemaphore, Semaphore, SemaphorePermit, TooManyReleases};
pub use value::Value;
