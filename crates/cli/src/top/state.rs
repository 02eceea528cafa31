//! What is shown: the latest answers, and what the keys have chosen.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::rates::Rates;
use super::snapshot::{Dump, Group, Metrics};

/// How many past latencies of a worker are kept for its line.
const HISTORY_MAX: usize = 120;

/// Answers to one look.
#[derive(Clone, Debug)]
pub(super) struct Look {
    pub(super) dump: Dump,
    pub(super) metrics: Metrics,
    /// When the metrics came.
    pub(super) at: Instant,
    /// Which connection it came over: over another one, it may be another process.
    pub(super) connection: u32,
}

/// What is drawn below the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tab {
    Tasks,
    Waits,
    Workers,
}

impl Tab {
    pub(super) const ALL: [Tab; 3] = [Tab::Tasks, Tab::Waits, Tab::Workers];

    pub(super) fn title(self) -> &'static str {
        match self {
            Tab::Tasks => "Tasks",
            Tab::Waits => "Waits",
            Tab::Workers => "Workers",
        }
    }
}

/// The order of groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Count,
    Longest,
    Doing,
}

impl Sort {
    pub(super) fn title(self) -> &'static str {
        match self {
            Sort::Count => "count",
            Sort::Longest => "longest wait",
            Sort::Doing => "reason",
        }
    }

    fn next(self) -> Sort {
        match self {
            Sort::Count => Sort::Longest,
            Sort::Longest => Sort::Doing,
            Sort::Doing => Sort::Count,
        }
    }
}

/// What a key asks the caller to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Do {
    Nothing,
    Quit,
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-Z.
    Suspend,
}

/// All that drawing needs.
#[derive(Debug)]
pub(super) struct State {
    pub(super) pid: u32,
    pub(super) look: Option<Look>,
    pub(super) rates: Rates,
    /// Past p99 of the queue latency by runtime and worker, in nanoseconds, the newest last.
    pub(super) history: BTreeMap<(u64, u64), VecDeque<u64>>,
    /// What happened that stops or delays looking: the process's end, an error.
    pub(super) notice: Option<String>,
    pub(super) tab: Tab,
    pub(super) sort: Sort,
    pub(super) paused: bool,
    pub(super) help: bool,
    /// The chosen group's stack has the whole screen.
    pub(super) detail: bool,
    /// Where the chosen group stands.
    pub(super) selected: usize,
    /// Which group it is, to find it again.
    selected_key: Option<String>,
    /// How many lines its stack is scrolled down.
    pub(super) scroll: u16,
}

impl State {
    pub(super) fn new(pid: u32) -> State {
        State {
            pid,
            look: None,
            rates: Rates::default(),
            history: BTreeMap::new(),
            notice: None,
            tab: Tab::Tasks,
            sort: Sort::Count,
            paused: false,
            help: false,
            detail: false,
            selected: 0,
            selected_key: None,
            scroll: 0,
        }
    }

    /// The groups, in the order in which they are shown.
    pub(super) fn groups(&self) -> &[Group] {
        self.look.as_ref().map_or(&[], |look| &look.dump.groups)
    }

    pub(super) fn selected_group(&self) -> Option<&Group> {
        self.groups().get(self.selected)
    }

    /// Takes the answers to a look.
    pub(super) fn update(&mut self, mut look: Look) {
        self.notice = None;
        self.rates = match &self.look {
            Some(before) if before.connection == look.connection => {
                let waited = look.at.saturating_duration_since(before.at);
                Rates::between(&before.metrics, &look.metrics, waited)
            }
            _ => Rates::default(),
        };
        for worker in &look.metrics.workers {
            let key = (worker.runtime, worker.index);
            let past = self.history.entry(key).or_default();
            past.push_back(
                self.rates
                    .latency
                    .get(&key)
                    .map_or(0, |latency| latency.p99),
            );
            if past.len() > HISTORY_MAX {
                past.pop_front();
            }
        }
        let workers = &look.metrics.workers;
        self.history
            .retain(|key, _| workers.iter().any(|w| (w.runtime, w.index) == *key));
        sort(&mut look.dump.groups, self.sort);
        self.look = Some(look);
        self.find_selected();
    }

    /// Finds the chosen group at its new place; if it is gone, stays at the old one.
    fn find_selected(&mut self) {
        let key = self.selected_key.take();
        let groups = self.groups();
        let found = groups.iter().position(|group| Some(group.key()) == key);
        let count = groups.len();
        if found.is_none() {
            self.scroll = 0;
        }
        self.select(found.unwrap_or(self.selected).min(count.saturating_sub(1)));
    }

    fn select(&mut self, at: usize) {
        self.selected = at;
        self.selected_key = self.groups().get(at).map(Group::key);
    }

    fn move_by(&mut self, by: isize) {
        let last = self.groups().len().saturating_sub(1);
        let to = self.selected.saturating_add_signed(by).min(last);
        if to != self.selected {
            self.scroll = 0;
        }
        self.select(to);
    }

    /// Takes a key.
    pub(super) fn press(&mut self, key: KeyEvent) -> Do {
        if key.kind == KeyEventKind::Release {
            return Do::Nothing;
        }
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return match key.code {
                KeyCode::Char('c') => Do::Interrupt,
                KeyCode::Char('z') => Do::Suspend,
                _ => Do::Nothing,
            };
        }
        if self.help {
            // Any key closes it; `q` still quits.
            self.help = false;
            return if key.code == KeyCode::Char('q') {
                Do::Quit
            } else {
                Do::Nothing
            };
        }
        match key.code {
            KeyCode::Char('q') => return Do::Quit,
            KeyCode::Esc if self.detail => self.detail = false,
            KeyCode::Esc => return Do::Quit,
            KeyCode::Char('?' | 'h') => self.help = true,
            KeyCode::Char('p' | ' ') => self.paused = !self.paused,
            KeyCode::Char('s') => self.sort_next(),
            KeyCode::Tab => self.turn(1),
            KeyCode::BackTab => self.turn(Tab::ALL.len() - 1),
            KeyCode::Char(digit @ '1'..='3') => self.tab = Tab::ALL[digit as usize - '1' as usize],
            KeyCode::Enter if self.tab == Tab::Tasks => self.detail = !self.detail,
            KeyCode::Down | KeyCode::Char('j') => self.move_by(1),
            KeyCode::Up | KeyCode::Char('k') => self.move_by(-1),
            KeyCode::Home | KeyCode::Char('g') => self.move_by(isize::MIN),
            KeyCode::End | KeyCode::Char('G') => self.move_by(isize::MAX),
            KeyCode::PageDown => self.scroll = self.scroll.saturating_add(5),
            KeyCode::PageUp => self.scroll = self.scroll.saturating_sub(5),
            _ => {}
        }
        Do::Nothing
    }

    fn turn(&mut self, by: usize) {
        let at = Tab::ALL
            .iter()
            .position(|tab| *tab == self.tab)
            .unwrap_or(0);
        self.tab = Tab::ALL[(at + by) % Tab::ALL.len()];
    }

    fn sort_next(&mut self) {
        self.sort = self.sort.next();
        if let Some(look) = &mut self.look {
            sort(&mut look.dump.groups, self.sort);
        }
        self.find_selected();
    }
}

/// Sorts groups; equal ones stay as the process gave them.
fn sort(groups: &mut [Group], by: Sort) {
    use std::cmp::Reverse;
    match by {
        Sort::Count => groups.sort_by_key(|group| Reverse(group.count)),
        Sort::Longest => groups.sort_by_cached_key(|group| Reverse(group.longest_ms())),
        Sort::Doing => {
            groups.sort_by(|a, b| a.doing().cmp(b.doing()).then(b.count.cmp(&a.count)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::top::view::sample;

    fn press(state: &mut State, code: KeyCode) -> Do {
        state.press(KeyEvent::new(code, KeyModifiers::NONE))
    }

    #[test]
    fn a_chosen_group_stays_chosen() {
        let mut state = State::new(7);
        press(&mut state, KeyCode::Down);
        state.update(sample::look(1000, 0));
        press(&mut state, KeyCode::Char('j'));
        let chosen = state.selected_group().unwrap().doing().to_owned();
        for _ in 0..3 {
            press(&mut state, KeyCode::Char('s'));
            assert_eq!(state.selected_group().unwrap().doing(), chosen);
        }
        let mut look = sample::look(2000, 100);
        look.dump.groups.reverse();
        state.update(look);
        assert_eq!(state.selected_group().unwrap().doing(), chosen);
        // It is gone: its place stays chosen, as far as there is one.
        press(&mut state, KeyCode::End);
        let mut look = sample::look(3000, 200);
        look.dump.groups.truncate(1);
        state.update(look);
        assert_eq!(state.selected, 0);
        state.update(Look {
            dump: Dump::default(),
            ..sample::look(4000, 200)
        });
        assert!(state.selected_group().is_none());
        press(&mut state, KeyCode::Down);
        press(&mut state, KeyCode::Up);
    }

    #[test]
    fn keys() {
        let mut state = State::new(7);
        assert_eq!(press(&mut state, KeyCode::Char('q')), Do::Quit);
        assert_eq!(press(&mut state, KeyCode::Esc), Do::Quit);
        let control = |c| KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL);
        assert_eq!(state.press(control('c')), Do::Interrupt);
        assert_eq!(state.press(control('z')), Do::Suspend);
        press(&mut state, KeyCode::Tab);
        assert_eq!(state.tab, Tab::Waits);
        press(&mut state, KeyCode::BackTab);
        press(&mut state, KeyCode::BackTab);
        assert_eq!(state.tab, Tab::Workers);
        press(&mut state, KeyCode::Char('1'));
        assert_eq!(state.tab, Tab::Tasks);
        press(&mut state, KeyCode::Char('?'));
        assert!(state.help);
        assert_eq!(press(&mut state, KeyCode::Esc), Do::Nothing);
        assert!(!state.help);
        press(&mut state, KeyCode::Enter);
        assert!(state.detail);
        assert_eq!(press(&mut state, KeyCode::Esc), Do::Nothing);
        assert!(!state.detail);
        press(&mut state, KeyCode::Char('p'));
        assert!(state.paused);
    }

    #[test]
    fn another_connection_gives_no_rates() {
        let mut state = State::new(7);
        state.update(sample::look(1000, 0));
        state.update(sample::look(2000, 100));
        assert_eq!(state.rates.resumes, Some(100.0));
        let look = Look {
            connection: 2,
            ..sample::look(3000, 200)
        };
        state.update(look);
        assert_eq!(state.rates.resumes, None);
    }
}
