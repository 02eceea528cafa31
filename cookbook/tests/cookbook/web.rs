//! Rows W: HTTP.

use crate::program::w1_raw_http::{fetch_all, start_hosts};
use crate::program::{w4_routes, w5_slow_handler, w8_not_found};
use ropewalk::http::Method;
use ropewalk::time::Duration;
use ropewalk_cookbook::Embedded;

/// W1: the hosts answer only once all of them have been asked, so these were all out at once.
#[ropewalk::test]
fn several_hosts_are_fetched_at_once() {
    let (addrs, hosts): (Vec<_>, Vec<_>) = start_hosts(7).unwrap().into_iter().unzip();
    let answers = fetch_all(&addrs, "/page");
    assert_eq!(answers.len(), 7);
    for (number, answer) in (1..).zip(answers) {
        let answer = answer.unwrap();
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), Some("text/plain"));
        assert_eq!(answer.header("x-host"), Some(number.to_string().as_str()));
        let body = format!("host {number} was sent \"GET /page HTTP/1.0\"\n");
        assert_eq!(answer.body, body);
    }
    for host in hosts {
        host.join().unwrap().unwrap();
    }
}

/// W4: the path, the query, the body and the status are what the handlers say.
#[ropewalk::test]
fn routes_lead_to_their_handlers() {
    let server = Embedded::start(w4_routes::app()).unwrap();
    let ask = |method, path, body| w4_routes::ask(&server, method, path, body).unwrap();
    let get = |path| ask(Method::GET, path, "");
    let ok = |text: &str| (200, text.to_string());
    assert_eq!(get("/"), ok("<h1>Home</h1>\n"));
    assert_eq!(get("/hello"), ok("Hello, Anonymous\n"));
    assert_eq!(get("/hello/Ann"), ok("Hello, Ann\n"));
    assert_eq!(get("/hello/J%C3%BCrgen%20A"), ok("Hello, J\u{fc}rgen A\n"));
    assert_eq!(get("/hello/admin"), ok("the more exact route\n"));
    assert_eq!(
        get("/search?q=rope+walk&page=2"),
        ok("query_string \"q=rope+walk&page=2\", q \"rope walk\"\n")
    );
    assert_eq!(get("/search"), ok("query_string \"\", q \"\"\n"));
    assert_eq!(
        ask(Method::POST, "/items", "a ship"),
        (201, "created \"a ship\"\n".to_string())
    );
    assert_eq!(
        ask(Method::PUT, "/request?x=1", "text"),
        ok("method PUT\nurl /request?x=1\nversion HTTP/1.1\nx-color green\nbody \"text\"\n")
    );
    server.stop().unwrap();
}

/// W4: of several expressions that match, the first answers; none is 404.
#[ropewalk::test]
fn the_first_expression_that_matches_wins() {
    let server = Embedded::start(w4_routes::app()).unwrap();
    let get = |path| w4_routes::ask(&server, Method::GET, path, "").unwrap();
    assert_eq!(get("/articles/2024").1, "the articles of the year 2024\n");
    assert_eq!(get("/articles/20245").1, "the article called \"20245\"\n");
    assert_eq!(get("/articles/ropes").1, "the article called \"ropes\"\n");
    assert_eq!(get("/articles/"), (404, "no such page\n".to_string()));
    server.stop().unwrap();
}

/// W5: on one worker, pages are answered one after another while the slow handler sleeps;
/// and fifty slow ones take about as long as one.
#[test]
fn a_slow_handler_stalls_nobody() {
    let times = w5_slow_handler::measure(Duration::from_secs(1), 50).unwrap();
    assert_eq!(times.main, "main, at last");
    assert!(times.main_took >= Duration::from_secs(1), "{times:?}");
    assert!(times.pages_took.len() >= 10, "{times:?}");
    assert!(times.page_median() * 10 < times.main_took, "{times:?}");
    assert!(times.crowd_took * 10 < times.main_took * 50, "{times:?}");
}

/// W8: 404 leaves the connection as good as it was, also after a body that nobody has read.
#[ropewalk::test]
fn a_page_that_is_not_there_leaves_the_connection_good() {
    let server = Embedded::start(w8_not_found::app()).unwrap();
    let mut connection = w8_not_found::Connection::open(&server).unwrap();
    let answers = w8_not_found::visit(&mut connection).unwrap();
    let statuses: Vec<_> = answers.iter().map(|(status, _)| *status).collect();
    assert_eq!(statuses, [200, 404, 404, 404, 200]);
    let hello = format!("hello to port {}", connection.port().unwrap());
    assert_eq!(answers[0].1, hello);
    assert_eq!(answers[4].1, hello);
    assert_eq!(server.connections(), 1);
    drop(connection);
    server.stop().unwrap();
}
