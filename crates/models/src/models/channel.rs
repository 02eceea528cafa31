//! The channel that holds nothing, and the bounded ring with its waiters.

use std::sync::Arc;

use loom::cell::UnsafeCell;
use loom::thread;

use super::{DEADLOCK, RACE, Who, fails, holds};
use crate::rt::channel::buffered::Buffered;
use crate::rt::channel::rendezvous::Rendezvous;
use crate::rt::channel::ring::Ring;
use crate::shim::atomic::{AtomicUsize, Ordering};
use crate::shim::clock::{self, SOON};

/// A message that loom sees being read, and that counts its drops.
struct Message {
    number: usize,
    contents: UnsafeCell<()>,
    drops: Arc<AtomicUsize>,
}

// SAFETY: loom checks the contents.
unsafe impl Send for Message {}

impl Drop for Message {
    fn drop(&mut self) {
        self.contents.with_mut(|_| ());
        self.drops.fetch_add(1, Ordering::Relaxed);
    }
}

/// What the models need of a channel.
trait Channel: Send + Sync + 'static {
    fn send(&self, message: Message, deadline: Option<u64>) -> Result<(), Message>;
    fn recv(&self, deadline: Option<u64>) -> Option<Message>;
    fn try_send(&self, message: Message) -> Result<(), Message>;
    fn try_recv(&self) -> Option<Message>;
    fn senders_are_gone(&self);
    fn receivers_are_gone(&self);
}

impl Channel for Rendezvous<Message> {
    fn send(&self, message: Message, deadline: Option<u64>) -> Result<(), Message> {
        Rendezvous::send(self, message, deadline).map_err(|error| error.into_inner())
    }

    fn recv(&self, deadline: Option<u64>) -> Option<Message> {
        Rendezvous::recv(self, deadline).ok()
    }

    fn try_send(&self, message: Message) -> Result<(), Message> {
        Rendezvous::try_send(self, message).map_err(|error| error.into_inner())
    }

    fn try_recv(&self) -> Option<Message> {
        Rendezvous::try_recv(self).ok()
    }

    fn senders_are_gone(&self) {
        self.disconnect();
    }

    fn receivers_are_gone(&self) {
        self.disconnect();
    }
}

impl Channel for Buffered<Ring<Message>> {
    fn send(&self, message: Message, deadline: Option<u64>) -> Result<(), Message> {
        Buffered::send(self, message, deadline).map_err(|error| error.into_inner())
    }

    fn recv(&self, deadline: Option<u64>) -> Option<Message> {
        Buffered::recv(self, deadline).ok()
    }

    fn try_send(&self, message: Message) -> Result<(), Message> {
        Buffered::try_send(self, message).map_err(|error| error.into_inner())
    }

    fn try_recv(&self) -> Option<Message> {
        Buffered::try_recv(self).ok()
    }

    fn senders_are_gone(&self) {
        self.disconnect_senders();
    }

    fn receivers_are_gone(&self) {
        self.disconnect_receivers();
    }
}

fn rendezvous() -> Arc<Rendezvous<Message>> {
    Arc::new(Rendezvous::new())
}

fn ring(capacity: usize) -> Arc<Buffered<Ring<Message>>> {
    Arc::new(Buffered::new(Ring::new(capacity)))
}

/// Numbered messages, and at the end none of them left.
struct Messages(Arc<AtomicUsize>);

impl Messages {
    fn new() -> Messages {
        clock::begin();
        Messages(Arc::new(AtomicUsize::new(0)))
    }

    fn number(&self, number: usize) -> Message {
        Message {
            number,
            contents: UnsafeCell::new(()),
            drops: Arc::clone(&self.0),
        }
    }

    fn all_dropped(&self, count: usize) {
        assert_eq!(
            self.0.load(Ordering::Relaxed),
            count,
            "not each dropped once"
        );
    }
}

/// One sends two messages, another receives them in order.
fn in_order<C: Channel>(channel: Arc<C>, who: [Who; 2]) {
    let messages = Messages::new();
    let sender = {
        let (channel, sent) = (
            Arc::clone(&channel),
            [messages.number(1), messages.number(2)],
        );
        thread::spawn(move || {
            who[0].run(|| {
                for message in sent {
                    assert!(channel.send(message, None).is_ok());
                }
            });
        })
    };
    who[1].run(|| {
        for number in 1..=2 {
            assert_eq!(channel.recv(None).unwrap().number, number, "out of order");
        }
    });
    sender.join().unwrap();
    assert!(channel.try_recv().is_none(), "received twice");
    messages.all_dropped(2);
}

/// Two send one message each, the main thread receives both.
fn two_send<C: Channel>(channel: Arc<C>) {
    let messages = Messages::new();
    let senders = [1, 2].map(|number| {
        let (channel, message) = (Arc::clone(&channel), messages.number(number));
        thread::spawn(move || assert!(channel.send(message, None).is_ok()))
    });
    let sum = (0..2)
        .map(|_| channel.recv(None).unwrap().number)
        .sum::<usize>();
    assert_eq!(sum, 3);
    for sender in senders {
        sender.join().unwrap();
    }
    messages.all_dropped(2);
}

/// Two receive one message each, from the main thread.
fn two_receive<C: Channel>(channel: Arc<C>) {
    let messages = Messages::new();
    let receivers = [(); 2].map(|()| {
        let channel = Arc::clone(&channel);
        thread::spawn(move || channel.recv(None).unwrap().number)
    });
    for number in 1..=2 {
        assert!(channel.send(messages.number(number), None).is_ok());
    }
    let sum = receivers.map(|receiver| receiver.join().unwrap());
    assert_eq!(sum.iter().sum::<usize>(), 3);
    messages.all_dropped(2);
}

/// Two put one message each into a channel with room for both, then two take one each.
fn contended_ends<C: Channel>(channel: Arc<C>) {
    let messages = Messages::new();
    let sender = {
        let (channel, message) = (Arc::clone(&channel), messages.number(1));
        thread::spawn(move || assert!(channel.try_send(message).is_ok()))
    };
    assert!(channel.try_send(messages.number(2)).is_ok());
    sender.join().unwrap();
    let receiver = {
        let channel = Arc::clone(&channel);
        thread::spawn(move || channel.try_recv().unwrap().number)
    };
    let first = channel.try_recv().unwrap().number;
    assert_eq!(first + receiver.join().unwrap(), 3);
    messages.all_dropped(2);
}

/// One sends with a deadline, one receives with one: the two agree, but for what is left in a buffer.
fn with_deadlines<C: Channel>(channel: Arc<C>, who: [Who; 2]) {
    let messages = Messages::new();
    let sender = {
        let (channel, message) = (Arc::clone(&channel), messages.number(1));
        thread::spawn(move || who[0].run(|| channel.send(message, Some(SOON)).is_ok()))
    };
    let receiver = {
        let channel = Arc::clone(&channel);
        thread::spawn(move || who[1].run(|| channel.recv(Some(SOON)).is_some()))
    };
    clock::pass();
    let sent = sender.join().unwrap();
    let received = receiver.join().unwrap() || channel.try_recv().is_some();
    assert_eq!(sent, received, "they don't agree");
    messages.all_dropped(1);
}

/// One of two receivers gives up at its deadline; the other gets the message that comes.
fn one_gives_up<C: Channel>(channel: Arc<C>) {
    let messages = Messages::new();
    let timed = {
        let channel = Arc::clone(&channel);
        thread::spawn(move || channel.recv(Some(SOON)).is_some())
    };
    let patient = {
        let channel = Arc::clone(&channel);
        thread::spawn(move || assert!(channel.recv(None).is_some()))
    };
    clock::pass();
    assert!(channel.send(messages.number(1), None).is_ok());
    if timed.join().unwrap() {
        assert!(channel.send(messages.number(2), None).is_ok());
        patient.join().unwrap();
        messages.all_dropped(2);
    } else {
        patient.join().unwrap();
        messages.all_dropped(1);
    }
}

/// One sends or receives while the other side goes.
fn one_side_goes<C: Channel>(channel: Arc<C>, senders: bool) {
    let messages = Messages::new();
    let other = {
        let (channel, message) = (Arc::clone(&channel), messages.number(1));
        thread::spawn(move || {
            if senders {
                drop(message);
                assert!(channel.recv(None).is_none(), "there was no message");
            } else {
                let _ = channel.send(message, None);
            }
        })
    };
    if senders {
        channel.senders_are_gone();
    } else {
        channel.receivers_are_gone();
    }
    other.join().unwrap();
    drop(channel);
    messages.all_dropped(1);
}

/// One tries to send, another tries to receive: a message that was sent is received once.
fn both_try<C: Channel>(channel: Arc<C>) {
    let messages = Messages::new();
    let receiver = {
        let channel = Arc::clone(&channel);
        thread::spawn(move || usize::from(channel.try_recv().is_some()))
    };
    let sent = usize::from(channel.try_send(messages.number(1)).is_ok());
    let received = receiver.join().unwrap() + usize::from(channel.try_recv().is_some());
    assert_eq!(sent, received);
    messages.all_dropped(1);
}

const BOTH: [Who; 2] = [Who::Thread, Who::Thread];

#[test]
fn a_rendezvous_passes_messages_on_in_order() {
    holds(3, || in_order(rendezvous(), BOTH));
    holds(3, || in_order(rendezvous(), [Who::Coroutine, Who::Thread]));
    holds(1, || two_send(rendezvous()));
    holds(1, || two_receive(rendezvous()));
}

#[test]
fn a_rendezvous_with_deadlines_loses_nothing() {
    holds(2, || with_deadlines(rendezvous(), BOTH));
    holds(2, || {
        with_deadlines(rendezvous(), [Who::Coroutine, Who::Thread])
    });
    holds(1, || one_gives_up(rendezvous()));
}

#[test]
fn a_rendezvous_ends() {
    holds(3, || one_side_goes(rendezvous(), true));
    holds(3, || one_side_goes(rendezvous(), false));
    holds(3, || both_try(rendezvous()));
}

#[test]
fn a_ring_passes_messages_on_in_order() {
    holds(2, || in_order(ring(1), BOTH));
    holds(1, || in_order(ring(1), [Who::Coroutine, Who::Thread]));
    holds(1, || in_order(ring(2), BOTH));
    holds(0, || two_send(ring(1)));
    holds(0, || two_receive(ring(1)));
    holds(2, || contended_ends(ring(2)));
}

#[test]
fn a_ring_with_deadlines_loses_nothing() {
    holds(2, || with_deadlines(ring(1), BOTH));
    holds(1, || one_gives_up(ring(1)));
}

#[test]
fn a_ring_ends() {
    holds(3, || one_side_goes(ring(1), true));
    holds(3, || one_side_goes(ring(1), false));
    holds(3, || both_try(ring(1)));
}

/// The stamp that says that a slot is full doesn't release the message in it.
#[test]
fn it_fails_if_a_stamp_is_no_release() {
    fails("a full slot is stamped without release", RACE, 2, || {
        in_order(ring(1), BOTH)
    });
}

/// A receiver that finds the ring empty joins the queue without looking again under its lock.
#[test]
fn it_fails_if_a_receiver_does_not_look_again() {
    let fault = "a receiver does not look again under the lock";
    fails(fault, DEADLOCK, 2, || in_order(ring(1), BOTH));
}

/// The sender moves the tail with no order to its look for receivers.
#[test]
fn it_fails_if_the_tail_is_not_sequentially_consistent() {
    let fault = "the tail is moved without an order to the look for receivers";
    fails(fault, DEADLOCK, 2, || in_order(ring(1), BOTH));
}

/// A receiver that was woken and goes away with another message doesn't wake the next.
#[test]
fn it_fails_if_a_waiting_sender_is_not_told_of_room() {
    fails("nobody is told of room in a buffer", DEADLOCK, 2, || {
        in_order(ring(1), BOTH)
    });
}

/// A send that finds nobody lets go of the channel before it stands in the queue.
#[test]
fn it_fails_if_a_rendezvous_is_let_go_of_too_early() {
    let fault = "a rendezvous is let go of before the sender waits";
    fails(fault, DEADLOCK, 3, || in_order(rendezvous(), BOTH));
}

/// Closing wakes nobody who waits to receive.
#[test]
fn it_fails_if_closing_wakes_nobody() {
    fails(
        "closing a rendezvous wakes no receiver",
        DEADLOCK,
        3,
        || {
            one_side_goes(rendezvous(), true);
        },
    );
}
