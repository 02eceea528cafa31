//! Faults that a test can turn on; see [`table`].

use std::cell::Cell;

pub(crate) mod table;

std::thread_local! {
    // Loom runs a model's threads on the thread of the test.
    static ON: Cell<&'static str> = const { Cell::new("") };
}

/// Says whether the model that runs is to have this fault.
pub(crate) fn on(name: &str) -> bool {
    ON.get() == name
}

/// Runs `f` with the fault of this name.
pub(crate) fn with<R>(name: &'static str, f: impl FnOnce() -> R) -> R {
    struct Off;
    impl Drop for Off {
        fn drop(&mut self) {
            ON.set("");
        }
    }
    assert!(
        name.is_empty() || table::FAULTS.iter().any(|fault| fault.name == name),
        "no fault is called {name}"
    );
    ON.set(name);
    let _off = Off;
    f()
}
