//! Loom's atomics, and a fence between sequentially consistent accesses.
//!
//! To loom a `SeqCst` access is acquire and release only; its `SeqCst` fences are whole. A `SeqCst`
//! write and a later `SeqCst` read are kept in order by a fence somewhere between them. Right behind the
//! write, it would order later reads that are not `SeqCst` too; right before the read, earlier writes.
//! So each model is run with either, and what only one of them hides the other shows.

use std::cell::Cell;

pub(crate) use loom::sync::atomic::Ordering;
use loom::sync::atomic::fence;

/// Where fences are put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fences {
    BehindWrites,
    BeforeReads,
}

std::thread_local! {
    static FENCES: Cell<Fences> = const { Cell::new(Fences::BehindWrites) };
}

loom::thread_local! {
    /// Whether the thread has made a `SeqCst` write with no fence behind it.
    static HAS_WRITTEN: Cell<bool> = Cell::new(false);
}

/// Says where models that run on this thread from now on have their fences.
pub(crate) fn put_fences(fences: Fences) {
    FENCES.set(fences);
}

fn before(order: Ordering) {
    if order == Ordering::SeqCst
        && HAS_WRITTEN
            .try_with(|written| written.replace(false))
            .is_ok_and(|written| written)
    {
        fence(Ordering::SeqCst);
    }
}

fn after_write(order: Ordering) {
    if order != Ordering::SeqCst {
        return;
    }
    if FENCES.get() == Fences::BehindWrites {
        fence(Ordering::SeqCst);
    } else {
        // A thread that ends has nothing to read.
        let _ = HAS_WRITTEN.try_with(|written| written.set(true));
    }
}

macro_rules! atomic {
    ($name:ident $(<$t:ident>)?, $value:ty) => {
        pub(crate) struct $name $(<$t>)? (loom::sync::atomic::$name $(<$t>)?);

        #[allow(dead_code, reason = "each type has the same methods")]
        impl $(<$t>)? $name $(<$t>)? {
            #[track_caller]
            pub(crate) fn new(value: $value) -> Self {
                Self(loom::sync::atomic::$name::new(value))
            }

            #[track_caller]
            pub(crate) fn load(&self, order: Ordering) -> $value {
                before(order);
                self.0.load(order)
            }

            #[track_caller]
            pub(crate) fn store(&self, value: $value, order: Ordering) {
                before(order);
                self.0.store(value, order);
                after_write(order);
            }

            #[track_caller]
            pub(crate) fn swap(&self, value: $value, order: Ordering) -> $value {
                before(order);
                let old = self.0.swap(value, order);
                after_write(order);
                old
            }

            #[track_caller]
            pub(crate) fn compare_exchange(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                before(success);
                let result = self.0.compare_exchange(current, new, success, failure);
                if result.is_ok() {
                    after_write(success);
                }
                result
            }

            #[track_caller]
            pub(crate) fn compare_exchange_weak(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                self.compare_exchange(current, new, success, failure)
            }

            #[track_caller]
            pub(crate) fn fetch_update(
                &self,
                success: Ordering,
                failure: Ordering,
                mut update: impl FnMut($value) -> Option<$value>,
            ) -> Result<$value, $value> {
                let mut seen = self.load(failure);
                while let Some(next) = update(seen) {
                    match self.compare_exchange(seen, next, success, failure) {
                        Ok(old) => return Ok(old),
                        Err(now) => seen = now,
                    }
                }
                Err(seen)
            }
        }
    };
}

macro_rules! arithmetic {
    ($name:ident, $value:ty: $($method:ident)*) => {
        #[allow(dead_code, reason = "each type has the same methods")]
        impl $name {
            $(
                #[track_caller]
                pub(crate) fn $method(&self, value: $value, order: Ordering) -> $value {
                    before(order);
                    let old = self.0.$method(value, order);
                    after_write(order);
                    old
                }
            )*
        }
    };
}

atomic!(AtomicBool, bool);
atomic!(AtomicU8, u8);
atomic!(AtomicU32, u32);
atomic!(AtomicU64, u64);
atomic!(AtomicUsize, usize);
atomic!(AtomicPtr<T>, *mut T);

arithmetic!(AtomicBool, bool: fetch_and fetch_or fetch_xor);
arithmetic!(AtomicU8, u8: fetch_add fetch_sub fetch_and fetch_or fetch_xor);
arithmetic!(AtomicU32, u32: fetch_add fetch_sub fetch_and fetch_or fetch_xor);
arithmetic!(AtomicU64, u64: fetch_add fetch_sub fetch_and fetch_or fetch_xor);
arithmetic!(AtomicUsize, usize: fetch_add fetch_sub fetch_and fetch_or fetch_xor);
