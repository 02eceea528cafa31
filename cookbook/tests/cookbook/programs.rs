//! Runs each program as a user would, with either driver, and reads what it prints.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use ropewalk::DriverKind;
use ropewalk::http::Client;
use rustix::process::{Pid, Signal};

/// A program, its arguments, and lines that it must print.
struct Run {
    program: &'static str,
    arguments: &'static [&'static str],
    lines: &'static [&'static str],
}

const RUNS: &[Run] = &[
    Run {
        program: "c1_generators",
        arguments: &[],
        lines: &[
            "in turns: a1 b1 c1 a2 c2 a3",
            "as an iterator: [0, 1, 1, 2, 3, 5, 8, 13, 21, 34]",
            "from the depth of a tree: [1, 2, 3, 5, 8, 9]",
            "left suspended: cleans up: closed: there is no further turn",
        ],
    },
    Run {
        program: "c10_back_ends",
        arguments: &[],
        lines: &["doubles: [0, 2, 4, 6, 8, 10, 12, 14]"],
    },
    Run {
        program: "c11_subprocesses",
        arguments: &[],
        lines: &[
            "at once: [\"ONE\", \"TWO\", \"THREE\"]",
            "20 alive at once, 20 ended well",
            "a talk: [\"you said: hello\", \"you said: good bye\"]",
            "killed after: \"so far so good\\n\"",
            "what it had started has ended too: true",
        ],
    },
    Run {
        program: "c12_million",
        arguments: &["50000"],
        lines: &["50000 woken and joined"],
    },
    Run {
        program: "c13_cooperative",
        arguments: &[],
        // The counts of turns are the machine's.
        lines: &[],
    },
    Run {
        program: "c14_implicit",
        arguments: &[],
        lines: &[
            "before the first spawn: 0 workers",
            "the answer, from a coroutine: 42",
        ],
    },
    Run {
        program: "c8_event_loop",
        arguments: &[],
        lines: &[
            "run_until_complete: 6",
            "called soon",
            "called stopping, running: true",
            "closed: 10 were cancelled, left: [\"stubborn\"]",
            "a call now: the runtime was shut down",
        ],
    },
    Run {
        program: "c9_executor",
        arguments: &[],
        lines: &["answer 4", "the heart beat meanwhile: true"],
    },
    Run {
        program: "c2_send",
        arguments: &[],
        lines: &[
            "producing 3",
            "consuming 3",
            "consumed until it was closed: Some(3)",
            "means: [10.0, 15.0, 30.0]",
            "lines: ([\"one\", \"two\", \"three\"], 4)",
        ],
    },
    Run {
        program: "c3_switch",
        arguments: &[],
        lines: &[
            "one after the other: 12-34-56-78",
            "crosswise: 12-56-34-78",
            "left suspended: 12-56-34-closed: there is no further turn",
            "after 7 throws, by ann, bob, cid, ann, bob, cid, ann",
            "short: it has ended",
        ],
    },
    Run {
        program: "c4_groups",
        arguments: &[],
        lines: &[
            "in turns: foo, bar, foo again, bar again",
            "values in time: [Some(42), None, None]",
            "failed: [\"broken\"], not done: [\"slow\"]",
            "late, and still to be had: [7]",
            "squares by a pool of 3: [1, 4, 9, 16, 25, 36, 49, 64, 81, 100]",
            "never more than 3 at once: true",
            "the pool was full: true, and all of its jobs ran: true",
            "of the group, not done: [\"waits for ever\"]; after its cancellation: 0",
        ],
    },
    Run {
        program: "c5_timeouts",
        arguments: &[],
        lines: &[
            "timed out: true, and all given back: true",
            "the inner of two limits: Inner",
            "the outer of two limits: Outer",
            "killed before its first step: true, it never ran: true",
            "killed together: 100, and all given back: true",
            "computed until it was late: true",
            "cleaned up at leisure: true",
        ],
    },
    Run {
        program: "c7_async",
        arguments: &[],
        lines: &[
            "from a thread, a coroutine and a task: [14, 14, 14]",
            "runs without and with `.await`: (0, 1)",
            "gathered: [0, 1, 2, 3, 4]",
            "the first error, and all given back: (Err(\"no such host\"), true)",
            "1 done and 2 not; the race goes to 8",
            "added up under one lock: 102",
            "broken off, and free: (true, true)",
            "a stream: [0, 1, 4, 9, 16, 25]",
        ],
    },
    Run {
        program: "e1_fetch",
        arguments: &[],
        lines: &[
            "20 pages, from Some(\"page 0\") to Some(\"page 19\")",
            "at the same time: 5",
            "done after shutdown: 20",
            "submitting after it: the pool is closed: it takes no more work",
        ],
    },
    Run {
        program: "e2_callbacks",
        arguments: &[],
        lines: &[
            "first: 42",
            "second: 42",
            "when it was done: 42",
            "joined: 42",
            "panic: the task panicked: broken, as it should be",
            "cancelled: the task was cancelled before it had a value",
            "dropped: the promise was dropped without a value",
            "kept: 7",
            "doubled elsewhere: 42",
            "last: 42",
            "reported: this callback is broken",
            "reported: a wait inside an `on_done` callback: move the waiting call out of the closure",
        ],
    },
    Run {
        program: "e5_pool",
        arguments: &[],
        lines: &[
            "before: Seen { live: 0, idle: 0, queued: 0, running: 0 }",
            "eight tasks that block, five threads: Seen { live: 5, idle: 0, queued: 3, running: 5 }",
            "a square: true, 49",
            "a panic: false, the task panicked: no number",
            "after it: true, 2",
            "close: 0, 1, 2; after it: the pool is closed: it takes no more work",
            "terminate: 0, the task was cancelled before it had a value, the task was cancelled \
             before it had a value; after it: the pool is closed: it takes no more work",
        ],
    },
    Run {
        program: "e3_swap",
        arguments: &[],
        lines: &[
            "threads: [0, 1, 4, 9, 16, 25, 36, 49, 64, 81]",
            "threads: [3, 500] words, as wide as cores: true",
            "threads: in this process: true",
            "coroutines: [0, 1, 4, 9, 16, 25, 36, 49, 64, 81]",
            "coroutines: in this process: true",
            "processes: [0, 1, 4, 9, 16, 25, 36, 49, 64, 81]",
            "processes: [3, 500] words, as wide as cores: true",
            "processes: in this process: false",
        ],
    },
    Run {
        program: "e4_futures",
        arguments: &[],
        lines: &[
            "map: [\"2\", \"panicked: attempt to divide by zero\", \"3\"]",
            "as completed: [2, 1, 0]",
            "done and not done: [(1, 2), (0, 2), (2, 0)]",
            "back at the first error: true",
        ],
    },
    Run {
        program: "e6_mp_pool",
        arguments: &[],
        lines: &[
            "initialised: [1007, 1001, 1002, 1003]",
            "8 tasks, 2 for each process: 4 processes",
            "callbacks: [\"1 / 0: attempt to divide by zero\", \"6 / 3 = 2\"]",
            "maps: [0, 1, 4, 9, 16] 1000000 4950 [2, -2]",
            "ready: false; 300 after a second try",
            "joined before it was closed: an error: true",
            "the last: 50; refused after that: true",
            "terminated: 3, dropped: 3",
        ],
    },
    Run {
        program: "e7_progress",
        arguments: &[],
        lines: &[
            "100 developed, Some(\"of 100\") to Some(\"finished\")",
            "to the full: true",
            "of unknown length: Some(50) in the end",
            "the bar is at 1000, finished: true",
        ],
    },
    Run {
        program: "e8_tokens",
        arguments: &[],
        lines: &[
            "15 worked, 5 panicked, and 3 tokens are back",
            "20 worked, 0 panicked, and 3 tokens are back",
            "none left to take: true; given on by who was cancelled: true",
            "10 ran with licences, and back are [\"green\", \"red\"]",
        ],
    },
    Run {
        program: "f1_callback",
        arguments: &[],
        lines: &["/nowhere/at/all: entity not found"],
    },
    Run {
        program: "f2_async_io",
        arguments: &[],
        lines: &[
            "400 blocks, sum of their first bytes: 42936",
            "threads that read: 1",
        ],
    },
    Run {
        program: "n10_socketserver",
        arguments: &[],
        lines: &[
            "ONE TWO",
            "served at once: 2",
            "THREE, after the first had gone",
            "lines: 3",
            "cancelled: 2, not ended: 0",
            "udp: A DATAGRAM",
        ],
    },
    Run {
        program: "n12_console",
        arguments: &[],
        lines: &["the console is closed, after 0 answers"],
    },
    Run {
        program: "n1_echo",
        arguments: &[],
        lines: &[
            "a pool of 3 threads:",
            "a pool of 3 coroutines:",
            "  restarted while old connections linger (true): \"AGAIN\"",
        ],
    },
    Run {
        program: "n2_nonblocking",
        arguments: &[],
        lines: &[
            "beside a full client and a reset one: AND ME?",
            "nothing is lost to the full one: true",
            "polling costs more than 5 times as much: true",
        ],
    },
    Run {
        program: "n6_protocols",
        arguments: &[],
        lines: &[
            "a write waits for room: true",
            "over tcp: \"hello, and goodbye\"",
            "told of connected | data: hello | eof | lost: None",
            "told to pause, resume",
            "by pipes: \"apple\\nfig\\npear\\n\"",
            "over udp: \"A DATAGRAM\"",
        ],
    },
    Run {
        program: "n7_framing",
        arguments: &[],
        lines: &[
            "a message: \"sticky packets\"",
            "a line: \"two\"",
            "a line: \"the last\"",
        ],
    },
    Run {
        program: "n8_udp",
        arguments: &[],
        lines: &[
            "borders, also of an empty one: [\"HELLO\", \"\", \"THREE SENDS\", \"THREE RECEIVES\"]",
            "into a buffer of 7: \"CUT OFF\" of 12 bytes",
            "too long: [\"1025 bytes are too many\"]",
            "one after the other: [\"SLOW ONE\", \"THREE\", \"TWO\"]",
            "a coroutine for each: [\"THREE\", \"TWO\", \"SLOW ONE\"]",
        ],
    },
    Run {
        program: "n11_lookups",
        arguments: &["127.0.0.1", "::1"],
        lines: &["127.0.0.1: [127.0.0.1]", "::1: [::1]"],
    },
    Run {
        program: "n9_chat",
        // Nobody is there, and the input is at its end.
        arguments: &["ann", "127.0.0.1:0"],
        lines: &[],
    },
    Run {
        program: "p1_process",
        arguments: &[],
        lines: &[
            "said: \"hello hello \", named \"diver\"",
            "in ps: \"diver\"",
            "its pid is its own, its ppid is ours: true",
            "alive: true, then false",
            "exit code: Some(0)",
            "a value that runs: 3628800",
            "exit codes: [None, Some(-15), Some(-9), Some(3), Some(1)]",
            "the panic: \"the sums don't agree\"",
            "main: ends",
            "no daemon: heard to the end",
        ],
    },
    Run {
        program: "p2_memory",
        arguments: &[],
        lines: &[
            "thread in our pid: [\"one\"] inside, [\"one\"] here",
            "coroutine in our pid: [\"one\", \"two\"] inside, [\"one\", \"two\"] here",
            "process in a pid of its own: [\"three\"] inside, [\"one\", \"two\"] here",
        ],
    },
    Run {
        program: "p3_queue",
        arguments: &[],
        lines: &[
            "delivered: {\"ann\": 100, \"bob\": 100, \"cid\": 100}",
            "the queue is empty",
            "the queue is full, and gives 'c' back",
            "after 10ms: the queue is full",
            "the queue is closed, with 2 still in it",
            "\"ab\"",
            "the queue is closed and empty",
            "disturbed by 5 kills: 0",
        ],
    },
    Run {
        program: "p4_pipe",
        arguments: &[],
        lines: &[
            "Counted({\"is\": 2, \"it\": 1, \"that\": 1, \"what\": 1})",
            "Reversed(\"si taht ti si tahw\")",
            "answered: 2",
            "one way: [1, 2, 3, 4, 5], then closed: true",
            "4 writers at one end: 1000 messages, 1000 whole and in order",
            "\"anybody?\" was not sent: the other side of the pipe is closed",
        ],
    },
    Run {
        program: "p7_prefork",
        arguments: &[],
        lines: &[
            "two processes on one port: true",
            "40 slow ones at once: 40 answered",
            "many at once in one process: true",
            "a crash: its own request was answered: false",
            "those of the other are served on: true",
            "another took its place: true",
            "a reload: 0 requests lost, asked meanwhile: true",
            "all are new: true",
        ],
    },
    Run {
        program: "p5_shared",
        arguments: &[],
        lines: &[
            "2.5 [0, 1, 4, 9, 16]",
            "4 processes counted to 4000, as [1336, 1332, 1332]; too many: false",
            "b: 127",
            "B: 255",
            "u: Some('\\u{10ffff}')",
            "h: 32767",
            "H: 65535",
            "i: 2147483647",
            "I: 4294967295",
            "l: 9223372036854775807",
            "L: 18446744073709551615",
            "f: 340282350000000000000000000000000000000",
            "d: 1.7976931348623157e308",
            "q: [-9223372036854775808, 9223372036854775807]",
            "c: bytes",
        ],
    },
    Run {
        program: "p6_manager",
        arguments: &[],
        lines: &[
            "counted: [50, 100, 50, 50, 500]",
            "in the queue: 50",
            "no more than 6 inside: true",
            "in the list: 10 numbers, 10 texts",
            "in the dict: (3, \"done\")",
            "guest: let in",
            "guest: the manager's key is another one",
            "server: a client has another key",
            "{\"rope\": 2}",
        ],
    },
    Run {
        program: "p8_locks",
        arguments: &[],
        lines: &[
            "balance: 1000",
            "locked again, 10 deep; others got in: false",
            "at 2 desks at once: 2 at most; released more than the 2 permits there are",
            "finished in order: 4",
            "the dead holder was named: true",
            "its permit came back: true",
            "its barrier is broken: true",
        ],
    },
    Run {
        program: "q1_queue",
        arguments: &[],
        lines: &[
            "through a queue of 1: 3000",
            "through a queue of 10: 3000",
            "through a queue of 0: 3000",
            "blocked and released: (true, Ok(1))",
            "without a limit: 10000",
        ],
    },
    Run {
        program: "q2_lifo_priority",
        arguments: &[],
        lines: &[
            "last in, first out: [3, 2, 1]",
            "by priority: [\"eat (1)\", \"drink (1)\", \"work (3)\", \"sleep (5)\"]",
            "largest first: [9, 4, 3]",
            "1000 under way, equal ones in order: true",
        ],
    },
    Run {
        program: "q3_task_done",
        arguments: &[],
        lines: &[
            "1 to 1: 100 done, 0 missing",
            "1 to 4: 100 done, 0 missing",
            "4 to 1: 400 done, 0 missing",
            "3 to 5: 300 done, 0 missing",
            "[Err(Timeout), Err(Timeout), Ok(())]",
            "once too often: [Ok(()), Err(TooManyDone)]",
        ],
    },
    Run {
        program: "q4_uneven",
        arguments: &[],
        lines: &[
            "a fast producer, never too many: true",
            "a fast consumer, never too many: true",
        ],
    },
    Run {
        program: "t10_pipeline",
        arguments: &[],
        lines: &["saved 0 lines"],
    },
    Run {
        program: "t11_locals",
        arguments: &[],
        lines: &[
            "5 coroutines count: each its own to 1, the worker's to 5",
            "coroutine, thread, task, caller: [2, 2, 2, 10]",
            "request 1: ends",
            "request 2: ends",
            "nobody's: is at the caller's",
            "connections open after their tasks' end: 0",
            "thread-locals stay put across waits: true",
        ],
    },
    Run {
        program: "t12_iterate",
        arguments: &[],
        lines: &[
            "removed: [\"bob\", \"cid\"]",
            "Python leaves [1, 4, 5, 8] of [1, 2, 4, 5, 6, 8]",
            "what was meant: [1, 5]",
            "walked over [0, 1, 2, 3, 4, 5], left are [0, 2, 4, 6, 7, 8]",
        ],
    },
    Run {
        program: "t1_threads",
        arguments: &[],
        lines: &[
            "1 thread among 1 of its kind, and then none",
            "1 coroutine among 1 of its kind, and then none",
        ],
    },
    Run {
        program: "t2_daemons",
        arguments: &[],
        lines: &["main: ends"],
    },
    Run {
        program: "t3_gil",
        arguments: &[],
        lines: &[
            "to wait for all at once took less than half the time: true",
            "2000 threads alive at once: true",
        ],
    },
    Run {
        program: "t4_lost_update",
        arguments: &[],
        lines: &[
            "threads, load and store lose counts: true",
            "threads, locked: 0 left",
            "threads, in one step: 0 left",
            "coroutines, load and store lose counts: true",
            "coroutines, locked: 0 left",
            "coroutines, in one step: 0 left",
        ],
    },
    Run {
        program: "t5_deadlock",
        arguments: &[],
        lines: &[
            "deadlock: 2 tasks wait for each other's locks",
            "two orders: 10 of 10 are stuck, 2 of them in a circle",
            "deadlock: a task waits for a lock that it holds itself",
            "twice: 1 is stuck",
            "in one order: (10, 10) counted",
            "one re-entrant lock: (10, 10) counted",
        ],
    },
    Run {
        program: "t6_locks",
        arguments: &[],
        lines: &[
            "a plain lock, taken again: false",
            "taken 3 times and let go one by one, another thread gets it: [false, false, false, true]",
            "taken 3 times and let go one by one, another coroutine gets it: [false, false, false, true]",
            "a coroutine of the same worker gets it: false, and then true",
            "lists seen half-written, with the lock: 0",
            "seen half-written without: true",
        ],
    },
    Run {
        program: "t7_condition",
        arguments: &[],
        lines: &[
            "100 arrived, and never more than 3 in store: true",
            "Notified { by_one: 1, by_all: 4, nobody: true }",
            "timed out: true, not too early: true",
            "nothing in time: None",
            "in time: Some(7)",
        ],
    },
    Run {
        program: "t8_semaphore",
        arguments: &[],
        lines: &[
            "20 tasks, and never more than 5 inside",
            "released by another: 2 times",
            "one too many: (2, Err(\"a semaphore of 1 released too many times\"), 1)",
            "40 questions over 5 connections, at most 5 at once",
            "a broken connection: (UnexpectedEof, \"HELLO AGAIN\")",
        ],
    },
    Run {
        program: "t9_event",
        arguments: &["2"],
        lines: &["all gave up: true", "set already: Some(1)"],
    },
    Run {
        program: "w1_raw_http",
        arguments: &[],
        lines: &["5 hosts fetched at once"],
    },
    Run {
        program: "w2_callbacks",
        arguments: &[],
        lines: &[
            "GET /slow: timed out",
            "GET /page: 200 \"a page\"",
            "POST /echo: 200 \"some data\"",
        ],
    },
    Run {
        program: "w4_routes",
        arguments: &[],
        lines: &[
            "GET /hello gives 200: Hello, Anonymous",
            "POST /items gives 201: created \"a ship\"",
            "GET /articles/2024 gives 200: the articles of the year 2024",
        ],
    },
    Run {
        program: "w5_slow_handler",
        arguments: &["0.5"],
        lines: &[],
    },
    Run {
        program: "w6_delayed",
        arguments: &[],
        lines: &[
            "made at once, waited for long: \"the answer\"",
            "made late, waited for shortly: \"the default\"",
            "the late answer went back to its maker",
        ],
    },
    Run {
        program: "w7_stop_index",
        arguments: &[],
        lines: &[
            "/stopindex: nobody waits",
            "the newer /index: released by the first",
            "the older /index: released by the second",
            "a client went away, and nobody waits any more",
        ],
    },
    Run {
        program: "w8_not_found",
        arguments: &[],
        lines: &["connections open at the server: 1"],
    },
];

/// Where cargo has put the program: this test is in `deps`, the examples are beside that.
pub(crate) fn path_of(program: &str) -> PathBuf {
    let test = std::env::current_exe().expect("this program has a path");
    let profile = test.parent().and_then(Path::parent);
    let path = profile
        .expect("cargo's folders")
        .join("examples")
        .join(program);
    assert!(
        path.exists(),
        "{} isn't built: `cargo build -p ropewalk-cookbook --examples`",
        path.display()
    );
    path
}

/// Runs a program to its end with one driver; it must end well.
fn run(driver: DriverKind, program: &str, arguments: &[&str]) -> String {
    let output = Command::new(path_of(program))
        .args(arguments)
        .env("ROPEWALK_DRIVER", driver.as_str())
        .output()
        .expect("the program starts");
    let Output {
        status,
        stdout,
        stderr,
    } = output;
    let (stdout, stderr) = (
        String::from_utf8_lossy(&stdout),
        String::from_utf8_lossy(&stderr),
    );
    let name = driver.as_str();
    assert!(
        status.success(),
        "{program} with {name}: {status}\n{stdout}\n{stderr}"
    );
    stdout.into_owned()
}

/// The drivers that work here; says which is left out.
pub(crate) fn drivers() -> Vec<DriverKind> {
    let mut drivers = vec![DriverKind::IoUring, DriverKind::Epoll];
    drivers.retain(|driver| match driver.check() {
        Ok(()) => true,
        Err(error) => {
            eprintln!("left out: {error}");
            false
        }
    });
    drivers
}

/// The names of the programs there are, by their files.
fn programs() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let files = fs::read_dir(folder).expect("the programs are there");
    let mut names: Vec<_> = files
        .map(|file| file.expect("a file").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| {
            path.file_stem()
                .expect("a name")
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    names.sort();
    names
}

#[test]
fn every_program_ends_well_with_either_driver() {
    for driver in drivers() {
        for Run {
            program,
            arguments,
            lines,
        } in RUNS
        {
            let output = run(driver, program, arguments);
            for expected in *lines {
                assert!(
                    output.lines().any(|line| line == *expected),
                    "{program} with {} doesn't say {expected:?}:\n{output}",
                    driver.as_str()
                );
            }
        }
    }
}

/// C10: the environment chooses the back end and the number of workers; what is no back end, or
/// doesn't work, is refused by name.
#[test]
fn the_environment_chooses_the_back_end() {
    let with = |driver: &str| {
        let output = Command::new(path_of("c10_back_ends"))
            .env("ROPEWALK_DRIVER", driver)
            .env("ROPEWALK_WORKERS", "3")
            .output()
            .expect("the program starts");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        (
            output.status.success(),
            text(output.stdout),
            text(output.stderr),
        )
    };
    for driver in DriverKind::ALL {
        let name = driver.as_str();
        let (well, printed, error) = with(name);
        match driver.check() {
            Ok(()) => {
                assert!(well, "{error}");
                assert!(printed.contains(&format!("runs on {name}\nworkers: 3\n")));
                assert!(printed.contains("doubles: [0, 2, 4, 6, 8, 10, 12, 14]\n"));
            }
            Err(_) => assert!(!well && error.contains(name), "{error}"),
        }
    }
    let (well, _, error) = with("kqueue");
    assert!(
        !well && error.contains("ROPEWALK_DRIVER=kqueue is not a driver"),
        "{error}"
    );
    for driver in DriverKind::ALL {
        assert!(error.contains(driver.as_str()), "{error}");
    }
}

/// T2: what is no daemon goes on after `main` and is heard to its end, a daemon is cut off;
/// so for threads and for coroutines.
#[test]
fn the_end_waits_for_all_but_daemons() {
    for driver in drivers() {
        let output = run(driver, "t2_daemons", &[]);
        let at = |line: &str| {
            let found = output.lines().position(|printed| printed == line);
            found.unwrap_or_else(|| panic!("no {line:?} in:\n{output}"))
        };
        let main_ends = at("main: ends");
        for kind in ["thread", "coroutine"] {
            assert!(
                at(&format!("{kind} daemon: started")) < main_ends,
                "{output}"
            );
            assert!(at(&format!("{kind} daemon: true, its child: true")) < main_ends);
            for step in 1..=3 {
                let line = format!("{kind} that is no daemon: step {step} of 3");
                assert!(at(&line) > main_ends, "{output}");
            }
        }
        assert!(!output.contains("daemon: ended"), "{output}");
    }
}

/// P1: likewise processes; nobody joins them.
#[test]
fn the_end_waits_for_all_but_daemon_processes() {
    for driver in drivers() {
        let output = run(driver, "p1_process", &[]);
        let at = |line: &str| output.lines().position(|printed| printed == line);
        let heard = at("no daemon: heard to the end");
        assert!(heard > at("main: ends"), "{output}");
        assert!(at("main: ends").is_some(), "{output}");
        assert_eq!(at("daemon: ended"), None, "{output}");
    }
}

/// W4: `run_app` says where it serves, serves, and ends well on Ctrl-C.
#[test]
fn ctrl_c_stops_the_server() {
    for driver in drivers() {
        let mut child = Command::new(path_of("w4_routes"))
            .arg("serve")
            .env("ROPEWALK_DRIVER", driver.as_str())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let mut line = || lines.next().map(|line| line.expect("text"));

        let banner = line().expect("a banner");
        let url = banner.trim_matches(['=', ' ']).strip_prefix("Running on ");
        let url = url.unwrap_or_else(|| panic!("not a banner: {banner}"));
        assert_eq!(line().as_deref(), Some("(Press CTRL+C to quit)"));
        let client = Client::builder().pool_idle_max(1).build().unwrap();
        let hello = client.get(format!("{url}/hello/you")).send().unwrap();
        assert_eq!(hello.text().unwrap(), "Hello, you\n");

        // The client's idle connection is open, and doesn't hold up the end.
        let pid = Pid::from_child(&child);
        rustix::process::kill_process(pid, Signal::INT).unwrap();
        assert_eq!(line().as_deref(), Some("stopped"));
        assert_eq!(line(), None);
        let status = child.wait().unwrap();
        assert!(status.success(), "with {}: {status}", driver.as_str());
    }
}

/// The table in the documentation and the runs above name each program there is.
#[test]
fn every_program_is_run_and_in_the_table() {
    let table = include_str!("../../src/lib.rs");
    let mut run: Vec<_> = RUNS.iter().map(|run| run.program).collect();
    run.sort_unstable();
    assert_eq!(programs(), run);
    for program in run {
        let (row, _) = program.split_once('_').expect("`<row>_<topic>`");
        let line = table
            .lines()
            .find(|line| line.contains(&format!("| `{program}` |")));
        let line = line.unwrap_or_else(|| panic!("{program} isn't in the table"));
        let row = row.to_uppercase();
        assert!(line.starts_with(&format!("//! | {row} | ")), "{line}");
    }
}
