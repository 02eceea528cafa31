//! Dicts, lists, namespaces, values and arrays.

use std::collections::BTreeMap;

use ropewalk_process::manager::{Error, Refusal, Update, Value};
use ropewalk_rt::coroutine;
use serde::{Deserialize, Serialize};

use super::stage::{on_each, served};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Knot {
    name: String,
    turns: u32,
    uses: Vec<Use>,
    #[serde(default)]
    note: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Use {
    Climbing,
    Sailing { boats: u8 },
    Other(String),
}

fn knot() -> Knot {
    Knot {
        name: "bowline".into(),
        turns: 2,
        uses: vec![
            Use::Climbing,
            Use::Sailing { boats: 3 },
            Use::Other("x".into()),
        ],
        note: None,
    }
}

#[test]
fn dicts_hold_mixed_types() {
    on_each(|| {
        let (_server, manager) = served();
        let dict = manager.dict().unwrap();
        dict.insert("number", -7).unwrap();
        dict.insert(3, "text under a number").unwrap();
        dict.insert(("a", true), knot()).unwrap();
        dict.insert("bytes", vec![0_u8, 255, 128]).unwrap();
        dict.insert("none", None::<u8>).unwrap();
        dict.insert("large", u64::MAX).unwrap();
        dict.insert("float", 0.1).unwrap();

        assert_eq!(dict.get::<i8>("number").unwrap(), Some(-7));
        assert_eq!(
            dict.get::<String>(&3).unwrap().unwrap(),
            "text under a number"
        );
        assert_eq!(dict.get::<Knot>(&("a", true)).unwrap(), Some(knot()));
        assert_eq!(
            dict.get::<Vec<u8>>("bytes").unwrap(),
            Some(vec![0, 255, 128])
        );
        assert_eq!(dict.get::<Option<u8>>("none").unwrap(), Some(None));
        assert_eq!(dict.get::<u64>("large").unwrap(), Some(u64::MAX));
        assert_eq!(dict.get::<f64>("float").unwrap(), Some(0.1));
        assert_eq!(dict.get::<u8>("absent").unwrap(), None);
        assert_eq!(dict.len().unwrap(), 7);
        assert!(dict.contains_key(3).unwrap());

        let wrong = dict.get::<String>("number").unwrap_err();
        assert!(matches!(wrong, Error::WrongType(_)), "{wrong}");
        assert!(matches!(
            dict.get::<u8>("number").unwrap_err(),
            Error::WrongType(_)
        ));

        let keys: Vec<Value> = dict.keys().unwrap();
        assert_eq!(keys[0], Value::from(3), "numbers come before texts");
        assert_eq!(dict.replace("number", 8).unwrap(), Some(-7));
        assert_eq!(dict.remove::<i32>("number").unwrap(), Some(8));
        assert_eq!(dict.remove::<i32>("number").unwrap(), None);
        dict.clear().unwrap();
        assert!(dict.is_empty().unwrap());
    });
}

#[test]
fn structs_are_read_by_another_build_with_more_fields() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Later {
        turns: u64,
        name: String,
        #[serde(default)]
        load: u32,
    }
    let (_server, manager) = served();
    let value = manager.value(knot()).unwrap();
    let later: Later = value.get().unwrap();
    assert_eq!(
        (later.turns, later.name.as_str(), later.load),
        (2, "bowline", 0)
    );
    let parts: BTreeMap<String, Value> = value.get().unwrap();
    assert_eq!(parts["turns"], Value::from(2));
}

#[test]
fn updates_happen_in_one_step() {
    on_each(|| {
        let (_server, manager) = served();
        let dict = manager.dict().unwrap();
        let array = manager.array([0, 0]).unwrap();
        let value = manager.value(0).unwrap();
        coroutine::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        dict.update_or::<u64>("n", &0, Update::add(1)).unwrap();
                        array.update::<i64>(1, Update::add(-1)).unwrap();
                        value.update::<i64>(Update::max(7)).unwrap();
                        dict.update_with("m", |old: Option<&u32>| Some(old.unwrap_or(&0) + 1))
                            .unwrap();
                    }
                });
            }
        });
        assert_eq!(dict.get::<u64>("n").unwrap(), Some(400));
        assert_eq!(dict.get::<u64>("m").unwrap(), Some(400));
        assert_eq!(array.to_vec::<i64>().unwrap(), [0, -400]);
        assert_eq!(value.get::<i64>().unwrap(), 7);
    });
}

#[test]
fn what_cannot_be_updated_stays() {
    let (_server, manager) = served();
    let dict = manager.dict().unwrap();
    dict.insert("text", "rope").unwrap();
    dict.insert("number", i64::MAX).unwrap();
    dict.insert("huge", u64::MAX).unwrap();
    let refused = |result: ropewalk_process::manager::Result<Value>| {
        result.unwrap_err().refusal().cloned().expect("a refusal")
    };
    assert!(matches!(
        refused(dict.update("text", Update::add(1))),
        Refusal::Unsuitable(_)
    ));
    assert!(matches!(
        refused(dict.update("number", Update::append(1))),
        Refusal::Unsuitable(_)
    ));
    assert_eq!(
        refused(dict.update("huge", Update::add(1))),
        Refusal::Overflow
    );
    assert_eq!(
        refused(dict.update("absent", Update::add(1))),
        Refusal::NoSuchKey
    );
    assert_eq!(
        dict.update::<u64>("number", Update::add(1)).unwrap(),
        1 << 63
    );
    assert_eq!(
        dict.update::<String>("text", Update::append("walk"))
            .unwrap(),
        "ropewalk"
    );
    assert_eq!(
        dict.update::<f64>("number", Update::add(0.5)).unwrap(),
        9_223_372_036_854_775_808.0
    );
}

#[test]
fn compare_and_set() {
    let (_server, manager) = served();
    let dict = manager.dict().unwrap();
    assert_eq!(dict.compare_exchange("k", None, Some(&1)).unwrap(), Ok(()));
    assert_eq!(
        dict.compare_exchange("k", None, Some(&2)).unwrap(),
        Err(Some(1))
    );
    assert_eq!(
        dict.compare_exchange("k", Some(&1), Some(&2)).unwrap(),
        Ok(())
    );
    assert_eq!(dict.compare_exchange("k", Some(&2), None).unwrap(), Ok(()));
    assert_eq!(
        dict.compare_exchange("k", Some(&2), None).unwrap(),
        Err(None)
    );
    assert_eq!(dict.get_or_insert("k", 5).unwrap(), 5);
    assert_eq!(dict.get_or_insert("k", 6).unwrap(), 5);

    let value = manager.value(f64::NAN).unwrap();
    assert_eq!(value.compare_exchange(&f64::NAN, &1.0).unwrap(), Ok(()));
    assert_eq!(value.compare_exchange(&2.0, &3.0).unwrap(), Err(1.0));
    assert_eq!(value.swap(4.0).unwrap(), 1.0);
}

#[test]
fn lists() {
    on_each(|| {
        let (_server, manager) = served();
        let list = manager.list().unwrap();
        assert_eq!(list.push(3).unwrap(), 0);
        assert_eq!(list.push("b").unwrap(), 1);
        list.extend([1, 2]).unwrap();
        list.insert(0, "first").unwrap();
        assert_eq!(list.len().unwrap(), 5);
        assert_eq!(list.get::<String>(0).unwrap().unwrap(), "first");
        assert_eq!(list.get::<String>(9).unwrap(), None);
        assert_eq!(list.position("b").unwrap(), Some(2));
        assert_eq!(list.position("c").unwrap(), None);
        list.sort().unwrap();
        let sorted: Vec<Value> = list.to_vec().unwrap();
        let expected: Vec<Value> = vec![1.into(), 2.into(), 3.into(), "b".into(), "first".into()];
        assert_eq!(sorted, expected);
        list.reverse().unwrap();
        assert_eq!(
            list.slice::<Value>(1..3).unwrap(),
            [Value::from("b"), Value::from(3)]
        );
        let backwards = std::ops::Range { start: 4, end: 2 };
        assert_eq!(list.slice::<Value>(backwards).unwrap(), []);
        assert_eq!(list.pop::<i32>().unwrap(), Some(1));
        assert_eq!(list.remove::<String>(0).unwrap(), "first");
        list.set(0, 0.5).unwrap();
        let beyond = list.set(7, 1).unwrap_err();
        assert_eq!(
            beyond.refusal(),
            Some(&Refusal::OutOfRange { index: 7, len: 3 })
        );
        assert!(list.insert(4, 1).is_err());
        assert!(list.remove::<u8>(3).is_err());
        list.clear().unwrap();
        assert_eq!(list.pop::<u8>().unwrap(), None);
    });
}

#[test]
fn arrays_keep_their_length() {
    let (_server, manager) = served();
    let array = manager.array([1.5, 2.5]).unwrap();
    array.set(1, 3.5).unwrap();
    assert_eq!(array.to_vec::<f64>().unwrap(), [1.5, 3.5]);
    assert_eq!(array.compare_exchange(0, &1.5, &9.0).unwrap(), Ok(()));
    assert_eq!(array.compare_exchange(0, &1.5, &8.0).unwrap(), Err(9.0));
    assert!(array.set(2, 1).is_err());
    assert_eq!(array.len().unwrap(), 2);
}

#[test]
fn namespaces() {
    let (_server, manager) = served();
    let space = manager.namespace().unwrap();
    space.set("x", 1).unwrap();
    space.set("title", "knots").unwrap();
    assert_eq!(space.update::<u8>("x", Update::add(1)).unwrap(), 2);
    assert_eq!(space.get::<u8>("x").unwrap(), 2);
    assert_eq!(space.names().unwrap(), ["title", "x"]);
    assert!(space.unset("x").unwrap());
    assert!(!space.unset("x").unwrap());
    let gone = space.get::<u8>("x").unwrap_err();
    assert_eq!(gone.refusal(), Some(&Refusal::NoSuchKey));
}

#[test]
fn large_values_pass() {
    on_each(|| {
        let (_server, manager) = served();
        let bytes: Vec<u8> = (0..4_000_000_u32).map(|n| n as u8).collect();
        let list = manager.list().unwrap();
        list.push(&bytes).unwrap();
        list.push(vec![String::from("x"); 10_000]).unwrap();
        assert!(list.get::<Vec<u8>>(0).unwrap().unwrap() == bytes);
        assert_eq!(list.get::<Vec<String>>(1).unwrap().unwrap().len(), 10_000);
    });
}

/// A value nested deeper than decoding allows is refused, and the connection goes on.
#[test]
fn nesting_is_bounded() {
    let (_server, manager) = served();
    let list = manager.list().unwrap();
    let nested = |depth| (0..depth).fold(Value::Nil, |inner, _| Value::from(vec![inner]));
    list.push(nested(40)).unwrap();
    let refused = list.push(nested(1000)).unwrap_err();
    assert!(
        matches!(refused.refusal(), Some(Refusal::BadRequest(_))),
        "{refused}"
    );
    assert_eq!(list.get::<Value>(0).unwrap(), Some(nested(40)));
}

#[test]
fn messages_are_bounded() {
    let server = ropewalk_process::manager::Manager::builder()
        .message_max(100_000)
        .serve()
        .unwrap();
    let manager = server.manager().unwrap();
    let list = manager.list().unwrap();
    for _ in 0..3 {
        list.push(vec![7_u8; 50_000]).unwrap();
    }
    // Each came in, together they don't go out.
    let refused = list.to_vec::<Vec<u8>>().unwrap_err();
    assert!(
        matches!(refused.refusal(), Some(Refusal::TooLarge { .. })),
        "{refused}"
    );
    assert_eq!(list.get::<Vec<u8>>(2).unwrap().unwrap().len(), 50_000);
    // Who sends too much is sent away, and told why.
    let lost = list.push(vec![7_u8; 200_000]).unwrap_err();
    assert!(matches!(lost, Error::Lost(_)), "{lost}");
}

#[test]
fn names_find_objects_again() {
    let (server, manager) = served();
    manager.named("jobs").list().unwrap().push(1).unwrap();
    let again = server.manager().unwrap();
    assert_eq!(again.named("jobs").list().unwrap().len().unwrap(), 1);
    let wrong = again.named("jobs").dict().unwrap_err();
    assert!(
        matches!(wrong.refusal(), Some(Refusal::WrongKind { .. })),
        "{wrong}"
    );
    assert_eq!(again.names().unwrap(), [("jobs".to_owned(), "list")]);
    assert!(again.unname("jobs").unwrap());
    assert!(!again.unname("jobs").unwrap());
    assert!(again.named("jobs").list().unwrap().is_empty().unwrap());
}

#[test]
fn dropped_objects_are_gone() {
    let (_server, manager) = served();
    let one = manager.dict().unwrap();
    let two = one.clone();
    let named = manager.named("kept").list().unwrap();
    assert_eq!(manager.stats().unwrap().objects, 2);
    drop((one, named));
    assert_eq!(manager.stats().unwrap().objects, 2);
    drop(two);
    assert_eq!(manager.stats().unwrap().objects, 1);
    manager.unname("kept").unwrap();
    assert_eq!(manager.stats().unwrap().objects, 0);
}
