//! A program without the start-up hook: nothing is started, and the error says what to do.

use ropewalk_process::{ProcessPool, StartError};

#[test]
fn a_pool_says_what_is_missing() {
    let error = ProcessPool::new(2).unwrap_err();
    assert!(matches!(error, StartError::NoHook), "{error}");
    assert!(
        error.to_string().contains("ropewalk::process::init()"),
        "{error}"
    );
    // What `unwrap` prints, and a `main` that returns it; it was the bare name of the variant.
    assert!(
        format!("{error:?}").contains("ropewalk::process::init()"),
        "{error:?}"
    );
}
