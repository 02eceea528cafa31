//! What a request carries: nothing, bytes, or a reader with or without a known length.

use std::fmt;
use std::io::Read;

use bytes::Bytes;

/// The body of a request.
///
/// Bytes and text are sent with their length and can be sent again after a redirect or on a fresh
/// connection. A reader can be read once: [`Body::reader`] is sent chunked, [`Body::sized`] with its
/// length. A reader is read on the coroutine (or thread) that sends.
#[derive(Default)]
pub struct Body(Source);

#[derive(Default)]
pub(crate) enum Source {
    #[default]
    Empty,
    Bytes(Bytes),
    Reader {
        reader: Box<dyn Read + Send>,
        length: Option<u64>,
        started: bool,
    },
}

impl Body {
    /// Makes a body without content.
    pub fn empty() -> Body {
        Body(Source::Empty)
    }

    /// Sends what `reader` gives until it ends, in chunks.
    pub fn reader(reader: impl Read + Send + 'static) -> Body {
        Body(Source::Reader {
            reader: Box::new(reader),
            length: None,
            started: false,
        })
    }

    /// Sends the next `length` bytes of `reader`, with their length ahead. One that ends before
    /// fails the call; what it has beyond is left unread.
    pub fn sized(reader: impl Read + Send + 'static, length: u64) -> Body {
        Body(Source::Reader {
            reader: Box::new(reader),
            length: Some(length),
            started: false,
        })
    }

    /// Returns the number of bytes, unless it shows only at the end.
    pub fn len(&self) -> Option<u64> {
        match &self.0 {
            Source::Empty => Some(0),
            Source::Bytes(bytes) => Some(bytes.len() as u64),
            Source::Reader { length, .. } => *length,
        }
    }

    /// Tells whether there is certainly nothing to send.
    pub fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }

    pub(crate) fn source(&mut self) -> &mut Source {
        &mut self.0
    }

    /// Tells whether the body can be sent from its beginning (again).
    pub(crate) fn is_replayable(&self) -> bool {
        !matches!(self.0, Source::Reader { started: true, .. })
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let form = match &self.0 {
            Source::Empty => "Empty",
            Source::Bytes(_) => "Bytes",
            Source::Reader { .. } => "Reader",
        };
        f.debug_struct("Body")
            .field("form", &form)
            .field("len", &self.len())
            .finish()
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Body {
        if bytes.is_empty() {
            Body(Source::Empty)
        } else {
            Body(Source::Bytes(bytes))
        }
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Body {
        Bytes::from(bytes).into()
    }
}

impl From<String> for Body {
    fn from(text: String) -> Body {
        Bytes::from(text).into()
    }
}

impl From<&'static [u8]> for Body {
    fn from(bytes: &'static [u8]) -> Body {
        Bytes::from_static(bytes).into()
    }
}

impl<const N: usize> From<&'static [u8; N]> for Body {
    fn from(bytes: &'static [u8; N]) -> Body {
        Bytes::from_static(bytes).into()
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Body {
        Bytes::from_static(text.as_bytes()).into()
    }
}
