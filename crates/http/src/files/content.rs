//! The body of an answer: parts of one file, with text in between, read as they are sent.
//!
//! A file is read at positions, a buffer at a time, so a response costs the same memory whatever the
//! file's size. What the page cache holds is read at once; for what the disk has to bring this
//! coroutine waits, but not the worker. A file that shrinks meanwhile is an error: the promised
//! length can't be kept, so the connection must break rather than let the client take a part for
//! the whole.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read};

use bytes::{Buf, Bytes};
use ropewalk_rt::fs::File;

use super::range::Span;

/// What is sent, in order.
#[derive(Debug)]
pub(super) struct Content {
    file: File,
    pieces: VecDeque<Piece>,
}

#[derive(Debug)]
enum Piece {
    Text(Bytes),
    /// Bytes of the file from `first` on.
    File {
        first: u64,
        length: u64,
    },
}

impl Content {
    /// One part of `file`, or all of it.
    pub(super) fn part(file: impl Into<File>, first: u64, length: u64) -> Content {
        Content {
            file: file.into(),
            pieces: [Piece::File { first, length }].into(),
        }
    }

    /// Several parts as a `multipart/byteranges` body (RFC 9110, section 14.6). Returns it with the
    /// value of its `Content-Type`.
    pub(super) fn multipart(
        file: impl Into<File>,
        spans: &[Span],
        length: u64,
        content_type: &str,
    ) -> (Content, String) {
        let boundary = boundary();
        let mut pieces = VecDeque::with_capacity(spans.len() * 2 + 1);
        for span in spans {
            let text = format!(
                "\r\n--{boundary}\r\nContent-Type: {content_type}\r\n\
                 Content-Range: bytes {}-{}/{length}\r\n\r\n",
                span.first, span.last
            );
            pieces.push_back(Piece::Text(text.into()));
            pieces.push_back(Piece::File {
                first: span.first,
                length: span.len(),
            });
        }
        pieces.push_back(Piece::Text(format!("\r\n--{boundary}--\r\n").into()));
        (
            Content {
                file: file.into(),
                pieces,
            },
            format!("multipart/byteranges; boundary={boundary}"),
        )
    }

    /// Returns how many bytes are left to read.
    pub(super) fn len(&self) -> u64 {
        let length = |piece: &Piece| match piece {
            Piece::Text(text) => text.len() as u64,
            Piece::File { length, .. } => *length,
        };
        self.pieces.iter().map(length).sum()
    }
}

/// Makes a boundary no content can foresee.
fn boundary() -> String {
    let random = RandomState::new();
    format!(
        "ropewalk-{:016x}{:016x}",
        random.hash_one(1),
        random.hash_one(2)
    )
}

impl Read for Content {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            match self.pieces.front_mut() {
                None => return Ok(0),
                Some(Piece::Text(text)) if text.has_remaining() => {
                    let n = text.len().min(buf.len());
                    text.copy_to_slice(&mut buf[..n]);
                    return Ok(n);
                }
                Some(Piece::File { first, length }) if *length > 0 => {
                    let most = usize::try_from(*length)
                        .unwrap_or(usize::MAX)
                        .min(buf.len());
                    let n = match self.file.read_at(&mut buf[..most], *first) {
                        Ok(0) => {
                            let message = "the file became shorter while it was sent";
                            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
                        }
                        Ok(n) => n,
                        Err(e) => return Err(e),
                    };
                    *first += n as u64;
                    *length -= n as u64;
                    return Ok(n);
                }
                Some(_) => {
                    self.pieces.pop_front();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Write;

    fn digits(name: &str, length: usize) -> File {
        let name = format!("ropewalk-content-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .unwrap();
        let text: Vec<u8> = (0..length).map(|i| b'0' + (i % 10) as u8).collect();
        file.write_all(&text).unwrap();
        std::fs::remove_file(&path).unwrap();
        file
    }

    /// Reads in steps of `step` bytes.
    fn read(mut content: Content, step: usize) -> String {
        let promised = content.len();
        let mut all = Vec::new();
        let mut buf = vec![0; step];
        loop {
            match content.read(&mut buf).unwrap() {
                0 => break,
                n => all.extend_from_slice(&buf[..n]),
            }
        }
        assert_eq!(all.len() as u64, promised);
        String::from_utf8(all).unwrap()
    }

    #[test]
    fn parts() {
        for step in [1, 3, 100] {
            assert_eq!(
                read(Content::part(digits("a", 10), 0, 10), step),
                "0123456789"
            );
            assert_eq!(read(Content::part(digits("a", 10), 3, 4), step), "3456");
            assert_eq!(read(Content::part(digits("a", 10), 0, 0), step), "");
        }
    }

    #[test]
    fn multipart() {
        let spans = [Span { first: 1, last: 3 }, Span { first: 9, last: 9 }];
        for step in [1, 7, 1000] {
            let (content, kind) = Content::multipart(digits("m", 10), &spans, 10, "text/plain");
            let boundary = kind
                .strip_prefix("multipart/byteranges; boundary=")
                .unwrap();
            assert_eq!(
                read(content, step),
                format!(
                    "\r\n--{boundary}\r\nContent-Type: text/plain\r\n\
                     Content-Range: bytes 1-3/10\r\n\r\n123\
                     \r\n--{boundary}\r\nContent-Type: text/plain\r\n\
                     Content-Range: bytes 9-9/10\r\n\r\n9\r\n--{boundary}--\r\n"
                )
            );
        }
    }

    /// What the page cache doesn't hold is read all the same, from a coroutine and from a thread.
    #[test]
    fn uncached_file_is_read() {
        let expected: String = ('0'..='9').cycle().take(300_000).collect();
        let uncached = || {
            let file = digits("u", 300_000);
            file.sync_all().unwrap();
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
            Content::part(file, 0, 300_000)
        };
        assert!(read(uncached(), 64 << 10) == expected);
        let runtime = ropewalk_rt::Runtime::builder().workers(1).build().unwrap();
        assert!(runtime.run(|| read(uncached(), 64 << 10)) == expected);
    }

    #[test]
    fn shrunk_file_is_an_error() {
        let file = digits("s", 10);
        let handle = file.try_clone().unwrap();
        let mut content = Content::part(file, 0, 10);
        let mut buf = [0; 4];
        assert_eq!(content.read(&mut buf).unwrap(), 4);
        handle.set_len(4).unwrap();
        assert_eq!(
            content.read(&mut buf).unwrap_err().kind(),
            io::ErrorKind::UnexpectedEof
        );
    }
}
