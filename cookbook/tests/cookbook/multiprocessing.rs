//! Rows P1, P2, P4 and P7: processes that run a task each, pipes between them, and a prefork site.

use ropewalk::process;
use ropewalk::process::prefork::Event;

use crate::program::p4_pipe::{Answer, Question};
use crate::program::{p1_process, p2_memory, p4_pipe, p7_prefork};

/// P1: what is seen of a process from outside and from inside agrees.
#[ropewalk::test]
fn a_process_is_named_listed_and_joined() {
    let life = p1_process::observe("surfacer").unwrap();
    assert_eq!(life.in_ps, "surfacer");
    assert!(life.alive_before && !life.alive_after, "{life:?}");
    assert_eq!(life.exit_code, Some(0));
    let expected = p1_process::Introduction {
        pid: life.pid,
        ppid: process::pid(),
        name: "surfacer".to_owned(),
        greeting: "hello hello ".to_owned(),
    };
    assert_eq!(life.said, expected);
    assert_ne!(life.pid, process::pid());
}

/// P1: each end has its code.
#[test]
fn the_end_of_a_process_is_told() {
    let (codes, message) = p1_process::endings().unwrap();
    assert_eq!(codes, [None, Some(-15), Some(-9), Some(3), Some(1)]);
    assert_eq!(message, "the sums don't agree");
}

/// P2: only the process has a list, and an id, of its own.
#[test]
fn only_processes_have_memory_of_their_own() {
    let all = p2_memory::side_by_side().unwrap();
    let own: Vec<_> = all.iter().map(|seen| seen.pid != process::pid()).collect();
    assert_eq!(own, [false, false, true]);
    for seen in &all[..2] {
        assert_eq!(seen.inside, seen.here, "{}", seen.by);
    }
    assert_eq!(all[1].here, ["one", "two"]);
    assert_eq!(all[2].inside, ["three"]);
    assert_eq!(all[2].here, ["one", "two"]);
}

/// P4: both ways, also what is larger than any packet.
#[ropewalk::test]
fn questions_are_answered_by_a_process() {
    let long = "a b ".repeat(100_000);
    let questions = vec![Question::Reverse(long.clone()), Question::Count(long)];
    let (answers, answered) = p4_pipe::ask(questions).unwrap();
    assert_eq!(answered, 2);
    assert_eq!(answers[0], Answer::Reversed(" b a".repeat(100_000)));
    let counted = [("a", 100_000), ("b", 100_000)];
    let counted = counted.map(|(word, count)| (word.to_owned(), count));
    assert_eq!(answers[1], Answer::Counted(counted.into()));
}

/// P4: one way, up to the end; and several writers at one end.
#[test]
fn one_way_and_shared() {
    assert_eq!(p4_pipe::hear(300).unwrap(), ((1..=300).collect(), true));
    assert_eq!(p4_pipe::hear(0).unwrap(), (vec![], true));
    assert_eq!(p4_pipe::share(3, 120).unwrap(), (360, 360));
    let (why, back) = p4_pipe::send_to_nobody().unwrap();
    assert!(why.contains("closed"));
    assert_eq!(back, "anybody?");
}

/// P7: a crash takes one process down; the others' requests are answered, and it is replaced.
#[ropewalk::test]
fn a_crashed_process_of_a_site_is_replaced() {
    let site = p7_prefork::Site::start(3).unwrap();
    let clients = p7_prefork::clients(&site, 3).unwrap();
    let victim = clients[0].1.clone();
    assert!(!site.crash(&clients[0].0));
    for (client, pid) in clients.iter().filter(|(_, pid)| *pid != victim) {
        assert_eq!(site.ask(client, "/who").unwrap(), *pid);
    }
    site.wait_for(|event| matches!(event, Event::Died { .. }));
    // Not one of the first three, whose word may come later than their first answer.
    let known: Vec<&String> = clients.iter().map(|(_, pid)| pid).collect();
    site.wait_for(
        |event| matches!(event, Event::Ready { pid, .. } if !known.contains(&&pid.to_string())),
    );
    assert_eq!(site.pids().len(), 3);
    assert!(!site.pids().contains(&victim));
    site.stop().unwrap();
}

/// P7: all processes are new after a reload, and nobody who asked meanwhile was left without an
/// answer; each process serves many at once.
#[ropewalk::test]
fn a_site_is_reloaded_under_load() {
    let site = p7_prefork::Site::start(2).unwrap();
    p7_prefork::clients(&site, 2).unwrap();
    let (answered, most) = p7_prefork::crowd(&site, 20);
    assert_eq!(answered, 20);
    assert!(most > 1);
    let old = site.pids();
    let (asked, lost) = p7_prefork::reload_under_load(&site);
    assert!(asked > 0);
    assert_eq!(lost, 0);
    assert!(site.pids().is_disjoint(&old));
    site.stop().unwrap();
}
