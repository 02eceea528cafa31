//! What the workers can be told to do.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub(crate) fn noop() {}

pub(crate) fn square(n: u64) -> u64 {
    n * n
}

pub(crate) fn add(a: i32, b: i32) -> i32 {
    a + b
}

pub(crate) fn pid() -> u32 {
    std::process::id()
}

pub(crate) fn panics(why: String) -> u32 {
    panic!("{why}");
}

pub(crate) fn exits(code: i32) {
    std::process::exit(code);
}

pub(crate) fn aborts() {
    std::process::abort();
}

pub(crate) fn kills_itself(signal: i32) {
    // SAFETY: a signal to this process.
    unsafe { libc::kill(libc::getpid(), signal) };
    std::thread::sleep(Duration::from_secs(60));
}

pub(crate) fn overflows_its_stack(depth: u64) -> u64 {
    if depth == u64::MAX {
        return 0;
    }
    let frame = std::hint::black_box([depth; 64]);
    overflows_its_stack(depth + 1) + frame[7]
}

/// Uses about this many KiB of stack.
pub(crate) fn uses_stack(kib: u64) -> u64 {
    let frame = std::hint::black_box([1_u8; 960]);
    match kib {
        0 => 0,
        _ => uses_stack(kib - 1) + u64::from(frame[7]),
    }
}

/// Takes more memory than it may have.
pub(crate) fn takes_too_much_memory(bytes: u64) -> usize {
    let limit = libc::rlimit {
        rlim_cur: bytes,
        rlim_max: bytes,
    };
    // SAFETY: a valid limit.
    unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) };
    let mut all = Vec::new();
    loop {
        all.push(vec![1_u8; 1 << 20]);
    }
}

pub(crate) fn sleeps(ms: u64) -> u64 {
    std::thread::sleep(Duration::from_millis(ms));
    ms
}

/// Writes over the memory that this worker shares with its parent: the task that was given to it
/// next is to look like one that was taken back. Says whether it found one.
pub(crate) fn hides_the_next_task() -> bool {
    use std::os::unix::fs::FileExt;

    const HEADER: u64 = 256;
    const SLOT: u64 = 256;
    const READY: u32 = 1;
    const RUNNING: u32 = 2;
    const REVOKED: u32 = 4;
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let memory = std::fs::File::options()
        .read(true)
        .write(true)
        .open("/proc/self/mem")
        .unwrap();
    let ours = maps.lines().filter(|line| line.contains("memfd:ropewalk"));
    let starts = ours.map(|line| {
        let (start, _) = line.split_once('-').unwrap();
        u64::from_str_radix(start, 16).unwrap()
    });
    let starts: Vec<u64> = starts.collect();
    for _ in 0..60_000 {
        for start in &starts {
            let slots = (0..16).map(|slot| start + HEADER + slot * SLOT);
            let words: Vec<(u64, u32)> = slots
                .filter_map(|at| {
                    let mut word = [0; 4];
                    memory.read_exact_at(&mut word, at).ok()?;
                    Some((at, u32::from_ne_bytes(word)))
                })
                .collect();
            let runs = words.iter().any(|(_, word)| word & 7 == RUNNING);
            let waits = words.iter().find(|(_, word)| word & 7 == READY);
            if let (true, Some((at, word))) = (runs, waits) {
                let hidden = word & !7 | REVOKED;
                memory.write_all_at(&hidden.to_ne_bytes(), *at).unwrap();
                return true;
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    false
}

/// As `sleeps`, through the runtime.
pub(crate) fn waits(ms: u64) -> u64 {
    ropewalk_rt::coroutine::sleep(Duration::from_millis(ms));
    ms
}

pub(crate) fn spins(us: u64) -> u32 {
    let start = std::time::Instant::now();
    while start.elapsed() < Duration::from_micros(us) {
        std::hint::spin_loop();
    }
    std::process::id()
}

pub(crate) fn reverse(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.reverse();
    bytes
}

/// Bytes that are written and read in one go.
#[derive(Clone, PartialEq)]
pub(crate) struct Blob(pub(crate) Vec<u8>);

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Blob, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Blob;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Blob, E> {
                Ok(Blob(bytes.to_vec()))
            }
        }
        deserializer.deserialize_byte_buf(Visitor)
    }
}

pub(crate) fn count(blob: Blob) -> usize {
    blob.0.len()
}

pub(crate) fn make(len: usize) -> Blob {
    Blob(vec![5; len])
}

pub(crate) fn same(blob: Blob) -> Blob {
    blob
}

/// Creates a file, so that one can see that it ran, and stays for a while.
pub(crate) fn leaves_a_mark(path: String, ms: u64) -> u32 {
    std::fs::write(path, b"was here").unwrap();
    sleeps(ms);
    std::process::id()
}

/// As `leaves_a_mark`, and stays until another file is there.
pub(crate) fn stays_until(mark: String, end: String) -> u32 {
    std::fs::write(mark, b"was here").unwrap();
    while !std::path::Path::new(&end).exists() {
        std::thread::sleep(Duration::from_millis(1));
    }
    std::process::id()
}

/// Leaves a mark in a directory, and stays until there are so many.
pub(crate) fn meets(directory: String, number: u32, others: usize) -> u32 {
    std::fs::write(format!("{directory}/{number}"), b"").unwrap();
    while std::fs::read_dir(&directory).unwrap().count() < others {
        std::thread::sleep(Duration::from_millis(1));
    }
    std::process::id()
}

/// Prints, and has another process keep the standard output open that prints nothing.
pub(crate) fn prints_and_leaves_a_child(out: String) -> u32 {
    print!("{out}");
    std::io::Write::flush(&mut std::io::stdout()).unwrap();
    let mut command = std::process::Command::new("sleep");
    command.arg("1000").stderr(std::process::Stdio::null());
    command.spawn().unwrap().id()
}

pub(crate) fn prints(out: String, err: String) {
    print!("{out}");
    eprint!("{err}");
}

/// Can be sent, but not returned.
#[derive(Debug, PartialEq)]
pub(crate) struct OneWay(pub(crate) u8);

impl Serialize for OneWay {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            13 => Err(serde::ser::Error::custom("13 can't be written")),
            n => serializer.serialize_u8(n),
        }
    }
}

impl<'de> Deserialize<'de> for OneWay {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<OneWay, D::Error> {
        match u8::deserialize(deserializer)? {
            14 => Err(serde::de::Error::custom("14 can't be read")),
            15 => panic!("15 panics when it is read"),
            n => Ok(OneWay(n)),
        }
    }
}

pub(crate) fn makes_one_way(n: u8) -> OneWay {
    OneWay(n)
}

pub(crate) fn takes_one_way(n: OneWay) -> u8 {
    n.0
}

static STATE: AtomicU64 = AtomicU64::new(0);

pub(crate) fn set_state(n: u64) {
    STATE.store(n, Ordering::SeqCst);
}

pub(crate) fn add_to_state(n: u64) -> u64 {
    STATE.fetch_add(n, Ordering::SeqCst) + n
}

static KEPT: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

pub(crate) fn keeps_memory(bytes: usize) -> u32 {
    KEPT.lock().unwrap().push(vec![1; bytes]);
    std::process::id()
}

pub(crate) fn fails_to_begin(why: String) {
    panic!("{why}");
}

pub(crate) fn never_begins() {
    loop {
        std::thread::park();
    }
}

pub(crate) fn starts_a_pool() -> String {
    match ropewalk_process::ProcessPool::new(1) {
        Ok(_) => "it did".to_owned(),
        Err(error) => error.to_string(),
    }
}

/// Leaves a coroutine behind that goes on when the task is over.
pub(crate) fn leaves_a_coroutine(path: String, ms: u64) {
    ropewalk_rt::spawn(move || {
        ropewalk_rt::coroutine::sleep(Duration::from_millis(ms));
        std::fs::write(path, b"done").unwrap();
    });
}

ropewalk_rt::register! {
    "noop" => noop,
    "square" => square,
    "add" => add,
    "pid" => pid,
    "panics" => panics,
    "exits" => exits,
    "aborts" => aborts,
    "kills_itself" => kills_itself,
    "overflows_its_stack" => overflows_its_stack,
    "uses_stack" => uses_stack,
    "takes_too_much_memory" => takes_too_much_memory,
    "hides_the_next_task" => hides_the_next_task,
    "sleeps" => sleeps,
    "waits" => waits,
    "spins" => spins,
    "reverse" => reverse,
    "count" => count,
    "make" => make,
    "same" => same,
    "leaves_a_mark" => leaves_a_mark,
    "stays_until" => stays_until,
    "meets" => meets,
    "prints_and_leaves_a_child" => prints_and_leaves_a_child,
    "prints" => prints,
    "makes_one_way" => makes_one_way,
    "takes_one_way" => takes_one_way,
    "set_state" => set_state,
    "add_to_state" => add_to_state,
    "keeps_memory" => keeps_memory,
    "fails_to_begin" => fails_to_begin,
    "never_begins" => never_begins,
    "starts_a_pool" => starts_a_pool,
    "leaves_a_coroutine" => leaves_a_coroutine,
}
