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
/// The width of all columns but the last.
const FIXED_WIDTH: u16 = 6 + 6 + 8 + 3 * 7 + 6;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, state: &State) {
    let Some(look) = &state.look else {
        return;
    };
    let room = usize::from(area.width.saturating_sub(FIXED_WIDTH));
    let rows = look.metrics.workers.iter().map(|worker| {
        let key = (worker.runtime, worker.index);
        let latency = worker.queue_latency_ns.unwrap_or_default();
        let queued = worker
            .queue_len
            .map_or_else(|| "-".to_owned(), |n| format::count(n as f64));
        let resumes = state.rates.resumes_of_workers.get(&key).copied();
        Row::new([
            name(state, worker),
            format!("{queued:>6}"),
            format!("{:>8}", format::rate(resumes)),
            format!("{:>7}", nanos(latency.p50)),
            format!("{:>7}", nanos(latency.p99)),
            format!("{:>7}", nanos(latency.max)),
            if is_silent(&look.dump, worker) {
                "computes: it did not answer".to_owned()
            } else {
                state.history.get(&key).map_or_else(String::new, |past| {
                    let from = past.len().saturating_sub(room);
                    line(past.iter().skip(from).copied())
                })
            },
        ])
    });
    let titles = [
        "WORKER",
        "QUEUED",
        " RESUMES",
        "    p50",
        "    p99",
        "    MAX",
        "p99 OF QUEUE LATENCY",
    ];
    let widths = [
        Constraint::Length(6),
        Constraint::Length(6),
        Constraint::Length(8),
        Constraint::Length(7),
        Constraint::Length(7),
        Constraint::Length(7),
        Constraint::Fill(1),
    ];
    let table = Table::new(rows, widths)
        .header(Row::new(titles).style(HEADING))
        .column_spacing(1);
    frame.render_widget(table, area);
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
