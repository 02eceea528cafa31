//! Sending and receiving by futures.
//!
//! A future is woken, never handed anything: it looks again when it is polled. One that was woken
//! and is dropped before it looked wakes the next in its place, so that what it was woken for
//! isn't missed.
//!
//! A poll counts towards the task's budget, and gives way when it is spent, as the blocking forms
//! do: a loop over operations that are always ready must not keep its worker.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ropewalk_kernel::future::Sleep;
use ropewalk_kernel::wait::{AsyncWait, spend};

use super::buffered::{Buffer, Buffered};
use super::error::{RecvError, SendError, TryRecvError, TrySendError};
use super::receiver::{Receiver, Receiving};
use super::rendezvous::{Alone, Offer, Offered, Rendezvous, Told};
use super::sender::{Sender, Sending};
use super::timed::Timed;

/// Receives a message; from [`Receiver::recv_async`].
#[must_use = "a future does nothing until it is awaited"]
pub struct RecvFuture<'a, T> {
    receiver: &'a Receiver<T>,
    wait: AsyncWait,
    /// For a channel that time fills.
    sleep: Option<Sleep>,
}

impl<'a, T> RecvFuture<'a, T> {
    pub(super) fn new(receiver: &'a Receiver<T>) -> RecvFuture<'a, T> {
        RecvFuture {
            receiver,
            wait: AsyncWait::new(),
            sleep: None,
        }
    }
}

impl<T> Future for RecvFuture<'_, T> {
    type Output = Result<T, RecvError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        spend();
        let this = self.get_mut();
        match &this.receiver.0 {
            Receiving::Ring(channel) => recv_buffered(channel, &mut this.wait, context),
            Receiving::List(channel) => recv_buffered(channel, &mut this.wait, context),
            Receiving::Rendezvous(channel) => recv_meeting(channel, &mut this.wait, context),
            Receiving::Timed(channel, make) => {
                recv_timed(channel, &mut this.sleep, context).map(|instant| Ok(make(instant)))
            }
            Receiving::Never => Poll::Pending,
        }
    }
}

fn recv_buffered<B: Buffer>(
    channel: &Buffered<B>,
    wait: &mut AsyncWait,
    context: &Context<'_>,
) -> Poll<Result<B::Message, RecvError>> {
    loop {
        let result = match channel.try_recv() {
            Ok(message) => Ok(message),
            Err(TryRecvError::Disconnected) => Err(RecvError),
            Err(TryRecvError::Empty) => {
                wait.prepare(context);
                let Some(guard) = channel.lock_idle() else {
                    continue;
                };
                // SAFETY: left below and when the future is dropped; the channel outlives it.
                unsafe { wait.join(guard) };
                return Poll::Pending;
            }
        };
        if wait.leave(channel.receivers()) {
            channel.pass_on_message();
        }
        return Poll::Ready(result);
    }
}

fn recv_meeting<T>(
    channel: &Rendezvous<T>,
    wait: &mut AsyncWait,
    context: &Context<'_>,
) -> Poll<Result<T, RecvError>> {
    // Out of the queue first: who looks for receivers must not find this one twice.
    wait.leave(channel.receivers());
    wait.prepare(context);
    let mut told = Told::default();
    match channel.meet_sender(&mut told, false) {
        Ok(message) => Poll::Ready(Ok(message)),
        Err(Alone::Closed) => Poll::Ready(Err(RecvError)),
        Err(Alone::Waiting(locked)) => {
            // SAFETY: left at the next poll and when the future is dropped; the channel
            // outlives it.
            unsafe { wait.join(locked.into_guard()) };
            told.wake();
            Poll::Pending
        }
    }
}

fn recv_timed(
    channel: &Timed,
    sleep: &mut Option<Sleep>,
    context: &mut Context<'_>,
) -> Poll<std::time::Instant> {
    loop {
        if let Ok(instant) = channel.try_recv() {
            return Poll::Ready(instant);
        }
        let Some(deadline) = channel.deadline() else {
            // Its one message was taken.
            return Poll::Pending;
        };
        let sleeping = sleep.get_or_insert_with(|| Sleep::new(deadline));
        ready!(Pin::new(sleeping).poll(context));
        *sleep = None;
    }
}

impl<T> Drop for RecvFuture<'_, T> {
    fn drop(&mut self) {
        match &self.receiver.0 {
            Receiving::Ring(channel) => {
                if self.wait.leave(channel.receivers()) {
                    channel.pass_on_message();
                }
            }
            Receiving::List(channel) => {
                if self.wait.leave(channel.receivers()) {
                    channel.pass_on_message();
                }
            }
            Receiving::Rendezvous(channel) => {
                // Who woke it told all others too.
                self.wait.leave(channel.receivers());
            }
            Receiving::Timed(..) | Receiving::Never => {}
        }
    }
}

/// Sends a message; from [`Sender::send_async`].
#[must_use = "a future does nothing until it is awaited"]
pub struct SendFuture<'a, T> {
    sender: &'a Sender<T>,
    /// Until it is sent, or offered.
    message: Option<T>,
    wait: AsyncWait,
    /// For a rendezvous: where the message lies until a receiver takes it.
    offer: Option<Pin<Box<Offer<T>>>>,
}

// Messages are moved, never pinned.
impl<T> Unpin for SendFuture<'_, T> {}

impl<'a, T> SendFuture<'a, T> {
    pub(super) fn new(sender: &'a Sender<T>, message: T) -> SendFuture<'a, T> {
        SendFuture {
            sender,
            message: Some(message),
            wait: AsyncWait::new(),
            offer: None,
        }
    }

    fn poll_offer(
        &mut self,
        channel: &Rendezvous<T>,
        context: &Context<'_>,
    ) -> Poll<Result<(), SendError<T>>> {
        // Foreign code: before the lock is taken.
        let waker = context.waker().clone();
        let offered = match (&self.offer, self.message.take()) {
            (Some(offer), None) => channel.look_after(offer, waker),
            (None, Some(message)) => {
                let offer = self.offer.insert(Box::pin(Offer::new()));
                // SAFETY: boxed; withdrawn when the future is dropped.
                unsafe { channel.offer(offer, message, waker) }
            }
            _ => panic!("a send was polled after it was ready"),
        };
        match offered {
            Offered::Standing => Poll::Pending,
            Offered::Taken => {
                self.offer = None;
                Poll::Ready(Ok(()))
            }
            Offered::Closed(message) => {
                self.offer = None;
                Poll::Ready(Err(SendError(message)))
            }
        }
    }
}

impl<T> Future for SendFuture<'_, T> {
    type Output = Result<(), SendError<T>>;

    /// # Panics
    ///
    /// If polled again after it was ready.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        spend();
        let this = self.get_mut();
        match &this.sender.0 {
            Sending::Ring(channel) => {
                send_buffered(channel, &mut this.message, &mut this.wait, context)
            }
            Sending::List(channel) => {
                send_buffered(channel, &mut this.message, &mut this.wait, context)
            }
            Sending::Rendezvous(channel) => this.poll_offer(channel, context),
        }
    }
}

fn send_buffered<B: Buffer>(
    channel: &Buffered<B>,
    unsent: &mut Option<B::Message>,
    wait: &mut AsyncWait,
    context: &Context<'_>,
) -> Poll<Result<(), SendError<B::Message>>> {
    let mut message = unsent.take().expect("a send was polled after it was ready");
    loop {
        let result = match channel.try_send(message) {
            Ok(()) => Ok(()),
            Err(TrySendError::Disconnected(message)) => Err(SendError(message)),
            Err(TrySendError::Full(back)) => {
                message = back;
                wait.prepare(context);
                let Some(guard) = channel.lock_blocked() else {
                    continue;
                };
                // SAFETY: left below and when the future is dropped; the channel outlives it.
                unsafe { wait.join(guard) };
                *unsent = Some(message);
                return Poll::Pending;
            }
        };
        if wait.leave(channel.senders()) {
            channel.pass_on_room();
        }
        return Poll::Ready(result);
    }
}

impl<T> Drop for SendFuture<'_, T> {
    fn drop(&mut self) {
        match &self.sender.0 {
            Sending::Ring(channel) => {
                if self.wait.leave(channel.senders()) {
                    channel.pass_on_room();
                }
            }
            Sending::List(channel) => {
                self.wait.leave(channel.senders());
            }
            Sending::Rendezvous(channel) => {
                if let Some(offer) = &self.offer {
                    channel.withdraw(offer);
                }
            }
        }
    }
}

impl<T> fmt::Debug for RecvFuture<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("RecvFuture { .. }")
    }
}

impl<T> fmt::Debug for SendFuture<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("SendFuture { .. }")
    }
}
