//! A histogram of durations in bounded memory, for the percentiles of the summary.
//!
//! Log-linear buckets as in HdrHistogram: exact below 256 µs, then 128 buckets per power of two, so a
//! percentile is never more than 1/128 above the true value, however many millions are recorded.

use std::time::Duration;

/// Values below this many microseconds have a bucket each.
const EXACT: u64 = 256;
/// Buckets per power of two above that.
const PER_OCTAVE: u64 = 128;
const BUCKETS: usize = (EXACT + (64 - 8) * PER_OCTAVE) as usize;

/// Durations counted by size.
pub(crate) struct Latency {
    counts: Box<[u64]>,
    total: u64,
    max_micros: u64,
}

impl Latency {
    /// Starts with nothing recorded.
    pub(crate) fn new() -> Latency {
        Latency {
            counts: vec![0; BUCKETS].into_boxed_slice(),
            total: 0,
            max_micros: 0,
        }
    }

    /// Counts one duration, to the microsecond.
    pub(crate) fn record(&mut self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.counts[bucket(micros)] += 1;
        self.total += 1;
        self.max_micros = self.max_micros.max(micros);
    }

    /// Returns the duration that `percent` of the recorded ones don't exceed, `None` when there are
    /// none. Up to 0.8% too high, never too low and never above the greatest.
    pub(crate) fn percentile(&self, percent: f64) -> Option<Duration> {
        if self.total == 0 {
            return None;
        }
        let rank = ((percent / 100.0 * self.total as f64).ceil() as u64).clamp(1, self.total);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Some(Duration::from_micros(
                    highest_in(index).min(self.max_micros),
                ));
            }
        }
        self.max()
    }

    /// Returns the greatest duration, exactly; `None` when nothing was recorded.
    pub(crate) fn max(&self) -> Option<Duration> {
        (self.total > 0).then(|| Duration::from_micros(self.max_micros))
    }
}

fn bucket(micros: u64) -> usize {
    if micros < EXACT {
        return micros as usize;
    }
    let octave = u64::from(micros.ilog2()) - 8;
    let within = (micros >> (octave + 1)) - PER_OCTAVE;
    (EXACT + octave * PER_OCTAVE + within) as usize
}

/// Returns the greatest value that falls into a bucket.
fn highest_in(index: usize) -> u64 {
    let index = index as u64;
    if index < EXACT {
        return index;
    }
    let octave = (index - EXACT) / PER_OCTAVE;
    let within = (index - EXACT) % PER_OCTAVE;
    let next = u128::from(PER_OCTAVE + within + 1) << (octave + 1);
    u64::try_from(next - 1).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_cover_everything_in_order() {
        let mut values: Vec<u64> = (0..2000).collect();
        for shift in 11..64 {
            let base = 1u64 << shift;
            values.extend([base - 1, base, base + 1, base + base / 3]);
        }
        values.push(u64::MAX);
        values.sort_unstable();
        let mut last = 0;
        for value in values {
            let index = bucket(value);
            assert!(
                index < BUCKETS && index >= last,
                "{value} in {index} after {last}"
            );
            let high = highest_in(index);
            assert!(high >= value, "{value} above its bucket's end {high}");
            assert!(high - value <= value / 128, "{value} too far below {high}");
            last = index;
        }
        assert_eq!(last, BUCKETS - 1);
    }

    /// Against the definition, on a sorted list.
    #[test]
    fn percentiles_agree_with_sorting() {
        let mut latency = Latency::new();
        let mut sorted = Vec::new();
        let mut x: u64 = 88_172_645_463_325_252;
        for _ in 0..5000 {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            let micros = x % 3_000_000;
            sorted.push(micros);
            latency.record(Duration::from_micros(micros));
        }
        sorted.sort_unstable();
        for percent in [0.0, 1.0, 50.0, 90.0, 99.0, 99.9, 100.0] {
            let rank = ((percent / 100.0 * sorted.len() as f64).ceil() as usize).max(1);
            let exact = sorted[rank - 1];
            let got = latency.percentile(percent).unwrap().as_micros() as u64;
            assert!(
                got >= exact && got <= exact + exact / 128,
                "p{percent}: {got} for {exact}"
            );
        }
        assert_eq!(
            latency.max().unwrap().as_micros() as u64,
            *sorted.last().unwrap()
        );
    }

    #[test]
    fn nothing_recorded() {
        let latency = Latency::new();
        assert_eq!(latency.percentile(50.0), None);
        assert_eq!(latency.max(), None);
    }
}
