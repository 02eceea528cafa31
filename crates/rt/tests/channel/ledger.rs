//! A book of messages: each that was sent is received, none that came back is, and none twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

/// What is known of each message, and how many were drawn.
#[derive(Clone)]
pub(crate) struct Ledger(Arc<Book>);

struct Book {
    entries: Vec<Entry>,
    drawn: AtomicUsize,
}

#[derive(Default)]
struct Entry {
    received: AtomicU8,
    end: AtomicU8,
}

/// How a send ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum End {
    /// The sender was told that it was sent.
    Sent = 1,
    /// It came back.
    Back = 2,
    /// The future was dropped before it said anything.
    Unknown = 3,
}

/// A message, as it is sent: it knows whether it is dropped without having been received.
pub(crate) struct Numbered {
    number: usize,
    alive: Arc<AtomicUsize>,
}

impl Drop for Numbered {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Ledger {
    pub(crate) fn new(messages: usize) -> Ledger {
        Ledger(Arc::new(Book {
            entries: (0..messages).map(|_| Entry::default()).collect(),
            drawn: AtomicUsize::new(0),
        }))
    }

    /// The next message, until all are drawn.
    pub(crate) fn draw(&self, alive: &Arc<AtomicUsize>) -> Option<(usize, Numbered)> {
        let number = self.0.drawn.fetch_add(1, Ordering::Relaxed);
        (number < self.0.entries.len()).then(|| {
            alive.fetch_add(1, Ordering::Relaxed);
            let alive = Arc::clone(alive);
            (number, Numbered { number, alive })
        })
    }

    pub(crate) fn ended(&self, number: usize, end: End) {
        let before = self.0.entries[number]
            .end
            .swap(end as u8, Ordering::Relaxed);
        assert_eq!(before, 0, "message {number} ended twice");
    }

    pub(crate) fn received(&self, message: Numbered) {
        let before = self.0.entries[message.number]
            .received
            .fetch_add(1, Ordering::Relaxed);
        assert_eq!(before, 0, "message {} was received twice", message.number);
    }

    /// Checks all messages; gives how many were sent, came back, and are of unknown end.
    pub(crate) fn settle(&self) -> [usize; 3] {
        let mut counts = [0; 3];
        for (number, entry) in self.0.entries.iter().enumerate() {
            let received = entry.received.load(Ordering::Relaxed);
            let end = entry.end.load(Ordering::Relaxed);
            assert_ne!(end, 0, "message {number} was never sent");
            counts[usize::from(end) - 1] += 1;
            if end == End::Sent as u8 {
                assert_eq!(received, 1, "message {number} was lost");
            }
            if end == End::Back as u8 {
                assert_eq!(received, 0, "message {number} came back and was received");
            }
        }
        counts
    }
}
