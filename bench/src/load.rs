//! The load generator: one thread, one epoll, and connections that each send a batch of
//! requests in one write, wait for all the answers, check them, and send the next batch.
//!
//! A burst ends with every answer received, so that the requests counted are exactly those
//! that the server spent its processor time on between the two readings around the burst.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use crate::epoll::{Epoll, Trigger};
use crate::histogram::Histogram;
use crate::response::Template;

/// A server that sends nothing for so long has failed.
const SILENCE_LIMIT_MS: i32 = 10_000;

/// What is sent and what must come back.
#[derive(Clone)]
pub(crate) struct Exchange {
    /// The requests that are sent in one write.
    pub(crate) batch: Vec<u8>,
    /// How many there are in it.
    pub(crate) depth: usize,
    /// What each is answered with.
    pub(crate) answer: Template,
}

impl Exchange {
    /// An echo of `message`, one at a time.
    pub(crate) fn echo(message: &[u8]) -> Exchange {
        Exchange {
            batch: message.to_vec(),
            depth: 1,
            answer: Template::exactly(message),
        }
    }

    /// `GET /` from the server at `port`, `depth` at a time; asks once to see what a right
    /// answer looks like there.
    ///
    /// # Errors
    /// If the server does not answer or answers wrongly.
    pub(crate) fn get(port: u16, depth: usize) -> io::Result<Exchange> {
        let request = format!(
            "GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: ropewalk-bench\r\n\
             Accept: */*\r\n\r\n"
        );
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_millis(SILENCE_LIMIT_MS as u64)))?;
        stream.write_all(request.as_bytes())?;
        let mut received = Vec::new();
        loop {
            let mut buffer = [0; 1024];
            let length = stream.read(&mut buffer)?;
            if length == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            received.extend_from_slice(&buffer[..length]);
            if let Some(answer) = Template::learn(&received)? {
                return Ok(Exchange {
                    batch: request.repeat(depth).into_bytes(),
                    depth,
                    answer,
                });
            }
        }
    }
}

struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
    filled: usize,
    sent_at: Instant,
}

/// Connections to one server.
pub(crate) struct Load {
    epoll: Epoll,
    connections: Vec<Connection>,
    exchange: Exchange,
}

/// What a burst came to.
pub(crate) struct Burst {
    /// Requests answered rightly; there were no others.
    pub(crate) requests: u64,
    /// From the first request to the last answer.
    pub(crate) elapsed: Duration,
    /// From sending a batch to having all its answers, once for each request.
    pub(crate) latencies: Histogram,
    /// Processor time the generator itself used.
    pub(crate) generator_cpu: Duration,
}

impl Load {
    /// Opens `connections` connections to the server at `port`.
    ///
    /// # Errors
    /// If one can't be opened.
    pub(crate) fn connect(port: u16, connections: usize, exchange: Exchange) -> io::Result<Load> {
        let epoll = Epoll::new(connections)?;
        // One byte more than is right shows an answer that is too long.
        let room = exchange.answer.length() * exchange.depth + 1;
        let open = |token| {
            let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            epoll.add(&stream, token, Trigger::Edge)?;
            Ok(Connection {
                stream,
                received: vec![0; room],
                filled: 0,
                sent_at: Instant::now(),
            })
        };
        let connections = (0..connections as u64)
            .map(open)
            .collect::<io::Result<_>>()?;
        Ok(Load {
            epoll,
            connections,
            exchange,
        })
    }

    /// Sends and checks for `duration`, then takes the answers that are still to come.
    ///
    /// # Errors
    /// If a connection fails, an answer is wrong, or the server falls silent.
    pub(crate) fn burst(&mut self, duration: Duration) -> io::Result<Burst> {
        let cpu_before = thread_cpu_time();
        let start = Instant::now();
        let mut requests = 0;
        let mut latencies = Histogram::new();
        for connection in &mut self.connections {
            connection.send(&self.exchange, Instant::now())?;
        }
        let mut waiting = self.connections.len();
        while waiting > 0 {
            let mut silent = true;
            for token in self.epoll.wait(SILENCE_LIMIT_MS)? {
                silent = false;
                let connection = &mut self.connections[token as usize];
                if !connection.receive(&self.exchange)? {
                    continue;
                }
                let now = Instant::now();
                let depth = self.exchange.depth as u64;
                requests += depth;
                latencies.add(now - connection.sent_at, depth);
                if now - start < duration {
                    connection.send(&self.exchange, now)?;
                } else {
                    waiting -= 1;
                }
            }
            if silent {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the server fell silent",
                ));
            }
        }
        Ok(Burst {
            requests,
            elapsed: start.elapsed(),
            latencies,
            generator_cpu: thread_cpu_time() - cpu_before,
        })
    }
}

impl Connection {
    fn send(&mut self, exchange: &Exchange, now: Instant) -> io::Result<()> {
        self.filled = 0;
        self.sent_at = now;
        // A batch is far below a socket's buffer, and nothing else is in it.
        match self.stream.write(&exchange.batch)? {
            all if all == exchange.batch.len() => Ok(()),
            _ => Err(io::ErrorKind::WriteZero.into()),
        }
    }

    /// Reads what has come: whether that completes the batch.
    fn receive(&mut self, exchange: &Exchange) -> io::Result<bool> {
        match self.stream.read(&mut self.received[self.filled..]) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) => self.filled += length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        }
        let length = exchange.answer.length();
        if self.filled < length * exchange.depth {
            return Ok(false);
        }
        let answers = &self.received[..self.filled];
        let whole = self.filled == length * exchange.depth;
        if whole
            && answers
                .chunks_exact(length)
                .all(|answer| exchange.answer.matches(answer))
        {
            return Ok(true);
        }
        let text = String::from_utf8_lossy(answers);
        Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("a wrong answer: {text:?}"),
        ))
    }
}

/// Processor time of the calling thread.
fn thread_cpu_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a live timespec that the call may write to.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    assert_eq!(result, 0, "this clock exists on every Linux");
    Duration::new(
        time.tv_sec.unsigned_abs(),
        time.tv_nsec.unsigned_abs() as u32,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers;

    #[test]
    fn counts_every_echo() {
        let port = peers::echo_server("bare-epoll").unwrap().unwrap();
        let mut load = Load::connect(port, 3, Exchange::echo(&[7; 64])).unwrap();
        let burst = load.burst(Duration::ZERO).unwrap();
        assert_eq!(burst.requests, 3);
        assert!(load.burst(Duration::from_millis(20)).unwrap().requests > 3);
    }

    #[test]
    fn learns_and_pipelines() {
        let port = peers::http_server("bare-epoll", true).unwrap().unwrap();
        let exchange = Exchange::get(port, 16).unwrap();
        let mut load = Load::connect(port, 2, exchange).unwrap();
        assert_eq!(load.burst(Duration::ZERO).unwrap().requests, 32);
    }

    #[test]
    fn a_wrong_answer_is_an_error() {
        let port = peers::echo_server("bare-epoll").unwrap().unwrap();
        let mut exchange = Exchange::echo(b"ping");
        exchange.answer = Template::exactly(b"pong");
        let mut load = Load::connect(port, 1, exchange).unwrap();
        let error = load.burst(Duration::ZERO).err().expect("an error");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
