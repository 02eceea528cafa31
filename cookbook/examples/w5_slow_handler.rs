//! W5, known as the asynchronous server whose `/main` takes ten seconds while `/page` is
//! answered at once.
//!
//! The slow handler just sleeps: it is a plain function, and only its coroutine waits. All of
//! it, server and clients, runs on a single worker thread here, so that no second thread can
//! be the reason. The argument is how many seconds `/main` takes.

use std::io;

use ropewalk::Runtime;
use ropewalk::coroutine;
use ropewalk::http::client::Error;
use ropewalk::http::{App, Client, Request};
use ropewalk::time::{Duration, Instant, sleep};
use ropewalk_cookbook::Embedded;

/// `/main`, which takes as long as told, and `/page`.
pub fn app(delay: Duration) -> App {
    App::new()
        .get("/main", move |_: &mut Request| {
            sleep(delay);
            "main, at last"
        })
        .get("/page", |_: &mut Request| "page")
}

/// What the clock said.
#[derive(Debug)]
pub struct Times {
    /// What `/main` answered.
    pub main: String,
    /// How long its client waited.
    pub main_took: Duration,
    /// How long each `/page` took that was asked for and answered while `/main` wasn't yet.
    pub pages_took: Vec<Duration>,
    /// How many clients then asked for `/main` at the same time.
    pub crowd: usize,
    /// How long it took until the last of them had its answer.
    pub crowd_took: Duration,
}

impl Times {
    /// The time that half of the pages stayed below.
    pub fn page_median(&self) -> Duration {
        let mut sorted = self.pages_took.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    }
}

fn get(client: &Client, url: &str) -> Result<String, Error> {
    client.get(url).send()?.text()
}

/// Asks for `/main`, and for one `/page` after another for as long as that isn't answered;
/// then for `/main` by a `crowd` at once.
///
/// # Errors
///
/// If the runtime or the server can't be started, and the client's.
pub fn measure(delay: Duration, crowd: usize) -> io::Result<Times> {
    let runtime = Runtime::builder().workers(1).build()?;
    runtime.run(|| {
        let server = Embedded::start(app(delay))?;
        let times = against(&server, crowd).map_err(io::Error::other)?;
        server.stop()?;
        Ok(times)
    })
}

fn against(server: &Embedded, crowd: usize) -> Result<Times, Error> {
    let client = Client::builder().timeout(None).build()?;
    let (main_url, page_url) = (server.url("/main"), server.url("/page"));
    let start = Instant::now();
    coroutine::scope(|s| {
        let slow = s.spawn(|| get(&client, &main_url).map(|text| (text, start.elapsed())));
        let mut pages_took = Vec::new();
        loop {
            let asked = Instant::now();
            assert_eq!(get(&client, &page_url)?, "page");
            if slow.is_finished() {
                break;
            }
            pages_took.push(asked.elapsed());
        }
        let (main, main_took) = slow.join().expect("no panic")?;

        let crowd_start = Instant::now();
        let all: Vec<_> = (0..crowd)
            .map(|_| s.spawn(|| get(&client, &main_url)))
            .collect();
        for one in all {
            one.join().expect("no panic")?;
        }
        Ok(Times {
            main,
            main_took,
            pages_took,
            crowd,
            crowd_took: crowd_start.elapsed(),
        })
    })
}

fn main() -> io::Result<()> {
    let seconds = match std::env::args().nth(1) {
        Some(argument) => argument.parse().map_err(io::Error::other)?,
        None => 10.0,
    };
    let times = measure(Duration::from_secs_f64(seconds), 100)?;
    println!(
        "/main answered {:?} after {:.2?}",
        times.main, times.main_took
    );
    println!(
        "meanwhile {} pages were answered, after {:.2?} each (median)",
        times.pages_took.len(),
        times.page_median()
    );
    println!(
        "{} clients of /main at once had their answers after {:.2?}",
        times.crowd, times.crowd_took
    );
    Ok(())
}
