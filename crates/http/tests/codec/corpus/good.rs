//! Good requests.

use ropewalk_http::codec::{Framing, Target};

/// A request that must be accepted, as the head and what follows it on the wire.
pub(crate) struct Good {
    pub(crate) name: String,
    pub(crate) head: Vec<u8>,
    pub(crate) body: Vec<u8>,
    /// The body's data.
    pub(crate) data: Vec<u8>,
    pub(crate) framing: Framing,
    pub(crate) keep_alive: bool,
}

impl Good {
    fn new(name: impl Into<String>, head: impl Into<Vec<u8>>) -> Good {
        Good {
            name: name.into(),
            head: head.into(),
            body: Vec::new(),
            data: Vec::new(),
            framing: Framing::Empty,
            keep_alive: true,
        }
    }

    /// All its bytes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        [self.head.as_slice(), &self.body].concat()
    }
}

/// Heads of requests without a body, on connections that are kept.
#[rustfmt::skip]
const PLAIN: &[(&str, &[u8])] = &[
    ("the least", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("one empty line before", b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("two empty lines before", b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("HEAD", b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("DELETE", b"DELETE /a HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("TRACE", b"TRACE /a HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("OPTIONS *", b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("OPTIONS of a path", b"OPTIONS /a HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("a method nobody knows", b"FROB /a HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("a small method", b"get / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("a method of signs", b"!#$%&'*+-.^_`|~ / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("M-SEARCH", b"M-SEARCH / HTTP/1.1\r\nHost: a\r\n\r\n"),
    (
        "the longest method",
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJKLMNOPQRSTUVWXYZ01234567890 \
      / HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    ("no space behind the colon", b"GET / HTTP/1.1\r\nHost:a\r\n\r\n"),
    ("white space around a value", b"GET / HTTP/1.1\r\nHost: \t a \t \r\nX:\t b\t\r\n\r\n"),
    ("an empty value", b"GET / HTTP/1.1\r\nHost: a\r\nX:\r\nY: \r\n\r\n"),
    ("white space inside a value", b"GET / HTTP/1.1\r\nHost: a\r\nX: b \t c\r\n\r\n"),
    ("a value beyond ASCII", b"GET / HTTP/1.1\r\nHost: a\r\nX: \x80\xe4\xff\r\n\r\n"),
    ("a colon in a value", b"GET / HTTP/1.1\r\nHost: a\r\nX: b: c:d\r\n\r\n"),
    ("a colon in front of a value", b"GET / HTTP/1.1\r\nHost: a\r\nX::b\r\n\r\n"),
    ("a name of signs", b"GET / HTTP/1.1\r\nHost: a\r\n!#$%&'*+-.^_`|~09azAZ: b\r\n\r\n"),
    ("a field twice", b"GET / HTTP/1.1\r\nX: a\r\nHost: a\r\nX: b\r\nx: a\r\n\r\n"),
    ("names in any case", b"GET / HTTP/1.1\r\nhOST: a\r\ncontent-LENGTH: 0\r\n\r\n"),
    ("CL 0", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"),
    ("CL 000", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 000\r\n\r\n"),
    ("keep-alive said", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n"),
    ("other options", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: x, closed, ,\r\n\r\n"),
    ("an upgrade", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: b\r\n\r\n"),
    ("TE is not Transfer-Encoding", b"GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n"),
    ("X-Content-Length", b"GET / HTTP/1.1\r\nHost: a\r\nX-Content-Length: x\r\n\r\n"),
    ("Content_Length", b"GET / HTTP/1.1\r\nHost: a\r\nContent_Length: 5\r\n\r\n"),
    ("an expectation of nothing", b"GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n"),
    ("a reason to wait", b"GET / HTTP/1.1\r\nHost: a\r\nRange: bytes=0-\r\nCookie: a=b\r\n\r\n"),
];

/// Lines of fields that frame `hello`, however it is written.
#[rustfmt::skip]
const BODIED: &[(&str, &[u8], &[u8], Framing)] = &[
    ("CL 5", b"Content-Length: 5\r\n", b"hello", Framing::Length(5)),
    ("CL 005", b"Content-Length: 005\r\n", b"hello", Framing::Length(5)),
    ("CL with spaces", b"Content-Length: \t5 \t\r\n", b"hello", Framing::Length(5)),
    (
        "CL of 40 digits",
        b"Content-Length: 0000000000000000000000000000000000000005\r\n",
        b"hello",
        Framing::Length(5),
    ),
    ("TE", b"Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n0\r\n\r\n", Framing::Chunked),
    ("TE CHUNKED", b"TRANSFER-ENCODING:CHUNKED\r\n", b"5\r\nhello\r\n0\r\n\r\n", Framing::Chunked),
    (
        "TE with spaces",
        b"Transfer-Encoding: \t chunked \t \r\n",
        b"1\r\nh\r\n4\r\nello\r\n0\r\n\r\n",
        Framing::Chunked,
    ),
    (
        "an expectation",
        b"Content-Length: 5\r\nExpect: 100-Continue \r\n",
        b"hello",
        Framing::Length(5),
    ),
];

/// The form of a target, its host, path and query, with `Host: other`.
#[rustfmt::skip]
pub(crate) const TARGETS: &[(&str, Target, &str, &str, Option<&str>)] = &[
    ("/", Target::Origin, "other", "/", None),
    ("/a/b", Target::Origin, "other", "/a/b", None),
    ("/?", Target::Origin, "other", "/", Some("")),
    ("/a?b=c&d", Target::Origin, "other", "/a", Some("b=c&d")),
    ("/a?b?c", Target::Origin, "other", "/a", Some("b?c")),
    ("//", Target::Origin, "other", "//", None),
    ("//a/b", Target::Origin, "other", "//a/b", None),
    ("/a//b/../c/.", Target::Origin, "other", "/a//b/../c/.", None),
    ("/http://a/", Target::Origin, "other", "/http://a/", None),
    ("/%00%2f%zz%", Target::Origin, "other", "/%00%2f%zz%", None),
    ("/a@b:c", Target::Origin, "other", "/a@b:c", None),
    ("/*", Target::Origin, "other", "/*", None),
    ("/!$&'()*+,;=-._~", Target::Origin, "other", "/!$&'()*+,;=-._~", None),
    ("/[a]|{b}\"", Target::Origin, "other", "/[a]|{b}\"", None),
    ("/?[a]|{b}'\\^`/?", Target::Origin, "other", "/", Some("[a]|{b}'\\^`/?")),
    ("http://a", Target::Absolute, "a", "/", None),
    ("http://a/", Target::Absolute, "a", "/", None),
    ("http://a?b", Target::Absolute, "a", "/", Some("b")),
    ("http://a/?b/c", Target::Absolute, "a", "/", Some("b/c")),
    ("http://a?b/c?d", Target::Absolute, "a", "/", Some("b/c?d")),
    ("http://a:80/b/c?d=e", Target::Absolute, "a:80", "/b/c", Some("d=e")),
    ("https://A.Example/b", Target::Absolute, "A.Example", "/b", None),
    ("HTTP://a/b", Target::Absolute, "a", "/b", None),
    ("http://[::1]/b", Target::Absolute, "[::1]", "/b", None),
    ("http://[::1]:8080/b", Target::Absolute, "[::1]:8080", "/b", None),
    ("http://127.0.0.1/b", Target::Absolute, "127.0.0.1", "/b", None),
    ("http://a//b", Target::Absolute, "a", "//b", None),
    ("http://a/http://b/", Target::Absolute, "a", "/http://b/", None),
];

/// Values of `Host` that are fine.
pub(crate) const HOSTS: &[&str] = &[
    "a",
    "a.example",
    "a.example.",
    "A.EXAMPLE",
    "a:0",
    "a:80",
    "a:65535",
    "a:00080",
    "a_b",
    "xn--bcher-kva.example",
    "127.0.0.1",
    "127.0.0.1:8080",
    "[::1]",
    "[::1]:8080",
    "[fe80::1:2]",
    "[::ffff:1.2.3.4]:80",
    "a:",
];

/// All of them.
pub(crate) fn requests() -> Vec<Good> {
    let mut all: Vec<Good> = PLAIN
        .iter()
        .map(|(name, head)| Good::new(*name, *head))
        .collect();
    for (name, lines, body, framing) in BODIED {
        for method in ["POST", "PUT", "GET", "OPTIONS", "DELETE", "FROB"] {
            let start = format!("{method} /a HTTP/1.1\r\nHost: a\r\n");
            let head = [start.as_bytes(), lines, b"\r\n"].concat();
            all.push(Good {
                body: body.to_vec(),
                data: b"hello".to_vec(),
                framing: *framing,
                ..Good::new(format!("{method} with {name}"), head)
            });
        }
    }
    for (name, body, data) in super::chunked::good() {
        let head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        all.push(Good {
            body,
            data,
            framing: Framing::Chunked,
            ..Good::new(format!("chunked: {name}"), *head)
        });
    }
    for (target, ..) in TARGETS {
        let head = format!("GET {target} HTTP/1.1\r\nHost: other\r\n\r\n");
        all.push(Good::new(format!("target {target}"), head));
    }
    for host in HOSTS {
        let head = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        all.push(Good::new(format!("Host: {host}"), head));
    }
    let long = [
        b"GET /".as_slice(),
        &b"a".repeat(8 * 1024 - 1),
        b" HTTP/1.1\r\nHost: a\r\n\r\n",
    ];
    all.push(Good::new("the longest target", long.concat()));
    let fields = b"X: b\r\n".repeat(99);
    let many = [
        b"GET / HTTP/1.1\r\nHost: a\r\n".as_slice(),
        &fields,
        b"\r\n",
    ]
    .concat();
    all.push(Good::new("100 fields", many));
    let start = b"GET / HTTP/1.1\r\nHost: a\r\nX: ";
    let value = b"b".repeat(64 * 1024 - start.len() - 4);
    all.push(Good::new(
        "the longest head",
        [start.as_slice(), &value, b"\r\n\r\n"].concat(),
    ));
    closing(&mut all);
    all
}

/// Those after which there is no other.
fn closing(all: &mut Vec<Good>) {
    let heads: &[(&str, &[u8])] = &[
        (
            "close",
            b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        ),
        (
            "CLOSE",
            b"GET / HTTP/1.1\r\nHost: a\r\nconnection:CLOSE\r\n\r\n",
        ),
        (
            "close in a list",
            b"GET / HTTP/1.1\r\nHost: a\r\nConnection: x,\tclose ,y\r\n\r\n",
        ),
        ("HTTP/1.0", b"GET / HTTP/1.0\r\n\r\n"),
        ("HTTP/1.0 with Host", b"GET / HTTP/1.0\r\nHost: a\r\n\r\n"),
        (
            "HTTP/1.0, an absolute target",
            b"GET http://a/ HTTP/1.0\r\n\r\n",
        ),
    ];
    for (name, head) in heads {
        all.push(Good {
            keep_alive: false,
            ..Good::new(*name, *head)
        });
    }
    let kept = b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n";
    all.push(Good::new("HTTP/1.0, kept alive", *kept));
    all.push(Good {
        body: b"hello".into(),
        data: b"hello".into(),
        framing: Framing::Length(5),
        keep_alive: false,
        ..Good::new(
            "HTTP/1.0 with CL",
            *b"POST / HTTP/1.0\r\nContent-Length: 5\r\n\r\n",
        )
    });
}
