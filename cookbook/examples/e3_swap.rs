//! E3, known as the same code with `ThreadPoolExecutor` and `ProcessPoolExecutor`: `n**2`, and pages.
//!
//! What is run are tasks: functions whose arguments and results may go to another process. The
//! code takes any pool, and which one is a matter of a word. If nothing is said, a pool is as
//! wide as the machine has cores.

use std::collections::BTreeSet;
use std::error::Error;
use std::num::NonZero;
use std::process;
use std::thread::available_parallelism;

use ropewalk::executor::{CoroutinePool, Pool, ThreadPool};
use ropewalk::http::{self, App, Request};
use ropewalk::process::ProcessPool;
use ropewalk_cookbook::Embedded;

#[ropewalk::task]
fn power(n: u64) -> u64 {
    n.pow(2)
}

/// The words of a page; an error in words, as errors of clients can't be sent.
#[ropewalk::task]
fn count_words(url: String) -> Result<usize, String> {
    let page = http::client::get(url).and_then(http::client::Response::text);
    match page {
        Ok(page) => Ok(page.split_whitespace().count()),
        Err(error) => Err(error.to_string()),
    }
}

#[ropewalk::task]
fn where_am_i(_item: usize) -> u32 {
    process::id()
}

/// What a pool made of the work.
#[derive(Debug)]
pub struct Report {
    /// How many it runs at once.
    pub width: usize,
    /// The squares of the numbers from 0 on.
    pub squares: Vec<u64>,
    /// The numbers of words of some pages.
    pub words: Vec<Result<usize, String>>,
    /// The processes it ran in.
    pub pids: BTreeSet<u32>,
}

/// The same for all pools.
///
/// # Errors
///
/// If work can't be given to the pool, or ends without a value.
pub fn report(pool: impl Pool, urls: &[String]) -> Result<Report, Box<dyn Error>> {
    let first = pool.submit(power, (0,))?;
    let rest = pool.map(power, 1..10);
    let squares = [first.join()].into_iter().chain(rest);
    let report = Report {
        width: pool.width(),
        squares: squares.collect::<Result<_, _>>()?,
        words: pool
            .map(count_words, urls.to_vec())
            .collect::<Result<_, _>>()?,
        pids: pool.map(where_am_i, 0..20).collect::<Result<_, _>>()?,
    };
    pool.shutdown(true, false)?;
    Ok(report)
}

/// How wide a pool is if nothing is said.
pub fn cores() -> usize {
    available_parallelism().map_or(1, NonZero::get)
}

/// Two pages of a server of our own, and one that it doesn't have a port for.
///
/// # Errors
///
/// If the server can't be started.
pub fn serve() -> std::io::Result<(Embedded, Vec<String>)> {
    let page = |request: &mut Request| {
        let words: usize = request
            .param("words")
            .and_then(|n| n.parse().ok())
            .unwrap_or(0);
        "word ".repeat(words)
    };
    let server = Embedded::start(App::new().get("/{words}", page))?;
    let urls = [server.url("/3"), server.url("/500"), "no URL".to_string()];
    Ok((server, urls.to_vec()))
}

#[ropewalk::main]
fn main() -> Result<(), Box<dyn Error>> {
    let (server, urls) = serve()?;
    let reports = [
        ("threads", report(ThreadPool::builder().build()?, &urls)?),
        ("coroutines", report(CoroutinePool::new(cores()), &urls)?),
        ("processes", report(ProcessPool::builder().build()?, &urls)?),
    ];
    for (name, report) in reports {
        println!("{name}: {:?}", report.squares);
        let words: Vec<_> = report.words.iter().flatten().collect();
        println!(
            "{name}: {words:?} words, as wide as cores: {}",
            report.width == cores()
        );
        let here = report.pids.contains(&process::id());
        println!("{name}: in this process: {here}");
    }
    server.stop()?;
    Ok(())
}
