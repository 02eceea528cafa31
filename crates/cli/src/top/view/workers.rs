//! The workers: how long tasks wait in their run queues before they run.

use ratatui::Frame;
use ratatui::layout::{Constraint, Rect};
use ratatui::widgets::{Row, Table};

use super::HEADING;
use crate::top::format;
use crate::top::snapshot::{Dump, Worker};
use crate::top::state::State;

/// Heights of a line of past values, lowest first.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Below this width there is no room for resumes and past values.
const WIDTH_ALL: u16 = 64;
/// The width of all columns but the last, with the gaps.
const FIXED_WIDTH: u16 = 6 + 6 + 8 + 3 * 7 + 6;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, state: &State) {
    let Some(look) = &state.look else {
        return;
    };
    let wide = area.width >= WIDTH_ALL;
    let room = usize::from(area.width.saturating_sub(FIXED_WIDTH));
    let rows = look.metrics.workers.iter().map(|worker| {
        let max = worker
            .queue_latency_ns
            .as_ref()
            .and_then(|latency| latency.max);
        // The ends of their buckets, which may lie beyond.
        let within = |value: Option<u64>| value.map(|value| value.min(max.unwrap_or(value)));
        let (p50, p99) = quantiles(state, worker);
        let (p50, p99) = (within(p50), within(p99));
        let queued = worker
            .queue_len
            .map_or_else(|| "-".to_owned(), |n| format::count(n as f64));
        let silent = is_silent(&look.dump, worker);
        let mut cells = vec![
            name(state, worker),
            format!("{queued:>6}"),
            format!("{:>7}", nanos(p50)),
            format!("{:>7}", nanos(p99)),
            format!("{:>7}", nanos(max)),
        ];
        if wide {
            let resumes = state.rates.resumes_of_workers.get(&key(worker)).copied();
            cells.insert(2, format!("{:>8}", format::rate(resumes)));
        }
        if silent && !wide {
            cells[0].push_str(" busy");
        } else if silent {
            cells.push("computes: it did not answer".to_owned());
        } else if wide {
            cells.push(past(state, worker, room));
        }
        Row::new(cells)
    });
    let mut titles = vec!["WORKER", "QUEUED", "    p50", "    p99", "    MAX"];
    let mut widths = vec![6, 6, 7, 7, 7];
    if wide {
        titles.insert(2, " RESUMES");
        widths.insert(2, 8);
        titles.push("p99 OF QUEUE LATENCY");
    }
    let mut widths: Vec<_> = widths.into_iter().map(Constraint::Length).collect();
    if wide {
        widths.push(Constraint::Fill(1));
    }
    let table = Table::new(rows, widths)
        .header(Row::new(titles).style(HEADING))
        .column_spacing(1);
    frame.render_widget(table, area);
}

fn key(worker: &Worker) -> (u64, u64) {
    (worker.runtime, worker.index)
}

/// The median and the 99th percentile of what ran since the look before; since the process began
/// while there has been one look only.
fn quantiles(state: &State, worker: &Worker) -> (Option<u64>, Option<u64>) {
    match state.rates.latency.get(&key(worker)) {
        Some(latency) => (Some(latency.p50), Some(latency.p99)),
        None if state.rates.resumes.is_some() => (None, None),
        None => {
            let ever = worker.queue_latency_ns.as_ref();
            (
                ever.and_then(|latency| latency.p50),
                ever.and_then(|latency| latency.p99),
            )
        }
    }
}

/// The last values that there is room for, as bars.
fn past(state: &State, worker: &Worker, room: usize) -> String {
    state
        .history
        .get(&key(worker))
        .map_or_else(String::new, |past| {
            let from = past.len().saturating_sub(room);
            line(past.iter().skip(from).copied())
        })
}

/// Says whether the worker did not answer the dump in time.
fn is_silent(dump: &Dump, worker: &Worker) -> bool {
    let runtime = usize::try_from(worker.runtime).ok();
    let runtime = runtime.and_then(|at| dump.runtimes.get(at));
    runtime.is_some_and(|runtime| runtime.silent_workers.contains(&worker.index))
}

/// The worker's number, with its runtime's if there are several.
fn name(state: &State, worker: &Worker) -> String {
    let Some(look) = &state.look else {
        return worker.index.to_string();
    };
    let several = look
        .metrics
        .workers
        .iter()
        .any(|w| w.runtime != worker.runtime);
    if several {
        format!("{}.{}", worker.runtime, worker.index)
    } else {
        worker.index.to_string()
    }
}

fn nanos(ns: Option<u64>) -> String {
    ns.map_or_else(
        || "-".to_owned(),
        |ns| format::time(std::time::Duration::from_nanos(ns)),
    )
}

/// Draws values as bars next to each other, relative to the highest.
fn line(values: impl Iterator<Item = u64> + Clone) -> String {
    let most = values.clone().max().unwrap_or(0).max(1);
    let step = |value: u64| {
        let at = value.saturating_mul(BARS.len() as u64 - 1).div_ceil(most);
        BARS[usize::try_from(at).unwrap_or(0).min(BARS.len() - 1)]
    };
    values.map(step).collect()
}
