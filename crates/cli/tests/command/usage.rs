//! Help, version and wrong usage.

use crate::process::{Folder, run};

#[test]
fn help_and_version() {
    for args in [
        &["--help"][..],
        &["fetch", "--help"],
        &["serve", "--help"],
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
