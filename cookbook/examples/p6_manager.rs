//! P6, known as `multiprocessing.Manager()`: `list`, `dict`, `Namespace`, `Lock`, `RLock`,
//! `Semaphore`, `BoundedSemaphore`, `Condition`, `Event`, `Barrier`, `Queue`, `Value`, `Array`
//! from 10 processes; and `BaseManager` over the network, with a key.
//!
//! The objects are in the manager's process. Others have proxies, which travel like any value;
//! what is in the objects may be of any type, also one of the program's own.

use std::collections::BTreeMap;
use std::env;
use std::io::{self, BufRead, Write};
use std::sync::atomic::{AtomicU64, Ordering};

use ropewalk::process::manager::{
    ArrayProxy, BarrierProxy, ConditionProxy, DictProxy, EventProxy, ListProxy, LockProxy, Manager,
    Methods, NamespaceProxy, ObjectProxy, QueueProxy, RLockProxy, Result, SemaphoreProxy, Served,
    Update, Value, ValueProxy,
};
use ropewalk::process::{Command, Process, Stdio};
use serde::{Deserialize, Serialize};

const ROUNDS: u64 = 5;

/// A type of our own: Python's `BaseManager.register("Odometer", ...)`.
struct Odometer(AtomicU64);

impl Served for Odometer {
    const NAME: &'static str = "Odometer";
    type Args = u64;

    fn create(start: u64) -> std::result::Result<Odometer, String> {
        Ok(Odometer(AtomicU64::new(start)))
    }

    fn methods(methods: &mut Methods<Odometer>) {
        methods.add("drive", |odometer, far: u64| {
            odometer.0.fetch_add(far, Ordering::Relaxed) + far
        });
    }
}

ropewalk::process::served!(Odometer);

/// What each process gets.
#[derive(Clone, Serialize, Deserialize)]
pub struct Office {
    dict: DictProxy,
    list: ListProxy,
    space: NamespaceProxy,
    queue: QueueProxy,
    value: ValueProxy,
    array: ArrayProxy,
    lock: LockProxy,
    rlock: RLockProxy,
    semaphore: SemaphoreProxy,
    bounded: SemaphoreProxy,
    condition: ConditionProxy,
    event: EventProxy,
    barrier: BarrierProxy,
    odometer: ObjectProxy,
}

impl Office {
    fn new(manager: &Manager, processes: u32) -> Result<Office> {
        Ok(Office {
            dict: manager.dict()?,
            list: manager.list()?,
            space: manager.namespace()?,
            queue: manager.queue()?,
            value: manager.value(0)?,
            array: manager.array(vec![0; processes as usize])?,
            lock: manager.lock()?,
            rlock: manager.rlock()?,
            semaphore: manager.semaphore(3)?,
            bounded: manager.bounded_semaphore(3)?,
            condition: manager.condition()?,
            event: manager.event()?,
            barrier: manager.barrier(processes)?,
            odometer: manager.object::<Odometer>(0)?,
        })
    }
}

#[ropewalk::task]
fn works(number: u32, office: Office) {
    work(number, &office).expect("the manager is there");
}

fn work(number: u32, office: &Office) -> Result<()> {
    office.event.wait()?;
    for round in 0..ROUNDS {
        // Read and write are two steps: without the lock, updates would be lost.
        let guard = office.lock.lock()?;
        let old: u64 = office.value.get()?;
        office.value.set(old + 1)?;
        drop(guard);
        // In one step, no lock is needed.
        office
            .array
            .update::<u64>(number as usize, Update::add(1))?;
        office.dict.update_or::<u64>("hits", 0, Update::add(1))?;

        let outer = office.rlock.lock()?;
        let inner = office.rlock.lock()?;
        let twice: u64 = office.space.get("twice").unwrap_or(0);
        office.space.set("twice", twice + 2)?;
        drop((outer, inner));

        for semaphore in [&office.semaphore, &office.bounded] {
            let permit = semaphore.acquire()?;
            let inside = office.dict.update_or::<i64>("inside", 0, Update::add(1))?;
            office
                .dict
                .update_or::<i64>("most inside", 0, Update::max(inside))?;
            office.dict.update::<i64>("inside", Update::add(-1))?;
            drop(permit);
        }
        office.odometer.call::<u64>("drive", 10)?;
        office.queue.put((number, round))?;
    }
    // A number, a text, a list of both: the types are mixed.
    office.list.push(number)?;
    office.list.push(format!("process {number}"))?;
    office.dict.insert(number, (number, "done"))?;
    office.barrier.wait()?;
    let guard = office.condition.lock()?;
    office.space.update::<u32>("ready", Update::add(1))?;
    guard.notify_all().map(drop)
}

/// What was in the objects after all processes had done their work.
#[derive(Debug)]
pub struct Outcome {
    /// What was counted by a value under a lock, a namespace under a re-entrant lock, a dict,
    /// an array and an object of our own type.
    pub counts: [u64; 5],
    /// How many items the queue had.
    pub items: usize,
    /// The most that held one of two semaphores with 3 permits each.
    pub most_inside: i64,
    /// How many numbers and how many texts the list has.
    pub kinds: (usize, usize),
    /// What process 3 has put into the dict.
    pub third: (u32, String),
}

/// Has so many processes work with the same objects.
///
/// # Errors
///
/// If a process can't be started, or the manager is gone.
pub fn ten_work(processes: u32) -> Result<Outcome> {
    let manager = Manager::start()?;
    let office = Office::new(&manager, processes)?;
    office.space.set("ready", 0)?;
    let all: Vec<_> = (0..processes)
        .map(|number| Process::spawn(works, (number, office.clone())))
        .collect::<std::result::Result<_, _>>()
        .map_err(io::Error::from)?;
    office.event.set()?;
    let mut guard = office.condition.lock()?;
    guard.wait_while(|| Ok(office.space.get::<u32>("ready")? < processes))?;
    drop(guard);
    for process in all {
        process
            .join()
            .map_err(|error| io::Error::other(error.to_string()))?;
    }

    let values: Vec<Value> = office.list.to_vec()?;
    let texts = values.iter().filter(|value| value.get::<String>().is_ok());
    let texts = texts.count();
    Ok(Outcome {
        counts: [
            office.value.get()?,
            office.space.get("twice")?,
            office.dict.get("hits")?.unwrap_or(0),
            office.array.to_vec::<u64>()?.iter().sum(),
            office.odometer.call("drive", 0)?,
        ],
        items: office.queue.len()?,
        most_inside: office.dict.get("most inside")?.unwrap_or(0),
        kinds: (values.len() - texts, texts),
        third: office.dict.get(3)?.unwrap_or_default(),
    })
}

/// The other program: knows the address, and a key, which is not among the arguments that all
/// can see.
fn guest(address: &str) -> Result<()> {
    let mut key = String::new();
    io::stdin().lock().read_line(&mut key)?;
    match Manager::connect(address, key.trim_end()) {
        Ok(manager) => {
            let words = manager.named("words").dict()?;
            words.update::<u64>("rope", Update::add(1))?;
            println!("guest: let in");
        }
        Err(error) if error.is_wrong_key() => println!("guest: {error}"),
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Starts this program again, not as a worker but as anybody would start another program.
fn invite(address: &str, key: &str) -> io::Result<String> {
    let mut guest = Command::new(env::current_exe()?)
        .args(["guest", address])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = guest.stdin.take() {
        writeln!(stdin, "{key}")?;
    }
    let output = guest.wait_with_output()?;
    Ok(String::from_utf8_lossy(&output.stdout)
        .trim_end()
        .to_owned())
}

#[ropewalk::main]
fn main() -> Result<()> {
    if let [_, role, address] = &env::args().collect::<Vec<_>>()[..]
        && role == "guest"
    {
        return guest(address);
    }
    let outcome = ten_work(10)?;
    println!("counted: {:?}", outcome.counts);
    println!("in the queue: {}", outcome.items);
    println!("no more than 6 inside: {}", outcome.most_inside <= 6);
    println!(
        "in the list: {} numbers, {} texts",
        outcome.kinds.0, outcome.kinds.1
    );
    println!("in the dict: {:?}", outcome.third);

    let builder = Manager::builder().bind("127.0.0.1:0").key("sheet bend");
    let server = builder.serve()?;
    let address = server.address().to_string();
    let words = server.manager()?.named("words").dict()?;
    words.insert("rope", 1)?;
    println!("{}", invite(&address, "sheet bend")?);
    println!("{}", invite(&address, "granny knot")?);
    println!("server: {}", server.last_refusal().unwrap_or_default());
    println!(
        "{:?}",
        words
            .items::<String, u64>()?
            .into_iter()
            .collect::<BTreeMap<_, _>>()
    );
    Ok(())
}
