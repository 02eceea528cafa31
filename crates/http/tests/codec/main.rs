//! The codec against tables of messages, against itself and against hyper.
//!
//! | module | what lives there |
//! |---|---|
//! | `changes` | messages, changed at random |
//! | `corpus` | the messages: hostile ones with the status they earn, and good ones |
//! | `hostile` | each hostile message is refused, each good one understood |
//! | `splits` | it makes no difference in how many pieces a message comes |
//! | `round_trip` | what was encoded parses to the same; noise never panics |
//! | `oracle` | hyper understands the requests that we accept in the same way |
//! | `oracle_of_responses` | and the responses |

mod changes;
mod corpus;
mod hostile;
mod oracle;
mod oracle_of_responses;
mod round_trip;
mod splits;

use http::Method;
use ropewalk_http::codec::body::Decoder;
use ropewalk_http::codec::request::RequestHead;
use ropewalk_http::codec::response::ResponseHead;
use ropewalk_http::codec::{self, Framing, Limits};

/// What a request's bytes come to: a head and its length, nothing yet, or a status.
fn request(bytes: &[u8]) -> Result<Option<(usize, RequestHead)>, u16> {
    request_within(bytes, &Limits::default())
}

fn request_within(bytes: &[u8], limits: &Limits) -> Result<Option<(usize, RequestHead)>, u16> {
    let mut head = RequestHead::default();
    let parsed = codec::request::parse(bytes, limits, &mut head);
    let parsed = parsed.map_err(|err| err.status().as_u16())?;
    Ok(parsed.map(|len| (len, head)))
}

/// The same of a response to `method`.
fn response(bytes: &[u8], method: &Method) -> Result<Option<(usize, ResponseHead)>, u16> {
    let mut head = ResponseHead::default();
    let parsed = codec::response::parse(bytes, method, &Limits::default(), &mut head);
    let parsed = parsed.map_err(|err| err.status().as_u16())?;
    Ok(parsed.map(|len| (len, head)))
}

/// A body taken from the front of some bytes.
#[derive(Debug, PartialEq, Eq)]
struct Body {
    data: Vec<u8>,
    /// How many bytes it had on the wire.
    consumed: usize,
    /// Whether its end was seen.
    done: bool,
}

/// Decodes a body that comes in the given pieces; a piece is given again from where the
/// decoder stopped in it.
fn body<'a>(
    framing: Framing,
    limits: &Limits,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Body, u16> {
    let mut decoder = Decoder::new(framing, limits);
    let (mut data, mut consumed) = (Vec::new(), 0);
    for mut piece in pieces {
        while !piece.is_empty() && !decoder.is_done() {
            let found = decoder.decode(piece).map_err(|err| err.status().as_u16())?;
            assert!(found.consumed > 0, "no progress over {piece:?}");
            assert!(found.data.end <= found.consumed, "{found:?}");
            assert!(
                !found.data.is_empty() || found.consumed == piece.len() || decoder.is_done(),
                "stopped without a reason: {found:?}"
            );
            data.extend_from_slice(&piece[found.data.clone()]);
            piece = &piece[found.consumed..];
            consumed += found.consumed;
        }
    }
    let done = decoder.is_done();
    Ok(Body {
        data,
        consumed,
        done,
    })
}

/// Bytes, readable, and not more of them than a person reads.
fn shown(bytes: &[u8]) -> String {
    bytes[..bytes.len().min(300)].escape_ascii().to_string()
}
