//! Each hostile message of the tables is refused with its status; each good one is understood.

use http::{HeaderValue, Method};
use ropewalk_http::codec::{Framing, Limits, Target};

use super::corpus::{chunked, good, requests, responses};
use super::{body, request, request_within, response, shown};

/// The limits that the tables of chunked bodies are made for.
pub(crate) fn body_limits() -> Limits {
    Limits {
        body_bytes_max: Some(1024 * 1024),
        ..Limits::default()
    }
}

/// Fails with all that went wrong at once.
fn none_of(wrong: Vec<String>) {
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn hostile_requests_are_refused() {
    let mut wrong = Vec::new();
    for case in requests::hostile() {
        match request(&case.bytes) {
            Err(status) if status == case.status => {}
            other => {
                let (name, got) = (&case.name, other.map(|some| some.map(|(len, _)| len)));
                wrong.push(format!(
                    "{name}: {got:?}, not {}: {}",
                    case.status,
                    shown(&case.bytes)
                ));
            }
        }
    }
    none_of(wrong);
}

#[test]
fn hostile_responses_are_refused() {
    let mut wrong = Vec::new();
    for case in responses::hostile() {
        for method in [Method::GET, Method::POST, Method::HEAD] {
            match response(&case.bytes, &method) {
                Err(status) if case.status == 0 || status == case.status => {}
                other => {
                    let (name, got) = (&case.name, other.map(|some| some.map(|(len, _)| len)));
                    wrong.push(format!("{name}, {method}: {got:?}: {}", shown(&case.bytes)));
                }
            }
        }
    }
    none_of(wrong);
}

#[test]
fn hostile_chunks_are_refused() {
    let mut wrong = Vec::new();
    for case in chunked::hostile() {
        match body(Framing::Chunked, &body_limits(), [case.bytes.as_slice()]) {
            Err(status) if status == case.status => {}
            other => {
                let (name, status) = (&case.name, case.status);
                wrong.push(format!(
                    "{name}: {other:?}, not {status}: {}",
                    shown(&case.bytes)
                ));
            }
        }
    }
    none_of(wrong);
}

#[test]
fn good_requests_are_understood() {
    let mut wrong = Vec::new();
    for case in good::requests() {
        let Ok(Some((len, head))) = request(&case.bytes()) else {
            let got = request(&case.bytes()).err();
            wrong.push(format!("{}: {got:?}: {}", case.name, shown(&case.bytes())));
            continue;
        };
        let body = body(head.framing, &Limits::default(), [case.body.as_slice()]);
        let fits = len == case.head.len()
            && head.framing == case.framing
            && head.keep_alive == case.keep_alive
            && body.is_ok_and(|body| {
                body.done && body.consumed == case.body.len() && body.data == case.data
            });
        if !fits {
            wrong.push(format!("{}: {len} bytes, {head:?}", case.name));
        }
        let uri = head.uri();
        if uri.path() != head.path() || uri.query() != head.query() {
            wrong.push(format!("{}: the URI {uri} of {}", case.name, head.target()));
        }
    }
    none_of(wrong);
}

#[test]
fn good_responses_are_understood() {
    for case in responses::good() {
        let (len, head) = match response(case.bytes, &case.method) {
            Ok(Some(parsed)) => parsed,
            other => panic!("{}: {other:?}", case.name),
        };
        assert_eq!(len, case.bytes.len(), "{}", case.name);
        assert_eq!(head.status, case.status, "{}", case.name);
        assert_eq!(head.framing, case.framing, "{}", case.name);
        assert_eq!(head.keep_alive, case.keep_alive, "{}", case.name);
    }
}

#[test]
fn targets_are_taken_apart() {
    for (target, form, host, path, query) in good::TARGETS {
        let bytes = format!("GET {target} HTTP/1.1\r\nHost: other\r\n\r\n");
        let (_, head) = request(bytes.as_bytes()).unwrap().unwrap();
        assert_eq!(head.target(), *target);
        assert_eq!(head.form, *form, "{target}");
        assert_eq!(head.host(), Some(*host), "{target}");
        assert_eq!(head.path(), *path, "{target}");
        assert_eq!(head.query(), *query, "{target}");
    }
}

#[test]
fn connect_names_an_authority() {
    for target in [
        "a:80",
        "a.example:443",
        "127.0.0.1:1",
        "[::1]:443",
        "a:65535",
    ] {
        let bytes = format!("CONNECT {target} HTTP/1.1\r\nHost: other\r\n\r\n");
        let (_, head) = request(bytes.as_bytes()).unwrap().unwrap();
        assert_eq!(
            (head.form.clone(), head.host()),
            (Target::Authority, Some(target))
        );
        assert_eq!(head.uri().authority().map(|own| own.as_str()), Some(target));
    }
}

#[test]
fn fields_keep_their_order_and_lose_their_margins() {
    let bytes =
        b"GET / HTTP/1.1\r\nB: 1\r\nHost: a\r\na:\t 2 \t\r\nb:3\r\nC: \r\nD: \x80 x\r\n\r\n";
    let (_, head) = request(bytes).unwrap().unwrap();
    let fields: Vec<(&str, &[u8])> = head.fields.iter().collect();
    let expected: [(&str, &[u8]); 6] = [
        ("B", b"1"),
        ("Host", b"a"),
        ("a", b"2"),
        ("b", b"3"),
        ("C", b""),
        ("D", b"\x80 x"),
    ];
    assert_eq!(fields, expected);
    assert_eq!(head.fields.len(), 6);
    assert_eq!(head.fields.find("B"), Some(b"1".as_slice()));
    assert_eq!(head.fields.find("c"), Some(b"".as_slice()));
    assert_eq!(head.fields.find("e"), None);
    let map = head.headers();
    assert_eq!(map.len(), 6);
    assert!(map.get_all("b").iter().eq(["1", "3"]));
    assert_eq!(map["d"], HeaderValue::from_bytes(b"\x80 x").unwrap());
}

#[test]
fn only_a_body_to_come_is_worth_a_100() {
    let expects = |text: &str| {
        request(text.as_bytes())
            .unwrap()
            .unwrap()
            .1
            .expects_continue
    };
    let line = "Host: a\r\nExpect: 100-continue\r\n";
    assert!(expects(&format!(
        "PUT / HTTP/1.1\r\n{line}Content-Length: 5\r\n\r\n"
    )));
    assert!(expects(&format!(
        "PUT / HTTP/1.1\r\n{line}Transfer-Encoding: chunked\r\n\r\n"
    )));
    assert!(!expects(&format!(
        "PUT / HTTP/1.1\r\n{line}Content-Length: 0\r\n\r\n"
    )));
    assert!(!expects(&format!("PUT / HTTP/1.1\r\n{line}\r\n")));
    // HTTP/1.0 knows no interim responses (RFC 9110, section 10.1.1).
    assert!(!expects(&format!(
        "PUT / HTTP/1.0\r\n{line}Content-Length: 5\r\n\r\n"
    )));
    assert!(!expects(
        "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"
    ));
}

#[test]
fn an_upgrade_needs_both_fields() {
    let upgrades = |version: &str, lines: &str| {
        let text = format!("GET / HTTP/{version}\r\nHost: a\r\n{lines}\r\n");
        request(text.as_bytes()).unwrap().unwrap().1.upgrade
    };
    assert!(upgrades(
        "1.1",
        "Connection: Upgrade\r\nUpgrade: websocket\r\n"
    ));
    assert!(upgrades(
        "1.1",
        "Upgrade: websocket\r\nConnection: keep-alive, upgrade\r\n"
    ));
    assert!(!upgrades("1.1", "Upgrade: websocket\r\n"));
    assert!(!upgrades("1.1", "Connection: Upgrade\r\n"));
    assert!(!upgrades(
        "1.0",
        "Connection: Upgrade\r\nUpgrade: websocket\r\n"
    ));
}

#[test]
fn limits_hold_to_the_byte() {
    let bytes = b"GET /1234567 HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n";
    let tight = Limits {
        head_bytes_max: bytes.len(),
        fields_max: 2,
        target_bytes_max: 8,
        ..Limits::default()
    };
    assert_eq!(
        request_within(bytes, &tight).unwrap().unwrap().0,
        bytes.len()
    );
    let verdict = |limits: Limits| request_within(bytes, &limits).map(|_| ());
    assert_eq!(
        verdict(Limits {
            head_bytes_max: bytes.len() - 1,
            ..tight.clone()
        }),
        Err(431)
    );
    assert_eq!(
        verdict(Limits {
            fields_max: 1,
            ..tight.clone()
        }),
        Err(431)
    );
    assert_eq!(
        verdict(Limits {
            target_bytes_max: 7,
            ..tight
        }),
        Err(414)
    );
}

#[test]
fn a_body_beyond_the_limit_is_refused_by_its_head() {
    let bytes = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n";
    let limits = |most| Limits {
        body_bytes_max: Some(most),
        ..Limits::default()
    };
    assert!(request_within(bytes, &limits(1000)).is_ok());
    assert_eq!(request_within(bytes, &limits(999)).err(), Some(413));
}

#[test]
fn a_body_until_close_ends_with_the_connection() {
    let limits = Limits {
        body_bytes_max: Some(5),
        ..Limits::default()
    };
    let mut decoder = ropewalk_http::codec::body::Decoder::new(Framing::UntilClose, &limits);
    assert_eq!(decoder.decode(b"hello").unwrap().data, 0..5);
    assert_eq!((decoder.is_done(), decoder.left()), (false, None));
    assert!(decoder.eof() && decoder.is_done());
    assert_eq!(
        body(Framing::UntilClose, &limits, [b"hello!".as_slice()]),
        Err(413)
    );
}

#[test]
fn a_body_that_ends_early_is_not_whole() {
    let cut: [(Framing, &[u8]); 4] = [
        (Framing::Length(5), b"hell"),
        (Framing::Chunked, b"5\r\nhell"),
        (Framing::Chunked, b"5\r\nhello\r\n"),
        (Framing::Chunked, b"5\r\nhello\r\n0\r\n"),
    ];
    for (framing, bytes) in cut {
        let mut decoder = ropewalk_http::codec::body::Decoder::new(framing, &Limits::default());
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = &rest[decoder.decode(rest).unwrap().consumed..];
        }
        assert!(!decoder.eof(), "{framing:?} of {}", shown(bytes));
    }
}

#[test]
fn trailers_are_kept_apart() {
    let mut decoder =
        ropewalk_http::codec::body::Decoder::new(Framing::Chunked, &Limits::default());
    let bytes = b"0\r\nX: a \r\nETag: \"b\"\r\nx: c\r\n\r\nGET";
    let found = decoder.decode(bytes).unwrap();
    assert!(decoder.is_done());
    assert_eq!(&bytes[found.consumed..], b"GET");
    assert!(decoder.trailers().get_all("x").iter().eq(["a", "c"]));
    assert_eq!(decoder.trailers()["etag"], "\"b\"");
}
