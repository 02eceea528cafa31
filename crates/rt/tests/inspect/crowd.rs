//! Many parked coroutines: counts, reasons, time.

use std::sync::Arc;
use std::time::Instant;

use ropewalk_rt::Runtime;
use ropewalk_rt::sync::Semaphore;

fn crowd(count: usize) {
    let runtime = Runtime::builder().workers(2).build().unwrap();
    let gate = Arc::new(Semaphore::new(0));
    let handles: Vec<_> = (0..count)
        .map(|_| {
            let gate = Arc::clone(&gate);
            runtime.spawn(move || drop(gate.acquire()))
        })
        .collect();
    loop {
        let began = Instant::now();
        let dump = runtime.dump();
        let took = began.elapsed();
        let parked = dump
            .tasks()
            .filter(|(group, _)| {
                group.reason == Some("waiting for a permit") && !group.stack.is_empty()
            })
            .count();
        eprintln!("{took:?} {parked}");
        if parked == count {
            let began = Instant::now();
            let text = dump.to_string();
            eprintln!("text {:?}\n{text}", began.elapsed());
            let began = Instant::now();
            let json = dump.to_json();
            eprintln!("json {:?} {}", began.elapsed(), json.len());
            break;
        }
    }
    gate.add_permits(count);
    handles
        .into_iter()
        .for_each(|handle| handle.join().unwrap());
}

#[test]
fn a_crowd() {
    crowd(1000);
}

#[test]
#[ignore = "a measurement, in release"]
fn a_hundred_thousand() {
    crowd(100_000);
}
