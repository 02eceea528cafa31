//! What client and server send each other after the handshake.
//!
//! A frame: length of what follows (u32), number of the request (u64), both little-endian, then
//! a [`Call`] (client) or an [`Answer`] (server) in MessagePack. Each request has one answer,
//! in any order; requests with number 0 have none. An answer with number 0 is the server's
//! goodbye.
//!
//! Users' values are packed inside, as bytes: [`Packed`] at the client, who knows their types,
//! [`Held`] at the server, who makes [`Value`]s of them. `V` stands for either.

use std::fmt;
use std::io::{self, Read};

use serde::de::{self, DeserializeOwned, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::value::{Value, pack, unpack};
use super::{Refusal, Result, Update};

/// How long a frame may be, unless the server's builder says otherwise.
pub(super) const FRAME_MAX: usize = 256 << 20;
/// Its length and its number.
const HEAD: usize = 12;

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Call<V> {
    /// Makes an object, or finds the one of that name.
    Make {
        name: Option<String>,
        spec: Spec<V>,
    },
    /// The kind of an object, by its name.
    Find {
        name: String,
    },
    /// Takes a name away.
    Unname {
        name: String,
    },
    Names,
    /// The client has one proxy more, or less.
    Attach(u64),
    Detach(u64),
    /// The client gave a proxy to another process: the object stays as long as the client.
    Pin(u64),
    /// Ends a request that waits.
    Cancel(u64),
    Data {
        object: u64,
        op: DataOp<V>,
    },
    Wait {
        object: u64,
        task: u64,
        op: WaitOp<V>,
    },
    /// Several at once, all or none.
    Batch(Vec<(u64, DataOp<V>)>),
    /// Calls a method of a user's type.
    Method {
        object: u64,
        method: String,
        args: V,
    },
    Stats,
    ShutDown,
}

/// What an object is to be.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Spec<V> {
    Dict,
    Namespace,
    List(Vec<V>),
    Array(Vec<V>),
    Cell(V),
    Queue { capacity: Option<u64> },
    Lock,
    RLock,
    Semaphore { permits: u64, bounded: bool },
    Condition,
    Event,
    Barrier { parties: u64 },
    Served { name: String, args: V },
}

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Kind {
    Dict,
    Namespace,
    List,
    Array,
    Cell,
    Queue,
    Lock,
    RLock,
    Semaphore,
    Condition,
    Event,
    Barrier,
    Served,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Dict => "dict",
            Kind::Namespace => "namespace",
            Kind::List => "list",
            Kind::Array => "array",
            Kind::Cell => "value",
            Kind::Queue => "queue",
            Kind::Lock => "lock",
            Kind::RLock => "re-entrant lock",
            Kind::Semaphore => "semaphore",
            Kind::Condition => "condition",
            Kind::Event => "event",
            Kind::Barrier => "barrier",
            Kind::Served => "object of a type of the user's",
        }
    }
}

/// What never waits: batches are made of these.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum DataOp<V> {
    /// How many elements there are.
    Len,
    Clear,

    // By key: dicts and namespaces.
    Get(V),
    Insert(V, V),
    /// Inserts unless there is one; gives what is there then.
    InsertNew(V, V),
    Remove(V),
    Contains(V),
    Keys,
    Values,
    Items,
    Extend(Vec<(V, V)>),
    Update {
        key: V,
        default: Option<V>,
        update: Update,
    },
    Exchange {
        key: V,
        expected: Option<V>,
        new: Option<V>,
    },

    // By index: lists and arrays.
    At(u64),
    Set(u64, V),
    Push(V),
    InsertAt(u64, V),
    RemoveAt(u64),
    Pop,
    Slice(u64, u64),
    Append(Vec<V>),
    Position(V),
    Sort,
    Reverse,
    UpdateAt(u64, Update),
    ExchangeAt {
        index: u64,
        expected: V,
        new: V,
    },

    // Values.
    Load,
    Store(V),
    UpdateIt(Update),
    ExchangeIt {
        expected: V,
        new: V,
    },

    // Queues, as far as they don't wait.
    TryPut(V),
    TryGet,
    Close,
    TaskDone,
    IsClosed,

    // For batches: fails unless it is so.
    Expect {
        key: V,
        value: Option<V>,
    },
}

/// What may wait, and what goes with it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum WaitOp<V> {
    /// A lock, a re-entrant lock or a condition's lock. Answered by a lease.
    Acquire {
        wait: bool,
    },
    /// So many permits of a semaphore. Answered by a lease.
    Permits {
        count: u64,
        wait: bool,
    },
    /// Gives back what the lease stands for.
    Release {
        lease: u64,
    },
    /// Forgets a lease of permits: they are gone for good.
    Forget {
        lease: u64,
    },
    /// Adds permits.
    AddPermits {
        count: u64,
    },
    Available,
    IsLocked,
    /// Gives the condition's lock up and waits for a notification; answered by a new lease.
    /// Who is cancelled doesn't have the lock.
    Wait {
        lease: u64,
    },
    Notify {
        lease: u64,
        count: u64,
    },
    Set,
    Unset,
    IsSet,
    WaitSet,
    Arrive,
    Abort,
    Reset,
    BarrierState,
    Put {
        value: V,
    },
    Take,
    JoinQueue,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer<V> {
    Done,
    Yes(bool),
    Count(u64),
    Value(Option<V>),
    Values(Vec<V>),
    Pairs(Vec<(V, V)>),
    /// An exchange: made, or what there was.
    Exchanged(std::result::Result<(), Option<V>>),
    Object {
        object: u64,
        kind: Kind,
    },
    Lease(u64),
    Names(Vec<(String, Kind)>),
    Batch(Vec<Answer<V>>),
    BarrierState {
        parties: u64,
        waiting: u64,
        broken: bool,
    },
    Stats {
        clients: u64,
        objects: u64,
        waiting: u64,
        leases: u64,
    },
    /// What was asked to wait was cancelled first.
    Cancelled,
    Refused(Refusal),
    ShutDown,
}

/// A user's value, encoded.
#[derive(Clone)]
pub(super) struct Packed(Vec<u8>);

impl Packed {
    pub(super) fn of<T: Serialize + ?Sized>(value: &T) -> Result<Packed> {
        Ok(Packed(pack(value)?))
    }

    pub(super) fn get<T: DeserializeOwned>(&self) -> Result<T> {
        unpack(&self.0)
    }
}

impl fmt::Debug for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Packed({} bytes)", self.0.len())
    }
}

impl Serialize for Packed {
    fn serialize<S: Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        to.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Packed {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Packed, D::Error> {
        from.deserialize_bytes(Bytes(|bytes: &[u8]| Ok(Packed(bytes.to_vec()))))
    }
}

/// A user's value at the server.
#[derive(Clone, Debug)]
pub(super) struct Held(pub(super) Value);

impl Serialize for Held {
    fn serialize<S: Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        let bytes = pack(&self.0).map_err(serde::ser::Error::custom)?;
        to.serialize_bytes(&bytes)
    }
}

impl<'de> Deserialize<'de> for Held {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Held, D::Error> {
        from.deserialize_bytes(Bytes(|bytes: &[u8]| {
            unpack(bytes).map(Held).map_err(|error| error.to_string())
        }))
    }
}

/// Makes something of bytes.
struct Bytes<F>(F);

impl<'de, T, F> Visitor<'de> for Bytes<F>
where
    F: FnOnce(&[u8]) -> std::result::Result<T, String>,
{
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a packed value")
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> std::result::Result<T, E> {
        (self.0)(bytes).map_err(E::custom)
    }
}

/// Encodes a frame.
pub(super) fn frame<T: Serialize>(number: u64, body: &T, max: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; HEAD];
    // Structs and tuples as arrays: the layout is the protocol's, and its version is agreed on.
    rmp_serde::encode::write(&mut bytes, body)
        .map_err(|error| super::Error::Encode(error.to_string()))?;
    let len = bytes.len() - 4;
    match u32::try_from(len) {
        Ok(short) if len <= max => {
            bytes[..4].copy_from_slice(&short.to_le_bytes());
            bytes[4..HEAD].copy_from_slice(&number.to_le_bytes());
            Ok(bytes)
        }
        _ => Err(Refusal::TooLarge {
            len: len as u64,
            max: max as u64,
        }
        .into()),
    }
}

/// Decodes a frame's body.
pub(super) fn body<T: DeserializeOwned>(bytes: &[u8]) -> std::result::Result<T, String> {
    let mut from = rmp_serde::Deserializer::from_read_ref(bytes);
    from.set_max_depth(DEPTH_MAX);
    T::deserialize(&mut from).map_err(|error| error.to_string())
}

/// How deep a call or an answer is nested, users' values aside: a batch has few levels.
const DEPTH_MAX: usize = 24;

/// Reads frames out of a stream.
pub(super) struct Frames<R> {
    stream: R,
    buffer: Vec<u8>,
    /// What of the buffer is still to be looked at.
    start: usize,
    end: usize,
    max: usize,
}

impl<R: Read> Frames<R> {
    const CHUNK: usize = 16 << 10;

    pub(super) fn new(stream: R, max: usize) -> Frames<R> {
        Frames {
            stream,
            buffer: vec![0; Frames::<R>::CHUNK],
            start: 0,
            end: 0,
            max,
        }
    }

    /// Says whether the next frame is here already.
    pub(super) fn is_ready(&self) -> bool {
        let here = &self.buffer[self.start..self.end];
        len_of(here).is_some_and(|len| here.len() >= 4 + len)
    }

    /// The next frame's number and body; `None` at the end between two frames.
    ///
    /// Memory grows with what has come, not with what a length claims.
    pub(super) fn next(&mut self) -> io::Result<Option<(u64, &[u8])>> {
        loop {
            let here = &self.buffer[self.start..self.end];
            if let Some(len) = len_of(here) {
                if len < HEAD - 4 || len > self.max {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        format!("a frame of {len} bytes; {} are allowed", self.max),
                    ));
                }
                if here.len() >= 4 + len {
                    let at = self.start;
                    self.start += 4 + len;
                    let frame = &self.buffer[at..at + 4 + len];
                    let number = frame[4..HEAD].try_into().expect("eight bytes");
                    return Ok(Some((u64::from_le_bytes(number), &frame[HEAD..])));
                }
            }
            if !self.read_more()? {
                return match self.start == self.end {
                    true => Ok(None),
                    false => Err(io::ErrorKind::UnexpectedEof.into()),
                };
            }
        }
    }

    fn read_more(&mut self) -> io::Result<bool> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            if self.end == 0 && self.buffer.len() > 64 * Frames::<R>::CHUNK {
                self.buffer = vec![0; Frames::<R>::CHUNK];
            }
        }
        if self.end == self.buffer.len() {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        loop {
            match self.stream.read(&mut self.buffer[self.end..]) {
                Ok(0) => return Ok(false),
                Ok(count) => {
                    self.end += count;
                    return Ok(true);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

fn len_of(bytes: &[u8]) -> Option<usize> {
    let len = bytes.first_chunk::<4>()?;
    Some(u32::from_le_bytes(*len) as usize)
}
