//! What happens to the processes of a port, for observers and for people.

use std::fmt;
use std::process::ExitStatus;
use std::time::Duration;

/// Something that happened to the processes of a port.
///
/// `Display` says it in a sentence.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A process was started.
    Started {
        /// Its place, from 0.
        index: usize,
        /// Its id.
        pid: u32,
        /// How many reloads came before it.
        generation: u64,
    },
    /// A process listens.
    Ready {
        /// Its place.
        index: usize,
        /// Its id.
        pid: u32,
    },
    /// A process ended as it was told to.
    Ended {
        /// Its place.
        index: usize,
        /// Its id.
        pid: u32,
        /// How.
        status: ExitStatus,
    },
    /// A process ended without having been told to.
    Died {
        /// Its place.
        index: usize,
        /// Its id.
        pid: u32,
        /// How.
        status: ExitStatus,
        /// When another is started; `None` if its successor is there already.
        again_in: Option<Duration>,
    },
    /// A process could not be started.
    NotStarted {
        /// Its place.
        index: usize,
        /// Why.
        error: String,
        /// When it is tried again.
        again_in: Duration,
    },
    /// A process did not listen in time, and is killed.
    NotReady {
        /// Its place.
        index: usize,
        /// Its id.
        pid: u32,
    },
    /// So many processes died within a short time: something is wrong with all of them.
    Storm {
        /// How many.
        deaths: usize,
        /// In how short a time.
        within: Duration,
    },
    /// A reload began.
    Reloading {
        /// How many there have been, with this one.
        generation: u64,
    },
    /// No process from before the last reload is left.
    Reloaded {
        /// How many reloads there have been.
        generation: u64,
    },
    /// All processes are told to end.
    Stopping,
    /// A process did not end in time, and is killed.
    Killed {
        /// Its place.
        index: usize,
        /// Its id.
        pid: u32,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Started {
                index,
                pid,
                generation,
            } => write!(
                f,
                "process {pid} (place {index}, generation {generation}) was started"
            ),
            Event::Ready { index, pid } => write!(f, "process {pid} (place {index}) listens"),
            Event::Ended { index, pid, status } => {
                write!(
                    f,
                    "process {pid} (place {index}) ended as it was told to: {status}"
                )
            }
            Event::Died {
                index,
                pid,
                status,
                again_in,
            } => {
                write!(f, "process {pid} (place {index}) died: {status}")?;
                match again_in {
                    Some(pause) => write!(f, "; another is started in {pause:?}"),
                    None => f.write_str("; its successor is there already"),
                }
            }
            Event::NotStarted {
                index,
                error,
                again_in,
            } => write!(
                f,
                "no process could be started for place {index}: {error}; tried again in {again_in:?}"
            ),
            Event::NotReady { index, pid } => write!(
                f,
                "process {pid} (place {index}) did not listen in time, and is killed"
            ),
            Event::Storm { deaths, within } => write!(
                f,
                "{deaths} processes died within {within:?}: something is wrong with all of them"
            ),
            Event::Reloading { generation } => write!(f, "reload {generation} begins"),
            Event::Reloaded { generation } => write!(f, "reload {generation} is done"),
            Event::Stopping => f.write_str("all processes are told to end"),
            Event::Killed { index, pid } => write!(
                f,
                "process {pid} (place {index}) did not end in time, and is killed"
            ),
        }
    }
}

/// Writes what goes wrong to standard error.
pub(super) fn tell(event: &Event) {
    if !matches!(
        event,
        Event::Started { .. }
            | Event::Ready { .. }
            | Event::Ended { .. }
            | Event::Reloading { .. }
            | Event::Reloaded { .. }
            | Event::Stopping
    ) {
        eprintln!("ropewalk: {event}");
    }
}
