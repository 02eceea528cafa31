//! A value made by the first who needs it.

use std::cell::Cell;
use std::fmt;
use std::ops::Deref;
use std::panic::{RefUnwindSafe, UnwindSafe};

use super::once_lock::OnceLock;

/// A value made on first use; mirrors `std::sync::LazyLock`.
///
/// The initialiser may wait. If it panics there is no other to try, so every later use panics,
/// too, as with std's.
///
/// # Examples
///
/// ```
/// use ropewalk_rt::sync::LazyLock;
///
/// static SQUARES: LazyLock<Vec<u32>> = LazyLock::new(|| (0..4).map(|n| n * n).collect());
///
/// assert_eq!(SQUARES[3], 9);
/// ```
pub struct LazyLock<T, F = fn() -> T> {
    value: OnceLock<T>,
    /// Only touched by whoever runs the initialiser of `value`.
    init: Cell<Option<F>>,
}

// SAFETY: `init` is only touched inside the one run of `value`'s initialiser, and moved
// perhaps to another task than the one that made it, hence `F: Send`.
unsafe impl<T: Send + Sync, F: Send> Sync for LazyLock<T, F> {}
impl<T: RefUnwindSafe + UnwindSafe, F: UnwindSafe> RefUnwindSafe for LazyLock<T, F> {}

impl<T, F: FnOnce() -> T> LazyLock<T, F> {
    /// Makes a value that `f` will make.
    pub const fn new(f: F) -> LazyLock<T, F> {
        LazyLock {
            value: OnceLock::new(),
            init: Cell::new(Some(f)),
        }
    }

    /// The value, made now if it has not been; what dereferencing does.
    ///
    /// # Panics
    ///
    /// As the initialiser does, and again whenever it has; if the initialiser comes back to
    /// this same value; if it must wait inside [`no_wait`](crate::coroutine::no_wait).
    #[inline]
    pub fn force(this: &LazyLock<T, F>) -> &T {
        this.value.get_or_init(|| match this.init.take() {
            Some(init) => init(),
            None => panic!("the initialiser of this `LazyLock` panicked"),
        })
    }
}

impl<T, F> LazyLock<T, F> {
    /// The value, if it has been made. Never waits.
    #[inline]
    pub fn peek(this: &LazyLock<T, F>) -> Option<&T> {
        this.value.get()
    }
}

impl<T, F: FnOnce() -> T> Deref for LazyLock<T, F> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        LazyLock::force(self)
    }
}

impl<T: Default> Default for LazyLock<T> {
    fn default() -> LazyLock<T> {
        LazyLock::new(T::default)
    }
}

impl<T: fmt::Debug, F> fmt::Debug for LazyLock<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut tuple = f.debug_tuple("LazyLock");
        match self.value.get() {
            Some(value) => tuple.field(value),
            None => tuple.field(&format_args!("<uninit>")),
        };
        tuple.finish()
    }
}
