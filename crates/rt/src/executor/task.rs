//! Functions as work for pools: called with a tuple of arguments.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A function that can be called with the tuple `A` of its arguments.
///
/// Every plain function, and every closure that captures only what can be copied, of up to eight
/// arguments. Pools of processes take those that are registered: see
/// [`task`](https://docs.rs/ropewalk-macros) and [`tasks`](super::tasks).
pub trait TaskFn<A>: Copy + Send + Sync + 'static {
    /// What it returns.
    type Output;

    /// Calls it.
    fn call(self, args: A) -> Self::Output;
}

macro_rules! task_fn {
    ($($arg:ident),*) => {
        impl<F, R, $($arg),*> TaskFn<($($arg,)*)> for F
        where
            F: Fn($($arg),*) -> R + Copy + Send + Sync + 'static,
        {
            type Output = R;

            #[allow(non_snake_case)]
            fn call(self, ($($arg,)*): ($($arg,)*)) -> R {
                self($($arg),*)
            }
        }
    };
}

task_fn!();
task_fn!(A1);
task_fn!(A1, A2);
task_fn!(A1, A2, A3);
task_fn!(A1, A2, A3, A4);
task_fn!(A1, A2, A3, A4, A5);
task_fn!(A1, A2, A3, A4, A5, A6);
task_fn!(A1, A2, A3, A4, A5, A6, A7);
task_fn!(A1, A2, A3, A4, A5, A6, A7, A8);

/// What may go from one process to another: arguments and results of tasks.
///
/// It is implemented for all types that fit.
pub trait Portable: Serialize + DeserializeOwned + Send + 'static {}

impl<T: Serialize + DeserializeOwned + Send + 'static> Portable for T {}
