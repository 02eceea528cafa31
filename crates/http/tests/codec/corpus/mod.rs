//! Messages: hostile and good.

pub(crate) mod chunked;
pub(crate) mod good;
pub(crate) mod requests;
pub(crate) mod responses;

/// A message that must be refused.
pub(crate) struct Hostile {
    /// What is wrong with it.
    pub(crate) name: String,
    /// All its bytes.
    pub(crate) bytes: Vec<u8>,
    /// The status of the refusal.
    pub(crate) status: u16,
}

impl Hostile {
    fn new(name: impl Into<String>, bytes: impl Into<Vec<u8>>, status: u16) -> Hostile {
        Hostile {
            name: name.into(),
            bytes: bytes.into(),
            status,
        }
    }
}

/// Joins pieces of bytes.
fn joined(pieces: &[&[u8]]) -> Vec<u8> {
    pieces.concat()
}
