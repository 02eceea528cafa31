//! Latencies, counted in buckets that are about 3 % wide.

use std::time::Duration;

/// Buckets per doubling.
const STEPS: u64 = 32;
const STEPS_LOG2: u32 = STEPS.trailing_zeros();

/// A histogram of durations from 1 ns up, exact below 64 ns and within 1/32 above.
#[derive(Clone)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Histogram {
    /// An empty histogram.
    pub(crate) fn new() -> Histogram {
        Histogram {
            counts: vec![0; bucket(u64::MAX) + 1],
            total: 0,
        }
    }

    /// Counts `times` equal durations.
    pub(crate) fn add(&mut self, duration: Duration, times: u64) {
        let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket(ns)] += times;
        self.total += times;
    }

    /// Adds all that `other` counted.
    pub(crate) fn merge(&mut self, other: &Histogram) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.total += other.total;
    }

    /// The duration, in microseconds, that `share` (0 to 1) of those counted do not exceed; 0
    /// if none were.
    pub(crate) fn quantile_us(&self, share: f64) -> f64 {
        let rank = (self.total as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank && *count > 0 {
                return lower_bound(index) as f64 / 1e3;
            }
        }
        0.0
    }
}

/// The first 2 × STEPS values have a bucket each; then each doubling is cut in STEPS.
fn bucket(ns: u64) -> usize {
    if ns < 2 * STEPS {
        return ns as usize;
    }
    let shift = ns.ilog2() - STEPS_LOG2;
    (u64::from(shift) * STEPS + (ns >> shift)) as usize
}

fn lower_bound(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < 2 * STEPS {
        return bucket;
    }
    let shift = bucket / STEPS - 1;
    (bucket % STEPS + STEPS) << shift
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_narrow_and_in_order() {
        for power in 0..63 {
            for ns in [
                1u64 << power,
                (1 << power) + (1 << power) / 3,
                (2 << power) - 1,
            ] {
                let low = lower_bound(bucket(ns));
                assert!(
                    low <= ns && ns - low <= ns / STEPS,
                    "{ns} fell in the bucket of {low}"
                );
                assert!(bucket(ns) <= bucket(ns + 1) && bucket(ns + 1) <= bucket(ns) + 1);
            }
        }
    }

    #[test]
    fn quantiles_of_known_counts() {
        let mut histogram = Histogram::new();
        histogram.add(Duration::from_nanos(10), 50);
        histogram.add(Duration::from_nanos(40), 49);
        let mut tail = Histogram::new();
        tail.add(Duration::from_micros(64), 1);
        histogram.merge(&tail);
        assert_eq!(histogram.quantile_us(0.5), 0.010);
        assert_eq!(histogram.quantile_us(0.99), 0.040);
        assert!((histogram.quantile_us(1.0) - 64.0).abs() <= 2.0);
        assert_eq!(Histogram::new().quantile_us(0.5), 0.0);
    }
}
