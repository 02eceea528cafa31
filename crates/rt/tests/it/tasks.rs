//! Who is who: names, ids, parents, daemons, lists; `Run`; threads with the same handles.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use ropewalk_rt::coroutine::{self, Task};
use ropewalk_rt::{Info, Run, channel, spawn, thread};

use crate::stage::{in_coroutines, on_each, on_thread, until, until_waiting};

/// The list's line for a task, once it is there.
fn listed(id: u64) -> Option<Info> {
    let all = coroutine::list().into_iter().chain(thread::list());
    all.into_iter().find(|info| info.id() == id)
}

// A name given at birth is known inside and outside, can be changed from both, and the last
// one outlives the task in the handles that knew it.
#[test]
fn names_can_be_changed() {
    on_each(|| {
        let (go, gone) = channel::bounded::<()>(0);
        let (renamed, was_renamed) = channel::bounded::<()>(0);
        let builder = coroutine::Builder::new().name("first");
        let handle = builder
            .spawn(move || {
                let mut me = coroutine::current();
                assert_eq!(me.name().as_deref(), Some("first"));
                gone.recv().unwrap();
                gone.recv().unwrap();
                assert_eq!(me.name().as_deref(), Some("second"));
                me.set_name("third");
                renamed.send(()).unwrap();
                gone.recv().unwrap();
            })
            .unwrap();
        let mut task = handle.task();
        let same = task.clone();
        assert_eq!(task.name().as_deref(), Some("first"));
        go.send(()).unwrap();
        task.set_name("second");
        assert_eq!(same.name().as_deref(), Some("second"));
        go.send(()).unwrap();
        was_renamed.recv().unwrap();
        assert_eq!(task.name().as_deref(), Some("third"));
        assert_eq!(listed(task.id()).unwrap().name(), Some("third"));
        go.send(()).unwrap();
        handle.join().unwrap();
        assert!(!task.is_alive());
        task.set_name("too late");
        assert_eq!(
            same.name().as_deref(),
            Some("first"),
            "what it knew when made"
        );

        assert_eq!(spawn(|| coroutine::current().name()).join().unwrap(), None);
    });
}

// Ids are never used twice, not even when tasks come and go; a task that has ended is not
// mistaken for the one that took its place.
#[test]
fn ids_are_unique() {
    on_each(|| {
        let mut seen = HashSet::new();
        for _ in 0..20 {
            let handles: Vec<_> = (0..200)
                .map(|_| spawn(|| coroutine::current().id()))
                .collect();
            for handle in handles {
                let (id, task) = (handle.id(), handle.task());
                assert_eq!(task.id(), id);
                assert_eq!(handle.join().unwrap(), id);
                assert!(seen.insert(id), "{id} twice");
                assert!(!task.is_alive());
            }
        }
        assert!(!seen.contains(&coroutine::current().id()));
    });
}

// A task is alive until it has ended, whatever becomes of its handle.
#[test]
fn alive_until_the_end() {
    on_each(|| {
        let (go, gone) = channel::bounded::<()>(0);
        let handle = spawn(move || gone.recv().unwrap());
        let task = handle.task();
        assert!(task.is_alive() && !task.is_thread());
        drop(handle);
        assert!(task.is_alive());
        go.send(()).unwrap();
        until(|| !task.is_alive());

        let handle = spawn(|| 1);
        let task = handle.task();
        until(|| !task.is_alive());
        assert_eq!(handle.join().unwrap(), 1);

        let me = Task::current();
        assert!(me.is_alive());
        assert_eq!(me.is_thread(), !coroutine::in_coroutine());
        assert_eq!(me.id(), coroutine::current().id());
    });
}

// The living are listed with parent, place of birth, state and age; the dead are not.
#[test]
fn the_living_are_listed() {
    on_each(|| {
        let (go, gone) = channel::bounded::<()>(0);
        let me = coroutine::current().id();
        let line = line!() + 1;
        let handle = spawn(move || {
            let (inner_go, inner_gone) = channel::bounded::<()>(0);
            let child = coroutine::Builder::new().name("grandchild");
            let child = child.spawn(move || inner_gone.recv().unwrap()).unwrap();
            until_waiting(child.id(), "receiving");
            let info = listed(child.id()).expect("it waits");
            assert_eq!(info.parent(), Some(coroutine::current().id()));
            assert_eq!(info.name(), Some("grandchild"));
            gone.recv().unwrap();
            inner_go.send(()).unwrap();
            child.join().unwrap();
        });
        let id = handle.id();
        until_waiting(id, "receiving");
        let info = listed(id).expect("it waits");
        assert_eq!(info.parent(), Some(me));
        assert_eq!(info.name(), None);
        assert!(info.is_started() && !info.is_thread() && !info.is_daemon());
        let site = info.site().expect("known");
        assert!(site.file().ends_with("tasks.rs"));
        assert_eq!(site.line(), line);
        assert!(info.to_string().contains("receiving"), "{info}");
        assert!(coroutine::count() >= 2);
        assert!(thread::list().iter().all(|thread| thread.id() != id));
        let ids: Vec<_> = coroutine::list().iter().map(Info::id).collect();
        assert!(ids.is_sorted(), "oldest first");
        go.send(()).unwrap();
        handle.join().unwrap();
        assert!(listed(id).is_none());
    });
}

// A runtime lists its own only.
#[test]
fn a_runtime_lists_its_own() {
    let (one, other) = (crate::stage::any_runtime(1), crate::stage::any_runtime(1));
    let (go, gone) = channel::bounded::<()>(0);
    let handle = one.spawn(move || gone.recv().unwrap());
    until_waiting(handle.id(), "receiving");
    assert_eq!((one.live(), other.live()), (1, 0));
    assert_eq!(one.list().len(), 1);
    assert_eq!(one.list()[0].id(), handle.id());
    assert!(other.list().is_empty());
    go.send(()).unwrap();
    handle.join().unwrap();
    crate::stage::close(one);
    crate::stage::close(other);
}

// A child is a daemon if its parent is, unless told otherwise: coroutine or thread, through
// any mixture of the two.
#[test]
fn daemons_are_inherited() {
    fn is_daemon() -> bool {
        Task::current().is_daemon()
    }
    on_each(|| {
        assert!(!spawn(is_daemon).join().unwrap());
        assert!(!thread::spawn(is_daemon).join().unwrap());
        for daemon in [false, true] {
            let coroutine = coroutine::Builder::new().daemon(daemon);
            let thread = thread::Builder::new().daemon(daemon);
            let heirs = || {
                assert_eq!(
                    is_daemon(),
                    listed(Task::current().id()).unwrap().is_daemon()
                );
                let coroutine = spawn(|| (is_daemon(), spawn(is_daemon).join().unwrap()));
                let thread = thread::spawn(is_daemon);
                let plain = coroutine::Builder::new()
                    .daemon(false)
                    .spawn(is_daemon)
                    .unwrap();
                let local = coroutine::in_coroutine()
                    .then(|| coroutine::spawn_local(is_daemon).join().unwrap());
                let scoped = coroutine::scope(|s| s.spawn(is_daemon).join().unwrap());
                let (child, grandchild) = coroutine.join().unwrap();
                let all = [
                    is_daemon(),
                    child,
                    grandchild,
                    thread.join().unwrap(),
                    scoped,
                    local.unwrap_or(is_daemon()),
                ];
                (all, plain.join().unwrap())
            };
            let (all, plain) = coroutine.spawn(heirs).unwrap().join().unwrap();
            assert_eq!((all, plain), ([daemon; 6], false), "from a coroutine");
            let (all, plain) = thread.spawn(heirs).unwrap().join().unwrap();
            assert_eq!((all, plain), ([daemon; 6], false), "from a thread");
        }
    });
}

// The same when the child is spawned on another runtime than its parent's.
#[test]
fn parent_and_daemon_cross_runtimes() {
    in_coroutines(|| {
        let other = Arc::new(crate::stage::any_runtime(1));
        let parent = coroutine::Builder::new().daemon(true);
        let parent = parent
            .spawn({
                let other = Arc::clone(&other);
                move || {
                    let child = other.spawn(|| {
                        let me = Task::current();
                        (me.is_daemon(), listed(me.id()).unwrap().parent())
                    });
                    (Task::current().id(), child.join().unwrap())
                }
            })
            .unwrap();
        let (id, (daemon, parent)) = parent.join().unwrap();
        assert!(daemon);
        assert_eq!(parent, Some(id));
        let other = Arc::into_inner(other).expect("the last one");
        ropewalk_rt::unblock(|| crate::stage::close(other));
    });
}

// Work as a type can be started either way.
#[test]
fn run_starts_as_a_coroutine_or_a_thread() {
    struct Sum(Vec<u32>);
    impl Run for Sum {
        type Output = (u32, bool);
        fn run(self) -> (u32, bool) {
            (self.0.iter().sum(), coroutine::in_coroutine())
        }
    }
    on_each(|| {
        assert_eq!(Sum(vec![1, 2, 3]).start().join().unwrap(), (6, true));
        let thread = Sum(vec![4, 5]).start_thread().unwrap();
        assert_eq!(thread.join().unwrap(), (9, false));
    });
}

// Threads have the handles of coroutines: values, panics, names, timed joins, lists.
#[test]
fn threads_have_the_same_handles() {
    on_each(|| {
        assert_eq!(thread::spawn(|| 1).join().unwrap(), 1);
        let error = thread::spawn(|| panic!("of a thread")).join().unwrap_err();
        assert_eq!(error.panic_message(), Some("of a thread"));
        assert!(!thread::spawn(coroutine::in_coroutine).join().unwrap());

        let (go, gone) = channel::bounded::<()>(0);
        let builder = thread::Builder::new()
            .name("threadlike")
            .stack_size(256 << 10);
        let handle = builder
            .spawn(move || {
                assert_eq!(std::thread::current().name(), Some("threadlike"));
                assert_eq!(thread::current().name().as_deref(), Some("threadlike"));
                assert!(thread::current().is_thread());
                gone.recv().unwrap();
                thread::current().id()
            })
            .unwrap();
        let (id, task) = (handle.id(), handle.task());
        let info = thread::list().into_iter().find(|info| info.id() == id);
        let info = info.expect("it waits");
        assert!(info.is_thread() && info.name() == Some("threadlike"));
        assert_eq!(
            info.parent(),
            Some(coroutine::current().id()).filter(|_| info.parent().is_some())
        );
        assert!(thread::count() >= 1);
        assert!(
            coroutine::list()
                .iter()
                .all(|coroutine| coroutine.id() != id)
        );
        assert!(task.is_alive() && task.is_thread());
        let handle = handle
            .join_timeout(std::time::Duration::from_millis(1))
            .unwrap_err();
        go.send(()).unwrap();
        assert_eq!(handle.join().unwrap(), id);
        assert!(!task.is_alive());

        let handle = thread::spawn(|| "awaited");
        assert_eq!(ropewalk_rt::block_on(handle).unwrap(), "awaited");

        drop(thread::spawn(|| ()));
    });
}

// A thread that is still there is none of its runtime's coroutines, even if it took the place
// of one: the runtime neither lists it nor waits for it.
#[test]
fn a_runtime_does_not_count_threads() {
    for driver in crate::stage::drivers() {
        let runtime = crate::stage::runtime(driver, 1);
        let (go, gone) = channel::bounded::<()>(0);
        let thread = runtime.run(|| {
            // Leaves records behind that belonged to coroutines of this runtime.
            for handle in (0..100).map(|_| spawn(|| ())).collect::<Vec<_>>() {
                handle.join().unwrap();
            }
            thread::spawn(move || gone.recv().unwrap())
        });
        assert!(runtime.list().is_empty(), "{:?}", runtime.list());
        crate::stage::close(runtime);
        go.send(()).unwrap();
        thread.join().unwrap();
    }
}

// Threads that nobody registered have an identity too, the same each time they ask.
#[test]
fn plain_threads_are_someone() {
    on_thread(|| {
        let named = std::thread::Builder::new().name("plain".into());
        let ids = Mutex::new(HashSet::new());
        std::thread::scope(|s| {
            named
                .spawn_scoped(s, || {
                    let mut me = Task::current();
                    assert!(me.is_thread() && me.is_alive() && !me.is_daemon());
                    assert_eq!(me.name().as_deref(), Some("plain"));
                    assert_eq!(Task::current().id(), me.id());
                    ids.lock().unwrap().insert(me.id());
                    me.set_name("ignored by the system");
                    assert_eq!(Task::current().name().as_deref(), Some("plain"));
                })
                .unwrap();
            s.spawn(|| ids.lock().unwrap().insert(Task::current().id()));
        });
        assert_eq!(ids.into_inner().unwrap().len(), 2);
    });
}

/// Panics of `main` and of tests said "from" a file of ours, where people look for theirs.
#[test]
fn the_first_coroutine_is_from_the_callers_file() {
    ropewalk_rt::__private::test(Default::default(), "the first", || {
        let info = listed(coroutine::current().id()).expect("it runs");
        let site = info.site().expect("known");
        assert!(site.file().ends_with("tasks.rs"), "{site}");
    });
}
