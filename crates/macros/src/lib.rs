//! The attribute macros of Ropewalk. Use them from the `ropewalk` crate, which re-exports them
//! and has at its root what they expand to.
//!
//! `arguments` reads what stands in an attribute's parentheses, `entry` writes the function
//! anew, `task` registers one. All work on `proc_macro2` token streams, so that they are tested as functions.
#![forbid(unsafe_code)]

mod arguments;
mod entry;
mod task;

use entry::Kind;
use proc_macro::TokenStream;

/// Runs `main` as the first coroutine of a runtime, and exits with what it returns.
///
/// The runtime is built before the body starts. If that fails, the body isn't run, and the
/// program says why on standard error; a `main` with a return type then makes the exit code 1.
/// A panic of the body is the panic of `main`.
///
/// The body may return what any `main` may, a `Termination`: a `Result` or an `ExitCode` makes
/// the exit code. It need not be `Send`, because the worker that ran the body turns it into an
/// `ExitCode`, and reports an `Err` on standard error. So to its callers a function with a return
/// type other than `()` returns a `std::process::ExitCode`; one without returns nothing.
///
/// ```ignore
/// #[ropewalk::main]
/// fn main() -> std::io::Result<()> {
///     let listener = ropewalk::net::TcpListener::bind("127.0.0.1:8080")?;
///     loop {
///         let (stream, _peer) = listener.accept()?;
///         ropewalk::spawn(move || serve(stream));
///     }
/// }
/// ```
///
/// At the end the program waits for all coroutines and threads that were spawned and are no daemons, as
/// Python does for its threads: also if the body returned an error, or panicked. A server that is to
/// end with `main` is shut down there, or spawned as a daemon.
///
/// `async fn main` is accepted too. Its future is driven by `ropewalk::block_on` in the first
/// coroutine:
///
/// ```ignore
/// #[ropewalk::main]
/// async fn main() {
///     println!("{}", answer().await);
/// }
/// ```
///
/// # Arguments
/// All are optional, in any order.
/// - `workers = 2`: the number of worker threads, 1 at least. Left out, it is up to
///   `ROPEWALK_WORKERS`, else one per core that the process may use.
/// - `stack_size = 524_288`: the size of a coroutine's stack in bytes, where its spawner doesn't
///   ask for another.
/// - `crate = my::path`: where to find Ropewalk, if not at `::ropewalk`; for crates that
///   re-export it.
///
/// ```ignore
/// #[ropewalk::main(workers = 2, stack_size = 524_288)]
/// fn main() {}
/// ```
///
/// # Errors
/// Refused by the compiler: a function with parameters, generics or a `where` clause; `const`,
/// `unsafe` and `extern` functions; arguments that are unknown, given twice or not of the form
/// above.
#[proc_macro_attribute]
pub fn main(arguments: TokenStream, item: TokenStream) -> TokenStream {
    entry::expand(Kind::Main, arguments.into(), item.into()).into()
}

/// Makes a function a test whose body is the first coroutine of a runtime of its own.
///
/// Takes the place of `#[test]`; `#[should_panic]`, `#[ignore]`, `#[cfg(…)]` and whatever else
/// stands on the function keep their meaning. What the body returns is handled as by
/// [`macro@main`], so that a test that returns an `Err` fails; `#[should_panic]` goes on a
/// function without a return type, as ever. `async fn` is accepted too.
///
/// ```ignore
/// #[ropewalk::test]
/// fn a_child_returns_to_its_parent() {
///     let child = ropewalk::spawn(|| 6 * 7);
///     assert_eq!(child.join().unwrap(), 42);
/// }
///
/// #[ropewalk::test(workers = 1)]
/// #[should_panic(expected = "overboard")]
/// fn a_panic_is_the_panic_of_the_test() {
///     panic!("man overboard");
/// }
/// ```
///
/// # Arguments
/// `workers`, `stack_size` and `crate`, as in [`macro@main`].
///
/// # Errors
/// What [`macro@main`] refuses, and a function that is marked as a test already.
#[proc_macro_attribute]
pub fn test(arguments: TokenStream, item: TokenStream) -> TokenStream {
    entry::expand(Kind::Test, arguments.into(), item.into()).into()
}

/// Registers a function as a task, so that pools of processes can be told to call it.
///
/// The function stays an ordinary one. Arguments and result must be serialisable by serde and
/// owned; a result may be a `Result`. Registering costs nothing at run time.
///
/// ```ignore
/// #[ropewalk::task]
/// fn square(n: u64) -> u64 {
///     n * n
/// }
///
/// let pool = ropewalk::process::ProcessPool::new(2)?;
/// assert_eq!(pool.submit(square, (7,))?.join()?, 49);
/// ```
///
/// # Arguments
/// - `name = "thumbnail"`: what other processes and messages call it. Left out, it is the
///   function's path. Two tasks of the same name are an error at start.
/// - `crate = my::path`: where to find Ropewalk, if not at `::ropewalk`.
///
/// # Errors
/// Refused by the compiler: methods; generic, `async`, `unsafe` and `extern` functions; arguments by
/// reference, and more than eight; types that serde can't carry. For generic functions, and those
/// of other crates, there is `ropewalk::register!`.
#[proc_macro_attribute]
pub fn task(arguments: TokenStream, item: TokenStream) -> TokenStream {
    task::expand(arguments.into(), item.into()).into()
}
