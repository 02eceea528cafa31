//! Rows T: threads, and coroutines as threads.

use crate::program::{t1_threads, t2_daemons};
use ropewalk::{Task, coroutine, thread};

/// T1: what is seen of a task from outside and from inside agrees, for either kind.
#[test]
fn a_task_is_named_listed_and_counted_while_it_lives() {
    let thread = t1_threads::observe(t1_threads::start_thread, thread::list);
    let coroutine = t1_threads::observe(t1_threads::start_coroutine, coroutine::list);
    assert!(thread.is_thread);
    assert!(!coroutine.is_thread);
    assert_ne!(thread.id, coroutine.id);
    for life in [thread, coroutine] {
        assert_eq!(life.id, life.id_inside, "{life:?}");
        assert_ne!(life.id, Task::current().id(), "{life:?}");
        assert_eq!(life.name.as_deref(), Some("diver"), "{life:?}");
        assert_eq!(life.renamed.as_deref(), Some("surfacer"), "{life:?}");
        assert_eq!(life.renamed_inside, life.renamed, "{life:?}");
        assert!(life.alive_before && !life.alive_after, "{life:?}");
        assert!(life.listed_before && !life.listed_after, "{life:?}");
        assert!(life.count >= 1, "{life:?}");
    }
}

/// T1: a type that runs, started both ways.
#[ropewalk::test]
fn a_value_runs_as_a_thread_and_as_a_coroutine() {
    assert_eq!(t1_threads::factorials(5, 10), (120, 3_628_800));
}

/// T1: a failure is the joiner's to see.
#[ropewalk::test]
fn a_panic_is_an_error_of_the_join() {
    let message = t1_threads::failure();
    assert!(message.contains("the sums don't agree"), "{message}");
}

/// T2: the flag goes from parent to child, across kinds too.
#[test]
fn a_daemons_child_is_a_daemon() {
    let starts: [t2_daemons::Start; 2] = [t2_daemons::start_thread, t2_daemons::start_coroutine];
    for parent in starts {
        for child in starts {
            for daemon in [true, false] {
                let flags = t2_daemons::inherit(parent, child, Some(daemon));
                assert_eq!(flags, (daemon, daemon));
            }
            // A test's thread is no daemon, and so is what it starts.
            assert_eq!(t2_daemons::inherit(parent, child, None), (false, false));
        }
    }
}
