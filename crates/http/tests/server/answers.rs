//! In memory: what is answered to which bytes, and in how many writes.

use std::io::{self, Read, Write};

use ropewalk_http::header::{self, HeaderValue};
use ropewalk_http::{App, Method, Request, Response, StatusCode};

fn app() -> App {
    App::new()
        .get("/", |_: &mut Request| "home")
        .get("/items/{id}", |request: &mut Request| {
            format!("item {}", request.param("id").unwrap())
        })
        .get("/files/{*rest}", |request: &mut Request| {
            request.param("rest").unwrap().to_owned()
        })
        .get("/query", |request: &mut Request| {
            request.query_value("name").map(|name| name.into_owned())
        })
        .get("/empty", |_: &mut Request| StatusCode::NO_CONTENT)
        .get("/same", |_: &mut Request| {
            (StatusCode::NOT_MODIFIED, "not sent")
        })
        .get("/panic", |_: &mut Request| -> &'static str {
            std::panic::resume_unwind(Box::new("on purpose"))
        })
        .get("/stream", |_: &mut Request| {
            Response::stream(|body| {
                body.write_all(b"one ")?;
                body.write_all(b"two")
            })
        })
        .get("/reader", |_: &mut Request| {
            Response::reader(&b"12345"[..], Some(5))
        })
        .get("/interim", |_: &mut Request| StatusCode::CONTINUE)
        .post("/echo", |request: &mut Request| request.read_body())
        .any("/any", |request: &mut Request| request.method().to_string())
}

/// One request's answer: the head's lines without the date, and the body.
fn ask(request: &str) -> (Vec<String>, String) {
    split(app().exchange(request.as_bytes()))
}

fn split(answer: Vec<u8>) -> (Vec<String>, String) {
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("a whole head");
    let lines = head
        .split("\r\n")
        .filter(|line| !line.starts_with("date: "));
    (lines.map(str::to_owned).collect(), body.to_owned())
}

fn get(path: &str) -> (Vec<String>, String) {
    ask(&format!("GET {path} HTTP/1.1\r\nhost: here\r\n\r\n"))
}

fn statuses(answers: &[u8]) -> Vec<u16> {
    let text = String::from_utf8_lossy(answers);
    let heads = text.split("HTTP/1.1 ").skip(1);
    heads.map(|head| head[..3].parse().unwrap()).collect()
}

#[test]
fn an_answer_is_framed_dated_and_typed() {
    let answer = app().exchange(b"GET / HTTP/1.1\r\nhost: here\r\n\r\n");
    assert!(String::from_utf8_lossy(&answer).contains("\r\ndate: "));
    let (head, body) = split(answer);
    assert_eq!(
        head,
        [
            "HTTP/1.1 200 OK",
            "content-type: text/plain; charset=utf-8",
            "content-length: 4"
        ]
    );
    assert_eq!(body, "home");
}

#[test]
fn routes_match_names_rests_and_queries() {
    assert_eq!(get("/items/7?x=1").1, "item 7");
    assert_eq!(get("/items/a%20b").1, "item a b");
    assert_eq!(get("/files/a/b/c").1, "a/b/c");
    assert_eq!(get("/query?x=1&name=J%20D+X").1, "J D X");
    assert_eq!(get("/query").0[0], "HTTP/1.1 404 Not Found");
    let absolute = "GET http://else.where/items/8 HTTP/1.1\r\nhost: here\r\n\r\n";
    assert_eq!(ask(absolute).1, "item 8");
}

#[test]
fn unknown_paths_and_methods_are_told_apart() {
    assert_eq!(get("/nowhere").0[0], "HTTP/1.1 404 Not Found");
    let (head, _) = ask("DELETE / HTTP/1.1\r\nhost: here\r\n\r\n");
    assert_eq!(head[0], "HTTP/1.1 405 Method Not Allowed");
    assert!(head.contains(&"allow: GET, HEAD, OPTIONS".to_owned()));
    let (head, body) = ask("OPTIONS /echo HTTP/1.1\r\nhost: here\r\n\r\n");
    assert_eq!(head[0], "HTTP/1.1 204 No Content");
    assert!(head.contains(&"allow: POST, OPTIONS".to_owned()));
    assert_eq!(body, "");
    assert_eq!(ask("BREW /any HTTP/1.1\r\nhost: here\r\n\r\n").1, "BREW");
    let star = ask("OPTIONS * HTTP/1.1\r\nhost: here\r\n\r\n");
    assert_eq!(star.0[0], "HTTP/1.1 204 No Content");
    let tunnel = ask("CONNECT a.example:443 HTTP/1.1\r\nhost: a.example:443\r\n\r\n");
    assert_eq!(tunnel.0[0], "HTTP/1.1 501 Not Implemented");
}

#[test]
fn a_fallback_stands_in_for_404() {
    let app = app()
        .fallback(|request: &mut Request| (StatusCode::IM_A_TEAPOT, request.path().to_owned()));
    let answer = app.exchange(b"GET /no%20where?q HTTP/1.1\r\nhost: here\r\n\r\n");
    let (head, body) = split(answer);
    assert_eq!(head[0], "HTTP/1.1 418 I'm a teapot");
    assert_eq!(body, "/no%20where");
}

#[test]
fn bodiless_answers_have_no_body() {
    let (head, body) = ask("HEAD / HTTP/1.1\r\nhost: here\r\n\r\n");
    assert!(head.contains(&"content-length: 4".to_owned()), "{head:?}");
    assert_eq!(body, "");
    for path in ["/empty", "/same"] {
        let (head, body) = get(path);
        assert!(!head.iter().any(|line| line.contains("length")), "{head:?}");
        assert_eq!(body, "");
    }
    let (head, body) = ask("HEAD /stream HTTP/1.1\r\nhost: here\r\n\r\n");
    assert!(head.contains(&"transfer-encoding: chunked".to_owned()));
    assert_eq!(body, "");
    // The next answer begins right behind them.
    let mut requests = String::new();
    for path in ["/", "/stream", "/reader", "/empty", "/same"] {
        requests += &format!("HEAD {path} HTTP/1.1\r\nhost: here\r\n\r\n");
    }
    let answers = app().exchange(requests.as_bytes());
    assert_eq!(statuses(&answers), [200, 200, 200, 204, 304]);
    assert!(answers.ends_with(b"\r\n\r\n"));
}

#[test]
fn streams_are_chunked_and_end_with_the_connection_in_1_0() {
    let (head, body) = get("/stream");
    assert!(head.contains(&"transfer-encoding: chunked".to_owned()));
    assert_eq!(body, "4\r\none \r\n3\r\ntwo\r\n0\r\n\r\n");
    let (head, body) = ask("GET /stream HTTP/1.0\r\nconnection: keep-alive\r\n\r\n");
    assert!(head.contains(&"connection: close".to_owned()));
    assert!(!head.iter().any(|line| line.starts_with("transfer")));
    assert_eq!(body, "one two");
    assert_eq!(get("/reader").1, "12345");
}

#[test]
fn http_1_0_keeps_the_connection_if_asked() {
    let (head, _) = ask("GET / HTTP/1.0\r\n\r\n");
    assert!(head.contains(&"connection: close".to_owned()));
    let keep = "GET / HTTP/1.0\r\nconnection: Keep-Alive\r\n\r\n";
    let answers = app().exchange(keep.repeat(2).as_bytes());
    assert_eq!(statuses(&answers), [200, 200]);
    assert!(String::from_utf8_lossy(&answers).contains("connection: keep-alive"));
}

#[test]
fn nothing_is_answered_behind_a_close() {
    let answers = app().exchange(
        b"GET / HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\nGET / HTTP/1.1\r\nhost: here\r\n\r\n",
    );
    assert_eq!(statuses(&answers), [200]);
    let own = App::new().get("/", |_: &mut Request| {
        Response::text("bye").with_header(header::CONNECTION, HeaderValue::from_static("close"))
    });
    let answers =
        own.exchange(b"GET / HTTP/1.1\r\nhost: here\r\n\r\nGET / HTTP/1.1\r\nhost: here\r\n\r\n");
    assert_eq!(statuses(&answers), [200]);
}

#[test]
fn pipelined_requests_are_answered_in_one_write() {
    let one = "GET /items/1 HTTP/1.1\r\nhost: here\r\n\r\n";
    let post = "POST /echo HTTP/1.1\r\nhost: here\r\ncontent-length: 5\r\n\r\nhello";
    let chunked = "POST /echo HTTP/1.1\r\nhost: here\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let mut requests = String::new();
    for _ in 0..16 {
        requests += one;
        requests += post;
        requests += chunked;
    }
    assert!(requests.len() < 8 << 10, "they fit into one read");
    let (answers, writes) = app().exchange_counted(requests.as_bytes());
    assert_eq!(statuses(&answers), [200; 48]);
    assert_eq!(writes, 1);
    let text = String::from_utf8(answers).unwrap();
    let bodies: Vec<&str> = text.split("\r\n\r\n").skip(1).collect();
    for three in bodies.chunks(3) {
        assert!(three[0].starts_with("item 1"));
        assert!(three[1].starts_with("hello"));
        assert!(three[2].starts_with("abc"));
    }
}

/// A client that sends and sends and does not read must not make the server gather answers.
#[test]
fn answers_that_wait_are_bounded() {
    let app = App::new().get("/", |_: &mut Request| "x".repeat(60_000));
    let requests = "GET / HTTP/1.1\r\nhost: here\r\n\r\n".repeat(100);
    assert!(requests.len() < 8 << 10);
    let (answers, writes) = app.exchange_counted(requests.as_bytes());
    assert!(answers.len() > 6_000_000);
    assert!((19..=26).contains(&writes), "{writes} writes");
}

#[test]
fn what_follows_an_error_is_not_run() {
    let answers = app().exchange(
        b"GET / HTTP/1.1\r\nhost: here\r\n\r\nGET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\nhost: here\r\n\r\n",
    );
    assert_eq!(statuses(&answers), [200, 400]);
    assert!(String::from_utf8_lossy(&answers).contains("connection: close"));
}

#[test]
fn refusals_have_their_status() {
    let long = format!("GET /{} HTTP/1.1\r\nhost: here\r\n\r\n", "a".repeat(9000));
    let many = format!(
        "GET / HTTP/1.1\r\nhost: here\r\n{}\r\n",
        "a: b\r\n".repeat(200)
    );
    let wide = format!(
        "GET / HTTP/1.1\r\nhost: here\r\na: {}\r\n\r\n",
        "b".repeat(70_000)
    );
    let large = "POST /echo HTTP/1.1\r\nhost: here\r\ncontent-length: 99999999999\r\n\r\n";
    let chunk =
        "POST /echo HTTP/1.1\r\nhost: here\r\ntransfer-encoding: chunked\r\n\r\nfffffffff\r\n";
    let both = "POST /echo HTTP/1.1\r\nhost: here\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n";
    let wish = "GET / HTTP/1.1\r\nhost: here\r\nexpect: a-pony\r\n\r\n";
    let two = "GET / HTTP/2.0\r\nhost: here\r\n\r\n";
    for (request, status) in [
        (long.as_str(), 414),
        (&many, 431),
        (&wide, 431),
        (large, 413),
        (chunk, 413),
        (both, 400),
        (wish, 417),
        (two, 505),
    ] {
        let twice = [request, "GET / HTTP/1.1\r\nhost: here\r\n\r\n"].concat();
        let answers = app().exchange(twice.as_bytes());
        assert_eq!(statuses(&answers), [status], "{:.80}", request);
    }
}

#[test]
fn a_panic_is_500_and_ends_its_connection() {
    let requests = "GET / HTTP/1.1\r\nhost: here\r\n\r\nGET /panic HTTP/1.1\r\nhost: here\r\n\r\n\
                    GET / HTTP/1.1\r\nhost: here\r\n\r\n";
    let answers = app().exchange(requests.as_bytes());
    assert_eq!(statuses(&answers), [200, 500]);
    assert_eq!(get("/interim").0[0], "HTTP/1.1 500 Internal Server Error");
}

#[test]
fn a_body_that_fails_early_is_500_and_costs_no_other_answer() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("broken"))
        }
    }
    let app = app()
        .get("/broken", |_: &mut Request| {
            Response::reader(Broken, Some(10))
        })
        .get("/short", |_: &mut Request| {
            Response::reader(&b"123"[..], Some(10))
        })
        .get("/part", |_: &mut Request| {
            Response::stream(|body| {
                body.write_all(b"part")?;
                body.flush()?;
                Err(io::Error::other("broken"))
            })
        });
    for path in ["/broken", "/short"] {
        let requests = format!(
            "GET / HTTP/1.1\r\nhost: here\r\n\r\nGET {path} HTTP/1.1\r\nhost: here\r\n\r\n"
        );
        let answers = app.exchange(requests.as_bytes());
        assert_eq!(statuses(&answers), [200, 500]);
        assert!(String::from_utf8_lossy(&answers).ends_with("500 Internal Server Error\n"));
    }
    let answer = app.exchange(b"GET /part HTTP/1.1\r\nhost: here\r\n\r\n");
    assert!(answer.ends_with(b"4\r\npart\r\n"), "no last chunk");
}

#[test]
fn framing_that_a_handler_sets_is_not_sent() {
    let app = App::new().get("/", |_: &mut Request| {
        Response::text("four")
            .with_header(header::CONTENT_LENGTH, HeaderValue::from_static("400"))
            .with_header(
                header::TRANSFER_ENCODING,
                HeaderValue::from_static("chunked"),
            )
    });
    let (head, _) = split(app.exchange(b"GET / HTTP/1.1\r\nhost: here\r\n\r\n"));
    assert_eq!(
        head.iter().filter(|line| line.contains("length")).count(),
        1
    );
    assert!(!head.iter().any(|line| line.starts_with("transfer")));
}

#[test]
#[should_panic(expected = "has a handler already")]
fn a_route_has_one_handler_a_method() {
    let _ = app().route(Method::GET, "/", |_: &mut Request| "again");
}
