//! Ten processes that use objects of all kinds, and processes of another tree, over TCP.

use std::collections::BTreeSet;

use ropewalk_process::manager::{
    ArrayProxy, BarrierProxy, ConditionProxy, DictProxy, EventProxy, ListProxy, LockProxy, Manager,
    NamespaceProxy, ObjectProxy, QueueProxy, RLockProxy, SemaphoreProxy, Update, Value, ValueProxy,
};
use ropewalk_rt::coroutine;
use serde::{Deserialize, Serialize};

use super::children::{Other, decode};
use super::served::Counter;
use super::stage::await_stats;

const PROCESSES: u64 = 10;
const ROUNDS: u64 = 10;

#[derive(Serialize, Deserialize)]
struct All {
    number: u64,
    dict: DictProxy,
    list: ListProxy,
    space: NamespaceProxy,
    tasks: QueueProxy,
    results: QueueProxy,
    value: ValueProxy,
    array: ArrayProxy,
    lock: LockProxy,
    rlock: RLockProxy,
    semaphore: SemaphoreProxy,
    bounded: SemaphoreProxy,
    condition: ConditionProxy,
    event: EventProxy,
    barrier: BarrierProxy,
    counter: ObjectProxy,
}

fn all(manager: &Manager, number: u64) -> All {
    All {
        number,
        dict: manager.named("dict").dict().unwrap(),
        list: manager.named("list").list().unwrap(),
        space: manager.named("space").namespace().unwrap(),
        tasks: manager.named("tasks").bounded_queue(3).unwrap(),
        results: manager.named("results").queue().unwrap(),
        value: manager.named("value").value(0).unwrap(),
        array: manager
            .named("array")
            .array([0; PROCESSES as usize])
            .unwrap(),
        lock: manager.named("lock").lock().unwrap(),
        rlock: manager.named("rlock").rlock().unwrap(),
        semaphore: manager.named("semaphore").semaphore(3).unwrap(),
        bounded: manager.named("bounded").bounded_semaphore(3).unwrap(),
        condition: manager.named("condition").condition().unwrap(),
        event: manager.named("event").event().unwrap(),
        barrier: manager.named("barrier").barrier(PROCESSES as u32).unwrap(),
        counter: manager.named("counter").object::<Counter>(0).unwrap(),
    }
}

pub(crate) fn use_all_kinds(orders: &[u8]) {
    let all: All = decode(orders);
    // A coroutine beside the thread, over the same connection.
    coroutine::scope(|scope| {
        scope.spawn(|| take_tasks(&all));
        use_each(&all);
    });
}

fn take_tasks(all: &All) {
    while let Ok(task) = all.tasks.get::<u64>() {
        all.results.put(task * task).unwrap();
        all.tasks.task_done().unwrap();
    }
}

fn use_each(all: &All) {
    all.event.wait().unwrap();
    for round in 0..ROUNDS {
        // Not atomic but for the lock.
        let guard = all.lock.lock().unwrap();
        let old: u64 = all.value.get().unwrap();
        all.value.set(old + 1).unwrap();
        guard.unlock().unwrap();

        let outer = all.rlock.lock().unwrap();
        let inner = all.rlock.lock().unwrap();
        let depth: u64 = all.space.get("depth").unwrap_or(0);
        all.space.set("depth", depth + 1).unwrap();
        drop((outer, inner));

        for semaphore in [&all.semaphore, &all.bounded] {
            let permit = semaphore.acquire().unwrap();
            let inside: i64 = all.dict.update_or("inside", 0, Update::add(1)).unwrap();
            assert!((1..=6).contains(&inside), "{inside}");
            all.dict.update::<i64>("inside", Update::add(-1)).unwrap();
            permit.release().unwrap();
        }

        all.dict.insert((all.number, round), "done").unwrap();
        all.list.push((all.number, round)).unwrap();
        all.array
            .update::<u64>(all.number as usize, Update::add(1))
            .unwrap();
        all.counter.call::<i64>("add", &1).unwrap();
        all.tasks.put(all.number * ROUNDS + round).unwrap();
    }
    all.barrier.wait().unwrap();
    let guard = all.condition.lock().unwrap();
    all.space
        .set(&format!("ready {}", all.number), true)
        .unwrap();
    guard.notify_all().unwrap();
}

#[test]
fn ten_processes_use_all_kinds_of_objects() {
    let manager = Manager::start().unwrap();
    let mine = all(&manager, PROCESSES);
    let others: Vec<_> = (0..PROCESSES)
        .map(|number| Other::start("all-kinds", &all(&manager, number)))
        .collect();
    mine.event.set().unwrap();

    let mut guard = mine.condition.lock().unwrap();
    while mine.space.names().unwrap().len() < 1 + PROCESSES as usize {
        guard.wait().unwrap();
    }
    guard.unlock().unwrap();
    let count = PROCESSES * ROUNDS;
    mine.tasks.join().unwrap();
    mine.tasks.close().unwrap();
    others.into_iter().for_each(Other::finish);

    let results: BTreeSet<u64> = (0..count).map(|_| mine.results.get().unwrap()).collect();
    assert_eq!(results, (0..count).map(|task| task * task).collect());
    assert_eq!(mine.value.get::<u64>().unwrap(), count);
    assert_eq!(mine.space.get::<u64>("depth").unwrap(), count);
    assert_eq!(
        mine.array.to_vec::<u64>().unwrap(),
        [ROUNDS; PROCESSES as usize]
    );
    assert_eq!(mine.counter.call::<i64>("add", &0).unwrap(), count as i64);
    assert_eq!(mine.list.len().unwrap() as u64, count);
    assert_eq!(mine.dict.len().unwrap() as u64, count + 1);
    assert_eq!(
        mine.dict.get::<Value>(&(3, 7)).unwrap(),
        Some(Value::from("done"))
    );
    await_stats(&manager, "the others to be gone", |stats| {
        (stats.clients, stats.waiting, stats.leases) == (1, 0, 0)
    });
    manager.shutdown().unwrap();
}

pub(crate) fn use_over_tcp(orders: &[u8]) {
    let (address, key): (String, Vec<u8>) = decode(orders);
    let manager = Manager::connect(address.as_str(), key).unwrap();
    let mine = manager.named("mine").list().unwrap();
    let guard = manager.named("lock").lock().unwrap().lock().unwrap();
    mine.push("from another tree").unwrap();
    drop(guard);
    // A proxy that came as a value needs the key, which is known here.
    let shared: QueueProxy = manager
        .named("registry")
        .dict()
        .unwrap()
        .get("queue")
        .unwrap()
        .unwrap();
    shared.put(mine).unwrap();
    // This process stays until it was used elsewhere.
    manager.named("done").event().unwrap().wait().unwrap();
}

#[test]
fn another_process_tree_over_tcp() {
    for bind in ["127.0.0.1:0", "[::1]:0"] {
        let server = Manager::builder()
            .bind(bind)
            .key(b"hawser")
            .serve()
            .unwrap();
        let manager = server.manager().unwrap();
        let queue = manager.queue().unwrap();
        let registry = manager.named("registry").dict().unwrap();
        registry.insert("queue", &queue).unwrap();
        let orders = (server.address().to_string(), b"hawser".to_vec());
        let other = Other::start("over-tcp", &orders);
        let list: ListProxy = queue.get().unwrap();
        assert_eq!(list.to_vec::<String>().unwrap(), ["from another tree"]);
        manager.named("done").event().unwrap().set().unwrap();
        other.finish();
        assert_eq!(server.wrong_keys() + server.strangers(), 0);
    }
}
