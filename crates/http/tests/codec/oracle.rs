//! hyper as the oracle: what we accept, hyper accepts as the same.
//!
//! Two readers that disagree about where a message ends are what request smuggling is made
//! of. So both are given the same connection's bytes, and must see the same requests in them,
//! one behind the other. hyper may go on where we stop (we are stricter, see
//! `we_are_stricter_than_hyper`); it must never see another request than we do.

use std::cell::RefCell;
use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Uri, Version};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use ropewalk_http::codec::Framing;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::corpus::{chunked, good, requests};
use super::hostile::body_limits;
use super::{body, request, shown};

/// A request as one of the two understood it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    method: Method,
    uri: Uri,
    version: Version,
    headers: HeaderMap,
    /// The body's data, if its end was seen.
    pub(crate) body: Option<Vec<u8>>,
}

/// What hyper sees in the bytes of a connection that then ends.
pub(crate) fn by_hyper(bytes: &[u8]) -> Vec<Seen> {
    let seen = RefCell::new(Vec::new());
    let answer = async |request: Request<Incoming>| {
        let (head, body) = request.into_parts();
        let body = body
            .collect()
            .await
            .ok()
            .map(|body| body.to_bytes().to_vec());
        seen.borrow_mut().push(Seen {
            method: head.method,
            uri: head.uri,
            version: head.version,
            headers: head.headers,
            body,
        });
        Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (near, far) = tokio::io::duplex(bytes.len().max(64 * 1024));
        let (mut answers, mut requests) = tokio::io::split(near);
        let serve = async {
            let _ = hyper::server::conn::http1::Builder::new()
                .half_close(true)
                .serve_connection(TokioIo::new(far), service_fn(answer))
                .await;
        };
        let send = async {
            // hyper may hang up before it has read all.
            let _ = requests.write_all(bytes).await;
            let _ = requests.shutdown().await;
        };
        let receive = async {
            let mut sink = Vec::new();
            let _ = answers.read_to_end(&mut sink).await;
        };
        tokio::join!(serve, send, receive);
    });
    seen.into_inner()
}

/// What we see in them, until the first request that is refused or the last of the connection.
pub(crate) fn by_us(mut bytes: &[u8]) -> Vec<Seen> {
    let mut seen = Vec::new();
    while let Ok(Some((len, head))) = request(bytes) {
        bytes = &bytes[len..];
        let body = match body(head.framing, &body_limits(), [bytes]) {
            Ok(body) if body.done => {
                bytes = &bytes[body.consumed..];
                Some(body.data)
            }
            _ => None,
        };
        let last = body.is_none() || !head.keep_alive || head.method == Method::CONNECT;
        seen.push(Seen {
            uri: head.uri(),
            version: head.version,
            headers: head.headers(),
            body,
            method: head.method,
        });
        if last {
            break;
        }
    }
    seen
}

/// Fails if hyper sees something else than we do. A body that we refuse hyper may accept.
pub(crate) fn agree(bytes: &[u8]) -> Result<(), TestCaseError> {
    let ours = by_us(bytes);
    if ours.is_empty() {
        return Ok(());
    }
    let theirs = by_hyper(bytes);
    prop_assert!(
        ours.len() <= theirs.len(),
        "{ours:?}\n{theirs:?}\n{}",
        shown(bytes)
    );
    for (our, their) in ours.iter().zip(&theirs) {
        let heads = |seen: &Seen| {
            (
                seen.method.clone(),
                seen.uri.clone(),
                seen.version,
                seen.headers.clone(),
            )
        };
        prop_assert_eq!(heads(our), heads(their), "{}", shown(bytes));
        if our.body.is_some() {
            prop_assert_eq!(&our.body, &their.body, "{}", shown(bytes));
        }
    }
    Ok(())
}

const MARK: &[u8] = b"GET /mark HTTP/1.1\r\nHost: mark\r\n\r\n";

#[test]
fn hyper_sees_each_good_request_as_we_do() {
    for case in good::requests() {
        let bytes = [case.bytes().as_slice(), MARK].concat();
        if let Err(err) = agree(&bytes) {
            panic!("{}: {err}", case.name);
        }
        let seen = by_us(&bytes);
        assert_eq!(seen[0].body.as_ref(), Some(&case.data), "{}", case.name);
        assert_eq!(
            seen.len(),
            if case.keep_alive { 2 } else { 1 },
            "{}",
            case.name
        );
    }
}

#[test]
fn hyper_sees_a_pipeline_as_we_do() {
    let cases: Vec<_> = good::requests()
        .into_iter()
        .filter(|case| case.keep_alive)
        .collect();
    for window in cases.windows(4) {
        let bytes: Vec<u8> = window.iter().flat_map(good::Good::bytes).collect();
        assert_eq!(by_us(&bytes).len(), 4);
        if let Err(err) = agree(&bytes) {
            panic!("from {}: {err}", window[0].name);
        }
    }
}

/// Requests that hyper takes, and why we don't.
const STRICTER: &[(&str, &[u8])] = &[
    // RFC 9112, section 6.1: it might be an attempt at smuggling; a proxy before us may have
    // gone by the length.
    (
        "CL and TE",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n\
          0\r\n\r\n",
    ),
    // Section 6.3 lets a recipient fold equal ones into one; nobody sane sends them.
    (
        "the same CL twice",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nab",
    ),
    // We could not decode the body.
    (
        "a coding besides chunked",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    ),
    // Section 3.2: a server must answer these with 400.
    ("no Host", b"GET / HTTP/1.1\r\n\r\n"),
    ("two Hosts", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
    (
        "a Host that is none",
        b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
    ),
    // Section 2.2 allows a bare LF as a line end; what stands before us may not see one there.
    ("bare LF", b"GET / HTTP/1.1\nHost: a\n\n"),
    (
        "bare LF within a head",
        b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
    ),
    // Section 3.2: a request target has no fragment; hyper cuts it off.
    ("a fragment", b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n"),
    // Section 3.2.4: only OPTIONS is about the whole server.
    ("* with GET", b"GET * HTTP/1.1\r\nHost: a\r\n\r\n"),
    // Section 3.2.3: only CONNECT has a target of this form, and no other.
    (
        "an authority with GET",
        b"GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    (
        "CONNECT to a path",
        b"CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    // RFC 9110, section 9.3.6: what follows is the tunnel's.
    (
        "CONNECT with a body",
        b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab",
    ),
    // RFC 9110, section 4.2.4: a user in a target is there to mislead.
    (
        "a user in the target",
        b"GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    (
        "another scheme",
        b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    // RFC 3986: a URI is ASCII.
    (
        "a target beyond ASCII",
        b"GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    // RFC 9110, section 10.1.1.
    (
        "an unknown expectation",
        b"POST / HTTP/1.1\r\nHost: a\r\nExpect: b\r\nContent-Length: 2\r\n\r\nab",
    ),
    // RFC 9112, section 2.2 says "at least one"; two are enough for any client we know.
    (
        "three empty lines before",
        b"\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    // A chunk's size is digits (section 7.1); white space there is "bad" (errata 7633).
    (
        "a space behind a chunk's size",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2 \r\nab\r\n0\r\n\r\n",
    ),
    // RFC 9110, section 6.5.1.
    (
        "a trailer that frames",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
          0\r\nContent-Length: 5\r\n\r\n",
    ),
];

#[test]
fn we_are_stricter_than_hyper() {
    for (name, bytes) in STRICTER {
        let ours = by_us(bytes);
        assert!(
            ours.iter().all(|seen| seen.body.is_none()),
            "{name}: accepted: {ours:?}"
        );
        let theirs = by_hyper(bytes);
        let whole = theirs.iter().any(|seen| seen.body.is_some());
        assert!(
            whole,
            "{name}: hyper refuses it too; this belongs to the hostile ones only"
        );
    }
}

#[test]
fn hyper_sees_nothing_in_hostile_requests_that_we_accept() {
    for case in requests::hostile() {
        if let Err(err) = agree(&[case.bytes.as_slice(), MARK].concat()) {
            panic!("{}: {err}", case.name);
        }
    }
    for case in chunked::hostile() {
        let head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        let bytes = [head.as_slice(), &case.bytes, MARK].concat();
        if let Err(err) = agree(&bytes) {
            panic!("{}: {err}", case.name);
        }
        let framing = body(Framing::Chunked, &body_limits(), [case.bytes.as_slice()]);
        assert!(framing.is_err(), "{}", case.name);
    }
}
