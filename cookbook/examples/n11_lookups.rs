//! N11: many names are looked up at once, each within a time limit.
//!
//! Python's answers are a thread for each `gethostbyname`, or c-ares. Here each look-up is a coroutine
//! that calls `lookup_host`: the system's resolver runs on threads for blocking calls, and whoever
//! waits for it can stop waiting. Answers are shown as they come; a name server that says nothing
//! holds up nobody but those who asked it, and these only until the limit.
//!
//! `n11_lookups [--limit MILLISECONDS] [NAME]...`

use std::io;
use std::net::IpAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use ropewalk::net::lookup_host;
use ropewalk::{as_completed, cancel, coroutine};

/// What became of a name.
#[derive(Debug)]
pub enum Found {
    /// Its addresses.
    Addresses(Vec<IpAddr>),
    /// The resolver's error.
    Failed(io::Error),
    /// There was no answer in time.
    Late,
}

/// Looks one name up.
pub fn look_up(name: &str, limit: Duration) -> Found {
    match cancel::timeout(limit, || lookup_host((name, 0))) {
        Err(_) => Found::Late,
        Ok(Err(error)) => Found::Failed(error),
        Ok(Ok(addrs)) => {
            let mut addresses: Vec<IpAddr> = addrs.map(|addr| addr.ip()).collect();
            addresses.sort();
            addresses.dedup();
            Found::Addresses(addresses)
        }
    }
}

/// Looks all names up at once, and shows each result as it comes.
pub fn look_all_up(names: &[String], limit: Duration, mut show: impl FnMut(&str, Found)) {
    let lookups = names.iter().map(|name| {
        let name = name.clone();
        coroutine::spawn(move || look_up(&name, limit))
    });
    for (index, found) in as_completed(lookups) {
        let found = found.expect("looking up doesn't panic, and nobody cancels it");
        show(&names[index], found);
    }
}

fn main() -> ExitCode {
    let mut limit = Duration::from_secs(2);
    let mut names = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument != "--limit" {
            names.push(argument);
        } else if let Some(ms) = arguments.next().and_then(|ms| ms.parse().ok()) {
            limit = Duration::from_millis(ms);
        } else {
            eprintln!("usage: n11_lookups [--limit MILLISECONDS] [NAME]...");
            return ExitCode::from(2);
        }
    }
    if names.is_empty() {
        names = ["localhost", "127.0.0.1", "::1", "a..name"]
            .map(String::from)
            .to_vec();
    }
    let begun = Instant::now();
    look_all_up(&names, limit, |name, found| match found {
        Found::Addresses(addresses) => println!("{name}: {addresses:?}"),
        Found::Failed(error) => println!("{name}: {error}"),
        Found::Late => println!("{name}: no answer in {limit:?}"),
    });
    eprintln!("{} names in {:?}", names.len(), begun.elapsed());
    ExitCode::SUCCESS
}
