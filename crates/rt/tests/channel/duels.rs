//! One send, one receive, and somebody who ends the one, the other or both at about the same
//! time, 100,000 times: the two sides agree on what happened.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use ropewalk_rt::JoinHandle;
use ropewalk_rt::cancel::{Token, TokenExt};
use ropewalk_rt::channel::{Receiver, Select, Sender, bounded, never, select};
use ropewalk_rt::coroutine;
use ropewalk_rt::future::block_on;

use crate::fixture::{Dice, FAR, start};
use crate::ledger::End;
use crate::stage::on_each;

/// On each stage; unoptimised, as many over all stages.
const ROUNDS: usize = if cfg!(debug_assertions) {
    20_000
} else {
    100_000
};
const FLAVORS: [usize; 2] = [0, 1];

/// How a side does its operation.
#[derive(Clone, Copy)]
enum Form {
    Blocking,
    Timed,
    Future,
    Macro,
    List,
}

impl Form {
    const ALL: [Form; 5] = [
        Form::Blocking,
        Form::Timed,
        Form::Future,
        Form::Macro,
        Form::List,
    ];

    fn send(self, token: &Token, sender: &Sender<usize>, message: usize) -> End {
        let sent = match self {
            Form::Blocking => sender.send(message).is_ok(),
            Form::Timed => sender.send_timeout(message, FAR).is_ok(),
            Form::Future => match until_cancelled(token, sender.send_async(message)) {
                Some(result) => result.is_ok(),
                None => return End::Unknown,
            },
            Form::Macro => {
                let nothing = never::<u8>();
                select! {
                    recv(nothing) -> _ => false,
                    send(sender, message) -> sent => sent.is_ok(),
                }
            }
            Form::List => {
                let mut select = Select::new();
                select.send(sender);
                select.send(sender);
                select.select().send(sender, message).is_ok()
            }
        };
        if sent { End::Sent } else { End::Back }
    }

    fn receive(self, token: &Token, receiver: &Receiver<usize>) -> Option<usize> {
        match self {
            Form::Blocking => receiver.recv().ok(),
            Form::Timed => receiver.recv_timeout(FAR).ok(),
            Form::Future => until_cancelled(token, receiver.recv_async())?.ok(),
            Form::Macro => {
                let nothing = never::<u8>();
                select! {
                    recv(nothing) -> _ => None,
                    recv(receiver) -> message => message.ok(),
                }
            }
            Form::List => {
                let mut select = Select::new();
                select.recv(receiver);
                select.recv(receiver);
                select.select().recv(receiver).ok()
            }
        }
    }
}

/// Drops the future when the token is cancelled: whoever awaits isn't cancelled otherwise.
fn until_cancelled<F: Future>(token: &Token, future: F) -> Option<F::Output> {
    let mut cancelled = pin!(token.cancelled());
    let mut future = pin!(future);
    block_on(std::future::poll_fn(|context| {
        if let Poll::Ready(output) = future.as_mut().poll(context) {
            return Poll::Ready(Some(output));
        }
        cancelled.as_mut().poll(context).map(|()| None)
    }))
}

/// What a side is told to do in a round.
struct Order {
    token: Token,
    form: Form,
    round: usize,
}

/// A side: it carries out orders and reports.
fn side<T: Send + 'static>(
    kind: usize,
    act: impl Fn(&Order) -> T + Send + 'static,
) -> (Sender<Order>, Receiver<T>, JoinHandle<()>) {
    let (order, orders) = bounded::<Order>(1);
    let (report, reports) = bounded(1);
    let side = start(kind, move || {
        for order in orders {
            let result = order.token.run(|| act(&order));
            report.send(result).unwrap();
        }
    });
    (order, reports, side)
}

/// Cuts one side, the other or both, a little later or at once; whoever isn't cut and is left
/// alone is cut at last.
fn duel(capacity: usize, kinds: [usize; 2], forms: &[Form], rounds: usize) -> [usize; 2] {
    let (sender, receiver) = bounded(capacity);
    let rest = receiver.clone();
    let (send, sent, one) = side(kinds[0], move |order| {
        order.form.send(&order.token, &sender, order.round)
    });
    let (receive, received, two) = side(kinds[1], move |order| {
        order.form.receive(&order.token, &receiver)
    });
    let mut dice = Dice::new(capacity + 17);
    let mut outcomes = [0; 2];
    for round in 0..rounds {
        let tokens = [Token::new(), Token::new()];
        let mut order = |side: &Sender<Order>, token: &Token| {
            let form = forms[dice.below(forms.len() as u64) as usize];
            let token = token.clone();
            side.send(Order { token, form, round }).unwrap();
        };
        if round % 2 == 0 {
            order(&send, &tokens[0]);
            order(&receive, &tokens[1]);
        } else {
            order(&receive, &tokens[1]);
            order(&send, &tokens[0]);
        }
        let pause = |dice: &mut Dice| match dice.below(4) {
            0 => coroutine::yield_now(),
            1 => (0..dice.below(200)).for_each(|_| std::hint::spin_loop()),
            _ => {}
        };
        pause(&mut dice);
        let first = dice.below(2) as usize;
        tokens[first].cancel();
        pause(&mut dice);
        tokens[1 - first].cancel();
        let (sent, got) = (sent.recv().unwrap(), received.recv().unwrap());
        let left = rest.try_recv().ok();
        assert!(left.is_none_or(|left| left == round && capacity > 0 && got.is_none()));
        let arrived = got.or(left);
        assert!(arrived.is_none_or(|message| message == round));
        match sent {
            End::Sent => assert!(arrived.is_some(), "round {round} was lost"),
            End::Back => assert!(arrived.is_none(), "round {round} is there twice"),
            End::Unknown => {}
        }
        outcomes[usize::from(arrived.is_some())] += 1;
    }
    drop((send, receive));
    one.join().unwrap();
    two.join().unwrap();
    outcomes
}

fn duels(forms: &[Form]) {
    on_each(|| {
        let mut outcomes = [0; 2];
        for capacity in FLAVORS {
            // With threads fewer: each wake of one costs a system call.
            for (kinds, rounds) in [([0, 0], ROUNDS / 2 - 1_000), ([0, 1], 500), ([1, 0], 500)] {
                let more = duel(capacity, kinds, forms, rounds);
                outcomes
                    .iter_mut()
                    .zip(more)
                    .for_each(|(sum, count)| *sum += count);
            }
        }
        assert_eq!(outcomes.iter().sum::<usize>(), ROUNDS);
        // Both ends of the race were seen.
        assert!(outcomes[0] > 0 && outcomes[1] > 0, "{outcomes:?}");
    });
}

#[test]
fn blocking() {
    duels(&[Form::Blocking, Form::Timed]);
}

#[test]
fn by_futures() {
    duels(&[Form::Future]);
}

#[test]
fn by_selects() {
    duels(&[Form::Macro, Form::List]);
}

#[test]
fn in_all_forms() {
    duels(&Form::ALL);
}

// Deadlines on both sides, at a rendezvous: who gives up has not met.
#[test]
fn deadlines() {
    on_each(|| {
        let (sender, receiver) = bounded(0);
        let met = Arc::new(AtomicUsize::new(0));
        let source = start(0, {
            let met = Arc::clone(&met);
            move || {
                let mut dice = Dice::new(5);
                for n in 0..ROUNDS {
                    let patience = Duration::from_nanos(dice.below(6_000));
                    met.fetch_add(
                        usize::from(sender.send_timeout(n, patience).is_ok()),
                        Ordering::Relaxed,
                    );
                }
            }
        });
        let mut dice = Dice::new(6);
        let (mut seen, mut last) = (0, None);
        loop {
            let patience = Duration::from_nanos(dice.below(6_000));
            match receiver.recv_timeout(patience) {
                Ok(n) => {
                    assert!(last < Some(n));
                    last = Some(n);
                    seen += 1;
                }
                Err(error) if error.is_disconnected() => break,
                Err(_) => {}
            }
        }
        source.join().unwrap();
        assert_eq!(met.load(Ordering::SeqCst), seen);
    });
}
