//! Help, version and wrong usage.

use std::net::TcpListener;

use crate::process::{Folder, Running, ropewalk, run};

#[test]
fn help_and_version() {
    for args in [
        &["--help"][..],
        &["fetch", "--help"],
        &["serve", "--help"],
        &["run", "--help"],
        &["top", "--help"],
        &["help", "fetch"],
    ] {
        let finished = run(args);
        assert_eq!(finished.code, Some(0), "{args:?}");
        assert!(
            finished.out.contains("Examples:"),
            "{args:?}: {}",
            finished.out
        );
        assert_eq!(finished.err, "");
    }
    let finished = run(["--version"]);
    assert_eq!(finished.code, Some(0));
    assert_eq!(
        finished.out,
        format!("ropewalk {}\n", env!("CARGO_PKG_VERSION"))
    );
}

/// It ended well, and nobody had read it.
#[test]
fn help_that_can_not_be_written_is_a_failure() {
    let full = std::fs::File::create("/dev/full").unwrap();
    let finished = Running::start(ropewalk(["--version"]).stdout(full)).finish();
    assert_eq!(finished.code, Some(2), "{finished:?}");
    assert!(finished.err.contains("cannot write"), "{}", finished.err);
}

#[test]
fn errors_say_what_to_do() {
    let finished = run(["fetch", "example.com"]);
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.out.contains("http://"), "{}", finished.out);

    let folder = Folder::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let dir = folder.path().to_str().unwrap();
    let finished = run(["serve", dir, "--bind", &address]);
    assert_eq!(finished.code, Some(2), "{finished:?}");
    assert!(finished.err.contains("--bind"), "{}", finished.err);
}

#[test]
fn wrong_usage_is_2() {
    let folder = Folder::new();
    let dir = folder.path().to_str().unwrap();
    let absent = folder.join("absent");
    let absent = absent.to_str().unwrap();
    let file = folder.write("file", "");
    let file = file.to_str().unwrap();
    for (args, said) in [
        (&[][..], "Usage"),
        (&["nonsense"], "unrecognized subcommand"),
        (&["--nonsense"], "unexpected argument"),
        (&["fetch"], "required"),
        (&["fetch", "--nonsense", "http://h/"], "unexpected argument"),
        (&["fetch", "-c", "0", "http://h/"], "-c"),
        (&["fetch", "-c", "many", "http://h/"], "-c"),
        (&["fetch", "--per-host", "0", "http://h/"], "--per-host"),
        (&["fetch", "--timeout", "0s", "http://h/"], "more than 0"),
        (
            &["fetch", "--timeout", "5 parsecs", "http://h/"],
            "unknown unit",
        ),
        (&["fetch", "--retries", "many", "http://h/"], "--retries"),
        (
            &["fetch", "--demo", "5", "http://h/"],
            "cannot be used with",
        ),
        (&["fetch", "--delay", "5ms", "http://h/"], "--demo"),
        (&["fetch", "-i", absent], "cannot read"),
        (&["fetch", "-i", dir], "it is a folder"),
        (&["fetch", "-i", "-", "-"], "named twice"),
        (&["fetch", "-o", file, "http://h/"], "cannot use"),
        // A folder in which nothing can be made, also by root: each URL was fetched, in vain.
        (&["fetch", "-o", "/proc", "http://h/"], "cannot use /proc"),
        (&["serve"], "required"),
        (&["serve", absent], "cannot serve"),
        (&["serve", file], "cannot serve"),
        (&["serve", dir, "--bind", "nonsense"], "--bind"),
        (&["serve", dir, "--bind", "127.0.0.1:99999"], "--bind"),
        (&["serve", dir, "--bind", "203.0.113.1:80"], "cannot listen"),
    ] {
        let finished = run(args);
        assert_eq!(finished.code, Some(2), "{args:?}: {finished:?}");
        assert_eq!(finished.out, "", "{args:?}");
        assert!(finished.err.contains(said), "{args:?}: {}", finished.err);
    }
}
