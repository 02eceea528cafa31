//! Every reason for which a task can wait is in the dump by its name, each kind of task too.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ropewalk_rt::cancel::Token;
use ropewalk_rt::channel::{bounded, select};
use ropewalk_rt::coroutine::Builder;
use ropewalk_rt::generator::Generator;
use ropewalk_rt::inspect::{Kind, State};
use ropewalk_rt::net::{TcpListener, TcpStream};
use ropewalk_rt::queue::Queue;
use ropewalk_rt::sync::{Barrier, Condvar, Event, Mutex, Once, Semaphore};
use ropewalk_rt::{JoinHandle, Runtime, promise, spawn, unblock};

use crate::stage::{answered_until, dump_until, named, on_each, runtime, stands, waits};

const FAR: Duration = Duration::from_secs(1000);

fn start(name: &str, f: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    Builder::new().name(name).spawn(f).expect("a coroutine")
}

#[test]
fn each_reason_is_named() {
    on_each(|runtime| {
        runtime.run(|| {
            let gate = Arc::new(Semaphore::new(0));
            let event = Arc::new(Event::new());
            let lock = Arc::new(Mutex::new(()));
            let condition = Arc::new(Condvar::new());
            let once = Arc::new(Once::new());
            let barrier = Arc::new(Barrier::new(2));
            let queue = Arc::new(Queue::<u8>::with_maxsize(1));
            let (sender, receiver) = bounded::<u8>(1);
            let (full, drain) = bounded::<u8>(0);
            let (selected, selectable) = bounded::<u8>(0);
            let (promise, handle) = promise::<u8>();
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let mut near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (mut far, _) = listener.accept().unwrap();
            let mut clogged = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (unread, _) = listener.accept().unwrap();
            let (unblocked, blocking) = std::sync::mpsc::channel::<()>();
            let token = Token::new();

            let held = lock.lock();
            let mut handles = Vec::new();
            let mut expected = Vec::new();
            let mut waiter = |reason: &'static str, f: Box<dyn FnOnce() + Send>| {
                expected.push(reason);
                handles.push(start(reason, f));
            };
            let (g, t) = (gate.clone(), token.clone());
            waiter(
                "sleeping",
                Box::new(move || {
                    t.run(|| {
                        let _ = ropewalk_rt::cancel::sleep(FAR);
                    })
                }),
            );
            waiter(
                "joining",
                Box::new(move || {
                    let child = spawn(move || drop(g.acquire()));
                    child.join().unwrap();
                }),
            );
            let g = gate.clone();
            waiter(
                "waiting for a scope's children",
                Box::new(move || {
                    ropewalk_rt::scope(|s| {
                        s.spawn(|| drop(g.acquire()));
                    });
                }),
            );
            let l = lock.clone();
            waiter("locking", Box::new(move || drop(l.lock())));
            let (c, done) = (condition.clone(), Arc::new(AtomicBool::new(false)));
            let is_done = done.clone();
            waiter(
                "waiting for a condition",
                Box::new(move || {
                    let own = Mutex::new(());
                    let mut guard = own.lock();
                    while !is_done.load(Ordering::SeqCst) {
                        c.wait_for(&mut guard, FAR);
                    }
                }),
            );
            waiter(
                "receiving",
                Box::new(move || {
                    let _ = receiver.recv();
                }),
            );
            waiter(
                "sending",
                Box::new(move || {
                    let _ = full.send(1);
                }),
            );
            waiter(
                "reading",
                Box::new(move || {
                    near.read_exact(&mut [0]).unwrap();
                }),
            );
            waiter(
                "writing",
                Box::new(move || {
                    let megabyte = vec![0; 1 << 20];
                    while clogged.write_all(&megabyte).is_ok() {}
                }),
            );
            waiter(
                "waiting for the blocking pool",
                Box::new(move || {
                    unblock(move || {
                        let _ = blocking.recv();
                    })
                }),
            );
            let g = gate.clone();
            waiter(
                "awaiting a future",
                Box::new(move || drop(ropewalk_rt::block_on(g.acquire_async()))),
            );
            let g = gate.clone();
            waiter(
                "switching with a generator",
                Box::new(move || {
                    let mut body = Generator::<(), (), ()>::new(move |_, ()| drop(g.acquire()));
                    body.resume(());
                }),
            );
            let g = gate.clone();
            waiter("waiting for a permit", Box::new(move || drop(g.acquire())));
            let e = event.clone();
            waiter(
                "waiting for an event",
                Box::new(move || {
                    let _ = e.wait();
                }),
            );
            let b = barrier.clone();
            waiter(
                "waiting at a barrier",
                Box::new(move || {
                    b.wait();
                }),
            );
            let (o, g) = (once.clone(), gate.clone());
            let initialiser = start("initialiser", move || o.call_once(|| drop(g.acquire())));
            while !waits(&runtime.dump(), "initialiser", "waiting for a permit") {
                ropewalk_rt::coroutine::yield_now();
            }
            waiter(
                "waiting for an initialisation",
                Box::new(move || once.wait()),
            );
            waiter(
                "selecting",
                Box::new(move || {
                    let (_kept, nothing) = bounded::<u8>(1);
                    select! {
                        recv(nothing) -> _ => {}
                        recv(selectable) -> message => assert_eq!(message, Ok(2)),
                    }
                }),
            );
            waiter(
                "waiting for a promise",
                Box::new(move || drop(handle.join())),
            );
            let q = queue.clone();
            waiter(
                "waiting for a queue",
                Box::new(move || {
                    let _ = q.get();
                }),
            );

            let dump = answered_until(runtime, |dump| {
                expected.iter().all(|reason| stands(dump, reason, reason))
            });
            for reason in &expected {
                let (group, task) = named(&dump, reason).unwrap();
                assert_eq!((group.state, task.kind), (State::Parked, Kind::Coroutine));
                assert!(!group.stack.is_empty(), "{reason}: {dump}");
                assert!(task.waiting.is_some(), "{reason}: {dump}");
                assert!(dump.to_string().contains(reason));
            }
            let (_, sleeping) = named(&dump, "sleeping").unwrap();
            let left = sleeping.deadline.expect("a sleeper has a deadline");
            assert!(left <= FAR && left > FAR / 2, "{left:?}");
            let (_, permit) = named(&dump, "waiting for a permit").unwrap();
            assert_eq!(permit.deadline, None);

            // Let all go.
            token.cancel();
            gate.add_permits(1000);
            drop(held);
            done.store(true, Ordering::SeqCst);
            condition.notify_all();
            sender.send(1).unwrap();
            assert_eq!(drain.recv(), Ok(1));
            selected.send(2).unwrap();
            far.write_all(&[0]).unwrap();
            drop(unread);
            drop(unblocked);
            event.set();
            barrier.wait();
            promise.set(1).unwrap();
            queue.put(1).unwrap();
            for handle in handles {
                handle.join().unwrap();
            }
            initialiser.join().unwrap();
        });
    });
}

/// The waits for a runtime, and for the file system.
#[test]
fn what_few_wait_for_is_named_too() {
    on_each(|runtime| {
        let builder = Runtime::builder().workers(1).driver(runtime.driver());
        let full = builder.watch(None).max_coroutines(2).build().unwrap();
        let gate = Arc::new(Semaphore::new(0));
        let g = gate.clone();
        let holder = full.spawn(move || drop(g.acquire()));
        let spawner = full.spawn(|| spawn(|| ()).join().unwrap());
        dump_until(&full, |dump| {
            let mut groups = dump.groups.iter();
            groups.any(|group| group.reason == Some("waiting for a place to spawn"))
        });

        let path = std::env::temp_dir().join(format!("ropewalk-reasons-{}", std::process::id()));
        // What an earlier process of this number has left.
        let _ = std::fs::remove_file(&path);
        let c_path = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
        // SAFETY: a path that ends with a zero.
        assert_eq!(unsafe { libc::mkfifo(c_path.as_ptr(), 0o600) }, 0);
        let fifo = path.clone();
        let ending = "waiting for a runtime to fall quiet";
        let opening = [
            "waiting for the file system",
            "waiting for the blocking pool",
        ];
        let handles = runtime.run(|| {
            let ending = start(ending, move || full.shutdown(FAR).unwrap());
            let opening = start("opening", move || {
                drop(ropewalk_rt::fs::File::open(fifo).unwrap())
            });
            [ending, opening]
        });
        dump_until(runtime, |dump| {
            waits(dump, ending, ending) && opening.iter().any(|one| waits(dump, "opening", one))
        });
        gate.add_permits(1);
        // It stays, and so does the name: who waits in the pool looks for both once more.
        let writer = std::fs::OpenOptions::new().write(true).open(&path);
        for handle in [holder, spawner].into_iter().chain(handles) {
            handle.join().unwrap();
        }
        drop(writer.unwrap());
        std::fs::remove_file(&path).unwrap();
    });
}

/// The states other than a coroutine's wait: fresh, queued, running; async tasks, threads.
#[test]
fn states_and_kinds_are_told_apart() {
    let runtime = runtime(1);
    let (gate, barred) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let thread = {
        let gate = barred.clone();
        let builder = ropewalk_rt::thread::Builder::new().name("a thread");
        builder.spawn(move || drop(gate.acquire())).unwrap()
    };
    runtime.run(|| {
        let spawn_async = |name: &str, blocks: bool| {
            let gate = gate.clone();
            let future = async move {
                if blocks {
                    drop(gate.acquire());
                } else {
                    drop(gate.acquire_async().await);
                }
            };
            Builder::new().name(name).spawn_async(future).unwrap()
        };
        let handles = [spawn_async("patient", false), spawn_async("blocked", true)];
        let dump = answered_until(&runtime, |dump| {
            waits(dump, "patient", "waiting for a waker")
                && stands(dump, "blocked", "waiting for a permit")
        });
        let (group, patient) = named(&dump, "patient").unwrap();
        assert_eq!(
            (group.state, patient.kind),
            (State::Parked, Kind::AsyncTask)
        );
        assert!(group.stack.is_empty());
        let (group, blocked) = named(&dump, "blocked").unwrap();
        assert_eq!(
            (group.state, blocked.kind),
            (State::Parked, Kind::AsyncTask)
        );
        assert!(!group.stack.is_empty());
        // Who asked waits for the answer; and who it spawned knows its parent.
        let (group, main) = named(&dump, "main").unwrap();
        assert_eq!(
            (group.state, group.reason),
            (State::Parked, Some("joining"))
        );
        assert_eq!(patient.parent, Some(main.id));
        gate.add_permits(2);
        for handle in handles {
            handle.join().unwrap();
        }

        // Nothing else runs here while this computes, and it dumps from another thread.
        let fresh = start("fresh", || ());
        let yielded = start("queued", ropewalk_rt::coroutine::yield_now);
        let dump = std::thread::scope(|s| s.spawn(|| runtime.dump()).join().unwrap());
        let (group, _) = named(&dump, "fresh").unwrap();
        assert_eq!((group.state, group.reason), (State::Fresh, None));
        let (group, _) = named(&dump, "main").unwrap();
        assert_eq!(group.state, State::Running);
        fresh.join().unwrap();
        yielded.join().unwrap();
    });
    let patience = Instant::now() + Duration::from_secs(120);
    loop {
        let everything = ropewalk_rt::inspect::dump();
        let (group, task) = named(&everything, "a thread").expect("threads are there too");
        assert_eq!(task.kind, Kind::Thread);
        if (group.state, group.reason) == (State::Blocked, Some("waiting for a permit")) {
            break;
        }
        // It has not come so far yet.
        assert!(Instant::now() < patience, "{everything}");
    }
    assert!(
        named(&runtime.dump(), "a thread").is_none(),
        "it is of no runtime"
    );
    barred.add_permits(1);
    thread.join().unwrap();
}

#[test]
fn a_coroutine_that_gave_way_is_queued() {
    let runtime = runtime(1);
    let stop = Arc::new(AtomicBool::new(false));
    let yields = {
        let stop = stop.clone();
        runtime.spawn(move || {
            while !stop.load(Ordering::SeqCst) {
                ropewalk_rt::coroutine::yield_now();
            }
        })
    };
    let dump = dump_until(&runtime, |dump| {
        let mut groups = dump.groups.iter();
        groups.any(|group| group.state == State::Queued && !group.stack.is_empty())
    });
    assert_eq!(dump.groups.len(), 1);
    stop.store(true, Ordering::SeqCst);
    yields.join().unwrap();
}
