//! What this process is: its ids, and what its starter made it.

use std::sync::OnceLock;

/// The name of a process that was not started as a [`Process`](super::Process).
const MAIN: &str = "main";

/// What the starter of this process has said of it.
pub(super) struct Role {
    pub(super) name: String,
    pub(super) daemon: bool,
}

static ROLE: OnceLock<Role> = OnceLock::new();

/// Sets what this process is, once, at its start.
pub(super) fn assume(role: Role) {
    let _ = ROLE.set(role);
}

/// This process's id.
pub fn pid() -> u32 {
    std::process::id()
}

/// The id of the process that started this one.
pub fn ppid() -> u32 {
    std::os::unix::process::parent_id()
}

/// This process's name: as its starter has said, else `main`.
pub fn name() -> &'static str {
    ROLE.get().map_or(MAIN, |role| &role.name)
}

/// Says whether this process was started as a daemon.
pub fn is_daemon() -> bool {
    ROLE.get().is_some_and(|role| role.daemon)
}
