//! The limit on open files (RLIMIT_NOFILE): a connection is a descriptor, so this limit decides how
//! many connections a process may hold.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors kept aside for what isn't a connection: standard streams, rings, the files served.
pub(crate) const DESCRIPTORS_ASIDE: u64 = 128;

/// Raises the limit on open files to the hard limit and, if that is below `wanted` and the process
/// is privileged enough, beyond it. Returns the limit now in force; never fails, because a low limit
/// is something to report, not a reason to stop.
pub(crate) fn raise_descriptors(wanted: u64) -> u64 {
    let had = getrlimit(Resource::Nofile);
    let hard = had.maximum.unwrap_or(u64::MAX);
    if hard < wanted {
        // Needs CAP_SYS_RESOURCE and stays below fs.nr_open; failing is the usual case.
        let _ = set(wanted, wanted);
    }
    let now = getrlimit(Resource::Nofile);
    let (soft, hard) = (
        now.current.unwrap_or(u64::MAX),
        now.maximum.unwrap_or(u64::MAX),
    );
    if soft < hard {
        let _ = setrlimit(
            Resource::Nofile,
            Rlimit {
                current: now.maximum,
                maximum: now.maximum,
            },
        );
        if now.maximum.is_none() && soft < wanted {
            // Some kernels refuse "unlimited" as a soft limit.
            let _ = set(wanted, hard);
        }
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

fn set(soft: u64, hard: u64) -> rustix::io::Result<()> {
    let finite = |limit| if limit == u64::MAX { None } else { Some(limit) };
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: finite(soft),
            maximum: finite(hard),
        },
    )
}

/// Says how to get a limit of at least `wanted` open files.
pub(crate) fn remedy(wanted: u64) -> String {
    format!(
        "raise it with `ulimit -n {wanted}` in the shell (as root beyond the hard limit), \
         `LimitNOFILE={wanted}` in a systemd unit, or `--ulimit nofile={wanted}` for a container"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn soft_limit_reaches_hard_limit() {
        let hard = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
        let limit = raise_descriptors(64);
        assert_eq!(limit, hard);
        assert_eq!(
            getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX),
            hard
        );
    }
}
