//! What a process has: descriptors, shared mappings, children. Nothing of it may be left over.

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// One test at a time: each looks at the whole process.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How much of what there is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Traces {
    /// Descriptors, by what they are of, without numbers.
    descriptors: BTreeMap<String, usize>,
    /// Mappings of files that have no name.
    mappings: usize,
    /// Living or dead.
    children: Vec<String>,
}

impl Traces {
    fn now() -> Traces {
        let mut descriptors = BTreeMap::new();
        for entry in fs::read_dir("/proc/self/fd").unwrap() {
            // That of the folder itself is gone by now.
            if let Ok(target) = fs::read_link(entry.unwrap().path()) {
                let target = target.to_string_lossy();
                let kind = target.split(':').next().unwrap_or_default();
                *descriptors.entry(kind.to_owned()).or_default() += 1;
            }
        }
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        Traces {
            descriptors,
            mappings: maps.lines().filter(|line| line.contains("memfd:")).count(),
            children: children(),
        }
    }

    /// What there is once nothing changes any more.
    pub(crate) fn settled() -> Traces {
        let mut last = Traces::now();
        until("nothing changes any more", || {
            std::thread::sleep(Duration::from_millis(200));
            let now = Traces::now();
            let before = std::mem::replace(&mut last, now);
            before == last
        });
        last
    }

    /// Waits until there is no more than there was.
    pub(crate) fn until_gone(&self) {
        let mut last = String::new();
        until("nothing is left behind", || {
            let now = Traces::now();
            let kinds = &mut now.descriptors.iter();
            let is_more = now.mappings > self.mappings
                || now.children.len() > self.children.len()
                || kinds
                    .any(|(kind, count)| self.descriptors.get(kind).is_none_or(|was| was < count));
            let shown = format!("{now:?}, where there was {self:?}");
            if is_more && shown != last {
                println!("left behind: {shown}");
                last = shown;
            }
            !is_more
        });
    }
}

/// Waits for something that happens sooner or later.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(60), "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn children() -> Vec<String> {
    let me = std::process::id().to_string();
    let mut children = Vec::new();
    for entry in fs::read_dir("/proc").unwrap() {
        let Ok(stat) = fs::read_to_string(entry.unwrap().path().join("stat")) else {
            continue;
        };
        // After the name, which may have anything in it: state, parent.
        let after = stat.rsplit_once(") ").map_or("", |(_, after)| after);
        if after.split(' ').nth(1) == Some(&me) {
            children.push(stat);
        }
    }
    children
}
