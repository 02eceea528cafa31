//! What happened between two looks, a second.
//!
//! Time is the process's own, since its start, so that neither a clock that steps nor a slow answer
//! counts. Two looks are only compared when they are of the same process: it is another one with
//! the same number if its uptime or any of its totals went back, or if its uptime grew by much more
//! than we waited (it can't have lived while we weren't looking). Then there are no rates until the
//! next look.

use std::collections::BTreeMap;
use std::time::Duration;

use super::snapshot::{Latency, Metrics, Worker};

/// How much more than the time between two looks the uptime may have grown.
const SLACK: Duration = Duration::from_secs(2);

/// Differences, a second; `None` where they aren't known.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Rates {
    pub(super) resumes: Option<f64>,
    pub(super) spawns: Option<f64>,
    pub(super) steals: Option<f64>,
    /// By runtime and index.
    pub(super) resumes_of_workers: BTreeMap<(u64, u64), f64>,
    pub(super) parks: BTreeMap<String, f64>,
    /// Of what ran in between, by runtime and index.
    pub(super) latency: BTreeMap<(u64, u64), Quantiles>,
}

/// How long tasks waited in a run queue: half of them and 99% no longer than this, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Quantiles {
    pub(super) p50: u64,
    pub(super) p99: u64,
}

impl Rates {
    /// Compares two looks, with this much time on our own clock between them.
    pub(super) fn between(before: &Metrics, after: &Metrics, waited: Duration) -> Rates {
        let Some(seconds) = seconds(before, after, waited) else {
            return Rates::default();
        };
        let rate = |before: Option<u64>, after: Option<u64>| {
            after?
                .checked_sub(before?)
                .map(|count| count as f64 / seconds)
        };
        let workers: BTreeMap<_, _> = before.workers.iter().map(|w| (key(w), w)).collect();
        let mut resumes_of_workers = BTreeMap::new();
        let mut latency = BTreeMap::new();
        for worker in &after.workers {
            let Some(earlier) = workers.get(&key(worker)) else {
                continue;
            };
            let resumes = rate(earlier.resumes, worker.resumes);
            resumes_of_workers.extend(resumes.map(|rate| (key(worker), rate)));
            let both = earlier
                .queue_latency_ns
                .as_ref()
                .zip(worker.queue_latency_ns.as_ref());
            let quantiles = both.and_then(|(before, after)| quantiles(before, after));
            latency.extend(quantiles.map(|quantiles| (key(worker), quantiles)));
        }
        let earlier = before.parks();
        let parks = after
            .parks()
            .into_iter()
            .filter_map(|(reason, count)| {
                let earlier = earlier.get(reason).copied().unwrap_or(0);
                Some((reason.to_owned(), rate(Some(earlier), Some(count))?))
            })
            .collect();
        Rates {
            resumes: rate(before.total.resumes, after.total.resumes),
            spawns: rate(before.total.spawns, after.total.spawns),
            steals: rate(before.total.steals, after.total.steals),
            resumes_of_workers,
            parks,
            latency,
        }
    }
}

/// Quantiles of what was counted between two looks; `None` if nothing was.
fn quantiles(before: &Latency, after: &Latency) -> Option<Quantiles> {
    let earlier: BTreeMap<u64, u64> = before.buckets.iter().copied().collect();
    let mut counts = Vec::new();
    for (bound, count) in &after.buckets {
        let count = count.checked_sub(earlier.get(bound).copied().unwrap_or(0))?;
        counts.push((*bound, count));
    }
    counts.sort_unstable();
    let all: u64 = counts.iter().map(|(_, count)| count).sum();
    let quantile = |share: f64| {
        let wanted = ((all as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        let reached = counts.iter().find(|(_, count)| {
            seen += count;
            seen >= wanted
        });
        reached.map(|(bound, _)| *bound)
    };
    Some(Quantiles {
        p50: quantile(0.5)?,
        p99: quantile(0.99)?,
    })
}

fn key(worker: &Worker) -> (u64, u64) {
    (worker.runtime, worker.index)
}

/// The process's own time between two looks; `None` if they can't be compared.
fn seconds(before: &Metrics, after: &Metrics, waited: Duration) -> Option<f64> {
    let passed = Duration::from_millis(after.uptime_ms?.checked_sub(before.uptime_ms?)?);
    let went_back = [
        (before.total.resumes, after.total.resumes),
        (before.total.spawns, after.total.spawns),
        (before.total.steals, after.total.steals),
    ]
    .into_iter()
    .any(|(before, after)| {
        before
            .zip(after)
            .is_some_and(|(before, after)| after < before)
    });
    if passed.is_zero() || went_back || passed > waited * 2 + SLACK {
        return None;
    }
    Some(passed.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::top::snapshot::Total;

    const SECOND: Duration = Duration::from_secs(1);

    fn look(uptime_ms: u64, count: u64) -> Metrics {
        let worker = Worker {
            resumes: Some(count),
            parks: BTreeMap::from([("sleeping".to_owned(), count)]),
            ..Worker::default()
        };
        Metrics {
            uptime_ms: Some(uptime_ms),
            total: Total {
                resumes: Some(count),
                spawns: Some(count / 2),
                steals: None,
                ..Total::default()
            },
            workers: vec![worker],
            ..Metrics::default()
        }
    }

    #[test]
    fn differences_a_second() {
        let rates = Rates::between(&look(10_000, 100), &look(12_000, 500), 2 * SECOND);
        assert_eq!(rates.resumes, Some(200.0));
        assert_eq!(rates.spawns, Some(100.0));
        assert_eq!(rates.steals, None);
        assert_eq!(rates.resumes_of_workers[&(0, 0)], 200.0);
        assert_eq!(rates.parks["sleeping"], 200.0);
    }

    #[test]
    fn another_process_is_not_compared() {
        let before = look(10_000, 100);
        for (after, what) in [
            (look(500, 900), "its uptime went back"),
            (look(11_000, 50), "its totals went back"),
            (look(90_000, 900), "it has lived longer than we waited"),
            (look(10_000, 100), "no time has passed"),
            (Metrics::default(), "nothing is known"),
        ] {
            assert_eq!(
                Rates::between(&before, &after, SECOND),
                Rates::default(),
                "{what}"
            );
        }
    }

    #[test]
    fn latency_of_what_ran_in_between() {
        let latency = |buckets: &[(u64, u64)]| Latency {
            buckets: buckets.to_vec(),
            ..Latency::default()
        };
        let before = latency(&[(1024, 1_000_000)]);
        let after = latency(&[(1024, 1_000_060), (4096, 39), (1 << 20, 1)]);
        let expected = Quantiles {
            p50: 1024,
            p99: 4096,
        };
        assert_eq!(quantiles(&before, &after), Some(expected));
        assert_eq!(quantiles(&after, &after), None, "nothing ran");
        assert_eq!(quantiles(&after, &before), None, "it went back");
        assert_eq!(quantiles(&latency(&[]), &latency(&[])), None);
    }

    #[test]
    fn what_is_new_counts_from_nothing() {
        let mut before = look(1000, 0);
        before.workers.clear();
        let rates = Rates::between(&before, &look(2000, 10), SECOND);
        assert_eq!(rates.parks["sleeping"], 10.0);
        assert!(rates.resumes_of_workers.is_empty());
    }
}
