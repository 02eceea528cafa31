//! Batches: all or nothing, and nobody sees a half.

use ropewalk_process::manager::{Error, Refusal, Update, Value};
use ropewalk_rt::coroutine;

use super::stage::{await_stats, on_each, served};

#[test]
fn a_batch_gives_each_result() {
    let (_server, manager) = served();
    let (dict, list) = (manager.dict().unwrap(), manager.list().unwrap());
    let (value, queue) = (manager.value(1).unwrap(), manager.queue().unwrap());
    let array = manager.array([1, 2]).unwrap();
    let mut batch = manager.batch();
    batch.insert(&dict, "a", 1).unwrap();
    batch.update(&dict, "a", Update::add(1)).unwrap();
    batch.expect(&dict, "a", Some(&2)).unwrap();
    batch.push(&list, "x").unwrap();
    batch.set(&value, 5).unwrap();
    batch.put(&queue, 6).unwrap();
    batch.take(&queue).unwrap();
    batch.set_at(&array, 0, 7).unwrap();
    batch.update_at(&array, 1, Update::add(7)).unwrap();
    let nil = Value::Nil;
    let results = batch.run().unwrap();
    let expected: [Value; 9] = [
        nil.clone(),
        2.into(),
        nil.clone(),
        0.into(),
        1.into(),
        nil.clone(),
        6.into(),
        nil,
        9.into(),
    ];
    assert_eq!(results, expected);
    assert_eq!(array.to_vec::<u8>().unwrap(), [7, 9]);
    assert!(manager.batch().run().unwrap().is_empty());
}

/// Whatever fails it, in whatever order things were done, all is as before.
#[test]
fn a_failed_batch_changes_nothing() {
    let (_server, manager) = served();
    let (dict, list) = (manager.dict().unwrap(), manager.list().unwrap());
    let (value, queue) = (manager.value(1).unwrap(), manager.bounded_queue(2).unwrap());
    dict.extend([("a", 1), ("b", 2)]).unwrap();
    list.extend([1, 2, 3]).unwrap();
    queue.put("first").unwrap();
    let seen = || {
        (
            dict.items::<String, Value>().unwrap(),
            list.to_vec::<Value>().unwrap(),
            value.get::<Value>().unwrap(),
            queue.len().unwrap(),
        )
    };
    let before = seen();
    let mut batch = manager.batch();
    batch.insert(&dict, "a", "other").unwrap();
    batch.insert(&dict, "c", 3).unwrap();
    batch.remove(&dict, "b").unwrap();
    batch.update(&dict, "c", Update::add(1)).unwrap();
    batch.push(&list, 4).unwrap();
    batch.remove_at(&list, 0).unwrap();
    batch.set(&value, 2).unwrap();
    batch.update_value(&value, Update::add(3)).unwrap();
    batch.put(&queue, "second").unwrap();
    batch.take(&queue).unwrap();
    batch.put(&queue, "third").unwrap();
    batch.put(&queue, "too many").unwrap();
    let failed = batch.run().unwrap_err();
    let full = Refusal::InBatch {
        index: 11,
        refusal: Box::new(Refusal::Full),
    };
    assert_eq!(failed.refusal(), Some(&full));
    assert_eq!(seen(), before);
    assert_eq!(queue.get::<String>().unwrap(), "first");
    queue.task_done().unwrap();
    queue.join().unwrap();

    let mut batch = manager.batch();
    batch.insert(&dict, "a", 9).unwrap();
    batch.expect::<u8>(&dict, "b", None).unwrap();
    assert!(batch.run().is_err());
    assert_eq!(dict.get::<u8>("a").unwrap(), Some(1));
}

#[test]
fn nobody_sees_half_a_batch() {
    on_each(|| {
        let (_server, manager) = served();
        let accounts = manager.dict().unwrap();
        accounts.extend([("ann", 100), ("bob", 100)]).unwrap();
        coroutine::scope(|scope| {
            for sum in [1_i64, -1] {
                let (manager, accounts) = (&manager, &accounts);
                scope.spawn(move || {
                    for _ in 0..40 {
                        let mut batch = manager.batch();
                        batch.update(accounts, "ann", Update::add(sum)).unwrap();
                        batch.update(accounts, "bob", Update::add(-sum)).unwrap();
                        batch.run().unwrap();
                    }
                });
            }
            for _ in 0..40 {
                assert_eq!(accounts.values::<i64>().unwrap().iter().sum::<i64>(), 200);
            }
        });
        assert_eq!(accounts.values::<i64>().unwrap(), [100, 100]);
    });
}

#[test]
fn a_batch_serves_those_who_wait() {
    let (_server, manager) = served();
    let queue = manager.queue().unwrap();
    coroutine::scope(|scope| {
        let taker = scope.spawn(|| queue.get::<u8>());
        await_stats(&manager, "the taker", |stats| stats.waiting == 1);
        let mut batch = manager.batch();
        batch.put(&queue, 1).unwrap();
        batch.run().unwrap();
        assert_eq!(taker.join().unwrap().unwrap(), 1);
    });
}

#[test]
fn a_batch_is_of_one_manager() {
    let ((_server, manager), (_other_server, other)) = (served(), served());
    let (mine, theirs) = (manager.dict().unwrap(), other.dict().unwrap());
    let mut batch = manager.batch();
    batch.insert(&mine, "a", 1).unwrap();
    let refused = batch.insert(&theirs, "a", 1).unwrap_err();
    assert!(matches!(refused, Error::OtherManager));
}
