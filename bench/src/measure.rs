//! Clocks, counters and the machine: processor time of a process, resident memory, which
//! cores there are, medians.

use std::io;

/// Processor time a process has used since it started, in microseconds.
///
/// The sum is exact (the scheduler's own account); how it divides into user and system is the
/// kernel's estimate, sampled at each timer tick, so it needs seconds of work to mean much.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// Time in user space.
    pub(crate) user_us: u64,
    /// Time in the kernel.
    pub(crate) system_us: u64,
}

impl Usage {
    /// Time of this process and all its threads, finished ones included.
    pub(crate) fn of_this_process() -> Usage {
        // SAFETY: rusage is plain integers, for which zeroes are a value.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        // SAFETY: `usage` is a live rusage that the call may write to.
        let result = unsafe { libc::getrusage(libc::RUSAGE_SELF, &mut usage) };
        assert_eq!(result, 0, "getrusage(RUSAGE_SELF) cannot fail");
        Usage {
            user_us: microseconds(usage.ru_utime),
            system_us: microseconds(usage.ru_stime),
        }
    }

    /// User and system time together.
    pub(crate) fn total_us(self) -> u64 {
        self.user_us + self.system_us
    }

    /// What was used between `earlier` and this.
    pub(crate) fn since(self, earlier: Usage) -> Usage {
        Usage {
            user_us: self.user_us.saturating_sub(earlier.user_us),
            system_us: self.system_us.saturating_sub(earlier.system_us),
        }
    }
}

fn microseconds(time: libc::timeval) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1_000_000 + u64::try_from(time.tv_usec).unwrap_or(0)
}

/// Memory the kernel holds for this process, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    /// Resident pages (`VmRSS`).
    pub(crate) resident: u64,
    /// Page tables (`VmPTE`), which a million scattered stacks make a good part of the bill.
    pub(crate) page_tables: u64,
    /// Kernel stacks of the whole machine (`KernelStack`): what threads cost beside the rest.
    pub(crate) kernel_stacks: u64,
}

impl Memory {
    /// Reads the counters of this process.
    ///
    /// # Errors
    /// If `/proc` can't be read or lacks a line.
    pub(crate) fn of_this_process() -> io::Result<Memory> {
        let status = std::fs::read_to_string("/proc/self/status")?;
        let machine = std::fs::read_to_string("/proc/meminfo")?;
        Ok(Memory {
            resident: kibibytes(&status, "VmRSS:")?,
            page_tables: kibibytes(&status, "VmPTE:")?,
            kernel_stacks: kibibytes(&machine, "KernelStack:")?,
        })
    }
}

fn kibibytes(text: &str, name: &str) -> io::Result<u64> {
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.split_whitespace().next());
    let value = value.and_then(|digits| digits.parse::<u64>().ok());
    let missing = || io::Error::new(io::ErrorKind::InvalidData, format!("no {name} in /proc"));
    Ok(value.ok_or_else(missing)? * 1024)
}

/// The cores this process may run on.
pub(crate) fn cores() -> Vec<usize> {
    // SAFETY: cpu_set_t is plain integers, for which zeroes are a value.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` is live and its true size is passed.
    let result = unsafe { libc::sched_getaffinity(0, size_of_val(&set), &mut set) };
    if result != 0 {
        return Vec::new();
    }
    let cores = 0..usize::try_from(libc::CPU_SETSIZE).unwrap_or(0);
    // SAFETY: `core` is below CPU_SETSIZE, the number of bits in the set.
    cores
        .filter(|&core| unsafe { libc::CPU_ISSET(core, &set) })
        .collect()
}

/// The core that contenders are kept on: the first, if there is a second for the rest.
pub(crate) fn server_core() -> Option<usize> {
    match cores()[..] {
        [first, _, ..] => Some(first),
        _ => None,
    }
}

/// The core that the load generator keeps to: the last, if it is not the contenders'.
pub(crate) fn generator_core() -> Option<usize> {
    match cores()[..] {
        [_, .., last] => Some(last),
        _ => None,
    }
}

/// Keeps the calling thread, and the threads it starts from now on, on `cores`. A kernel that
/// refuses leaves them where they are: the figures get noisier, not wrong.
pub(crate) fn pin(cores: &[usize]) {
    // SAFETY: as in `cores`.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    for &core in cores {
        // SAFETY: CPU_SET ignores a core beyond the set's bits.
        unsafe { libc::CPU_SET(core, &mut set) };
    }
    // SAFETY: `set` is live and its true size is passed.
    unsafe { libc::sched_setaffinity(0, size_of_val(&set), &set) };
}

/// Raises the limit on open descriptors as far as it may go without privilege.
pub(crate) fn raise_descriptor_limit() {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is a live rlimit that the call may write to.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } == 0 {
        limit.rlim_cur = limit.rlim_max;
        // SAFETY: `limit` is a live rlimit; only this process's own limit changes.
        unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) };
    }
}

/// The median: the mean of the two in the middle where the count is even.
///
/// # Panics
/// If there are no samples.
pub(crate) fn median(samples: &[f64]) -> f64 {
    assert!(!samples.is_empty(), "a median of nothing");
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        sorted[middle]
    } else {
        (sorted[middle - 1] + sorted[middle]) / 2.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_of_odd_and_even_counts() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), 2.5);
    }

    #[test]
    fn usage_grows_with_work() {
        let before = Usage::of_this_process();
        let mut sum = 0u64;
        while Usage::of_this_process().since(before).total_us() < 1_000 {
            sum = std::hint::black_box(sum + 1);
        }
        assert!(sum > 0);
    }

    #[test]
    fn memory_counts_what_was_touched() {
        let before = Memory::of_this_process().unwrap();
        let block = std::hint::black_box(vec![1u8; 64 << 20]);
        let after = Memory::of_this_process().unwrap();
        assert!(
            after.resident - before.resident >= 60 << 20,
            "{before:?} {after:?}"
        );
        drop(block);
    }

    #[test]
    fn kibibytes_finds_the_line_or_says_so() {
        assert_eq!(
            kibibytes("VmPeak:\t 9 kB\nVmRSS:\t  12 kB\n", "VmRSS:").unwrap(),
            12 << 10
        );
        assert!(kibibytes("", "VmRSS:").is_err());
    }

    #[test]
    fn there_is_a_core() {
        assert!(!cores().is_empty());
    }
}
