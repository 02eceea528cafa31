//! Chunks: how many items go to a worker at once.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use ropewalk_rt::executor::{
    CoroutinePool, Patience, Portable, Refusal, RunTask, SubmitError, TaskFn,
};
use ropewalk_rt::{JoinError, JoinHandle};

use crate::stage::on_each;

/// A pool that notes how big the pieces of work are, makes no big ones by itself, and can't send some arguments.
struct Noting {
    pool: CoroutinePool,
    sizes: Mutex<Vec<usize>>,
    largest: usize,
    refused: AtomicUsize,
    refuses: fn(&str) -> bool,
}

impl Noting {
    fn new(largest: usize) -> Noting {
        Noting {
            pool: CoroutinePool::new(2),
            sizes: Mutex::default(),
            largest,
            refused: AtomicUsize::new(0),
            refuses: |_| false,
        }
    }

    fn sizes(&self) -> Vec<usize> {
        std::mem::take(&mut self.sizes.lock().unwrap())
    }

    fn check<A: Portable>(&self, list: Vec<A>) -> Result<Vec<A>, SubmitError<Vec<A>>> {
        let text = serde_json::to_string(&list).unwrap();
        if (self.refuses)(&text) {
            self.refused.fetch_add(1, Ordering::SeqCst);
            return Err(SubmitError::new(
                Refusal::Encode("not that one".into()),
                list,
            ));
        }
        self.sizes.lock().unwrap().push(list.len());
        Ok(list)
    }
}

impl RunTask for Noting {
    fn start<F, A>(
        &self,
        task: F,
        args: A,
        patience: Patience,
    ) -> Result<JoinHandle<F::Output>, SubmitError<A>>
    where
        F: TaskFn<A, Output: Portable>,
        A: Portable,
    {
        match self.check(vec![args]) {
            Ok(mut list) => self.pool.start(task, list.pop().unwrap(), patience),
            Err(mut error) => Err(SubmitError::new(error.reason, error.work.pop().unwrap())),
        }
    }

    fn start_chunk<F, A>(
        &self,
        task: F,
        list: Vec<A>,
        patience: Patience,
    ) -> Result<JoinHandle<Vec<Result<F::Output, JoinError>>>, SubmitError<Vec<A>>>
    where
        F: TaskFn<A, Output: Portable>,
        A: Portable,
    {
        self.pool.start_chunk(task, self.check(list)?, patience)
    }

    fn width(&self) -> usize {
        self.pool.width()
    }

    fn largest_chunk(&self) -> usize {
        self.largest
    }
}

fn same(n: u32) -> u32 {
    n
}

#[test]
fn they_are_as_big_as_asked_for() {
    on_each(|| {
        let pool = Noting::new(1);
        let values: Vec<u32> = pool.map(same, 0..23).chunk(5).map(Result::unwrap).collect();
        assert_eq!(values, (0..23).collect::<Vec<_>>());
        assert_eq!(pool.sizes(), [5, 5, 5, 5, 3]);
        // Never bigger than the buffer.
        assert_eq!(pool.map(same, 0..10).chunk(5).buffer(4).count(), 10);
        assert_eq!(pool.sizes(), [4, 4, 2]);
    });
}

#[test]
fn tiny_items_go_together_and_nothing_is_lost() {
    on_each(|| {
        let pool = Noting::new(usize::MAX);
        let values: Vec<u32> = pool.map(same, 0..20_000).map(Result::unwrap).collect();
        assert_eq!(values, (0..20_000).collect::<Vec<_>>());
        let sizes = pool.sizes();
        assert_eq!((sizes[0], sizes.iter().sum::<usize>()), (1, 20_000));
        // How big is a matter of how fast the machine hands them over.
        assert!(sizes.iter().any(|size| *size > 1), "each by itself");
        // Small ones at the end, as the length is known.
        assert!(*sizes.last().unwrap() < 100, "{sizes:?}");
    });
}

// A worker that dies takes its chunk along: then a chunk is one item, unless more are asked for.
#[test]
fn where_workers_die_items_go_one_by_one() {
    on_each(|| {
        let pool = Noting::new(1);
        assert_eq!(pool.map(same, 0..500).count(), 500);
        assert!(pool.sizes().iter().all(|size| *size == 1));
    });
}

// Of a chunk that can't be sent, those that can are sent alone, in their order.
#[test]
fn one_that_cannot_be_sent_harms_no_other() {
    on_each(|| {
        let mut pool = Noting::new(1);
        pool.refuses = |text| text.contains("13");
        for unordered in [false, true] {
            let mut results: Vec<_> = match unordered {
                false => pool.map(same, 10..20).chunk(5).enumerate().collect(),
                true => pool.map_unordered(same, 10..20).chunk(5).collect(),
            };
            results.sort_by_key(|(number, _)| *number);
            assert_eq!(results.len(), 10);
            for (number, result) in results {
                match result {
                    Ok(value) => assert_eq!(value as usize, number + 10),
                    Err(error) => {
                        assert_eq!(number, 3);
                        assert!(error.to_string().contains("not that one"), "{error}");
                    }
                }
            }
            assert_eq!(pool.sizes().iter().sum::<usize>(), 9);
            assert_eq!(pool.refused.swap(0, Ordering::SeqCst), 2);
        }
    });
}

#[test]
fn nothing_at_once_is_refused() {
    on_each(|| {
        let pool = Arc::new(CoroutinePool::new(1));
        catch_unwind(AssertUnwindSafe(|| drop(pool.map(same, 0..2).chunk(0)))).unwrap_err();
        catch_unwind(AssertUnwindSafe(|| drop(pool.map(same, 0..2).buffer(0)))).unwrap_err();
        catch_unwind(|| CoroutinePool::new(0)).unwrap_err();
    });
}
