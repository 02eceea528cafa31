//! The members of a group, and how the turn passes between them.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::rc::Rc;

use ropewalk_kernel::wait::{Limit, Reason, WaitQueue};

use super::{Closed, Switcher};
use crate::generator::start;

pub(super) type Body<V> = dyn FnOnce(&Switcher<V>, V) -> Result<V, Closed>;

/// One worker: never do two look at it at once, and no borrow lasts across a wait.
pub(super) struct Shared<V> {
    pub(super) members: RefCell<HashMap<Rc<str>, Rc<Member<V>>>>,
    pub(super) added: Cell<u64>,
}

pub(super) struct Member<V> {
    pub(super) name: Rc<str>,
    /// How many were added before.
    pub(super) number: u64,
    /// Who added it; the owner has none.
    pub(super) parent: Option<Rc<Member<V>>>,
    pub(super) phase: Cell<Phase>,
    pub(super) body: Cell<Option<Box<Body<V>>>>,
    /// What it is resumed with.
    pub(super) given: Cell<Option<Given<V>>>,
    pub(super) turn: WaitQueue,
    pub(super) site: &'static Location<'static>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    New,
    Running,
    Suspended,
    /// It was suspended when the group was dropped, and is to clean up.
    Closing,
    Done,
}

pub(super) enum Given<V> {
    Value(V),
    Closed,
    /// A member below ended with this panic.
    Panicked(Box<dyn Any + Send>),
}

impl<V> Member<V> {
    /// Waits until somebody has given it the turn.
    pub(super) fn await_turn(&self) -> Given<V> {
        loop {
            if let Some(given) = self.given.take() {
                return given;
            }
            let object = std::ptr::from_ref(self) as usize;
            // All are on one worker: nothing comes between the look and the wait.
            self.turn
                .lock()
                .wait(0, Reason::Generator, object, Limit::NONE);
        }
    }

    pub(super) fn give(&self, given: Given<V>) {
        self.given.set(Some(given));
        self.turn.wake_one();
    }
}

impl<V> Shared<V> {
    pub(super) fn enter(
        &self,
        name: String,
        parent: Option<Rc<Member<V>>>,
        body: Option<Box<Body<V>>>,
        site: &'static Location<'static>,
    ) -> Rc<Member<V>> {
        let number = self.added.get();
        self.added.set(number + 1);
        let member = Rc::new(Member {
            name: Rc::from(name),
            number,
            parent,
            phase: Cell::new(Phase::New),
            body: Cell::new(body),
            given: Cell::new(None),
            turn: WaitQueue::new(),
            site,
        });
        let key = Rc::clone(&member.name);
        self.members.borrow_mut().insert(key, Rc::clone(&member));
        member
    }

    /// The members in this phase, as they were added.
    pub(super) fn all_in(&self, phase: Phase) -> Vec<Rc<Member<V>>> {
        let members = self.members.borrow();
        let mut found: Vec<_> = members
            .values()
            .filter(|member| member.phase.get() == phase)
            .map(Rc::clone)
            .collect();
        found.sort_unstable_by_key(|member| member.number);
        found
    }

    /// Gives the turn back to the owner, who closes the group.
    pub(super) fn go_on_closing(&self) {
        let owner = self
            .members
            .borrow()
            .values()
            .find(|member| member.parent.is_none())
            .map(Rc::clone);
        owner.expect("a group has an owner").give(Given::Closed);
    }
}

impl<V: 'static> Shared<V> {
    /// Gives a member the turn; the caller then waits for its own, or ends.
    pub(super) fn resume(self: &Rc<Self>, to: &Rc<Member<V>>, given: Given<V>) {
        to.phase.set(Phase::Running);
        match to.body.take() {
            Some(body) => {
                to.given.set(Some(given));
                let switcher = Switcher {
                    shared: Rc::clone(self),
                    me: Rc::clone(to),
                };
                start(&to.name, to.site, move || serve(switcher, body));
            }
            None => to.give(given),
        }
    }
}

/// Runs a body to its end, on its own coroutine, and passes the turn on.
fn serve<V: 'static>(switcher: Switcher<V>, body: Box<Body<V>>) {
    let Switcher { shared, me } = &switcher;
    let Some(Given::Value(first)) = me.given.take() else {
        unreachable!("a body starts with a value");
    };
    let result = catch_unwind(AssertUnwindSafe(|| body(&switcher, first)));
    if me.phase.get() == Phase::Closing {
        // Nobody wants it. Its drop may panic, and the message is printed then.
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(result))) {
            std::mem::forget(payload);
        }
        me.phase.set(Phase::Done);
        shared.go_on_closing();
        return;
    }
    me.phase.set(Phase::Done);
    let mut above = me.parent.as_ref().expect("only the owner has none");
    while above.phase.get() == Phase::Done {
        above = above.parent.as_ref().expect("the owner doesn't end");
    }
    let given = match result {
        Ok(Ok(value)) => Given::Value(value),
        Ok(Err(Closed)) => Given::Closed,
        Err(payload) => Given::Panicked(payload),
    };
    shared.resume(above, given);
}
