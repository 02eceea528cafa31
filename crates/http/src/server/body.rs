//! A request's body, read as the handler asks for it.

use std::io::{self, Read};

use ropewalk_rt::net::TcpStream;

use crate::codec::ProtocolError;
use crate::codec::body::Decoder;

/// What a body reads from: the connection, whatever it is.
pub(super) trait Wire {
    /// What has been received and not consumed.
    fn filled(&self) -> &[u8];
    fn consume(&mut self, bytes: usize);
    /// Receives more; 0 at the end. What is to be sent is sent first.
    fn fill(&mut self) -> io::Result<usize>;
    /// Asks the client for the body it holds back.
    fn send_continue(&mut self) -> io::Result<()>;
    /// The client's socket, if there is one, once what is to be sent is sent.
    fn socket(&mut self) -> Option<&TcpStream>;
}

/// A request's body; an [`io::Read`].
///
/// Reading waits for the client, under the server's deadline for bodies. If the client asked
/// for it, the first read sends `100 Continue`. What is left unread is thrown away or, if it
/// is too much, the connection is closed after the answer.
///
/// # Errors
///
/// `TimedOut`; `UnexpectedEof` when the client goes away in the middle; `InvalidData` for
/// broken framing or a body over the limit. The source of the last is a [`ProtocolError`],
/// whose status the server answers if the handler passes the error on.
pub struct RequestBody<'c> {
    pub(super) wire: &'c mut dyn Wire,
    pub(super) decoder: &'c mut Decoder,
    /// Whether the client still waits for `100 Continue`.
    pub(super) held_back: &'c mut bool,
}

impl RequestBody<'_> {
    /// How many bytes are still to come, where the client has said so.
    pub fn left(&self) -> Option<u64> {
        self.decoder.left()
    }

    /// Says whether all has been read.
    pub fn is_done(&self) -> bool {
        self.decoder.is_done()
    }
}

impl Read for RequestBody<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        while !self.decoder.is_done() {
            if std::mem::take(self.held_back) {
                self.wire.send_continue()?;
            }
            let filled = self.wire.filled();
            let filled = &filled[..filled.len().min(buf.len())];
            let decoded = self.decoder.decode(filled).map_err(invalid)?;
            let data = &filled[decoded.data];
            let len = data.len();
            buf[..len].copy_from_slice(data);
            self.wire.consume(decoded.consumed);
            if len > 0 {
                return Ok(len);
            }
            if decoded.consumed == 0 && !self.decoder.is_done() && self.wire.fill()? == 0 {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the client went away in the middle of the body",
                ));
            }
        }
        Ok(0)
    }
}

fn invalid(error: ProtocolError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
