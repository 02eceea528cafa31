//! Types of the user's.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use ropewalk_process::manager::{Error, Manager, Methods, Refusal, Served, Value};
use ropewalk_rt::{cancel, coroutine};

use super::stage::{LONG, SHORT, await_stats, on_each, served};

pub(crate) struct Counter(AtomicI64);

impl Served for Counter {
    const NAME: &'static str = "Counter";
    type Args = i64;

    fn create(start: i64) -> Result<Counter, String> {
        match start {
            i64::MIN => Err("too low".into()),
            i64::MAX => panic!("too high"),
            start => Ok(Counter(AtomicI64::new(start))),
        }
    }

    fn methods(methods: &mut Methods<Counter>) {
        methods.add("add", |counter, n: i64| {
            counter.0.fetch_add(n, Ordering::SeqCst) + n
        });
        methods.add("between", |counter, (low, high): (i64, i64)| {
            (low..=high).contains(&counter.0.load(Ordering::SeqCst))
        });
        methods.add("panic", |_, (): ()| -> () { panic!("on purpose") });
        methods.try_add("halve", |counter, (): ()| {
            let n = counter.0.load(Ordering::SeqCst);
            (n % 2 == 0)
                .then_some(n / 2)
                .ok_or_else(|| format!("{n} is odd"))
        });
        methods.add("sleep", |counter, (): ()| {
            let slept = cancel::sleep(Duration::from_secs(3600));
            counter.0.store(-1, Ordering::SeqCst);
            slept.is_ok()
        });
    }
}

ropewalk_process::served!(Counter);

/// One that is registered with a server only.
struct Echo;

impl Served for Echo {
    const NAME: &'static str = "Echo";
    type Args = ();

    fn create((): ()) -> Result<Echo, String> {
        Ok(Echo)
    }

    fn methods(methods: &mut Methods<Echo>) {
        methods.add("echo", |_, value: Value| value);
    }
}

#[test]
fn methods_are_called() {
    on_each(|| {
        let (_server, manager) = served();
        let counter = manager.object::<Counter>(10).unwrap();
        assert_eq!(counter.call::<i64>("add", &5).unwrap(), 15);
        assert!(counter.call::<bool>("between", &(10, 20)).unwrap());
        let again = manager.object_of("Counter", 3).unwrap();
        assert_eq!(again.call::<i64>("add", &0).unwrap(), 3);
        let named = manager.named("c").object::<Counter>(1).unwrap();
        let same = manager.named("c").object::<Counter>(2).unwrap();
        named.call::<i64>("add", &1).unwrap();
        assert_eq!(same.call::<i64>("add", &0).unwrap(), 2);
    });
}

#[test]
fn what_goes_wrong_is_told() {
    let (_server, manager) = served();
    let counter = manager.object::<Counter>(15).unwrap();
    let refused = |result: Result<Value, Error>| result.unwrap_err().refusal().cloned().unwrap();
    assert_eq!(
        refused(counter.call("halve", ())),
        Refusal::Failed("15 is odd".into())
    );
    assert_eq!(
        refused(counter.call("panic", ())),
        Refusal::Panicked("on purpose".into())
    );
    assert_eq!(
        refused(counter.call("absent", ())),
        Refusal::NoSuchMethod("absent".into())
    );
    assert!(matches!(
        refused(counter.call("add", "text")),
        Refusal::Unsuitable(_)
    ));
    assert!(matches!(
        counter.call::<String>("add", &1).unwrap_err(),
        Error::WrongType(_)
    ));
    let made = |args| {
        manager
            .object::<Counter>(args)
            .unwrap_err()
            .refusal()
            .cloned()
            .unwrap()
    };
    assert_eq!(made(i64::MIN), Refusal::Failed("too low".into()));
    assert_eq!(made(i64::MAX), Refusal::Panicked("too high".into()));
    assert!(matches!(
        manager.object_of("Nothing", ()).unwrap_err().refusal(),
        Some(Refusal::NoSuchType(_))
    ));
    assert!(
        manager.object::<Echo>(()).is_err(),
        "this server was not told of it"
    );
    // After all that it goes on.
    assert_eq!(counter.call::<i64>("add", &0).unwrap(), 16);
}

#[test]
fn a_server_may_know_more_types() {
    let server = Manager::builder().register::<Echo>().serve().unwrap();
    let echo = server.manager().unwrap().object::<Echo>(()).unwrap();
    assert_eq!(
        echo.call::<Vec<u8>>("echo", &vec![1, 2, 3_u8]).unwrap(),
        [1, 2, 3]
    );
    assert!(Manager::builder().register::<Echo>().start().is_err());
}

/// A method that waits holds nobody up, and its wait ends with its caller's.
#[test]
fn a_waiting_method_is_cancelled_with_its_caller() {
    on_each(|| {
        let (_server, manager) = served();
        let counter = manager.object::<Counter>(5).unwrap();
        coroutine::scope(|scope| {
            let sleeper = scope.spawn(|| counter.call::<bool>("sleep", &()));
            await_stats(&manager, "it to sleep", |stats| stats.waiting == 1);
            assert_eq!(counter.call::<i64>("add", &0).unwrap(), 5);
            sleeper.cancel();
            assert!(sleeper.join().unwrap().unwrap_err().is_cancelled());
        });
        let begun = std::time::Instant::now();
        while counter.call::<i64>("add", &0).unwrap() != -1 {
            assert!(begun.elapsed() < LONG, "the method goes on");
            coroutine::sleep(Duration::from_millis(1));
        }
        assert_eq!(
            counter.call_timeout::<bool>("sleep", &(), SHORT).unwrap(),
            None
        );
        assert_eq!(
            counter.call_timeout::<i64>("add", &0, LONG).unwrap(),
            Some(-1)
        );
    });
}
