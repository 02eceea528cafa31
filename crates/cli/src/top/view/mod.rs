//! Drawing: a header, one of three panes, a line of keys.

#[cfg(test)]
pub(super) mod sample;
mod tasks;
#[cfg(test)]
mod tests;
mod waits;
mod workers;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph, Wrap};

use super::format;
use super::state::{State, Tab};

const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
const DIM: Style = Style::new().add_modifier(Modifier::DIM);
const CHOSEN: Style = Style::new().add_modifier(Modifier::REVERSED);
const NOTICE: Style = Style::new().fg(Color::Red).add_modifier(Modifier::BOLD);
const HEADING: Style = Style::new().fg(Color::Cyan).add_modifier(Modifier::BOLD);

/// Draws everything.
pub(super) fn draw(frame: &mut Frame<'_>, state: &State) {
    let [header, totals, tabs, body, footer] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Fill(1),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    draw_header(frame, header, state);
    draw_totals(frame, totals, state);
    draw_tabs(frame, tabs, state);
    if state.look.is_none() {
        frame.render_widget(Paragraph::new("waiting for an answer"), body);
    } else {
        match state.tab {
            Tab::Tasks => tasks::draw(frame, body, state),
            Tab::Waits => waits::draw(frame, body, state),
            Tab::Workers => workers::draw(frame, body, state),
        }
    }
    draw_footer(frame, footer, state);
    if state.help {
        draw_help(frame);
    }
}

fn draw_header(frame: &mut Frame<'_>, area: Rect, state: &State) {
    let mut line = Line::default();
    if let Some(notice) = &state.notice {
        line.push_span(Span::styled(format!("{notice}  "), NOTICE));
    } else if state.paused {
        line.push_span(Span::styled("paused  ", NOTICE));
    }
    let look = state.look.as_ref();
    let program = look.map(|look| match look.metrics.program.as_str() {
        "" => look.dump.program.as_str(),
        program => program,
    });
    let program = program.unwrap_or("ropewalk top");
    let file = program.rsplit('/').next().unwrap_or(program);
    line.push_span(Span::styled(file.to_owned(), BOLD));
    line.push_span(format!("  pid {}", state.pid));
    if let Some(look) = look {
        let up = format::millis(look.metrics.uptime_ms);
        line.push_span(format!("  up {up}"));
        let workers: u64 = look
            .dump
            .runtimes
            .iter()
            .map(|runtime| runtime.workers)
            .sum();
        let plural = if workers == 1 { "" } else { "s" };
        line.push_span(format!("  {workers} worker{plural}"));
        let mut drivers: Vec<&str> = look
            .dump
            .runtimes
            .iter()
            .filter_map(|runtime| runtime.driver.as_deref())
            .collect();
        drivers.dedup();
        line.push_span(format!(" {}", drivers.join(" ")));
    }
    frame.render_widget(line, area);
}

fn draw_totals(frame: &mut Frame<'_>, area: Rect, state: &State) {
    let Some(look) = &state.look else {
        return;
    };
    let live: u64 = look.dump.runtimes.iter().map(|runtime| runtime.live).sum();
    let rates = &state.rates;
    let mut line = Line::default();
    // The most telling first: a narrow terminal cuts the rest off.
    let known = |count: Option<u64>| count.map(|count| format::count(count as f64));
    for (value, name) in [
        (Some(format::count(live as f64)), "live"),
        (Some(format::rate(rates.resumes)), "resumes"),
        (Some(format::rate(rates.spawns)), "spawns"),
        (Some(format::rate(rates.steals)), "steals"),
        (known(look.metrics.total.stacks_in_use), "stacks"),
    ] {
        let Some(value) = value else { continue };
        line.push_span(Span::styled(value, BOLD));
        line.push_span(format!(" {name}  "));
    }
    frame.render_widget(line, area);
}

fn draw_tabs(frame: &mut Frame<'_>, area: Rect, state: &State) {
    let mut line = Line::default();
    for (number, tab) in Tab::ALL.into_iter().enumerate() {
        let style = if tab == state.tab {
            CHOSEN
        } else {
            Style::new()
        };
        line.push_span(Span::styled(
            format!(" {} {} ", number + 1, tab.title()),
            style,
        ));
    }
    if state.tab == Tab::Tasks {
        line.push_span(Span::styled(format!("  by {}", state.sort.title()), DIM));
    }
    frame.render_widget(line, area);
}

fn draw_footer(frame: &mut Frame<'_>, area: Rect, state: &State) {
    let mut line = Line::default();
    for (key, what) in [
        ("q", "quit"),
        ("Tab", "next"),
        ("?", "help"),
        ("p", if state.paused { "go on" } else { "pause" }),
        ("s", "sort"),
        ("Enter", "stack"),
    ] {
        line.push_span(Span::styled(key, BOLD));
        line.push_span(format!(" {what}  "));
    }
    frame.render_widget(line.style(DIM), area);
}

const HELP: &str = "\
q Esc Ctrl-C   quit
Tab 1 2 3      tasks, waits, workers
up down j k    choose a group
g G            the first, the last
Enter          its stack, full screen
PgUp PgDn      scroll its stack
s              sort by another column
p space        pause, go on";

fn draw_help(frame: &mut Frame<'_>) {
    let area = frame.area();
    let height = u16::try_from(HELP.lines().count()).unwrap_or(u16::MAX) + 2;
    let [area] = Layout::vertical([Constraint::Length(height)])
        .flex(ratatui::layout::Flex::Center)
        .areas(area);
    let [area] = Layout::horizontal([Constraint::Length(42)])
        .flex(ratatui::layout::Flex::Center)
        .areas(area);
    frame.render_widget(Clear, area);
    let help = Paragraph::new(HELP).wrap(Wrap { trim: false });
    frame.render_widget(help.block(Block::bordered().title(" keys ")), area);
}
