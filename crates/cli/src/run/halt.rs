//! When to stop before all jobs are done: `never`, `soon,fail=1`, `now,fail=10%`, `now,success=1`.

use std::str::FromStr;

/// When to stop, and how.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Halt {
    when: Option<When>,
    /// Whether running jobs are killed, or waited for.
    pub(crate) now: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct When {
    of: Of,
    count: Count,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Fail,
    Success,
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Count {
    Jobs(u64),
    Percent(f64),
}

/// Shares are not looked at before so many jobs are done, as GNU parallel does it.
const SHARE_JOBS_MIN: u64 = 3;

impl FromStr for Halt {
    type Err = String;

    fn from_str(text: &str) -> Result<Halt, String> {
        let wrong = || {
            format!(
                "{text:?} is no policy: use never, or soon or now, a comma, and fail, success or \
                 done with =N or =N%, such as now,fail=1"
            )
        };
        if text == "never" {
            return Ok(Halt::NEVER);
        }
        let (how, when) = text.split_once(',').ok_or_else(wrong)?;
        let now = match how {
            "now" => true,
            "soon" => false,
            _ => return Err(wrong()),
        };
        let (of, count) = when.split_once('=').ok_or_else(wrong)?;
        let of = match of {
            "fail" => Of::Fail,
            "success" => Of::Success,
            "done" => Of::Done,
            _ => return Err(wrong()),
        };
        let count = match count.strip_suffix('%') {
            Some(percent) => {
                let percent: f64 = percent.parse().map_err(|_| wrong())?;
                if !(percent > 0.0 && percent <= 100.0) {
                    return Err(wrong());
                }
                Count::Percent(percent)
            }
            None => match count.parse() {
                Ok(jobs @ 1..) => Count::Jobs(jobs),
                _ => return Err(wrong()),
            },
        };
        let when = Some(When { of, count });
        Ok(Halt { when, now })
    }
}

impl Halt {
    /// Goes on whatever happens.
    pub(crate) const NEVER: Halt = Halt {
        when: None,
        now: false,
    };

    /// Says whether to stop, so many jobs having failed and succeeded.
    pub(crate) fn is_due(&self, failed: u64, succeeded: u64) -> bool {
        let Some(When { of, count }) = self.when else {
            return false;
        };
        let done = failed + succeeded;
        let counted = match of {
            Of::Fail => failed,
            Of::Success => succeeded,
            Of::Done => done,
        };
        match count {
            Count::Jobs(jobs) => counted >= jobs,
            Count::Percent(percent) => {
                done >= SHARE_JOBS_MIN && counted as f64 >= percent / 100.0 * done as f64
            }
        }
    }

    /// The exit code of a run that is stopped by a job with that exit code: GNU parallel's, which
    /// is the job's if the policy waits for one, else how many have failed, or what share.
    pub(crate) fn exit_code(&self, of_job: u8, failed: u64, succeeded: u64) -> u8 {
        match self.when {
            None => of_job,
            Some(When {
                of: Of::Success, ..
            }) => 0,
            Some(When { count, .. }) => match count {
                Count::Jobs(1) => of_job,
                Count::Jobs(_) => failed_code(failed),
                Count::Percent(_) => {
                    let share = (failed * 100).div_ceil((failed + succeeded).max(1));
                    u8::try_from(share).unwrap_or(100)
                }
            },
        }
    }
}

/// The exit code for so many failed jobs; the highest says that there were more than a hundred.
pub(crate) fn failed_code(failed: u64) -> u8 {
    const MANY: u8 = 101;
    u8::try_from(failed).map_or(MANY, |failed| failed.min(MANY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_read_and_kept() {
        let halt = |text: &str| text.parse::<Halt>().unwrap();
        assert!(!halt("never").is_due(1_000, 0));
        assert!(!halt("soon,fail=2").is_due(1, 9) && halt("soon,fail=2").is_due(2, 0));
        assert!(halt("now,fail=1").now && !halt("soon,fail=1").now);
        assert!(halt("now,success=1").is_due(5, 1));
        assert!(halt("now,done=3").is_due(1, 2));
        let share = halt("soon,fail=50%");
        assert!(!share.is_due(2, 0) && share.is_due(3, 3) && !share.is_due(3, 4));
    }

    #[test]
    fn exit_codes_are_gnu_parallels() {
        let code = |text: &str| text.parse::<Halt>().unwrap().exit_code(7, 3, 2);
        assert_eq!((code("now,fail=1"), code("soon,done=1")), (7, 7));
        assert_eq!((code("now,fail=3"), code("soon,done=5")), (3, 3));
        assert_eq!((code("now,fail=50%"), code("now,done=1%")), (60, 60));
        assert_eq!((code("now,success=1"), code("soon,success=2%")), (0, 0));
        assert_eq!((failed_code(100), failed_code(1_000)), (100, 101));
    }

    #[test]
    fn what_is_no_policy_says_so() {
        for text in [
            "",
            "now",
            "now,fail",
            "now,fail=0",
            "later,fail=1",
            "now,fail=101%",
            "soon,x=1",
        ] {
            let error = text.parse::<Halt>().unwrap_err();
            assert!(error.contains("now,fail=1"), "{error}");
        }
    }
}
