//! What senders, receivers and join handles do in a select.

use ropewalk_kernel::outcome::JoinError;
use ropewalk_kernel::wait::{Joined, Place as Queued};

use super::buffered::{Buffer, Buffered, Refusal};
use super::error::TryRecvError;
use super::landing::{Landing, NOTICE, Parcel};
use super::receiver::{Receiver, Receiving};
use super::rendezvous::Counterpart;
use super::select::{Arm, Token};
use super::sender::{Sender, Sending};
use crate::join::JoinHandle;

/// What a receive gives to a select.
fn received<T>(result: Result<T, TryRecvError>) -> Option<Token> {
    match result {
        Ok(message) => Some(Token::Parcel(Parcel::new(message))),
        Err(TryRecvError::Disconnected) => Some(Token::Closed),
        Err(TryRecvError::Empty) => None,
    }
}

/// A place in a buffer, for a select that is to send.
fn held<B: Buffer>(channel: &Buffered<B>) -> Option<Token> {
    match channel.hold() {
        Ok(hold) => Some(Token::Hold(hold)),
        Err(Refusal::Closed) => Some(Token::Closed),
        Err(Refusal::Full) => None,
    }
}

fn counterpart(found: Counterpart) -> Token {
    match found {
        Counterpart::Closed => Token::Closed,
        found => Token::Counterpart(found),
    }
}

impl<T> Sender<T> {
    /// Completes a send that was selected.
    pub(super) fn complete(&self, token: Token, message: T) -> Result<(), T> {
        match (&self.0, token) {
            (Sending::Ring(channel), Token::Hold(hold)) => channel.commit(hold, message),
            (Sending::List(channel), Token::Hold(hold)) => channel.commit(hold, message),
            (Sending::Rendezvous(channel), Token::Counterpart(counterpart)) => {
                channel.complete(counterpart, message)
            }
            _ => Err(message),
        }
    }
}

impl<T> Arm for Sender<T> {
    fn try_select(&self) -> Option<Token> {
        match &self.0 {
            Sending::Ring(channel) => held(channel),
            Sending::List(channel) => held(channel),
            Sending::Rendezvous(channel) => channel.claim_receiver().map(counterpart),
        }
    }

    fn accept(&self, landing: &Landing) -> Option<Token> {
        if let Some(handoff) = landing.take_handoff() {
            return Some(Token::Counterpart(Counterpart::Handoff(handoff)));
        }
        let token = self.try_select();
        if token.is_some() {
            // More than one place may be free.
            self.pass_on();
        }
        token
    }

    fn join<'q>(&'q self, place: Queued<'_, 'q>, landing: Option<&Landing>) -> Option<Joined> {
        match &self.0 {
            Sending::Ring(channel) => channel.join_senders(place),
            Sending::List(channel) => channel.join_senders(place),
            Sending::Rendezvous(channel) => channel.join_senders(place, landing),
        }
    }

    fn is_ready(&self) -> bool {
        match &self.0 {
            Sending::Ring(channel) => !channel.buffer().is_blocked(),
            Sending::List(_) => true,
            Sending::Rendezvous(channel) => channel.has_receiver(),
        }
    }

    fn pass_on(&self) {
        match &self.0 {
            Sending::Ring(channel) => channel.pass_on_room(),
            // Never waited for; and who meets a rendezvous looks at all who wait.
            Sending::List(_) | Sending::Rendezvous(_) => {}
        }
    }

    fn abandon(&self, token: Token, at_home: bool) {
        match (&self.0, token) {
            (Sending::Ring(channel), Token::Hold(hold)) => channel.cancel(hold, at_home),
            (Sending::List(channel), Token::Hold(hold)) => channel.cancel(hold, at_home),
            (Sending::Rendezvous(channel), Token::Counterpart(counterpart)) => {
                channel.abandon(counterpart);
            }
            _ => {}
        }
    }

    fn address(&self) -> usize {
        Sender::address(self)
    }
}

impl<T> Arm for Receiver<T> {
    fn try_select(&self) -> Option<Token> {
        received(self.try_recv())
    }

    fn accept(&self, landing: &Landing) -> Option<Token> {
        if let Some(parcel) = landing.take_parcel() {
            return Some(Token::Parcel(parcel));
        }
        let token = self.try_select();
        if token.is_some() {
            // More than one message may be there.
            self.pass_on();
        }
        token
    }

    fn join<'q>(&'q self, place: Queued<'_, 'q>, landing: Option<&Landing>) -> Option<Joined> {
        match &self.0 {
            Receiving::Ring(channel) => channel.join_receivers(place, landing),
            Receiving::List(channel) => channel.join_receivers(place, landing),
            Receiving::Rendezvous(channel) => channel.join_receivers(place, landing),
            Receiving::Timed(channel, _) => channel.join(place),
            Receiving::Never => Some(super::timed::join_never(place)),
        }
    }

    fn deadline(&self) -> Option<u64> {
        match &self.0 {
            Receiving::Timed(channel, _) => channel.deadline(),
            _ => None,
        }
    }

    fn is_ready(&self) -> bool {
        match &self.0 {
            Receiving::Ring(channel) => !channel.buffer().is_idle(),
            Receiving::List(channel) => !channel.buffer().is_idle(),
            Receiving::Rendezvous(channel) => channel.has_sender(),
            Receiving::Timed(channel, _) => channel.is_ready(),
            Receiving::Never => false,
        }
    }

    fn pass_on(&self) {
        match &self.0 {
            Receiving::Ring(channel) => channel.pass_on_message(),
            Receiving::List(channel) => channel.pass_on_message(),
            // Who meets a rendezvous looks at all who wait; and nobody fills the others.
            Receiving::Rendezvous(_) | Receiving::Timed(..) | Receiving::Never => {}
        }
    }

    fn abandon(&self, token: Token, at_home: bool) {
        if at_home {
            // Drops the message.
            drop(token);
        } else {
            std::mem::forget(token);
        }
    }

    fn address(&self) -> usize {
        Receiver::address(self)
    }
}

impl<T> JoinHandle<T> {
    /// Takes the outcome after a select, which may have been cancelled.
    pub(super) fn take_selected(&mut self) -> Result<T, JoinError> {
        if self.is_finished() {
            self.take_outcome()
        } else {
            Err(JoinError::WaitCancelled)
        }
    }
}

/// Everybody who waits for a task is woken at its end, so there is nobody to tell.
impl<T> Arm for JoinHandle<T> {
    fn try_select(&self) -> Option<Token> {
        self.is_finished().then_some(Token::Ended)
    }

    fn accept(&self, _: &Landing) -> Option<Token> {
        self.try_select()
    }

    fn join<'q>(&'q self, place: Queued<'_, 'q>, _: Option<&Landing>) -> Option<Joined> {
        let guard = self.done_queue().lock();
        if self.is_done_now() {
            return None;
        }
        Some(place.join(guard, NOTICE))
    }

    fn is_ready(&self) -> bool {
        self.is_finished()
    }

    fn pass_on(&self) {}

    fn abandon(&self, _: Token, _: bool) {}

    fn address(&self) -> usize {
        std::ptr::from_ref(self.done_queue()) as usize
    }
}
