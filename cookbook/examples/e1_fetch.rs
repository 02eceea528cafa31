//! E1, known as `ThreadPoolExecutor(5)`, `submit(get_page, url)` and `shutdown(wait=True)`.
//!
//! What is fetched waits, and needs no threads: the pool is one of coroutines, and no more than five
//! requests are under way. For work that keeps a thread busy the same calls go to a
//! `ThreadPool`: see E3. The server is our own, and answers only once five ask at the same
//! time: so five it is, and not fewer.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ropewalk::executor::CoroutinePool;
use ropewalk::http::{self, App, Request};
use ropewalk::sync::Barrier;
use ropewalk_cookbook::Embedded;

/// How many fetch at the same time.
pub const FETCHERS: usize = 5;

/// Gets a page.
///
/// # Errors
///
/// The client's.
pub fn get_page(url: &str) -> Result<String, http::client::Error> {
    http::client::get(url)?.text()
}

/// Counts who is inside.
#[derive(Debug, Default)]
struct Crowd {
    inside: AtomicUsize,
    most: AtomicUsize,
}

/// What came of it.
#[derive(Debug)]
pub struct Fetched {
    /// The pages, in the order of their URLs.
    pub pages: Vec<String>,
    /// How many the server had to answer at the same time, at most.
    pub most_at_once: usize,
    /// How many had been fetched when `shutdown` returned.
    pub after_shutdown: usize,
    /// What was said to who submitted after that.
    pub refused: String,
}

/// Fetches `pages` pages from a server of our own, a multiple of [`FETCHERS`].
///
/// # Errors
///
/// If the server can't be started, or a page can't be had.
pub fn fetch(pages: usize) -> Result<Fetched, Box<dyn Error + Send + Sync>> {
    let crowd = Arc::new(Crowd::default());
    let server = start_server(&crowd)?;
    let urls = (0..pages).map(|page| server.url(&format!("/pages/{page}")));

    let pool = CoroutinePool::new(FETCHERS);
    let mut handles = Vec::new();
    for url in urls {
        handles.push(pool.spawn(move || get_page(&url))?);
    }
    // Refuses what comes from now on, and waits for what has been given.
    pool.shutdown(true, false)?;
    let after_shutdown = handles.iter().filter(|handle| handle.is_finished()).count();
    let refused = match pool.spawn(|| ()) {
        Ok(_) => unreachable!("it was shut down"),
        Err(refused) => refused.to_string(),
    };

    let results = ropewalk::join_all(handles).into_iter();
    let pages: Result<Vec<String>, http::client::Error> = results
        .map(|joined| joined.expect("no fetcher panics"))
        .collect();
    server.stop()?;
    Ok(Fetched {
        pages: pages?,
        most_at_once: crowd.most.load(Ordering::SeqCst),
        after_shutdown,
        refused,
    })
}

fn start_server(crowd: &Arc<Crowd>) -> io::Result<Embedded> {
    let (crowd, five) = (Arc::clone(crowd), Barrier::new(FETCHERS));
    let page = move |request: &mut Request| {
        let inside = crowd.inside.fetch_add(1, Ordering::SeqCst) + 1;
        crowd.most.fetch_max(inside, Ordering::SeqCst);
        five.wait();
        crowd.inside.fetch_sub(1, Ordering::SeqCst);
        format!("page {}", request.param("page").unwrap_or("?"))
    };
    Embedded::start(App::new().get("/pages/{page}", page))
}

#[ropewalk::main]
fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let fetched = fetch(20)?;
    let (first, last) = (fetched.pages.first(), fetched.pages.last());
    println!("{} pages, from {first:?} to {last:?}", fetched.pages.len());
    println!("at the same time: {}", fetched.most_at_once);
    println!("done after shutdown: {}", fetched.after_shutdown);
    println!("submitting after it: {}", fetched.refused);
    Ok(())
}
