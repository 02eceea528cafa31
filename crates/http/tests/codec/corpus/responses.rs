//! Hostile responses, and good ones with the framing they have.

use http::Method;
use ropewalk_http::codec::Framing;

use super::Hostile;

/// Whole heads.
#[rustfmt::skip]
const HEADS: &[(&str, &[u8])] = &[
    ("CL and TE", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ("TE and CL", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n"),
    ("the same CL twice", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n"),
    ("two CLs", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n"),
    ("a list of CLs", b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n"),
    ("CL +5", b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n"),
    ("CL -1", b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"),
    ("CL 0x5", b"HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\n"),
    ("an empty CL", b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n"),
    ("CL 2^63", b"HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775808\r\n\r\n"),
    ("CL 2^64", b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\n"),
    ("a bad CL of a 204", b"HTTP/1.1 204 None\r\nContent-Length: x\r\n\r\n"),
    ("a bad CL of a 304", b"HTTP/1.1 304 Same\r\nContent-Length: x\r\n\r\n"),
    ("TE gzip", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n"),
    ("TE gzip, chunked", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"),
    ("TE chunked, gzip", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n"),
    ("TE chunked, chunked", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n"),
    (
        "TE twice",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
    ),
    ("TE identity", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n"),
    ("an empty TE", b"HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n\r\n"),
    ("TE with a vertical tab", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: \x0bchunked\r\n\r\n"),
    ("TE in HTTP/1.0", b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ("a 100 with CL", b"HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\n"),
    ("a 100 with TE", b"HTTP/1.1 100 Continue\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ("a 103 with CL", b"HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\n"),
    ("a 101 with TE", b"HTTP/1.1 101 Switch\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ("a folded value", b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n"),
    ("a folded value with a tab", b"HTTP/1.1 200 OK\r\nX: a\r\n\tb\r\n\r\n"),
    ("a fold before the first field", b"HTTP/1.1 200 OK\r\n X: a\r\n\r\n"),
    ("a space before the colon", b"HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\n"),
    ("a tab before the colon", b"HTTP/1.1 200 OK\r\nContent-Length\t: 5\r\n\r\n"),
    ("no colon", b"HTTP/1.1 200 OK\r\nabc\r\n\r\n"),
    ("no name", b"HTTP/1.1 200 OK\r\n: a\r\n\r\n"),
    ("a NUL in a value", b"HTTP/1.1 200 OK\r\nX: a\x00b\r\n\r\n"),
    ("a NUL in a name", b"HTTP/1.1 200 OK\r\nX\x00: b\r\n\r\n"),
    ("a DEL in a value", b"HTTP/1.1 200 OK\r\nX: \x7f\r\n\r\n"),
    ("LF behind the status line", b"HTTP/1.1 200 OK\nX: a\r\n\r\n"),
    ("LF behind a field", b"HTTP/1.1 200 OK\r\nX: a\n\r\n"),
    ("LF as the empty line", b"HTTP/1.1 200 OK\r\nX: a\r\n\n"),
    ("CR in a value", b"HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n"),
    ("CR in the reason", b"HTTP/1.1 200 O\rK\r\n\r\n"),
    ("CR CR LF", b"HTTP/1.1 200 OK\r\r\n\r\n"),
    ("an empty line before", b"\r\nHTTP/1.1 200 OK\r\n\r\n"),
    ("a space before", b" HTTP/1.1 200 OK\r\n\r\n"),
    ("a NUL in the reason", b"HTTP/1.1 200 O\x00K\r\n\r\n"),
    ("an escape in the reason", b"HTTP/1.1 200 \x1b[0m\r\n\r\n"),
    ("no status", b"HTTP/1.1\r\n\r\n"),
    ("no status but a reason", b"HTTP/1.1 OK\r\n\r\n"),
    ("an empty status", b"HTTP/1.1  OK\r\n\r\n"),
    ("a status of two digits", b"HTTP/1.1 20 OK\r\n\r\n"),
    ("a status of four digits", b"HTTP/1.1 2000 OK\r\n\r\n"),
    ("a signed status", b"HTTP/1.1 +20 OK\r\n\r\n"),
    ("a status of letters", b"HTTP/1.1 2xx OK\r\n\r\n"),
    ("status 000", b"HTTP/1.1 000 OK\r\n\r\n"),
    ("status 099", b"HTTP/1.1 099 OK\r\n\r\n"),
    ("status 600", b"HTTP/1.1 600 OK\r\n\r\n"),
    ("status 999", b"HTTP/1.1 999 OK\r\n\r\n"),
    ("two spaces before the status", b"HTTP/1.1  200 OK\r\n\r\n"),
    ("a tab before the status", b"HTTP/1.1\t200 OK\r\n\r\n"),
    ("a tab behind the status", b"HTTP/1.1 200\tOK\r\n\r\n"),
    ("HTTP/1.2", b"HTTP/1.2 200 OK\r\n\r\n"),
    ("HTTP/2.0", b"HTTP/2.0 200 OK\r\n\r\n"),
    ("HTTP/2", b"HTTP/2 200\r\n\r\n"),
    ("HTTP/0.9", b"HTTP/0.9 200 OK\r\n\r\n"),
    ("http/1.1", b"http/1.1 200 OK\r\n\r\n"),
    ("ICY", b"ICY 200 OK\r\n\r\n"),
    ("a request", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("HTML", b"<html>\r\n<body>\r\n\r\n</body>"),
    ("SMTP", b"220 mail.example ESMTP\r\n\r\n"),
    ("SSH", b"SSH-2.0-OpenSSH_9.6\r\n\r\n"),
];

/// All of them, to be refused whatever the request's method was.
pub(crate) fn hostile() -> Vec<Hostile> {
    let mut all: Vec<Hostile> = HEADS
        .iter()
        .map(|(name, bytes)| Hostile::new(*name, *bytes, 0))
        .collect();
    let many = [
        b"HTTP/1.1 200 OK\r\n".as_slice(),
        &b"X: b\r\n".repeat(101),
        b"\r\n",
    ]
    .concat();
    all.push(Hostile::new("101 fields", many, 431));
    let long = [
        b"HTTP/1.1 200 OK\r\nX: ".as_slice(),
        &b"b".repeat(65_536),
        b"\r\n\r\n",
    ]
    .concat();
    all.push(Hostile::new("a long value", long, 431));
    let long = [b"HTTP/1.1 200 ".as_slice(), &b"b".repeat(65_536)].concat();
    all.push(Hostile::new("a reason without an end", long, 431));
    all
}

/// What a good response must come to.
pub(crate) struct Good {
    pub(crate) name: &'static str,
    pub(crate) method: Method,
    pub(crate) bytes: &'static [u8],
    pub(crate) status: u16,
    pub(crate) framing: Framing,
    pub(crate) keep_alive: bool,
}

/// Good ones.
pub(crate) fn good() -> Vec<Good> {
    use Framing::{Chunked, Empty, Length, UntilClose};
    let mut all = Vec::new();
    let mut add = |name, method, bytes, status, framing, keep_alive| {
        all.push(Good {
            name,
            method,
            bytes,
            status,
            framing,
            keep_alive,
        });
    };
    let get = || Method::GET;
    add(
        "no fields",
        get(),
        b"HTTP/1.1 200 OK\r\n\r\n",
        200,
        UntilClose,
        true,
    );
    add(
        "no reason",
        get(),
        b"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n",
        200,
        Empty,
        true,
    );
    add(
        "no space for a reason",
        get(),
        b"HTTP/1.1 200\r\n\r\n",
        200,
        UntilClose,
        true,
    );
    add(
        "an obsolete reason",
        get(),
        b"HTTP/1.1 200 \xe4\r\n\r\n",
        200,
        UntilClose,
        true,
    );
    add(
        "a reason of words",
        get(),
        b"HTTP/1.1 200 a b\tc\r\n\r\n",
        200,
        UntilClose,
        true,
    );
    add(
        "status 299",
        get(),
        b"HTTP/1.1 299 X\r\nContent-Length: 1\r\n\r\n",
        299,
        Length(1),
        true,
    );
    add(
        "status 599",
        get(),
        b"HTTP/1.1 599 X\r\nContent-Length: 1\r\n\r\n",
        599,
        Length(1),
        true,
    );
    add(
        "CL 007",
        get(),
        b"HTTP/1.1 200 OK\r\nContent-Length: 007\r\n\r\n",
        200,
        Length(7),
        true,
    );
    add(
        "the largest CL",
        get(),
        b"HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\n",
        200,
        Length(i64::MAX as u64),
        true,
    );
    add(
        "chunked",
        get(),
        b"HTTP/1.1 200 OK\r\ntransfer-ENCODING:\t Chunked \t\r\n\r\n",
        200,
        Chunked,
        true,
    );
    add(
        "close",
        get(),
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: Close\r\n\r\n",
        200,
        Length(5),
        false,
    );
    add(
        "close in a list",
        get(),
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: x , close\r\n\r\n",
        200,
        Length(5),
        false,
    );
    add(
        "HTTP/1.0",
        get(),
        b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n",
        200,
        Length(5),
        false,
    );
    add(
        "HTTP/1.0, kept alive",
        get(),
        b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n",
        200,
        Length(5),
        true,
    );
    add(
        "HEAD",
        Method::HEAD,
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        200,
        Empty,
        true,
    );
    add(
        "HEAD of chunks",
        Method::HEAD,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        200,
        Empty,
        true,
    );
    add(
        "HEAD without a length",
        Method::HEAD,
        b"HTTP/1.1 200 OK\r\n\r\n",
        200,
        Empty,
        true,
    );
    add(
        "100",
        get(),
        b"HTTP/1.1 100 Continue\r\n\r\n",
        100,
        Empty,
        true,
    );
    add(
        "103",
        get(),
        b"HTTP/1.1 103 Early\r\nLink: <a>\r\n\r\n",
        103,
        Empty,
        true,
    );
    add(
        "101",
        get(),
        b"HTTP/1.1 101 Switch\r\nUpgrade: a\r\n\r\n",
        101,
        Empty,
        true,
    );
    add("204", get(), b"HTTP/1.1 204 None\r\n\r\n", 204, Empty, true);
    add(
        "204, CL 0",
        get(),
        b"HTTP/1.1 204 None\r\nContent-Length: 0\r\n\r\n",
        204,
        Empty,
        true,
    );
    // In doubt where it ends; nothing may be read behind it.
    add(
        "204, CL 5",
        get(),
        b"HTTP/1.1 204 None\r\nContent-Length: 5\r\n\r\n",
        204,
        Empty,
        false,
    );
    add(
        "204 with TE",
        get(),
        b"HTTP/1.1 204 None\r\nTransfer-Encoding: chunked\r\n\r\n",
        204,
        Empty,
        false,
    );
    add("304", get(), b"HTTP/1.1 304 Same\r\n\r\n", 304, Empty, true);
    add(
        "304 with CL",
        get(),
        b"HTTP/1.1 304 S\r\nContent-Length: 5\r\n\r\n",
        304,
        Empty,
        true,
    );
    add(
        "304 with TE",
        get(),
        b"HTTP/1.1 304 S\r\nTransfer-Encoding: chunked\r\n\r\n",
        304,
        Empty,
        true,
    );
    add(
        "CONNECT",
        Method::CONNECT,
        b"HTTP/1.1 200 OK\r\n\r\n",
        200,
        Empty,
        true,
    );
    add(
        "CONNECT with a CL to pass over",
        Method::CONNECT,
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        200,
        Empty,
        true,
    );
    add(
        "CONNECT refused",
        Method::CONNECT,
        b"HTTP/1.1 403 No\r\nContent-Length: 5\r\n\r\n",
        403,
        Length(5),
        true,
    );
    all
}
