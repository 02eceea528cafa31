//! What is on the screen, drawn into memory.

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::{draw, sample};
use crate::top::state::State;

fn screen(state: &State, width: u16, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, state)).unwrap();
    let buffer = terminal.backend().buffer();
    let cells: Vec<&str> = buffer.content().iter().map(|cell| cell.symbol()).collect();
    let lines = cells.chunks(usize::from(width));
    lines.map(|line| line.concat()).collect()
}

fn press(state: &mut State, code: KeyCode) {
    state.press(KeyEvent::new(code, KeyModifiers::NONE));
}

fn looked() -> State {
    let mut state = State::new(7);
    state.update(sample::look(61_000, 1000));
    state.update(sample::look(62_000, 3500));
    state
}

/// The first line that holds all these.
fn line<'a>(screen: &'a [String], words: &[&str]) -> &'a str {
    let found = screen
        .iter()
        .find(|line| words.iter().all(|word| line.contains(word)));
    found.unwrap_or_else(|| panic!("no line with {words:?}:\n{}", screen.join("\n")))
}

#[test]
fn before_the_first_answer() {
    let state = State::new(7);
    line(&screen(&state, 80, 24), &["pid 7"]);
    line(&screen(&state, 80, 24), &["waiting for an answer"]);
}

#[test]
fn the_header_says_who_and_how_fast() {
    let screen = screen(&looked(), 80, 24);
    line(
        &screen,
        &["mail-room", "pid 7", "up 1m02s", "2 workers", "io_uring"],
    );
    line(
        &screen,
        &[
            "1.0k live",
            "2.5k/s resumes",
            "2.5k/s spawns",
            "0/s steals",
            "1.0k stacks",
        ],
    );
}

#[test]
fn groups_and_the_stack_of_the_chosen_one() {
    let mut state = looked();
    let before = screen(&state, 80, 24);
    line(
        &before,
        &["1.0k", "sleeping", "1.5s", "letter::wait", "letter.rs:31"],
    );
    line(&before, &["11", "locking", "1m01s", "ledger::enter"]);
    line(&before, &["fresh", "spawned at bell.rs:3"]);
    line(&before, &["1000 tasks parked, sleeping"]);
    line(&before, &["main::{closure}"]);
    line(&before, &["4 frames of the runtime"]);
    line(
        &before,
        &["coroutine 4", "letter 4", "waiting 1.5s", "age 1m05s"],
    );
    line(&before, &["and 998 more"]);
    press(&mut state, KeyCode::Down);
    let after = screen(&state, 120, 24);
    line(&after, &["11 tasks parked, locking"]);
    line(
        &after,
        &["coroutine 9", "waiting 1m01s", "for 0x7f00aa", "held by 4"],
    );
    press(&mut state, KeyCode::Enter);
    let detail = screen(&state, 80, 24);
    line(&detail, &["at src/ledger.rs:8"]);
    assert!(!detail.iter().any(|line| line.contains("letter::wait")));
}

#[test]
fn the_order_of_groups() {
    let mut state = looked();
    press(&mut state, KeyCode::Char('s'));
    let shown = screen(&state, 80, 24);
    line(&shown, &["by longest wait"]);
    let place = |what: &str| shown.iter().position(|line| line.contains(what)).unwrap();
    assert!(place("locking") < place("sleeping"));
}

#[test]
fn waits_by_reason() {
    let mut state = looked();
    press(&mut state, KeyCode::Tab);
    let screen = screen(&state, 80, 24);
    line(
        &screen,
        &["sleeping", "1.0k", "1.5s", "2.5k/s", "3.5k", "■■■■■■■■■■"],
    );
    line(&screen, &["locking", "11", "1m01s", "■"]);
    line(&screen, &["receiving", "0/s", "17"]);
}

#[test]
fn workers_and_their_queues() {
    let mut state = looked();
    press(&mut state, KeyCode::Char('3'));
    let screen = screen(&state, 80, 24);
    line(&screen, &["0", "3", "2.5k/s", "1µs", "1µs", "2.3ms", "█"]);
    line(&screen, &["1", "computes"]);
}

#[test]
fn the_end_of_the_process_is_said_and_the_last_look_stays() {
    let mut state = looked();
    state.notice = Some("process 7 ended".to_owned());
    for (width, height) in [(80, 24), (40, 10)] {
        let screen = screen(&state, width, height);
        line(&screen, &["process 7 ended"]);
        line(&screen, &["sleeping"]);
    }
}

#[test]
fn pause_and_help() {
    let mut state = looked();
    press(&mut state, KeyCode::Char('p'));
    line(&screen(&state, 80, 24), &["paused", "mail-room"]);
    press(&mut state, KeyCode::Char('?'));
    line(&screen(&state, 80, 24), &["PgUp", "scroll its stack"]);
    line(&screen(&state, 40, 10), &["Enter", "full screen"]);
}

#[test]
fn every_size_and_pane_can_be_drawn() {
    let mut state = looked();
    for key in ['1', '2', '3', '?'] {
        press(&mut state, KeyCode::Char(key));
        for (width, height) in [
            (1, 1),
            (2, 3),
            (10, 4),
            (20, 5),
            (40, 10),
            (80, 24),
            (300, 100),
        ] {
            screen(&state, width, height);
            screen(&State::new(7), width, height);
        }
    }
    let mut state = looked();
    press(&mut state, KeyCode::Enter);
    for _ in 0..50 {
        press(&mut state, KeyCode::PageDown);
    }
    screen(&state, 1, 1);
    line(&screen(&state, 80, 24), &["and 998 more"]);
}

#[test]
fn a_small_terminal_shows_what_matters() {
    let mut state = looked();
    let tasks = screen(&state, 40, 10);
    line(&tasks, &["mail-room", "pid 7"]);
    line(&tasks, &["1.0k", "sleeping", "letter.rs:31"]);
    line(&tasks, &["11", "locking"]);
    press(&mut state, KeyCode::Tab);
    line(&screen(&state, 40, 10), &["sleeping", "1.0k", "1.5s"]);
    press(&mut state, KeyCode::Tab);
    let workers = screen(&state, 40, 10);
    line(&workers, &["p50", "p99", "MAX"]);
    line(&workers, &["0", "1µs", "2.3ms"]);
    line(&workers, &["1", "busy"]);
}
