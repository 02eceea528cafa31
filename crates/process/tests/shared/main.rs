//! Values, arrays and locks in shared memory: alone, between processes, and with some killed.

mod conditions;
mod dead;
mod limits;
mod locks;
mod plain;
#[path = "../../../rt/tests/it/stage.rs"]
#[allow(dead_code)]
mod stage;
mod torn;
mod travel;

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

/// Kills a process and waits until it is gone.
fn kill<R>(process: &ropewalk_process::Process<R>)
where
    R: serde::Serialize + serde::de::DeserializeOwned + Send + 'static,
{
    process.handle().kill().unwrap();
    process.handle().wait().unwrap();
}
