//! Slices, piece by piece on all workers of the caller's runtime.
//!
//! A slice is halved with [`join`] until there are a few pieces for each worker. A piece that
//! was taken by another worker is split as if anew: somebody was idle, so that there is more to
//! be gained by sharing than lost by splitting.
//!
//! The elements of a piece are done one after the other: this is for what computes. For what
//! mostly waits, such as requests to a server, a [`CoroutinePool`](super::CoroutinePool) has as many
//! at once as you like.
//!
//! ```
//! use ropewalk_rt::executor::slice;
//!
//! let lengths = slice::map(&["one", "three", "five"], |word| word.len());
//! assert_eq!(lengths, [3, 5, 4]);
//! ```

use ropewalk_kernel::runtime::{current_worker, worker_count};

use super::join;

/// Calls `f` with each element, on all workers of the caller's runtime, and waits for the end.
/// `f` may borrow and may wait. In no particular order.
///
/// From a plain thread it runs on the global runtime.
///
/// # Panics
///
/// With a panic of `f`: pieces that had not begun by then are left out.
///
/// # Examples
///
/// ```
/// use ropewalk_rt::executor::slice;
///
/// let mut numbers: Vec<u64> = (0..1000).collect();
/// slice::for_each_mut(&mut numbers, |n| *n *= *n);
/// assert_eq!(numbers[999], 998_001);
/// ```
pub fn for_each_mut<T, F>(slice: &mut [T], f: F)
where
    T: Send,
    F: Fn(&mut T) + Sync,
{
    fn go<T: Send>(slice: &mut [T], splits: Splits, f: &(impl Fn(&mut T) + Sync)) {
        let Some(splits) = splits.next(slice.len()) else {
            return slice.iter_mut().for_each(f);
        };
        let (left, right) = slice.split_at_mut(slice.len() / 2);
        join(|| go(left, splits, f), || go(right, splits, f));
    }
    inside(|| go(slice, Splits::new(), &f));
}

/// As [`for_each_mut`], for elements that are only looked at.
///
/// # Panics
///
/// As [`for_each_mut`].
pub fn for_each<T, F>(slice: &[T], f: F)
where
    T: Sync,
    F: Fn(&T) + Sync,
{
    fn go<T: Sync>(slice: &[T], splits: Splits, f: &(impl Fn(&T) + Sync)) {
        let Some(splits) = splits.next(slice.len()) else {
            return slice.iter().for_each(f);
        };
        let (left, right) = slice.split_at(slice.len() / 2);
        join(|| go(left, splits, f), || go(right, splits, f));
    }
    inside(|| go(slice, Splits::new(), &f));
}

/// Calls `f` with each element, on all workers of the caller's runtime, and gives the results in
/// the elements' order. `f` may borrow and may wait.
///
/// From a plain thread it runs on the global runtime.
///
/// # Panics
///
/// As [`for_each_mut`].
///
/// # Examples
///
/// ```
/// let roots = ropewalk_rt::executor::slice::map(&[1.0, 4.0, 9.0], |x: &f64| x.sqrt());
/// assert_eq!(roots, [1.0, 2.0, 3.0]);
/// ```
pub fn map<T, R, F>(slice: &[T], f: F) -> Vec<R>
where
    T: Sync,
    R: Send,
    F: Fn(&T) -> R + Sync,
{
    fn go<T, R>(slice: &[T], splits: Splits, f: &(impl Fn(&T) -> R + Sync)) -> Vec<Vec<R>>
    where
        T: Sync,
        R: Send,
    {
        let Some(splits) = splits.next(slice.len()) else {
            return vec![slice.iter().map(f).collect()];
        };
        let (left, right) = slice.split_at(slice.len() / 2);
        let (mut pieces, right) = join(|| go(left, splits, f), || go(right, splits, f));
        pieces.extend(right);
        pieces
    }
    let mut pieces = inside(|| go(slice, Splits::new(), &f));
    if pieces.len() == 1 {
        return pieces.swap_remove(0);
    }
    let mut results = Vec::with_capacity(slice.len());
    pieces
        .into_iter()
        .for_each(|mut piece| results.append(&mut piece));
    results
}

/// Has the whole on the workers from the start, so that splitting knows how many there are.
fn inside<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    match current_worker() {
        Some(_) => f(),
        None => join(f, || ()).0,
    }
}

/// How often a piece may still be halved, and where it was when that was said.
#[derive(Clone, Copy)]
struct Splits {
    left: usize,
    worker: Option<usize>,
}

impl Splits {
    /// For each worker, so many pieces at first: they need not be alike in what they cost.
    const PIECES: usize = 4;

    fn new() -> Splits {
        Splits {
            left: worker_count() * Splits::PIECES,
            worker: current_worker(),
        }
    }

    /// For the halves of a piece of this length; `None` if it should not be halved.
    fn next(self, len: usize) -> Option<Splits> {
        let worker = current_worker();
        let left = if worker == self.worker {
            self.left
        } else {
            self.left.max(worker_count())
        };
        (len > 1 && left > 1).then_some(Splits {
            left: left / 2,
            worker,
        })
    }
}
