//! The traits of `futures-io`, with crates that know nothing of us, on executors of ours and of
//! others.

use std::future::Future;
use std::io::ErrorKind;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use futures_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use futures_rustls::{TlsAcceptor, TlsConnector};
use futures_util::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, copy};
use ropewalk_rt::net::unix::UnixStream;
use ropewalk_rt::net::{TcpListener, TcpStream};
use ropewalk_rt::{JoinHandle, block_on, coroutine, spawn_async};

use crate::copying::{pair, put, take};
use crate::stage::{in_coroutines, on_each, until};

/// An executor that is none of ours: a thread that parks.
fn elsewhere<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

async fn ping_pong(near: TcpStream, far: TcpStream, rounds: usize) {
    let echo = spawn_async(async move {
        let (reader, mut writer) = AsyncReadExt::split(&far);
        copy(reader, &mut writer).await.unwrap()
    });
    let mut stream = near;
    let mut answer = [0; 5];
    for _ in 0..rounds {
        stream.write_all(b"hello").await.unwrap();
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"hello");
    }
    stream.close().await.unwrap();
    assert_eq!(stream.read(&mut answer).await.unwrap(), 0);
    assert_eq!(echo.await.unwrap(), 5 * rounds as u64);
}

#[test]
fn tasks_and_blocked_callers_read_and_write() {
    on_each(|| {
        let (near, far) = pair();
        block_on(ping_pong(near, far, 50));
        let (near, far) = pair();
        spawn_async(ping_pong(near, far, 50)).join().unwrap();
    });
}

#[test]
fn other_executors_outside_any_runtime_do() {
    let (near, far) = pair();
    elsewhere(ping_pong(near, far, 50));
}

#[test]
fn a_stream_may_be_polled_here_and_there() {
    // Begun on a runtime of its own, which ends while a future waits there; then elsewhere.
    in_coroutines(|| {
        let (near, far) = pair();
        let far = Arc::new(far);
        let theirs = Arc::clone(&far);
        let polled = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&polled);
        let other = std::thread::spawn(move || {
            elsewhere(async {
                let mut reader = &*theirs;
                let mut buf = [0; 3];
                let mut reading = pin!(AsyncReadExt::read_exact(&mut reader, &mut buf));
                std::future::poll_fn(|context| {
                    let poll = reading.as_mut().poll(context);
                    seen.fetch_add(1, Ordering::SeqCst);
                    poll
                })
                .await
                .unwrap();
                buf
            })
        });
        until(|| polled.load(Ordering::SeqCst) > 0);
        put(&near, b"one");
        assert_eq!(&other.join().unwrap(), b"one");
        // The same descriptor, by the ways of coroutines.
        put(&near, b"two");
        assert_eq!(take(&far, 3), b"two");
    });
}

#[test]
fn a_registration_outlives_the_runtime_it_was_made_at() {
    let (near, far) = pair();
    let far = Arc::new(far);
    for driver in crate::stage::drivers() {
        let runtime = crate::stage::runtime(driver, 1);
        let stream = Arc::clone(&far);
        // One poll there leaves the registration, and a waker of a task that is gone.
        runtime.run(move || {
            spawn_async(async move {
                let mut reader = &*stream;
                let mut buf = [0; 1];
                let mut reading = pin!(AsyncReadExt::read(&mut reader, &mut buf));
                std::future::poll_fn(|context| {
                    assert!(reading.as_mut().poll(context).is_pending());
                    Poll::Ready(())
                })
                .await;
            })
            .join()
            .unwrap();
        });
        crate::stage::close(runtime);
        let stream = Arc::clone(&far);
        let reader = std::thread::spawn(move || {
            let mut buf = [0; 2];
            elsewhere((&*stream).read_exact(&mut buf)).unwrap();
            buf
        });
        put(&near, b"on");
        assert_eq!(&reader.join().unwrap(), b"on");
    }
}

#[test]
fn read_and_write_wait_by_themselves() {
    on_each(|| {
        let (near, far) = pair();
        let far = Arc::new(far);
        // A writer that fills the connection, and a reader of the same stream meanwhile.
        let writing = spawn_async({
            let far = Arc::clone(&far);
            async move { (&*far).write_all(&vec![7; 8 << 20]).await }
        });
        let reading = spawn_async(async move {
            let mut buf = [0; 1];
            (&*far).read_exact(&mut buf).await.unwrap();
            buf[0]
        });
        put(&near, b"r");
        assert_eq!(reading.join().unwrap(), b'r');
        assert!(!writing.is_finished());
        assert!(take(&near, 8 << 20).iter().all(|byte| *byte == 7));
        writing.join().unwrap().unwrap();
    });
}

#[test]
fn dropping_while_registered_is_harmless() {
    on_each(|| {
        for _ in 0..50 {
            let (near, far) = pair();
            let waiting = spawn_async(async move {
                let mut buf = [0; 1];
                (&far).read(&mut buf).await.unwrap()
            });
            coroutine::yield_now();
            // Drops the future and with it the stream: the peer sees the end.
            waiting.cancel();
            assert!(waiting.join().is_err());
            assert_eq!(take(&near, 1), b"");
        }
    });
}

#[test]
fn many_wakers_at_one_stream_are_all_woken() {
    on_each(|| {
        let (near, far) = pair();
        let far = Arc::new(far);
        // More than it keeps the wakers of.
        let readers: Vec<JoinHandle<u8>> = (0..40)
            .map(|_| {
                let far = Arc::clone(&far);
                spawn_async(async move {
                    let mut buf = [0; 1];
                    (&*far).read_exact(&mut buf).await.unwrap();
                    buf[0]
                })
            })
            .collect();
        for byte in 0..40u8 {
            put(&near, &[byte]);
        }
        let mut got: Vec<u8> = readers.into_iter().map(|one| one.join().unwrap()).collect();
        got.sort_unstable();
        assert_eq!(got, (0..40).collect::<Vec<_>>());
    });
}

/// A task that was woken by something else polls again, with the same waker: it used to be woken
/// by that, and so on without an end.
#[test]
fn polling_again_wakes_nobody() {
    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    on_each(|| {
        let (near, mut far) = pair();
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&count));
        let mut context = Context::from_waker(&waker);
        let mut buf = [0; 1];
        for _ in 0..5 {
            let mut reading = pin!(AsyncReadExt::read(&mut far, &mut buf));
            assert!(reading.as_mut().poll(&mut context).is_pending());
        }
        assert_eq!(count.0.load(Ordering::SeqCst), 0);
        put(&near, b"x");
        until(|| count.0.load(Ordering::SeqCst) > 0);
        let mut reading = pin!(AsyncReadExt::read(&mut far, &mut buf));
        assert!(matches!(
            reading.as_mut().poll(&mut context),
            Poll::Ready(Ok(1))
        ));
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn a_reset_is_an_error_of_the_poll() {
    on_each(|| {
        let (near, far) = pair();
        let reading = spawn_async(async move { (&far).read(&mut [0; 1]).await });
        near.set_linger(Some(std::time::Duration::ZERO)).unwrap();
        drop(near);
        let error = reading.join().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn ready_streams_let_others_run() {
    in_coroutines(|| {
        let (near, far) = pair();
        let flag = Arc::new(AtomicUsize::new(0));
        let set = Arc::clone(&flag);
        coroutine::spawn_local(move || set.fetch_add(1, Ordering::SeqCst));
        // Writes one byte and reads it again: always ready, so it never has to wait.
        let mut rounds = 0;
        block_on(async {
            while flag.load(Ordering::SeqCst) == 0 {
                (&near).write_all(b"x").await.unwrap();
                (&far).read_exact(&mut [0]).await.unwrap();
                rounds += 1;
                assert!(rounds < 100_000, "the other has its turn");
            }
        });
    });
}

#[test]
fn unix_streams_have_them_too() {
    on_each(|| {
        let (mut near, far) = UnixStream::pair().unwrap();
        let echo = spawn_async(async move { copy(&far, &mut &far).await.unwrap() });
        block_on(async move {
            near.write_all(b"hello").await.unwrap();
            near.close().await.unwrap();
            let mut answer = [0; 5];
            near.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, b"hello");
        });
        assert_eq!(echo.join().unwrap(), 5);
    });
}

/// TLS by a crate that takes any `futures-io` stream.
#[test]
fn a_crate_for_any_runtime_works_on_ours() {
    let key = rcgen::generate_simple_self_signed(["localhost".to_string()]).unwrap();
    let cert = key.cert.der().clone();
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.signing_key.serialize_der()));
    let server = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![cert.clone()], private)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(server));
    let mut roots = RootCertStore::empty();
    roots.add(cert).unwrap();
    let client = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(client));

    on_each(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let acceptor = acceptor.clone();
        let server = coroutine::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            // Blocks the coroutine, not the worker.
            block_on(async {
                let tls = acceptor.accept(stream).await.unwrap();
                let mut lines = BufReader::new(tls);
                let mut line = String::new();
                lines.read_line(&mut line).await.unwrap();
                let mut tls = lines.into_inner();
                tls.write_all(line.to_uppercase().as_bytes()).await.unwrap();
                tls.close().await.unwrap();
            });
        });
        let connector = connector.clone();
        let answer = spawn_async(async move {
            let stream = TcpStream::connect(addr).unwrap();
            let name = ServerName::try_from("localhost").unwrap();
            let mut tls = connector.connect(name, stream).await.unwrap();
            tls.write_all(b"over tls\n").await.unwrap();
            let mut answer = String::new();
            tls.read_to_string(&mut answer).await.unwrap();
            answer
        });
        assert_eq!(answer.join().unwrap(), "OVER TLS\n");
        server.join().unwrap();
    });
}
