//! N12: an interactive server: what a client asks is shown on the console, and who sits there
//! types the answer.
//!
//! The console waits for a line while clients come, are greeted, and ask: each question has its
//! turn. The end of the input, Ctrl-D, ends the server. `n12_console 127.0.0.1:7000` listens
//! there, without an address on a free port; `nc` makes a client.

use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use ropewalk::cancel::Token;
use ropewalk::channel::{Receiver, Sender, bounded, unbounded};
use ropewalk::net::{TcpListener, TcpStream};
use ropewalk::{coroutine, select};

/// What a client asks, and where the answer goes.
struct Question {
    client: usize,
    text: String,
    answer: Sender<String>,
}

/// Greets a client and passes its lines on to the console, one at a time.
fn serve(stream: &TcpStream, client: usize, questions: &Sender<Question>) -> io::Result<()> {
    writeln!(&*stream, "you are client {client}")?;
    for line in BufReader::new(stream).lines() {
        let (answer, answered) = bounded(1);
        let question = Question {
            client,
            text: line?,
            answer,
        };
        if questions.send(question).is_err() {
            break;
        }
        // No answer: the console was closed.
        let Ok(answer) = answered.recv() else { break };
        writeln!(&*stream, "{answer}")?;
    }
    Ok(())
}

/// Shows each question with a prompt, and sends it what is typed next; until the input ends.
fn console(questions: &Receiver<Question>, typed: &Receiver<String>) -> io::Result<usize> {
    let mut out = ropewalk::io::stdout();
    let mut answered = 0;
    loop {
        let question = select! {
            recv(questions) -> question => question,
            recv(typed) -> line => match line {
                Ok(_) => {
                    writeln!(out, "nobody asks")?;
                    continue;
                }
                Err(_) => return Ok(answered),
            },
        };
        let Ok(question) = question else {
            return Ok(answered);
        };
        write!(out, "client {}: {}\n> ", question.client, question.text)?;
        let Ok(line) = typed.recv() else {
            return Ok(answered);
        };
        // It may be gone: then nobody wants to know.
        let _ = question.answer.send(line);
        answered += 1;
    }
}

/// Serves until the standard input ends; gives the number of answers. `listening` is told where.
///
/// # Errors
///
/// The listener's or the console's.
pub fn run(addr: &str, listening: impl FnOnce(SocketAddr)) -> io::Result<usize> {
    let listener = TcpListener::bind(addr)?;
    listening(listener.local_addr()?);
    let (ask, questions) = unbounded();
    let (typing, typed) = bounded(0);
    let token = Token::new();
    coroutine::scope(|s| {
        // All below the token: they end with it, wherever they wait.
        token.run(|| {
            s.spawn(move || {
                for line in ropewalk::io::stdin().lines().map_while(Result::ok) {
                    if typing.send(line).is_err() {
                        break;
                    }
                }
            });
            s.spawn(|| {
                let clients = listener.incoming().map_while(Result::ok);
                for (number, stream) in clients.enumerate() {
                    let ask = ask.clone();
                    coroutine::spawn(move || serve(&stream, number + 1, &ask));
                }
            });
        });
        let answered = console(&questions, &typed);
        token.cancel();
        answered
    })
}

#[ropewalk::main]
fn main() -> ExitCode {
    let addr = std::env::args().nth(1);
    let addr = addr.as_deref().unwrap_or("127.0.0.1:0");
    match run(addr, |addr| println!("listening on {addr}")) {
        Ok(answered) => {
            println!("the console is closed, after {answered} answers");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
