//! N7, known as sticky packets: TCP is a stream of bytes and knows no borders of messages.
//!
//! Three `write`s may come out of one `read`, and one `write` out of many. The first part shows
//! that; the second puts borders in: a length before each message, or a line's end after it. Both
//! readers put together again what the network has split and merged in any way.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};

use ropewalk::coroutine;
use ropewalk::net::{TcpListener, TcpStream};

/// The longest message that is taken, in bytes: a length from outside is not to be trusted.
pub const MESSAGE_BYTES_MAX: u32 = 1 << 20;

/// Writes a message with its length before it: four bytes, the highest first.
///
/// # Errors
///
/// `InvalidInput` for one that is too long, and the writer's.
pub fn write_frame(writer: &mut impl Write, message: &[u8]) -> io::Result<()> {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    if length > MESSAGE_BYTES_MAX {
        let text = format!("a message of {length} bytes; {MESSAGE_BYTES_MAX} are the most");
        return Err(io::Error::new(ErrorKind::InvalidInput, text));
    }
    writer.write_all(&length.to_be_bytes())?;
    writer.write_all(message)
}

/// Reads a message with its length before it; `None` at an end between two messages.
///
/// # Errors
///
/// `UnexpectedEof` for an end inside a message, `InvalidData` for a length over the limit, and
/// the reader's.
pub fn read_frame(reader: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    let first = loop {
        match reader.read(&mut length[..1]) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => break result?,
        }
    };
    if first == 0 {
        return Ok(None);
    }
    reader.read_exact(&mut length[1..])?;
    let length = u32::from_be_bytes(length);
    if length > MESSAGE_BYTES_MAX {
        let text = format!("a message of {length} bytes was announced");
        return Err(io::Error::new(ErrorKind::InvalidData, text));
    }
    let mut message = vec![0; length as usize];
    reader.read_exact(&mut message)?;
    Ok(Some(message))
}

/// Reads a line without its end; `None` at the end of the stream.
///
/// # Errors
///
/// `InvalidData` for one that is too long or no UTF-8, and the reader's.
pub fn read_line(reader: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = String::new();
    let limit = u64::from(MESSAGE_BYTES_MAX);
    if reader.by_ref().take(limit).read_line(&mut line)? == 0 {
        return Ok(None);
    }
    match line.strip_suffix('\n') {
        Some(text) => Ok(Some(text.strip_suffix('\r').unwrap_or(text).to_string())),
        None if line.len() as u64 == limit => {
            Err(io::Error::new(ErrorKind::InvalidData, "a line too long"))
        }
        // The last one may lack its end.
        None => Ok(Some(line)),
    }
}

/// Two ends of a connection.
///
/// # Errors
///
/// The system's.
pub fn connected() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let near = TcpStream::connect(listener.local_addr()?)?;
    let (far, _) = listener.accept()?;
    Ok((near, far))
}

/// How many reads it took to receive `count` small writes that were made in a row.
///
/// # Errors
///
/// The system's.
pub fn reads_for_writes(count: usize) -> io::Result<usize> {
    let (mut near, mut far) = connected()?;
    for _ in 0..count {
        near.write_all(b"message")?;
    }
    drop(near);
    let mut reads = 0;
    let mut buf = [0; 4096];
    while far.read(&mut buf)? != 0 {
        reads += 1;
    }
    Ok(reads)
}

/// Sends `bytes` in pieces of the given sizes, each by itself.
///
/// # Errors
///
/// The system's.
pub fn send_in_pieces(
    stream: &mut TcpStream,
    mut bytes: &[u8],
    sizes: impl IntoIterator<Item = usize>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    for size in sizes {
        if bytes.is_empty() {
            break;
        }
        let (piece, rest) = bytes.split_at(size.clamp(1, bytes.len()));
        stream.write_all(piece)?;
        coroutine::yield_now();
        bytes = rest;
    }
    stream.write_all(bytes)
}

#[ropewalk::main]
fn main() -> io::Result<()> {
    println!("10 writes came out of {} read(s)", reads_for_writes(10)?);

    let (mut near, mut far) = connected()?;
    let sender = coroutine::spawn(move || {
        let mut bytes = Vec::new();
        for message in ["hello", "", "sticky packets", "have borders now"] {
            write_frame(&mut bytes, message.as_bytes())?;
        }
        send_in_pieces(&mut near, &bytes, std::iter::repeat(3))
    });
    while let Some(message) = read_frame(&mut far)? {
        println!("a message: {:?}", String::from_utf8_lossy(&message));
    }
    sender.join().expect("no panic")?;

    let (mut near, far) = connected()?;
    let sender = coroutine::spawn(move || {
        send_in_pieces(&mut near, b"one\ntwo\r\n\nthe last", [1, 5, 2, 1])
    });
    let mut far = BufReader::new(far);
    while let Some(line) = read_line(&mut far)? {
        println!("a line: {line:?}");
    }
    sender.join().expect("no panic")
}
