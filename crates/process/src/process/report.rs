//! What a process and its starter tell each other.
//!
//! Both go through the socket pair that the child is started with, as packets of a pipe: the
//! arguments there, the report back. A report's first byte says what it is:
//!
//! ```text
//!   0 │ the task's result
//!   1 │ why there is none: a panic, or arguments or a result that could not be carried
//! ```

use ropewalk_rt::JoinError;
use ropewalk_rt::executor::Portable;
use ropewalk_rt::executor::tasks::{self, Output, Panic};
use serde::{Deserialize, Serialize};

use crate::pass;
use crate::pipe::{Carried, Payload};

const RESULT: u8 = 0;
const FAILURE: u8 = 1;

/// How the child is to begin; goes beside its descriptor.
#[derive(Serialize, Deserialize)]
pub(super) struct Start {
    /// The task's number.
    pub(super) task: u32,
    pub(super) daemon: bool,
}

/// Why there is no result.
#[derive(Serialize, Deserialize)]
pub(super) enum Failure {
    Panicked(Panic),
    /// The arguments can't be read or the result can't be written.
    NotCarried(String),
}

/// Begins the report of a result, to which the result is to be appended.
pub(super) fn of_result() -> Payload {
    begun(RESULT)
}

/// The report of a failure.
pub(super) fn of_failure(failure: &Failure) -> Payload {
    let mut report = begun(FAILURE);
    // It has nothing in it that could refuse; without room for it, it is cut off, and told as
    // the death of the process.
    let _ = tasks::encode(failure, &mut report);
    report
}

fn begun(kind: u8) -> Payload {
    let mut report = Payload::new();
    report.write(&[kind]).expect("there is room for one byte");
    report
}

/// Reads a report; `None` if it is not one.
pub(super) fn read<R: Portable>(mut report: Carried) -> Option<Result<R, JoinError>> {
    let fds = std::mem::take(&mut report.fds);
    match report.payload().split_first()? {
        (&RESULT, result) => {
            let value = pass::decode(result, fds);
            Some(value.map_err(|error| failed(format!("the result can't be read: {error}"))))
        }
        (&FAILURE, failure) => {
            let failure = tasks::decode::<Failure>(failure).ok()?;
            Some(Err(match failure {
                Failure::Panicked(panic) => panic.into(),
                Failure::NotCarried(why) => failed(why),
            }))
        }
        _ => None,
    }
}

fn failed(why: String) -> JoinError {
    JoinError::Failed(why.into())
}
