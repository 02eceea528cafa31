//! Handles of a pool's work with what is there for many results: waiting for all, for the first, as they
//! come, with limits, and their errors.

use std::sync::Arc;

use ropewalk_rt::executor::{CoroutinePool, RunTask};
use ropewalk_rt::results::{
    ReturnWhen, as_completed, as_completed_timeout, join_all_async, try_join_all, wait, wait_first,
};
use ropewalk_rt::sync::Event;
use ropewalk_rt::{JoinHandle, join_all, race, spawn_async};

use crate::stage::on_each;
use crate::{HOUR, MOMENT};

/// A pool, three tasks of which only that with number 1 can end, and what lets the others.
fn three() -> (CoroutinePool, Vec<JoinHandle<u32>>, Arc<Event>) {
    let (pool, go) = (CoroutinePool::new(3), Arc::new(Event::new()));
    let work = |n| {
        let go = Arc::clone(&go);
        pool.spawn(move || match n {
            1 => 1,
            _ => go.wait().map_or(100, |()| n),
        })
    };
    let handles = (0..3).map(work).collect::<Result<_, _>>().unwrap();
    (pool, handles, go)
}

#[test]
fn they_are_joined_as_others_are() {
    on_each(|| {
        let (_pool, mut handles, go) = three();
        assert!(matches!(wait_first(&mut handles), Some((1, Ok(1)))));
        go.set();
        assert!(matches!(wait_first(&mut handles), Some((_, Ok(0 | 2)))));
        assert_eq!(handles.len(), 1);

        let (_pool, handles, go) = three();
        let mut come = as_completed(handles);
        assert!(matches!(come.next(), Some((1, Ok(1)))));
        assert!(come.next_timeout(MOMENT).is_none());
        go.set();
        let mut rest: Vec<_> = come.map(|(index, value)| (index, value.unwrap())).collect();
        rest.sort_unstable();
        assert_eq!(rest, [(0, 0), (2, 2)]);

        let (_pool, handles, go) = three();
        let come: Vec<_> = as_completed_timeout(handles, 20 * MOMENT).collect();
        assert!(come.len() <= 1);
        go.set();

        let (_pool, handles, _go) = three();
        assert_eq!(race(handles).unwrap(), 1);
    });
}

#[test]
fn all_of_them_and_their_errors() {
    on_each(|| {
        let pool = CoroutinePool::new(2);
        let divide = |a: u32, b: u32| a / b;
        let handles = |list: [(u32, u32); 3]| list.map(|args| pool.submit(divide, args).unwrap());
        let all = join_all(handles([(6, 3), (1, 0), (8, 2)]));
        assert!(all[1].as_ref().is_err_and(|error| error.is_panic()));
        assert_eq!(
            (all[0].as_ref().ok(), all[2].as_ref().ok()),
            (Some(&2), Some(&4))
        );
        assert!(try_join_all(handles([(6, 3), (1, 0), (8, 2)])).is_err());
        let all = try_join_all(handles([(6, 3), (1, 1), (8, 2)])).unwrap();
        assert_eq!(all, [2, 1, 4]);
        let all = spawn_async(join_all_async(handles([(6, 3), (9, 3), (8, 2)])));
        assert!(all.join().unwrap().iter().all(|value| value.is_ok()));
    });
}

// `concurrent.futures.wait`: until all, one, or an error; with a limit.
#[test]
fn some_of_them_with_a_limit() {
    on_each(|| {
        let (_pool, handles, go) = three();
        let (done, left) = wait(handles, ReturnWhen::All, Some(MOMENT));
        assert!(done.len() <= 1 && left.len() >= 2);
        let (done, left) = wait(left, ReturnWhen::First, Some(MOMENT));
        assert!(done.len() <= 1);
        go.set();
        let (done, left) = wait(left, ReturnWhen::All, None);
        assert!(done.len() >= 2 && left.is_empty());
        let (pool, one) = (CoroutinePool::new(1), |n: u32| 1 / n);
        let handles = [1, 0, 1].map(|n| pool.submit(one, (n,)).unwrap());
        let (done, _left) = wait(handles, ReturnWhen::FirstError, Some(HOUR));
        assert!(done.iter().all(|handle| handle.is_finished()));
    });
}
