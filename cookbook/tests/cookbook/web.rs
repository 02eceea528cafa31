//! Rows W: HTTP.

use crate::program::w1_raw_http::{fetch_all, start_hosts};

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
