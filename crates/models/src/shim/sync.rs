//! Locks of loom's in the place of std's.

pub(crate) use std::sync::{Arc, PoisonError, Weak};

pub(crate) use loom::sync::{Mutex, MutexGuard};
