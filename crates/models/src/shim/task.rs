//! Who waits: of interest to who looks at a program, and to no protocol.

pub(crate) mod identity {
    use crate::wait::Reason;

    pub(crate) fn note_wait(_reason: Reason, _object: usize) {}
}
