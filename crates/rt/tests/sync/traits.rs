//! What the types are, as far as the compiler says it: `Send`, `Sync`, `const`, `Default`,
//! `Debug`, and what follows from them.

use std::cell::Cell;
use std::fmt::Debug;
use std::panic::{RefUnwindSafe, UnwindSafe};

use ropewalk_rt::sync::{
    Acquire, AcquireOwned, ArcRwLockReadGuard, ArcRwLockUpgradableReadGuard, ArcRwLockWriteGuard,
    Barrier, BarrierWait, BoundedSemaphore, Event, EventWait, LazyLock, MappedRwLockWriteGuard,
    Once, OnceLock, OnceWait, OwnedSemaphorePermit, ReentrantMutex, RwLock, RwLockRead,
    RwLockReadGuard, RwLockUpgradableReadGuard, RwLockWrite, RwLockWriteGuard, Semaphore,
    SemaphorePermit, WaitGroup, WaitGroupWait,
};

fn shared<T: Send + Sync + Debug>() {}
fn sent<T: Send + Debug>() {}
fn default<T: Default>() {}
fn unwind_safe<T: UnwindSafe + RefUnwindSafe>() {}

#[test]
fn send_sync_debug() {
    shared::<Event>();
    shared::<Barrier>();
    shared::<Once>();
    shared::<OnceLock<String>>();
    shared::<LazyLock<String>>();
    shared::<LazyLock<String, Box<dyn FnOnce() -> String + Send>>>();
    shared::<Semaphore>();
    shared::<BoundedSemaphore>();
    shared::<SemaphorePermit<'static>>();
    shared::<OwnedSemaphorePermit>();
    shared::<WaitGroup>();
    shared::<RwLock<String>>();
    shared::<ReentrantMutex<Cell<u8>>>();
    sent::<OnceLock<Cell<u8>>>();
    sent::<Acquire<'static>>();
    sent::<AcquireOwned>();
    sent::<EventWait<'static>>();
    sent::<BarrierWait<'static>>();
    sent::<OnceWait<'static>>();
    sent::<WaitGroupWait>();
    sent::<RwLockRead<'static, String>>();
    sent::<RwLockWrite<'static, String>>();
    sent::<RwLockReadGuard<'static, String>>();
    sent::<RwLockWriteGuard<'static, String>>();
    sent::<RwLockUpgradableReadGuard<'static, String>>();
    sent::<MappedRwLockWriteGuard<'static, String>>();
    sent::<ArcRwLockReadGuard<String>>();
    sent::<ArcRwLockWriteGuard<String>>();
    sent::<ArcRwLockUpgradableReadGuard<String>>();
}

#[test]
fn defaults() {
    default::<Event>();
    default::<Once>();
    default::<OnceLock<Cell<u8>>>();
    default::<LazyLock<u8>>();
    default::<Semaphore>();
    default::<WaitGroup>();
    default::<RwLock<u8>>();
    default::<ReentrantMutex<u8>>();
}

#[test]
fn over_panics() {
    unwind_safe::<OnceLock<String>>();
    unwind_safe::<LazyLock<String>>();
    unwind_safe::<Event>();
    unwind_safe::<Semaphore>();
}

// All can be put into a `static`.
#[test]
fn constants() {
    static EVENT: Event = Event::new();
    static BARRIER: Barrier = Barrier::new(1);
    static ONCE: Once = Once::new();
    static PLACE: OnceLock<u8> = OnceLock::new();
    static LAZY: LazyLock<u8> = LazyLock::new(|| 1);
    static PERMITS: Semaphore = Semaphore::new(1);
    static GATE: BoundedSemaphore = BoundedSemaphore::new(1);
    static LOCK: RwLock<u8> = RwLock::new(1);
    static AGAIN: ReentrantMutex<u8> = ReentrantMutex::new(1);
    EVENT.set();
    assert!(BARRIER.wait().is_leader());
    ONCE.call_once(|| ());
    assert_eq!(
        *PLACE.get_or_init(|| 1) + *LAZY + *LOCK.read() + *AGAIN.lock(),
        4
    );
    assert!(PERMITS.try_acquire().is_some() && GATE.try_acquire().is_some());
    assert_eq!(format!("{EVENT:?}"), "Event { is_set: true, .. }");
    assert_eq!(
        format!("{PERMITS:?}"),
        "Semaphore { available_permits: 1, .. }"
    );
    assert!(format!("{GATE:?}").contains("bound: 1"));
    assert_eq!(format!("{ONCE:?}"), "Once { is_completed: true, .. }");
    assert!(format!("{:?}", WaitGroup::new()).contains("members: 1"));
}
