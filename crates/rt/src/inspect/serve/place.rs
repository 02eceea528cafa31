//! Where sockets lie: `$XDG_RUNTIME_DIR/ropewalk/<pid>.sock`, else `/tmp/ropewalk-<uid>/<pid>.sock`.
//!
//! The folder is this user's, for nobody else to enter, and no symbolic link: so nobody can put a
//! socket of theirs into it, nor take away ours. Sockets that a process left behind are removed
//! by the next one that listens: when there is no such process *and* nobody accepts on it. The
//! second look is for containers that share the folder but not the process ids.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};

/// How many entries of the folder are looked at for stale ones.
const ENTRIES_MAX: usize = 4096;

/// Makes the folder for sockets if need be, and returns it.
pub(super) fn folder() -> io::Result<PathBuf> {
    if let Some(base) = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from) {
        // After `su` it may still be somebody else's.
        let ours = fs::metadata(&base).is_ok_and(|base| base.is_dir() && base.uid() == own_uid());
        if base.is_absolute() && ours {
            let folder = base.join("ropewalk");
            return prepare(&folder).map(|()| folder);
        }
    }
    let folder = PathBuf::from(format!("/tmp/ropewalk-{}", own_uid()));
    prepare(&folder).map(|()| folder)
}

/// Makes `folder` for this user only, or checks that it is so.
fn prepare(folder: &Path) -> io::Result<()> {
    let explain =
        |e: io::Error| io::Error::new(e.kind(), format!("cannot use {}: {e}", folder.display()));
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(explain(e)),
        _ => {}
    }
    let there = fs::symlink_metadata(folder).map_err(explain)?;
    let wrong = if !there.is_dir() {
        "it is not a folder"
    } else if there.uid() != own_uid() {
        "it belongs to another user"
    } else if there.mode() & 0o077 != 0 {
        "others may enter it: remove it, or take away their permissions (chmod 700)"
    } else {
        return Ok(());
    };
    Err(explain(io::Error::new(
        io::ErrorKind::PermissionDenied,
        wrong,
    )))
}

/// Listens on this process's socket in `folder`.
pub(super) fn listen(folder: &Path) -> io::Result<(UnixListener, PathBuf)> {
    remove_stale(folder);
    let path = folder.join(format!("{}.sock", std::process::id()));
    let explain = |e: io::Error| {
        io::Error::new(
            e.kind(),
            format!("cannot listen on {}: {e}", path.display()),
        )
    };
    if path.symlink_metadata().is_ok() {
        if !is_dead(&path) {
            return Err(explain(io::Error::new(
                io::ErrorKind::AddrInUse,
                "another process listens there",
            )));
        }
        // It is from an earlier process of the same number.
        fs::remove_file(&path).map_err(explain)?;
    }
    let listener = UnixListener::bind(&path).map_err(explain)?;
    // Nobody else could have come in before: the folder is closed to them.
    fs::set_permissions(&path, Permissions::from_mode(0o600)).map_err(explain)?;
    Ok((listener, path))
}

/// Removes the sockets of processes that are no more.
fn remove_stale(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.take(ENTRIES_MAX).flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_suffix(".sock"));
        let Some(pid) = pid.and_then(|pid| pid.parse::<u32>().ok()) else {
            continue;
        };
        let path = entry.path();
        if pid != std::process::id() && !exists(pid) && is_dead(&path) {
            let _ = fs::remove_file(path);
        }
    }
}

/// Says whether there is a process with this number.
fn exists(pid: u32) -> bool {
    let Ok(pid @ 1..) = i32::try_from(pid) else {
        return false;
    };
    // SAFETY: signal 0 is never sent, only looked whether it could be.
    let answer = unsafe { libc::kill(pid, 0) };
    answer == 0 || io::Error::last_os_error().raw_os_error() != Some(libc::ESRCH)
}

/// Says whether nobody can accept connections at `path` any more.
fn is_dead(path: &Path) -> bool {
    let Ok(address) = SockAddr::unix(path) else {
        return false;
    };
    let Ok(socket) = Socket::new(Domain::UNIX, Type::STREAM, None) else {
        return false;
    };
    // A full queue of connections must not hold us up.
    let refused = socket
        .set_nonblocking(true)
        .and_then(|()| socket.connect(&address));
    refused.is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused)
}

/// The user this process acts as.
pub(super) fn own_uid() -> u32 {
    // SAFETY: it can't fail.
    unsafe { libc::geteuid() }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A folder for a test, removed at its end.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Scratch {
            let name = format!("ropewalk-place-{}-{name}", std::process::id());
            let path = std::env::temp_dir().join(name);
            // What an earlier process of this number has left.
            let _ = fs::remove_dir_all(&path);
            fs::create_dir(&path).unwrap();
            // Whatever the mask of this process says.
            fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
            Scratch(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_folder_is_made_for_this_user_only() {
        let scratch = Scratch::new("made");
        let folder = scratch.0.join("ropewalk");
        prepare(&folder).unwrap();
        assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
        prepare(&folder).unwrap();
        let (_listener, path) = listen(&folder).unwrap();
        assert_eq!(fs::metadata(path).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_folder_that_others_could_enter_is_refused() {
        let scratch = Scratch::new("refused");
        let open = scratch.0.join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, Permissions::from_mode(0o755)).unwrap();
        let closed = scratch.0.join("closed");
        prepare(&closed).unwrap();
        let link = scratch.0.join("link");
        symlink(&closed, &link).unwrap();
        let file = scratch.0.join("file");
        fs::write(&file, "").unwrap();
        for (path, said) in [
            (open, "others"),
            (link, "not a folder"),
            (file, "not a folder"),
        ] {
            let error = prepare(&path).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
            assert!(error.to_string().contains(said), "{error}");
        }
        // Root's own.
        if own_uid() != 0 {
            assert!(prepare(Path::new("/root")).is_err() && prepare(Path::new("/proc")).is_err());
        }
    }

    #[test]
    fn only_dead_sockets_are_removed() {
        let scratch = Scratch::new("stale");
        prepare(&scratch.0).unwrap_err();
        fs::set_permissions(&scratch.0, Permissions::from_mode(0o700)).unwrap();
        // No process has such a number: it is above the kernel's own limit.
        let nobody = 1 << 30;
        let stale = scratch.0.join(format!("{nobody}.sock"));
        drop(UnixListener::bind(&stale).unwrap());
        let elsewhere = scratch.0.join(format!("{}.sock", nobody + 1));
        let _accepting = UnixListener::bind(&elsewhere).unwrap();
        let of_a_living_one = scratch.0.join("1.sock");
        drop(UnixListener::bind(&of_a_living_one).unwrap());
        let other = scratch.0.join("notes");
        fs::write(&other, "").unwrap();
        let own = scratch.0.join(format!("{}.sock", std::process::id()));
        drop(UnixListener::bind(&own).unwrap());

        let (_listener, path) = listen(&scratch.0).unwrap();
        assert_eq!(path, own);
        assert!(!stale.exists());
        assert!(elsewhere.exists() && of_a_living_one.exists() && other.exists());
        let again = listen(&scratch.0).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AddrInUse);
    }
}
