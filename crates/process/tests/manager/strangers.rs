//! Those who don't know the key, don't speak the protocol, or say nothing; and a client that
//! does know the key but sends nonsense.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use hmac::{Hmac, Mac};
use ropewalk_process::manager::{Address, Error, Manager, Server};
use sha2::Sha256;

use super::children::{Other, decode};
use super::stage::{LONG, await_stats, on_each};

const KEY: &str = "splice";
const MAGIC: &[u8; 16] = b"ropewalk-mngr-1\n";

fn over_tcp() -> (Server, String) {
    let builder = Manager::builder().bind("127.0.0.1:0").key(KEY);
    let server = builder.serve().unwrap();
    let address = server.address().to_string();
    (server, address)
}

#[track_caller]
fn await_that(what: &str, reached: impl Fn() -> bool) {
    let begun = Instant::now();
    while !reached() {
        assert!(begun.elapsed() < LONG, "waited for {what}");
        ropewalk_rt::coroutine::sleep(Duration::from_millis(2));
    }
}

pub(crate) fn try_wrong_key(orders: &[u8]) {
    let (address, key): (String, String) = decode(orders);
    let refused = Manager::connect(address.as_str(), key.as_str()).unwrap_err();
    assert!(refused.is_wrong_key(), "{refused}");
}

#[test]
fn a_wrong_key_is_refused() {
    on_each(|| {
        let (server, address) = over_tcp();
        for (count, key) in ["wrong", "splic", "splicee", "\0"].into_iter().enumerate() {
            let refused = Manager::connect(address.as_str(), key).unwrap_err();
            assert!(refused.is_wrong_key(), "{refused}");
            await_that("it to be counted", || {
                server.wrong_keys() == count as u64 + 1
            });
        }
        // Also while there is a connection with the right one.
        let manager = Manager::connect(address.as_str(), KEY).unwrap();
        assert!(Manager::connect(address.as_str(), "wrong").is_err());
        manager.dict().unwrap();
        assert_eq!(server.strangers(), 0);
    });
}

#[test]
fn a_wrong_key_from_another_process_tree() {
    let (server, address) = over_tcp();
    Other::start("wrong-key", &(&address, "wrong")).finish();
    assert_eq!(server.wrong_keys(), 1);
    assert_eq!(server.last_refusal().unwrap(), "a client has another key");
}

#[test]
fn keys_and_addresses_that_can_not_be() {
    assert!(Manager::builder().key("").serve().is_err());
    assert!(
        Manager::builder().bind("127.0.0.1:0").serve().is_err(),
        "no key"
    );
    assert!(
        Manager::builder()
            .bind("127.0.0.1:0")
            .key("")
            .serve()
            .is_err()
    );
    assert!(
        Manager::builder()
            .bind("/nowhere/at/all")
            .key("k")
            .serve()
            .is_err()
    );
    assert!(Manager::connect("127.0.0.1:1", "").is_err());
    let nobody = Manager::connect("/nowhere/at/all", "k").unwrap_err();
    assert!(matches!(nobody, Error::Unreachable { .. }), "{nobody}");
    let (_server, address) = over_tcp();
    assert!(
        Manager::builder()
            .bind(address.as_str())
            .key("k")
            .serve()
            .is_err()
    );
}

#[test]
fn only_the_same_user_may_enter() {
    let server = Manager::builder().serve().unwrap();
    let socket = server.address().to_string();
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    let dir = std::path::Path::new(&socket).parent().unwrap();
    assert_eq!((mode(dir), mode(&dir.join("key"))), (0o700, 0o600));

    let path = tempfile::tempdir().unwrap();
    let path = path.path().join("manager");
    let server = Manager::builder()
        .bind(path.as_path())
        .key(KEY)
        .serve()
        .unwrap();
    assert_eq!(mode(&path), 0o600);
    Manager::connect(path.as_path(), KEY)
        .unwrap()
        .dict()
        .unwrap();
    assert!(
        Manager::connect(path.as_path(), "k")
            .unwrap_err()
            .is_wrong_key()
    );
    assert_eq!(server.address(), &Address::Unix(path));
}

/// What isn't a handshake is not looked at further.
#[test]
fn garbage_before_the_handshake() {
    on_each(|| {
        let (server, address) = over_tcp();
        let manager = Manager::connect(address.as_str(), KEY).unwrap();
        let long = vec![0xff; 1 << 20];
        let nearly = [MAGIC.as_slice(), &[0; 63]].concat();
        let garbage: [&[u8]; 6] = [
            b"GET / HTTP/1.1\r\n\r\n",
            &[0; 16],
            &[0xff; 80],
            &long,
            &nearly,
            b"",
        ];
        for (count, bytes) in garbage.into_iter().enumerate() {
            let mut stream = ropewalk_rt::net::TcpStream::connect(address.as_str()).unwrap();
            // It may be thrown out before all is written.
            let _ = stream.write_all(bytes);
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let mut said = Vec::new();
            let _ = stream.read_to_end(&mut said);
            assert!(said.len() <= 48, "no more than a greeting: {said:?}");
            await_that("it to be counted", || {
                server.strangers() == count as u64 + 1
            });
        }
        assert_eq!(manager.stats().unwrap().clients, 1);
        assert_eq!(server.wrong_keys(), 0);
    });
}

/// Those who say nothing have few places, and not for long.
#[test]
fn silent_strangers_do_not_keep_others_out() {
    let builder = Manager::builder().bind("127.0.0.1:0").key(KEY);
    let builder = builder.handshake_timeout(Duration::from_millis(100));
    let server = builder.strangers_max(2).serve().unwrap();
    let address = server.address().to_string();
    let silent: Vec<_> = (0..5)
        .map(|_| TcpStream::connect(&address).unwrap())
        .collect();
    // On a busy machine it may itself be too slow, and is thrown out as they are.
    let mut late = 0;
    let manager = loop {
        match Manager::connect(address.as_str(), KEY) {
            Ok(manager) => break manager,
            Err(error) => assert!(matches!(error, Error::Io(_)), "{error}"),
        }
        late += 1;
        assert!(late < 50, "nobody gets in");
    };
    manager.dict().unwrap();
    await_that("all to be thrown out", || server.strangers() == 5 + late);
    for mut stream in silent {
        let mut said = Vec::new();
        stream.read_to_end(&mut said).unwrap();
        assert_eq!(said.len(), 48);
    }
    assert!(server.last_refusal().unwrap().contains("handshake"));
}

fn prove(role: &[u8], server: &[u8], client: &[u8], more: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(KEY.as_bytes()).unwrap();
    for part in [role, server, client, more] {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

/// The client's half of a handshake, by hand.
fn greet(stream: &mut TcpStream, nonce: &[u8; 32]) -> Vec<u8> {
    let mut greeting = [0; 48];
    stream.read_exact(&mut greeting).unwrap();
    assert_eq!(&greeting[..16], MAGIC);
    let proof = prove(b"ropewalk manager 1: client", &greeting[16..], nonce, &[]);
    [MAGIC.as_slice(), nonce, &proof].concat()
}

/// A proof that was seen on the wire is worth nothing in another connection, nor is the
/// server's own.
#[test]
fn a_proof_can_not_be_used_again() {
    let (server, address) = over_tcp();
    let mut first = TcpStream::connect(&address).unwrap();
    let seen = greet(&mut first, &[7; 32]);
    first.write_all(&seen).unwrap();
    let mut answer = [0; 41];
    first.read_exact(&mut answer).unwrap();
    assert_eq!(answer[0], b'+');

    let replies = [seen.clone(), [&seen[..48], &answer[9..]].concat()];
    for (count, reply) in replies.iter().enumerate() {
        let mut second = TcpStream::connect(&address).unwrap();
        second.write_all(reply).unwrap();
        let mut said = Vec::new();
        second.read_to_end(&mut said).unwrap();
        assert_eq!(said[48..], [b'-']);
        await_that("it to be counted", || {
            server.wrong_keys() == count as u64 + 1
        });
    }
}

/// Servers that don't know the key, speak otherwise, or say nothing.
#[test]
fn a_client_is_not_taken_in_by_another_server() {
    fn serve(answer: impl Fn(TcpStream) -> io::Result<()> + Send + 'static) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || answer(listener.accept()?.0));
        address
    }
    // It says that all is well, with a proof it can't have.
    let impostor = serve(|mut stream| {
        stream.write_all(&[MAGIC.as_slice(), &[1; 32]].concat())?;
        stream.read_exact(&mut [0; 80])?;
        stream.write_all(&[b"+", [2; 40].as_slice()].concat())?;
        stream.read_to_end(&mut Vec::new()).map(drop)
    });
    let refused = Manager::connect(impostor.as_str(), KEY).unwrap_err();
    assert!(refused.is_wrong_key(), "{refused}");
    // It sends the client's own proof back.
    let mirror = serve(|mut stream| {
        stream.write_all(&[MAGIC.as_slice(), &[1; 32]].concat())?;
        let mut said = [0; 80];
        stream.read_exact(&mut said)?;
        stream.write_all(&[b"+", [0; 8].as_slice(), &said[48..]].concat())?;
        stream.read_to_end(&mut Vec::new()).map(drop)
    });
    let refused = Manager::connect(mirror.as_str(), KEY).unwrap_err();
    assert!(refused.is_wrong_key(), "{refused}");
    for said in [b"HTTP/1.1 400 Bad Request\r\n\r\n".as_slice(), b"", b"rope"] {
        let other = serve(move |mut stream| stream.write_all(said));
        let refused = Manager::connect(other.as_str(), KEY).unwrap_err();
        assert!(matches!(refused, Error::Io(_)), "{refused}");
    }
    let silent = serve(|mut stream| stream.read_to_end(&mut Vec::new()).map(drop));
    let limit = Duration::from_millis(50);
    let ended = ropewalk_rt::cancel::timeout(limit, || Manager::connect(silent.as_str(), KEY));
    assert!(ended.unwrap_err().into_inner().unwrap_err().is_cancelled());
}

fn frame(number: u64, body: &[u8]) -> Vec<u8> {
    let len = (8 + body.len()) as u32;
    [&len.to_le_bytes(), number.to_le_bytes().as_slice(), body].concat()
}

fn let_in(address: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    let proof = greet(&mut stream, &[9; 32]);
    stream.write_all(&proof).unwrap();
    stream.read_exact(&mut [0; 41]).unwrap();
    stream
}

fn answer(stream: &mut TcpStream) -> (u64, Vec<u8>) {
    let mut head = [0; 12];
    stream.read_exact(&mut head).unwrap();
    let len = u32::from_le_bytes(head[..4].try_into().unwrap()) as usize;
    let mut body = vec![0; len - 8];
    stream.read_exact(&mut body).unwrap();
    (u64::from_le_bytes(head[4..].try_into().unwrap()), body)
}

/// A message that isn't a call is answered by an error, and the connection goes on; one that
/// isn't a frame ends it.
#[test]
fn nonsense_after_the_handshake() {
    let (server, address) = over_tcp();
    let mut stream = let_in(&address);
    let text = |body: &[u8]| String::from_utf8_lossy(body).into_owned();
    let deep = vec![0x91; 100_000];
    let huge_array = [0xdd, 0xff, 0xff, 0xff, 0xff];
    let nonsense: [&[u8]; 6] = [
        b"",
        b"\xc1",
        b"\xa5Hello",
        &deep,
        &huge_array,
        &[0x81, 0xa4],
    ];
    for (number, body) in nonsense.into_iter().enumerate() {
        let number = number as u64 + 1;
        stream.write_all(&frame(number, body)).unwrap();
        let (to, said) = answer(&mut stream);
        assert_eq!(to, number);
        assert!(text(&said).contains("BadRequest"), "{}", text(&said));
    }
    // A call: the unit variant `Stats`.
    stream.write_all(&frame(99, b"\xa5Stats")).unwrap();
    let (to, said) = answer(&mut stream);
    assert!(to == 99 && text(&said).contains("Stats"), "{}", text(&said));
    // Longer than allowed.
    stream.write_all(&u32::MAX.to_le_bytes()).unwrap();
    let (to, said) = answer(&mut stream);
    assert!(
        to == 0 && text(&said).contains("allowed"),
        "{}",
        text(&said)
    );
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);

    // Random bytes, some of them frames.
    let manager = server.manager().unwrap();
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..50 {
        let mut stream = let_in(&address);
        let mut bytes = Vec::new();
        for _ in 0..64 {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            bytes.extend(seed.to_le_bytes());
        }
        let body = frame(seed, &bytes);
        let _ = stream.write_all(&body);
        let _ = stream.write_all(&bytes);
    }
    await_stats(&manager, "all to be gone", |stats| stats.clients == 1);
}
