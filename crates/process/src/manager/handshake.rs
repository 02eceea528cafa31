//! The handshake: each side proves to the other that it knows the key.
//!
//! ```text
//! server: MAGIC (16 bytes)  nonce (32)
//! client: MAGIC (16)        nonce (32)   HMAC(key, CLIENT ‖ server's nonce ‖ client's nonce)
//! server: ACCEPTED (1)      manager (8)  HMAC(key, SERVER ‖ both nonces ‖ manager)
//!     or: REFUSED (1), and the end
//! ```
//!
//! All messages have a fixed size, nothing in them is decoded, and no byte that comes after
//! them is looked at before the proof was checked, in constant time. The labels keep one side's
//! proof from serving as the other's, so that a server can't be had to answer its own question.
//! HMAC-SHA256. What follows is neither encrypted nor signed: who sits in the middle of a TCP
//! connection can read and change it. That is a matter for a tunnel.

use std::fmt;
use std::io::{self, Read, Write};
use std::time::Duration;

use hmac::{Hmac, Mac};
use ropewalk_rt::cancel;
use sha2::Sha256;

use super::key::Key;
use super::{Error, Result};

const MAGIC: &[u8; 16] = b"ropewalk-mngr-1\n";
const CLIENT: &[u8] = b"ropewalk manager 1: client";
const SERVER: &[u8] = b"ropewalk manager 1: server";
const ACCEPTED: u8 = b'+';
const REFUSED: u8 = b'-';

/// How long a handshake may take, unless the server's builder says otherwise.
pub(super) const HANDSHAKE: Duration = Duration::from_secs(10);

type Nonce = [u8; 32];

/// Why the server didn't take a client in.
#[derive(Debug)]
pub(super) enum Stranger {
    WrongKey,
    /// It spoke another protocol, said too little, or took too long.
    Io(io::Error),
}

impl fmt::Display for Stranger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stranger::WrongKey => f.write_str("a client has another key"),
            Stranger::Io(error) => write!(f, "a client did not finish the handshake: {error}"),
        }
    }
}

impl From<io::Error> for Stranger {
    fn from(error: io::Error) -> Stranger {
        Stranger::Io(error)
    }
}

/// The server's side. The caller limits its time; who has another key is noted by `wrong` before
/// it is told.
pub(super) fn accept<S: Read + Write>(
    mut stream: S,
    key: &Key,
    manager: u64,
    wrong: impl FnOnce(),
) -> std::result::Result<(), Stranger> {
    let mine = nonce()?;
    stream.write_all(&[MAGIC.as_slice(), &mine].concat())?;

    let mut magic = [0; 16];
    stream.read_exact(&mut magic)?;
    if &magic != MAGIC {
        return Err(not_a_manager().into());
    }
    let (mut theirs, mut proof) = ([0; 32], [0; 32]);
    stream.read_exact(&mut theirs)?;
    stream.read_exact(&mut proof)?;
    if prove(key, CLIENT, &mine, &theirs, &[])
        .verify_slice(&proof)
        .is_err()
    {
        wrong();
        // Also when it can't be told any more, it stays out.
        let _ = stream.write_all(&[REFUSED]);
        return Err(Stranger::WrongKey);
    }

    let manager = manager.to_le_bytes();
    let proof = prove(key, SERVER, &mine, &theirs, &manager).finalize();
    let mut answer = vec![ACCEPTED];
    answer.extend(manager);
    answer.extend(proof.into_bytes());
    stream.write_all(&answer)?;
    Ok(())
}

/// The client's side, within `patience`; gives the manager's number.
pub(super) fn connect<S: Read + Write>(stream: S, key: &Key, patience: Duration) -> Result<u64> {
    match cancel::timeout(patience, || introduce(stream, key)) {
        Ok(result) => result,
        // It was done at the last moment, or it failed for the time.
        Err(elapsed) => elapsed.into_inner().map_err(|error| match error {
            Error::Io(_) => Error::Io(io::Error::new(
                io::ErrorKind::TimedOut,
                "the manager did not finish the handshake in time",
            )),
            other => other,
        }),
    }
}

fn introduce<S: Read + Write>(mut stream: S, key: &Key) -> Result<u64> {
    let mut magic = [0; 16];
    stream.read_exact(&mut magic)?;
    if &magic != MAGIC {
        return Err(not_a_manager().into());
    }
    let mut theirs = [0; 32];
    stream.read_exact(&mut theirs)?;

    let mine = nonce()?;
    let proof = prove(key, CLIENT, &theirs, &mine, &[]).finalize();
    let mut message = MAGIC.to_vec();
    message.extend(mine);
    message.extend(proof.into_bytes());
    stream.write_all(&message)?;

    let mut verdict = [0];
    stream.read_exact(&mut verdict)?;
    match verdict[0] {
        ACCEPTED => {}
        REFUSED => return Err(Error::WrongKey),
        _ => return Err(not_a_manager().into()),
    }
    let (mut manager, mut proof) = ([0; 8], [0; 32]);
    stream.read_exact(&mut manager)?;
    stream.read_exact(&mut proof)?;
    match prove(key, SERVER, &theirs, &mine, &manager).verify_slice(&proof) {
        Ok(()) => Ok(u64::from_le_bytes(manager)),
        Err(_) => Err(Error::WrongKey),
    }
}

fn nonce() -> io::Result<Nonce> {
    let mut nonce = [0; 32];
    getrandom::fill(&mut nonce)?;
    Ok(nonce)
}

fn prove(key: &Key, role: &[u8], server: &Nonce, client: &Nonce, more: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("any length will do");
    for part in [role, server, client, more] {
        mac.update(part);
    }
    mac
}

fn not_a_manager() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "the other side does not speak this version of the manager's protocol",
    )
}
