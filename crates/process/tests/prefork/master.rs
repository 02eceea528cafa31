//! The master by its handle: deaths, reloads, ends.

use std::collections::HashSet;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use ropewalk_process::StartError;
use ropewalk_process::prefork::{Event, Prefork, Worker};
use ropewalk_rt::Runtime;
use rustix::process::Signal;

use crate::service::{
    Client, Place, Port, answer, ask, broken, broken_by_reload, mute, places, signal, stubborn,
    until_gone,
};

#[test]
fn a_killed_process_is_replaced_and_the_others_lose_nothing() {
    for place in places() {
        let port = Port::open(Prefork::new(3), place, answer);
        let pids = port.until_ready(3);
        // Connections that all are held by some process.
        let mut clients: Vec<Client> = Vec::new();
        let mut answers = Vec::new();
        while answers.iter().collect::<HashSet<_>>().len() < 2 {
            let mut client = Client::connect(port.addr).unwrap();
            let pid = client.ask("hello").unwrap().0;
            // One may be quicker than the others for long: a few of each are enough.
            if answers.iter().filter(|other| **other == pid).count() < 3 {
                answers.push(pid);
                clients.push(client);
            }
        }
        let victim = answers[0];
        assert!(pids.contains(&victim));
        signal(victim, Signal::KILL);
        let again_in = port.until(|event| match event {
            Event::Died { pid, again_in, .. } if *pid == victim => Some(*again_in),
            _ => None,
        });
        assert!(again_in.is_some());
        for (client, pid) in clients.iter_mut().zip(&answers) {
            let answer = client.ask("again");
            match *pid == victim {
                true => assert!(answer.is_err()),
                false => assert_eq!(answer.unwrap().0, *pid),
            }
        }
        let new = port.until_ready(1)[0];
        assert!(!pids.contains(&new));
        assert_eq!(ask(port.addr).unwrap().1, 0);
        let now: HashSet<u32> = port
            .handle
            .processes()
            .iter()
            .map(|info| info.pid)
            .collect();
        assert_eq!(now.len(), 3);
        drop(clients);
        let addr = port.addr;
        port.close().unwrap();
        assert_eq!(
            ask(addr).unwrap_err().kind(),
            io::ErrorKind::ConnectionRefused
        );
        for pid in now {
            until_gone(pid);
        }
    }
}

// New connections all the while, one after the other on several threads: each is answered.
#[test]
fn a_reload_loses_no_request() {
    const ASKING: usize = 3;
    for place in places() {
        let port = Port::open(Prefork::new(2), place, answer);
        let old = port.until_ready(2);
        // One that stays open over the reload, and is served on by its old process.
        let mut held = Client::connect(port.addr).unwrap();
        let holder = held.ask("before").unwrap().0;
        let stop = AtomicBool::new(false);
        thread::scope(|s| {
            let asking: Vec<_> = (0..ASKING)
                .map(|_| {
                    s.spawn(|| {
                        let mut generations = HashSet::new();
                        while !stop.load(Ordering::Relaxed) {
                            generations.insert(ask(port.addr).unwrap().1);
                        }
                        generations
                    })
                })
                .collect();
            port.handle.reload();
            port.handle.reload();
            let mut ready = 0;
            port.until(|event| {
                if let Event::Ready { pid, .. } = event {
                    assert!(!old.contains(pid));
                    ready += 1;
                }
                (ready >= 2).then_some(())
            });
            // The one nobody holds ends; the other, its connections having ended.
            assert_eq!(held.ask("during").unwrap().0, holder);
            held.finish().unwrap();
            port.until(|event| matches!(event, Event::Reloaded { generation: 2 }).then_some(()));
            stop.store(true, Ordering::Relaxed);
            for asked in asking {
                asked.join().unwrap();
            }
        });
        let processes = port.handle.processes();
        assert!(
            processes.iter().all(|info| info.generation == 2),
            "{processes:?}"
        );
        assert_eq!(ask(port.addr).unwrap().1, 2);
        port.close().unwrap();
    }
}

#[test]
fn a_reload_that_fails_leaves_the_old_ones_serving() {
    let port = Port::open(Prefork::new(1), Place::Thread, broken_by_reload);
    let old = port.until_ready(1);
    port.handle.reload();
    for _ in 0..3 {
        port.until(|event| matches!(event, Event::Died { .. }).then_some(()));
        assert_eq!(ask(port.addr).unwrap(), (old[0], 0));
    }
    port.close().unwrap();
}

#[test]
fn one_that_does_not_end_in_time_is_killed() {
    let prefork = Prefork::new(1).grace(Duration::from_millis(50));
    let port = Port::open(prefork, Place::Thread, stubborn);
    let pid = port.until_ready(1)[0];
    port.handle.shutdown();
    let killed = port.until(|event| match event {
        Event::Killed { pid, .. } => Some(*pid),
        _ => None,
    });
    assert_eq!(killed, pid);
    port.close().unwrap();
    // The second order needs no grace.
    let port = Port::open(Prefork::new(2), Place::Thread, stubborn);
    let pids = port.until_ready(2);
    port.handle.shutdown();
    port.close().unwrap();
    pids.into_iter().for_each(until_gone);
}

#[test]
fn who_does_not_listen_in_time_is_killed_and_counts_as_dead() {
    let prefork = Prefork::new(1).ready_within(Duration::from_millis(50));
    let port = Port::open(prefork, Place::Thread, mute);
    let late = port.until(|event| match event {
        Event::NotReady { pid, .. } => Some(*pid),
        _ => None,
    });
    port.until(|event| match event {
        Event::Died { pid, again_in, .. } if *pid == late => again_in.map(drop),
        _ => None,
    });
    port.close().unwrap();
}

#[test]
fn many_deaths_are_told_of_and_pauses_grow() {
    let port = Port::open(Prefork::new(2), Place::Thread, broken);
    let mut pauses = Vec::new();
    let deaths = port.until(|event| match event {
        Event::Died {
            status, again_in, ..
        } => {
            assert_eq!(status.code(), Some(3));
            pauses.push(again_in.unwrap());
            None
        }
        Event::Storm { deaths, .. } => Some(*deaths),
        _ => None,
    });
    assert_eq!(deaths, pauses.len());
    assert!(pauses.iter().max() > pauses.iter().min(), "{pauses:?}");
    port.close().unwrap();
}

#[test]
fn a_process_that_is_told_from_elsewhere_to_end_is_replaced() {
    let port = Port::open(Prefork::new(1), Place::Thread, answer);
    let pid = port.until_ready(1)[0];
    signal(pid, Signal::TERM);
    let status = port.until(|event| match event {
        Event::Died { status, .. } => Some(*status),
        _ => None,
    });
    assert!(status.success());
    port.until_ready(1);
    port.close().unwrap();
}

#[test]
fn a_cancelled_master_leaves_nobody_behind() {
    let runtime = Runtime::builder().workers(2).build().unwrap();
    let (sender, events) = std::sync::mpsc::channel();
    let master = Prefork::new(2)
        .signals(false)
        .on_event(move |event| drop(sender.send(event.clone())))
        .bind("127.0.0.1:0")
        .unwrap();
    let running = runtime.spawn(move || master.run(stubborn));
    let mut pids = Vec::new();
    while pids.len() < 2 {
        if let Event::Ready { pid, .. } = events.recv().unwrap() {
            pids.push(pid);
        }
    }
    running.cancel();
    assert!(matches!(running.join().unwrap(), Err(StartError::Io(_))));
    pids.into_iter().for_each(until_gone);
}

#[test]
fn what_is_no_task_is_refused() {
    fn nobody_knows(_: Worker) {}
    let master = Prefork::new(1).bind("127.0.0.1:0").unwrap();
    let error = master.run(nobody_knows).unwrap_err();
    assert!(error.to_string().contains("nobody_knows"), "{error}");
    assert!(std::panic::catch_unwind(|| Prefork::new(0)).is_err());
}
