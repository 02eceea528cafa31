//! The first use of all while the thread unwinds: in a process of its own, as nothing may have
//! been used before.

use std::panic::catch_unwind;

use ropewalk_rt::executor::panics;

/// Uses the runtime to clean up.
struct CleansUp;

impl Drop for CleansUp {
    fn drop(&mut self) {
        let there = ropewalk_rt::spawn(|| 7).join();
        assert_eq!(there.unwrap(), 7);
        assert_eq!(panics::catch(|| 8).unwrap(), 8);
    }
}

/// Panic hooks can't be set by a thread that panics. The attempt was a second panic, in the midst of
/// the first: the process was aborted.
#[test]
fn a_runtime_starts_while_its_thread_unwinds() {
    let unwound = catch_unwind(|| {
        let _cleans_up = CleansUp;
        panic!("on purpose");
    });
    let payload = unwound.unwrap_err();
    assert_eq!(payload.downcast_ref::<&str>(), Some(&"on purpose"));
    // From now on they are told where it was.
    let panic = panics::catch(|| panic!("once more")).unwrap_err();
    assert!(panic.location.unwrap().contains("unwinding.rs"));
}
