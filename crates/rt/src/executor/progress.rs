//! Who is told how far a map is.

/// Is told how far a map over a pool has come; see [`Map::with_progress`](super::Map::with_progress).
///
/// It is called by whoever takes the results, inside `next`, so it may wait, and needs no lock of its own.
/// Closures of the form `|done, total|` are observers too.
///
/// # Examples
///
/// ```
/// use ropewalk_rt::executor::{CoroutinePool, RunTask};
///
/// let pool = CoroutinePool::new(2);
/// let mut last = (0, None);
/// let seen = |done, total| last = (done, total);
/// let squares: Vec<u32> = pool
///     .map(|n: u32| n * n, 1..=10)
///     .with_progress(seen)
///     .map(Result::unwrap)
///     .collect();
/// assert_eq!(squares.len(), 10);
/// assert_eq!(last, (10, Some(10)));
/// ```
pub trait Progress {
    /// The first result is asked for; there are `total` items, if the input knows.
    fn started(&mut self, total: Option<u64>) {
        let _ = total;
    }

    /// `done` items are over by now, with or without a value; they may not have been given yet. Never less than
    /// before.
    fn advanced(&mut self, done: u64, total: Option<u64>);

    /// There will be no more: all are over, or the map was dropped or its time was over. Called once,
    /// if [`started`](Self::started) was.
    fn finished(&mut self) {}
}

impl<F: FnMut(u64, Option<u64>)> Progress for F {
    fn advanced(&mut self, done: u64, total: Option<u64>) {
        self(done, total);
    }
}

/// Draws it: the bar gets the total as its length, if it has none, and is left as it is at the end.
#[cfg(feature = "progress")]
impl Progress for indicatif::ProgressBar {
    fn started(&mut self, total: Option<u64>) {
        if let Some(total) = total
            && self.length().is_none_or(|length| length == 0)
        {
            self.set_length(total);
        }
    }

    fn advanced(&mut self, done: u64, _total: Option<u64>) {
        self.set_position(done);
    }

    fn finished(&mut self) {
        match self.length() {
            Some(length) if self.position() < length => self.abandon(),
            _ => self.finish(),
        }
    }
}

/// An observer with what it was told.
pub(super) struct Watched<'p> {
    observer: Box<dyn Progress + Send + 'p>,
    total: Option<u64>,
    started: bool,
    finished: bool,
}

impl<'p> Watched<'p> {
    pub(super) fn new(observer: impl Progress + Send + 'p) -> Watched<'p> {
        Watched {
            observer: Box::new(observer),
            total: None,
            started: false,
            finished: false,
        }
    }

    pub(super) fn start(&mut self, total: Option<u64>) {
        if !self.started {
            self.started = true;
            self.total = total;
            self.observer.started(total);
        }
    }

    pub(super) fn advance(&mut self, done: u64) {
        self.observer.advanced(done, self.total);
    }

    pub(super) fn finish(&mut self) {
        if self.started && !self.finished {
            self.finished = true;
            self.observer.finished();
        }
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.finish();
    }
}
