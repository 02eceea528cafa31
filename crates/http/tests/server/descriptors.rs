//! Running out of descriptors: the server waits, and goes on. In a process of its own, as
//! the limit is the whole process's.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ropewalk_http::{App, Request, Server};

use super::site::LONG;

const DESCRIPTORS: usize = 64;
/// Set for the process that serves, lest `--include-ignored` wait for it.
const STARTED: &str = "ROPEWALK_TEST_SERVES";

/// Not a test: what `running_out_of_descriptors_ends_nothing` starts.
#[test]
#[ignore = "started by another test"]
fn serve_until_killed() {
    if std::env::var_os(STARTED).is_none() {
        return;
    }
    let server = Server::bind("127.0.0.1:0").unwrap();
    println!("\naddress {}", server.local_addr().unwrap());
    let app = App::new().get("/", |_: &mut Request| "home");
    server.serve(app).unwrap();
}

/// Kills the child also when the test fails.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Killed {
    /// Processor time so far, in ticks of 10 ms.
    fn ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        let behind_name = stat.rsplit_once(") ").unwrap().1;
        let fields: Vec<&str> = behind_name.split(' ').collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }
}

#[test]
fn running_out_of_descriptors_ends_nothing() {
    let mut child = Command::new("sh")
        .args([
            "-c",
            &format!("ulimit -n {DESCRIPTORS} && exec \"$0\" \"$@\""),
        ])
        .arg(std::env::current_exe().unwrap())
        .args([
            "descriptors::serve_until_killed",
            "--exact",
            "--ignored",
            "--nocapture",
        ])
        .env(STARTED, "1")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map(Killed)
        .unwrap();
    let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
    let addr = lines
        .find_map(|line| line.unwrap().strip_prefix("address ").map(str::to_owned))
        .unwrap();

    // More than it has descriptors for; the queue of the listener takes the others.
    let mut peers: Vec<TcpStream> = (0..2 * DESCRIPTORS)
        .map(|_| {
            let mut peer = TcpStream::connect(&addr).unwrap();
            peer.set_read_timeout(Some(LONG)).unwrap();
            peer.write_all(b"GET / HTTP/1.1\r\nhost: here\r\n\r\n")
                .unwrap();
            peer
        })
        .collect();
    let mut told = String::new();
    let mut errors = BufReader::new(child.0.stderr.take().unwrap());
    while !told.contains("accepting failed") {
        assert_ne!(errors.read_line(&mut told).unwrap(), 0, "{told}");
    }
    // It waits, rather than trying again and again: once those it has are answered.
    let begun = Instant::now();
    loop {
        let (ticks, start) = (child.ticks(), Instant::now());
        std::thread::sleep(Duration::from_millis(500));
        let spent_ms = (child.ticks() - ticks) * 10;
        let share = spent_ms as f64 / start.elapsed().as_millis() as f64;
        if share < 0.1 {
            break;
        }
        assert!(
            begun.elapsed() < LONG,
            "{share:.2} of a processor spent on waiting"
        );
    }

    // All get their answer once there is room.
    let mut answer = [0; 12];
    for mut peer in peers.drain(..) {
        peer.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
    }
}
