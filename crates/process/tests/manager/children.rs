//! Other processes of these tests: this binary again, started as a stranger would be, so that
//! they are in no way children of the library's own.

use std::env;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The environment variable that says what a process is to do.
const ROLE: &str = "ROPEWALK_TEST_MANAGER_ROLE";
/// No process lives longer, in seconds, whatever becomes of who started it.
const LIFE: u32 = 600;

/// What another process does.
pub(crate) type Role = fn(&[u8]);

const ROLES: &[(&str, Role)] = &[
    ("all-kinds", super::processes::use_all_kinds),
    ("over-tcp", super::processes::use_over_tcp),
    ("wrong-key", super::strangers::try_wrong_key),
    ("no-key", super::travel::arrive_without_key),
    ("restless", super::killed::be_restless),
    ("holder", super::killed::hold),
    ("starter", super::own_process::start_and_wait),
];

/// Not a test: what the other processes run.
#[test]
fn entry() {
    let Ok(role) = env::var(ROLE) else {
        return;
    };
    // SAFETY: only a number; the alarm ends the process.
    unsafe { libc::alarm(LIFE) };
    let mut orders = Vec::new();
    std::io::stdin().read_to_end(&mut orders).unwrap();
    let (_, run) = ROLES.iter().find(|(name, _)| *name == role).unwrap();
    run(&orders);
}

pub(crate) fn decode<T: DeserializeOwned>(orders: &[u8]) -> T {
    postcard::from_bytes(orders).unwrap()
}

/// Another process; killed when this is dropped.
pub(crate) struct Other(std::process::Child);

impl Other {
    pub(crate) fn start(role: &str, orders: &impl Serialize) -> Other {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["children::entry", "--exact", "--nocapture"])
            .env(ROLE, role)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let orders = postcard::to_stdvec(orders).unwrap();
        child.stdin.take().unwrap().write_all(&orders).unwrap();
        Other(child)
    }

    /// Waits until it has done what it should, without a panic.
    #[track_caller]
    pub(crate) fn finish(mut self) {
        let mut text = String::new();
        let mut stdout = self.0.stdout.take().unwrap();
        stdout.read_to_string(&mut text).unwrap();
        let status = self.0.wait().unwrap();
        assert!(status.success(), "{status}: {text}");
    }

    pub(crate) fn kill(mut self) {
        self.0.kill().unwrap();
        let status = self.0.wait().unwrap();
        assert_eq!(status.signal(), Some(libc::SIGKILL));
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
