//! Values that each task has of its own: `coroutine_local!`.
//!
//! A [`LocalKey`] is a static; its address is the key of the table that the kernel keeps for
//! each coroutine, async task and plain thread. A value is made when its task first asks for
//! it, and dropped when the task ends, on the coroutine's own stack.
//!
//! ```text
//!   (nothing) ──first use──▶ THERE ──end of the task──▶ (dropping) ──▶ GONE: AccessError
//!       └────────────────────end of the task──────────────────────────▶ GONE: AccessError
//! ```
//!
//! Coroutines and threads keep to their thread, so a value need not be `Send`. An async task
//! does not: whichever worker is free polls it. So a value whose type isn't `Send`, as
//! [`Moves`] finds out where the static is written, remembers its thread: on another it is
//! neither shown nor dropped.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;
use std::thread::{self, ThreadId};

use ropewalk_kernel::local;

/// Declares values of which each coroutine, async task and plain thread has its own.
///
/// Written as [`std::thread_local!`], for which it stands in: a `thread_local!` belongs to
/// the worker, and all coroutines of the worker share it. See [`LocalKey`] for its use.
///
/// # Examples
///
/// ```
/// use std::cell::{Cell, RefCell};
/// use ropewalk_rt::{coroutine_local, spawn};
///
/// coroutine_local! {
///     /// How many requests this coroutine has served.
///     pub static SERVED: Cell<u32> = const { Cell::new(0) };
///     static TRACE: RefCell<Vec<String>> = RefCell::new(Vec::new());
/// }
///
/// SERVED.set(7);
/// TRACE.with_borrow_mut(|trace| trace.push("caller".to_owned()));
/// let others = spawn(|| (SERVED.get(), TRACE.take())).join().unwrap();
/// assert_eq!(others, (0, vec![]));
/// assert_eq!(SERVED.get(), 7);
/// ```
#[macro_export]
macro_rules! coroutine_local {
    () => {};
    (
        $(#[$attribute:meta])* $visibility:vis static $name:ident: $type:ty = $init:expr
        $(; $($rest:tt)*)?
    ) => {
        $(#[$attribute])*
        $visibility static $name: $crate::local::LocalKey<$type> = {
            #[allow(unused_imports)]
            use $crate::local::Stays as _;
            fn init() -> $type {
                $init
            }
            $crate::local::LocalKey::__new(init, $crate::local::Moves::<$type>::OF_TYPE)
        };
        $($crate::coroutine_local! { $($rest)* })?
    };
}

/// A value that each task has of its own, declared by
/// [`coroutine_local!`](crate::coroutine_local); the counterpart of [`std::thread::LocalKey`].
///
/// The value is made when the task first uses it, and dropped at the task's end, where its
/// `Drop` may wait. In which order several are dropped is not said. A value whose `Drop` uses
/// another finds it, or an [`AccessError`] if that was dropped already.
///
/// An `async` task has its own too. If the value's type isn't `Send`, it stays with the worker
/// that made it: the task, polled by another worker, gets an [`AccessError`]; if it also ends
/// on another, the value is never dropped.
pub struct LocalKey<T: 'static> {
    init: fn() -> T,
    moves: Moves<T>,
}

/// Says whether a type is `Send`: of two constants of this name, a type that is `Send` has the
/// one here, which hides the trait's.
#[doc(hidden)]
pub struct Moves<T> {
    yes: bool,
    of: PhantomData<fn() -> T>,
}

impl<T: Send> Moves<T> {
    #[doc(hidden)]
    pub const OF_TYPE: Moves<T> = Moves {
        yes: true,
        of: PhantomData,
    };
}

#[doc(hidden)]
pub trait Stays: Sized {
    const OF_TYPE: Self;
}

impl<T> Stays for Moves<T> {
    const OF_TYPE: Moves<T> = Moves {
        yes: false,
        of: PhantomData,
    };
}

/// A task's value, and the thread that it must not leave.
struct Slot<T> {
    value: Option<T>,
    thread: Option<ThreadId>,
}

impl<T> Slot<T> {
    fn value(&self) -> &T {
        self.value.as_ref().expect("taken on drop only")
    }

    fn is_here(&self) -> bool {
        self.thread
            .is_none_or(|thread| thread == thread::current().id())
    }
}

impl<T> Drop for Slot<T> {
    fn drop(&mut self) {
        if !self.is_here() {
            std::mem::forget(self.value.take());
        }
    }
}

impl<T: 'static> LocalKey<T> {
    #[doc(hidden)]
    pub const fn __new(init: fn() -> T, moves: Moves<T>) -> LocalKey<T> {
        LocalKey { init, moves }
    }

    /// Calls `f` with the calling task's value, which is made first if it isn't there.
    ///
    /// `f` may wait: nobody else has this value.
    ///
    /// # Panics
    ///
    /// Where [`try_with`](Self::try_with) gives an error; and if making the value panics.
    #[track_caller]
    pub fn with<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        f(self.slot_or_panic(self.init).value())
    }

    /// As [`with`](Self::with), but gives an error if the value is gone.
    ///
    /// # Errors
    ///
    /// If the task's values are being dropped and this one was already, or never made; or if the
    /// caller is an async task and the value is another worker's.
    pub fn try_with<R>(&'static self, f: impl FnOnce(&T) -> R) -> Result<R, AccessError> {
        self.slot(self.init).map(|slot| f(slot.value()))
    }

    /// The calling task's value, made by `make` if it isn't there.
    fn slot(&'static self, make: impl FnOnce() -> T) -> Result<Rc<Slot<T>>, AccessError> {
        let key = std::ptr::from_ref(self).addr();
        // Only the look is inside: making and dropping values is foreign code.
        // SAFETY: who gets a slot looks whether it is where its value may be used; the slot goes
        // with the call that asked for it, which an async task doesn't return from in between.
        let found = local::with(|locals| match unsafe { locals.get(key) } {
            Some(value) => Ok(Some(value)),
            None if locals.is_ending() => Err(AccessError(())),
            None => Ok(None),
        });
        if let Some(value) = found.ok_or(AccessError(()))?? {
            let slot: Rc<Slot<T>> = value
                .downcast()
                .expect("under a static's address lies that static's value");
            return if slot.is_here() {
                Ok(slot)
            } else {
                Err(AccessError(()))
            };
        }
        let slot = Rc::new(Slot {
            value: Some(make()),
            thread: (!self.moves.yes).then(|| thread::current().id()),
        });
        let value: Rc<dyn Any> = Rc::<Slot<T>>::clone(&slot);
        // SAFETY: a slot forgets a value that must not be dropped where it is.
        match local::with(|locals| unsafe { locals.put(key, value) }) {
            Some(Ok(())) => Ok(slot),
            _ => Err(AccessError(())),
        }
    }

    #[track_caller]
    fn slot_or_panic(&'static self, make: impl FnOnce() -> T) -> Rc<Slot<T>> {
        match self.slot(make) {
            Ok(slot) => slot,
            Err(error) => panic!("{error}"),
        }
    }

    /// Has `change` put `value` in the place of the task's, which begins with it if there was
    /// none.
    #[track_caller]
    fn begin_or(&'static self, value: T, change: impl FnOnce(&T, T)) {
        let mut value = Some(value);
        let slot = self.slot_or_panic(|| value.take().expect("made once"));
        if let Some(value) = value {
            change(slot.value(), value);
        }
    }
}

/// These panic where [`with`](LocalKey::with) does.
impl<T: 'static> LocalKey<Cell<T>> {
    /// Sets the value. The initial one is not made first.
    #[track_caller]
    pub fn set(&'static self, value: T) {
        self.begin_or(Cell::new(value), |cell, value| cell.set(value.into_inner()));
    }

    /// Returns a copy of the value.
    #[track_caller]
    pub fn get(&'static self) -> T
    where
        T: Copy,
    {
        self.slot_or_panic(self.init).value().get()
    }

    /// Takes the value, and leaves the type's default.
    #[track_caller]
    pub fn take(&'static self) -> T
    where
        T: Default,
    {
        self.slot_or_panic(self.init).value().take()
    }

    /// Replaces the value, and returns the old one.
    #[track_caller]
    pub fn replace(&'static self, value: T) -> T {
        self.slot_or_panic(self.init).value().replace(value)
    }
}

/// These panic where [`with`](LocalKey::with) does, and if the value is borrowed in a way
/// that doesn't allow what they do.
impl<T: 'static> LocalKey<RefCell<T>> {
    /// Calls `f` with the value borrowed.
    #[track_caller]
    pub fn with_borrow<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        f(&self.slot_or_panic(self.init).value().borrow())
    }

    /// Calls `f` with the value borrowed to be changed.
    #[track_caller]
    pub fn with_borrow_mut<R>(&'static self, f: impl FnOnce(&mut T) -> R) -> R {
        f(&mut self.slot_or_panic(self.init).value().borrow_mut())
    }

    /// Sets the value. The initial one is not made first.
    #[track_caller]
    pub fn set(&'static self, value: T) {
        self.begin_or(RefCell::new(value), |cell, value| {
            drop(cell.replace(value.into_inner()));
        });
    }

    /// Takes the value, and leaves the type's default.
    #[track_caller]
    pub fn take(&'static self) -> T
    where
        T: Default,
    {
        self.slot_or_panic(self.init).value().take()
    }

    /// Replaces the value, and returns the old one.
    #[track_caller]
    pub fn replace(&'static self, value: T) -> T {
        self.slot_or_panic(self.init).value().replace(value)
    }
}

impl<T: 'static> fmt::Debug for LocalKey<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LocalKey { .. }")
    }
}

/// The task's value is gone: dropped at its end, or left behind on another worker.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AccessError(());

impl fmt::Debug for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessError")
    }
}

impl fmt::Display for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a coroutine-local value is dropped already, or another worker's")
    }
}

impl std::error::Error for AccessError {}
