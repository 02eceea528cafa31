//! The queue between processes: alone, between several, and with some killed.

mod alone;
mod between;
mod killed;
#[path = "../../../rt/tests/it/stage.rs"]
#[allow(dead_code)]
mod stage;

ropewalk_process::test_support!();

/// Starts a task in a process of its own.
fn start<F, A, R>(task: F, args: A) -> ropewalk_process::Process<R>
where
    F: ropewalk_rt::executor::TaskFn<A, Output = R>,
    R: serde::Serialize + serde::de::DeserializeOwned + Send + 'static,
    A: serde::Serialize + serde::de::DeserializeOwned + Send + 'static,
{
    ropewalk_process::Process::spawn(task, args).expect("a process")
}
