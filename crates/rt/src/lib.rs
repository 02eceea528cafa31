//! The shape of the API, over plain threads until the kernel is underneath.
#![allow(missing_docs)]
pub mod net {
    pub use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
    pub fn lookup_host<A: ToSocketAddrs>(
        a: A,
    ) -> std::io::Result<impl Iterator<Item = SocketAddr>> {
        a.to_socket_addrs()
    }
}
pub mod time {
    pub use std::time::{Duration, Instant};
    pub fn sleep(d: Duration) {
        std::thread::sleep(d)
    }
}
pub mod sync {
    pub use parking_lot::{Condvar, Mutex, MutexGuard};
}
pub mod channel {
    pub use crossbeam_channel::*;
}
pub use coroutine::{scope, spawn};
#[derive(Debug)]
pub struct JoinError(pub Option<Box<dyn std::any::Any + Send>>);
impl JoinError {
    pub fn is_panic(&self) -> bool {
        true
    }
    pub fn into_panic(self) -> Box<dyn std::any::Any + Send> {
        self.0.unwrap()
    }
}
impl std::fmt::Display for JoinError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "panicked")
    }
}
impl std::error::Error for JoinError {}
pub mod coroutine {
    use super::JoinError;
    pub struct JoinHandle<T>(pub(crate) std::thread::JoinHandle<T>);
    impl<T> JoinHandle<T> {
        pub fn join(self) -> Result<T, JoinError> {
            self.0.join().map_err(|e| JoinError(Some(e)))
        }
        pub fn is_finished(&self) -> bool {
            self.0.is_finished()
        }
    }
    pub fn spawn<F: FnOnce() -> T + Send + 'static, T: Send + 'static>(f: F) -> JoinHandle<T> {
        JoinHandle(std::thread::spawn(f))
    }
    pub use std::thread::{Scope, scope};
    pub struct Builder(std::thread::Builder);
    impl Builder {
        pub fn new() -> Self {
            Builder(std::thread::Builder::new())
        }
        pub fn name(self, n: String) -> Self {
            Builder(self.0.name(n))
        }
        pub fn stack_size(self, n: usize) -> Self {
            Builder(self.0.stack_size(n))
        }
        pub fn spawn<F: FnOnce() -> T + Send + 'static, T: Send + 'static>(
            self,
            f: F,
        ) -> std::io::Result<JoinHandle<T>> {
            Ok(JoinHandle(self.0.spawn(f)?))
        }
    }
    pub fn yield_now() {
        std::thread::yield_now()
    }
    pub fn sleep(d: std::time::Duration) {
        std::thread::sleep(d)
    }
}
pub struct Runtime;
impl Runtime {
    pub fn new() -> std::io::Result<Runtime> {
        Ok(Runtime)
    }
    pub fn builder() -> RuntimeBuilder {
        RuntimeBuilder
    }
    pub fn run<F: FnOnce() -> T + Send, T: Send>(&self, f: F) -> T {
        f()
    }
}
pub struct RuntimeBuilder;
impl RuntimeBuilder {
    pub fn workers(self, _n: usize) -> Self {
        self
    }
    pub fn build(self) -> std::io::Result<Runtime> {
        Ok(Runtime)
    }
}
