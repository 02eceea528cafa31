//! The socket in processes of their own: switched on in three ways, taken away at the end, there
//! when descriptors have run out, and no reason for a dead program to live on.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use ropewalk_rt::sync::Semaphore;
use ropewalk_rt::{Runtime, channel, inspect};
use serde_json::Value;

const CHILD: &str = "ROPEWALK_SOCKET_TEST_CHILD";

/// Says in a child process that it is one.
fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// A child process with a runtime folder of its own, which runs the same test again.
struct InChild {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
    folder: PathBuf,
}

impl InChild {
    fn start(test: &str, inspect: &str) -> InChild {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("ropewalk-socket-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        // What an earlier process of this number has left.
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([&format!("socket::{test}"), "--exact", "--nocapture"])
            .env(CHILD, "1")
            .env("XDG_RUNTIME_DIR", &folder)
            .env("ROPEWALK_INSPECT", inspect)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        InChild {
            child,
            lines,
            folder,
        }
    }

    fn socket(&self) -> PathBuf {
        let name = format!("{}.sock", self.child.id());
        self.folder.join("ropewalk").join(name)
    }

    fn await_line(&mut self, text: &str) {
        let found = self.lines.find(|line| line.as_ref().unwrap() == text);
        assert!(found.is_some(), "it never said {text:?}");
    }

    /// Lets it go on from [`pause`].
    fn go_on(&mut self) {
        let stdin = self.child.stdin.as_mut().unwrap();
        stdin.write_all(b"go on\n").unwrap();
    }

    /// Waits for its end; returns the exit code and what it said on standard error.
    fn finish(mut self) -> (Option<i32>, String) {
        let mut errors = String::new();
        let mut stream = self.child.stderr.take().unwrap();
        stream.read_to_string(&mut errors).unwrap();
        (self.child.wait().unwrap().code(), errors)
    }
}

impl Drop for InChild {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// In a child: says this, and waits until told to go on.
fn pause(text: &str) {
    println!("\n{text}");
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

fn ask(socket: &Path, request: &str) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    writeln!(stream, "{request}").unwrap();
    let mut status = String::new();
    let mut stream = BufReader::new(stream);
    stream.read_line(&mut status).unwrap();
    let length = status.strip_prefix("ok ").expect(&status).trim_end();
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    String::from_utf8(body).unwrap()
}

#[test]
fn it_is_open_while_somebody_wants_it() {
    if is_child() {
        let first = inspect::serve().unwrap();
        let second = inspect::serve().unwrap();
        assert_eq!(first.path(), second.path());
        drop(first);
        pause("one is left");
        let runtime = Runtime::builder().workers(1).watch(None).build().unwrap();
        let gate = Arc::new(Semaphore::new(0));
        let handles: Vec<_> = (0..10)
            .map(|_| {
                let gate = Arc::clone(&gate);
                runtime.spawn(move || drop(gate.acquire()))
            })
            .collect();
        pause("ten wait");
        gate.add_permits(10);
        handles
            .into_iter()
            .for_each(|handle| handle.join().unwrap());
        drop(second);
        pause("none is left");
        let third = inspect::serve().unwrap();
        pause("again");
        return drop(third);
    }
    let mut child = InChild::start("it_is_open_while_somebody_wants_it", "");
    let socket = child.socket();
    child.await_line("one is left");
    assert_eq!(ask(&socket, "ping"), "pong\n");
    child.go_on();
    child.await_line("ten wait");
    let ten = |request: &str| loop {
        let dump: Value = serde_json::from_str(&ask(&socket, request)).unwrap();
        let groups = dump["groups"].as_array().unwrap();
        let mut waiting = groups
            .iter()
            .filter(|group| group["reason"] == "waiting for a permit");
        match waiting.next() {
            Some(group) if group["count"] == 10 => {
                assert!(group["waiting_ms_max"].is_u64());
                return group["tasks"].as_array().unwrap().len();
            }
            _ => {}
        }
    };
    assert_eq!(
        (ten("dump json"), ten("dump json 3"), ten("dump json 0")),
        (10, 3, 0)
    );
    let mut connected = UnixStream::connect(&socket).unwrap();
    connected.write_all(b"ping\n").unwrap();
    connected.read_exact(&mut [0; 10]).unwrap();
    child.go_on();
    child.await_line("none is left");
    assert!(!socket.exists());
    assert_eq!(connected.read(&mut [0]).unwrap(), 0, "shut down");
    child.go_on();
    child.await_line("again");
    assert!(ask(&socket, "dump text").contains("dump of"));
    assert!(ask(&socket, "metrics prometheus").contains("ropewalk_live_tasks"));
    child.go_on();
    assert_eq!(child.finish().0, Some(0));
}

#[test]
fn the_environment_switches_it_on_with_the_first_runtime() {
    if is_child() {
        pause("no runtime");
        ropewalk_rt::spawn(|| ()).join().unwrap();
        return pause("a runtime");
    }
    for (inspect, on) in [("1", true), ("0", false), ("", false)] {
        let test = "the_environment_switches_it_on_with_the_first_runtime";
        let mut child = InChild::start(test, inspect);
        child.await_line("no runtime");
        assert!(!child.socket().exists());
        child.go_on();
        child.await_line("a runtime");
        assert_eq!(child.socket().exists(), on);
        if on {
            assert!(ask(&child.socket(), "metrics json").contains("\"uptime_ms\""));
        }
        child.go_on();
        let socket = child.socket();
        assert_eq!(child.finish().0, Some(0));
        assert!(!socket.exists());
    }
}

#[test]
fn a_builder_switches_it_on() {
    if is_child() {
        drop(Runtime::builder().workers(1).build().unwrap());
        pause("not asked for");
        drop(Runtime::builder().workers(1).inspect(true).build().unwrap());
        return pause("asked for");
    }
    let mut child = InChild::start("a_builder_switches_it_on", "");
    child.await_line("not asked for");
    assert!(!child.socket().exists());
    child.go_on();
    child.await_line("asked for");
    assert_eq!(ask(&child.socket(), "ping"), "pong\n");
    child.go_on();
    assert_eq!(child.finish().0, Some(0));
}

#[test]
fn without_a_folder_the_program_goes_on_and_is_told() {
    if is_child() {
        let folder = std::env::var_os("XDG_RUNTIME_DIR").unwrap();
        fs::write(Path::new(&folder).join("ropewalk"), "in the way").unwrap();
        assert_eq!(ropewalk_rt::spawn(|| 7).join().unwrap(), 7);
        let error = inspect::serve().unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
        return;
    }
    let child = InChild::start("without_a_folder_the_program_goes_on_and_is_told", "1");
    let (code, errors) = child.finish();
    assert_eq!(code, Some(0), "{errors}");
    assert!(
        errors.contains("inspection can't be switched on"),
        "{errors}"
    );
    assert!(errors.contains("not a folder"), "{errors}");
}

#[test]
fn it_answers_when_descriptors_have_run_out() {
    if is_child() {
        let _server = inspect::serve().unwrap();
        let few = libc::rlimit {
            rlim_cur: 64,
            rlim_max: 64,
        };
        // SAFETY: the pointer is to a local.
        let failed = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &few) };
        assert_eq!(failed, 0);
        // The server takes one aside before it accepts: let it have that first.
        pause("ask once");
        let mut all = Vec::new();
        while let Ok(file) = File::open("/dev/null") {
            all.push(file);
        }
        return pause("none left");
    }
    let mut child = InChild::start("it_answers_when_descriptors_have_run_out", "");
    child.await_line("ask once");
    let socket = child.socket();
    assert_eq!(ask(&socket, "ping"), "pong\n");
    child.go_on();
    child.await_line("none left");
    for _ in 0..3 {
        assert!(ask(&socket, "metrics json").contains("\"pid\""));
    }
    child.go_on();
    let (code, errors) = child.finish();
    assert_eq!(code, Some(0), "{errors}");
}

#[test]
fn a_forked_child_takes_nothing_away() {
    if is_child() {
        let server = inspect::serve().unwrap();
        // SAFETY: the child only exits, in the orderly way, which is what is tested.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            std::process::exit(0);
        }
        let mut status = 0;
        // SAFETY: our own child; the pointer is to a local.
        let ended = unsafe { libc::waitpid(pid, &mut status, 0) };
        assert_eq!((ended, status), (pid, 0));
        pause("it has exited");
        return drop(server);
    }
    let mut child = InChild::start("a_forked_child_takes_nothing_away", "");
    child.await_line("it has exited");
    assert_eq!(ask(&child.socket(), "ping"), "pong\n");
    child.go_on();
    assert_eq!(child.finish().0, Some(0));
}

#[test]
fn a_program_that_can_never_go_on_is_ended_though_somebody_looks() {
    if is_child() {
        let options = ropewalk_rt::__private::TestOptions::default();
        ropewalk_rt::__private::test(options, "the child", || {
            pause("look");
            let (_kept, receiver) = channel::bounded::<u32>(1);
            let _ = receiver.recv();
        });
        unreachable!("it never goes on");
    }
    let test = "a_program_that_can_never_go_on_is_ended_though_somebody_looks";
    let mut child = InChild::start(test, "1");
    child.await_line("look");
    let mut looking = UnixStream::connect(child.socket()).unwrap();
    looking.write_all(b"ping\n").unwrap();
    looking.read_exact(&mut [0; 10]).unwrap();
    child.go_on();
    let (code, errors) = child.finish();
    assert_eq!(code, Some(101), "{errors}");
    assert!(errors.contains("coroutines asleep"), "{errors}");
}
