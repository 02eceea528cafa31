//! What a request costs in user space: parse, route, answer, over memory instead of sockets.
//!
//! `cargo run --release -p ropewalk-http --example in_memory`

use std::hint::black_box;
use std::time::Instant;

use ropewalk_http::{App, Request};

fn main() {
    let app = App::new().get("/", |_: &mut Request| "Hello, World!");
    let request = b"GET / HTTP/1.1\r\nhost: 127.0.0.1:8080\r\nuser-agent: in_memory\r\n\r\n";
    const DEPTH: usize = 1000;
    let input = request.repeat(DEPTH);
    let mut best_ns = f64::INFINITY;
    for _ in 0..200 {
        let start = Instant::now();
        black_box(app.exchange(black_box(&input)));
        best_ns = best_ns.min(start.elapsed().as_nanos() as f64 / DEPTH as f64);
    }
    println!("{best_ns:.0} ns a request, pipelined {DEPTH} deep");
}
