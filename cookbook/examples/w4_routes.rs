//! W4, known as aiohttp's routes, `match_info`, `query_string`, `web.Response(status=201)`
//! and `run_app`; and as routes by regular expressions, of which the first match wins.
//!
//! A handler is a plain function of the request. A route's path has `{name}`s; the more
//! exact route wins. Where only regular expressions will do, they stand in the fallback, and
//! are tried in their order.
//!
//! Without arguments the program asks itself and prints the answers. With `serve` it runs as
//! `run_app` does, with a banner, until Ctrl-C.

use std::io::{self, Write};
use std::thread;

use regex_lite::{Captures, Regex};
use ropewalk::http::server::Handle;
use ropewalk::http::{App, Client, IntoResponse, Method, Request, Response, Server, StatusCode};
use ropewalk::time::Duration;
use ropewalk_cookbook::Embedded;
use signal_hook::consts::SIGINT;
use signal_hook::iterator::Signals;

/// The routes.
pub fn app() -> App {
    let patterns = Patterns::new(&[
        (r"^/articles/([0-9]{4})$", |found| {
            format!("the articles of the year {}\n", &found[1])
        }),
        (r"^/articles/(.+)$", |found| {
            format!("the article called {:?}\n", &found[1])
        }),
        (r"^/articles/2024$", |_| {
            "never: the first one matches too\n".to_string()
        }),
    ]);
    App::new()
        .get("/", |_: &mut Request| Response::html("<h1>Home</h1>\n"))
        .get("/hello", hello)
        .get("/hello/{name}", hello)
        .get("/hello/admin", |_: &mut Request| "the more exact route\n")
        .get("/search", search)
        .post("/items", create)
        .any("/request", describe)
        .fallback(move |request: &mut Request| patterns.answer(request))
}

/// `request.match_info.get("name", "Anonymous")`
fn hello(request: &mut Request) -> String {
    format!("Hello, {}\n", request.param("name").unwrap_or("Anonymous"))
}

/// `request.query_string` and `request.query["q"]`
fn search(request: &mut Request) -> String {
    let query = request.query().unwrap_or("");
    let words = request.query_value("q").unwrap_or_default();
    format!("query_string {query:?}, q {words:?}\n")
}

/// `web.Response(status=201)`, of the body that was sent.
fn create(request: &mut Request) -> io::Result<(StatusCode, String)> {
    let item = request.read_text()?;
    Ok((StatusCode::CREATED, format!("created {item:?}\n")))
}

/// `request.method`, `.url`, `.version`, `.headers`, `.text()`
fn describe(request: &mut Request) -> io::Result<String> {
    let body = request.read_text()?;
    Ok(format!(
        "method {}\nurl {}\nversion {:?}\nx-color {}\nbody {body:?}\n",
        request.method(),
        request.target(),
        request.version(),
        request.header("X-Color").unwrap_or("none"),
    ))
}

/// What is answered for a path that an expression matched.
pub type Action = fn(&Captures) -> String;

/// Regular expressions for paths, and what each answers.
pub struct Patterns(Vec<(Regex, Action)>);

impl Patterns {
    /// Compiles them.
    ///
    /// # Panics
    ///
    /// If one is no regular expression.
    pub fn new(patterns: &[(&str, Action)]) -> Patterns {
        let compile = |(pattern, action): &(&str, Action)| {
            let regex = Regex::new(pattern).expect("a regular expression");
            (regex, *action)
        };
        Patterns(patterns.iter().map(compile).collect())
    }

    /// Answers by the first that matches the path; 404 if none does.
    fn answer(&self, request: &mut Request) -> Response {
        let path = request.path();
        let mut matches = self.0.iter();
        let answer =
            matches.find_map(|(regex, action)| regex.captures(path).map(|found| action(&found)));
        match answer {
            Some(text) => text.into_response(),
            None => (StatusCode::NOT_FOUND, "no such page\n").into_response(),
        }
    }
}

/// `web.run_app(app)`: says where it serves, and serves until Ctrl-C.
///
/// # Errors
///
/// The system's, if the address can't be had or signals can't be watched.
pub fn run_app(app: App, addr: &str) -> io::Result<()> {
    let server = Server::bind(addr)?;
    stop_on_ctrl_c(server.handle())?;
    println!(
        "======== Running on http://{} ========",
        server.local_addr()?
    );
    println!("(Press CTRL+C to quit)");
    io::stdout().flush()?;
    server.serve(app)?;
    println!("stopped");
    Ok(())
}

/// Shuts the server down on the first Ctrl-C; requests under way get five seconds.
fn stop_on_ctrl_c(server: Handle) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT])?;
    thread::spawn(move || {
        if signals.forever().next().is_some()
            && let Err(unfinished) = server.shutdown(Duration::from_secs(5))
        {
            eprintln!("{unfinished}");
        }
    });
    Ok(())
}

/// Asks for `path`, with a body if there is one; gives the status and the text.
///
/// # Errors
///
/// The client's.
pub fn ask(
    server: &Embedded,
    method: Method,
    path: &str,
    body: &str,
) -> Result<(u16, String), ropewalk::http::client::Error> {
    let request = Client::new().request(method, server.url(path));
    let response = request
        .header("X-Color", "green")
        .body(body.to_string())
        .send()?;
    Ok((response.status().as_u16(), response.text()?))
}

#[ropewalk::main]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    if std::env::args().nth(1).as_deref() == Some("serve") {
        let addr = std::env::args().nth(2);
        run_app(app(), addr.as_deref().unwrap_or("127.0.0.1:0"))?;
        return Ok(());
    }
    let server = Embedded::start(app())?;
    for (method, path, body) in [
        (Method::GET, "/", ""),
        (Method::GET, "/hello", ""),
        (Method::GET, "/hello/J%C3%BCrgen", ""),
        (Method::GET, "/hello/admin", ""),
        (Method::GET, "/search?q=rope+walk&page=2", ""),
        (Method::POST, "/items", "a ship"),
        (Method::PUT, "/request?x=1", "text"),
        (Method::GET, "/articles/2024", ""),
        (Method::GET, "/articles/on-ropes", ""),
        (Method::GET, "/nothing", ""),
    ] {
        let (status, text) = ask(&server, method.clone(), path, body)?;
        print!("{method} {path} gives {status}: {text}");
    }
    server.stop()?;
    Ok(())
}
