//! W2, known as the callback client: a list of tasks {host, port, url, method, data, timeout,
//! callback}, started together, run until all are done.
//!
//! Each request is a coroutine; its callback is called with the response or the error when it has
//! ended. A timeout in one leaves the others alone.

use std::io;
use std::sync::Arc;

use ropewalk::group::Group;
use ropewalk::http::client::Error;
use ropewalk::http::{App, Client, Method, Request};
use ropewalk::sync::Mutex;
use ropewalk::time::{Duration, sleep};
use ropewalk_cookbook::Embedded;

/// What a callback is given: the status and the body, or what went wrong.
pub type Outcome = Result<(u16, String), Error>;

/// One request, and what to call when it is answered or has failed.
pub struct Task {
    /// The server's name or address.
    pub host: String,
    /// The server's port.
    pub port: u16,
    /// Path and query.
    pub url: String,
    /// `GET`, `POST`, ...
    pub method: Method,
    /// The body; empty for none.
    pub data: String,
    /// How long all of it may take.
    pub timeout: Duration,
    /// Called once.
    pub callback: Box<dyn FnOnce(Outcome) + Send>,
}

fn ask(client: &Client, task: &Task) -> Outcome {
    let url = format!("http://{}:{}{}", task.host, task.port, task.url);
    let request = client
        .request(task.method.clone(), url)
        .timeout(task.timeout)
        .body(task.data.clone());
    let response = request.send()?;
    let status = response.status().as_u16();
    Ok((status, response.text()?))
}

/// Starts all tasks at once and returns when every callback has been called.
pub fn run_until_done(tasks: Vec<Task>) {
    let client = Client::new();
    let group = Group::new();
    for task in tasks {
        let client = client.clone();
        group.spawn(move || {
            let outcome = ask(&client, &task);
            (task.callback)(outcome);
        });
    }
    group.join().expect("nobody cancels us");
}

/// A server with a page, an echo, and a page that is too slow.
pub fn app() -> App {
    App::new()
        .get("/page", |_: &mut Request| "a page")
        .post("/echo", |request: &mut Request| request.read_text())
        .get("/slow", |request: &mut Request| {
            // Nobody is made to wait for an answer that nobody reads.
            let _ = request.while_connected(|| sleep(Duration::from_secs(3600)));
            "too late"
        })
}

/// What each of the three requests of the demonstration ended with, in the order they ended.
///
/// # Errors
///
/// If the server can't be started.
pub fn demonstrate() -> io::Result<Vec<(String, Outcome)>> {
    let server = Embedded::start(app())?;
    let ended = Arc::new(Mutex::new(Vec::new()));
    let task = |method: Method, url: &str, data: &str, timeout| {
        let (ended, name) = (Arc::clone(&ended), format!("{method} {url}"));
        Task {
            host: server.addr().ip().to_string(),
            port: server.addr().port(),
            url: url.into(),
            method,
            data: data.into(),
            timeout,
            callback: Box::new(move |outcome| ended.lock().push((name, outcome))),
        }
    };
    let patient = Duration::from_secs(60);
    run_until_done(vec![
        task(Method::GET, "/slow", "", Duration::from_millis(200)),
        task(Method::GET, "/page", "", patient),
        task(Method::POST, "/echo", "some data", patient),
        task(Method::GET, "/missing", "", patient),
    ]);
    server.stop()?;
    let ended = std::mem::take(&mut *ended.lock());
    Ok(ended)
}

#[ropewalk::main]
fn main() -> io::Result<()> {
    for (name, outcome) in demonstrate()? {
        match outcome {
            Ok((status, body)) => println!("{name}: {status} {:?}", body.trim_end()),
            Err(error) if error.is_timeout() => println!("{name}: timed out"),
            Err(error) => println!("{name}: {error}"),
        }
    }
    Ok(())
}
