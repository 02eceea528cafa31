//! Pipes: typed messages between processes, one way or both ways.
//!
//! # One message is one packet
//!
//! An end is one socket of a pair of Unix sockets that keep borders between messages
//! (`SOCK_SEQPACKET`). A message is sent by one `sendmsg` and received by one `recvmsg`:
//! the system does each as a whole or not at all. So nothing is needed to keep messages whole,
//! no lock and no reassembly: any number of tasks, threads and processes may send into the same
//! end and receive from the same end, each message comes to exactly one receiver, and a
//! sender that is killed has sent a message or has not. See `packet.rs` for the layout.
//!
//! A message that is too large for a packet goes by itself, in a file in memory that nobody
//! can change any more; its packet carries the descriptor. So there is no limit but memory, and a
//! large message takes no room in the socket either.
//!
//! Rejected: a stream with lengths in front. A writer that dies in the middle of a message
//! leaves the others a stream that nobody can read any more, and a lock that would prevent
//! their mixing has to survive its holder.
//!
//! # Waiting and closing
//!
//! Waits are for the socket's readiness, with calls that never wait themselves: a wait that
//! is cancelled or timed out has neither sent nor taken a message. A side is closed once all
//! its handles are, in all processes; the other side then receives what is left, and after
//! that the end.

mod carrier;
mod duplex;
mod ends;
mod error;
mod iter;
mod packet;
mod sealed;
mod socket;

pub(crate) use carrier::{Carried, Carrier};
pub use duplex::Pipe;
pub use ends::{Receiver, Sender};
pub use error::{PipeError, SendError};
pub use iter::{IntoIter, Iter, TryIter};
pub(crate) use sealed::Payload;

use std::io;

/// Makes a pipe that goes both ways: the first end sends `A` and receives `B`, the second the
/// other way round.
///
/// # Errors
///
/// The system's, if it is out of descriptors or memory.
///
/// # Examples
///
/// ```
/// let (here, there) = ropewalk_process::pipe::duplex::<u32, String>()?;
/// ropewalk_rt::spawn(move || {
///     for number in there.iter() {
///         there.send(format!("{}", number? + 1))?;
///     }
///     Ok::<(), std::io::Error>(())
/// });
/// here.send(41)?;
/// assert_eq!(here.recv()?, "42");
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn duplex<A, B>() -> io::Result<(Pipe<A, B>, Pipe<B, A>)> {
    let (one, other) = socket::Socket::pair()?;
    Ok((Pipe::new(one), Pipe::new(other)))
}

/// Makes a pipe that goes one way.
///
/// # Errors
///
/// The system's, if it is out of descriptors or memory.
///
/// # Examples
///
/// ```
/// let (sender, receiver) = ropewalk_process::pipe::one_way()?;
/// sender.send("hello".to_owned())?;
/// sender.send("good bye".to_owned())?;
/// drop(sender);
/// let all: Result<Vec<String>, _> = receiver.iter().collect();
/// assert_eq!(all?, ["hello", "good bye"]);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn one_way<T>() -> io::Result<(Sender<T>, Receiver<T>)> {
    let (sender, receiver) = socket::Socket::pair()?;
    Ok((Sender::new(sender), Receiver::new(receiver)))
}
