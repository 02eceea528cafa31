//! What goes through: of every size, of every type, and what can't.

use std::collections::BTreeMap;

use ropewalk_process::pipe::{PipeError, duplex, one_way};
use ropewalk_rt::{coroutine, scope};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::stage::on_each;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Order {
    Nothing,
    Many(Vec<(String, Option<i64>)>),
    Named { by: BTreeMap<u8, char> },
}

#[test]
fn typed_values_go_both_ways() {
    on_each(|| {
        let (here, there) = duplex::<Order, Result<u32, String>>().unwrap();
        let orders = [
            Order::Nothing,
            Order::Many(vec![("a".into(), None), (String::new(), Some(-7))]),
            Order::Named {
                by: [(1, 'x'), (9, '\u{1f9f6}')].into(),
            },
        ];
        let expected = orders.clone();
        let other = coroutine::spawn(move || {
            for order in &expected {
                assert_eq!(&there.recv().unwrap(), order);
                there.send(Err("no".into())).unwrap();
                there.send(Ok(8)).unwrap();
            }
            there.recv().unwrap_err().is_closed()
        });
        for order in orders {
            here.send(order).unwrap();
            assert_eq!(here.recv().unwrap(), Err("no".into()));
            assert_eq!(here.recv().unwrap(), Ok(8));
        }
        drop(here);
        assert!(other.join().unwrap());
    });
}

/// On both sides of every border: of the packet, of the socket's buffer.
#[test]
fn every_size_goes_through() {
    on_each(|| {
        let (sender, receiver) = one_way::<Vec<u8>>().unwrap();
        let sizes = [
            0, 1, 127, 128, 65_530, 65_531, 65_532, 65_533, 65_534, 65_536, 65_537, 200_000,
            212_992, 1_000_000,
        ];
        scope(|s| {
            s.spawn(|| {
                for size in sizes {
                    let message = (0..size).map(|n| (n ^ n >> 8) as u8).collect();
                    sender.send(message).unwrap();
                }
            });
            for size in sizes {
                let message = receiver.recv().unwrap();
                assert_eq!(message.len(), size);
                assert!(
                    message
                        .iter()
                        .enumerate()
                        .all(|(n, b)| *b == (n ^ n >> 8) as u8)
                );
            }
        });
    });
}

/// An empty message is a message, not the end.
#[test]
fn a_message_without_content_is_no_end() {
    on_each(|| {
        let (sender, receiver) = one_way::<()>().unwrap();
        for () in [(); 3] {
            sender.send(()).unwrap();
        }
        drop(sender);
        assert_eq!(receiver.iter().filter(Result::is_ok).count(), 3);
        assert!(receiver.recv().unwrap_err().is_closed());
    });
}

/// Many more messages wait in files than a process has descriptors for.
#[test]
fn large_messages_wait_for_each_other() {
    on_each(|| {
        let (sender, receiver) = one_way::<(u32, String)>().unwrap();
        const COUNT: u32 = 700;
        scope(|s| {
            s.spawn(|| {
                for number in 0..COUNT {
                    sender.send((number, "x".repeat(70_000))).unwrap();
                }
            });
            for number in 0..COUNT {
                let (got, text) = receiver.recv().unwrap();
                assert_eq!((got, text.len()), (number, 70_000));
            }
        });
    });
}

/// Is read as a pair; may be written as something else.
#[derive(Debug)]
struct Odd(Result<(u8, String), Vec<u8>>);

impl Serialize for Odd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Ok(pair) => pair.serialize(serializer),
            Err(bytes) => bytes.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Odd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Odd, D::Error> {
        Deserialize::deserialize(deserializer).map(|pair| Odd(Ok(pair)))
    }
}

/// A message that can't be read is an error, and only that one.
#[test]
fn a_bad_message_is_an_error_of_its_own() {
    on_each(|| {
        let (sender, receiver) = one_way::<Odd>().unwrap();
        sender.send(Odd(Ok((1, "good".into())))).unwrap();
        sender.send(Odd(Err(vec![200; 40]))).unwrap();
        sender.send(Odd(Err(vec![200; 100_000]))).unwrap();
        sender.send(Odd(Ok((2, "good".into())))).unwrap();
        drop(sender);
        let all: Vec<_> = receiver.iter().collect();
        let numbers: Vec<_> = all
            .iter()
            .map(|one| one.as_ref().ok().map(number))
            .collect();
        assert_eq!(numbers, [Some(1), None, None, Some(2)]);
        assert!(matches!(&all[1], Err(PipeError::Decode(_))), "{all:?}");
        assert!(all[2].as_ref().unwrap_err().is_of_message());
    });
}

fn number(odd: &Odd) -> u8 {
    odd.0.as_ref().expect("read as a pair").0
}

/// What can't be serialised comes back, and the pipe is as it was.
#[test]
fn what_cannot_be_serialised_comes_back() {
    struct Never;
    impl Serialize for Never {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("never"))
        }
    }
    on_each(|| {
        let (sender, _receiver) = one_way::<Never>().unwrap();
        let error = sender.send(Never).unwrap_err();
        assert!(matches!(&error.reason, PipeError::Encode(_)), "{error}");
        let Never = error.into_inner();
    });
}

/// Packets that no pipe has sent: each is an error of its own, and nothing of it stays open.
#[test]
fn forged_packets_are_errors_of_their_own() {
    use std::io::{IoSlice, Write};
    use std::mem::MaybeUninit;
    use std::os::fd::AsFd;

    use rustix::fs::{MemfdFlags, SealFlags};
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};

    on_each(|| {
        let (sender, receiver) = one_way::<String>().unwrap();
        let forge = |bytes: &[u8], file: Option<&std::fs::File>| {
            let fds: Vec<_> = file.iter().map(|file| file.as_fd()).collect();
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            if !fds.is_empty() {
                control.push(SendAncillaryMessage::ScmRights(&fds));
            }
            let bytes = [IoSlice::new(bytes)];
            let flags = SendFlags::empty();
            rustix::net::sendmsg(sender.as_fd(), &bytes, &mut control, flags).unwrap();
        };
        let file = |seals: SealFlags| {
            let flags = MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC;
            let mut file = std::fs::File::from(rustix::fs::memfd_create(c"x", flags).unwrap());
            file.write_all(b"\x04text").unwrap();
            rustix::fs::fcntl_add_seals(&file, seals).unwrap();
            file
        };
        let all = SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL;
        let by_file = |length: u64| [&[1][..], &length.to_le_bytes()].concat();

        forge(b"\0\x04text", None);
        assert_eq!(receiver.recv().unwrap(), "text");
        forge(&by_file(5), Some(&file(all)));
        assert_eq!(receiver.recv().unwrap(), "text");

        forge(b"\x02text", None);
        forge(b"\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", None);
        forge(&by_file(5), None);
        forge(&by_file(5)[..7], Some(&file(all)));
        forge(&by_file(4), Some(&file(all)));
        forge(&by_file(u64::MAX), Some(&file(all)));
        forge(&by_file(5), Some(&file(all - SealFlags::WRITE)));
        forge(&by_file(5), Some(&file(all - SealFlags::SHRINK)));
        forge(
            &by_file(5),
            Some(&std::fs::File::open("/dev/zero").unwrap()),
        );
        forge(&vec![0; 100_000], None);
        sender.send("good".into()).unwrap();
        for _ in 0..10 {
            let error = receiver.recv().unwrap_err();
            assert!(matches!(error, PipeError::Decode(_)), "{error:?}");
        }
        assert_eq!(receiver.recv().unwrap(), "good");
    });
}
