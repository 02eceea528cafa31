//! Who serves which place, and when somebody is to be started, or killed. No process is touched
//! here: the master does what this says.
//!
//! A place has at most one process of the present generation, or a time at which one is started.
//! Besides, there may be processes of earlier generations: serving until that one listens, then
//! told to end.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The first pause before a dead process's successor is started, and the longest.
const PAUSE_FIRST: Duration = Duration::from_millis(50);
const PAUSE_LAST: Duration = Duration::from_secs(10);
/// Who has lived for so long has not died of how it began: the pauses start anew.
const SETTLED: Duration = Duration::from_secs(10);

/// As many deaths in as short a time are a storm.
const STORM_DEATHS_MIN: usize = 5;
const STORM_WITHIN: Duration = Duration::from_secs(60);

/// The processes of a port. `H` is the handle to one.
pub(super) struct Roster<H> {
    places: Vec<Place>,
    pub(super) processes: Vec<Process<H>>,
    pub(super) generation: u64,
    pub(super) stopping: bool,
    deaths: VecDeque<Instant>,
    storm: bool,
}

struct Place {
    pause: Duration,
    start_at: Option<Instant>,
}

/// A process that has not ended.
pub(super) struct Process<H> {
    pub(super) number: u64,
    pub(super) index: usize,
    pub(super) generation: u64,
    pub(super) handle: H,
    pub(super) started: Instant,
    pub(super) ready: bool,
    /// Whether it was told to end.
    pub(super) told: bool,
    pub(super) killed: bool,
    /// When it is to listen, or to have ended.
    pub(super) limit: Option<Instant>,
}

/// What a death leads to.
pub(super) struct Death {
    /// `None` if nobody is started in its place for it.
    pub(super) again_in: Option<Duration>,
    /// How many deaths make it a storm that was not told of.
    pub(super) storm: Option<usize>,
}

impl<H> Roster<H> {
    pub(super) const STORM_WITHIN: Duration = STORM_WITHIN;

    pub(super) fn new(places: usize, now: Instant) -> Roster<H> {
        let place = || Place {
            pause: PAUSE_FIRST,
            start_at: Some(now),
        };
        Roster {
            places: std::iter::repeat_with(place).take(places).collect(),
            processes: Vec::new(),
            generation: 0,
            stopping: false,
            deaths: VecDeque::new(),
            storm: false,
        }
    }

    /// The next place for which somebody is to be started by now; not named again.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<usize> {
        let due = |place: &Place| place.start_at.is_some_and(|at| at <= now);
        let index = self.places.iter().position(due)?;
        self.places[index].start_at = None;
        Some(index)
    }

    /// The next time at which there is something to do.
    pub(super) fn next_time(&self) -> Option<Instant> {
        let starts = self.places.iter().filter_map(|place| place.start_at);
        let limits = self.processes.iter().filter_map(|process| process.limit);
        starts.chain(limits).min()
    }

    pub(super) fn find(&mut self, number: u64) -> Option<&mut Process<H>> {
        let mut processes = self.processes.iter_mut();
        processes.find(|process| process.number == number)
    }

    /// The next process whose limit has passed; it has none any more.
    pub(super) fn take_late(&mut self, now: Instant) -> Option<&mut Process<H>> {
        let late = |process: &&mut Process<H>| process.limit.is_some_and(|limit| limit <= now);
        let process = self.processes.iter_mut().find(late)?;
        process.limit = None;
        process.killed = true;
        Some(process)
    }

    /// Begins a new generation: everybody has a successor started.
    pub(super) fn reload(&mut self, now: Instant) {
        self.generation += 1;
        for place in &mut self.places {
            place.pause = PAUSE_FIRST;
            place.start_at = Some(now);
        }
    }

    /// Starts nobody any more.
    pub(super) fn stop(&mut self) {
        self.stopping = true;
        for place in &mut self.places {
            place.start_at = None;
        }
    }

    /// Takes a process that has ended off the list.
    pub(super) fn remove(&mut self, number: u64) -> Option<Process<H>> {
        let at = self
            .processes
            .iter()
            .position(|process| process.number == number)?;
        Some(self.processes.swap_remove(at))
    }

    /// Notes that a process died which nobody had told to, or that none could be started.
    pub(super) fn note_death(
        &mut self,
        index: usize,
        generation: u64,
        lived: Duration,
        now: Instant,
    ) -> Death {
        self.deaths.push_back(now);
        while let Some(&first) = self.deaths.front()
            && now.duration_since(first) > STORM_WITHIN
        {
            self.deaths.pop_front();
            self.storm = false;
        }
        let deaths = self.deaths.len();
        let is_storm = deaths >= STORM_DEATHS_MIN.max(2 * self.places.len());
        let storm = (is_storm && !self.storm).then_some(deaths);
        self.storm |= is_storm;
        // An earlier generation's has a successor, or soon will.
        if self.stopping || generation < self.generation {
            return Death {
                again_in: None,
                storm,
            };
        }
        let place = &mut self.places[index];
        if lived >= SETTLED {
            place.pause = PAUSE_FIRST;
        }
        let pause = place.pause;
        place.pause = (pause * 2).min(PAUSE_LAST);
        place.start_at = Some(now + pause);
        Death {
            again_in: Some(pause),
            storm,
        }
    }

    /// Whether somebody of an earlier generation is left.
    pub(super) fn is_reloading(&self) -> bool {
        let earlier = |process: &Process<H>| process.generation < self.generation;
        self.processes.iter().any(earlier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(1);

    #[test]
    fn pauses_grow_and_begin_anew() {
        let mut now = Instant::now();
        let mut roster = Roster::<()>::new(2, now);
        assert_eq!(roster.take_due(now), Some(0));
        assert_eq!(roster.take_due(now), Some(1));
        assert_eq!(roster.take_due(now), None);
        let mut pauses = Vec::new();
        for _ in 0..10 {
            let pause = roster.note_death(1, 0, SHORT, now).again_in.unwrap();
            assert_eq!(roster.next_time(), Some(now + pause));
            assert_eq!(roster.take_due(now), None);
            now += pause;
            assert_eq!(roster.take_due(now), Some(1));
            pauses.push(pause.as_millis());
        }
        assert_eq!(pauses[..4], [50, 100, 200, 400]);
        assert_eq!(pauses[9], 10_000);
        let after_long = roster.note_death(1, 0, SETTLED, now).again_in;
        assert_eq!(after_long, Some(PAUSE_FIRST));
        assert_eq!(
            roster.note_death(0, 0, SHORT, now).again_in,
            Some(PAUSE_FIRST)
        );
    }

    #[test]
    fn a_storm_is_told_of_once() {
        let now = Instant::now();
        let mut roster = Roster::<()>::new(2, now);
        let storms: Vec<_> = (0..10)
            .map(|_| roster.note_death(0, 0, SHORT, now).storm)
            .collect();
        assert_eq!(storms[4], Some(5));
        assert_eq!(storms.iter().flatten().count(), 1);
        let later = now + STORM_WITHIN * 2;
        assert_eq!(roster.note_death(0, 0, SHORT, later).storm, None);
        let again: Vec<_> = (0..5)
            .filter_map(|_| roster.note_death(0, 0, SHORT, later).storm)
            .collect();
        assert_eq!(again, [5]);
    }

    #[test]
    fn an_old_generation_is_not_replaced() {
        let now = Instant::now();
        let mut roster = Roster::<()>::new(1, now);
        assert_eq!(roster.take_due(now), Some(0));
        roster.reload(now);
        assert_eq!(roster.take_due(now), Some(0));
        assert!(roster.note_death(0, 0, SHORT, now).again_in.is_none());
        assert!(roster.note_death(0, 1, SHORT, now).again_in.is_some());
        roster.stop();
        assert_eq!(roster.next_time(), None);
    }
}
