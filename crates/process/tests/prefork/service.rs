//! What the processes do, and a port whose events can be waited for.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ropewalk_process::StartError;
use ropewalk_process::prefork::{Event, Handle, Prefork, Worker};
use ropewalk_rt::executor::TaskFn;
use ropewalk_rt::{DriverKind, Runtime};
use rustix::process::Signal;

/// Answers each line with who it is and the line.
pub(crate) fn answer(worker: Worker) {
    let listener = worker.listen().unwrap();
    let me = format!("{} {}", std::process::id(), worker.generation());
    while let Ok((stream, _)) = worker.until_stop(|| listener.accept()) {
        let me = me.clone();
        ropewalk_rt::spawn(move || {
            for line in BufReader::new(&stream).lines() {
                let Ok(line) = line else { return };
                if writeln!(&stream, "{me} {line}").is_err() {
                    return;
                }
            }
        });
    }
}

/// Never ends by itself.
pub(crate) fn stubborn(worker: Worker) {
    let _listener = worker.listen().unwrap();
    loop {
        thread::sleep(Duration::from_secs(1));
    }
}

/// Ends before it listens.
pub(crate) fn broken(_: Worker) {
    std::process::exit(3);
}

/// Listens in the first generation alone.
pub(crate) fn broken_by_reload(worker: Worker) {
    if worker.generation() > 0 {
        std::process::abort();
    }
    answer(worker);
}

/// Doesn't listen, and doesn't end.
pub(crate) fn mute(worker: Worker) {
    worker.wait_stop();
}

ropewalk_rt::register! {
    "answer" => answer,
    "stubborn" => stubborn,
    "broken" => broken,
    "broken-by-reload" => broken_by_reload,
    "mute" => mute,
}

/// A loopback address that nobody else has: once its port is closed, nobody opens it again.
fn address_of_its_own() -> Ipv4Addr {
    static COUNT: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, high | 1, low, COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A port whose master runs on a thread of its own.
pub(crate) struct Port {
    pub(crate) addr: SocketAddr,
    pub(crate) handle: Handle,
    pub(crate) events: Receiver<Event>,
    running: Option<JoinHandle<Result<(), StartError>>>,
}

/// Where a master runs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    Thread,
    Coroutine(usize, DriverKind),
}

/// Everywhere a master may run.
pub(crate) fn places() -> Vec<Place> {
    vec![
        Place::Thread,
        Place::Coroutine(1, DriverKind::Epoll),
        Place::Coroutine(2, DriverKind::IoUring),
    ]
}

impl Port {
    pub(crate) fn open<F>(prefork: Prefork, place: Place, task: F) -> Port
    where
        F: TaskFn<(Worker,), Output = ()>,
    {
        let (sender, events) = channel();
        let master = prefork
            .signals(false)
            .on_event(move |event| drop(sender.send(event.clone())))
            .bind((address_of_its_own(), 0))
            .unwrap();
        let addr = master.local_addr().unwrap();
        let handle = master.handle();
        let running = thread::spawn(move || match place {
            Place::Thread => master.run(task),
            Place::Coroutine(workers, driver) => {
                let runtime = Runtime::builder().workers(workers).driver(driver).build();
                match runtime {
                    Ok(runtime) => runtime.run(|| master.run(task)),
                    // No io_uring here.
                    Err(_) => master.run(task),
                }
            }
        });
        Port {
            addr,
            handle,
            events,
            running: Some(running),
        }
    }

    /// The next event that `pick` takes.
    pub(crate) fn until<T>(&self, mut pick: impl FnMut(&Event) -> Option<T>) -> T {
        let mut seen = Vec::new();
        loop {
            match self.events.recv_timeout(Duration::from_secs(120)) {
                Ok(event) => match pick(&event) {
                    Some(found) => return found,
                    None => seen.push(event),
                },
                Err(_) => panic!("it never came; but these did: {seen:?}"),
            }
        }
    }

    /// The ids of the next processes that listen.
    pub(crate) fn until_ready(&self, count: usize) -> Vec<u32> {
        (0..count)
            .map(|_| {
                self.until(|event| match event {
                    Event::Ready { pid, .. } => Some(*pid),
                    _ => None,
                })
            })
            .collect()
    }

    /// Tells it to end, and waits until it has.
    pub(crate) fn close(mut self) -> Result<(), StartError> {
        self.handle.shutdown();
        self.running.take().unwrap().join().unwrap()
    }
}

/// A connection to the service.
pub(crate) struct Client {
    reader: BufReader<TcpStream>,
}

impl Client {
    pub(crate) fn connect(addr: SocketAddr) -> io::Result<Client> {
        let stream = TcpStream::connect(addr)?;
        Ok(Client {
            reader: BufReader::new(stream),
        })
    }

    /// Asks: the id and generation of who answers.
    pub(crate) fn ask(&mut self, word: &str) -> io::Result<(u32, u64)> {
        writeln!(self.reader.get_mut(), "{word}")?;
        let mut line = String::new();
        self.reader.read_line(&mut line)?;
        let mut words = line.split_whitespace();
        let mut next = || words.next().ok_or(io::ErrorKind::UnexpectedEof);
        let pid = next()?.parse().unwrap();
        let generation = next()?.parse().unwrap();
        assert_eq!(next()?, word);
        Ok((pid, generation))
    }

    /// Says that nothing more comes, and waits for the end.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.reader.get_mut().shutdown(std::net::Shutdown::Write)?;
        let left = self.reader.read_to_end(&mut Vec::new())?;
        assert_eq!(left, 0);
        Ok(())
    }
}

/// One question on a connection of its own.
pub(crate) fn ask(addr: SocketAddr) -> io::Result<(u32, u64)> {
    let mut client = Client::connect(addr)?;
    let answer = client.ask("hello")?;
    client.finish()?;
    Ok(answer)
}

/// Sends a signal.
pub(crate) fn signal(pid: u32, signal: Signal) {
    let pid = rustix::process::Pid::from_raw(pid as i32).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

/// Waits until a process is gone, or a zombie.
pub(crate) fn until_gone(pid: u32) {
    let stat = format!("/proc/{pid}/stat");
    while std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
        thread::yield_now();
    }
}
