//! `ropewalk fetch`.

use std::io::Write;
use std::process::Stdio;

use crate::process::{Folder, Running, record, ropewalk, run};
use crate::site::{Nobody, Site};

#[test]
fn records_and_summary() {
    let site = Site::start();
    let urls = [
        site.url("/ok/1"),
        site.url("/redirect"),
        site.url("/bytes/100000"),
    ];
    let finished = run([&["fetch".to_owned()][..], &urls].concat());
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert_eq!(finished.records().len(), 3);

    let ok = finished.record_of(&urls[0]);
    let keys: Vec<&String> = ok.as_object().unwrap().keys().collect();
    assert_eq!(keys.len(), 6, "{ok}");
    assert_eq!((&ok["status"], &ok["bytes"]), (&200.into(), &5.into()));
    assert_eq!(
        (&ok["error"], &ok["attempts"]),
        (&serde_json::Value::Null, &1.into())
    );
    assert!(ok["ms"].as_f64().unwrap() > 0.0, "{ok}");
    let redirected = finished.record_of(&urls[1]);
    assert_eq!(redirected["redirected_to"], site.url("/ok/redirected"));
    assert_eq!(finished.record_of(&urls[2])["bytes"], 100_000);

    assert!(
        finished.err.starts_with("3 fetched, 0 failed in "),
        "{}",
        finished.err
    );
    for part in ["p50 ", "p90 ", "p99 ", "max ", "a second"] {
        assert!(
            finished.err.contains(part),
            "no {part:?} in {}",
            finished.err
        );
    }
    assert!(
        !finished.err.contains('\u{1b}'),
        "a progress bar in a pipe: {:?}",
        finished.err
    );
}

/// One bad URL, one dead host, one hanging host, one that talks nonsense: each fails by itself.
#[test]
fn failures_do_not_stop_the_rest() {
    let site = Site::start();
    let hanging = Site::start();
    let nobody = Nobody::bind();
    let mut good: Vec<String> = (0..20).map(|i| site.url(&format!("/ok/{i}"))).collect();
    let bad = [
        ("not a url".to_owned(), "url", 0),
        ("ftp://127.0.0.1/".to_owned(), "url", 0),
        (nobody.url(), "connect", 1),
        (hanging.url("/hold/1"), "timeout", 1),
        (site.url("/status/404"), "status", 1),
        (site.url("/status/500"), "status", 1),
        (site.url("/cut"), "closed", 1),
        (site.url("/nonsense"), "protocol", 1),
        // A label too long for DNS: no resolver needs to be asked.
        (format!("http://{}.invalid/", "a".repeat(64)), "dns", 1),
    ];
    let mut urls = Vec::new();
    for (url, _, _) in &bad {
        urls.push(url.clone());
        urls.extend(good.pop());
        urls.extend(good.pop());
    }
    let args = ["fetch", "--timeout", "5s", "-c", "4"].map(str::to_owned);
    let finished = run([&args[..], &urls].concat());
    assert_eq!(finished.code, Some(1), "{finished:?}");
    let records = finished.records();
    assert_eq!(records.len(), urls.len());
    for (url, kind, attempts) in &bad {
        let record = finished.record_of(url);
        assert_eq!(record["error_kind"], *kind, "{record}");
        assert_eq!(record["attempts"], *attempts, "{record}");
        assert!(
            record["error"]
                .as_str()
                .is_some_and(|error| !error.is_empty()),
            "{record}"
        );
    }
    let fetched = records.iter().filter(|record| record["error"].is_null());
    assert_eq!(fetched.clone().count(), 18);
    assert!(fetched.clone().all(|record| record["status"] == 200));
    assert_eq!(finished.record_of(&site.url("/status/404"))["status"], 404);
    assert!(
        finished.err.contains("18 fetched, 9 failed"),
        "{}",
        finished.err
    );
    assert!(
        finished.err.contains(
            "failures: url 2, dns 1, connect 1, timeout 1, closed 1, protocol 1, \
             status 404 1, status 500 1"
        ),
        "{}",
        finished.err
    );
}

/// A record is there while the input is still open: nothing waits for its end.
#[test]
fn standard_input_is_a_stream() {
    let site = Site::start();
    for args in [&["fetch", "-i", "-"][..], &["fetch", "-"]] {
        let mut running = Running::start(ropewalk(args).stdin(Stdio::piped()));
        for number in 0..3 {
            let url = site.url(&format!("/ok/{number}"));
            let mut stdin = running.stdin.as_ref().unwrap();
            writeln!(stdin, "# a comment\n\n  {url}").unwrap();
            assert_eq!(record(&running.out_line())["url"], url);
        }
        let finished = running.finish();
        assert_eq!(finished.code, Some(0));
        assert!(
            finished.err.contains("3 fetched, 0 failed"),
            "{}",
            finished.err
        );
    }
}

#[test]
fn input_file() {
    let site = Site::start();
    let folder = Folder::new();
    let (one, two) = (site.url("/ok/1"), site.url("/ok/2"));
    let input = folder.write("urls", format!("# URLs\r\n{one}\r\n\r\n{two}"));
    let finished = run(["fetch", "-i", input.to_str().unwrap(), &site.url("/ok/3")]);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert_eq!(finished.records().len(), 3);
    assert_eq!(finished.record_of(&two)["status"], 200);

    let empty = folder.write("empty", "# nothing\n");
    let finished = run(["fetch", "-i", empty.to_str().unwrap()]);
    assert_eq!((finished.code, finished.out.as_str()), (Some(0), ""));
    assert!(
        finished.err.contains("0 fetched, 0 failed"),
        "{}",
        finished.err
    );
}

#[test]
fn bodies_in_files() {
    let site = Site::start();
    let folder = Folder::new();
    let dir = folder.join("deep/pages");
    let (good, big) = (site.url("/ok/a_b.html"), site.url("/bytes/300000"));
    let (cut, missing) = (site.url("/cut"), site.url("/status/404"));
    let args = [
        "fetch",
        "-o",
        dir.to_str().unwrap(),
        &good,
        &big,
        &cut,
        &missing,
    ];
    let finished = run(args);
    assert_eq!(finished.code, Some(1), "{finished:?}");
    let file = |url: &str| finished.record_of(url)["file"].as_str().map(str::to_owned);
    let good_file = file(&good).unwrap();
    assert!(good_file.ends_with("_ok_a%5Fb.html"), "{good_file}");
    assert_eq!(std::fs::read(good_file).unwrap(), b"/ok/a_b.html");
    assert_eq!(
        std::fs::read(file(&big).unwrap()).unwrap(),
        vec![b'x'; 300_000]
    );
    assert_eq!((file(&cut), file(&missing)), (None, None));
    assert_eq!(
        folder.names("deep/pages").len(),
        2,
        "{:?}",
        folder.names("deep/pages")
    );
}

#[test]
fn retries() {
    let site = Site::start();
    let (flaky, busy, gone) = (
        site.url("/flaky/2"),
        site.url("/busy/1"),
        site.url("/status/404"),
    );
    let finished = run(["fetch", "--retries", "3", &flaky, &busy, &gone]);
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert_eq!(finished.record_of(&flaky)["attempts"], 3);
    assert_eq!(finished.record_of(&flaky)["status"], 200);
    assert_eq!(finished.record_of(&busy)["attempts"], 2);
    assert_eq!(
        finished.record_of(&gone)["attempts"],
        1,
        "404 is no reason to try again"
    );
    assert!(
        finished.err.contains("2 fetched, 1 failed"),
        "{}",
        finished.err
    );

    let nobody = Nobody::bind();
    let dead = nobody.url();
    let finished = run(["fetch", "--retries", "2", &dead, &site.url("/flaky/99")]);
    assert_eq!(finished.code, Some(1));
    assert_eq!(finished.record_of(&dead)["attempts"], 3);
    assert_eq!(finished.record_of(&dead)["error_kind"], "connect");
    assert_eq!(finished.record_of(&site.url("/flaky/99"))["attempts"], 3);
    assert!(finished.err.contains("retries: 4"), "{}", finished.err);

    let finished = run(["fetch", &site.url("/flaky/1")]);
    assert_eq!(
        (finished.code, &finished.records()[0]["attempts"]),
        (Some(1), &1.into())
    );
}

/// The site answers only when as many as `-c` says are there at once.
#[test]
fn as_many_at_once_as_asked_for() {
    let site = Site::start();
    let url = site.url("/meet/100");
    let urls = vec![url; 100];
    let args = ["fetch", "-c", "100"].map(str::to_owned);
    let finished = run([&args[..], &urls].concat());
    assert_eq!(finished.code, Some(0), "{}", finished.err);
    assert_eq!(site.busy_max(), 100);
}

#[test]
fn no_more_at_once_than_allowed() {
    for (args, each_max, both_max) in [
        (&["-c", "3"][..], 3, 3),
        (&["-c", "16", "--per-host", "2"], 2, 4),
    ] {
        let (one, two) = (Site::start(), Site::start());
        let mut urls = Vec::new();
        for number in 0..40 {
            urls.push(one.url(&format!("/ok/{number}")));
            urls.push(two.url(&format!("/ok/{number}")));
        }
        let args: Vec<String> = [&["fetch"], args]
            .concat()
            .iter()
            .map(|&s| s.to_owned())
            .collect();
        let finished = run([&args[..], &urls].concat());
        assert_eq!(finished.code, Some(0), "{}", finished.err);
        assert!(one.busy_max() <= each_max && two.busy_max() <= each_max);
        assert!(one.busy_max() + two.busy_max() <= 2 * both_max);
    }
}

/// A host that hangs holds its own share of the slots only, however many of its URLs come first.
#[test]
fn slow_host_does_not_hold_up_the_others() {
    let (slow, quick) = (Site::start(), Site::start());
    let mut input = String::new();
    for number in 0..200 {
        input.push_str(&format!("{}\n", slow.url(&format!("/hold/{number}"))));
    }
    for number in 0..20 {
        input.push_str(&format!("{}\n", quick.url(&format!("/ok/{number}"))));
    }
    let folder = Folder::new();
    let input = folder.write("urls", input);
    let args = [
        "fetch",
        "-c",
        "4",
        "--per-host",
        "2",
        "-i",
        input.to_str().unwrap(),
    ];
    let mut running = Running::start(&mut ropewalk(args));
    for _ in 0..20 {
        let record = record(&running.out_line());
        assert!(
            record["url"]
                .as_str()
                .unwrap()
                .starts_with(&quick.url("/ok/")),
            "{record}"
        );
    }
    // Those that hold its share are there, and not only on their way.
    for number in 0..2 {
        slow.wait_for(&format!("/hold/{number}"), 1);
    }
    slow.release();
    let finished = running.finish();
    assert_eq!(finished.code, Some(0), "{}", finished.err);
    assert!(
        finished.err.contains("220 fetched, 0 failed"),
        "{}",
        finished.err
    );
    assert_eq!(slow.busy_max(), 2);
}

/// As with a pager that is left: no error, no noise.
#[test]
fn broken_pipe_is_no_error() {
    let site = Site::start();
    let folder = Folder::new();
    // Many more than a pipe has room for the records of.
    let urls: String = (0..5000)
        .map(|i| format!("{}\n", site.url(&format!("/ok/{i}"))))
        .collect();
    let input = folder.write("urls", urls);
    let mut running = Running::start(&mut ropewalk(["fetch", "-i", input.to_str().unwrap()]));
    running.out_line();
    drop(running.out.take());
    let finished = running.finish();
    assert_eq!((finished.code, finished.err.as_str()), (Some(0), ""));
}

#[test]
fn full_output_is_an_error() {
    let site = Site::start();
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let finished = Running::start(ropewalk(["fetch", &site.url("/ok/1")]).stdout(full)).finish();
    assert_eq!(finished.code, Some(2));
    assert!(
        finished.err.contains("cannot write to standard output"),
        "{}",
        finished.err
    );
}

/// A thousand at once, and no thread for each.
#[test]
fn demo() {
    for driver in ["io_uring", "epoll"] {
        let mut command = ropewalk(["fetch", "--demo", "200", "--delay", "50ms", "-c", "200"]);
        let finished = Running::start(command.env("ROPEWALK_DRIVER", driver)).finish();
        if driver == "io_uring" && finished.code == Some(2) && finished.err.contains("io_uring") {
            eprintln!("no io_uring here: {}", finished.err);
            continue;
        }
        assert_eq!(finished.code, Some(0), "{driver}: {finished:?}");
        assert_eq!(finished.out, "", "{driver}");
        assert!(
            finished.err.starts_with("200 fetched, 0 failed in "),
            "{driver}: {finished:?}"
        );
        // How many were under way at once is the machine's business; threads are ours.
        let (at_once, threads) = finished
            .err
            .split_once(" fetches at once, on ")
            .expect("the number of threads");
        let at_once: u32 = at_once.rsplit(' ').next().unwrap().parse().unwrap();
        let threads: u32 = threads.split(' ').next().unwrap().parse().unwrap();
        assert!((1..=200).contains(&at_once), "{driver}: {finished:?}");
        assert!(threads < 50, "{driver}: {threads} threads");
    }
}

#[test]
fn demo_with_records() {
    let finished = run(["fetch", "--demo", "10", "--delay", "0ms", "--json"]);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let records = finished.records();
    assert_eq!(records.len(), 10);
    assert!(
        records
            .iter()
            .all(|record| record["status"] == 200 && record["error"].is_null())
    );

    let finished = run(["fetch", "--demo", "0"]);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert!(
        finished.err.starts_with("0 fetched, 0 failed"),
        "{}",
        finished.err
    );
}

#[test]
fn unknown_driver_is_refused_by_name() {
    let mut command = ropewalk(["fetch", "--demo", "1"]);
    let finished = Running::start(command.env("ROPEWALK_DRIVER", "carrier-pigeon")).finish();
    assert_eq!(finished.code, Some(2), "{finished:?}");
    assert!(finished.err.contains("carrier-pigeon"), "{}", finished.err);
}
