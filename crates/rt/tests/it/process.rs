//! What needs a process of its own: aborts, environments, counts of what the process has.

use std::process::{Command, Output};

const DEED: &str = "ROPEWALK_TEST_DEED";

/// Runs `deed` in a process of its own: this executable again, with the name of the test that
/// calls this and these variables. Gives what it did and said; `None` in that process.
pub(crate) fn alone(test: &str, variables: &[(&str, &str)], deed: impl FnOnce()) -> Option<Output> {
    if std::env::var_os(DEED).is_some() {
        // What a shell starts in the background has these ignored, and so has what that starts.
        for signal in [libc::SIGINT, libc::SIGQUIT] {
            // SAFETY: the default action is no function of ours.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
        deed();
        return None;
    }
    let output = Command::new(std::env::current_exe().expect("this executable"))
        .args([
            test,
            "--exact",
            "--nocapture",
            "--include-ignored",
            "--test-threads=1",
        ])
        .env(DEED, "1")
        .envs(variables.iter().copied())
        .output()
        .expect("the executable runs again");
    let said = text(&output);
    assert!(
        said.contains("running 1 test"),
        "the test {test} was not found: {said}"
    );
    Some(output)
}

/// As [`alone`], for a deed that is a closure of the test itself and must end well.
pub(crate) fn well_alone<F: FnOnce()>(variables: &[(&str, &str)], deed: F) {
    // A closure's type is called after the function it is in.
    let name = std::any::type_name::<F>();
    let name = name.trim_end_matches("::{{closure}}");
    let (_, test) = name.split_once("::").expect("a test in a module");
    if let Some(output) = alone(test, variables, deed) {
        assert!(output.status.success(), "{}", text(&output));
    }
}

/// All that a process said.
pub(crate) fn text(output: &Output) -> String {
    let text = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8_lossy(&text).into_owned()
}
