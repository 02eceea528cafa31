//! Rule 3: a scope's count falls after all that a child borrowed is gone.

use std::panic::{Location, panic_any};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ropewalk_kernel::runtime::{self, Runtime};
use ropewalk_kernel::scope::ScopeState;
use ropewalk_kernel::task::{Handle, Options};
use ropewalk_kernel::wait;

use super::runtime_with;

/// Takes its time to go away, and lets others run meanwhile.
struct Slow(&'static AtomicUsize);

impl Drop for Slow {
    fn drop(&mut self) {
        for _ in 0..50 {
            wait::yield_now();
        }
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn child<T: Send>(state: &Arc<ScopeState>, f: impl FnOnce() -> T + Send) -> Handle<T> {
    // SAFETY: each test waits for the state.
    unsafe { runtime::spawn_unchecked(Options::default(), Some(state), Location::caller(), f) }
        .expect("a runtime")
}

fn on_each(test: impl Fn(&Arc<ScopeState>) + Sync) {
    for workers in [1, 2] {
        let runtime: Runtime = runtime_with(workers, None, "rule3");
        for _ in 0..20 {
            runtime.run(Location::caller(), || test(&Arc::new(ScopeState::new())));
        }
        runtime
            .shutdown(Duration::from_secs(10))
            .expect("nobody is left");
    }
}

/// Broken on purpose: call `leave` before the closure is dropped (in `Typed::run`, before
/// `catch_unwind`), or before `discard_outcome` in `complete_slow`.
#[test]
fn captures_are_gone_before_the_scope_ends() {
    static GONE: AtomicUsize = AtomicUsize::new(0);
    on_each(|scope| {
        GONE.store(0, Ordering::SeqCst);
        let captured = Slow(&GONE);
        drop(child(scope, move || {
            let _captured = &captured;
        }));
        scope.wait();
        assert_eq!(GONE.load(Ordering::SeqCst), 1);
    });
}

/// Broken on purpose: in `complete`, call `leave` before `discard_outcome`.
#[test]
fn a_detached_result_is_gone_before_the_scope_ends() {
    static GONE: AtomicUsize = AtomicUsize::new(0);
    on_each(|scope| {
        GONE.store(0, Ordering::SeqCst);
        drop(child(scope, || Slow(&GONE)));
        scope.wait();
        assert_eq!(GONE.load(Ordering::SeqCst), 1);
        assert!(!scope.panicked());
    });
}

/// Broken on purpose: as above.
#[test]
fn a_panic_payload_is_gone_before_the_scope_ends() {
    static GONE: AtomicUsize = AtomicUsize::new(0);
    on_each(|scope| {
        GONE.store(0, Ordering::SeqCst);
        drop(child(scope, || panic_any(Slow(&GONE))));
        scope.wait();
        assert_eq!(GONE.load(Ordering::SeqCst), 1);
        assert!(scope.panicked());
    });
}

/// The scope's state may go the moment its owner's wait ends: a child that is counted out
/// touches only what its own record keeps alive.
///
/// Broken on purpose: store a bare pointer in `Record::scope`, without a reference of its own
/// (a use after free that Miri or AddressSanitizer reports; here it shows as a wrong count).
#[test]
fn the_scopes_state_outlives_the_last_childs_leave() {
    on_each(|scope| {
        let weak = Arc::downgrade(scope);
        let handles: Vec<_> = (0..10).map(|n| child(scope, move || n)).collect();
        let sum: i32 = handles
            .into_iter()
            .map(|handle| handle.join().expect("a value"))
            .sum();
        assert_eq!(sum, 45);
        scope.wait();
        assert!(weak.strong_count() >= 1);
    });
}
