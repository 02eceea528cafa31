//! hyper's client as the oracle of responses: what we accept, hyper accepts as the same.

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, Version};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use ropewalk_http::codec::Limits;
use ropewalk_http::codec::body::Decoder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::corpus::responses;
use super::{response, shown};

/// A response as one of the two understood it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    status: StatusCode,
    version: Version,
    headers: HeaderMap,
    /// The body's data, if it was whole.
    pub(crate) body: Option<Vec<u8>>,
}

/// What hyper's client makes of the bytes, sent on its request before the connection ends.
fn by_hyper(bytes: &[u8], method: &Method) -> Option<Seen> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (near, mut far) = tokio::io::duplex(bytes.len().max(64 * 1024));
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(near))
            .await
            .unwrap();
        let request = Request::builder()
            .method(method)
            .uri("/")
            .header("host", "a");
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        let answer = async {
            let mut sent = Vec::new();
            while !sent.ends_with(b"\r\n\r\n") {
                far.read_buf(&mut sent).await.unwrap();
            }
            // hyper may hang up before it has read all.
            let _ = far.write_all(bytes).await;
            let _ = far.shutdown().await;
            drop(far);
        };
        let receive = async {
            let (head, body) = sender.send_request(request).await.ok()?.into_parts();
            let body = body
                .collect()
                .await
                .ok()
                .map(|body| body.to_bytes().to_vec());
            let (status, version, headers) = (head.status, head.version, head.headers);
            Some(Seen {
                status,
                version,
                headers,
                body,
            })
        };
        let (_, _, seen) = tokio::join!(connection, answer, receive);
        seen
    })
}

/// What we make of them, behind the interim responses.
pub(crate) fn by_us(mut bytes: &[u8], method: &Method) -> Option<Seen> {
    loop {
        let (len, head) = response(bytes, method).ok()??;
        bytes = &bytes[len..];
        if head.status.is_informational() && head.status != StatusCode::SWITCHING_PROTOCOLS {
            continue;
        }
        let body = body_until_close(Decoder::new(head.framing, &Limits::default()), bytes);
        let (status, version, headers) = (head.status, head.version, head.headers);
        return Some(Seen {
            status,
            version,
            headers,
            body,
        });
    }
}

fn body_until_close(mut decoder: Decoder, mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut data = Vec::new();
    while !bytes.is_empty() && !decoder.is_done() {
        let found = decoder.decode(bytes).ok()?;
        data.extend_from_slice(&bytes[found.data]);
        bytes = &bytes[found.consumed..];
    }
    decoder.eof().then_some(data)
}

/// Fails if hyper makes something else of a response that we accept.
pub(crate) fn agree(bytes: &[u8], method: &Method) -> Result<(), TestCaseError> {
    let Some(ours) = by_us(bytes, method) else {
        return Ok(());
    };
    let theirs = by_hyper(bytes, method);
    let Some(theirs) = theirs else {
        return Err(TestCaseError::fail(format!(
            "hyper refuses {}",
            shown(bytes)
        )));
    };
    prop_assert_eq!(ours.status, theirs.status, "{}", shown(bytes));
    prop_assert_eq!(ours.version, theirs.version, "{}", shown(bytes));
    prop_assert_eq!(&ours.headers, &theirs.headers, "{}", shown(bytes));
    if ours.body.is_some() {
        prop_assert_eq!(&ours.body, &theirs.body, "{}", shown(bytes));
    }
    Ok(())
}

#[test]
fn hyper_sees_each_good_response_as_we_do() {
    let bodies: [&[u8]; 4] = [b"", b"hello", b"5\r\nhello\r\n0\r\n\r\n", b"\r\n\x00"];
    for case in responses::good() {
        if case.method == Method::CONNECT {
            // hyper leaves the connection to the caller here, and the body with it.
            continue;
        }
        for body in bodies {
            let bytes = [case.bytes, body].concat();
            if let Err(err) = agree(&bytes, &case.method) {
                panic!("{}, with {}: {err}", case.name, shown(body));
            }
        }
    }
}

#[test]
fn hyper_sees_what_stands_behind_interim_responses() {
    let bytes = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: <a>\r\n\r\n\
        HTTP/1.1 201 Created\r\nContent-Length: 5\r\n\r\nhello";
    assert_eq!(by_us(bytes, &Method::GET).unwrap().body.unwrap(), b"hello");
    agree(bytes, &Method::GET).unwrap();
}

#[test]
fn hyper_sees_nothing_in_hostile_responses_that_we_accept() {
    for case in responses::hostile() {
        let behind = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        let bytes = [case.bytes.as_slice(), behind].concat();
        assert_eq!(by_us(&bytes, &Method::GET), None, "{}", case.name);
    }
}

/// Responses that hyper takes, and why we don't.
const STRICTER: &[(&str, &[u8])] = &[
    // A proxy before us may have gone by the length (RFC 9112, section 6.3).
    (
        "CL and TE",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n\
          0\r\n\r\n",
    ),
    (
        "the same CL twice",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
    ),
    // hyper gives the caller what it can't decode, until the connection closes.
    (
        "TE gzip",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello",
    ),
    // What names a body that it can't have is in doubt.
    (
        "an interim response with CL",
        b"HTTP/1.1 100 Go\r\nContent-Length: 5\r\n\r\nHTTP/1.1 204 None\r\n\r\n",
    ),
    // RFC 9110, section 15: the first digit says the class, and there are five.
    (
        "status 999",
        b"HTTP/1.1 999 OK\r\nContent-Length: 0\r\n\r\n",
    ),
    ("bare LF", b"HTTP/1.1 200 OK\nContent-Length: 0\n\n"),
    // RFC 9112, section 2.2 speaks of requests only.
    (
        "an empty line before",
        b"\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    ),
];

#[test]
fn we_are_stricter_than_hyper() {
    for (name, bytes) in STRICTER {
        assert_eq!(by_us(bytes, &Method::GET), None, "{name}");
        let theirs = by_hyper(bytes, &Method::GET);
        assert!(
            theirs.is_some_and(|seen| seen.body.is_some()),
            "{name}: hyper refuses it too"
        );
    }
}
