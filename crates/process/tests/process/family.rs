//! Parents and children: who waits for whom, who ends with whom, and what is left.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::time::Duration;

use ropewalk_process::pipe::{Receiver, Sender, one_way};
use ropewalk_process::{Process, StartError, active_children};
use ropewalk_rt::{JoinError, coroutine};

use crate::alone::{alone, text, well_alone};
use crate::stage::{on_each, until};

#[ropewalk_macros::task(crate = ropewalk_rt)]
fn waits(begun: Sender<u32>, end: Receiver<()>) {
    begun.send(ropewalk_process::pid()).unwrap();
    let _ = end.recv();
}

#[ropewalk_macros::task(crate = ropewalk_rt)]
fn sleeps(begun: Sender<u32>) {
    begun.send(ropewalk_process::pid()).unwrap();
    coroutine::sleep(Duration::MAX);
}

fn is_there(pid: u32) -> bool {
    // A zombie is there, too.
    Path::new(&format!("/proc/{pid}")).exists()
}

#[test]
fn children_are_listed_while_they_live() {
    well_alone(&[], || {
        on_each(|| {
            assert!(active_children().is_empty());
            let (begun, has_begun) = one_way().unwrap();
            let (end, ends) = one_way().unwrap();
            let one = Process::builder(waits, (begun.clone(), ends)).name("one");
            let one = one.spawn().unwrap();
            let two = Process::builder(sleeps, (begun,)).name("two").daemon(true);
            let two = two.spawn().unwrap();
            let mut pids = [has_begun.recv().unwrap(), has_begun.recv().unwrap()];
            pids.sort_unstable();
            let listed = active_children();
            let names: Vec<_> = listed.iter().map(|child| child.name()).collect();
            assert_eq!(names, ["one", "two"]);
            assert_eq!(
                listed
                    .iter()
                    .map(|child| child.is_daemon())
                    .collect::<Vec<_>>(),
                [false, true]
            );
            let mut known: Vec<_> = listed.iter().map(|child| child.pid()).collect();
            known.sort_unstable();
            assert_eq!(known, pids);
            drop(end);
            one.join().unwrap();
            assert_eq!(active_children().len(), 1);
            listed[1].kill().unwrap();
            two.join().unwrap_err();
            assert!(active_children().is_empty());
        });
    });
}

/// Who is dropped goes on, and its end is taken although nobody looks.
#[test]
fn who_is_dropped_goes_on_and_leaves_no_zombie() {
    well_alone(&[], || {
        let (begun, has_begun) = one_way().unwrap();
        let (end, ends) = one_way().unwrap();
        drop(Process::spawn(waits, (begun, ends)).unwrap());
        let pid = has_begun.recv().unwrap();
        assert_eq!(active_children().len(), 1);
        drop(end);
        until(|| !is_there(pid));
    });
}

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[ropewalk_macros::task(crate = ropewalk_rt)]
fn how_many_descriptors(_keeps: Sender<u8>) -> Vec<String> {
    let all = std::fs::read_dir("/proc/self/fd").unwrap();
    let names = all.map(|one| std::fs::read_link(one.unwrap().path()));
    names
        .filter_map(Result::ok)
        .map(|path| path.display().to_string())
        .collect()
}

#[test]
fn nothing_is_left_open() {
    well_alone(&[], || {
        let body = || {
            let (sender, _receiver) = one_way().unwrap();
            let process = Process::spawn(how_many_descriptors, (sender,)).unwrap();
            process.join().unwrap()
        };
        let theirs = body();
        let before = open_descriptors();
        for _ in 0..5 {
            assert_eq!(body().len(), theirs.len());
        }
        assert_eq!(open_descriptors(), before);
        // Not one of the parent's own goes to a child by accident.
        let file = std::fs::File::open("/dev/zero").unwrap();
        assert!(!body().iter().any(|name| name == "/dev/zero"));
        drop(file);
    });
}

#[ropewalk_macros::task(crate = ropewalk_rt)]
fn has_children(begun: Sender<u32>) {
    for daemon in [true, false] {
        let child = Process::builder(sleeps, (begun.clone(),)).daemon(daemon);
        std::mem::forget(child.spawn().unwrap());
    }
    begun.send(ropewalk_process::pid()).unwrap();
    coroutine::sleep(Duration::MAX);
}

/// A process that is killed takes all of its descendants with it, daemons or not.
#[test]
fn nobody_outlives_a_killed_parent() {
    let (begun, has_begun) = one_way().unwrap();
    let parent = Process::spawn(has_children, (begun,)).unwrap();
    let pids = [(); 3].map(|()| has_begun.recv().unwrap());
    parent.kill().unwrap();
    assert!(parent.join().unwrap_err().is_worker_death());
    until(|| !pids.iter().any(|pid| is_running(*pid)));
    // None of them has the pipe any more.
    assert!(has_begun.recv().unwrap_err().is_closed());
}

/// Where nobody reaps orphans, as in some containers, a zombie stays: it has ended all the same.
fn is_running(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat
        .rsplit(") ")
        .next()
        .and_then(|rest| rest.chars().next());
    state.is_some_and(|state| state != 'Z' && state != 'X')
}

#[ropewalk_macros::task(crate = ropewalk_rt)]
fn starts_another() -> String {
    match Process::spawn(starts_another, ()) {
        Ok(process) => process.join().unwrap(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_daemon_may_not_have_children() {
    let builder = Process::builder(starts_another, ())
        .name("imp")
        .daemon(true);
    let refused = builder.spawn().unwrap().join().unwrap();
    assert!(refused.contains("the daemon imp"), "{refused}");
}

/// Each starts the next: the last is refused, and tells so through all the others.
#[test]
fn descendants_are_bounded() {
    let refused = Process::spawn(starts_another, ()).unwrap().join().unwrap();
    let expected = StartError::Nested {
        inside: "the 16th in a row".to_owned(),
    };
    assert_eq!(refused, expected.to_string());
}

#[ropewalk_macros::task(crate = ropewalk_rt)]
fn leaves_children(told: Sender<String>, begun: Sender<u32>) {
    let daemon = Process::builder(sleeps, (begun,)).daemon(true);
    daemon.spawn().unwrap();
    drop(Process::spawn(tells_late, (told,)).unwrap());
}

#[ropewalk_macros::task(crate = ropewalk_rt)]
fn tells_late(told: Sender<String>) {
    for _ in 0..100 {
        coroutine::yield_now();
    }
    told.send("late".to_owned()).unwrap();
}

/// At its end a process waits for the children it has left, and ends the daemons.
#[test]
fn children_that_are_left_are_waited_for() {
    // What another test forks has all pipes for a moment, too: none is closed at once then.
    well_alone(&[], || {
        let (told, is_told) = one_way().unwrap();
        let (begun, has_begun) = one_way().unwrap();
        let process = Process::spawn(leaves_children, (told, begun)).unwrap();
        process.join().unwrap();
        // It had ended when its parent had.
        assert_eq!(is_told.try_recv().unwrap(), "late");
        assert!(is_told.try_recv().unwrap_err().is_closed());
        let _ = has_begun.try_recv();
        assert!(has_begun.try_recv().unwrap_err().is_closed());
    });
}

#[ropewalk_macros::task(crate = ropewalk_rt)]
fn answers(text: String, _keeps: Sender<u32>) -> String {
    text
}

/// Killed before it has begun, while it begins, while it answers, and after that: either it has
/// answered or it has died, and nothing is left of it.
#[test]
fn processes_killed_at_any_moment_are_accounted_for() {
    well_alone(&[], || {
        let (sender, receiver) = one_way().unwrap();
        let once = |after: Option<Duration>| {
            let text = "x".repeat(100_000);
            let process = Process::spawn(answers, (text, sender.clone())).unwrap();
            let pid = process.pid();
            if let Some(after) = after {
                coroutine::sleep(after);
                process.kill().unwrap();
            }
            let answered = match process.join() {
                Ok(text) => {
                    assert_eq!(text.len(), 100_000);
                    true
                }
                Err(JoinError::WorkerDied { status, .. }) => {
                    assert_eq!(status.signal(), Some(libc::SIGKILL));
                    false
                }
                Err(other) => panic!("{other:?}"),
            };
            assert!(!is_there(pid), "no zombie");
            answered
        };
        assert!(once(None));
        let before = open_descriptors();
        let moments = (0..60).map(|n| Duration::from_micros(n * 150));
        let answered = moments.filter(|after| once(Some(*after))).count();
        assert!(answered < 60, "the first one at least was quicker");
        assert_eq!(open_descriptors(), before);
        drop(sender);
        assert!(receiver.recv().unwrap_err().is_closed());
    });
}

/// Without descriptors there is an error, and nothing else.
#[test]
fn a_start_without_descriptors_is_refused() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    well_alone(&[], || {
        let (sender, _receiver) = one_way().unwrap();
        let spawn = || Process::spawn(answers, ("a".to_owned(), sender.clone()));
        spawn().unwrap().join().unwrap();
        let before = open_descriptors();
        let limits = getrlimit(Resource::Nofile);
        // From too few for anything to enough.
        let mut refused = 0;
        for more in 0..40 {
            let limit = Rlimit {
                current: Some(before as u64 + more),
                maximum: limits.maximum,
            };
            setrlimit(Resource::Nofile, limit).unwrap();
            let spawned = spawn();
            setrlimit(Resource::Nofile, limits).unwrap();
            match spawned {
                Ok(process) => drop(process.join()),
                Err(StartError::Io(_) | StartError::Encode(_)) => refused += 1,
                Err(other) => panic!("{other:?}"),
            }
            assert_eq!(open_descriptors(), before, "with {more} more");
        }
        assert!(refused > 3);
        assert_eq!(spawn().unwrap().join().unwrap(), "a");
    });
}

#[test]
fn many_children_at_once() {
    let output = alone("family::many_children_at_once", &[], || {
        on_each(|| {
            let (begun, has_begun) = one_way().unwrap();
            let (end, ends) = one_way::<()>().unwrap();
            let children: Vec<_> = (0..6)
                .map(|_| Process::spawn(waits, (begun.clone(), ends.clone())).unwrap())
                .collect();
            drop((begun, ends));
            assert_eq!(has_begun.iter().take(6).filter(Result::is_ok).count(), 6);
            drop(end);
            for child in children {
                child.join().unwrap();
            }
        });
    });
    if let Some(output) = output {
        assert!(output.status.success(), "{}", text(&output));
    }
}
