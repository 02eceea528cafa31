//! Generators: values both ways between a body and whoever resumes it.
//!
//! A generator's body runs on a coroutine of its own, on the caller's worker: so the kernel
//! owns its stack (soundness rule 5), and the body may wait like any other. Caller and body
//! take turns; each waits in a queue of the generator while the other runs.
//!
//! ```text
//!   NEW ──resume──▶ RUNNING ──suspend──▶ SUSPENDED ──resume──▶ RUNNING ──return──▶ DONE
//!                                          └──drop: `suspend` gives Closed──▶ RUNNING
//! ```

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::iter::FusedIterator;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::rc::Rc;

use ropewalk_kernel::cancel::{Token, shield};
use ropewalk_kernel::runtime::{self, Runtime};
use ropewalk_kernel::task::Options;
use ropewalk_kernel::wait::{Limit, Reason, WaitQueue, check_may_wait, in_coroutine};

/// What a resumed generator gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State<Y, T> {
    /// It is suspended, and yielded this.
    Yielded(Y),
    /// It has ended, with this.
    Complete(T),
}

/// Who waits for a turn won't get one any more, as the generator, or the group, is being
/// dropped: clean up and return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("closed: there is no further turn")
    }
}

impl std::error::Error for Closed {}

/// A body that is suspended in its middle and resumed with values.
///
/// Takes `R` with each resume, yields `Y`, and ends with `T`. Dropping a suspended one
/// resumes it a last time, its [`suspend`](Suspender::suspend) giving [`Closed`], so that it
/// cleans up and returns; one that suspends again all the same is reported on standard error
/// and left parked for ever. One that never started just drops its closure.
///
/// The body is a coroutine of its own: it has its own [`coroutine_local!`](crate::coroutine_local)
/// values, and stands under the [`Token`] under which it was first resumed.
/// `resume` and `suspend` themselves are not ended by a cancellation; what else the body waits
/// for is.
///
/// It stays on its worker:
///
/// ```compile_fail
/// fn sendable<T: Send>(_: T) {}
/// let generator = ropewalk_rt::generator::Generator::new(|_, ()| ());
/// let _: &ropewalk_rt::generator::Generator<(), (), ()> = &generator;
/// sendable(generator);
/// ```
///
/// # Examples
///
/// ```
/// use ropewalk_rt::{Runtime, generator::{Generator, State}};
///
/// let runtime = Runtime::builder().workers(1).build()?;
/// let sums = runtime.run(|| {
///     let mut sum = Generator::new(|generator, first: u32| {
///         let mut total = first;
///         while let Ok(next) = generator.suspend(total) {
///             total += next;
///         }
///     });
///     [1, 10, 100].map(|n| match sum.resume(n) {
///         State::Yielded(total) => total,
///         State::Complete(()) => unreachable!("it ends when it is dropped"),
///     })
/// });
/// assert_eq!(sums, [1, 11, 111]);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Generator<R, Y, T> {
    shared: Rc<Shared<R, Y, T>>,
    body: Option<Box<Body<R, Y, T>>>,
    phase: Phase,
    site: &'static Location<'static>,
}

type Body<R, Y, T> = dyn FnOnce(&mut Suspender<R, Y, T>, R) -> T;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    New,
    Suspended,
    Done,
}

/// What both sides see. One worker: they never run at once.
struct Shared<R, Y, T> {
    /// What the body is resumed with; `Err` closes it.
    given: Cell<Option<Result<R, Closed>>>,
    got: RefCell<Option<Got<Y, T>>>,
    body_waits: WaitQueue,
    caller_waits: WaitQueue,
}

enum Got<Y, T> {
    State(State<Y, T>),
    Panicked(Box<dyn Any + Send>),
}

impl<R: 'static, Y: 'static, T: 'static> Generator<R, Y, T> {
    /// Makes a generator; its body starts with the first resume.
    ///
    /// # Panics
    ///
    /// Outside a coroutine: there is no worker to keep the body's stack. Use [`scope`] there.
    #[track_caller]
    pub fn new<F>(body: F) -> Generator<R, Y, T>
    where
        F: FnOnce(&mut Suspender<R, Y, T>, R) -> T + 'static,
    {
        assert!(
            in_coroutine(),
            "a generator needs a coroutine to live in: use `generator::scope` on a plain thread"
        );
        let shared = Rc::new(Shared {
            given: Cell::new(None),
            got: RefCell::new(None),
            body_waits: WaitQueue::new(),
            caller_waits: WaitQueue::new(),
        });
        let site = Location::caller();
        Generator {
            shared,
            body: Some(Box::new(body)),
            phase: Phase::New,
            site,
        }
    }

    /// Lets the body run until it yields or ends.
    ///
    /// # Panics
    ///
    /// With the body's panic; and if the generator has ended: see
    /// [`is_done`](Self::is_done).
    pub fn resume(&mut self, value: R) -> State<Y, T> {
        assert!(
            self.phase != Phase::Done,
            "a generator was resumed after its end"
        );
        match self.exchange(Ok(value)) {
            Got::State(state) => state,
            Got::Panicked(payload) => resume_unwind(payload),
        }
    }

    /// Closes it, as dropping it does, and gives what its body returned for an end; `None` if it
    /// never started, had ended before, or yielded once more all the same.
    ///
    /// # Panics
    ///
    /// With the body's panic.
    pub fn close(mut self) -> Option<T> {
        match self.finish()? {
            Got::State(State::Complete(value)) => Some(value),
            Got::State(State::Yielded(_)) => None,
            Got::Panicked(payload) => resume_unwind(payload),
        }
    }

    /// Says whether it has ended.
    pub fn is_done(&self) -> bool {
        self.phase == Phase::Done
    }

    fn exchange(&mut self, value: Result<R, Closed>) -> Got<Y, T> {
        // A wait that is refused must leave the turns as they are.
        check_may_wait();
        let shared = &self.shared;
        shared.given.set(Some(value));
        match self.body.take() {
            Some(body) => {
                let shared = Rc::clone(shared);
                start("generator", self.site, move || serve(&shared, body));
            }
            None => {
                shared.body_waits.wake_one();
            }
        }
        let got = shared.await_other(&shared.caller_waits, || shared.got.borrow_mut().take());
        self.phase = match got {
            Got::State(State::Yielded(_)) => Phase::Suspended,
            _ => Phase::Done,
        };
        got
    }
}

/// Starts a body on a coroutine of its own, on this worker, under the caller's token. It also
/// starts if that is cancelled already, as somebody waits for it to: the cancellation ends its
/// waits.
pub(crate) fn start(name: &str, site: &'static Location<'static>, body: impl FnOnce() + 'static) {
    let options = Options {
        name: Some(name.into()),
        ..Options::default()
    };
    match Token::current() {
        None => drop(runtime::spawn_local(options, site, body)),
        Some(token) => shield(|| {
            drop(runtime::spawn_local(options, site, move || token.run(body)));
        }),
    }
}

/// Runs the body to its end, on its own coroutine.
fn serve<R, Y, T>(shared: &Rc<Shared<R, Y, T>>, body: Box<Body<R, Y, T>>) {
    let mut suspender = Suspender {
        shared: Rc::clone(shared),
    };
    let got = match shared.given.take() {
        Some(Ok(first)) => match catch_unwind(AssertUnwindSafe(|| body(&mut suspender, first))) {
            Ok(value) => Got::State(State::Complete(value)),
            Err(payload) => Got::Panicked(payload),
        },
        _ => unreachable!("a body starts with a value"),
    };
    *shared.got.borrow_mut() = Some(got);
    shared.caller_waits.wake_one();
}

impl<R, Y, T> Shared<R, Y, T> {
    /// Waits in `queue` until `look` finds something.
    fn await_other<V>(&self, queue: &WaitQueue, look: impl Fn() -> Option<V>) -> V {
        loop {
            if let Some(found) = look() {
                return found;
            }
            let object = std::ptr::from_ref(self) as usize;
            // Both sides are on one worker: nothing comes between the look and the wait.
            queue.lock().wait(0, Reason::Generator, object, Limit::NONE);
        }
    }
}

impl<R, Y, T> Generator<R, Y, T> {
    /// Resumes a suspended one a last time, to clean up and return.
    fn finish(&mut self) -> Option<Got<Y, T>> {
        if self.phase != Phase::Suspended {
            return None;
        }
        self.phase = Phase::Done;
        if !in_coroutine() {
            // The runtime is ending and drops what never ran, this generator with it: its
            // worker runs nobody any more.
            return None;
        }
        let shared = &self.shared;
        shared.given.set(Some(Err(Closed)));
        shared.body_waits.wake_one();
        let got = shared.await_other(&shared.caller_waits, || shared.got.borrow_mut().take());
        if matches!(got, Got::State(State::Yielded(_))) {
            eprintln!(
                "ropewalk: a generator from {} yielded after it was closed; it stays parked for ever",
                self.site
            );
        }
        Some(got)
    }
}

impl<R, Y, T> Drop for Generator<R, Y, T> {
    fn drop(&mut self) {
        // A panic's message has been printed.
        drop(self.finish());
    }
}

/// An iterator over what a generator yields that is resumed with nothing.
impl<Y: 'static> Iterator for Generator<(), Y, ()> {
    type Item = Y;

    fn next(&mut self) -> Option<Y> {
        if self.is_done() {
            return None;
        }
        match self.resume(()) {
            State::Yielded(value) => Some(value),
            State::Complete(()) => None,
        }
    }
}

impl<Y: 'static> FusedIterator for Generator<(), Y, ()> {}

impl<R, Y, T> fmt::Debug for Generator<R, Y, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Generator")
            .field("phase", &self.phase)
            .finish_non_exhaustive()
    }
}

/// What a body suspends itself with.
pub struct Suspender<R, Y, T> {
    shared: Rc<Shared<R, Y, T>>,
}

impl<R, Y, T> Suspender<R, Y, T> {
    /// Yields a value and waits to be resumed.
    ///
    /// # Errors
    ///
    /// [`Closed`] when the generator is dropped: clean up and return.
    pub fn suspend(&mut self, value: Y) -> Result<R, Closed> {
        check_may_wait();
        let shared = &self.shared;
        *shared.got.borrow_mut() = Some(Got::State(State::Yielded(value)));
        shared.caller_waits.wake_one();
        shared.await_other(&shared.body_waits, || shared.given.take())
    }
}

impl<R, Y, T> fmt::Debug for Suspender<R, Y, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Suspender { .. }")
    }
}

/// Gives `f` a generator, and closes it before returning; the form for plain threads, where
/// it runs on the global runtime.
///
/// # Panics
///
/// With `f`'s panic; and if the global runtime must be started and can't be.
///
/// # Examples
///
/// ```
/// use ropewalk_rt::generator;
///
/// let squares: Vec<u32> = generator::scope(
///     |generator, ()| {
///         (1..).map(|n| n * n).try_for_each(|square| generator.suspend(square)).ok();
///     },
///     |generator| generator.take(4).collect(),
/// );
/// assert_eq!(squares, [1, 4, 9, 16]);
/// ```
#[track_caller]
pub fn scope<R, Y, T, F, G, V>(body: F, f: G) -> V
where
    R: 'static,
    Y: 'static,
    T: 'static,
    F: FnOnce(&mut Suspender<R, Y, T>, R) -> T + Send + 'static,
    G: FnOnce(&mut Generator<R, Y, T>) -> V + Send,
    V: Send,
{
    if in_coroutine() {
        return f(&mut Generator::new(body));
    }
    match Runtime::global() {
        Ok(runtime) => runtime.run(Location::caller(), || f(&mut Generator::new(body))),
        Err(error) => panic!("the global runtime can't be started: {error}"),
    }
}
