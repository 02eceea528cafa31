//! What `echo` and `http` share: servers in processes of their own, a burst of load on each in
//! turn, and the processor time each spent on it.

use std::io;
use std::time::Duration;

use serde_json::{Value, json};

use crate::arguments::Arguments;
use crate::child::{Child, Role};
use crate::contest::{self, Entry};
use crate::histogram::Histogram;
use crate::load::{Burst, Exchange, Load};
use crate::measure::{self, Usage};
use crate::report::rounded;

/// One comparison of servers.
pub(crate) struct Trial {
    /// What to call it while it runs.
    pub(crate) title: String,
    /// What the servers serve.
    pub(crate) role: Role,
    /// How many connections load each.
    pub(crate) connections: usize,
    /// How many rounds there are.
    pub(crate) rounds: usize,
    /// How long each burst lasts.
    pub(crate) burst: Duration,
}

/// What one burst cost a server.
pub(crate) struct Sample {
    burst: Burst,
    usage: Usage,
}

impl Sample {
    /// Requests answered for each second of processor time of the server.
    pub(crate) fn requests_a_cpu_second(&self) -> f64 {
        self.burst.requests as f64 / (self.usage.total_us() as f64 / 1e6)
    }
}

struct Running {
    child: Child,
    load: Load,
}

impl Trial {
    /// Loads every contender's server in turn; `exchange` says, given a port, what to send.
    pub(crate) fn run(
        &self,
        arguments: &Arguments,
        contenders: &[&'static str],
        exchange: impl Fn(u16) -> io::Result<Exchange>,
    ) -> Vec<Entry<Sample>> {
        // Before this thread keeps to one: both look at where it may run.
        let cores = measure::cores();
        let server_core = measure::server_core();
        if let Some(core) = measure::generator_core() {
            measure::pin(&[core]);
        }
        let entries = contest::interleave(
            &self.title,
            &arguments.select(contenders),
            self.rounds,
            |contender| {
                let mut child = Child::start(self.role, contender, server_core)?;
                let port = child.answer()?.parse().map_err(io::Error::other)?;
                let mut load = Load::connect(port, self.connections, exchange(port)?)?;
                load.burst(self.burst)?;
                Ok(Running { child, load })
            },
            |running| {
                // What the other contenders pushed out of the caches comes back first.
                running.load.burst(self.burst / 10)?;
                let before = running.child.usage()?;
                let burst = running.load.burst(self.burst)?;
                Ok(Sample {
                    burst,
                    usage: running.child.usage()?.since(before),
                })
            },
        );
        measure::pin(&cores);
        entries
    }
}

/// What is printed beside requests a processor second, over all rounds together.
pub(crate) fn extras(samples: &[Sample]) -> Vec<(&'static str, Value)> {
    let sum = |of: fn(&Sample) -> f64| samples.iter().map(of).sum::<f64>();
    let requests = sum(|sample| sample.burst.requests as f64);
    let elapsed = sum(|sample| sample.burst.elapsed.as_secs_f64());
    let user_us = sum(|sample| sample.usage.user_us as f64);
    let system_us = sum(|sample| sample.usage.system_us as f64);
    let generator = sum(|sample| sample.burst.generator_cpu.as_secs_f64());
    let mut latencies = Histogram::new();
    for sample in samples {
        latencies.merge(&sample.burst.latencies);
    }
    vec![
        ("user_us", json!(rounded(user_us / requests))),
        ("system_us", json!(rounded(system_us / requests))),
        ("per_second", json!((requests / elapsed).round() as u64)),
        ("p50_us", json!(rounded(latencies.quantile_us(0.5)))),
        ("p99_us", json!(rounded(latencies.quantile_us(0.99)))),
        ("p999_us", json!(rounded(latencies.quantile_us(0.999)))),
        (
            "server_busy",
            json!(rounded((user_us + system_us) / 1e6 / elapsed)),
        ),
        ("generator_busy", json!(rounded(generator / elapsed))),
    ]
}
