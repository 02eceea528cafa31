//! What tasks wait for, and how often they have parked for it.

use std::collections::BTreeMap;

use ratatui::Frame;
use ratatui::layout::{Constraint, Rect};
use ratatui::widgets::{Row, Table};

use super::HEADING;
use crate::top::format;
use crate::top::state::State;

/// Below this width there is no room for parks.
const WIDTH_ALL: u16 = 64;

/// The tasks that wait for one reason.
#[derive(Clone, Copy, Debug, Default)]
struct Waiting {
    now: u64,
    longest_ms: Option<u64>,
    parks: u64,
}

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, state: &State) {
    let reasons = reasons(state);
    let most = reasons
        .iter()
        .map(|(_, waiting)| waiting.now)
        .max()
        .unwrap_or(0);
    let wide = area.width >= WIDTH_ALL;
    let rows = reasons.iter().map(|(reason, waiting)| {
        let mut cells = vec![
            (*reason).to_owned(),
            format!("{:>7}", format::count(waiting.now as f64)),
            format!("{:>7}", format::millis(waiting.longest_ms)),
        ];
        if wide {
            let rate = state.rates.parks.get(*reason).copied();
            cells.push(format!("{:>7}", format::rate(rate)));
            cells.push(format!("{:>7}", format::count(waiting.parks as f64)));
            cells.push(bar(waiting.now, most));
        }
        Row::new(cells)
    });
    let mut titles = vec!["WAITING FOR", "    NOW", "LONGEST"];
    let mut widths = vec![
        Constraint::Fill(1),
        Constraint::Length(7),
        Constraint::Length(7),
    ];
    if wide {
        titles.extend(["PARKS/s", "  PARKS"]);
        widths[0] = Constraint::Length((area.width / 3).min(36));
        widths.extend([
            Constraint::Length(7),
            Constraint::Length(7),
            Constraint::Fill(1),
        ]);
    }
    let table = Table::new(rows, widths)
        .header(Row::new(titles).style(HEADING))
        .column_spacing(1);
    frame.render_widget(table, area);
}

/// Returns what is waited for, by most first; nothing that waits for nothing.
fn reasons(state: &State) -> Vec<(&str, Waiting)> {
    let mut reasons: BTreeMap<&str, Waiting> = BTreeMap::new();
    let Some(look) = &state.look else {
        return Vec::new();
    };
    for group in &look.dump.groups {
        let Some(reason) = group.reason.as_deref() else {
            continue;
        };
        let waiting = reasons.entry(reason).or_default();
        waiting.now += group.count;
        waiting.longest_ms = waiting.longest_ms.max(group.longest_ms());
    }
    for (reason, parks) in look.metrics.parks() {
        if parks > 0 {
            reasons.entry(reason).or_default().parks = parks;
        }
    }
    let mut reasons: Vec<_> = reasons.into_iter().collect();
    reasons.sort_by_key(|(_, waiting)| std::cmp::Reverse((waiting.now, waiting.parks)));
    reasons
}

/// A bar as long as this share of the most; something is never nothing.
fn bar(now: u64, most: u64) -> String {
    const WIDTH: u64 = 20;
    if now == 0 || most == 0 {
        return String::new();
    }
    let cells = (now.saturating_mul(WIDTH) / most).clamp(1, WIDTH);
    "■".repeat(usize::try_from(cells).unwrap_or(0))
}
