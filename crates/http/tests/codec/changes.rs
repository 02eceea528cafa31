//! Changes of messages: what a fault, or somebody with an intent, might do to them.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::corpus::{good, requests, responses};

/// One change of a message.
#[derive(Clone, Debug)]
enum Change {
    Replace(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    /// Repeats some bytes behind themselves.
    Repeat(Index, usize),
    /// Puts a line in, behind any line.
    Line(Index, Vec<u8>),
    /// Changes the case of a letter.
    Case(Index),
}

fn change(lines: Vec<Vec<u8>>) -> impl Strategy<Value = Change> {
    let sharp = select(b"\r\n \t\x0b\x0c\x00:;,=/?#*@[]%+-0159aAfF\x7f\x80\xa0\xff".to_vec());
    let byte = prop_oneof![3 => sharp, 1 => any::<u8>()];
    let words: Vec<Vec<u8>> = [
        &b"\r\n"[..],
        b"\r\n\r\n",
        b"\n\n",
        b"\r\n ",
        b"0\r\n\r\n",
        b"GET / HTTP/1.1\r\n",
        b"chunked",
        b", chunked",
        b"HTTP/1.0",
        b"http://",
    ]
    .map(<[u8]>::to_vec)
    .into();
    prop_oneof![
        3 => (any::<Index>(), byte.clone()).prop_map(|(at, byte)| Change::Replace(at, byte)),
        3 => (any::<Index>(), vec(byte, 1..3)).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        2 => (any::<Index>(), select(words)).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        2 => (any::<Index>(), 1..4usize).prop_map(|(at, len)| Change::Remove(at, len)),
        1 => (any::<Index>(), 1..40usize).prop_map(|(at, len)| Change::Repeat(at, len)),
        4 => (any::<Index>(), select(lines)).prop_map(|(at, line)| Change::Line(at, line)),
        1 => any::<Index>().prop_map(Change::Case),
    ]
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        match self {
            Change::Replace(at, byte) => {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            Change::Insert(at, new) => {
                let at = at.index(bytes.len() + 1);
                bytes.splice(at..at, new.iter().copied());
            }
            Change::Remove(at, len) => {
                let at = at.index(bytes.len());
                bytes.drain(at..bytes.len().min(at + len));
            }
            Change::Repeat(at, len) => {
                let at = at.index(bytes.len());
                let end = bytes.len().min(at + len);
                bytes.extend_from_within(at..end);
                bytes[at..].rotate_right(end - at);
            }
            Change::Line(at, line) => {
                let ends: Vec<usize> = line_starts(bytes);
                let Some(at) = ends.get(at.index(ends.len().max(1))) else {
                    return;
                };
                bytes.splice(at..at, line.iter().copied());
            }
            Change::Case(at) => {
                let at = at.index(bytes.len());
                if bytes[at].is_ascii_alphabetic() {
                    bytes[at] ^= 0x20;
                }
            }
        }
    }
}

/// The places behind line ends.
fn line_starts(bytes: &[u8]) -> Vec<usize> {
    let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    ends.map(|(at, _)| at + 1).collect()
}

/// Messages to change: short ones, for a change of a long one rarely hits what matters.
pub(crate) fn request_seeds() -> Vec<Vec<u8>> {
    let good = good::requests().into_iter().map(|case| case.bytes());
    let hostile = requests::hostile().into_iter().map(|case| case.bytes);
    let short = |bytes: &Vec<u8>| bytes.len() < 500;
    good.chain(hostile.step_by(7)).filter(short).collect()
}

/// The same of responses, with bodies behind them.
pub(crate) fn response_seeds() -> Vec<Vec<u8>> {
    let good = responses::good().into_iter().flat_map(|case| {
        let bodies: [&[u8]; 3] = [b"", b"hello", b"5\r\nhello\r\n0\r\n\r\n"];
        bodies.map(|body| [case.bytes, body].concat())
    });
    let hostile = responses::hostile().into_iter().map(|case| case.bytes);
    let short = |bytes: &Vec<u8>| bytes.len() < 500;
    good.chain(hostile).filter(short).collect()
}

/// All their lines, to put into others.
pub(crate) fn lines_of(messages: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let lines = messages
        .iter()
        .flat_map(|bytes| bytes.split_inclusive(|byte| *byte == b'\n'));
    let mut lines: Vec<Vec<u8>> = lines.map(Vec::from).collect();
    lines.sort();
    lines.dedup();
    lines
}

/// One of the messages, changed in a few places.
pub(crate) fn changed(seeds: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let changes = vec(change(lines_of(&seeds)), 1..4);
    (select(seeds), changes).prop_map(|(mut bytes, changes)| {
        for change in &changes {
            change.apply(&mut bytes);
        }
        bytes
    })
}
