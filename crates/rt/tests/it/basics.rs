//! First steps.
use ropewalk_rt::net::{TcpListener, TcpStream};
use ropewalk_rt::{
    Runtime, channel, coroutine,
    sync::{Condvar, Mutex},
};
use std::io::{Read, Write};
use std::time::Duration;

#[test]
fn run_and_join() {
    let rt = Runtime::builder().workers(2).build().unwrap();
    let v: u64 = rt.run(|| {
        (0..100u64)
            .map(|i| coroutine::spawn(move || i))
            .collect::<Vec<_>>()
            .into_iter()
            .map(|h| h.join().unwrap())
            .sum()
    });
    assert_eq!(v, 4950);
    rt.shutdown(Duration::from_secs(5)).unwrap();
}

#[test]
fn echo_many() {
    let rt = Runtime::builder().workers(2).build().unwrap();
    rt.run(|| {
        let l = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = l.local_addr().unwrap();
        let server = coroutine::spawn(move || {
            coroutine::scope(|s| {
                for _ in 0..50 {
                    let (mut c, _) = l.accept().unwrap();
                    s.spawn(move || {
                        let mut b = [0; 1024];
                        loop {
                            let n = c.read(&mut b).unwrap();
                            if n == 0 {
                                break;
                            }
                            c.write_all(&b[..n]).unwrap();
                        }
                    });
                }
            });
        });
        coroutine::scope(|s| {
            for i in 0..50u8 {
                s.spawn(move || {
                    let mut c = TcpStream::connect(addr).unwrap();
                    for _ in 0..20 {
                        c.write_all(&[i; 100]).unwrap();
                        let mut b = [0; 100];
                        c.read_exact(&mut b).unwrap();
                        assert_eq!(b, [i; 100]);
                    }
                });
            }
        });
        server.join().unwrap();
    });
    rt.shutdown(Duration::from_secs(5)).unwrap();
}

#[test]
fn read_timeout() {
    let rt = Runtime::builder().workers(1).build().unwrap();
    rt.run(|| {
        let l = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut c = TcpStream::connect(l.local_addr().unwrap()).unwrap();
        c.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let mut b = [0; 10];
        assert_eq!(
            c.read(&mut b).unwrap_err().kind(),
            std::io::ErrorKind::TimedOut
        );
        let (mut p, _) = l.accept().unwrap();
        p.write_all(b"hi").unwrap();
        assert_eq!(c.read(&mut b).unwrap(), 2);
        drop(p);
        assert_eq!(c.read(&mut b).unwrap(), 0);
    });
    rt.shutdown(Duration::from_secs(5)).unwrap();
}

#[test]
fn channels_and_locks() {
    for workers in [1, 2] {
        let rt = Runtime::builder().workers(workers).build().unwrap();
        for cap in [Some(0), Some(1), Some(10), None] {
            let (s, r) = match cap {
                Some(c) => channel::bounded(c),
                None => channel::unbounded(),
            };
            let total: u64 = rt.run(|| {
                coroutine::scope(|sc| {
                    for _ in 0..4 {
                        let s = s.clone();
                        sc.spawn(move || {
                            for i in 0..1000u64 {
                                s.send(i).unwrap()
                            }
                        });
                    }
                    drop(s);
                    let hs: Vec<_> = (0..3)
                        .map(|_| {
                            let r = r.clone();
                            sc.spawn(move || r.iter().sum::<u64>())
                        })
                        .collect();
                    let r2 = r.clone();
                    let t = std::thread::spawn(move || r2.iter().sum::<u64>());
                    let a: u64 = hs.into_iter().map(|h| h.join().unwrap()).sum();
                    a + ropewalk_rt::unblock(|| t.join().unwrap())
                })
            });
            assert_eq!(total, 4 * 499500);
        }
        let m = Mutex::new(0);
        let cv = Condvar::new();
        rt.run(|| {
            coroutine::scope(|s| {
                for _ in 0..50 {
                    s.spawn(|| {
                        for _ in 0..200 {
                            let mut g = m.lock();
                            let v = *g;
                            coroutine::yield_now();
                            *g = v + 1;
                        }
                    });
                }
                s.spawn(|| {
                    let mut g = m.lock();
                    cv.wait_while(&mut g, |v| *v < 10000);
                });
                s.spawn(|| {
                    loop {
                        cv.notify_all();
                        if *m.lock() >= 10000 {
                            cv.notify_all();
                            break;
                        }
                        coroutine::yield_now();
                    }
                });
            })
        });
        assert_eq!(*m.lock(), 10000);
        rt.shutdown(Duration::from_secs(5)).unwrap();
    }
}
