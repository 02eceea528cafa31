//! What was encoded parses to the same, however it is cut; noise never panics, and no mutation
//! of a good request is understood otherwise than by hyper.

use std::sync::LazyLock;

use http::{HeaderName, HeaderValue, Method, StatusCode};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use ropewalk_http::codec::{self, Framing, Limits};

use super::corpus::{good, requests};
use super::hostile::body_limits;
use super::{body, oracle, request, response};

fn method() -> impl Strategy<Value = Method> {
    let known = select(vec![
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::PATCH,
        Method::TRACE,
        Method::OPTIONS,
    ]);
    let other = "[!#$%&'*+.^_`|~0-9A-Za-z-]{1,30}";
    let other = other.prop_map(|name| Method::from_bytes(name.as_bytes()).unwrap());
    prop_oneof![3 => known, 1 => other.prop_filter("another form", |it| *it != Method::CONNECT)]
}

fn target() -> impl Strategy<Value = String> {
    let origin = r#"/[!"$%&'()*+,./0-9:;=@A-Z\[\]_a-z{|}~-]{0,60}"#;
    let query = r"(\?[!$%&'()*+,./0-9:;=?@A-Z\[\]_a-z{|}~-]{0,60})?";
    let absolute = r"https?://[a-z0-9.-]{1,20}(:[0-9]{1,4})?";
    prop_oneof![
        3 => (origin, query).prop_map(|(path, query)| path + &query),
        1 => (absolute, origin, query).prop_map(|(uri, path, query)| uri + &path + &query),
        1 => (absolute, query).prop_map(|(uri, query)| uri + &query),
    ]
}

/// Names and values of fields that say nothing about the framing.
fn fields() -> impl Strategy<Value = Vec<(HeaderName, HeaderValue)>> {
    let name = "[!#$%&'*+.^_`|~0-9a-z-]{1,30}".prop_filter("it frames", |name| {
        let said = [
            "host",
            "expect",
            "connection",
            "content-length",
            "transfer-encoding",
        ];
        !said.contains(&name.as_str())
    });
    let inner = prop_oneof![0x20..=0x7eu8, Just(b'\t'), 0x80..=0xffu8];
    let value = vec(inner, 0..60).prop_map(|bytes| {
        // Margins are not part of a value, and do not come back.
        HeaderValue::from_bytes(bytes.trim_ascii()).unwrap()
    });
    vec((name.prop_map(|name| name.parse().unwrap()), value), 0..30)
}

fn pieces() -> impl Strategy<Value = Vec<Vec<u8>>> {
    vec(
        prop_oneof![vec(any::<u8>(), 0..40), vec(any::<u8>(), 200..2000)],
        0..12,
    )
}

/// Cuts bytes at some places.
fn cut<'a>(bytes: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    places
        .windows(2)
        .map(|pair| &bytes[pair[0]..pair[1]])
        .collect()
}

/// One change of a message.
#[derive(Clone, Debug)]
enum Change {
    Replace(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    /// Repeats some bytes behind themselves.
    Repeat(Index, usize),
    /// Puts a line in, behind any line.
    Line(Index, Index),
    /// Changes the case of a letter.
    Case(Index),
}

fn change() -> impl Strategy<Value = Change> {
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
        4 => (any::<Index>(), any::<Index>()).prop_map(|(at, from)| Change::Line(at, from)),
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
            Change::Line(at, from) => {
                let ends: Vec<usize> = line_starts(bytes);
                let Some(at) = ends.get(at.index(ends.len().max(1))) else {
                    return;
                };
                let line = &LINES[from.index(LINES.len())];
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
static SEEDS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let good = good::requests().into_iter().map(|case| case.bytes());
    let hostile = requests::hostile().into_iter().map(|case| case.bytes);
    good.chain(hostile.step_by(7))
        .filter(|bytes| bytes.len() < 500)
        .collect()
});

/// The lines of all of them, to put into others.
static LINES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let all = requests::hostile().into_iter().map(|case| case.bytes);
    let all = all.chain(good::requests().into_iter().map(|case| case.bytes()));
    let mut lines: Vec<Vec<u8>> = all
        .filter(|bytes| bytes.len() < 500)
        .flat_map(|bytes| {
            let lines: Vec<Vec<u8>> = bytes
                .split_inclusive(|b| *b == b'\n')
                .map(Vec::from)
                .collect();
            lines
        })
        .collect();
    lines.sort();
    lines.dedup();
    lines
});

fn changed() -> impl Strategy<Value = Vec<u8>> {
    (any::<Index>(), vec(change(), 1..4)).prop_map(|(seed, changes)| {
        let mut bytes = SEEDS[seed.index(SEEDS.len())].clone();
        for change in &changes {
            change.apply(&mut bytes);
        }
        bytes
    })
}

/// Bytes that look like messages from afar.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        select(LINES.clone()),
        vec(any::<u8>(), 0..20),
        select(vec![
            b"\r\n".to_vec(),
            b"0\r\n".to_vec(),
            b": ".to_vec(),
            b" ".to_vec()
        ]),
    ];
    prop_oneof![
        vec(any::<u8>(), 0..300),
        vec(word, 0..12).prop_map(|words| words.concat()),
    ]
}

proptest! {
    #[test]
    fn requests_come_back(
        method in method(),
        target in target(),
        fields in fields(),
        length in prop::option::of(0..u64::MAX),
    ) {
        let mut sent = vec![
            (http::header::HOST, HeaderValue::from_static("a.example:8080")),
        ];
        sent.extend(fields);
        sent.extend(length.map(|length| (http::header::CONTENT_LENGTH, length.into())));
        let given: Vec<(&HeaderName, &HeaderValue)> =
            sent.iter().map(|(name, value)| (name, value)).collect();
        let mut bytes = Vec::new();
        codec::request::encode(&mut bytes, &method, &target, &given);
        let (len, head) = request(&bytes).unwrap().unwrap();
        prop_assert_eq!(len, bytes.len());
        prop_assert_eq!(&head.method, &method);
        prop_assert_eq!(head.target(), &target);
        prop_assert_eq!(head.version, http::Version::HTTP_11);
        let framing = match length {
            None | Some(0) => Framing::Empty,
            Some(length) => Framing::Length(length),
        };
        prop_assert_eq!(head.framing, framing);
        let uri = head.uri();
        prop_assert_eq!((uri.path(), uri.query()), (head.path(), head.query()));
        let got: Vec<(&str, &[u8])> = head.fields.iter().collect();
        let expected: Vec<(&str, &[u8])> =
            sent.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        prop_assert_eq!(got, expected);
        prop_assert_eq!(head.headers().len(), sent.len());
        oracle::agree(&bytes)?;
    }

    #[test]
    fn responses_come_back(
        status in 200..600u16,
        fields in fields(),
        length in prop::option::of(0..u64::MAX),
    ) {
        let status = StatusCode::from_u16(status).unwrap();
        let mut bytes = Vec::new();
        codec::response::encode_status(&mut bytes, status);
        for (name, value) in &fields {
            codec::response::encode_field(&mut bytes, name, value);
        }
        if let Some(length) = length {
            codec::response::encode_length(&mut bytes, length);
        }
        bytes.extend_from_slice(b"\r\n");
        let (len, head) = response(&bytes, &Method::GET).unwrap().unwrap();
        prop_assert_eq!((len, head.status), (bytes.len(), status));
        let framing = match length {
            _ if codec::response::is_bodiless(&Method::GET, status) => Framing::Empty,
            None => Framing::UntilClose,
            Some(0) => Framing::Empty,
            Some(length) => Framing::Length(length),
        };
        prop_assert_eq!(head.framing, framing);
        for (name, _) in &fields {
            let sent = fields.iter().filter(|(own, _)| own == name).map(|(_, value)| value);
            prop_assert!(head.headers.get_all(name).iter().eq(sent));
        }
    }

    #[test]
    fn chunks_come_back(pieces in pieces(), cuts in vec(any::<Index>(), 0..20)) {
        let mut bytes = Vec::new();
        for piece in &pieces {
            codec::body::encode_chunk(&mut bytes, piece);
        }
        codec::body::encode_last_chunk(&mut bytes);
        let wire = bytes.len();
        bytes.extend_from_slice(b"GET / HTTP/1.1\r\n");
        let got = body(Framing::Chunked, &Limits::default(), cut(&bytes, &cuts)).unwrap();
        prop_assert_eq!(got.data, pieces.concat());
        prop_assert_eq!((got.consumed, got.done), (wire, true));
    }

    #[test]
    fn lengths_come_back(data in vec(any::<u8>(), 1..3000), cuts in vec(any::<Index>(), 0..20)) {
        let bytes = [data.as_slice(), b"GET / HTTP/1.1\r\n"].concat();
        let framing = Framing::Length(data.len() as u64);
        let got = body(framing, &Limits::default(), cut(&bytes, &cuts)).unwrap();
        prop_assert_eq!((got.consumed, got.done), (data.len(), true));
        prop_assert_eq!(got.data, data);
    }

    #[test]
    fn noise_never_panics(bytes in noise(), cuts in vec(any::<Index>(), 0..20)) {
        let _ = request(&bytes);
        for method in [Method::GET, Method::HEAD, Method::CONNECT] {
            let _ = response(&bytes, &method);
        }
        for framing in [Framing::Chunked, Framing::Length(100), Framing::UntilClose] {
            let whole = body(framing, &body_limits(), [bytes.as_slice()]);
            let split = body(framing, &body_limits(), cut(&bytes, &cuts));
            prop_assert_eq!(whole, split);
        }
        oracle::agree(&bytes)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn no_change_makes_us_differ_from_hyper(bytes in changed()) {
        oracle::agree(&bytes)?;
        let mark = b"GET /mark HTTP/1.1\r\nHost: mark\r\n\r\n";
        oracle::agree(&[bytes.as_slice(), mark].concat())?;
    }

    #[test]
    fn a_verdict_on_a_prefix_stands(bytes in changed(), at in any::<Index>()) {
        let whole = request(&bytes).map(|some| some.map(|(len, _)| len));
        match request(&bytes[..at.index(bytes.len() + 1)]) {
            Ok(None) => {}
            Ok(Some((len, _))) => prop_assert_eq!(whole, Ok(Some(len))),
            Err(_) => prop_assert!(whole.is_err()),
        }
    }
}
