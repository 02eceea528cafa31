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

    /// Says whether the policy is about a share of all jobs, so that their number must be known.
    pub(crate) fn is_share(&self) -> bool {
        matches!(
            self.when,
            Some(When {
                count: Count::Percent(_),
                ..
            })
        )
    }

    /// Says whether to stop, so many jobs having failed and succeeded, of so many in all.
    pub(crate) fn is_due(&self, failed: u64, succeeded: u64, all: u64) -> bool {
        let Some(When { of, count }) = self.when else {
            return false;
        };
        let counted = match of {
            Of::Fail => failed,
            Of::Success => succeeded,
            Of::Done => failed + succeeded,
        };
        counted as f64 >= count.jobs(all)
    }

    /// The exit code of a run that is stopped by a job with that exit code: GNU parallel's, which
    /// is the job's if the policy waits for one, else how many have failed, or what share of all.
    pub(crate) fn exit_code(&self, of_job: u8, failed: u64, all: u64) -> u8 {
        match self.when {
            None => of_job,
            Some(When {
                of: Of::Success, ..
            }) => 0,
            Some(When { count, .. }) if count.jobs(all) == 1.0 => of_job,
            Some(_) => self.failed_code(failed, all),
        }
    }

    /// The exit code of a run that came to its end with so many jobs: how many failed, or what
    /// share if the policy is about one.
    pub(crate) fn failed_code(&self, failed: u64, all: u64) -> u8 {
        match self.is_share() {
            true => u8::try_from((failed * 100).div_ceil(all.max(1))).unwrap_or(100),
            false => failed_code(failed),
        }
    }
}

impl Count {
    /// How many jobs these are of so many.
    fn jobs(self, all: u64) -> f64 {
        match self {
            Count::Jobs(jobs) => jobs as f64,
            Count::Percent(percent) => percent / 100.0 * all as f64,
        }
    }
}

/// The exit code for so many failed jobs; the highest says that there were more than a hundred.
fn failed_code(failed: u64) -> u8 {
    const MANY: u8 = 101;
    u8::try_from(failed).map_or(MANY, |failed| failed.min(MANY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_read_and_kept() {
        let halt = |text: &str| text.parse::<Halt>().unwrap();
        assert!(!halt("never").is_due(1_000, 0, 1_000));
        assert!(!halt("soon,fail=2").is_due(1, 9, 10) && halt("soon,fail=2").is_due(2, 0, 9));
        assert!(halt("now,fail=1").now && !halt("soon,fail=1").now);
        assert!(halt("now,success=1").is_due(5, 1, 9));
        assert!(halt("now,done=3").is_due(1, 2, 9));
        let share = halt("soon,fail=50%");
        assert!(share.is_share() && !halt("soon,fail=50").is_share());
        assert!(!share.is_due(2, 0, 5) && share.is_due(3, 1, 5) && share.is_due(1, 0, 2));
    }

    #[test]
    fn exit_codes_are_gnu_parallels() {
        let code = |text: &str| text.parse::<Halt>().unwrap().exit_code(7, 3, 10);
        assert_eq!((code("now,fail=1"), code("soon,done=1")), (7, 7));
        assert_eq!((code("now,fail=3"), code("soon,done=5")), (3, 3));
        assert_eq!((code("now,fail=30%"), code("now,done=1%")), (30, 30));
        // The first of ten.
        assert_eq!(code("now,done=10%"), 7);
        assert_eq!((code("now,success=1"), code("soon,success=2%")), (0, 0));
        let end = |text: &str, failed, all| {
            let halt = text.parse::<Halt>().unwrap();
            halt.failed_code(failed, all)
        };
        assert_eq!(
            (end("never", 100, 100), end("never", 1_000, 2_000)),
            (100, 101)
        );
        assert_eq!(
            (end("soon,fail=5", 3, 9), end("soon,fail=90%", 1, 3)),
            (3, 34)
        );
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
