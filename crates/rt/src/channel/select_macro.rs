//! `select!` and `select_biased!`.
//!
//! One inner macro takes the tokens apart arm by arm (`@parse`, `@body`), then binds a reference
//! for each arm (`@bind`; each level's names are its own by hygiene), waits (`@wait`), and finds
//! the arm that was selected (`@finish`). Bodies stand in the caller's own control flow, so
//! `break`, `return` and `?` work in them; and they stand where the references are no longer used,
//! so they may move or replace what was selected from.

/// Waits for the first of several operations, and runs that arm's body.
///
/// ```text
/// select! {
///     recv(receiver) -> result => body,         // Result<T, RecvError>
///     send(sender, message) -> result => body,  // Result<(), SendError<T>>
///     join(handle) -> result => body,           // Result<T, JoinError>; takes &mut handle
///     default => body,                          // if nothing can be done at once
///     default(duration) => body,                // or: if nothing could be done in time
/// }
/// ```
///
/// If several can be done, a random one is. The message of a send is evaluated only if that
/// arm is selected. An operation whose other side is gone can be done: it fails.
///
/// It is a cancellation point; cancelled, it selects an arm, whose operation fails. A list of
/// operations that is known only when the program runs is for
/// [`channel::Select`](crate::channel::Select).
///
/// # Panics
///
/// An arm that joins panics if the handle's value was taken before.
///
/// # Examples
///
/// ```
/// use ropewalk_rt::channel::{select, unbounded};
/// use std::time::Duration;
///
/// let (sender, receiver) = unbounded();
/// let mut worker = ropewalk_rt::spawn(move || sender.send(20).unwrap());
/// let (mut joined, mut received) = (false, 0);
/// while !joined || received == 0 {
///     select! {
///         recv(receiver) -> message => if let Ok(message) = message { received += message },
///         default(Duration::from_secs(5)) => panic!("nothing came"),
///     }
///     select! {
///         join(worker) -> result => joined = result.is_ok(),
///     }
/// }
/// assert_eq!(received, 20);
/// ```
#[macro_export]
macro_rules! select {
    ($($tokens:tt)*) => {
        $crate::__ropewalk_select!(@parse [false] [] [] $($tokens)*)
    };
}

/// As [`select!`](crate::select), but if several operations can be done, the first of them is.
#[macro_export]
macro_rules! select_biased {
    ($($tokens:tt)*) => {
        $crate::__ropewalk_select!(@parse [true] [] [] $($tokens)*)
    };
}

/// The name of crossbeam-channel's inner macro: code written for it calls that one where it
/// builds arms by a macro of its own.
#[doc(hidden)]
#[macro_export]
macro_rules! crossbeam_channel_internal {
    ($($tokens:tt)*) => {
        $crate::select!($($tokens)*)
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __ropewalk_select {
    // Taking apart: what comes before a body.
    (@parse $biased:tt [] []) => {
        ::core::compile_error!("`select!` needs an arm")
    };
    (@parse $biased:tt $arms:tt $default:tt) => {
        $crate::__ropewalk_select!(@run $biased $arms $default)
    };
    (@parse $biased:tt $arms:tt $default:tt
        recv($r:expr $(,)?) -> $result:pat => $($rest:tt)+
    ) => {
        $crate::__ropewalk_select!(@body $biased $arms $default [recv ($r) () $result] $($rest)+)
    };
    (@parse $biased:tt $arms:tt $default:tt
        send($s:expr, $m:expr $(,)?) -> $result:pat => $($rest:tt)+
    ) => {
        $crate::__ropewalk_select!(@body $biased $arms $default [send ($s) ($m) $result] $($rest)+)
    };
    (@parse $biased:tt $arms:tt $default:tt
        join($h:expr $(,)?) -> $result:pat => $($rest:tt)+
    ) => {
        $crate::__ropewalk_select!(@body $biased $arms $default [join ($h) () $result] $($rest)+)
    };
    (@parse $biased:tt $arms:tt [] default $(())? => $($rest:tt)+) => {
        $crate::__ropewalk_select!(@body $biased $arms [] [default ()] $($rest)+)
    };
    (@parse $biased:tt $arms:tt [] default($timeout:expr $(,)?) => $($rest:tt)+) => {
        $crate::__ropewalk_select!(@body $biased $arms [] [default ($timeout)] $($rest)+)
    };
    (@parse $biased:tt $arms:tt [$($default:tt)+] default $($rest:tt)*) => {
        ::core::compile_error!("`select!` takes one `default` arm")
    };
    (@parse $biased:tt $arms:tt $default:tt $($rest:tt)+) => {
        ::core::compile_error!(::core::concat!(
            "expected `recv(receiver) -> pattern => body`, `send(sender, message) -> pattern => \
             body`, `join(handle) -> pattern => body`, `default => body` or `default(timeout) => \
             body`, found `",
            ::core::stringify!($($rest)+),
            "`",
        ))
    };

    // Taking apart: the body. After a block the comma may be left out.
    (@body $biased:tt $arms:tt $default:tt $head:tt { $($body:tt)* } , $($rest:tt)*) => {
        $crate::__ropewalk_select!(@arm $biased $arms $default $head { $($body)* } $($rest)*)
    };
    (@body $biased:tt $arms:tt $default:tt $head:tt $body:expr, $($rest:tt)*) => {
        $crate::__ropewalk_select!(@arm $biased $arms $default $head { $body } $($rest)*)
    };
    (@body $biased:tt $arms:tt $default:tt $head:tt { $($body:tt)* } $($rest:tt)*) => {
        $crate::__ropewalk_select!(@arm $biased $arms $default $head { $($body)* } $($rest)*)
    };
    (@body $biased:tt $arms:tt $default:tt $head:tt $body:expr) => {
        $crate::__ropewalk_select!(@arm $biased $arms $default $head { $body })
    };
    (@body $biased:tt $arms:tt $default:tt $head:tt $($rest:tt)*) => {
        ::core::compile_error!(::core::concat!(
            "expected a body, and a comma unless it is a block, found `",
            ::core::stringify!($($rest)*),
            "`",
        ))
    };
    (@arm $biased:tt $arms:tt [] [default $timeout:tt] $body:tt $($rest:tt)*) => {
        $crate::__ropewalk_select!(@parse $biased $arms [$timeout $body] $($rest)*)
    };
    (@arm $biased:tt [$($arms:tt)*] $default:tt [$($head:tt)*] $body:tt $($rest:tt)*) => {
        $crate::__ropewalk_select!(@parse $biased [$($arms)* [$($head)* $body]] $default $($rest)*)
    };

    // A single receive needs no select.
    (@run $biased:tt [[recv ($r:expr) () $result:tt $body:tt]] []) => {
        match &$r {
            receiver => {
                let receiver: &$crate::channel::Receiver<_> = receiver;
                let result = receiver.recv();
                let $result = result;
                $body
            }
        }
    };
    (@run $biased:tt [[recv ($r:expr) () $result:tt $body:tt]] [() $default:tt]) => {
        match &$r {
            receiver => {
                let receiver: &$crate::channel::Receiver<_> = receiver;
                match receiver.try_recv() {
                    ::core::result::Result::Err($crate::channel::TryRecvError::Empty) => $default,
                    result => {
                        let result = result.map_err(|_| $crate::channel::RecvError);
                        let $result = result;
                        $body
                    }
                }
            }
        }
    };
    (@run $biased:tt [$($arms:tt)*] $default:tt) => {
        $crate::__ropewalk_select!(@bind $biased [$($arms)*] [] $default)
    };

    // A reference for each arm.
    (@bind $biased:tt [[recv ($r:expr) $($arm:tt)*] $($more:tt)*] [$($bound:tt)*] $default:tt) => {
        match &$r {
            receiver => {
                let receiver: &$crate::channel::Receiver<_> = receiver;
                $crate::__ropewalk_select!(
                    @bind $biased [$($more)*] [$($bound)* [recv receiver $($arm)*]] $default
                )
            }
        }
    };
    (@bind $biased:tt [[send ($s:expr) $($arm:tt)*] $($more:tt)*] [$($bound:tt)*] $default:tt) => {
        match &$s {
            sender => {
                let sender: &$crate::channel::Sender<_> = sender;
                $crate::__ropewalk_select!(
                    @bind $biased [$($more)*] [$($bound)* [send sender $($arm)*]] $default
                )
            }
        }
    };
    (@bind $biased:tt [[join ($h:expr) $($arm:tt)*] $($more:tt)*] [$($bound:tt)*] $default:tt) => {
        match &mut $h {
            handle => {
                let handle: &mut $crate::JoinHandle<_> = handle;
                $crate::__ropewalk_select!(
                    @bind $biased [$($more)*] [$($bound)* [join handle $($arm)*]] $default
                )
            }
        }
    };
    (@bind [$biased:tt] [] [$([$kind:ident $name:ident $($arm:tt)*])*] $default:tt) => {{
        let mut entries = $crate::channel::__select::entries([
            $($crate::channel::__select::$kind(&*$name)),*
        ]);
        $crate::__ropewalk_select!(
            @wait $biased entries [$([$kind $name $($arm)*])*] $default
        )
    }};

    // Waiting.
    (@wait $biased:tt $entries:ident $arms:tt []) => {{
        let operation = $crate::channel::__select::select(&mut $entries, $biased);
        $crate::__ropewalk_select!(@finish operation (0) $arms)
    }};
    (@wait $biased:tt $entries:ident $arms:tt [() $body:tt]) => {{
        let selected = $crate::channel::__select::try_select(&mut $entries, $biased);
        $crate::__ropewalk_select!(@either selected $arms $body)
    }};
    (@wait $biased:tt $entries:ident $arms:tt [($timeout:expr) $body:tt]) => {{
        let selected = $crate::channel::__select::select_timeout(&mut $entries, $timeout, $biased);
        $crate::__ropewalk_select!(@either selected $arms $body)
    }};

    // All of it is moved on either way: what would be dropped behind a body would still borrow.
    (@either $selected:ident $arms:tt $body:tt) => {
        if $selected.is_none() {
            ::core::mem::forget($selected);
            $body
        } else {
            let operation = $crate::channel::__select::some($selected);
            $crate::__ropewalk_select!(@finish operation (0) $arms)
        }
    };

    // The arm that was selected.
    (@finish $operation:ident $index:tt
        [[recv $receiver:ident () $result:tt $body:tt] $($more:tt)*]
    ) => {
        if $operation.index() == $index {
            let result = $operation.recv($receiver);
            let $result = result;
            $body
        } else {
            $crate::__ropewalk_select!(@finish $operation ($index + 1) [$($more)*])
        }
    };
    (@finish $operation:ident $index:tt
        [[send $sender:ident ($message:expr) $result:tt $body:tt] $($more:tt)*]
    ) => {
        if $operation.index() == $index {
            let result = $operation.send($sender, $message);
            let $result = result;
            $body
        } else {
            $crate::__ropewalk_select!(@finish $operation ($index + 1) [$($more)*])
        }
    };
    (@finish $operation:ident $index:tt
        [[join $handle:ident () $result:tt $body:tt] $($more:tt)*]
    ) => {
        if $operation.index() == $index {
            $crate::channel::__select::ended($operation);
            let result = $crate::channel::__select::outcome($handle);
            let $result = result;
            $body
        } else {
            $crate::__ropewalk_select!(@finish $operation ($index + 1) [$($more)*])
        }
    };
    (@finish $operation:ident $index:tt []) => {{
        $crate::channel::__select::ended($operation);
        ::core::unreachable!("an operation that is none of the arms")
    }};
}

/// What the macros' expansions call.
pub mod support {
    use std::time::Duration;

    use ropewalk_kernel::clock;
    use ropewalk_kernel::outcome::JoinError;

    pub use super::super::select::Entry;
    use super::super::select::{SelectedOperation, Wait, run_select};
    use super::super::{Receiver, Sender};
    use crate::join::JoinHandle;

    /// An arm that receives.
    pub fn recv<T>(receiver: &Receiver<T>) -> Entry<'_> {
        Entry::new(receiver, 0)
    }

    /// An arm that sends.
    pub fn send<T>(sender: &Sender<T>) -> Entry<'_> {
        Entry::new(sender, 0)
    }

    /// An arm that joins.
    pub fn join<T>(handle: &JoinHandle<T>) -> Entry<'_> {
        Entry::new(handle, 0)
    }

    /// The arms, each with its index.
    pub fn entries<const COUNT: usize>(mut entries: [Entry<'_>; COUNT]) -> [Entry<'_>; COUNT] {
        for (index, entry) in entries.iter_mut().enumerate() {
            entry.index = index;
        }
        entries
    }

    /// Waits for one of `entries`, which there are.
    pub fn select<'a>(entries: &mut [Entry<'a>], biased: bool) -> SelectedOperation<'a> {
        run_select(entries, Wait::Until(None), biased).expect("a select without a deadline")
    }

    /// Tries `entries`.
    pub fn try_select<'a>(
        entries: &mut [Entry<'a>],
        biased: bool,
    ) -> Option<SelectedOperation<'a>> {
        run_select(entries, Wait::Now, biased)
    }

    /// Waits for one of `entries`, for a while.
    pub fn select_timeout<'a>(
        entries: &mut [Entry<'a>],
        timeout: Duration,
        biased: bool,
    ) -> Option<SelectedOperation<'a>> {
        let deadline = clock::deadline_after(timeout);
        run_select(entries, Wait::Until(Some(deadline)), biased)
    }

    /// The operation that was selected.
    pub fn some(selected: Option<SelectedOperation<'_>>) -> SelectedOperation<'_> {
        selected.expect("it was looked at before")
    }

    /// Completes the operation at an arm that joins.
    pub fn ended(operation: SelectedOperation<'_>) {
        drop(operation.into_token());
    }

    /// The outcome of a task whose end was selected.
    pub fn outcome<T>(handle: &mut JoinHandle<T>) -> Result<T, JoinError> {
        handle.take_selected()
    }
}
