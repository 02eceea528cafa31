//! A dump as text.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::dump::{Dump, Group, RuntimeInfo, TaskInfo};

/// How many tasks of a group are shown.
const SHOWN: usize = 5;

impl fmt::Display for Dump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total: usize = self.groups.iter().map(|group| group.tasks.len()).sum();
        writeln!(
            f,
            "dump of {} (pid {}) at {} s: {} in {}",
            self.program,
            self.pid,
            unix_seconds(self.taken),
            count(total, "task"),
            count(self.groups.len(), "group"),
        )?;
        for (index, runtime) in self.runtimes.iter().enumerate() {
            write_runtime(f, index, runtime)?;
        }
        self.groups
            .iter()
            .try_for_each(|group| write_group(f, group))
    }
}

fn write_runtime(f: &mut fmt::Formatter<'_>, index: usize, runtime: &RuntimeInfo) -> fmt::Result {
    writeln!(
        f,
        "runtime {index}: {}, {}, {} live",
        count(runtime.workers, "worker"),
        runtime.driver.as_str(),
        count(runtime.live as usize, "task"),
    )?;
    for silent in &runtime.silent_workers {
        write!(
            f,
            "  worker {} did not answer: not back in its loop for {}",
            silent.index,
            short(silent.busy)
        )?;
        if let Some(task) = silent.task {
            write!(f, ", running task {task}")?;
        }
        writeln!(f, "; the stacks of what is parked there are missing")?;
    }
    Ok(())
}

fn write_group(f: &mut fmt::Formatter<'_>, group: &Group) -> fmt::Result {
    let kind = group.tasks[0].kind.as_str();
    write!(
        f,
        "\n{}, {}",
        count(group.tasks.len(), kind),
        group.state.as_str()
    )?;
    if let Some(reason) = group.reason {
        write!(f, ": {reason}")?;
    }
    writeln!(f)?;
    for task in group.tasks.iter().take(SHOWN) {
        writeln!(f, "  {task}")?;
    }
    if group.tasks.len() > SHOWN {
        writeln!(f, "  and {} more", group.tasks.len() - SHOWN)?;
    }
    for frame in &group.stack {
        writeln!(f, "      {}", frame.function)?;
        if let Some(file) = &frame.file {
            writeln!(f, "        at {file}:{}", frame.line.unwrap_or(0))?;
        }
    }
    if group.folded != 0 {
        writeln!(
            f,
            "      (above {} of the runtime)",
            count(group.folded, "frame")
        )?;
    }
    Ok(())
}

impl fmt::Display for TaskInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "id {}", self.id)?;
        if let Some(name) = &self.name {
            write!(f, " {name:?}")?;
        }
        match self.site {
            Some(site) => write!(f, ", spawned at {}:{}", site.file(), site.line())?,
            None => f.write_str(", spawned outside")?,
        }
        if let Some(parent) = self.parent {
            write!(f, " by {parent}")?;
        }
        if self.daemon {
            f.write_str(", daemon")?;
        }
        match (self.runtime, self.worker) {
            (Some(runtime), Some(worker)) => write!(f, ", worker {runtime}.{worker}")?,
            (Some(runtime), None) => write!(f, ", runtime {runtime}")?,
            _ => {}
        }
        if let Some(age) = self.age {
            write!(f, ", alive {}", short(age))?;
        }
        if let Some(waiting) = self.waiting {
            write!(f, ", waiting {}", short(waiting))?;
        }
        if let Some(deadline) = self.deadline {
            write!(f, ", for {} more at most", short(deadline))?;
        }
        if let Some(object) = self.object {
            write!(f, ", on {object:#x}")?;
        }
        if let Some(owner) = self.owner {
            write!(f, ", held by {owner}")?;
        }
        if let Some(bytes) = self.stack_bytes {
            write!(f, ", {} KiB of stack used", bytes / 1024)?;
        }
        Ok(())
    }
}

fn count(number: usize, of: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {of}{plural}")
}

fn short(duration: Duration) -> String {
    match duration.as_millis() {
        ms @ 0..10_000 => format!("{ms} ms"),
        ms => format!("{} s", ms / 1000),
    }
}

fn unix_seconds(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
