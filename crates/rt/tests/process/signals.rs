//! Signals: each test in a process of its own, since they are the process's.

use std::future::Future;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use ropewalk_rt::cancel::{self, Token, WaitError};
use ropewalk_rt::signal::{self, SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2, Signals, WAITING_MAX};
use ropewalk_rt::{channel, coroutine, select};

use crate::alone::{alone, well_alone};
use crate::stage::{PATIENCE, on_each, until, until_waiting};

/// Sends this process a signal.
fn raise(signal: i32) {
    // SAFETY: no pointers.
    assert_eq!(unsafe { libc::kill(libc::getpid(), signal) }, 0);
}

/// What is done about a signal at this moment.
fn disposition(signal: i32) -> usize {
    // SAFETY: all zeroes is a valid action; it is only written to.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &raw mut action);
        action.sa_sigaction
    }
}

#[test]
fn ctrl_c_is_waited_for_once() {
    well_alone(&[], || {
        on_each(|| {
            let waiting = coroutine::spawn(signal::ctrl_c);
            until(|| disposition(SIGINT) != libc::SIG_DFL);
            raise(SIGINT);
            waiting.join().unwrap().unwrap();
            assert_eq!(disposition(SIGINT), libc::SIG_DFL, "the next one ends us");
        });
    });
}

#[test]
fn a_second_ctrl_c_ends_the_process() {
    let output = alone("signals::a_second_ctrl_c_ends_the_process", &[], || {
        let signals = Signals::new([SIGINT]).unwrap();
        raise(SIGINT);
        assert_eq!(signals.recv(), Ok(SIGINT));
        drop(signals);
        raise(SIGINT);
        unreachable!("the default was not restored");
    });
    if let Some(output) = output {
        assert_eq!(output.status.signal(), Some(SIGINT));
    }
}

#[test]
fn every_listener_gets_its_signals() {
    well_alone(&[], || {
        on_each(|| {
            let both = Signals::new([SIGTERM, SIGUSR1]).unwrap();
            let one = Signals::new([SIGUSR1, SIGUSR1]).unwrap();
            raise(SIGUSR1);
            assert_eq!(both.recv(), Ok(SIGUSR1));
            assert_eq!(one.recv(), Ok(SIGUSR1));
            raise(SIGTERM);
            assert_eq!(both.iter().next(), Some(SIGTERM));
            assert_eq!(one.try_recv(), None);
            drop(both);
            raise(SIGUSR1);
            assert_eq!(one.into_iter().next(), Some(SIGUSR1));
        });
    });
}

#[test]
fn a_wait_is_timed_cancelled_and_selected() {
    well_alone(&[], || {
        on_each(|| {
            let signals = Signals::new([SIGUSR2]).unwrap();
            let limit = Duration::from_millis(5);
            assert_eq!(signals.recv_timeout(limit), Err(WaitError::Timeout));
            let elapsed = cancel::timeout(limit, || signals.recv()).unwrap_err();
            assert!(elapsed.into_inner().unwrap_err().is_timeout());

            let token = Token::new();
            let waiting = token.run(|| coroutine::spawn(signal::ctrl_c));
            until_waiting(waiting.task().id(), "receiving");
            token.cancel();
            assert!(waiting.join().unwrap().is_err());

            let (_sender, other) = channel::bounded::<i32>(1);
            raise(SIGUSR2);
            select! {
                recv(signals.receiver()) -> signal => assert_eq!(signal, Ok(SIGUSR2)),
                recv(other) -> _ => unreachable!("nothing was sent"),
            }
        });
    });
}

#[test]
fn a_flood_is_bounded_and_does_no_harm() {
    well_alone(&[], || {
        let signals = Signals::new([SIGUSR1]).unwrap();
        for _ in 0..4 * WAITING_MAX {
            raise(SIGUSR1);
        }
        until(|| !signals.receiver().is_empty());
        assert!(signals.receiver().len() <= WAITING_MAX);
        assert_eq!(signals.recv(), Ok(SIGUSR1));
        // One may still be on its way: it must find somebody who listens.
        std::mem::forget(signals);
    });
}

#[test]
fn what_nobody_may_listen_for_is_refused() {
    // Under `nohup` it is ignored.
    let before = disposition(SIGHUP);
    for (signal, why) in [
        (libc::SIGKILL, "keeps it to itself"),
        (libc::SIGSTOP, "keeps it to itself"),
        (libc::SIGSEGV, "fault"),
        (33, "C library"),
        (0, "no such signal"),
        (-1, "no such signal"),
        (65, "no such signal"),
    ] {
        let error = Signals::new([SIGHUP, signal]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert!(error.to_string().contains(why), "{error}");
    }
    assert_eq!(disposition(SIGHUP), before);
}

/// A handler that was there before is still called, and put back; one that came after ours
/// stays. A signal that was ignored is ignored again.
#[test]
fn other_handlers_are_left_in_place() {
    use signal_hook::low_level::{register, unregister};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    well_alone(&[], || {
        let seen = Arc::new(AtomicUsize::new(0));
        let count = |signal| {
            let seen = Arc::clone(&seen);
            // SAFETY: an atomic is for signal handlers.
            unsafe { register(signal, move || _ = seen.fetch_add(1, Ordering::SeqCst)) }.unwrap()
        };
        count(SIGUSR1);
        let theirs = disposition(SIGUSR1);
        let signals = Signals::new([SIGUSR1, SIGUSR2]).unwrap();
        let late = count(SIGUSR2);
        for signal in [SIGUSR1, SIGUSR2] {
            raise(signal);
            assert_eq!(signals.recv(), Ok(signal));
        }
        until(|| seen.load(Ordering::SeqCst) == 2);
        drop(signals);
        assert_eq!(disposition(SIGUSR1), theirs);
        raise(SIGUSR1);
        raise(SIGUSR2);
        until(|| seen.load(Ordering::SeqCst) == 4);
        assert!(unregister(late));

        // SAFETY: no pointers to anything.
        unsafe { libc::signal(SIGHUP, libc::SIG_IGN) };
        let signals = Signals::new([SIGHUP]).unwrap();
        raise(SIGHUP);
        assert_eq!(signals.recv(), Ok(SIGHUP));
        drop(signals);
        raise(SIGHUP);
        assert_eq!(disposition(SIGHUP), libc::SIG_IGN);
    });
}

/// The thread that passes them on goes with the last listener, and comes again.
#[test]
fn nothing_runs_for_nobody() {
    well_alone(&[], || {
        let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
        let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        let begun = threads();
        drop(Signals::new([SIGUSR1]).unwrap());
        until(|| threads() <= begun);
        let before = descriptors();
        for _ in 0..20 {
            let listeners = [Signals::new([SIGUSR1]), Signals::new([SIGUSR1, SIGHUP])];
            raise(SIGUSR1);
            for listener in listeners {
                assert_eq!(listener.unwrap().recv(), Ok(SIGUSR1));
            }
            until(|| threads() <= begun);
        }
        assert!(descriptors() <= before);
    });
}

/// A program that waits for a signal is not dead, and one that nothing can wake afterwards is.
#[test]
fn who_waits_for_a_signal_is_not_taken_for_dead() {
    let test = "signals::who_waits_for_a_signal_is_not_taken_for_dead";
    let output = alone(test, &[], || {
        ropewalk_rt::__private::test(Default::default(), "the child", || {
            let signals = Signals::new([SIGUSR1]).unwrap();
            // Sent long after a program without hope would have been given up.
            let script = format!("sleep 2; kill -USR1 {}", std::process::id());
            let sender = std::process::Command::new("sh")
                .args(["-c", &script])
                .spawn();
            assert_eq!(signals.recv(), Ok(SIGUSR1));
            eprintln!("it came");
            sender.unwrap().wait().unwrap();
            drop(signals);
            let (_kept, never) = channel::bounded::<u32>(1);
            let _ = never.recv();
        });
    });
    if let Some(output) = output {
        let said = crate::alone::text(&output);
        assert!(said.contains("it came"), "{said}");
        assert_eq!(output.status.code(), Some(101), "{said}");
        assert!(said.contains("all 1 coroutines asleep"), "{said}");
    }
}

/// It arrives while every worker computes.
#[test]
fn busy_workers_hold_no_signal_up() {
    well_alone(&[], || {
        let runtime = crate::stage::any_runtime(1);
        let (sender, receiver) = std::sync::mpsc::channel::<()>();
        let busy = runtime.spawn(move || receiver.recv().is_ok());
        let signals = Signals::new([SIGTERM]).unwrap();
        raise(SIGTERM);
        assert_eq!(signals.recv(), Ok(SIGTERM));
        sender.send(()).unwrap();
        assert!(busy.join().unwrap());
    });
}

/// Runs something when it is woken.
struct Calls<F>(F);

impl<F: Fn() + Send + Sync> Wake for Calls<F> {
    fn wake(self: Arc<Self>) {
        (self.0)();
    }
}

/// A foreign executor may run a task in its waker, which may begin to listen: that waited for the
/// lock under which it was woken, and no signal came any more. A listener that goes wakes, too.
#[test]
fn a_waker_may_listen() {
    well_alone(&[], || {
        let (tell, told) = std::sync::mpsc::channel();
        let waker = Waker::from(Arc::new(Calls(move || {
            let signals = Signals::new([SIGUSR2]).unwrap();
            tell.send(signals).unwrap();
        })));
        let mut context = Context::from_waker(&waker);
        let signals = Signals::new([SIGUSR1]).unwrap();
        let receiver = signals.receiver().clone();
        let mut next = pin!(receiver.recv_async());
        assert!(next.as_mut().poll(&mut context).is_pending());
        raise(SIGUSR1);
        let inside = told.recv_timeout(PATIENCE).unwrap();
        assert_eq!(next.as_mut().poll(&mut context), Poll::Ready(Ok(SIGUSR1)));
        raise(SIGUSR2);
        assert_eq!(inside.recv(), Ok(SIGUSR2));

        let mut none = pin!(receiver.recv_async());
        assert!(none.as_mut().poll(&mut context).is_pending());
        let dropping = std::thread::spawn(move || drop(signals));
        let _inside = told.recv_timeout(PATIENCE).unwrap();
        dropping.join().unwrap();
        assert!(none.as_mut().poll(&mut context).is_ready());
    });
}
