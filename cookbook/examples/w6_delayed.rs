//! W6, known as the handler that yields a `Future` with a timeout: the answer is made
//! elsewhere, later; if it isn't there in time, a default is sent.
//!
//! The handler waits for a promise with a deadline. The value that comes too late goes back to
//! who made it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use ropewalk::coroutine;
use ropewalk::http::{App, Client, Request, Response, StatusCode};
use ropewalk::promise::promise;
use ropewalk::time::{Duration, sleep};
use ropewalk_cookbook::Embedded;

fn milliseconds(request: &Request, name: &str) -> Option<Duration> {
    let value = request.query_value(name)?.parse().ok()?;
    Some(Duration::from_millis(value))
}

/// `/later?after=…&within=…`: the answer is ready after some milliseconds, and waited for for
/// some. `refused` counts the answers that came too late.
pub fn app(refused: Arc<AtomicU32>) -> App {
    App::new().get("/later", move |request: &mut Request| {
        let (Some(after), Some(within)) = (
            milliseconds(request, "after"),
            milliseconds(request, "within"),
        ) else {
            return Response::text("say ?after= and &within=, in milliseconds")
                .with_status(StatusCode::BAD_REQUEST);
        };
        let (promise, answer) = promise();
        let refused = Arc::clone(&refused);
        coroutine::spawn(move || {
            sleep(after);
            if promise.set("the answer").is_err() {
                refused.fetch_add(1, Ordering::SeqCst);
            }
        });
        match answer.join_timeout(within) {
            Ok(Ok(answer)) => Response::text(answer),
            Ok(Err(error)) => {
                Response::text(error.to_string()).with_status(StatusCode::BAD_GATEWAY)
            }
            // Not in time: dropping the read side tells the maker.
            Err(_unkept) => Response::text("the default"),
        }
    })
}

/// Asks for an answer that is made in `after` and waited for for `within`.
///
/// # Errors
///
/// The client's.
pub fn ask(server: &Embedded, after: u64, within: u64) -> io::Result<String> {
    let url = server.url(&format!("/later?after={after}&within={within}"));
    let response = Client::new().get(url).send().map_err(io::Error::other)?;
    response.text().map_err(io::Error::other)
}

#[ropewalk::main]
fn main() -> io::Result<()> {
    let refused = Arc::new(AtomicU32::new(0));
    let server = Embedded::start(app(Arc::clone(&refused)))?;
    println!(
        "made at once, waited for long: {:?}",
        ask(&server, 0, 60_000)?
    );
    println!(
        "made late, waited for shortly: {:?}",
        ask(&server, 300, 20)?
    );
    while refused.load(Ordering::SeqCst) == 0 {
        sleep(Duration::from_millis(10));
    }
    println!("the late answer went back to its maker");
    server.stop()
}
