//! Symmetric coroutines: each hands over to any other of its group by name, with a value.
//!
//! A generator yields to whoever resumed it; here there is no caller and no callee. Of a
//! group exactly one member runs, the owner of the group among them; the others wait, each in a
//! queue of its own, for somebody to switch to them. All are coroutines of one worker, whose
//! stacks the kernel owns (soundness rule 5).
//!
//! ```text
//!   NEW ──switched to──▶ RUNNING ──switches to another──▶ SUSPENDED ──switched to──▶ RUNNING
//!                           └──returns, panics──▶ DONE       └──drop: `switch` gives Closed──▶ RUNNING
//! ```
//!
//! What a member returns goes to who added it, as a greenlet's goes to its parent: that one's
//! `switch` returns it. If that one has ended too, it goes to the next above; the owner is
//! above all.
//!
//! # Examples
//!
//! ```
//! use ropewalk_rt::symmetric;
//!
//! let said = symmetric::scope("main", |group| {
//!     group.add("ping", |me, ball: u32| Ok(me.switch("pong", ball * 10)? + 1));
//!     group.add("pong", |me, ball| {
//!         let _closed = me.switch("main", ball + 2)?;
//!         unreachable!("nobody switches back: `pong` is closed with the group");
//!     });
//!     group.switch("ping", 5)
//! });
//! assert_eq!(said, Ok(52));
//! ```

mod member;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::{Location, resume_unwind};
use std::rc::Rc;

use ropewalk_kernel::runtime::Runtime;
use ropewalk_kernel::wait::{check_may_wait, in_coroutine};

use member::{Body, Given, Member, Phase, Shared};

pub use crate::generator::Closed;

/// Why nothing was handed over; it gives the value back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrySwitchError<V> {
    /// Nobody in the group has that name.
    Unknown(V),
    /// The member has ended.
    Ended(V),
    /// It is the caller.
    Itself(V),
    /// It was handed over, and the caller is to clean up and return: see [`Closed`].
    Closed,
}

impl<V> TrySwitchError<V> {
    /// The value, if it was not handed over.
    pub fn into_inner(self) -> Option<V> {
        match self {
            TrySwitchError::Unknown(value)
            | TrySwitchError::Ended(value)
            | TrySwitchError::Itself(value) => Some(value),
            TrySwitchError::Closed => None,
        }
    }
}

impl<V> fmt::Display for TrySwitchError<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TrySwitchError::Unknown(_) => "nobody in the group has that name",
            TrySwitchError::Ended(_) => "it has ended",
            TrySwitchError::Itself(_) => "it would switch to itself",
            TrySwitchError::Closed => "closed: there is no further turn",
        })
    }
}

impl<V: fmt::Debug> std::error::Error for TrySwitchError<V> {}

/// A group of coroutines that switch to each other by name, and its owner, who is one of
/// them.
///
/// All hand over values of one type, `V`; an enum, if they have different things to say. The
/// members may wait like any coroutine; as long as the running one does, the whole group does. A
/// cancellation ends such waits, and not `switch` itself.
///
/// Dropping the group closes the members that are suspended, in the order in which they were
/// added: the `switch` of each gives [`Closed`], so that it cleans up and returns. One that
/// switches again all the same is reported on standard error and left parked for ever. One that
/// was never switched to just drops its closure.
///
/// It stays on its worker:
///
/// ```compile_fail
/// fn sendable<T: Send>(_: T) {}
/// sendable(ropewalk_rt::symmetric::Group::<()>::new("main"));
/// ```
pub struct Group<V> {
    me: Switcher<V>,
}

/// With what a member switches, and adds others.
pub struct Switcher<V> {
    shared: Rc<Shared<V>>,
    me: Rc<Member<V>>,
}

impl<V: 'static> Group<V> {
    /// Makes a group whose only member is the caller, running, under this name.
    ///
    /// # Panics
    ///
    /// Outside a coroutine: there is no worker to keep the members' stacks. Use [`scope`]
    /// there.
    #[track_caller]
    pub fn new(owner: impl Into<String>) -> Group<V> {
        assert!(
            in_coroutine(),
            "symmetric coroutines need a coroutine to live in: use `symmetric::scope` on a plain thread"
        );
        let shared = Rc::new(Shared {
            members: RefCell::default(),
            added: Cell::new(0),
        });
        let me = shared.enter(owner.into(), None, None, Location::caller());
        me.phase.set(Phase::Running);
        Group {
            me: Switcher { shared, me },
        }
    }

    /// Adds a member, whose parent is the owner; see [`Switcher::add`].
    ///
    /// # Panics
    ///
    /// If a member that has not ended has this name.
    #[track_caller]
    pub fn add<F>(&mut self, name: impl Into<String>, body: F)
    where
        F: FnOnce(&Switcher<V>, V) -> Result<V, Closed> + 'static,
    {
        self.me.add(name, body);
    }

    /// Hands over to the member of this name; see [`Switcher::switch`].
    ///
    /// # Errors
    ///
    /// [`Closed`], if a member ended with that and this is whom its result goes to.
    ///
    /// # Panics
    ///
    /// As [`Switcher::switch`].
    #[track_caller]
    pub fn switch(&mut self, to: &str, value: V) -> Result<V, Closed> {
        self.me.switch(to, value)
    }

    /// As [`switch`](Self::switch), but gives the value back if there is nobody to hand it to.
    ///
    /// # Errors
    ///
    /// See [`TrySwitchError`].
    ///
    /// # Panics
    ///
    /// As [`Switcher::try_switch`].
    pub fn try_switch(&mut self, to: &str, value: V) -> Result<V, TrySwitchError<V>> {
        self.me.try_switch(to, value)
    }

    /// Says whether the member of this name has ended; `None` if there was never one.
    pub fn is_done(&self, name: &str) -> Option<bool> {
        self.me.is_done(name)
    }
}

impl<V: 'static> Switcher<V> {
    /// The caller's own name.
    pub fn name(&self) -> &str {
        &self.me.name
    }

    /// Who added the caller; `None` for the owner.
    pub fn parent(&self) -> Option<&str> {
        self.me.parent.as_ref().map(|parent| &*parent.name)
    }

    /// Adds a member, whose parent is the caller.
    ///
    /// Its body starts when somebody first switches to it, with the value handed over. Its
    /// result, or its panic, goes to its parent. The name of one that has ended can be given
    /// again.
    ///
    /// # Panics
    ///
    /// If a member that has not ended has this name.
    #[track_caller]
    pub fn add<F>(&self, name: impl Into<String>, body: F)
    where
        F: FnOnce(&Switcher<V>, V) -> Result<V, Closed> + 'static,
    {
        let name = name.into();
        assert!(
            self.is_done(&name).unwrap_or(true),
            "the group has a member named {name:?} already"
        );
        let parent = Some(Rc::clone(&self.me));
        let body: Box<Body<V>> = Box::new(body);
        self.shared
            .enter(name, parent, Some(body), Location::caller());
    }

    /// Hands `value` over to the member of this name, waits until somebody switches back, and
    /// gives the value handed over then.
    ///
    /// # Errors
    ///
    /// [`Closed`], if the group was dropped meanwhile: clean up and return. Or if a member that
    /// the caller had added returned that.
    ///
    /// # Panics
    ///
    /// If nobody has that name, if it has ended, or is the caller: see
    /// [`try_switch`](Self::try_switch) and [`is_done`](Self::is_done). With the panic of a
    /// member that the caller had added. And inside [`no_wait`](crate::coroutine::no_wait).
    #[track_caller]
    pub fn switch(&self, to: &str, value: V) -> Result<V, Closed> {
        match self.try_switch(to, value) {
            Ok(value) => Ok(value),
            Err(TrySwitchError::Closed) => Err(Closed),
            Err(error) => panic!("{:?} can't switch to {to:?}: {error}", self.me.name),
        }
    }

    /// As [`switch`](Self::switch), but gives the value back if there is nobody to hand it to.
    ///
    /// # Errors
    ///
    /// See [`TrySwitchError`].
    ///
    /// # Panics
    ///
    /// With the panic of a member that the caller had added; and inside
    /// [`no_wait`](crate::coroutine::no_wait).
    pub fn try_switch(&self, to: &str, value: V) -> Result<V, TrySwitchError<V>> {
        // A wait that is refused must leave the turns as they are.
        check_may_wait();
        if self.me.phase.get() == Phase::Closing {
            self.will_not_close();
        }
        let found = self.shared.members.borrow().get(to).map(Rc::clone);
        let Some(to) = found else {
            return Err(TrySwitchError::Unknown(value));
        };
        match to.phase.get() {
            Phase::Running => return Err(TrySwitchError::Itself(value)),
            Phase::Done | Phase::Closing => return Err(TrySwitchError::Ended(value)),
            Phase::New | Phase::Suspended => {}
        }
        self.me.phase.set(Phase::Suspended);
        self.shared.resume(&to, Given::Value(value));
        drop(to);
        match self.me.await_turn() {
            Given::Value(value) => Ok(value),
            Given::Closed => Err(TrySwitchError::Closed),
            Given::Panicked(payload) => resume_unwind(payload),
        }
    }

    /// Says whether the member of this name has ended; `None` if there was never one.
    pub fn is_done(&self, name: &str) -> Option<bool> {
        let members = self.shared.members.borrow();
        members
            .get(name)
            .map(|member| member.phase.get() == Phase::Done)
    }
}

impl<V> Switcher<V> {
    /// A member that was told to clean up and return would switch instead. It is left parked.
    #[cold]
    fn will_not_close(&self) -> ! {
        eprintln!(
            "ropewalk: the symmetric coroutine {:?} from {} switched after it was closed; it stays parked for ever",
            self.me.name, self.me.site
        );
        self.shared.go_on_closing();
        loop {
            self.me.await_turn();
        }
    }
}

impl<V> Drop for Group<V> {
    fn drop(&mut self) {
        if !in_coroutine() {
            // The runtime is ending and drops what never ran, this group with it: its worker
            // runs nobody any more.
            return;
        }
        let Switcher { shared, me } = &self.me;
        for member in shared.all_in(Phase::Suspended) {
            member.phase.set(Phase::Closing);
            member.give(Given::Closed);
            me.await_turn();
        }
        for member in shared.all_in(Phase::New) {
            drop(member.body.take());
        }
    }
}

impl<V> fmt::Debug for Group<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        let mut members: Vec<_> = self.me.shared.members.borrow().values().cloned().collect();
        members.sort_unstable_by_key(|member| member.number);
        for member in members {
            map.entry(&member.name, &member.phase.get());
        }
        map.finish()
    }
}

impl<V> fmt::Debug for Switcher<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Switcher")
            .field("name", &self.me.name)
            .finish_non_exhaustive()
    }
}

/// Gives `f` a group whose owner it is, and closes the group before returning; the form for
/// plain threads, where it runs on the global runtime.
///
/// # Panics
///
/// With `f`'s panic; and if the global runtime must be started and can't be.
///
/// # Examples
///
/// As greenlet's own first example; what it leaves suspended is closed.
///
/// ```
/// use ropewalk_rt::channel::unbounded;
/// use ropewalk_rt::symmetric;
///
/// let (says, said) = unbounded();
/// let (first, second) = (says.clone(), says);
/// symmetric::scope("main", move |group| {
///     group.add("first", move |me, ()| {
///         first.send("12").unwrap();
///         me.switch("second", ())?;
///         first.send("34").unwrap();
///         Ok(())
///     });
///     group.add("second", move |me, ()| {
///         second.send("56").unwrap();
///         let closed = me.switch("first", ());
///         second.send(if closed.is_err() { "closed" } else { "78" }).unwrap();
///         Ok(())
///     });
///     group.switch("first", ()).unwrap();
/// });
/// assert_eq!(said.iter().collect::<Vec<_>>(), ["12", "56", "34", "closed"]);
/// ```
#[track_caller]
pub fn scope<V, R, F>(owner: impl Into<String>, f: F) -> R
where
    V: 'static,
    F: FnOnce(&mut Group<V>) -> R + Send,
    R: Send,
{
    let owner = owner.into();
    if in_coroutine() {
        return f(&mut Group::new(owner));
    }
    match Runtime::global() {
        Ok(runtime) => runtime.run(Location::caller(), || f(&mut Group::new(owner))),
        Err(error) => panic!("the global runtime can't be started: {error}"),
    }
}
