//! The groups of tasks with equal stacks, and the chosen one's stack and tasks.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Paragraph, Row, Table, TableState};

use super::{BOLD, CHOSEN, DIM, HEADING};
use crate::top::format;
use crate::top::snapshot::{Frame as StackFrame, Group, Task};
use crate::top::state::State;

/// Below this height there is no room for groups and a stack at once.
const HEIGHT_BOTH: u16 = 12;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, state: &State) {
    if state.detail {
        draw_group(frame, area, state, None);
        return;
    }
    if area.height < HEIGHT_BOTH {
        draw_groups(frame, area, state);
        return;
    }
    let groups = u16::try_from(state.groups().len()).unwrap_or(u16::MAX);
    // As many lines as there are groups, but room for the stack of the chosen one.
    let above = (groups.saturating_add(1)).clamp(3, area.height / 2);
    let [above, below] =
        Layout::vertical([Constraint::Length(above), Constraint::Fill(1)]).areas(area);
    draw_groups(frame, above, state);
    draw_group(
        frame,
        below,
        state,
        Some(Block::new().borders(Borders::TOP)),
    );
}

fn draw_groups(frame: &mut Frame<'_>, area: Rect, state: &State) {
    let wide = area.width >= 60;
    let rows = state.groups().iter().map(|group| {
        let mut cells = vec![
            format!("{:>7}", format::count(group.count as f64)),
            group.doing().to_owned(),
        ];
        if wide {
            cells.push(format!("{:>7}", format::millis(group.longest_ms())));
        }
        cells.push(group.top().map_or_else(origin(group), short));
        Row::new(cells)
    });
    let mut widths = vec![Constraint::Length(7)];
    let mut titles = vec!["  COUNT", "DOING"];
    if wide {
        widths.push(Constraint::Length(area.width / 3));
        widths.push(Constraint::Length(7));
        titles.push("LONGEST");
    } else {
        widths.push(Constraint::Fill(1));
    }
    widths.push(Constraint::Fill(1));
    titles.push("IN");
    let table = Table::new(rows, widths)
        .header(Row::new(titles).style(HEADING))
        .row_highlight_style(CHOSEN)
        .column_spacing(1);
    let mut selected = TableState::new().with_selected(Some(state.selected));
    frame.render_stateful_widget(table, area, &mut selected);
}

/// Says where tasks without a stack come from.
fn origin(group: &Group) -> impl FnOnce() -> String + '_ {
    || {
        let first = group.tasks.first();
        match first.and_then(|task| task.spawned_at.as_deref()) {
            Some(place) => format!("spawned at {}", last_of_path(place)),
            None => "-".to_owned(),
        }
    }
}

/// Writes a frame in little room: the place without folders, and the last two parts of the
/// function's name without what is in angle brackets.
fn short(frame: &StackFrame) -> String {
    let name = frame.function.as_str();
    let name = match name.find('<') {
        // `<Type as Trait>::function` begins with them.
        Some(0) | None => name,
        Some(at) => name[..at].trim_end_matches("::"),
    };
    let last_two = name.rmatch_indices("::").nth(1);
    let last_two = last_two.filter(|_| !name.contains('<'));
    let function = last_two.map_or(name, |(at, _)| &name[at + 2..]);
    match frame.place() {
        Some(place) => format!("{} {function}", last_of_path(&place)),
        None => function.to_owned(),
    }
}

fn last_of_path(place: &str) -> &str {
    place.rsplit('/').next().unwrap_or(place)
}

fn draw_group(frame: &mut Frame<'_>, area: Rect, state: &State, block: Option<Block<'_>>) {
    let Some(group) = state.selected_group() else {
        return;
    };
    let mut lines = vec![title(group)];
    for called in &group.stack {
        lines.push(Line::from(format!("  {}", called.function)));
        if let Some(place) = called.place() {
            lines.push(Line::styled(format!("      at {place}"), DIM));
        }
    }
    if group.folded > 0 {
        let frames = format!("  ({} frames of the runtime)", group.folded);
        lines.push(Line::styled(frames, DIM));
    }
    lines.extend(group.tasks.iter().map(describe));
    let shown = group.tasks.len() as u64;
    if group.count > shown {
        let more = format!("  and {} more", group.count - shown);
        lines.push(Line::styled(more, DIM));
    }
    // The last line can't be scrolled away.
    let last = u16::try_from(lines.len() - 1).unwrap_or(u16::MAX);
    let mut text = Paragraph::new(lines).scroll((state.scroll.min(last), 0));
    if let Some(block) = block {
        text = text.block(block);
    }
    frame.render_widget(text, area);
}

fn title(group: &Group) -> Line<'static> {
    let tasks = if group.count == 1 { "task" } else { "tasks" };
    Line::from(vec![
        Span::styled(format!("{} {tasks}", group.count), BOLD),
        Span::raw(match (&group.state, &group.reason) {
            (Some(state), Some(reason)) => format!(" {state}, {reason}"),
            _ => format!(" {}", group.doing()),
        }),
    ])
}

/// Describes a task in a line.
fn describe(task: &Task) -> Line<'static> {
    let mut text = format!("  {} {}", task.kind.as_deref().unwrap_or("task"), task.id);
    let mut add = |what: &str, value: Option<String>| {
        if let Some(value) = value {
            text.push_str(what);
            text.push_str(&value);
        }
    };
    add(" ", task.name.as_ref().map(|name| format!("{name:?}")));
    add(
        ", waiting ",
        task.waiting_ms.map(|ms| format::millis(Some(ms))),
    );
    add(" for ", task.object.clone());
    add(" held by ", task.owner.map(|id| id.to_string()));
    add(", age ", task.age_ms.map(|ms| format::millis(Some(ms))));
    add(", parent ", task.parent.map(|id| id.to_string()));
    add(", worker ", task.worker.map(|index| index.to_string()));
    add(", from ", task.spawned_at.clone());
    add(
        ", stack ",
        task.stack_bytes
            .map(|bytes| format!("{} KiB", bytes.div_ceil(1024))),
    );
    Line::from(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_in_little_room() {
        for (function, expected) in [
            ("a::b::c::d", "lib.rs:7 c::d"),
            ("d", "lib.rs:7 d"),
            ("lock<a::b::Raw, u32>", "lib.rs:7 lock"),
            ("a::b::c::{{closure}}", "lib.rs:7 c::{{closure}}"),
            ("a::b::lock::<u32>", "lib.rs:7 b::lock"),
            (
                "<a::T as a::b::C>::call",
                "lib.rs:7 <a::T as a::b::C>::call",
            ),
            ("", "lib.rs:7 "),
        ] {
            let frame = StackFrame {
                function: function.to_owned(),
                file: Some("src/of/lib.rs".to_owned()),
                line: Some(7),
            };
            assert_eq!(short(&frame), expected);
        }
    }
}
