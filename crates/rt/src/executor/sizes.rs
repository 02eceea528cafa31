//! How many items of a map go to a worker at once, found by measuring.
//!
//! A chunk should take a worker about [`TARGET_NS`]: long enough that handing it over costs
//! little beside it, short enough that at the end no worker idles for long while another
//! still has a chunk. What an item costs is measured: from the chunk's begin to its end, waits
//! included. Of a single item the begin isn't known: it is taken for the time when it was
//! submitted or when a worker became free for it, whichever is later. That is too early in a pool that
//! is wider than the machine. The first chunk is a single item, and none is more than twice as big as one
//! that was measured, so that a guess can't be far off.
//!
//! Rejected: a share of the whole (as `multiprocessing.Pool.map` takes), which needs a length
//! and has all of the input in memory; and measuring from submission, which counts the time
//! in the queue, and so makes the chunks of a busy pool ever smaller.

use std::collections::VecDeque;

/// What a chunk should take a worker.
pub(super) const TARGET_NS: u64 = 500_000;

/// No chunk is bigger, however quick the items.
const MOST: usize = 4096;

/// The size of the chunks to come.
#[derive(Debug)]
pub(super) struct Sizes {
    /// Asked for by the user.
    fixed: Option<usize>,
    /// The size by what was measured.
    measured: usize,
    /// No automatic chunk may be bigger.
    most: usize,
    cost_ns: Option<u64>,
    width: usize,
    /// When the last chunks ended, as many as run at once, oldest first.
    ends: VecDeque<u64>,
}

impl Sizes {
    pub(super) fn new(width: usize, most: usize) -> Sizes {
        Sizes {
            fixed: None,
            measured: 1,
            most: most.clamp(1, MOST),
            cost_ns: None,
            width: width.max(1),
            ends: VecDeque::new(),
        }
    }

    pub(super) fn fix(&mut self, size: usize) {
        self.fixed = Some(size);
    }

    /// How many run at once.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// The size of the next chunk, when this many items are left, if that is known, and at most so
    /// many may be under way at once.
    pub(super) fn next(&self, left: Option<usize>, buffer: Option<usize>) -> usize {
        let most = buffer.unwrap_or(usize::MAX);
        if let Some(fixed) = self.fixed {
            return fixed.min(most);
        }
        // A share of what is left and of the buffer, so that all workers have something to do.
        let share = |items: usize| items.div_ceil(2 * self.width);
        let by_left = left.map_or(usize::MAX, share);
        let by_buffer = buffer.map_or(usize::MAX, |items| items / (2 * self.width));
        let size = self.measured.min(by_left).min(by_buffer);
        size.min(self.most).max(1)
    }

    /// Notes that a chunk of `len` items, submitted, begun (if that is known) and ended at these
    /// times (clock nanoseconds), is over.
    pub(super) fn note(&mut self, len: usize, submitted: u64, begun: Option<u64>, ended: u64) {
        if self.fixed.is_some() || self.most == 1 {
            return;
        }
        let mut free = submitted;
        if self.ends.len() == self.width {
            free = free.max(self.ends.pop_front().unwrap_or(0));
        }
        self.ends.push_back(ended);
        let begun = begun.unwrap_or(free);
        let cost = ended.saturating_sub(begun) / len as u64;
        let cost = match self.cost_ns {
            Some(before) => before.midpoint(cost),
            None => cost,
        };
        self.cost_ns = Some(cost);
        let wanted = TARGET_NS / cost.max(1);
        self.measured = usize::try_from(wanted)
            .unwrap_or(usize::MAX)
            .min(2 * len.max(self.measured / 2))
            .clamp(1, self.most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pool of `width` workers that takes `cost` an item, run on paper for `items` items.
    fn sizes(width: usize, items: usize, known: bool, cost: impl Fn(usize) -> u64) -> Vec<usize> {
        let mut sizes = Sizes::new(width, usize::MAX);
        let mut free = vec![0_u64; width];
        let (mut taken, mut now, mut list) = (0, 0, Vec::new());
        let mut running = VecDeque::new();
        while taken < items {
            let left = known.then_some(items - taken);
            let len = sizes.next(left, None).min(items - taken);
            let worker = (0..width).min_by_key(|worker| free[*worker]).unwrap();
            let work: u64 = (taken..taken + len).map(&cost).sum();
            free[worker] = free[worker].max(now) + work;
            running.push_back((len, now, free[worker]));
            taken += len;
            list.push(len);
            if running.len() == 2 * width {
                let (len, submitted, ended) = running.pop_front().unwrap();
                now = now.max(ended);
                sizes.note(len, submitted, None, ended);
            }
        }
        list
    }

    #[test]
    fn tiny_items_go_in_big_chunks() {
        let sizes = sizes(2, 1_000_000, false, |_| 500);
        assert_eq!(sizes[0], 1);
        // Half a millisecond each, in the end.
        assert_eq!(sizes[sizes.len() - 2], 1000);
        assert!(sizes.windows(2).all(|pair| pair[1] <= 2 * pair[0]));
    }

    #[test]
    fn long_items_go_one_by_one() {
        let sizes = sizes(2, 100, true, |_| 5_000_000);
        assert!(sizes.iter().all(|size| *size == 1));
    }

    #[test]
    fn the_end_is_shared() {
        let sizes = sizes(4, 100_000, true, |_| 100);
        assert!(sizes.iter().any(|size| *size > 1000));
        assert_eq!(*sizes.last().unwrap(), 1);
    }

    #[test]
    fn chunks_shrink_when_items_get_longer() {
        let cost = |item: usize| if item < 50_000 { 500 } else { 1_000_000 };
        let sizes = sizes(2, 60_000, false, cost);
        assert_eq!(*sizes.last().unwrap(), 1);
    }

    // Before, the sixteen chunks that a pool takes at once were thought to run at once, also by a machine
    // that runs two: each seemed to take eight times as long, and chunks were that much too small.
    #[test]
    fn chunks_of_a_pool_that_is_wider_than_the_machine_are_as_big_as_others() {
        let mut sizes = Sizes::new(16, usize::MAX);
        let mut free = [0_u64; 2];
        let mut running = VecDeque::new();
        let (mut now, mut last) = (0, 0);
        for _ in 0..500 {
            last = sizes.next(None, None);
            let core = (0..2).min_by_key(|core| free[*core]).unwrap();
            let begun = free[core].max(now);
            free[core] = begun + last as u64 * 1_000;
            running.push_back((last, now, begun, free[core]));
            if running.len() == 32 {
                let (len, submitted, begun, ended) = running.pop_front().unwrap();
                now = now.max(ended);
                let begun = (len > 1).then_some(begun);
                sizes.note(len, submitted, begun, ended);
            }
        }
        assert_eq!(last, 500);
    }

    #[test]
    fn what_is_asked_for_is_taken() {
        let mut sizes = Sizes::new(2, 1);
        assert_eq!(sizes.next(None, None), 1);
        sizes.note(1, 0, None, 10);
        assert_eq!(sizes.next(None, None), 1);
        sizes.fix(30);
        assert_eq!(sizes.next(Some(3), None), 30);
        assert_eq!(sizes.next(None, Some(10)), 10);
    }

    #[test]
    fn a_buffer_is_shared() {
        let mut sizes = Sizes::new(2, usize::MAX);
        for _ in 0..20 {
            let len = sizes.next(None, Some(64));
            sizes.note(len, 0, None, 10);
        }
        assert_eq!(sizes.next(None, Some(64)), 16);
        assert_eq!(sizes.next(None, Some(3)), 1);
    }
}
