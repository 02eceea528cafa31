//! Cells whose uses loom checks: two that aren't ordered, one of them a write, are a fault.

pub(crate) use loom::cell::Cell;

/// As std's, but each `get` counts as a write at that moment.
pub(crate) struct UnsafeCell<T> {
    value: std::cell::UnsafeCell<T>,
    witness: loom::cell::UnsafeCell<()>,
}

impl<T> UnsafeCell<T> {
    #[track_caller]
    pub(crate) fn new(value: T) -> UnsafeCell<T> {
        UnsafeCell {
            value: std::cell::UnsafeCell::new(value),
            witness: loom::cell::UnsafeCell::new(()),
        }
    }

    #[track_caller]
    pub(crate) fn get(&self) -> *mut T {
        self.witness.with_mut(|_| ());
        self.value.get()
    }
}

impl<T> From<T> for UnsafeCell<T> {
    #[track_caller]
    fn from(value: T) -> UnsafeCell<T> {
        UnsafeCell::new(value)
    }
}
