//! Changes of messages: what a fault, or somebody with an intent, might do to them.

use http::Method;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::corpus::{self, good};
use super::{oracle, oracle_of_responses};

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

fn change(lines: BoxedStrategy<Vec<u8>>) -> impl Strategy<Value = Change> {
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
        4 => (any::<Index>(), lines).prop_map(|(at, line)| Change::Line(at, line)),
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

/// Messages to change: mostly good ones, for most changes of a hostile one leave it hostile.
pub(crate) struct Seeds {
    good: Vec<Vec<u8>>,
    hostile: Vec<Vec<u8>>,
}

pub(crate) fn requests() -> Seeds {
    // Those with bodies thrice: they have more to be wrong about.
    let good = good::requests().into_iter().flat_map(|case| {
        let times = if case.body.is_empty() { 1 } else { 3 };
        std::iter::repeat_n(case.bytes(), times)
    });
    let hostile = corpus::requests::hostile()
        .into_iter()
        .map(|case| case.bytes);
    Seeds::new(good, hostile)
}

/// Responses, with bodies behind them that may be theirs.
pub(crate) fn responses() -> Seeds {
    let good = corpus::responses::good().into_iter().flat_map(|case| {
        let bodies: [&[u8]; 3] = [b"", b"hello", b"5\r\nhello\r\n0\r\n\r\n"];
        bodies.map(|body| [case.bytes, body].concat())
    });
    let hostile = corpus::responses::hostile()
        .into_iter()
        .map(|case| case.bytes);
    Seeds::new(good, hostile)
}

impl Seeds {
    /// Short ones only: a change of a long one rarely hits what matters.
    fn new(good: impl Iterator<Item = Vec<u8>>, hostile: impl Iterator<Item = Vec<u8>>) -> Seeds {
        let short = |bytes: &Vec<u8>| bytes.len() < 500;
        Seeds {
            good: good.filter(short).collect(),
            hostile: hostile.filter(short).collect(),
        }
    }

    /// One of the messages, changed in a few places.
    pub(crate) fn changed(self) -> impl Strategy<Value = Vec<u8>> {
        let changes = vec(change(self.lines().boxed()), 1..3);
        let seed = prop_oneof![15 => select(self.good), 1 => select(self.hostile)];
        (seed, changes).prop_map(|(mut bytes, changes)| {
            for change in &changes {
                change.apply(&mut bytes);
            }
            bytes
        })
    }

    /// A line of any of them.
    pub(crate) fn lines(&self) -> impl Strategy<Value = Vec<u8>> + use<> {
        let lines = |messages: &[Vec<u8>]| {
            let lines = messages
                .iter()
                .flat_map(|bytes| bytes.split_inclusive(|b| *b == b'\n'));
            let mut lines: Vec<Vec<u8>> = lines.map(Vec::from).collect();
            lines.sort();
            lines.dedup();
            lines
        };
        let is_field = |line: &Vec<u8>| line.contains(&b':') && !line.starts_with(b"Host");
        let fields = lines(&self.good)
            .into_iter()
            .filter(is_field)
            .collect::<Vec<_>>();
        prop_oneof![2 => select(fields), 1 => select(lines(&self.hostile))]
    }
}

#[test]
fn changes_leave_enough_to_compare() {
    let mut runner = TestRunner::deterministic();
    let mut share = |seeds: Seeds, accepted: fn(&[u8]) -> bool| {
        let changed = seeds.changed();
        let some =
            (0..2000).filter(|_| accepted(&changed.new_tree(&mut runner).unwrap().current()));
        some.count() as f64 / 2000.0
    };
    let shares = [
        share(requests(), |bytes| !oracle::by_us(bytes).is_empty()),
        share(requests(), |bytes| {
            let seen = oracle::by_us(bytes);
            seen.iter()
                .any(|seen| seen.body.as_ref().is_some_and(|body| !body.is_empty()))
        }),
        share(responses(), |bytes| {
            oracle_of_responses::by_us(bytes, &Method::GET).is_some()
        }),
    ];
    println!("{shares:?}");
    assert!(
        shares[0] > 0.2 && shares[1] > 0.08 && shares[2] > 0.2,
        "{shares:?}"
    );
}
