//! `Select`: what is chosen, when, and what becomes of the other operations.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use ropewalk_rt::channel::{RecvError, Select, after, bounded, never, unbounded};

use crate::fixture::{BUFFERED, CAPACITIES, FAR, SOON, make, start};
use crate::stage::on_each;

// Of two operations the one that can be done is.
#[test]
fn what_can_be_done_is_chosen() {
    on_each(|| {
        for capacity in BUFFERED {
            let (full, held) = make(capacity);
            let (other, empty) = make::<u8>(capacity);
            full.send(1).unwrap();
            for order in 0..2 {
                let mut select = Select::new();
                let (wanted, unwanted) = if order == 0 {
                    (select.recv(&held), select.recv(&empty))
                } else {
                    let unwanted = select.recv(&empty);
                    (select.recv(&held), unwanted)
                };
                let operation = select.select();
                assert_eq!(operation.index(), wanted);
                assert_ne!(operation.index(), unwanted);
                assert_eq!(operation.recv(&held), Ok(1));
                assert!(select.try_select().is_err());
                full.send(1).unwrap();
            }
            assert!(other.is_empty());
        }
    });
}

// A send is chosen as soon as there is room, and sends just what it is completed with.
#[test]
fn sending_into_room() {
    on_each(|| {
        let (tight, taken) = bounded(1);
        let (roomy, room) = bounded(2);
        tight.send(0).unwrap();
        for n in 0..2 {
            let mut select = Select::new();
            select.send(&tight);
            let wanted = select.send(&roomy);
            let operation = select.select();
            assert_eq!(operation.index(), wanted);
            operation.send(&roomy, n).unwrap();
        }
        let mut select = Select::new();
        select.send(&tight);
        select.send(&roomy);
        assert!(select.try_select().is_err());
        assert_eq!(
            (taken.recv(), room.recv(), room.recv()),
            (Ok(0), Ok(0), Ok(1))
        );
        let operation = select.try_select().unwrap();
        match operation.index() {
            0 => operation.send(&tight, 9).unwrap(),
            _ => operation.send(&roomy, 9).unwrap(),
        }
        assert_eq!(taken.len() + room.len(), 1);
    });
}

// Ends whose other side is gone can be done, and fail; messages that are left come first.
#[test]
fn the_disconnected_fail() {
    on_each(|| {
        for capacity in CAPACITIES {
            let (sender, receiver) = make::<u8>(capacity);
            let (other, silent) = make::<u8>(capacity);
            let left = usize::from(sender.try_send(7).is_ok());
            drop(sender);
            for n in 0..left + 2 {
                let mut select = Select::new();
                let index = select.recv(&receiver);
                select.recv(&silent);
                let operation = select.select_timeout(FAR).unwrap();
                assert_eq!(operation.index(), index);
                let expected = if n < left { Ok(7) } else { Err(RecvError) };
                assert_eq!(operation.recv(&receiver), expected);
            }
            drop(silent);
            let (full, _held) = bounded::<u8>(0);
            let mut select = Select::new();
            select.send(&full);
            let index = select.send(&other);
            let operation = select.select();
            assert_eq!(operation.index(), index);
            assert_eq!(operation.send(&other, 3).unwrap_err().into_inner(), 3);
        }
    });
}

// Nothing can be done: at once, and for a while.
#[test]
fn nothing_to_do() {
    on_each(|| {
        for capacity in CAPACITIES {
            let (sender, receiver) = make::<usize>(capacity);
            let mut select = Select::new();
            select.recv(&receiver);
            if let Some(room) = capacity {
                (0..room).for_each(|n| sender.send(n).unwrap());
                if room > 0 {
                    select.remove(0);
                }
                select.send(&sender);
            }
            if capacity == Some(0) {
                // Both sides of one channel: one task can't meet itself.
                select.recv(&receiver);
            }
            assert!(select.try_select().is_err());
            for patience in [Duration::ZERO, SOON] {
                let begun = Instant::now();
                assert!(select.select_timeout(patience).is_err());
                assert!(begun.elapsed() >= patience);
                let end = Instant::now() + patience;
                assert!(select.select_deadline(end).is_err());
                assert!(Instant::now() >= end);
            }
        }
    });
}

// Without operations: trying and timed forms end, the endless one is a mistake.
#[test]
fn no_operations_at_all() {
    on_each(|| {
        let mut select = Select::new();
        assert!(select.try_select().is_err());
        let begun = Instant::now();
        assert!(select.select_timeout(SOON).is_err());
        assert!(begun.elapsed() >= SOON);
        let caught = catch_unwind(AssertUnwindSafe(|| select.select().index()));
        assert!(caught.is_err());
    });
}

// Operations can be added twice, removed, and the list used again.
#[test]
fn changing_the_list() {
    on_each(|| {
        let (sender, receiver) = unbounded();
        let (other, silent) = unbounded::<u8>();
        let mut select = Select::new();
        let indices = [
            select.recv(&receiver),
            select.recv(&silent),
            select.recv(&receiver),
        ];
        assert_eq!(indices, [0, 1, 2]);
        sender.send(1).unwrap();
        select.remove(0);
        let operation = select.select();
        assert_eq!(operation.index(), 2);
        assert_eq!(operation.recv(&receiver), Ok(1));
        // Indices are not given anew.
        assert_eq!(select.recv(&receiver), 3);
        select.remove(2);
        sender.send(2).unwrap();
        let operation = select.select();
        assert_eq!(operation.index(), 3);
        assert_eq!(operation.recv(&receiver), Ok(2));
        assert!(catch_unwind(AssertUnwindSafe(|| select.remove(2))).is_err());
        assert!(catch_unwind(AssertUnwindSafe(|| select.remove(99))).is_err());
        select.remove(1);
        select.remove(3);
        assert!(select.try_select().is_err());
        drop((sender, other));
    });
}

// The same operation several times: each message is still received once.
#[test]
fn the_same_operation_twice() {
    on_each(|| {
        for capacity in CAPACITIES {
            let (sender, receiver) = make(capacity);
            let sink = start(1, move || {
                let mut seen = Vec::new();
                let mut chosen = [0; 3];
                loop {
                    let mut select = Select::new();
                    (0..3).for_each(|_| {
                        select.recv(&receiver);
                    });
                    let operation = select.select();
                    chosen[operation.index()] += 1;
                    match operation.recv(&receiver) {
                        Ok(n) => seen.push(n),
                        Err(_) => return (seen, chosen),
                    }
                }
            });
            for n in 0..100 {
                let mut select = Select::new();
                select.send(&sender);
                select.send(&sender);
                let operation = select.select();
                operation.send(&sender, n).unwrap();
            }
            drop(sender);
            let (seen, chosen) = sink.join().unwrap();
            assert!(seen.into_iter().eq(0..100));
            assert_eq!(chosen.iter().sum::<u32>(), 101);
        }
    });
}

// One list for many selects, also after timing out, also emptied for other channels.
#[test]
fn using_a_list_again() {
    on_each(|| {
        let (sender, receiver) = bounded(1);
        let mut select = Select::new();
        let (send, recv) = (select.send(&sender), select.recv(&receiver));
        for n in 0..50 {
            let operation = select.select();
            if n % 2 == 0 {
                assert_eq!(operation.index(), send);
                operation.send(&sender, n).unwrap();
            } else {
                assert_eq!(operation.index(), recv);
                assert_eq!(operation.recv(&receiver), Ok(n - 1));
            }
        }
        select.remove(send);
        assert!(select.select_timeout(SOON).is_err());
        sender.send(99).unwrap();
        assert_eq!(select.select().recv(&receiver), Ok(99));
        let mut select = select.recycle();
        assert!(select.try_select().is_err());
        let (other, fresh) = unbounded();
        other.send('a').unwrap();
        assert_eq!(select.recv(&fresh), 0);
        assert_eq!(select.select().recv(&fresh), Ok('a'));
        // A copy is a list of its own.
        let mut copy = select.clone();
        copy.remove(0);
        other.send('b').unwrap();
        assert!(copy.try_select().is_err());
        assert_eq!(select.try_select().unwrap().recv(&fresh), Ok('b'));
    });
}

// Another thread may wait with a list that was put together here.
#[test]
fn a_list_goes_elsewhere() {
    on_each(|| {
        let (sender, receiver) = unbounded();
        let (_other, silent) = unbounded::<u8>();
        let mut select = Select::new();
        select.recv(&silent);
        select.recv(&receiver);
        std::thread::scope(|scope| {
            let mut here = select.clone();
            scope.spawn(move || sender.send(4).unwrap());
            let receiver = &receiver;
            scope.spawn(move || assert_eq!(here.select().recv(receiver), Ok(4)));
        });
    });
}

// Completing with another end than the selected is a mistake, and loses nothing of others.
#[test]
fn completing_with_the_wrong_end() {
    on_each(|| {
        let (sender, receiver) = unbounded();
        let (_other, wrong) = unbounded::<u8>();
        sender.send(1_u8).unwrap();
        sender.send(2).unwrap();
        let caught = catch_unwind(AssertUnwindSafe(|| {
            let mut select = Select::new();
            select.recv(&receiver);
            select.select().recv(&wrong)
        }));
        assert!(caught.is_err());
        let caught = catch_unwind(AssertUnwindSafe(|| {
            let mut select = Select::new();
            select.send(&sender);
            select.select().recv(&receiver)
        }));
        assert!(caught.is_err());
        let mut select = Select::new();
        select.recv(&receiver);
        assert_eq!(select.select().recv(&receiver), Ok(2));
    });
}

// Among what is there always, nobody starves, and the first wins if asked for.
#[test]
fn who_is_chosen() {
    on_each(|| {
        const ROUNDS: usize = 1_200;
        let (sender, receiver) = unbounded();
        let (gone, closed) = bounded::<usize>(1);
        drop(gone);
        let due = || after(Duration::ZERO);
        let (roomy, _room) = unbounded();
        let nothing = never::<u8>();
        for biased in [false, true] {
            let mut counts = [0; 4];
            for n in 0..ROUNDS {
                sender.send(n).unwrap();
                let due = due();
                let mut select = if biased {
                    Select::new_biased()
                } else {
                    Select::new()
                };
                select.recv(&nothing);
                select.recv(&receiver);
                select.recv(&closed);
                select.recv(&due);
                select.send(&roomy);
                let operation = select.select();
                counts[operation.index() - 1] += 1;
                match operation.index() {
                    1 => drop(operation.recv(&receiver).unwrap()),
                    2 => assert!(operation.recv(&closed).is_err()),
                    3 => drop(operation.recv(&due).unwrap()),
                    _ => operation.send(&roomy, n).unwrap(),
                }
            }
            if biased {
                assert_eq!(counts, [ROUNDS, 0, 0, 0]);
            } else {
                assert!(
                    counts.iter().all(|&count| count > ROUNDS / 16),
                    "{counts:?}"
                );
            }
        }
    });
}

// An operation may be completed with a clone of the end that was selected.
#[test]
fn completing_with_a_clone() {
    on_each(|| {
        for capacity in CAPACITIES {
            let (theirs, receiver) = make(capacity);
            let (sender, theirs_too) = make(capacity);
            let partner = start(1, move || {
                theirs.send(1).unwrap();
                theirs_too.recv()
            });
            let mut select = Select::new();
            select.recv(&receiver);
            assert_eq!(select.select().recv(&receiver.clone()), Ok(1));
            let mut select = Select::new();
            select.send(&sender);
            select.select().send(&sender.clone(), 2).unwrap();
            assert_eq!(partner.join().unwrap(), Ok(2));
        }
    });
}
