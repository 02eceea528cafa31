//! The search for cycles of locks, switched off.

pub(crate) struct Owner;

impl Owner {
    pub(crate) const fn none() -> Owner {
        Owner
    }

    pub(crate) fn acquired(&self) {}

    pub(crate) fn released(&self) {}
}

pub(crate) struct Wanting;

pub(crate) fn want(_: &Owner, _lock: usize) -> Wanting {
    Wanting
}
