//! The contenders' side of fork and join in `executor`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use super::waiting::Fixed;
use crate::executor::{FIB, SORT_LEN};

/// How a contender runs two closures, and a first one in its pool.
trait Fork {
    fn join<RA: Send, RB: Send>(
        a: impl FnOnce() -> RA + Send,
        b: impl FnOnce() -> RB + Send,
    ) -> (RA, RB);
}

struct Ropewalk;

impl Fork for Ropewalk {
    #[inline]
    fn join<RA: Send, RB: Send>(
        a: impl FnOnce() -> RA + Send,
        b: impl FnOnce() -> RB + Send,
    ) -> (RA, RB) {
        ropewalk::executor::join(a, b)
    }
}

struct Rayon;

impl Fork for Rayon {
    #[inline]
    fn join<RA: Send, RB: Send>(
        a: impl FnOnce() -> RA + Send,
        b: impl FnOnce() -> RB + Send,
    ) -> (RA, RB) {
        rayon::join(a, b)
    }
}

struct Sequential;

impl Fork for Sequential {
    #[inline]
    fn join<RA: Send, RB: Send>(
        a: impl FnOnce() -> RA + Send,
        b: impl FnOnce() -> RB + Send,
    ) -> (RA, RB) {
        (a(), b())
    }
}

/// Does `times` rounds as `command` says, on so many workers; `None` if the contender has no such
/// thing.
pub(super) fn run(
    fixed: &mut Fixed,
    contender: &str,
    command: &str,
    [cut, workers, times]: [u64; 3],
) -> Option<Duration> {
    let command = command.strip_prefix("fork-")?;
    match contender {
        "ropewalk" => {
            let pool = fixed.ropewalk_pool(workers);
            pool.install(|| rounds::<Ropewalk>(command, cut, times))
        }
        "rayon" => {
            let pool = fixed.rayon(workers);
            pool.install(|| rounds::<Rayon>(command, cut, times))
        }
        "sequential" => rounds::<Sequential>(command, cut, times),
        _ => None,
    }
}

fn rounds<F: Fork>(command: &str, cut: u64, times: u64) -> Option<Duration> {
    match command {
        "fib" => Some(fib_rounds::<F>(cut, times)),
        "sort" => Some(sort_rounds::<F>(cut as usize, times)),
        _ => None,
    }
}

fn fib_rounds<F: Fork>(cut: u64, times: u64) -> Duration {
    let start = Instant::now();
    for _ in 0..times {
        let n = black_box(FIB);
        black_box(if cut == 0 {
            fib::<F>(n)
        } else {
            fib_with_cut::<F>(n, cut)
        });
    }
    start.elapsed()
}

fn fib<F: Fork>(n: u64) -> u64 {
    if n < 2 {
        return n;
    }
    let (a, b) = F::join(|| fib::<F>(n - 1), || fib::<F>(n - 2));
    a + b
}

fn fib_with_cut<F: Fork>(n: u64, cut: u64) -> u64 {
    if n < cut {
        return plain_fib(n);
    }
    let (a, b) = F::join(
        || fib_with_cut::<F>(n - 1, cut),
        || fib_with_cut::<F>(n - 2, cut),
    );
    a + b
}

fn plain_fib(n: u64) -> u64 {
    if n < 2 {
        return n;
    }
    plain_fib(n - 1) + plain_fib(n - 2)
}

fn sort_rounds<F: Fork>(cut: usize, times: u64) -> Duration {
    let numbers = random_numbers();
    let mut elapsed = Duration::ZERO;
    for _ in 0..times {
        let mut sorted = numbers.clone();
        let start = Instant::now();
        quicksort::<F>(&mut sorted, cut);
        elapsed += start.elapsed();
        assert!(sorted.is_sorted());
    }
    elapsed
}

fn random_numbers() -> Vec<u64> {
    // Xorshift (Marsaglia 2003).
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..SORT_LEN).map(next).collect()
}

fn quicksort<F: Fork>(numbers: &mut [u64], cut: usize) {
    if numbers.len() <= cut {
        numbers.sort_unstable();
        return;
    }
    let place = partition(numbers);
    let (low, rest) = numbers.split_at_mut(place);
    F::join(
        || quicksort::<F>(low, cut),
        || quicksort::<F>(&mut rest[1..], cut),
    );
}

/// Puts the median of three where it belongs, smaller ones before it, and gives its place.
fn partition(numbers: &mut [u64]) -> usize {
    let last = numbers.len() - 1;
    let middle = last / 2;
    for (a, b) in [(0, middle), (middle, last), (0, middle)] {
        if numbers[a] > numbers[b] {
            numbers.swap(a, b);
        }
    }
    numbers.swap(middle, last);
    let pivot = numbers[last];
    let mut place = 0;
    for index in 0..last {
        if numbers[index] <= pivot {
            numbers.swap(index, place);
            place += 1;
        }
    }
    numbers.swap(place, last);
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_sort_and_count_alike() {
        for contender in ["ropewalk", "rayon", "sequential"] {
            let mut fixed = Fixed::default();
            for command in ["fork-fib", "fork-sort"] {
                assert!(run(&mut fixed, contender, command, [20, 2, 1]).is_some());
            }
        }
        assert_eq!(fib::<Sequential>(10), 55);
        assert_eq!(fib_with_cut::<Sequential>(10, 5), 55);
    }
}
