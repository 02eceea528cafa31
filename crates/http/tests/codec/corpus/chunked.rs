//! Chunked bodies: hostile, and good ones with the data they carry.

use super::Hostile;

/// Bodies under the default limits, and 1 MiB of data at most.
#[rustfmt::skip]
const BODIES: &[(&str, &[u8], u16)] = &[
    // Sizes.
    ("an empty size", b"\r\nabcde\r\n0\r\n\r\n", 400),
    ("an empty size with an extension", b";a=b\r\n0\r\n\r\n", 400),
    ("an empty size as the end", b"\r\n\r\n", 400),
    ("an extension without a size as the end", b";a=b\r\n\r\n", 400),
    ("another byte for the LF behind the size", b"5\rXabcde\r\n0\r\n\r\n", 400),
    ("another byte for the LF behind the last size", b"0\rX\r\n", 400),
    ("size -1", b"-1\r\nabcde\r\n0\r\n\r\n", 400),
    ("size +5", b"+5\r\nabcde\r\n0\r\n\r\n", 400),
    ("size 0x5", b"0x5\r\nabcde\r\n0\r\n\r\n", 400),
    ("size 5h", b"5h\r\nabcde\r\n0\r\n\r\n", 400),
    ("size 1_0", b"1_0\r\n0123456789abcdef\r\n0\r\n\r\n", 400),
    ("size in quotes", b"\"5\"\r\nabcde\r\n0\r\n\r\n", 400),
    ("size in other digits", b"\xd9\xa5\r\nabcde\r\n0\r\n\r\n", 400),
    ("a space before the size", b" 5\r\nabcde\r\n0\r\n\r\n", 400),
    ("a space behind the size", b"5 \r\nabcde\r\n0\r\n\r\n", 400),
    ("a tab behind the size", b"5\t\r\nabcde\r\n0\r\n\r\n", 400),
    ("a space before the extension", b"5 ;a=b\r\nabcde\r\n0\r\n\r\n", 400),
    ("a space inside the size", b"1 0\r\n0123456789abcdef\r\n0\r\n\r\n", 400),
    ("a space behind the last size", b"0 \r\n\r\n", 400),
    ("a vertical tab before the size", b"\x0b5\r\nabcde\r\n0\r\n\r\n", 400),
    ("a NUL behind the size", b"5\x00\r\nabcde\r\n0\r\n\r\n", 400),
    ("size 2^64", b"10000000000000000\r\nabcde\r\n0\r\n\r\n", 400),
    ("size 2^64 + 5", b"10000000000000005\r\nabcde\r\n0\r\n\r\n", 400),
    ("size 2^128 + 5", b"100000000000000000000000000000005\r\nabcde\r\n0\r\n\r\n", 400),
    ("size 2^64 - 1", b"ffffffffffffffff\r\nabcde\r\n0\r\n\r\n", 400),
    ("size 2^63", b"8000000000000000\r\nabcde\r\n0\r\n\r\n", 400),
    ("size 2^63 - 1", b"7fffffffffffffff\r\nabcde\r\n0\r\n\r\n", 413),
    ("size 2^32", b"100000000\r\nabcde\r\n0\r\n\r\n", 413),
    ("size 1 MiB + 1", b"100001\r\nabcde\r\n0\r\n\r\n", 413),
    ("1 MiB + 1 in two chunks", b"1\r\na\r\n100000\r\na", 413),
    // Line ends.
    ("LF behind the size", b"5\nabcde\r\n0\r\n\r\n", 400),
    ("CR behind the size", b"5\rabcde\r\n0\r\n\r\n", 400),
    ("CR CR LF behind the size", b"5\r\r\nabcde\r\n0\r\n\r\n", 400),
    ("LF CR behind the size", b"5\n\rabcde\r\n0\r\n\r\n", 400),
    ("LF in an extension", b"5;a\nb\r\nabcde\r\n0\r\n\r\n", 400),
    ("CR in an extension", b"5;a\rb\r\nabcde\r\n0\r\n\r\n", 400),
    ("LF behind an extension", b"5;a\nabcde\r\n0\r\n\r\n", 400),
    ("LF in a quoted extension", b"5;a=\"\n\"\r\nabcde\r\n0\r\n\r\n", 400),
    ("CR LF in a quoted extension", b"5;a=\"\r\n\"\r\nabcde\r\n0\r\n\r\n", 400),
    ("a NUL in an extension", b"5;a\x00\r\nabcde\r\n0\r\n\r\n", 400),
    ("a DEL in an extension", b"5;a\x7f\r\nabcde\r\n0\r\n\r\n", 400),
    ("LF behind the data", b"5\r\nabcde\n0\r\n\r\n", 400),
    ("CR behind the data", b"5\r\nabcde\r0\r\n\r\n", 400),
    ("CR CR LF behind the data", b"5\r\nabcde\r\r\n0\r\n\r\n", 400),
    ("nothing behind the data", b"5\r\nabcde0\r\n\r\n", 400),
    ("two bytes instead of a line end", b"5\r\nabcdexx0\r\n\r\n", 400),
    ("more data than the size", b"5\r\nabcdef\r\n0\r\n\r\n", 400),
    ("less data than the size", b"5\r\nabc\r\n0\r\n\r\n", 400),
    ("a space behind the data", b"5\r\nabcde \r\n0\r\n\r\n", 400),
    ("LF behind the last size", b"0\n\r\n", 400),
    ("LF at the very end", b"0\r\n\n", 400),
    ("CR at the very end", b"0\r\n\rG", 400),
    // Trailers.
    ("a trailer without a colon", b"0\r\nabc\r\n\r\n", 400),
    ("a trailer without a name", b"0\r\n: a\r\n\r\n", 400),
    ("a space before a trailer's colon", b"0\r\nX : a\r\n\r\n", 400),
    ("a space before a trailer", b"0\r\n X: a\r\n\r\n", 400),
    ("a folded trailer", b"0\r\nX: a\r\n b\r\n\r\n", 400),
    ("LF behind a trailer", b"0\r\nX: a\n\r\n", 400),
    ("LF behind the trailers", b"0\r\nX: a\r\n\n", 400),
    ("CR in a trailer", b"0\r\nX: a\rb\r\n\r\n", 400),
    ("CR CR LF behind a trailer", b"0\r\nX: a\r\r\n\r\n", 400),
    ("a NUL in a trailer", b"0\r\nX: a\x00\r\n\r\n", 400),
    ("a NUL in a trailer's name", b"0\r\nX\x00: a\r\n\r\n", 400),
    ("a request as a trailer", b"0\r\nGET /admin HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("the next request without an empty line", b"0\r\nGET / HTTP/1.1\r\n\r\n", 400),
];

/// Fields that have no business behind the body (RFC 9110, section 6.5.1).
const FORBIDDEN: &[&str] = &[
    "Content-Length: 5",
    "content-length: 5",
    "Transfer-Encoding: chunked",
    "TRANSFER-ENCODING: gzip",
    "Host: b",
    "Trailer: X",
    "Connection: close",
    "TE: trailers",
    "Upgrade: a",
    "Expect: 100-continue",
    "Authorization: Basic eDp5",
    "Proxy-Authorization: Basic eDp5",
    "Cookie: a=b",
    "Set-Cookie: a=b",
    "Content-Encoding: gzip",
    "Content-Type: text/html",
    "Content-Range: bytes 0-1/2",
];

/// All of them.
pub(crate) fn hostile() -> Vec<Hostile> {
    let mut all = Vec::new();
    for (name, bytes, status) in BODIES {
        all.push(Hostile::new(*name, *bytes, *status));
        // The same as a later chunk.
        let later = [b"3\r\nabc\r\n", *bytes].concat();
        all.push(Hostile::new(
            format!("{name}, in a later chunk"),
            later,
            *status,
        ));
    }
    for line in FORBIDDEN {
        let bytes = format!("0\r\n{line}\r\n\r\n");
        all.push(Hostile::new(format!("the trailer {line}"), bytes, 400));
        let bytes = format!("0\r\nX: a\r\n{line}\r\nY: b\r\n\r\n");
        all.push(Hostile::new(
            format!("the trailer {line}, among others"),
            bytes,
            400,
        ));
    }
    let zeros = [&b"0".repeat(300), b"5\r\nabcde\r\n0\r\n\r\n".as_slice()].concat();
    all.push(Hostile::new("a size with 300 zeros before", zeros, 400));
    let long = [
        b"5;a=".as_slice(),
        &b"b".repeat(300),
        b"\r\nabcde\r\n0\r\n\r\n",
    ]
    .concat();
    all.push(Hostile::new("a long extension", long, 400));
    let endless = [b"5;".as_slice(), &b"b".repeat(300)].concat();
    all.push(Hostile::new("an extension without an end", endless, 400));
    let flood = [
        &b"1;abcdefghijklmnopqrstuvwxyz\r\na\r\n".repeat(1000),
        b"0\r\n\r\n".as_slice(),
    ];
    all.push(Hostile::new("many extensions", flood.concat(), 400));
    let long = [b"0\r\nX: ".as_slice(), &b"a".repeat(8 * 1024), b"\r\n\r\n"].concat();
    all.push(Hostile::new("a long trailer", long, 431));
    let many = [b"0\r\n".as_slice(), &b"X: a\r\n".repeat(101), b"\r\n"].concat();
    all.push(Hostile::new("101 trailers", many, 431));
    let flood = [b"0\r\n".as_slice(), &b"X: a\r\n".repeat(5000)].concat();
    all.push(Hostile::new("trailers without an end", flood, 431));
    all
}

/// Good ones: a name, the body, the data.
pub(crate) fn good() -> Vec<(&'static str, Vec<u8>, Vec<u8>)> {
    let mut all: Vec<(&str, Vec<u8>, Vec<u8>)> = [
        ("nothing", "0\r\n\r\n", ""),
        ("one chunk", "5\r\nabcde\r\n0\r\n\r\n", "abcde"),
        (
            "two chunks",
            "5\r\nabcde\r\n3\r\nfgh\r\n0\r\n\r\n",
            "abcdefgh",
        ),
        (
            "zeros before a size",
            "0005\r\nabcde\r\n000\r\n\r\n",
            "abcde",
        ),
        (
            "letters small",
            "a\r\n0123456789\r\n0\r\n\r\n",
            "0123456789",
        ),
        (
            "letters large",
            "A\r\n0123456789\r\n0\r\n\r\n",
            "0123456789",
        ),
        (
            "two digits",
            "10\r\n0123456789abcdef\r\n0\r\n\r\n",
            "0123456789abcdef",
        ),
        (
            "line ends as data",
            "4\r\n\r\n\r\n\r\n0\r\n\r\n",
            "\r\n\r\n",
        ),
        ("an end as data", "5\r\n0\r\n\r\n\r\n0\r\n\r\n", "0\r\n\r\n"),
        ("an extension", "5;a\r\nabcde\r\n0\r\n\r\n", "abcde"),
        (
            "an extension with a value",
            "5;a=b\r\nabcde\r\n0\r\n\r\n",
            "abcde",
        ),
        (
            "an extension in quotes",
            "5;a=\"b c;d\"\r\nabcde\r\n0\r\n\r\n",
            "abcde",
        ),
        ("two extensions", "5;a=b;c=d\r\nabcde\r\n0\r\n\r\n", "abcde"),
        (
            "an extension of the end",
            "5\r\nabcde\r\n0;a=b\r\n\r\n",
            "abcde",
        ),
        ("a trailer", "5\r\nabcde\r\n0\r\nX: a\r\n\r\n", "abcde"),
        ("an empty trailer", "5\r\nabcde\r\n0\r\nX:\r\n\r\n", "abcde"),
        (
            "two trailers",
            "5\r\nabcde\r\n0\r\nX: a\r\nETag: \"b\"\r\n\r\n",
            "abcde",
        ),
    ]
    .map(|(name, bytes, data)| (name, bytes.into(), data.into()))
    .into();
    let (ones, data) = (b"1\r\na\r\n".repeat(2000), b"a".repeat(2000));
    all.push((
        "many chunks",
        [&ones, b"0\r\n\r\n".as_slice()].concat(),
        data,
    ));
    let data: Vec<u8> = (0..100_000u32).map(|n| n as u8).collect();
    let bytes = [b"186a0\r\n".as_slice(), &data, b"\r\n0\r\n\r\n"].concat();
    all.push(("one large chunk", bytes, data));
    let longest = [b"3;".as_slice(), &b"x".repeat(253), b"\r\nabc\r\n0\r\n\r\n"].concat();
    all.push(("the longest extension", longest, b"abc".into()));
    let many = [b"0\r\n".as_slice(), &b"X: a\r\n".repeat(100), b"\r\n"].concat();
    all.push(("100 trailers", many, Vec::new()));
    all
}
