//! Hostile requests.
//!
//! The statuses are those that RFC 9110 and 9112 name where they name one: 400 for what can't
//! be understood, 414 for the target, 417 for expectations, 431 for the fields, 501 for
//! transfer codings that nobody here decodes, 505 for versions.

use super::{Hostile, joined};

/// Whole heads.
#[rustfmt::skip]
const HEADS: &[(&str, &[u8], u16)] = &[
    // The request line.
    ("HTTP/0.9", b"GET /\r\n\r\n", 400),
    ("HTTP/0.9 with fields", b"GET /\r\nHost: a\r\n\r\n", 400),
    ("no target", b"GET HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("an empty target", b"GET  HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("no method", b" / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("only a version", b"HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("a response", b"HTTP/1.1 200 OK\r\nHost: a\r\n\r\n", 400),
    ("a space before the method", b" GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("a tab before the method", b"\tGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("two spaces before the target", b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("two spaces before the version", b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("a space behind the version", b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400),
    ("a tab behind the version", b"GET / HTTP/1.1\t\r\nHost: a\r\n\r\n", 400),
    ("a tab before the target", b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("a tab before the version", b"GET /\tHTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("a vertical tab before the target", b"GET\x0b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("a form feed before the version", b"GET /\x0cHTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("a space in the target", b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("a second version", b"GET / HTTP/1.1 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("HTTP/1.2", b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505),
    ("HTTP/1.10", b"GET / HTTP/1.10\r\nHost: a\r\n\r\n", 400),
    ("HTTP/1.", b"GET / HTTP/1.\r\nHost: a\r\n\r\n", 400),
    ("HTTP/11", b"GET / HTTP/11\r\nHost: a\r\n\r\n", 400),
    ("HTTP/0.9 in words", b"GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505),
    ("HTTP/2.0", b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
    ("HTTP/2", b"GET / HTTP/2\r\nHost: a\r\n\r\n", 400),
    ("http/1.1", b"GET / http/1.1\r\nHost: a\r\n\r\n", 400),
    ("HTTPS/1.1", b"GET / HTTPS/1.1\r\nHost: a\r\n\r\n", 400),
    ("ICE/1.0", b"GET / ICE/1.0\r\nHost: a\r\n\r\n", 400),
    ("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    ("three empty lines before", b"\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("an empty line of LF before", b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("a CR before", b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("nothing but spaces", b"    \r\n\r\n", 400),
    (
        "TLS",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x2d\x8f\x11\x0a\x51\x9c\x77\x13\x05\x42\
          \x98\x61\x4b\x1c\x02\x7e\x5a\x09\x33\xc4\xd1\xe6\x90\x18\x64\xaa\xbb\x45\x12\x70\x3e\
          \x21\x07\x8c\x55\x6d\x2a\xf0\x83\x14\x39\x5b\xc2\x99\x4e\x68\x01\x77\xd5\x36\xee\x1b\
          \x88\x13\x02\x13\x03",
        400,
    ),
    // Line ends.
    ("LF behind the request line", b"GET / HTTP/1.1\nHost: a\r\n\r\n", 400),
    ("LF behind a field", b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400),
    ("LF behind the last field", b"GET / HTTP/1.1\r\nHost: a\n\r\n", 400),
    ("LF as the empty line", b"GET / HTTP/1.1\r\nHost: a\r\n\n", 400),
    ("LF everywhere", b"GET / HTTP/1.1\nHost: a\n\n", 400),
    ("CR behind the request line", b"GET / HTTP/1.1\rHost: a\r\n\r\n", 400),
    ("CR behind a field", b"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", 400),
    ("CR CR LF", b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", 400),
    ("CR CR LF as the empty line", b"GET / HTTP/1.1\r\nHost: a\r\n\r\r\n", 400),
    ("LF CR", b"GET / HTTP/1.1\n\rHost: a\n\r\n\r", 400),
    ("CR in the target", b"GET /\r HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("LF in the target", b"GET /\n HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("CR before a colon", b"GET / HTTP/1.1\r\nHost\r: a\r\n\r\n", 400),
    // CR LF in odd places.
    ("a folded Host", b"GET / HTTP/1.1\r\nHost:\r\n a\r\n\r\n", 400),
    ("a line of spaces as the empty line", b"GET / HTTP/1.1\r\nHost: a\r\n \r\n\r\n", 400),
    ("white space before the first field", b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400),
    // Host.
    ("no Host", b"GET / HTTP/1.1\r\n\r\n", 400),
    ("no Host, but an absolute target", b"GET http://a/ HTTP/1.1\r\n\r\n", 400),
    ("no Host with CONNECT", b"CONNECT a:443 HTTP/1.1\r\n\r\n", 400),
    ("a bad Host in HTTP/1.0", b"GET / HTTP/1.0\r\nHost: a b\r\n\r\n", 400),
    ("two Hosts in HTTP/1.0", b"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", 400),
    // HTTP/1.0.
    ("TE in HTTP/1.0", b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (
        "TE in HTTP/1.0, kept alive",
        b"POST / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\
          Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "TE and CL in HTTP/1.0",
        b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        400,
    ),
    // The method and the form of the target.
    ("* with GET", b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("** with OPTIONS", b"OPTIONS ** HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("*? with OPTIONS", b"OPTIONS *?a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("CONNECT to a path", b"CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("CONNECT to a URI", b"CONNECT http://a:1/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("CONNECT without a port", b"CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("CONNECT with an empty port", b"CONNECT a: HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("CONNECT with a port of letters", b"CONNECT a:http HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("CONNECT with a signed port", b"CONNECT a:+80 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("CONNECT with a large port", b"CONNECT a:65536 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("CONNECT with a user", b"CONNECT u@a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("CONNECT without a host", b"CONNECT :80 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("CONNECT with two ports", b"CONNECT a:80:90 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("CONNECT to bare IPv6", b"CONNECT ::1:80 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("CONNECT to bad IPv6", b"CONNECT [::g]:80 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("CONNECT with CL", b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", 400),
    (
        "CONNECT with TE",
        b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    ("CONNECT to *", b"CONNECT * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
];

/// Lines of fields between a sound `Host` and the empty line of a POST.
#[rustfmt::skip]
const FIELDS: &[(&str, &[u8], u16)] = &[
    // Content-Length.
    ("CL +5", b"Content-Length: +5\r\n", 400),
    ("CL -5", b"Content-Length: -5\r\n", 400),
    ("CL -0", b"Content-Length: -0\r\n", 400),
    ("CL 0x5", b"Content-Length: 0x5\r\n", 400),
    ("CL 5.0", b"Content-Length: 5.0\r\n", 400),
    ("CL 5e0", b"Content-Length: 5e0\r\n", 400),
    ("CL 5_0", b"Content-Length: 5_0\r\n", 400),
    ("CL a", b"Content-Length: a\r\n", 400),
    ("CL in quotes", b"Content-Length: \"5\"\r\n", 400),
    ("CL in other digits", b"Content-Length: \xd9\xa5\r\n", 400),
    ("an empty CL", b"Content-Length:\r\n", 400),
    ("a blank CL", b"Content-Length:  \t \r\n", 400),
    ("a space inside CL", b"Content-Length: 1 0\r\n", 400),
    ("a tab inside CL", b"Content-Length: 1\t0\r\n", 400),
    ("a vertical tab before CL", b"Content-Length: \x0b5\r\n", 400),
    ("a form feed behind CL", b"Content-Length: 5\x0c\r\n", 400),
    ("a NUL behind CL", b"Content-Length: 5\x00\r\n", 400),
    ("a no-break space before CL", b"Content-Length: \xa05\r\n", 400),
    ("a list of the same CL", b"Content-Length: 5, 5\r\n", 400),
    ("a list of CLs", b"Content-Length: 5, 6\r\n", 400),
    ("a list that ends early", b"Content-Length: 5,\r\n", 400),
    ("the same CL twice", b"Content-Length: 5\r\nContent-Length: 5\r\n", 400),
    ("two CLs", b"Content-Length: 5\r\nContent-Length: 6\r\n", 400),
    ("two CLs, the cases differ", b"Content-Length: 0\r\ncontent-length: 6\r\n", 400),
    ("two CLs, the first empty", b"Content-Length:\r\nContent-Length: 6\r\n", 400),
    ("CL 2^64", b"Content-Length: 18446744073709551616\r\n", 400),
    ("CL 10 * 2^64", b"Content-Length: 184467440737095516160\r\n", 400),
    ("CL 2^64 - 1", b"Content-Length: 18446744073709551615\r\n", 400),
    ("CL 2^63", b"Content-Length: 9223372036854775808\r\n", 400),
    ("CL of 40 digits", b"Content-Length: 1000000000000000000000000000000000000005\r\n", 400),
    ("CL with a parameter", b"Content-Length: 5;a=b\r\n", 400),
    // Transfer-Encoding.
    ("CL and TE", b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400),
    ("TE and CL", b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", 400),
    ("TE and CL 0", b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", 400),
    ("TE and a CL that is none", b"Transfer-Encoding: chunked\r\nContent-Length: x\r\n", 400),
    ("TE gzip", b"Transfer-Encoding: gzip\r\n", 501),
    ("TE identity", b"Transfer-Encoding: identity\r\n", 501),
    ("TE identity and CL", b"Transfer-Encoding: identity\r\nContent-Length: 5\r\n", 501),
    ("TE xchunked", b"Transfer-Encoding: xchunked\r\n", 501),
    ("TE chunkedx", b"Transfer-Encoding: chunkedx\r\n", 501),
    ("TE chunk", b"Transfer-Encoding: chunk\r\n", 501),
    ("TE in quotes", b"Transfer-Encoding: \"chunked\"\r\n", 501),
    ("TE with a parameter", b"Transfer-Encoding: chunked;q=1\r\n", 501),
    ("TE with an empty parameter", b"Transfer-Encoding: chunked;\r\n", 501),
    ("TE chunked chunked", b"Transfer-Encoding: chunked chunked\r\n", 501),
    ("TE gzip, chunked", b"Transfer-Encoding: gzip, chunked\r\n", 501),
    ("TE identity, chunked", b"Transfer-Encoding: identity, chunked\r\n", 501),
    ("TE chunked, gzip", b"Transfer-Encoding: chunked, gzip\r\n", 400),
    ("TE chunked, identity", b"Transfer-Encoding: chunked, identity\r\n", 400),
    ("TE chunked, chunked", b"Transfer-Encoding: chunked, chunked\r\n", 400),
    ("TE chunked,", b"Transfer-Encoding: chunked,\r\n", 400),
    ("TE ,chunked", b"Transfer-Encoding: ,chunked\r\n", 400),
    ("TE ,", b"Transfer-Encoding: ,\r\n", 400),
    ("an empty TE", b"Transfer-Encoding:\r\n", 400),
    ("a blank TE", b"Transfer-Encoding: \t\r\n", 400),
    ("an empty TE and CL", b"Transfer-Encoding:\r\nContent-Length: 5\r\n", 400),
    ("TE twice", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400),
    ("TE in two cases", b"Transfer-Encoding: chunked\r\ntransfer-encoding: chunked\r\n", 400),
    ("TE, then gzip", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n", 400),
    ("TE gzip, then chunked", b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", 501),
    ("a vertical tab before chunked", b"Transfer-Encoding: \x0bchunked\r\n", 400),
    ("a vertical tab behind chunked", b"Transfer-Encoding: chunked\x0b\r\n", 400),
    ("a form feed before chunked", b"Transfer-Encoding: \x0cchunked\r\n", 400),
    ("a NUL behind chunked", b"Transfer-Encoding: chunked\x00\r\n", 400),
    ("a DEL behind chunked", b"Transfer-Encoding: chunked\x7f\r\n", 400),
    ("a backspace in TE", b"Transfer-Encoding: x\x08chunked\r\n", 400),
    ("a no-break space before chunked", b"Transfer-Encoding: \xa0chunked\r\n", 501),
    ("a no-break space in UTF-8", b"Transfer-Encoding: \xc2\xa0chunked\r\n", 501),
    ("a Kelvin sign in chunked", b"Transfer-Encoding: chun\xe2\x84\xaaed\r\n", 501),
    ("a CR before chunked", b"Transfer-Encoding: \rchunked\r\n", 400),
    ("a LF before chunked", b"Transfer-Encoding: \nchunked\r\n", 400),
    ("TE folded", b"Transfer-Encoding:\r\n chunked\r\n", 400),
    ("TE folded behind a coding", b"Transfer-Encoding: chunked,\r\n\tgzip\r\n", 400),
    // Names.
    ("a space before the colon", b"Content-Length : 5\r\n", 400),
    ("a tab before the colon", b"Content-Length\t: 5\r\n", 400),
    ("a space before TE's colon", b"Transfer-Encoding : chunked\r\n", 400),
    ("a vertical tab before the colon", b"Transfer-Encoding\x0b: chunked\r\n", 400),
    ("a NUL before the colon", b"Transfer-Encoding\x00: chunked\r\n", 400),
    ("a space in the name", b"X Y: 5\r\n", 400),
    ("a space before the name", b"X: a\r\n Content-Length: 5\r\n", 400),
    ("a tab before the name", b"X: a\r\n\tContent-Length: 5\r\n", 400),
    ("no name", b": a\r\n", 400),
    ("no colon", b"abc\r\n", 400),
    ("no colon and a space", b"abc def\r\n", 400),
    ("a request line as a field", b"GET /admin HTTP/1.1\r\n", 400),
    ("a name in quotes", b"\"X\": a\r\n", 400),
    ("a name with a slash", b"a/b: c\r\n", 400),
    ("a name beyond ASCII", b"\xc3\xa4: c\r\n", 400),
    ("a name with a soft hyphen", b"Content\xc2\xadLength: 5\r\n", 400),
    // Folds.
    ("a folded value", b"X: a\r\n b\r\n", 400),
    ("a folded value with a tab", b"X: a\r\n\tb\r\n", 400),
    ("an empty fold", b"X: a\r\n \r\n", 400),
    ("a fold that looks like a field", b"X: a\r\n Host: b\r\n", 400),
    // Host.
    ("two Hosts", b"Host: a\r\n", 400),
    ("two Hosts that differ", b"host: b\r\n", 400),
    ("a second Host, empty", b"HOST:\r\n", 400),
    ("a Host with a space before the colon", b"Host : b\r\n", 400),
    // Expect.
    ("an unknown expectation", b"Content-Length: 5\r\nExpect: 200-ok\r\n", 417),
    ("an empty expectation", b"Content-Length: 5\r\nExpect:\r\n", 417),
    ("an expectation with a parameter", b"Content-Length: 5\r\nExpect: 100-continue;a=b\r\n", 417),
    ("a list of expectations", b"Content-Length: 5\r\nExpect: 100-continue, a\r\n", 417),
    ("a list of the same", b"Content-Length: 5\r\nExpect: 100-continue, 100-continue\r\n", 417),
    (
        "the same expectation twice",
        b"Content-Length: 5\r\nExpect: 100-continue\r\nExpect: 100-continue\r\n",
        417,
    ),
    (
        "an unknown expectation, then a known",
        b"Content-Length: 5\r\nExpect: a\r\nExpect: 100-continue\r\n",
        417,
    ),
    ("an unknown expectation without a body", b"Expect: a\r\n", 417),
];

/// Values of `Host` that name no host.
const HOSTS: &[&str] = &[
    "",
    " ",
    "a b",
    "a\tb",
    "a, b",
    "user@a",
    "user:pw@a",
    "@a",
    "a/",
    "a/b",
    "/a",
    "http://a",
    "a?b",
    "a#b",
    "a\\b",
    ":80",
    ":",
    "a:b",
    "a:80a",
    "a:-1",
    "a:+80",
    "a: 80",
    "a :80",
    "a:80:80",
    "a:65536",
    "a:99999999999999999999",
    "[",
    "[]",
    "[::1",
    "::1",
    "[::1]a",
    "[::1]80",
    "[::1]:a",
    "[::g]",
    "[1.2.3.4]",
    "[::1%25eth0]",
    "[[::1]]",
    "a[::1]",
    "[a]",
    "a\"b",
    "<a>",
    "a|b",
    "{a}",
    "a^b",
    "a`b",
    "a%",
    "a%4",
    "a%zz",
    "\u{e4}",
    "a\u{a0}b",
    "a\u{ff0f}b",
];

/// Targets that GET can't have.
const TARGETS: &[&[u8]] = &[
    b"a",
    b"a/b",
    b"?a",
    b"..",
    b"#",
    b"/#",
    b"/a#b",
    b"/a?b#c",
    b"/?#",
    b"/a\\b",
    b"\\",
    b"/<a>",
    b"/?<a>",
    b"/a^b",
    b"/a`b",
    b"/?a\"b",
    b"/\xc3\xa4",
    b"/?\xc3\xa4",
    b"/\xff",
    b"/\x00",
    b"/?\x00",
    b"/\x7f",
    b"/?\x7f",
    b"/\x1b[0m",
    b"/\xc2\xa0",
    b"a:80",
    b"a.example:80",
    b"//a/\xff",
    b"http",
    b"http:",
    b"http:/",
    b"http:/a",
    b"http://",
    b"http:///",
    b"http:///a",
    b"http://?a",
    b"http://:80/",
    b"http://u@a/",
    b"http://u:p@a/",
    b"http://@a/",
    b"http://a:b/",
    b"http://a:+1/",
    b"http://a:65536/",
    b"http://a:1:2/",
    b"http://[::1/",
    b"http://[::g]/",
    b"http://[a]/",
    b"http://::1/",
    b"http://a#b",
    b"http://a/#b",
    b"http://a/b?c#d",
    b"http://a/\xc3\xa4",
    b"http://a/?\xc3\xa4",
    b"http://\xc3\xa4/",
    b"http://a\\b/",
    b"http://a/\\",
    b"http://a/<",
    b"http://a/?\"",
    b"http://a%/",
    b"http://a%zz/",
    b"http:\\\\a\\",
    b"ftp://a/",
    b"file:///etc/passwd",
    b"ws://a/",
    b"gopher://a/",
    b"httpx://a/",
    b"://a/",
    b"javascript:alert(1)",
    b"mailto:a@b",
    b"urn:a:b",
];

/// Says whether `byte` may stand in a token (RFC 9110, section 5.6.2).
pub(crate) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// All of them.
pub(crate) fn hostile() -> Vec<Hostile> {
    let mut all = Vec::new();
    for (name, bytes, status) in HEADS {
        all.push(Hostile::new(*name, *bytes, *status));
    }
    for (name, lines, status) in FIELDS {
        let bytes = [b"POST / HTTP/1.1\r\nHost: a\r\n", *lines, b"\r\n"].concat();
        all.push(Hostile::new(*name, bytes, *status));
        // What comes before and behind changes nothing.
        let bytes = [
            b"POST / HTTP/1.1\r\nHost: a\r\nA: b\r\n",
            *lines,
            b"C: d\r\n\r\n",
        ]
        .concat();
        all.push(Hostile::new(
            format!("{name}, among others"),
            bytes,
            *status,
        ));
    }
    for host in HOSTS {
        let bytes = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        all.push(Hostile::new(format!("Host: {host}"), bytes, 400));
    }
    for target in TARGETS {
        let bytes = joined(&[b"GET ", target, b" HTTP/1.1\r\nHost: a\r\n\r\n"]);
        all.push(Hostile::new(
            format!("target {}", target.escape_ascii()),
            bytes,
            400,
        ));
    }
    bytes_in_places(&mut all);
    too_much(&mut all);
    all
}

/// Each byte that may not stand where it stands.
fn bytes_in_places(all: &mut Vec<Hostile>) {
    let mut add = |place: &str, before: &[u8], byte: u8, after: &[u8]| {
        let bytes = joined(&[before, &[byte], after]);
        all.push(Hostile::new(
            format!("byte {byte:#04x} in {place}"),
            bytes,
            400,
        ));
    };
    for byte in 0..=255u8 {
        let control = byte < b' ' || byte == 0x7f;
        if !is_token(byte) {
            if byte != b' ' {
                add(
                    "the method",
                    b"GE",
                    byte,
                    b"T / HTTP/1.1\r\nHost: a\r\n\r\n",
                );
            }
            if byte != b':' {
                add(
                    "a name",
                    b"GET / HTTP/1.1\r\nHost: a\r\nX",
                    byte,
                    b"Y: b\r\n\r\n",
                );
            }
            add(
                "the front of a name",
                b"GET / HTTP/1.1\r\nHost: a\r\n",
                byte,
                b"Y: b\r\n\r\n",
            );
        }
        if control && byte != b'\t' {
            add(
                "a value",
                b"GET / HTTP/1.1\r\nHost: a\r\nX: b",
                byte,
                b"c\r\n\r\n",
            );
            add(
                "the front of a value",
                b"GET / HTTP/1.1\r\nHost: a\r\nX:",
                byte,
                b"c\r\n\r\n",
            );
            add(
                "the end of a value",
                b"GET / HTTP/1.1\r\nHost: a\r\nX: c",
                byte,
                b"\r\n\r\n",
            );
            add(
                "the first value",
                b"GET / HTTP/1.1\r\nX: b",
                byte,
                b"c\r\nHost: a\r\n\r\n",
            );
        }
        if control || byte >= 0x80 {
            add("a path", b"GET /a", byte, b"b HTTP/1.1\r\nHost: a\r\n\r\n");
            add(
                "a query",
                b"GET /a?b",
                byte,
                b"c HTTP/1.1\r\nHost: a\r\n\r\n",
            );
            add(
                "a URI's path",
                b"GET http://a/b",
                byte,
                b"c HTTP/1.1\r\nHost: a\r\n\r\n",
            );
            add(
                "a URI's query",
                b"GET http://a?b",
                byte,
                b"c HTTP/1.1\r\nHost: a\r\n\r\n",
            );
            add(
                "a URI's host",
                b"GET http://a",
                byte,
                b"c/ HTTP/1.1\r\nHost: a\r\n\r\n",
            );
            add("a Host", b"GET / HTTP/1.1\r\nHost: a", byte, b"b\r\n\r\n");
            add(
                "CONNECT's host",
                b"CONNECT a",
                byte,
                b"b:1 HTTP/1.1\r\nHost: a\r\n\r\n",
            );
            add(
                "the version",
                b"GET / HTTP/1.1",
                byte,
                b"\r\nHost: a\r\n\r\n",
            );
        }
    }
}

/// More than the limits allow, by default.
fn too_much(all: &mut Vec<Hostile>) {
    let long = |byte: u8, len: usize| vec![byte; len];
    let tail: &[u8] = b" HTTP/1.1\r\nHost: a\r\n\r\n";
    let method = joined(&[&long(b'A', 100), b" /", tail]);
    all.push(Hostile::new("a long method", method, 400));
    let target = joined(&[b"GET /", &long(b'a', 8 * 1024), tail]);
    all.push(Hostile::new("a long target", target, 414));
    let target = joined(&[b"GET /", &long(b'a', 100_000), tail]);
    all.push(Hostile::new("a very long target", target, 414));
    let target = joined(&[b"GET http://a/?", &long(b'a', 8 * 1024), tail]);
    all.push(Hostile::new("a long URI", target, 414));
    let target = joined(&[b"GET /", &long(b'a', 100_000)]);
    all.push(Hostile::new("a target without an end", target, 414));
    let value = joined(&[
        b"GET / HTTP/1.1\r\nHost: a\r\nX: ",
        &long(b'a', 64 * 1024),
        b"\r\n\r\n",
    ]);
    all.push(Hostile::new("a long value", value, 431));
    let name = joined(&[
        b"GET / HTTP/1.1\r\nHost: a\r\n",
        &long(b'a', 70_000),
        b": b\r\n\r\n",
    ]);
    all.push(Hostile::new("a long name", name, 431));
    let endless = joined(&[b"GET / HTTP/1.1\r\nHost: a\r\nX: ", &long(b'a', 64 * 1024)]);
    all.push(Hostile::new("a head without an end", endless, 431));
    let many = joined(&[
        b"GET / HTTP/1.1\r\nHost: a\r\n",
        &b"X: b\r\n".repeat(100),
        b"\r\n",
    ]);
    all.push(Hostile::new("101 fields", many, 431));
    let many = joined(&[
        b"GET / HTTP/1.1\r\nHost: a\r\n",
        &b"X: b\r\n".repeat(1000),
        b"\r\n",
    ]);
    all.push(Hostile::new("1001 fields", many, 431));
    let many = joined(&[
        b"GET / HTTP/1.1\r\nHost: a\r\n",
        &b"X:\r\n".repeat(20_000),
        b"\r\n",
    ]);
    all.push(Hostile::new("20001 fields", many, 431));
}
