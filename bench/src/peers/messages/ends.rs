//! The channels that are used by plain calls: what each calls its ends and its operations.

/// The ends of a channel.
pub(super) trait Ends {
    /// The sending end.
    type Sender: Clone + Send + 'static;
    /// The receiving end.
    type Receiver: Send + 'static;
    /// With room for so many; without a limit for `None`.
    fn make(capacity: Option<usize>) -> (Self::Sender, Self::Receiver);
    /// A second receiver, where there can be one.
    fn another(receiver: &Self::Receiver) -> Option<Self::Receiver>;
    /// Sends; the receivers are there.
    fn send(sender: &Self::Sender, message: u64);
    /// `None` once the senders are gone.
    fn recv(receiver: &Self::Receiver) -> Option<u64>;
}

/// A channel with a `select`.
pub(super) trait Select: Ends {
    /// Takes a message from whichever of two or eight receivers has one.
    fn select(receivers: &[Self::Receiver]) -> u64;
}

/// For channels whose two ends are both to be cloned, with `bounded` and `unbounded`.
macro_rules! ends_of_both_kinds {
    ($name:ident, $library:ident $(:: $module:ident)*) => {
        impl Ends for $name {
            type Sender = $library$(::$module)*::Sender<u64>;
            type Receiver = $library$(::$module)*::Receiver<u64>;

            fn make(capacity: Option<usize>) -> (Self::Sender, Self::Receiver) {
                match capacity {
                    Some(capacity) => $library$(::$module)*::bounded(capacity),
                    None => $library$(::$module)*::unbounded(),
                }
            }

            fn another(receiver: &Self::Receiver) -> Option<Self::Receiver> {
                Some(receiver.clone())
            }

            fn send(sender: &Self::Sender, message: u64) {
                sender.send(message).expect("a receiver");
            }

            fn recv(receiver: &Self::Receiver) -> Option<u64> {
                receiver.recv().ok()
            }
        }
    };
}

/// For libraries with a macro `select!` in crossbeam's form.
macro_rules! select_by_macro {
    ($name:ident, $library:ident) => {
        impl Select for $name {
            fn select(receivers: &[Self::Receiver]) -> u64 {
                match receivers {
                    [a, b] => $library::select! {
                        recv(a) -> message => message,
                        recv(b) -> message => message,
                    },
                    [a, b, c, d, e, f, g, h] => $library::select! {
                        recv(a) -> message => message,
                        recv(b) -> message => message,
                        recv(c) -> message => message,
                        recv(d) -> message => message,
                        recv(e) -> message => message,
                        recv(f) -> message => message,
                        recv(g) -> message => message,
                        recv(h) -> message => message,
                    },
                    _ => unreachable!("two or eight receivers"),
                }
                .expect("a sender")
            }
        }
    };
}

/// `ropewalk::channel`.
pub(super) struct Ropewalk;
ends_of_both_kinds!(Ropewalk, ropewalk::channel);
select_by_macro!(Ropewalk, ropewalk);

/// crossbeam-channel.
pub(super) struct Crossbeam;
ends_of_both_kinds!(Crossbeam, crossbeam_channel);
select_by_macro!(Crossbeam, crossbeam_channel);

/// flume.
pub(super) struct Flume;
ends_of_both_kinds!(Flume, flume);

impl Select for Flume {
    fn select(receivers: &[Self::Receiver]) -> u64 {
        let selector = receivers
            .iter()
            .fold(flume::Selector::new(), |selector, receiver| {
                selector.recv(receiver, |message| message)
            });
        selector.wait().expect("a sender")
    }
}

/// `std::sync::mpsc`.
pub(super) struct Std;

/// std has two types of senders.
#[derive(Clone)]
pub(super) enum StdSender {
    Bounded(std::sync::mpsc::SyncSender<u64>),
    Unbounded(std::sync::mpsc::Sender<u64>),
}

impl Ends for Std {
    type Sender = StdSender;
    type Receiver = std::sync::mpsc::Receiver<u64>;

    fn make(capacity: Option<usize>) -> (Self::Sender, Self::Receiver) {
        match capacity {
            Some(capacity) => {
                let (sender, receiver) = std::sync::mpsc::sync_channel(capacity);
                (StdSender::Bounded(sender), receiver)
            }
            None => {
                let (sender, receiver) = std::sync::mpsc::channel();
                (StdSender::Unbounded(sender), receiver)
            }
        }
    }

    fn another(_: &Self::Receiver) -> Option<Self::Receiver> {
        None
    }

    fn send(sender: &Self::Sender, message: u64) {
        match sender {
            StdSender::Bounded(sender) => sender.send(message),
            StdSender::Unbounded(sender) => sender.send(message),
        }
        .expect("a receiver");
    }

    fn recv(receiver: &Self::Receiver) -> Option<u64> {
        receiver.recv().ok()
    }
}

/// For may's channels, none of which has a limit.
macro_rules! may_ends {
    ($name:ident, $module:ident, $another:expr) => {
        impl Ends for $name {
            type Sender = may::sync::$module::Sender<u64>;
            type Receiver = may::sync::$module::Receiver<u64>;

            fn make(capacity: Option<usize>) -> (Self::Sender, Self::Receiver) {
                assert_eq!(capacity, None, "may's channels have no limit");
                may::sync::$module::channel()
            }

            fn another(receiver: &Self::Receiver) -> Option<Self::Receiver> {
                let another: fn(&Self::Receiver) -> Option<Self::Receiver> = $another;
                another(receiver)
            }

            fn send(sender: &Self::Sender, message: u64) {
                sender.send(message).expect("a receiver");
            }

            fn recv(receiver: &Self::Receiver) -> Option<u64> {
                receiver.recv().ok()
            }
        }
    };
}

/// `may::sync::mpsc`.
pub(super) struct MayMpsc;
may_ends!(MayMpsc, mpsc, |_| None);

/// `may::sync::mpmc`.
pub(super) struct MayMpmc;
may_ends!(MayMpmc, mpmc, |receiver| Some(receiver.clone()));
