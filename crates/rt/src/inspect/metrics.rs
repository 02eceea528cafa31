//! Counters and gauges: a snapshot, as JSON and in the text form of Prometheus.

use std::fmt::Write as _;
use std::time::Duration;

use ropewalk_kernel::inspect::counters::{self, Reading};
use ropewalk_kernel::wait::Reason;

use super::dump::program;
use super::json::Json;

pub use ropewalk_kernel::inspect::counters::{Counters, Latency};

/// What the runtimes of this process did and have, at a moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Metrics {
    /// The id of this process.
    pub pid: u32,
    /// The name of its executable.
    pub program: String,
    /// The time since the first runtime was started, or somebody else used the clock first.
    pub uptime: Duration,
    /// Coroutines and async tasks that have not ended.
    pub live: u64,
    /// All workers together, those of runtimes that have gone too.
    pub total: Counters,
    /// Each worker of the runtimes that have not gone.
    pub workers: Vec<WorkerMetrics>,
    /// Stacks in use, of coroutines that have begun, and of idle ones that are kept.
    pub stacks_in_use: usize,
    /// Stacks that wait to be used again, with their memory or without.
    pub stacks_pooled: usize,
    /// Address space of all stacks in bytes; the memory in use is far less.
    pub stack_address_bytes: usize,
    /// The most that was found used of a stack, in bytes, by dumps that measured: see
    /// [`DumpOptions::measure_stacks`](super::DumpOptions::measure_stacks).
    pub stack_used_max_bytes: Option<usize>,
    /// Threads of the blocking pool.
    pub blocking_threads: usize,
    /// Those of them that have nothing to do.
    pub blocking_idle: usize,
    /// Jobs that wait for one.
    pub blocking_queued: usize,
    /// Jobs that were ever given to it.
    pub blocking_jobs: u64,
}

/// One worker's.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WorkerMetrics {
    /// The runtime: an index, as in a dump taken at the same time.
    pub runtime: usize,
    /// The worker's index in it.
    pub index: usize,
    /// What it counted.
    pub counters: Counters,
}

/// Reads the counters of all runtimes.
///
/// Costs some microseconds, and nothing to the workers, which count for themselves. Readings
/// of several workers are not of one moment.
///
/// # Examples
///
/// ```
/// let runtime = ropewalk_rt::Runtime::builder().workers(1).build()?;
/// runtime.run(|| ropewalk_rt::coroutine::yield_now());
/// let metrics = ropewalk_rt::inspect::metrics();
/// assert!(metrics.total.spawned >= 1);
/// assert!(metrics.to_prometheus().contains("ropewalk_spawned_total"));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn metrics() -> Metrics {
    Metrics::new(counters::read())
}

impl Metrics {
    fn new(reading: Reading) -> Metrics {
        let workers = reading.workers.into_iter().map(|worker| WorkerMetrics {
            runtime: worker.runtime,
            index: worker.index,
            counters: worker.counters,
        });
        let pooled = reading.stacks.pools.pooled + reading.stacks.slabs.slots_free;
        Metrics {
            pid: std::process::id(),
            program: program(),
            uptime: Duration::from_nanos(reading.uptime_ns),
            live: reading.live,
            total: reading.total,
            workers: workers.collect(),
            stacks_in_use: reading.stacks.in_use,
            stacks_pooled: pooled,
            stack_address_bytes: reading.stacks.slabs.address_bytes,
            stack_used_max_bytes: Some(reading.stack_used_max).filter(|bytes| *bytes != 0),
            blocking_threads: reading.blocking.threads,
            blocking_idle: reading.blocking.idle,
            blocking_queued: reading.blocking.queued,
            blocking_jobs: reading.blocking.submitted,
        }
    }

    /// The metrics as JSON, on one line.
    pub fn to_json(&self) -> String {
        let mut json = Json::default();
        json.object(|json| {
            json.key("pid").integer(self.pid);
            json.key("program").string(&self.program);
            json.key("uptime_ms").integer(self.uptime.as_millis());
            json.key("total").object(|json| {
                write_counters(json, &self.total);
                json.key("live").integer(self.live);
                json.key("stacks_in_use").integer(self.stacks_in_use);
                json.key("stacks_pooled").integer(self.stacks_pooled);
                json.key("stack_address_bytes")
                    .integer(self.stack_address_bytes);
                json.key("stack_used_max_bytes")
                    .option(self.stack_used_max_bytes, Json::integer);
                json.key("blocking_threads").integer(self.blocking_threads);
                json.key("blocking_idle").integer(self.blocking_idle);
                json.key("blocking_queued").integer(self.blocking_queued);
                json.key("blocking_jobs").integer(self.blocking_jobs);
            });
            json.key("workers").array(&self.workers, |json, worker| {
                json.object(|json| {
                    json.key("runtime").integer(worker.runtime);
                    json.key("index").integer(worker.index);
                    write_counters(json, &worker.counters);
                });
            });
        });
        json.finish()
    }

    /// The metrics in the text form that Prometheus reads: version 0.0.4, to be served as
    /// `text/plain; version=0.0.4`.
    ///
    /// Counters have the labels `runtime` and `worker`; both are `other` for what was spawned from
    /// outside the workers, and for what runtimes counted that have gone.
    pub fn to_prometheus(&self) -> String {
        let mut text = String::new();
        for family in FAMILIES {
            let name = family.name;
            let (help, kind) = (family.help, family.kind);
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
            for worker in &self.workers {
                let value = (family.of)(&worker.counters);
                let _ = writeln!(text, "{name}{{{}}} {value}", labels(worker));
            }
            // What was spawned from outside the workers, and what runtimes did that have gone.
            let others = self.workers.iter().map(|one| (family.of)(&one.counters));
            let rest = (family.of)(&self.total).saturating_sub(others.sum());
            let _ = writeln!(text, "{name}{{runtime=\"other\",worker=\"other\"}} {rest}");
        }
        self.write_parks(&mut text);
        self.write_latency(&mut text);
        let mut one = |name: &str, kind: &str, help: &str, value: u64| {
            let _ = writeln!(
                text,
                "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}"
            );
        };
        one(
            "ropewalk_live_tasks",
            "gauge",
            "Coroutines and async tasks that have not ended.",
            self.live,
        );
        one(
            "ropewalk_stacks_in_use",
            "gauge",
            "Stacks that somebody uses.",
            self.stacks_in_use as u64,
        );
        one(
            "ropewalk_stacks_pooled",
            "gauge",
            "Stacks that wait to be used again.",
            self.stacks_pooled as u64,
        );
        one(
            "ropewalk_stack_address_bytes",
            "gauge",
            "Address space of all stacks.",
            self.stack_address_bytes as u64,
        );
        if let Some(bytes) = self.stack_used_max_bytes {
            one(
                "ropewalk_stack_used_max_bytes",
                "gauge",
                "The most that was found used of a stack.",
                bytes as u64,
            );
        }
        one(
            "ropewalk_blocking_threads",
            "gauge",
            "Threads of the blocking pool.",
            self.blocking_threads as u64,
        );
        one(
            "ropewalk_blocking_idle_threads",
            "gauge",
            "Threads of the blocking pool that have nothing to do.",
            self.blocking_idle as u64,
        );
        one(
            "ropewalk_blocking_queue_length",
            "gauge",
            "Jobs that wait for a thread of the blocking pool.",
            self.blocking_queued as u64,
        );
        one(
            "ropewalk_blocking_jobs_total",
            "counter",
            "Jobs given to the blocking pool.",
            self.blocking_jobs,
        );
        text
    }

    fn write_parks(&self, text: &mut String) {
        const NAME: &str = "ropewalk_parks_total";
        let _ = writeln!(
            text,
            "# HELP {NAME} Times that a coroutine parked, by reason.\n# TYPE {NAME} counter"
        );
        for worker in &self.workers {
            for (reason, count) in parks(&worker.counters) {
                let _ = writeln!(
                    text,
                    "{NAME}{{{},reason=\"{}\"}} {count}",
                    labels(worker),
                    escape(reason)
                );
            }
        }
    }

    fn write_latency(&self, text: &mut String) {
        const NAME: &str = "ropewalk_queue_latency_seconds";
        let _ = writeln!(
            text,
            "# HELP {NAME} Time from runnable to running, sampled.\n# TYPE {NAME} histogram"
        );
        for worker in &self.workers {
            let latency = &worker.counters.latency;
            let labels = labels(worker);
            let mut below = 0;
            // From 64 ns to a minute; the buckets in between hold what was below them.
            for (digits, count) in latency.buckets.iter().enumerate().take(37) {
                below += count;
                if digits >= 6 {
                    let bound = (1u64 << digits) as f64 / 1e9;
                    let _ = writeln!(text, "{NAME}_bucket{{{labels},le=\"{bound}\"}} {below}");
                }
            }
            let count = latency.count();
            let sum = latency.sum_ns as f64 / 1e9;
            let _ = writeln!(
                text,
                "{NAME}_bucket{{{labels},le=\"+Inf\"}} {count}\n{NAME}_sum{{{labels}}} {sum}\n\
                 {NAME}_count{{{labels}}} {count}"
            );
        }
    }
}

/// A metric that each worker has.
struct Family {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    of: fn(&Counters) -> u64,
}

const fn counter(name: &'static str, help: &'static str, of: fn(&Counters) -> u64) -> Family {
    let kind = "counter";
    Family {
        name,
        kind,
        help,
        of,
    }
}

const FAMILIES: [Family; 12] = [
    counter(
        "ropewalk_spawned_total",
        "Tasks that the worker's coroutines spawned.",
        |c| c.spawned,
    ),
    counter(
        "ropewalk_started_total",
        "Tasks begun on a stack; async tasks with each poll.",
        |c| c.started,
    ),
    counter("ropewalk_completed_total", "Tasks ended.", |c| c.completed),
    counter("ropewalk_resumed_total", "Coroutines resumed.", |c| {
        c.resumed
    }),
    counter(
        "ropewalk_stolen_total",
        "Batches of unstarted tasks taken from other workers.",
        |c| c.stolen,
    ),
    counter(
        "ropewalk_pending_polls_total",
        "Polls of async tasks that were pending.",
        |c| c.paused,
    ),
    counter(
        "ropewalk_kept_total",
        "Times that one coroutine kept the worker for too long.",
        |c| c.kept,
    ),
    counter("ropewalk_timers_total", "Timers set.", |c| c.timers),
    counter("ropewalk_driver_polls_total", "Looks at the driver.", |c| {
        c.polls
    }),
    counter(
        "ropewalk_driver_batches_total",
        "Looks at the driver that had news.",
        |c| c.batches,
    ),
    counter(
        "ropewalk_driver_completions_total",
        "Completions, or events of readiness.",
        |c| c.completions,
    ),
    Family {
        name: "ropewalk_queue_length",
        kind: "gauge",
        help: "Tasks in the run queue.",
        of: |c| c.queue_len,
    },
];

fn labels(worker: &WorkerMetrics) -> String {
    format!("runtime=\"{}\",worker=\"{}\"", worker.runtime, worker.index)
}

/// The value of a label: Prometheus escapes three characters.
fn escape(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

/// The reasons that were ever parked for, with their counts.
fn parks(counters: &Counters) -> impl Iterator<Item = (&'static str, u64)> {
    let counts = Reason::ALL.into_iter().zip(counters.parks);
    counts
        .filter(|(_, count)| *count != 0)
        .map(|(reason, count)| (reason.as_str(), count))
}

fn write_counters(json: &mut Json, counters: &Counters) {
    for family in &FAMILIES[..11] {
        let name = family.name;
        let name = name.strip_prefix("ropewalk_").unwrap_or(name);
        let name = name.strip_suffix("_total").unwrap_or(name);
        json.key(name).integer((family.of)(counters));
    }
    json.key("queue_len").integer(counters.queue_len);
    let latency = &counters.latency;
    json.key("queue_latency_ns").object(|json| {
        json.key("p50").integer(latency.quantile_ns(0.5));
        json.key("p99").integer(latency.quantile_ns(0.99));
        json.key("max").integer(latency.max_ns);
        json.key("count").integer(latency.count());
        // Of those that count something: below how many nanoseconds, and how many.
        let buckets = (0..).map(|digits| 1u64 << digits).zip(latency.buckets);
        let counting = buckets.filter(|(_, count)| *count != 0);
        json.key("buckets").array(counting, |json, (bound, count)| {
            json.array([bound, count], Json::integer);
        });
    });
    json.key("parks").object(|json| {
        for (reason, count) in parks(counters) {
            json.key(reason).integer(count);
        }
    });
}
