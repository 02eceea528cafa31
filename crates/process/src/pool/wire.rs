//! What a pool and its workers say to each other besides arguments and results.

use serde::{Deserialize, Serialize};

use crate::ring::Layout;

/// How [`Launch`](crate::launch::Launch) calls a worker.
pub(super) const KIND: &str = "pool-worker";

/// What to call, as it stands in a slot: the task's number, and whether once or for a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Code(pub(super) u32);

impl Code {
    pub(super) fn new(index: u32, chunk: bool) -> Code {
        Code(index << 1 | u32::from(chunk))
    }

    pub(super) fn index(self) -> u32 {
        self.0 >> 1
    }

    pub(super) fn is_chunk(self) -> bool {
        self.0 & 1 != 0
    }
}

/// How a task came out, as it stands in a slot.
pub(super) mod outcome {
    /// The payload is the result.
    pub(crate) const VALUE: u32 = 0;
    /// The payload is a [`Panic`](ropewalk_rt::executor::tasks::Panic).
    pub(crate) const PANIC: u32 = 1;
    /// The payload is a sentence: arguments or result could not be serialised.
    pub(crate) const FAILED: u32 = 2;
}

/// What a worker is told at its start. Its descriptors are, in this order: the mapping, the
/// mapping with the parent's bell, the socket, and those of the initialiser's arguments.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Orders {
    pub(super) layout: Layout,
    /// Usable stack of the coroutine that runs the tasks, in bytes.
    pub(super) stack_size: usize,
    /// The resident memory to look after between tasks, if there is a limit.
    pub(super) memory_max: Option<u64>,
    /// How many nanoseconds to look for a task at most before going to sleep.
    pub(super) spin_ns: u64,
    /// The task to call first, and its arguments.
    pub(super) initializer: Option<(u32, Vec<u8>)>,
}

/// What a worker says when it is ready, or why it isn't: one message on its socket.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Hello {
    Ready,
    Failed(String),
}

/// The longest hello.
pub(super) const HELLO_MAX: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_as_written() {
        for index in [0, 1, 77, u32::MAX >> 1] {
            for chunk in [false, true] {
                let code = Code::new(index, chunk);
                assert_eq!((code.index(), code.is_chunk()), (index, chunk));
            }
        }
    }
}
