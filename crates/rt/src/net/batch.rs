//! Many datagrams with few system calls.

use std::fmt;
use std::io::{self, IoSlice};
use std::net::SocketAddr;

use ropewalk_kernel::driver::{Address, BATCH_MAX, Received};

use super::endpoint::not_internet;
use super::{Datagram, UdpSocket};

/// Room for datagrams that are received together; for [`UdpSocket::recv_batch`].
///
/// # Examples
///
/// ```
/// use ropewalk_rt::net::{DatagramBatch, UdpSocket};
///
/// let socket = UdpSocket::bind("127.0.0.1:0")?;
/// let addr = socket.local_addr()?;
/// assert_eq!(socket.send_batch(&[("one", addr), ("two", addr)])?, 2);
///
/// let mut batch = DatagramBatch::new(16, 1500);
/// let mut texts = Vec::new();
/// while texts.len() < 2 {
///     socket.recv_batch(&mut batch)?;
///     for (datagram, bytes) in batch.iter() {
///         assert_eq!(datagram.from, addr);
///         texts.push(bytes.to_vec());
///     }
/// }
/// assert_eq!(texts, [b"one", b"two"]);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct DatagramBatch {
    buf: Vec<u8>,
    size: usize,
    received: Vec<Received>,
    datagrams: Vec<Datagram>,
}

impl DatagramBatch {
    /// Makes room for `count` datagrams (at least 1, at most 64) of `size` bytes each.
    pub fn new(count: usize, size: usize) -> DatagramBatch {
        let count = count.clamp(1, BATCH_MAX);
        let none = Received {
            len: 0,
            full_len: 0,
            from: Address::empty(),
        };
        DatagramBatch {
            buf: vec![0; count * size],
            size,
            received: vec![none; count],
            datagrams: Vec::with_capacity(count),
        }
    }

    /// How many datagrams the last receive gave.
    pub fn len(&self) -> usize {
        self.datagrams.len()
    }

    /// Whether the last receive failed, or there was none yet.
    pub fn is_empty(&self) -> bool {
        self.datagrams.is_empty()
    }

    /// How many datagrams there is room for.
    pub fn capacity(&self) -> usize {
        self.received.len()
    }

    /// What the last receive gave: each datagram and its bytes, in the order of their coming.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Datagram, &[u8])> {
        let bytes = |(index, datagram): (usize, _)| {
            let datagram: &Datagram = datagram;
            let from = index * self.size;
            (datagram, &self.buf[from..from + datagram.len])
        };
        self.datagrams.iter().enumerate().map(bytes)
    }
}

impl fmt::Debug for DatagramBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatagramBatch")
            .field("datagrams", &self.datagrams)
            .finish_non_exhaustive()
    }
}

impl UdpSocket {
    /// Waits for a datagram and receives it together with those that have come, as many as
    /// there is room for; gives how many.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv); the batch is empty then.
    pub fn recv_batch(&self, batch: &mut DatagramBatch) -> io::Result<usize> {
        batch.datagrams.clear();
        let count = self.inner.source.recv_messages(
            &mut batch.buf,
            batch.size,
            &mut batch.received,
            self.inner.timeouts.read_deadline(),
        )?;
        for received in &batch.received[..count] {
            batch.datagrams.push(Datagram {
                len: received.len,
                full_len: received.full_len,
                from: received.from.ip().ok_or_else(not_internet)?,
            });
        }
        Ok(count)
    }

    /// Sends datagrams, each to its address, with one system call: the first, and as many of the
    /// others as there is room for, 64 at most; gives how many. Go on with the rest.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), for the first datagram; that of a later one is told when it
    /// is the first.
    pub fn send_batch<B: AsRef<[u8]>>(&self, datagrams: &[(B, SocketAddr)]) -> io::Result<usize> {
        if datagrams.is_empty() {
            return Ok(0);
        }
        let datagrams = &datagrams[..datagrams.len().min(BATCH_MAX)];
        let messages: Vec<_> = datagrams
            .iter()
            .map(|(bytes, to)| (IoSlice::new(bytes.as_ref()), Some(Address::from(*to))))
            .collect();
        self.inner
            .source
            .send_messages(&messages, self.inner.timeouts.write_deadline())
    }
}
