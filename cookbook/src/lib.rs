//! One small runnable program for each thing Ropewalk's users must be able to do.
//!
//! ```text
//! cargo run -p ropewalk-cookbook --example t1_threads
//! ```
//!
//! # Coming from Python
//!
//! | row | known as | program |
//! |---|---|---|
//! | T1 | `threading.Thread(target=, name=)`, subclassing it, `start`, `join`, `getName`, `setName`, `ident`, `is_alive`, `currentThread`, `enumerate`, `activeCount` | `t1_threads` |
//! | T2 | daemon threads | `t2_daemons` |
//! | T3 | the lesson of the GIL: threads and processes that count, threads that wait | `t3_gil` |
//! | T4 | the lost update: 100 tasks, one counter | `t4_lost_update` |
//! | T5 | the deadlock of two locks in two orders, and of one `Lock` taken twice | `t5_deadlock` |
//! | T6 | `Lock`, `RLock` | `t6_locks` |
//! | T7 | `Condition`: `wait`, `notify`, `notify_all` | `t7_condition` |
//! | T8 | `Semaphore(5)`, `BoundedSemaphore`; a pool of connections | `t8_semaphore` |
//! | T9 | `Event`: workers wait for a service (Redis) to be ready, and give up after three tries | `t9_event` |
//! | T10 | read, format and save by three threads | `t10_pipeline` |
//! | T11 | `threading.local()` | `t11_locals` |
//! | T12 | changing a dict or a list while iterating over it | `t12_iterate` |
//! | Q1 | `Queue(maxsize)`, `put`, `get`, `put_nowait`, `get_nowait`, `qsize`, `empty`, `full`, `Full`, `Empty` | `q1_queue` |
//! | Q2 | `LifoQueue`, `PriorityQueue` | `q2_lifo_priority` |
//! | Q3 | `task_done`, `join` | `q3_task_done` |
//! | Q4 | producer and consumer at uneven speed | `q4_uneven` |
//! | C1 | generators advanced by hand with `next`, `yield from`, `close` | `c1_generators` |
//! | C2 | producer and consumer with `send` | `c2_send` |
//! | C3 | `greenlet.switch` | `c3_switch` |
//! | C4 | `gevent.spawn`, `joinall(timeout=2)`, `.value`, `sleep(0)`, `Pool(n)`, `Group`; eventlet's `GreenPool` | `c4_groups` |
//! | C5 | `gevent.Timeout`, `kill`, `killall` | `c5_timeouts` |
//! | C7 | `async def`, `async with`, `async for`, tasks, `gather`, `wait`, `iscoroutine` | `c7_async` |
//! | C8 | asyncio's event loop: `run_until_complete`, `run_forever`, `stop`, `call_soon`, `call_later`, `call_at`, `close` | `c8_event_loop` |
//! | C9 | `run_in_executor`, `asyncio.to_thread` | `c9_executor` |
//! | C10 | libev: the back end (select, poll, epoll) chosen by environment | `c10_back_ends` |
//! | C11 | subprocesses from the loop: `create_subprocess_exec`, `communicate`, timeouts that kill | `c11_subprocesses` |
//! | C12 | a million tasks | `c12_million` |
//! | C13 | cooperative, not pre-emptive: computing stalls the neighbours | `c13_cooperative` |
//! | C14 | gevent's implicit loop, callbacks in the hub | `c14_implicit` |
//! | E1 | `ThreadPoolExecutor(5).submit(get_page, url)`, `shutdown(wait=True)` | `e1_fetch` |
//! | E2 | `future.add_done_callback` | `e2_callbacks` |
//! | E3 | the same code with `ThreadPoolExecutor` and `ProcessPoolExecutor` | `e3_swap` |
//! | E4 | `map`, `as_completed`, `wait`, timeouts, `cancel`, `exception` | `e4_futures` |
//! | E5 | the hand-made pool: grows to a maximum, `callback(status, result)`, `close`, `terminate` | `e5_pool` |
//! | E6 | `multiprocessing.Pool` from `initializer` to `terminate` | `e6_mp_pool` |
//! | E7 | a long job with a progress bar over `map` | `e7_progress` |
//! | E8 | a pool as a queue of tokens: take one, run, put it back | `e8_tokens` |
//! | N1 | blocking echo server with a pool of 3, and its client | `n1_echo` |
//! | N2 | a non-blocking server on one thread: `setblocking(False)`, pending sends, removals | `n2_nonblocking` |
//! | N6 | asyncio's streams and `drain`, transports and protocols, datagrams | `n6_protocols` |
//! | N10 | `socketserver`: `TCPServer`, `UDPServer`, `serve_forever`, `shutdown` | `n10_socketserver` |
//! | N11 | many name look-ups at once, with a time limit | `n11_lookups` |
//! | N12 | a server that answers each client by what is typed on the console | `n12_console` |
//! | W1 | raw HTTP/1.0 GET over a stream, several hosts at once | `w1_raw_http` |
//! | N7 | sticky packets: TCP has no message borders | `n7_framing` |
//! | N8 | UDP upper-case server, empty datagrams, borders, truncation, `ThreadingUDPServer` | `n8_udp` |
//! | N9 | UDP chat with several named peers | `n9_chat` |
//! | W2 | callback client: tasks with a callback each, run until all are done | `w2_callbacks` |
//! | W4 | routes, `match_info`, `query_string`, status 201, `run_app` with its banner and Ctrl-C | `w4_routes` |
//! | W5 | a slow handler must not stall the others | `w5_slow_handler` |
//! | W6 | a handler that waits for a `Future` with a timeout, which yields the answer | `w6_delayed` |
//! | W7 | one request resolves another's `Future` | `w7_stop_index` |
//! | W8 | an unknown URL, `/favicon.ico` | `w8_not_found` |
//! | P1 | `multiprocessing.Process(target, args, kwargs, name)`, subclassing it, `pid`, `daemon`, `is_alive`, `join(timeout)`, `terminate`, `exitcode` | `p1_process` |
//! | P2 | a global that threads share and processes don't | `p2_memory` |
//! | P3 | `multiprocessing.Queue`: `put`, `get`, `Full`, `Empty`, several producers and consumers, also killed ones | `p3_queue` |
//! | P4 | `multiprocessing.Pipe(duplex)`, `send`, `recv`, `poll`, `EOFError` | `p4_pipe` |
//! | P5 | `multiprocessing.Value('d')`, `Array('i')`, all type codes, `lock=False`, `get_lock()` | `p5_shared` |
//! | P6 | `Manager()`: `list`, `dict`, `Namespace`, `Lock`, `RLock`, `Semaphore`, `BoundedSemaphore`, `Condition`, `Event`, `Barrier`, `Queue`, `Value`, `Array` from 10 processes; `BaseManager` over the network with an `authkey` | `p6_manager` |
//! | P7 | many processes with many coroutines each, on one port | `p7_prefork` |
//! | P8 | `multiprocessing.Lock`, `RLock`, `Semaphore`, `BoundedSemaphore`, `Event`, `Condition`, `Barrier` as arguments | `p8_locks` |
//! | F1 | a file read in a worker thread, with a callback | `f1_callback` |
//! | F2 | truly asynchronous local I/O | `f2_async_io` |
//!
//! # Mistakes that don't compile
//!
//! T2: Python refuses at run time to make a running thread a daemon. Here only a builder
//! has such a switch, and a task that has started is no builder:
//!
//! ```compile_fail,E0599
//! let handle = ropewalk::coroutine::Builder::new().spawn(|| ()).unwrap();
//! handle.daemon(true);
//! ```
//!
//! ```
//! let builder = ropewalk::coroutine::Builder::new().daemon(true);
//! let handle = builder.spawn(|| ropewalk::Task::current().is_daemon()).unwrap();
//! assert!(handle.join().unwrap());
//! ```
//!
//! T4: a number that a hundred tasks change in place. Each wants it for itself:
//!
//! ```compile_fail,E0499
//! let mut left = 100;
//! ropewalk::scope(|s| {
//!     for _ in 0..100 {
//!         s.spawn(|| left -= 1);
//!     }
//! });
//! ```
//!
//! A `Cell`, which all may change, is for a single thread:
//!
//! ```compile_fail,E0277
//! let left = std::cell::Cell::new(100);
//! ropewalk::scope(|s| {
//!     for _ in 0..100 {
//!         s.spawn(|| left.set(left.get() - 1));
//!     }
//! });
//! ```
//!
//! ```
//! let left = ropewalk::sync::Mutex::new(100);
//! ropewalk::scope(|s| {
//!     for _ in 0..100 {
//!         s.spawn(|| *left.lock() -= 1);
//!     }
//! });
//! assert_eq!(left.into_inner(), 0);
//! ```
//!
//! T7: Python refuses at run time to wait on a condition without its lock. Here the wait takes
//! the guard, and neither the lock itself nor a guard that was let go will do:
//!
//! ```compile_fail,E0308
//! use ropewalk::sync::{Condvar, Mutex};
//! let (mut ready, changed) = (Mutex::new(false), Condvar::new());
//! changed.wait(&mut ready);
//! ```
//!
//! ```compile_fail,E0382
//! use ropewalk::sync::{Condvar, Mutex};
//! let (ready, changed) = (Mutex::new(false), Condvar::new());
//! let mut guard = ready.lock();
//! drop(guard);
//! changed.wait(&mut guard);
//! ```
//!
//! ```
//! use ropewalk::sync::{Condvar, Mutex};
//! let (ready, changed) = (Mutex::new(true), Condvar::new());
//! let mut guard = ready.lock();
//! changed.wait_while(&mut guard, |ready| !*ready);
//! ```
//!
//! T12: Python raises `RuntimeError` if a dict changes its size while somebody iterates over it,
//! and passes over elements of a list. Here whoever iterates has it borrowed until the end:
//!
//! ```compile_fail,E0502
//! let mut ages = std::collections::HashMap::from([("ann", 31), ("bob", 17)]);
//! for (name, age) in &ages {
//!     if *age < 18 {
//!         ages.remove(name);
//!     }
//! }
//! ```
//!
//! ```compile_fail,E0502
//! let mut numbers = vec![1, 2, 4, 5];
//! for (at, number) in numbers.iter().enumerate() {
//!     if number % 2 == 0 {
//!         numbers.remove(at);
//!     }
//! }
//! ```
//!
//! Nor can another do it meanwhile; and behind a lock, the guard has it borrowed:
//!
//! ```compile_fail,E0502
//! let mut numbers = vec![1, 2, 4, 5];
//! ropewalk::scope(|s| {
//!     s.spawn(|| numbers.iter().for_each(|number| println!("{number}")));
//!     s.spawn(|| numbers.push(6));
//! });
//! ```
//!
//! ```compile_fail,E0502
//! let numbers = ropewalk::sync::Mutex::new(vec![1, 2, 4, 5]);
//! let mut guard = numbers.lock();
//! for number in guard.iter() {
//!     guard.push(*number);
//! }
//! ```
//!
//! The cure is to collect first and to change after:
//!
//! ```
//! let mut ages = std::collections::HashMap::from([("ann", 31), ("bob", 17)]);
//! let minors: Vec<_> = ages.iter().filter(|(_, age)| **age < 18).map(|(name, _)| *name).collect();
//! for name in minors {
//!     ages.remove(name);
//! }
//! assert_eq!(ages.len(), 1);
//!
//! let numbers = ropewalk::sync::Mutex::new(vec![1, 2, 4, 5]);
//! let mut guard = numbers.lock();
//! for number in guard.clone() {
//!     guard.push(number);
//! }
//! assert_eq!(guard.len(), 8);
//! ```
//!
//! C7: Python finds out by `iscoroutine` what can be awaited, and warns at the end of what
//! never was. Here the first is an error of the compiler, and the second a warning of it:
//!
//! ```compile_fail,E0277
//! fn square(number: u64) -> u64 {
//!     number * number
//! }
//! ropewalk::block_on(async { square(3).await });
//! ```
//!
//! ```compile_fail
//! #![deny(unused_must_use)]
//! async fn square(number: u64) -> u64 {
//!     number * number
//! }
//! square(3);
//! ```
#![forbid(unsafe_code)]

mod embedded;

pub use embedded::Embedded;
