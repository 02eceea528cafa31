//! From the path of a request to a file below the root: decoding, what is refused, and opening
//! without ever leaving the root.
//!
//! Refused before the file system is asked: bad percent-encoding, NUL and other control bytes,
//! backslashes, an encoded slash, `.` and `..` segments (a client resolves its own; what is left is
//! somebody probing). Names that start with a dot are not there, unless allowed; `.well-known` always
//! is.
//!
//! Opening uses `openat2(2)` with `RESOLVE_BENEATH`: the kernel itself refuses to follow a symbolic
//! link or `..` out of the root, without a gap between looking and opening. A link it refuses (an
//! absolute one, say) may still point inside: then the canonical path is taken, checked to be below
//! the root, and opened with no links at all. Where `openat2` is not to be had (a seccomp filter),
//! that second way is the only one, with `O_NOFOLLOW`.
//!
//! A path whose components are all in the kernel's cache is opened at once (`RESOLVE_CACHED`); any
//! other on a thread of the blocking pool, while only the coroutine waits.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, percent_encode};
use ropewalk_rt::unblock;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// Bytes of a file name that don't stand for themselves in a path.
const ESCAPED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'&')
    .add(b'\'')
    .add(b'+')
    .add(b'/')
    .add(b':')
    .add(b';')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// A request's path, decoded and found harmless.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// The path below the root; empty for the root itself.
    pub(super) relative: PathBuf,
    /// The path asked for ended in a slash (or was empty): a folder is meant.
    pub(super) wants_folder: bool,
}

/// Why a path is not looked up at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// No client of good will sends this: 400.
    Malformed,
    /// A dotfile, where those are not shown: 404.
    Hidden,
}

/// Decodes `path`, the path of a request's URI.
///
/// Empty segments are skipped, as they are by the file system.
pub(super) fn decode(path: &str, dotfiles: bool) -> Result<Target, Refused> {
    let mut relative = PathBuf::new();
    for segment in path.split('/').filter(|segment| !segment.is_empty()) {
        if !percents_are_valid(segment.as_bytes()) {
            return Err(Refused::Malformed);
        }
        let name: Vec<u8> = percent_decode_str(segment).collect();
        let harmful = |&b: &u8| b < 0x20 || b == 0x7f || b == b'/' || b == b'\\';
        if name == b"." || name == b".." || name.iter().any(harmful) {
            return Err(Refused::Malformed);
        }
        if name.starts_with(b".") && !dotfiles && name != b".well-known" {
            return Err(Refused::Hidden);
        }
        relative.push(OsStr::from_bytes(&name));
    }
    Ok(Target {
        relative,
        wants_folder: path.is_empty() || path.ends_with('/'),
    })
}

/// Tells whether every `%` is followed by two hexadecimal digits.
fn percents_are_valid(segment: &[u8]) -> bool {
    let mut rest = segment;
    while let Some(at) = memchr::memchr(b'%', rest) {
        match rest.get(at + 1..at + 3) {
            Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => rest = &rest[at + 3..],
            _ => return false,
        }
    }
    true
}

/// Encodes a file name as one segment of a path. Nothing in it can end a quoted attribute, start a
/// query or a fragment, or look like a scheme.
pub(super) fn encode(name: &OsStr) -> String {
    percent_encode(name.as_bytes(), ESCAPED).to_string()
}

/// A folder nothing is opened outside of.
#[derive(Debug)]
pub(super) struct Root {
    path: PathBuf,
    dir: OwnedFd,
}

impl Root {
    /// Opens the root. It stays the same folder even if its path comes to name another.
    pub(super) fn open(path: &Path) -> io::Result<Root> {
        let path = fs::canonicalize(path)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::openat(CWD, &path, flags, Mode::empty())?;
        Ok(Root { path, dir })
    }

    /// Opens a file or folder below the root for reading, following symbolic links only as long as
    /// they stay below.
    ///
    /// Never waits for the other end of a FIFO; whether it is a regular file is for the caller to see.
    ///
    /// # Errors
    /// `NotFound` for what isn't there and for what is elsewhere, so that nobody can tell which.
    pub(super) fn open_below(&self, relative: &Path) -> io::Result<File> {
        let relative = if relative.as_os_str().is_empty() {
            Path::new(".")
        } else {
            relative
        };
        match self.open_beneath(relative, ResolveFlags::CACHED) {
            Ok(file) => Ok(file),
            // The usual answer to a name that isn't there, once that is known.
            Err(Errno::NOENT) => Err(io::ErrorKind::NotFound.into()),
            // Not in the cache; or a kernel before 5.12 (EINVAL); or anything else to look into.
            Err(_) => unblock(
                || match self.open_beneath(relative, ResolveFlags::empty()) {
                    Err(Errno::XDEV | Errno::NOSYS | Errno::PERM) => self.open_canonical(relative),
                    result => result.map_err(outside_is_absent),
                },
            ),
        }
    }

    fn open_beneath(&self, relative: &Path, more: ResolveFlags) -> Result<File, Errno> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | more;
        loop {
            match rustix::fs::openat2(&self.dir, relative, FLAGS, Mode::empty(), resolve) {
                Err(Errno::INTR) => {}
                // Somebody renamed on the way and the kernel could not be sure: look again.
                Err(Errno::AGAIN) if !resolve.contains(ResolveFlags::CACHED) => {}
                result => return result.map(File::from),
            }
        }
    }

    /// The second way, see the file's opening comment.
    fn open_canonical(&self, relative: &Path) -> io::Result<File> {
        let canonical = fs::canonicalize(self.path.join(relative))
            .map_err(|e| Errno::from_io_error(&e).map_or(e, outside_is_absent))?;
        let Ok(inside) = canonical.strip_prefix(&self.path) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let inside = if inside.as_os_str().is_empty() {
            Path::new(".")
        } else {
            inside
        };
        match self.open_beneath(inside, ResolveFlags::NO_SYMLINKS) {
            Err(Errno::NOSYS | Errno::PERM) => {
                let flags = FLAGS | OFlags::NOFOLLOW;
                rustix::fs::openat(CWD, &canonical, flags, Mode::empty())
                    .map(File::from)
                    .map_err(outside_is_absent)
            }
            result => result.map_err(outside_is_absent),
        }
    }
}

/// Without NONBLOCK, opening a FIFO waits for a writer.
const FLAGS: OFlags = OFlags::RDONLY
    .union(OFlags::CLOEXEC)
    .union(OFlags::NOCTTY)
    .union(OFlags::NONBLOCK);

fn outside_is_absent(errno: Errno) -> io::Error {
    match errno {
        // Out of the root; a loop of links; a file where a folder should be; a name too long; a
        // socket or a device without a driver.
        Errno::XDEV
        | Errno::LOOP
        | Errno::NOTDIR
        | Errno::NAMETOOLONG
        | Errno::NXIO
        | Errno::NODEV => io::ErrorKind::NotFound.into(),
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::fs::symlink;

    #[test]
    fn decoded() {
        for (path, relative, wants_folder) in [
            ("", "", true),
            ("/", "", true),
            ("/a", "a", false),
            ("/a/", "a", true),
            ("/a/b.txt", "a/b.txt", false),
            ("//a///b", "a/b", false),
            ("/a%20b", "a b", false),
            ("/%C3%A9", "é", false),
            ("/a+b", "a+b", false),
            ("/a%25b", "a%b", false),
            ("/a%2525", "a%25", false),
            ("/...", "", false),
            ("/a..b", "a..b", false),
            ("/.well-known/x", ".well-known/x", false),
        ] {
            if path == "/..." {
                assert_eq!(decode(path, false), Err(Refused::Hidden));
                continue;
            }
            let expected = Target {
                relative: relative.into(),
                wants_folder,
            };
            assert_eq!(decode(path, false), Ok(expected), "{path}");
        }
        let raw = decode("/%ff", false).unwrap();
        assert_eq!(raw.relative.as_os_str().as_bytes(), b"\xff");
    }

    #[test]
    fn refused() {
        for path in [
            "/..",
            "/../",
            "/../etc/passwd",
            "/a/../../etc/passwd",
            "/a/..",
            "/.",
            "/a/./b",
            "/%2e%2e/etc/passwd",
            "/%2E%2E/",
            "/.%2e/",
            "/%2e",
            "/..%2fetc",
            "/a%2f..%2fb",
            "/a%2Fb",
            "/..\\etc",
            "/a\\b",
            "/..%5cetc",
            "/a%5C..%5Cb",
            "/%00",
            "/a%00.txt",
            "/a%0d%0ab",
            "/%7f",
            "/%",
            "/%2",
            "/%zz",
            "/a%2",
        ] {
            assert_eq!(decode(path, true), Err(Refused::Malformed), "{path}");
            assert_eq!(decode(path, false), Err(Refused::Malformed), "{path}");
        }
    }

    #[test]
    fn dotfiles() {
        for path in [
            "/.git/config",
            "/a/.env",
            "/.hidden",
            "/%2ehidden",
            "/.well-known-not",
        ] {
            assert_eq!(decode(path, false), Err(Refused::Hidden), "{path}");
            assert!(decode(path, true).is_ok(), "{path}");
        }
    }

    #[test]
    fn encoding_is_undone_by_decoding() {
        let every: Vec<u8> = (1..=255)
            .filter(|&b| !matches!(b, 0..0x20 | 0x7f | b'/' | b'\\'))
            .collect();
        let encoded = encode(OsStr::from_bytes(&every));
        assert!(
            encoded.is_ascii() && !encoded.contains(['"', '\'', '<', '>', '&', '?', '#', ':', ' '])
        );
        assert_eq!(
            decode(&encoded, true)
                .unwrap()
                .relative
                .as_os_str()
                .as_bytes(),
            every
        );
    }

    /// Everything that must not be reached from the root, and what may be.
    #[test]
    fn never_outside_the_root() {
        let outer = std::env::temp_dir().join(format!("ropewalk-outside-{}", std::process::id()));
        let root = outer.join("root");
        fs::create_dir_all(root.join("sub/deep")).unwrap();
        fs::write(outer.join("secret"), "secret").unwrap();
        fs::write(root.join("open"), "open").unwrap();
        fs::write(root.join("sub/file"), "sub").unwrap();
        for (link, to) in [
            ("to-secret", "../secret"),
            ("to-outside", ".."),
            ("to-etc", "/etc"),
            ("through", "sub/../../secret"),
            ("loop", "loop"),
            ("dangling", "nowhere"),
            ("to-sub", "sub"),
            ("sub/up", "../open"),
        ] {
            symlink(to, root.join(link)).unwrap();
        }
        symlink(root.join("open"), root.join("absolute")).unwrap();
        symlink(outer.join("secret"), root.join("absolute-secret")).unwrap();
        symlink("/proc/self/root/etc/passwd", root.join("magic")).unwrap();
        rustix::fs::mkfifoat(CWD, root.join("fifo"), Mode::RUSR | Mode::WUSR).unwrap();

        let opened = Root::open(&root).unwrap();
        let read = |path: &str, open: &dyn Fn(&Path) -> io::Result<File>| {
            let mut text = String::new();
            open(Path::new(path))
                .and_then(|mut f| f.read_to_string(&mut text))
                .map(|_| text)
        };
        type Open<'a> = &'a dyn Fn(&Path) -> io::Result<File>;
        let beneath: Open = &|path| opened.open_below(path);
        let canonical: Open = &|path| opened.open_canonical(path);
        for open in [beneath, canonical] {
            for (path, text) in [
                ("open", "open"),
                ("sub/file", "sub"),
                ("to-sub/file", "sub"),
                ("sub/up", "open"),
                ("absolute", "open"),
            ] {
                assert_eq!(read(path, open).unwrap(), text, "{path}");
            }
            for path in [
                "to-secret",
                "to-outside/secret",
                "to-outside/root/open/x",
                "to-etc/passwd",
                "through",
                "absolute-secret",
                "magic",
                "loop",
                "dangling",
                "nowhere",
                "open/below",
            ] {
                let error = read(path, open).expect_err(path);
                assert_eq!(error.kind(), io::ErrorKind::NotFound, "{path}: {error:?}");
            }
            assert!(
                !open(Path::new("fifo"))
                    .unwrap()
                    .metadata()
                    .unwrap()
                    .is_file()
            );
            assert!(open(Path::new("")).unwrap().metadata().unwrap().is_dir());
        }
        fs::remove_dir_all(&outer).unwrap();
    }
}
