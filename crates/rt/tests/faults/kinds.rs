//! Which calls fail, with what, and what follows for the program.

use libc::{
    EADDRNOTAVAIL, EAGAIN, EBUSY, ECONNABORTED, ECONNRESET, EINTR, EINVAL, EIO, EMFILE,
    ENETUNREACH, ENFILE, ENOBUFS, ENOMEM, ENOSPC, ENOSYS, EPERM, EPIPE, ETIMEDOUT,
};
use ropewalk_rt::DriverKind;

/// A kind of system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Recv = 1,
    Send,
    Recvmsg,
    Sendmsg,
    RecvmsgWith,
    SendmsgWith,
    Recvmmsg,
    Sendmmsg,
    Sendfile,
    PidfdOpen,
    Readv,
    Writev,
    ReadvNowait,
    WritevNowait,
    Pipe,
    Socket,
    Accept,
    Connect,
    Poll,
    Select,
    EpollCreate,
    EpollCtl,
    EpollWait,
    Eventfd,
    UringSetup,
    UringEnter,
    Mmap,
    Madvise,
    Mprotect,
}

/// Who notices when a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Nobody: it is tried again, or done in another way.
    Nowhere,
    /// The start of the runtime.
    AtStart,
    /// The operation that needed it.
    InOperation,
    /// One of both.
    Somewhere,
}

impl Kind {
    /// What the call may plausibly fail with, and who notices.
    pub(crate) fn errors(self) -> &'static [(i32, Seen)] {
        use Seen::{AtStart, InOperation, Nowhere, Somewhere};
        match self {
            Kind::Recv | Kind::Recvmsg | Kind::RecvmsgWith | Kind::Recvmmsg => &[
                (EINTR, Nowhere),
                (ECONNRESET, InOperation),
                (ENOMEM, InOperation),
                (ETIMEDOUT, InOperation),
            ],
            Kind::Send | Kind::Sendmsg | Kind::SendmsgWith | Kind::Sendmmsg => &[
                (EINTR, Nowhere),
                (EPIPE, InOperation),
                (ENOBUFS, InOperation),
                (ENOMEM, InOperation),
            ],
            Kind::Sendfile => &[
                (EINTR, Nowhere),
                (EAGAIN, Nowhere),
                (EIO, InOperation),
                (ENOMEM, InOperation),
            ],
            Kind::PidfdOpen => &[(EMFILE, Nowhere), (ENOSYS, Nowhere), (EPERM, Nowhere)],
            Kind::Readv | Kind::ReadvNowait | Kind::Writev | Kind::WritevNowait => {
                &[(EINTR, Nowhere), (EIO, InOperation), (ENOMEM, InOperation)]
            }
            Kind::Pipe => &[(EMFILE, InOperation), (ENFILE, InOperation)],
            Kind::Socket => &[
                (EMFILE, InOperation),
                (ENFILE, InOperation),
                (ENOBUFS, InOperation),
                (ENOMEM, InOperation),
            ],
            Kind::Accept => &[
                (EINTR, Nowhere),
                (EMFILE, InOperation),
                (ENFILE, InOperation),
                (ENOBUFS, InOperation),
                (ENOMEM, InOperation),
                (ECONNABORTED, InOperation),
            ],
            Kind::Connect => &[
                (ENETUNREACH, InOperation),
                (EADDRNOTAVAIL, InOperation),
                (ENOBUFS, InOperation),
                (ENOMEM, InOperation),
            ],
            Kind::Poll => &[(EINTR, Nowhere), (ENOMEM, InOperation)],
            Kind::Select => &[(EINTR, Nowhere), (ENOMEM, Nowhere)],
            Kind::EpollCreate => &[(EMFILE, AtStart), (ENFILE, AtStart), (ENOMEM, AtStart)],
            Kind::EpollCtl => &[(ENOMEM, Somewhere), (ENOSPC, Somewhere)],
            Kind::EpollWait => &[(EINTR, Nowhere), (ENOMEM, Nowhere)],
            Kind::Eventfd => &[(EMFILE, AtStart), (ENFILE, AtStart), (ENOMEM, AtStart)],
            Kind::UringSetup => &[
                (ENOMEM, AtStart),
                (EMFILE, AtStart),
                (EPERM, AtStart),
                (ENOSYS, AtStart),
            ],
            Kind::UringEnter => &[
                (EINTR, Nowhere),
                (EAGAIN, Nowhere),
                (EBUSY, Nowhere),
                (ENOMEM, Nowhere),
            ],
            Kind::Mmap => &[(ENOMEM, Nowhere), (EAGAIN, Nowhere)],
            Kind::Madvise => &[(ENOMEM, Nowhere), (EINVAL, Nowhere)],
            Kind::Mprotect => &[(ENOMEM, Nowhere)],
        }
    }

    /// Says whether it is a call that only what passes things on makes; see `passing.rs`.
    pub(crate) fn is_passing(self) -> bool {
        matches!(
            self,
            Kind::RecvmsgWith
                | Kind::SendmsgWith
                | Kind::Recvmmsg
                | Kind::Sendmmsg
                | Kind::Sendfile
                | Kind::PidfdOpen
        )
    }

    /// Says whether the driver makes such calls at all.
    pub(crate) fn concerns(self, driver: DriverKind) -> bool {
        match self {
            Kind::EpollCreate | Kind::EpollCtl | Kind::EpollWait => driver == DriverKind::Epoll,
            Kind::Select => driver == DriverKind::Select,
            Kind::UringSetup | Kind::UringEnter => driver == DriverKind::IoUring,
            _ => true,
        }
    }
}
