//! P7, known as many processes, each with many coroutines: a prefork HTTP server.
//!
//! All processes accept from one port, and each serves with its coroutines. A handler that crashes
//! takes down the process it runs in, which is replaced; the others don't notice. A reload lets
//! new processes begin before the old ones end, and no request is lost.
//!
//! With an address as argument it serves there, until Ctrl-C; SIGHUP reloads.

use std::collections::HashSet;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use ropewalk::channel::{Receiver, unbounded};
use ropewalk::http::client::{self, Client};
use ropewalk::http::{App, Request, Server};
use ropewalk::process::prefork::{Event, Handle, Prefork, Worker};
use ropewalk::process::{StartError, id};
use ropewalk::time::{Duration, sleep};
use ropewalk::{JoinHandle, spawn};

/// How many of this process's coroutines are in `/slow`, and the most that ever were.
static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

/// `/who` serves, `/slow` waits, `/crash` is a bug.
fn app() -> App {
    App::new()
        .get("/who", |_: &mut Request| id().to_string())
        .get("/slow", |_: &mut Request| {
            let now = NOW.fetch_add(1, Ordering::SeqCst) + 1;
            MOST.fetch_max(now, Ordering::SeqCst);
            sleep(Duration::from_millis(300));
            NOW.fetch_sub(1, Ordering::SeqCst);
            MOST.load(Ordering::SeqCst).to_string()
        })
        // Not GET, which a client may send again, to the next process, if its connection breaks.
        .post("/crash", |_: &mut Request| -> String {
            std::process::abort()
        })
}

/// What each process does.
#[ropewalk::task]
fn serve(worker: Worker) {
    let listener = worker.listen().expect("descriptors");
    let server = Server::from(listener);
    let handle = server.handle();
    spawn(move || {
        worker.wait_stop();
        // What is left at the deadline is cut off.
        let _ = handle.shutdown(worker.grace());
    });
    server.serve(app()).expect("a socket that listens");
}

/// A site with its processes.
pub struct Site {
    addr: SocketAddr,
    handle: Handle,
    events: Receiver<Event>,
    running: JoinHandle<Result<(), StartError>>,
}

impl Site {
    /// Starts a site with so many processes.
    ///
    /// # Errors
    ///
    /// The system's, for the port.
    pub fn start(processes: usize) -> io::Result<Site> {
        let (tell, events) = unbounded();
        let master = Prefork::new(processes)
            .name("site")
            .signals(false)
            .on_event(move |event| drop(tell.send(event.clone())))
            .bind("127.0.0.1:0")?;
        Ok(Site {
            addr: master.local_addr()?,
            handle: master.handle(),
            events,
            running: spawn(move || master.run(serve)),
        })
    }

    /// Asks with a client of one's own, whose connection stays with one process.
    ///
    /// # Errors
    ///
    /// The client's.
    pub fn ask(&self, client: &Client, path: &str) -> Result<String, client::Error> {
        client
            .get(format!("http://{}{path}", self.addr))
            .send()?
            .text()
    }

    /// Has the process of that connection crash; says whether it answered nonetheless.
    pub fn crash(&self, client: &Client) -> bool {
        let url = format!("http://{}/crash", self.addr);
        client.post(url).send().is_ok()
    }

    /// Waits for something to happen.
    ///
    /// # Panics
    ///
    /// If the site ends before.
    pub fn wait_for(&self, is_it: impl Fn(&Event) -> bool) {
        while !is_it(&self.events.recv().expect("a site that runs")) {}
    }

    /// The ids of its processes.
    pub fn pids(&self) -> HashSet<String> {
        let processes = self.handle.processes();
        processes.iter().map(|one| one.pid.to_string()).collect()
    }

    /// Has new processes take over from the old ones.
    pub fn reload(&self) {
        self.handle.reload();
    }

    /// Ends it.
    ///
    /// # Errors
    ///
    /// If the processes could not be started.
    pub fn stop(self) -> Result<(), Box<dyn Error>> {
        self.handle.shutdown();
        Ok(self.running.join()??)
    }
}

/// Clients enough that each of `processes` has the connection of one: with the id of who serves it.
///
/// # Errors
///
/// The client's.
pub fn clients(site: &Site, processes: usize) -> Result<Vec<(Client, String)>, client::Error> {
    let mut clients = Vec::new();
    let mut seen = HashSet::new();
    while seen.len() < processes {
        let client = Client::new();
        let pid = site.ask(&client, "/who")?;
        if seen.insert(pid.clone()) {
            clients.push((client, pid));
        }
    }
    Ok(clients)
}

/// Asks for `/slow` with so many clients at once: how many were answered, and the most that one
/// process served at the same time.
pub fn crowd(site: &Site, clients: usize) -> (usize, usize) {
    ropewalk::scope(|scope| {
        let ask = || site.ask(&Client::new(), "/slow");
        let asking: Vec<_> = (0..clients).map(|_| scope.spawn(ask)).collect();
        let answers = asking.into_iter().map(|one| one.join().expect("no panic"));
        let answers: Vec<usize> = answers
            .filter_map(|answer| answer.ok()?.parse().ok())
            .collect();
        (answers.len(), answers.into_iter().max().unwrap_or(0))
    })
}

/// Reloads, while four clients ask, each time on a new connection: how often they asked, and how
/// many of these requests were lost.
pub fn reload_under_load(site: &Site) -> (usize, usize) {
    let done = AtomicUsize::new(0);
    ropewalk::scope(|scope| {
        let ask = || {
            let (mut asked, mut lost) = (0, 0);
            while done.load(Ordering::SeqCst) == 0 {
                asked += 1;
                lost += usize::from(site.ask(&Client::new(), "/who").is_err());
            }
            (asked, lost)
        };
        let asking: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
        site.reload();
        site.wait_for(|event| matches!(event, Event::Reloaded { .. }));
        done.store(1, Ordering::SeqCst);
        let counts = asking.into_iter().map(|one| one.join().expect("no panic"));
        counts.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    })
}

#[ropewalk::main]
fn main() -> Result<(), Box<dyn Error>> {
    let cores = std::thread::available_parallelism()?.get();
    if let Some(addr) = std::env::args().nth(1) {
        println!("{cores} processes serve http://{addr}/who");
        return Ok(Prefork::new(cores).bind(addr)?.run(serve)?);
    }
    let site = Site::start(2)?;
    let mut clients = clients(&site, 2)?;
    println!("two processes on one port: {}", site.pids().len() == 2);

    let (answered, most) = crowd(&site, 40);
    println!("40 slow ones at once: {answered} answered");
    println!("many at once in one process: {}", most > 1);

    let victim = clients[0].1.clone();
    let answered = site.crash(&clients[0].0);
    println!("a crash: its own request was answered: {answered}");
    clients.retain(|(_, pid)| *pid != victim);
    let again = clients.iter().map(|(client, _)| site.ask(client, "/who"));
    let same = again
        .zip(&clients)
        .all(|(pid, (_, before))| pid.is_ok_and(|pid| pid == *before));
    println!("those of the other are served on: {same}");
    site.wait_for(|event| matches!(event, Event::Died { .. }));
    site.wait_for(|event| matches!(event, Event::Ready { .. }));
    println!("another took its place: {}", !site.pids().contains(&victim));

    let old = site.pids();
    drop(clients);
    let (asked, lost) = reload_under_load(&site);
    println!(
        "a reload: {lost} requests lost, asked meanwhile: {}",
        asked > 0
    );
    println!("all are new: {}", site.pids().is_disjoint(&old));
    site.stop()?;
    Ok(())
}
