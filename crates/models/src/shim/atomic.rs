//! Loom's atomics, and a fence between sequentially consistent accesses.
//!
//! To loom a `SeqCst` access is acquire and release only; its `SeqCst` fences are whole. So before
//! each `SeqCst` access of a thread whose last write was `SeqCst` there is one. After a write that is
//! not `SeqCst`, or before a read that isn't, there is none, so that a model notices if one of the
//! two should have been.

use std::cell::Cell;

pub(crate) use loom::sync::atomic::Ordering;
use loom::sync::atomic::fence;

loom::thread_local! {
    /// Whether the thread's last write was `SeqCst`, with no fence after it.
    static LAST_WRITE: Cell<bool> = Cell::new(false);
}

fn before(order: Ordering) {
    if order == Ordering::SeqCst
        && LAST_WRITE
            .try_with(|last| last.replace(false))
            .is_ok_and(|last| last)
    {
        fence(Ordering::SeqCst);
    }
}

fn after_write(order: Ordering) {
    // A thread that ends has nothing to read.
    let _ = LAST_WRITE.try_with(|last| last.set(order == Ordering::SeqCst));
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
