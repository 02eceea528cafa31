//! W7, known as the two handlers of which one resolves the other's `Future`: `/index` waits
//! until somebody calls `/stopindex`, which releases the newest waiter.
//!
//! Each waiting request has put a promise on a board. Both requests get their own body; with
//! nobody waiting `/stopindex` is answered too. A client that goes away takes its waiter along:
//! `while_connected` cancels the wait, and the handler takes its promise from the board.

use std::io;
use std::sync::Arc;

use ropewalk::coroutine;
use ropewalk::http::{App, Client, Request, Response};
use ropewalk::promise::{Promise, promise};
use ropewalk::sync::Mutex;
use ropewalk::time::{Duration, sleep};
use ropewalk_cookbook::Embedded;

/// Who waits, newest last.
#[derive(Default)]
pub struct Board {
    waiting: Mutex<Vec<(u64, Promise<String>)>>,
}

impl Board {
    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.lock().len()
    }

    /// Says whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn wait(&self, request: &mut Request) -> Response {
        let (promise, released) = promise();
        let me = coroutine::current().id();
        self.waiting.lock().push((me, promise));
        let outcome = request.while_connected(|| released.join());
        match outcome {
            Ok(Ok(by)) => Response::text(format!("released by {by}")),
            _ => {
                // Nobody reads this: the client has gone, or the server ends.
                self.waiting.lock().retain(|(id, _)| *id != me);
                Response::text("gone")
            }
        }
    }

    fn release(&self, by: &str) -> Response {
        loop {
            let Some((id, promise)) = self.waiting.lock().pop() else {
                return Response::text("nobody waits");
            };
            // One that went away in this moment doesn't count.
            if promise.set(by.to_string()).is_ok() {
                return Response::text(format!("released request {id}"));
            }
        }
    }
}

/// The two pages.
pub fn app(board: Arc<Board>) -> App {
    let waiting = Arc::clone(&board);
    App::new()
        .get("/index", move |request: &mut Request| waiting.wait(request))
        .get("/stopindex", move |request: &mut Request| {
            let by = request.query_value("by").unwrap_or_default().into_owned();
            board.release(&by)
        })
}

/// Asks for a page.
///
/// # Errors
///
/// The client's.
pub fn get(server: &Embedded, path: &str) -> io::Result<String> {
    let response = Client::new().get(server.url(path)).send();
    response
        .and_then(|response| response.text())
        .map_err(io::Error::other)
}

/// Waits until as many are on the board.
pub fn until_waiting(board: &Board, count: usize) {
    while board.len() != count {
        sleep(Duration::from_millis(1));
    }
}

#[ropewalk::main]
fn main() -> io::Result<()> {
    let board = Arc::new(Board::default());
    let server = Embedded::start(app(Arc::clone(&board)))?;
    println!("/stopindex: {}", get(&server, "/stopindex?by=nobody")?);
    coroutine::scope(|s| {
        let older = s.spawn(|| get(&server, "/index"));
        until_waiting(&board, 1);
        let newer = s.spawn(|| get(&server, "/index"));
        until_waiting(&board, 2);
        get(&server, "/stopindex?by=the+first")?;
        println!("the newer /index: {}", newer.join().expect("no panic")?);
        get(&server, "/stopindex?by=the+second")?;
        println!("the older /index: {}", older.join().expect("no panic")?);
        io::Result::Ok(())
    })?;
    let client = ropewalk::net::TcpStream::connect(server.addr())?;
    io::Write::write_all(&mut &client, b"GET /index HTTP/1.1\r\nHost: here\r\n\r\n")?;
    until_waiting(&board, 1);
    drop(client);
    until_waiting(&board, 0);
    println!("a client went away, and nobody waits any more");
    server.stop()
}
