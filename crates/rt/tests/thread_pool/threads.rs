//! What is done on a pool's threads: names, the initialiser, the state of each.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use ropewalk_rt::executor::thread_pool::PoolBroken;
use ropewalk_rt::executor::{Refusal, ThreadPool};
use ropewalk_rt::{JoinError, Runtime, coroutine};

use crate::{Gate, occupy, wait_until, with_drivers};

fn name_of(pool: &ThreadPool) -> String {
    let name = || thread::current().name().map(str::to_owned);
    pool.spawn(name).unwrap().join().unwrap().unwrap()
}

#[test]
fn threads_are_called_as_asked() {
    with_drivers(|builder| {
        let pool = builder.max_threads(1).thread_name("crew").build().unwrap();
        assert_eq!(name_of(&pool), "crew-0");
    });
    with_drivers(|builder| {
        let pool = builder
            .max_threads(1)
            .name(|i| format!("hand {i}"))
            .build()
            .unwrap();
        assert_eq!(name_of(&pool), "hand 0");
    });
    let pool = ThreadPool::builder()
        .max_threads(1)
        .name(|_| panic!("no name"))
        .build()
        .unwrap();
    assert_eq!(name_of(&pool), "ropewalk-pool-0");
}

/// A name is made under a lock of the pool, by whoever submits. One that waited let another
/// coroutine of its worker run, which blocked the worker at that lock, for ever.
#[test]
fn a_name_does_not_wait() {
    with_drivers(|builder| {
        let name = |i| {
            coroutine::sleep(Duration::from_millis(50));
            format!("hand {i}")
        };
        let pool = Arc::new(builder.max_threads(2).name(name).build().unwrap());
        let runtime = Runtime::builder().workers(1).build().unwrap();
        let tasks = [0, 1].map(|_| {
            let pool = Arc::clone(&pool);
            runtime.spawn(move || name_of(&pool))
        });
        for task in tasks {
            assert!(task.join().unwrap().starts_with("ropewalk-pool-"));
        }
    });
}

#[test]
fn the_initialiser_runs_once_on_each_thread_before_its_tasks() {
    thread_local! {
        static READY: Cell<u32> = const { Cell::new(0) };
    }
    with_drivers(|builder| {
        let runs = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&runs);
        let pool = builder
            .max_threads(3)
            .initializer(move || {
                counted.fetch_add(1, Ordering::SeqCst);
                READY.set(READY.get() + 1);
            })
            .build()
            .unwrap();
        let gate = Gate::default();
        let handles: Vec<_> = (0..3)
            .map(|_| {
                let gate = gate.clone();
                pool.spawn(move || {
                    gate.pass();
                    READY.get()
                })
                .unwrap()
            })
            .collect();
        gate.await_waiting(3);
        gate.open();
        for handle in handles {
            assert_eq!(handle.join().unwrap(), 1);
        }
        assert_eq!(runs.load(Ordering::SeqCst), 3);
    });
}

#[test]
fn a_panicking_initialiser_breaks_the_pool_and_hangs_nobody() {
    with_drivers(|builder| {
        let pool = builder
            .max_threads(2)
            .initializer(|| panic!("no database"))
            .build()
            .unwrap();
        // The first may be taken, and is told by its handle, or refused.
        let told = match pool.spawn(|| 1) {
            Ok(handle) => match handle.join().unwrap_err() {
                JoinError::Failed(error) => error.to_string(),
                other => panic!("{other:?}"),
            },
            Err(refused) => refused.reason.to_string(),
        };
        assert!(told.contains("no database"), "{told}");
        let refused = pool.spawn(|| 2).unwrap_err();
        let Refusal::Broken(error) = &refused.reason else {
            panic!("{refused:?}");
        };
        assert_eq!(
            error.downcast_ref::<PoolBroken>().unwrap().message(),
            "no database"
        );
        assert_eq!((refused.into_work())(), 2);
        assert!(pool.is_closed());
        pool.join().unwrap();
    });
}

/// The second thread's initialiser panics: what runs goes on, what is queued is told.
#[test]
fn what_runs_goes_on_in_a_broken_pool() {
    with_drivers(|builder| {
        let threads = AtomicUsize::new(0);
        let pool = builder
            .max_threads(2)
            .initializer(move || assert_eq!(threads.fetch_add(1, Ordering::SeqCst), 0))
            .build()
            .unwrap();
        let gate = Gate::default();
        let inside = gate.clone();
        let first = pool
            .spawn(move || {
                inside.pass();
                "done"
            })
            .unwrap();
        gate.await_waiting(1);
        if let Ok(second) = pool.spawn(|| ()) {
            assert!(matches!(second.join(), Err(JoinError::Failed(_))));
        }
        gate.open();
        assert_eq!(first.join().unwrap(), "done");
        assert!(matches!(
            pool.spawn(|| ()).unwrap_err().reason,
            Refusal::Broken(_)
        ));
    });
}

#[test]
fn an_initialiser_that_panics_at_once_does_not_stop_the_builder() {
    with_drivers(|builder| {
        let pool = builder
            .max_threads(2)
            .min_threads(2)
            .initializer(|| panic!("at once"))
            .build()
            .unwrap();
        wait_until("the pool is broken", || pool.is_closed());
        drop(pool);
    });
}

struct Counted {
    used: Cell<u32>,
    alive: Arc<AtomicUsize>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

#[test]
fn each_thread_has_a_state_of_its_own_as_long_as_it_lives() {
    with_drivers(|builder| {
        let alive = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&alive);
        let pool = builder
            .max_threads(2)
            .keep_alive(Duration::from_millis(5))
            .state(move || {
                counter.fetch_add(1, Ordering::SeqCst);
                Counted {
                    used: Cell::new(0),
                    alive: Arc::clone(&counter),
                }
            })
            .build()
            .unwrap();
        assert_eq!(alive.load(Ordering::SeqCst), 0);
        let gate = Gate::default();
        let handles: Vec<_> = (0..2)
            .map(|_| {
                let gate = gate.clone();
                let task = move |state: &Counted| {
                    state.used.set(state.used.get() + 1);
                    gate.pass();
                    state.used.get()
                };
                pool.spawn_with(task).unwrap()
            })
            .collect();
        gate.await_waiting(2);
        assert_eq!(alive.load(Ordering::SeqCst), 2);
        gate.open();
        let used: Vec<u32> = handles.into_iter().map(|one| one.join().unwrap()).collect();
        assert_eq!(used, [1, 1]);
        wait_until("the states have gone with the threads", || {
            alive.load(Ordering::SeqCst) == 0
        });
        // A new thread, a new state.
        let used = |state: &Counted| state.used.replace(9);
        assert_eq!(pool.spawn_with(used).unwrap().join().unwrap(), 0);
        pool.close();
        pool.join().unwrap();
        assert_eq!(alive.load(Ordering::SeqCst), 0);
    });
}

/// Tasks of one thread take turns when they wait: they share its state.
#[test]
fn tasks_that_wait_share_the_state_of_their_thread() {
    with_drivers(|builder| {
        let pool = builder
            .max_threads(1)
            .state(|| Cell::new(0))
            .build()
            .unwrap();
        let barrier = Arc::new(ropewalk_rt::sync::Barrier::new(10));
        let handles: Vec<_> = (0..10)
            .map(|_| {
                let barrier = Arc::clone(&barrier);
                let task = move |state: &Cell<u32>| {
                    state.set(state.get() + 1);
                    barrier.wait();
                    state.get()
                };
                pool.spawn_with(task).unwrap()
            })
            .collect();
        for handle in handles {
            assert_eq!(handle.join().unwrap(), 10);
        }
    });
}

#[test]
fn a_state_whose_drop_panics_harms_nobody() {
    struct Sharp;
    impl Drop for Sharp {
        fn drop(&mut self) {
            panic!("at the end of the thread");
        }
    }
    with_drivers(|builder| {
        let pool = builder
            .max_threads(1)
            .keep_alive(Duration::ZERO)
            .state(|| Sharp)
            .build()
            .unwrap();
        for _ in 0..3 {
            pool.spawn(|| ()).unwrap().join().unwrap();
        }
    });
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let invalid = |builder: ropewalk_rt::executor::thread_pool::ThreadPoolBuilder| {
        assert_eq!(
            builder.build().unwrap_err().kind(),
            std::io::ErrorKind::InvalidInput
        );
    };
    let builder = ThreadPool::builder;
    invalid(builder().max_threads(0));
    invalid(builder().max_threads(1025));
    invalid(builder().max_threads(2).min_threads(3));
    invalid(builder().queue(0));
    invalid(builder().concurrency(0));
    invalid(builder().thread_name("a\0b"));
}

#[test]
fn the_pool_is_as_described() {
    let pool = ThreadPool::builder().max_threads(1).build().unwrap();
    let gate = occupy(&pool);
    let text = format!("{pool:?}");
    assert!(
        text.contains("max_threads: 1, live_threads: 1, queued: 0, running: 1"),
        "{text}"
    );
    gate.open();
}
