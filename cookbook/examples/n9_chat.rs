//! N9: a chat over UDP, on terminals, between as many as like.
//!
//! `n9_chat ann 127.0.0.1:5001` waits for others; `n9_chat bob 127.0.0.1:5002 127.0.0.1:5001` says
//! hello to ann, who knows bob from then on. A line goes to all who are known, one that begins
//! with `@bob` to bob alone; `/who` tells who is there, `/quit` or the end of the input leaves.
//!
//! Two things happen at once: the main thread waits for the terminal, a coroutine for datagrams.
//! They share the socket and the list of peers.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use ropewalk::coroutine;
use ropewalk::net::UdpSocket;
use ropewalk::sync::Mutex;

/// The longest datagram, in bytes: it fits into one packet nearly everywhere.
pub const DATAGRAM_BYTES_MAX: usize = 1200;

/// What peers tell each other.
#[derive(Debug, PartialEq, Eq)]
pub enum Message<'m> {
    /// "I am here": answered with the same, unless the sender is known.
    Hello,
    /// A line of text.
    Text(&'m str),
    /// "I leave".
    Bye,
}

/// Puts a message into a datagram: a letter for its kind, the sender's name, a line's end, text.
pub fn encode(name: &str, message: &Message<'_>) -> Vec<u8> {
    let (kind, text) = match message {
        Message::Hello => ('H', ""),
        Message::Text(text) => ('T', *text),
        Message::Bye => ('B', ""),
    };
    format!("{kind}{name}\n{text}").into_bytes()
}

/// Takes a datagram apart into the sender's name and the message; `None` if it is of another kind:
/// anybody may send us anything.
pub fn decode(datagram: &[u8]) -> Option<(&str, Message<'_>)> {
    let text = std::str::from_utf8(datagram).ok()?;
    let (head, text) = text.split_once('\n')?;
    let kind = head.chars().next()?;
    let name = &head[kind.len_utf8()..];
    let message = match kind {
        'H' => Message::Hello,
        'T' => Message::Text(text),
        'B' => Message::Bye,
        _ => return None,
    };
    is_name(name).then_some((name, message))
}

/// Says whether this may be a name: short, of letters, digits and `-`.
pub fn is_name(name: &str) -> bool {
    let fine = |c: char| c.is_alphanumeric() || c == '-';
    (1..=20).contains(&name.chars().count()) && name.chars().all(fine)
}

/// One participant.
pub struct Chat {
    name: String,
    socket: UdpSocket,
    peers: Mutex<BTreeMap<String, SocketAddr>>,
}

impl Chat {
    /// Takes part under a name, at an address; says hello to those who are known.
    ///
    /// # Errors
    ///
    /// The socket's.
    pub fn join(name: &str, addr: &str, known: &[String]) -> io::Result<Chat> {
        let chat = Chat {
            name: name.to_string(),
            socket: UdpSocket::bind(addr)?,
            peers: Mutex::new(BTreeMap::new()),
        };
        for addr in known {
            chat.socket
                .send_to(&encode(name, &Message::Hello), addr.as_str())?;
        }
        Ok(chat)
    }

    /// Where others reach it.
    ///
    /// # Errors
    ///
    /// The socket's.
    pub fn addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Receives for ever, and shows each thing that is worth a line.
    ///
    /// # Errors
    ///
    /// The socket's.
    pub fn receive(&self, mut show: impl FnMut(String)) -> io::Result<()> {
        let mut buf = [0; DATAGRAM_BYTES_MAX];
        loop {
            let datagram = self.socket.recv_datagram(&mut buf)?;
            let message = decode(&buf[..datagram.len]).filter(|_| !datagram.is_truncated());
            let Some((name, message)) = message else {
                show(format!("* something odd from {}", datagram.from));
                continue;
            };
            let before = match message {
                Message::Bye => self.peers.lock().remove(name),
                _ => self.peers.lock().insert(name.to_string(), datagram.from),
            };
            if before.is_none() && message != Message::Bye {
                show(format!("* {name} is here"));
                self.send(datagram.from, &Message::Hello);
            }
            match message {
                Message::Text(text) => show(format!("{name}: {text}")),
                Message::Bye if before.is_some() => show(format!("* {name} has left")),
                Message::Hello | Message::Bye => {}
            }
        }
    }

    /// Does what a line from the terminal asks for; gives what there is to show, or `None` to leave.
    pub fn line(&self, line: &str) -> Option<Vec<String>> {
        let line = line.trim_end();
        match line.split_once(' ') {
            _ if line.is_empty() => Some(Vec::new()),
            _ if line == "/quit" => None,
            _ if line == "/who" => {
                let who = |(name, addr): (&String, &SocketAddr)| format!("* {name} at {addr}");
                Some(self.peers.lock().iter().map(who).collect())
            }
            Some((to, text)) if to.starts_with('@') => {
                let addr = self.peers.lock().get(&to[1..]).copied();
                Some(match addr {
                    Some(addr) => self.send(addr, &Message::Text(text)),
                    None => vec![format!("* {} is not here", &to[1..])],
                })
            }
            _ => Some(self.send_to_all(&Message::Text(line))),
        }
    }

    /// Tells the others that one leaves.
    pub fn leave(&self) {
        self.send_to_all(&Message::Bye);
    }

    fn send_to_all(&self, message: &Message<'_>) -> Vec<String> {
        let peers: Vec<SocketAddr> = self.peers.lock().values().copied().collect();
        let send = |addr: SocketAddr| self.send(addr, message);
        peers.into_iter().flat_map(send).collect()
    }

    /// Sends; gives what went wrong.
    fn send(&self, to: SocketAddr, message: &Message<'_>) -> Vec<String> {
        let datagram = encode(&self.name, message);
        if datagram.len() > DATAGRAM_BYTES_MAX {
            return vec![format!(
                "* too long, by {}",
                datagram.len() - DATAGRAM_BYTES_MAX
            )];
        }
        match self.socket.send_to(&datagram, to) {
            Ok(_) => Vec::new(),
            Err(error) => vec![format!("* {to}: {error}")],
        }
    }
}

fn show(line: String) {
    let mut out = io::stdout().lock();
    // Nobody to show it to: then the input ends soon, too.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, addr, known @ ..] = arguments.as_slice() else {
        eprintln!("usage: n9_chat NAME ADDRESS [ADDRESS OF A PEER]...");
        return ExitCode::from(2);
    };
    if !is_name(name) {
        eprintln!("a name has 1 to 20 letters, digits and `-`");
        return ExitCode::from(2);
    }
    let chat = match Chat::join(name, addr, known) {
        Ok(chat) => Arc::new(chat),
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    if let Ok(addr) = chat.addr() {
        show(format!("* {name} at {addr}"));
    }
    let receiving = {
        let chat = Arc::clone(&chat);
        coroutine::spawn(move || chat.receive(show))
    };
    for line in io::stdin().lock().lines() {
        match line.ok().and_then(|line| chat.line(&line)) {
            Some(lines) => lines.into_iter().for_each(show),
            None => break,
        }
    }
    chat.leave();
    receiving.cancel();
    ExitCode::SUCCESS
}
