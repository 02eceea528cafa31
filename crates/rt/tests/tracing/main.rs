//! Spans and events of tasks, seen by a subscriber of our own. In a process of its own: there is one
//! subscriber for all threads.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ropewalk_rt::coroutine::Builder;
use ropewalk_rt::sync::Semaphore;
use ropewalk_rt::{DriverKind, Runtime, coroutine, spawn_async};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Default, Debug, Clone)]
struct Seen {
    fields: HashMap<String, String>,
    /// Spans' closes, enters and exits, and events, in order.
    told: Vec<String>,
    entered_by: Vec<std::thread::ThreadId>,
    depth: i32,
}

/// Writes down what it is told; panics when it is told of a task named `cursed`.
#[derive(Clone, Default)]
struct Scribe {
    spans: Arc<Mutex<HashMap<u64, Seen>>>,
    next: Arc<AtomicU64>,
    handles: Arc<Mutex<HashMap<u64, u64>>>,
}

impl Scribe {
    fn spans(&self) -> MutexGuard<'_, HashMap<u64, Seen>> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn handles(&self) -> MutexGuard<'_, HashMap<u64, u64>> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The span of the task with this name, once it is closed.
    fn closed(&self, name: &str) -> Seen {
        let patience = Instant::now() + PATIENCE;
        loop {
            let found = self.spans().values().find_map(|seen| {
                let is_it = seen
                    .fields
                    .get("task.name")
                    .is_some_and(|known| known == name);
                let is_closed = seen.told.last().is_some_and(|last| last == "close");
                (is_it && is_closed).then(|| seen.clone())
            });
            if let Some(found) = found {
                return found;
            }
            assert!(Instant::now() < patience, "{name}: {:?}", self.spans());
            std::thread::yield_now();
        }
    }
}

struct Fields<'a>(&'a mut HashMap<String, String>);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.insert(field.name().into(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().into(), value.into());
    }
}

impl Subscriber for Scribe {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "ropewalk"
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        assert!(attributes.is_root());
        let id = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        let mut seen = Seen::default();
        attributes.record(&mut Fields(&mut seen.fields));
        self.handles().insert(id, 1);
        self.spans().insert(id, seen);
        Id::from_u64(id)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = HashMap::new();
        event.record(&mut Fields(&mut fields));
        let id = event.parent().expect("of a task").into_u64();
        let mut spans = self.spans();
        let seen = spans.get_mut(&id).expect("a span");
        let mut text = fields["message"].clone();
        if let Some(reason) = fields.get("reason") {
            text = format!("{text}: {reason}");
        }
        seen.told.push(text);
        let is_cursed = seen
            .fields
            .get("task.name")
            .is_some_and(|name| name == "cursed");
        drop(spans);
        assert!(!is_cursed, "a subscriber that panics");
    }

    fn enter(&self, id: &Id) {
        let mut spans = self.spans();
        let seen = spans.get_mut(&id.into_u64()).expect("a span");
        seen.told.push("enter".into());
        seen.entered_by.push(std::thread::current().id());
        seen.depth += 1;
        assert_eq!(seen.depth, 1, "one turn at a time");
    }

    fn exit(&self, id: &Id) {
        let mut spans = self.spans();
        let seen = spans.get_mut(&id.into_u64()).expect("a span");
        seen.told.push("exit".into());
        seen.depth -= 1;
        assert_eq!(seen.depth, 0);
    }

    fn clone_span(&self, id: &Id) -> Id {
        *self.handles().get_mut(&id.into_u64()).expect("a span") += 1;
        id.clone()
    }

    fn try_close(&self, id: Id) -> bool {
        let mut handles = self.handles();
        let count = handles.get_mut(&id.into_u64()).expect("a span");
        *count -= 1;
        let is_last = *count == 0;
        drop(handles);
        if is_last {
            let mut spans = self.spans();
            spans
                .get_mut(&id.into_u64())
                .expect("a span")
                .told
                .push("close".into());
        }
        is_last
    }
}

fn runtimes() -> Vec<Runtime> {
    let mut drivers = vec![DriverKind::Epoll];
    if DriverKind::IoUring.check().is_ok() {
        drivers.push(DriverKind::IoUring);
    }
    let all = drivers.into_iter().flat_map(|driver| {
        [1, 2].map(|workers| {
            let builder = Runtime::builder().workers(workers).driver(driver);
            builder.build().unwrap()
        })
    });
    all.collect()
}

#[test]
fn a_subscriber_sees_what_tasks_do() {
    let scribe = Scribe::default();
    tracing::subscriber::set_global_default(scribe.clone()).unwrap();
    for (round, runtime) in runtimes().into_iter().enumerate() {
        let name = |what: &str| format!("{what} {round}");
        let gate = Arc::new(Semaphore::new(0));
        let ids = runtime.run(|| {
            let waiter = {
                let gate = gate.clone();
                let body = move || {
                    coroutine::yield_now();
                    drop(gate.acquire());
                };
                Builder::new().name(name("waiter")).spawn(body).unwrap()
            };
            let future = {
                let gate = gate.clone();
                async move { drop(gate.acquire_async().await) }
            };
            let task = Builder::new()
                .name(name("task"))
                .spawn_async(future)
                .unwrap();
            let cursed = Builder::new()
                .name("cursed")
                .spawn(coroutine::yield_now)
                .unwrap();
            let ids = (coroutine::current().id(), waiter.id());
            // Both wait before they may go on.
            while !coroutine::list()
                .iter()
                .any(|info| info.id() == ids.1 && info.waits_for() == "waiting for a permit")
                || !runtime.dump().to_string().contains("waiting for a waker")
            {
                coroutine::yield_now();
            }
            gate.add_permits(2);
            waiter.join().unwrap();
            task.join().unwrap();
            cursed.join().unwrap();
            // Fresh ones by the hundred take over each other's stacks without the feature.
            let short: Vec<_> = (0..300)
                .map(|n| {
                    let builder = Builder::new().name(format!("short {round}.{n}"));
                    builder.spawn(|| ()).unwrap()
                })
                .collect();
            short.into_iter().for_each(|short| short.join().unwrap());
            spawn_async(async {}).join().unwrap();
            ids
        });
        let waiter = scribe.closed(&name("waiter"));
        assert_eq!(
            waiter.told,
            [
                "spawn",
                "enter",
                "resume",
                "park: runnable",
                "exit",
                "enter",
                "resume",
                "park: waiting for a permit",
                "exit",
                "enter",
                "resume",
                "end",
                "exit",
                "close"
            ]
        );
        assert_eq!(waiter.fields["id"], ids.1.to_string());
        assert_eq!(waiter.fields["spawner"], ids.0.to_string());
        assert_eq!(waiter.fields["kind"], "coroutine");
        assert!(waiter.fields["spawned_at"].contains(file!()));
        assert!(waiter.entered_by.windows(2).all(|pair| pair[0] == pair[1]));
        let task = scribe.closed(&name("task"));
        assert_eq!(
            task.told,
            [
                "spawn", "enter", "resume", "pending", "exit", "enter", "resume", "end", "exit",
                "close"
            ]
        );
        assert_eq!(task.fields["kind"], "async task");
        for n in 0..300 {
            let short = scribe.closed(&format!("short {round}.{n}"));
            assert_eq!(
                short.told,
                ["spawn", "enter", "resume", "end", "exit", "close"]
            );
        }
        runtime.shutdown(PATIENCE).unwrap();
    }
    a_task_that_never_ran_is_closed(&scribe);
}

fn a_task_that_never_ran_is_closed(scribe: &Scribe) {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    runtime.run(|| {
        let builder = Builder::new().name("never");
        let never = builder.spawn(|| unreachable!("it was cancelled")).unwrap();
        never.cancel();
        assert!(never.join().is_err());
    });
    let never = scribe.closed("never");
    assert!(never.told.contains(&"spawn".to_string()), "{never:?}");
    runtime.shutdown(PATIENCE).unwrap();
}
