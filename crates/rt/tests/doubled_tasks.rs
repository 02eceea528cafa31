//! Two tasks of one name: found at start, loudly.

use std::process::Command;

use ropewalk_rt::executor::tasks;

mod one {
    #[ropewalk_macros::task(name = "thumbnail", crate = ropewalk_rt)]
    pub(crate) fn small() {}
}

mod other {
    #[ropewalk_macros::task(name = "thumbnail", crate = ropewalk_rt)]
    pub(crate) fn large() {}
}

/// Says that this process is to be the program.
const PROGRAM: &str = "ROPEWALK_TEST_PROGRAM";

#[test]
fn the_table_says_where_both_are() {
    one::small();
    other::large();
    let text = tasks::check().unwrap_err().to_string();
    assert!(text.contains("\"thumbnail\""), "{text}");
    assert_eq!(text.matches("doubled_tasks.rs:").count(), 2, "{text}");
}

#[test]
fn a_program_with_doubled_names_does_not_start() {
    if std::env::var_os(PROGRAM).is_some() {
        let options = ropewalk_rt::__private::MainOptions::default();
        ropewalk_rt::__private::main(options, || unreachable!("main is not called"));
        unreachable!("the program has ended");
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["a_program_with_doubled_names_does_not_start", "--exact"])
        .args(["--nocapture"])
        .env(PROGRAM, "1")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        text.contains("two tasks are called \"thumbnail\""),
        "{text}"
    );
}
