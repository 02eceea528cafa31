//! Room for payloads that don't fit into a slot: a ring of bytes that one side hands out and
//! takes back in the order of the slots.
//!
//! The books are kept in the private memory of who hands out. The other side is told offset
//! and length in the slot, and checks them with [`inside`] before it copies.

use std::collections::VecDeque;

/// All payloads begin at a multiple of this: copies are then by whole words.
const ALIGN: u32 = 64;

/// Who hands out the bytes of one arena.
pub(crate) struct Arena {
    size: u32,
    /// Where the next payload goes.
    head: u32,
    /// Handed out and not taken back: whose it is, and where it begins and ends.
    taken: VecDeque<(u64, u32, u32)>,
}

impl Arena {
    /// An empty arena of `size` bytes.
    pub(crate) fn new(size: u32) -> Arena {
        Arena {
            size,
            head: 0,
            taken: VecDeque::new(),
        }
    }

    /// Hands out `len` bytes for the payload of the slot `position`, which is larger than all
    /// before; their offset. `None` if there is no room.
    pub(crate) fn take(&mut self, position: u64, len: usize) -> Option<u32> {
        let len = u32::try_from(len).ok()?.checked_next_multiple_of(ALIGN)?;
        let start = self.place(len)?;
        let end = start + len;
        self.taken.push_back((position, start, end));
        self.head = end;
        Some(start)
    }

    /// Where `len` bytes fit: behind the newest, or at the very beginning.
    fn place(&self, len: u32) -> Option<u32> {
        let Some(&(_, oldest, _)) = self.taken.front() else {
            return (len <= self.size).then_some(0);
        };
        if self.head > oldest {
            if self.size - self.head >= len {
                return Some(self.head);
            }
            return (len <= oldest).then_some(0);
        }
        // They go around the end. `head == oldest` is full.
        (oldest - self.head >= len).then_some(self.head)
    }

    /// Takes back the payloads of all slots before `position`.
    pub(crate) fn release_before(&mut self, position: u64) {
        while let Some(&(whose, _, _)) = self.taken.front()
            && whose < position
        {
            self.taken.pop_front();
        }
        if self.taken.is_empty() {
            self.head = 0;
        }
    }
}

/// Whether the range is inside an arena of `size` bytes.
pub(crate) fn inside(size: u32, offset: u32, len: u64) -> bool {
    u64::from(offset)
        .checked_add(len)
        .is_some_and(|end| end <= u64::from(size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_never_overlap_and_all_room_comes_back() {
        let mut arena = Arena::new(4096);
        let mut live: VecDeque<(u64, u32, u32)> = VecDeque::new();
        let mut random = 12345_u32;
        let mut refused = 0;
        for position in 0..20_000 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let len = (random >> 16) % 1500;
            match arena.take(position, len as usize) {
                Some(start) => {
                    let end = start + len;
                    assert!(inside(4096, start, len.into()));
                    for &(_, a, b) in &live {
                        assert!(
                            end <= a || b <= start || len == 0,
                            "{start}..{end} {a}..{b}"
                        );
                    }
                    live.push_back((position, start, end));
                }
                None => refused += 1,
            }
            while live.len() > (random % 5) as usize {
                live.pop_front();
            }
            let oldest = live.front().map_or(position + 1, |&(whose, _, _)| whose);
            arena.release_before(oldest);
        }
        assert!(refused > 0 && refused < 10_000, "{refused}");
        arena.release_before(u64::MAX);
        assert_eq!(arena.take(20_001, 4096), Some(0));
        assert_eq!(arena.take(20_002, 1), None);
    }

    #[test]
    fn what_lies_is_found_outside() {
        assert!(inside(64, 0, 64));
        assert!(!inside(64, 1, 64));
        assert!(!inside(64, u32::MAX, u64::MAX));
        assert!(!inside(64, 0, u64::MAX));
    }
}
