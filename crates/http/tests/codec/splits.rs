//! It makes no difference in how many pieces a message comes.
//!
//! The heads' parsers keep nothing between calls, so each prefix is tried. The decoder of
//! bodies keeps its state: it is fed whole, byte by byte, and in two pieces at each place.

use http::Method;
use ropewalk_http::codec::Framing;

use super::corpus::{chunked, good, requests, responses};
use super::hostile::body_limits;
use super::{body, request, response, shown};

/// The lengths of the prefixes to try: all of short messages, some of long ones.
fn lengths(len: usize) -> impl Iterator<Item = usize> {
    let step = if len > 2000 { 997 } else { 1 };
    (0..len).filter(move |at| at % step == 0 || at + 5 > len)
}

#[test]
fn a_hostile_request_never_passes_for_a_good_one() {
    for case in requests::hostile() {
        let mut refused = None;
        for len in lengths(case.bytes.len()) {
            match request(&case.bytes[..len]) {
                Ok(None) => assert_eq!(refused, None, "{} at {len}", case.name),
                Ok(Some(_)) => panic!("{} accepted at {len}: {}", case.name, shown(&case.bytes)),
                Err(status) => {
                    assert_eq!(status, case.status, "{} at {len}", case.name);
                    refused = refused.or(Some(len)).filter(|at| *at <= len);
                }
            }
        }
    }
}

#[test]
fn a_fault_is_told_before_the_head_is_whole() {
    let faults: [(&[u8], u16); 9] = [
        (b"GET / HTTP/1.1\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\r", 400),
        (b"GET / HTTP/1.1\r\nHost: a\rb", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n b\r\n", 400),
        (b"GET / HTTP/1.1\r\n\tHost: a\r\n", 400),
        (b"\r\n\r\n\r\n", 400),
        (&[b'A'; 64], 400),
        (&[b"GET /".as_slice(), &[b'a'; 8192]].concat(), 414),
    ];
    for (bytes, status) in faults {
        let got = request(bytes).map(|_| ());
        assert_eq!(got, Err(status), "{}", shown(bytes));
        let got = request(&bytes[..bytes.len() - 1]).map(|some| some.is_some());
        assert_eq!(got, Ok(false), "a byte before, {}", shown(bytes));
    }
}

#[test]
fn what_follows_a_hostile_request_does_not_save_it() {
    let next = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    for case in requests::hostile() {
        let bytes = [case.bytes.as_slice(), next].concat();
        assert!(request(&bytes).is_err(), "{}: {}", case.name, shown(&bytes));
    }
}

#[test]
fn a_good_request_is_incomplete_until_its_last_byte() {
    for case in good::requests() {
        for len in lengths(case.head.len()) {
            let got = request(&case.head[..len]).map(|some| some.map(|(len, _)| len));
            assert_eq!(got, Ok(None), "{} at {len}", case.name);
        }
    }
}

#[test]
fn what_follows_a_good_request_is_left_alone() {
    let tails: [&[u8]; 6] = [
        b"",
        b"GET / HTTP/1.1\r\nHost: b\r\n\r\n",
        b"\r\n",
        b"\n\r\x00",
        b" x",
        b"\xff",
    ];
    for case in good::requests() {
        for tail in tails {
            let bytes = [case.bytes().as_slice(), tail].concat();
            let (len, head) = request(&bytes).unwrap().unwrap();
            assert_eq!(len, case.head.len(), "{}", case.name);
            let body = body(head.framing, &body_limits(), [&bytes[len..]]).unwrap();
            assert_eq!(
                (body.consumed, body.done),
                (case.body.len(), true),
                "{}",
                case.name
            );
        }
    }
}

#[test]
fn responses_come_in_pieces() {
    for case in responses::hostile() {
        for len in lengths(case.bytes.len()) {
            let got = response(&case.bytes[..len], &Method::GET);
            assert!(!matches!(got, Ok(Some(_))), "{} at {len}", case.name);
        }
    }
    for case in responses::good() {
        for len in 0..case.bytes.len() {
            let got = response(&case.bytes[..len], &case.method);
            assert!(matches!(got, Ok(None)), "{} at {len}: {got:?}", case.name);
        }
        let bytes = [case.bytes, b"\r\n\x00HTTP/1.1 200 OK\r\n\r\n"].concat();
        let (len, _) = response(&bytes, &case.method).unwrap().unwrap();
        assert_eq!(len, case.bytes.len(), "{}", case.name);
    }
}

#[test]
fn chunks_come_in_pieces() {
    let hostile = chunked::hostile()
        .into_iter()
        .map(|case| (case.name, case.bytes));
    let good = chunked::good()
        .into_iter()
        .map(|(name, bytes, _)| (name.to_owned(), bytes));
    for (name, bytes) in hostile.chain(good) {
        let whole = body(Framing::Chunked, &body_limits(), [bytes.as_slice()]);
        let single = body(Framing::Chunked, &body_limits(), bytes.chunks(1));
        assert_eq!(single, whole, "{name}, byte by byte");
        for len in lengths(bytes.len()) {
            let (one, other) = bytes.split_at(len);
            let split = body(Framing::Chunked, &body_limits(), [one, other]);
            assert_eq!(split, whole, "{name}, in two at {len}");
            // A body is whole only at its end, and what was refused stays so.
            match body(Framing::Chunked, &body_limits(), [one]) {
                Ok(part) => assert!(!part.done, "{name} done at {len}"),
                Err(status) => assert_eq!(whole, Err(status), "{name} at {len}"),
            }
        }
    }
}
