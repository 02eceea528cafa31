//! The start-up hook, in programs with a `main` of their own: this one plays them all, as the
//! environment says. Without a word from there it is the test.

use std::process::{Command, ExitCode, Output};

use ropewalk_process::ProcessPool;
use ropewalk_rt::executor::RunTask;

const PLAY: &str = "ROPEWALK_TEST_PLAY";

#[ropewalk_macros::task(crate = ropewalk_rt)]
fn square(n: u64) -> u64 {
    n * n
}

fn nobody_knows_me(n: u64) -> u64 {
    n
}

fn main() -> ExitCode {
    match std::env::var(PLAY).as_deref() {
        Ok("right") => {
            ropewalk_process::init();
            println!("main");
            play_with_a_pool()
        }
        Ok("forgotten") => {
            println!("main");
            play_with_a_pool()
        }
        // A hook that the children don't come past.
        Ok("lost") => {
            println!("main");
            if std::env::var_os("ROPEWALK_CHILD").is_none() {
                ropewalk_process::init();
            }
            play_with_a_pool()
        }
        Ok("unregistered") => {
            ropewalk_process::init();
            let pool = ProcessPool::new(1).unwrap();
            eprintln!("{}", pool.submit(nobody_knows_me, (7,)).unwrap_err());
            ExitCode::FAILURE
        }
        Ok(other) => panic!("nobody plays {other}"),
        Err(_) => {
            for (name, test) in TESTS {
                test();
                println!("test {name} ... ok");
            }
            ExitCode::SUCCESS
        }
    }
}

fn play_with_a_pool() -> ExitCode {
    let result = ProcessPool::new(2).map_err(|error| error.to_string());
    let result = result.and_then(|pool| {
        let handle = pool.submit(square, (7,));
        let handle = handle.map_err(|error| error.to_string())?;
        handle.join().map_err(|error| error.to_string())
    });
    match result {
        Ok(square) => {
            println!("{square}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("no result: {error}");
            ExitCode::FAILURE
        }
    }
}

const TESTS: [(&str, fn()); 4] = [
    ("with_the_hook_children_do_not_run_main", with_the_hook),
    ("without_the_hook_nothing_is_started", without_the_hook),
    ("a_child_without_the_hook_starts_none", a_lost_child),
    ("a_function_that_is_no_task_is_refused", no_task),
];

fn play(which: &str) -> (Output, String, String) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output = command.env(PLAY, which).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    (output, out, err)
}

fn with_the_hook() {
    let (output, out, err) = play("right");
    assert!(output.status.success(), "{err}");
    assert_eq!(out, "main\n49\n");
}

fn without_the_hook() {
    let (output, out, err) = play("forgotten");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(out, "main\n");
    assert!(err.contains("ropewalk::process::init()"), "{err}");
    assert!(err.contains("#[ropewalk::main]"), "{err}");
}

/// Each child runs `main` once and ends where it would start others: it does not go on and on.
fn a_lost_child() {
    let (output, out, err) = play("lost");
    assert_eq!(output.status.code(), Some(1), "{out}\n{err}");
    let mains = out.matches("main").count();
    assert!((2..=20).contains(&mains), "{out}\n{err}");
    assert!(
        err.contains("was started as a child of its own program"),
        "{err}"
    );
    assert!(err.contains("no result: "), "{err}");
}

fn no_task() {
    let (output, _, err) = play("unregistered");
    assert_eq!(output.status.code(), Some(1));
    assert!(err.contains("nobody_knows_me"), "{err}");
    assert!(err.contains("#[ropewalk::task]"), "{err}");
}
