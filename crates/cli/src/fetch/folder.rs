//! `-o DIR`: bodies in files.
//!
//! A body is written under a temporary name (`.ropewalk-<pid>-<n>.part`) and renamed when it is
//! complete, so a file with a URL's name is always whole. What is given up is removed; only a process
//! that is killed outright leaves temporary files behind.
//!
//! **Names.** A name is the URL written so that it is one safe path component and can be read back:
//! `https://example.com/a/b.html` becomes `https_example.com_a_b.html`: letters, digits, `.` and `-`
//! stay, `/` (and `://`) becomes `_`, every other byte `%XX`. Different URLs therefore have different
//! names. What would be longer than [`NAME_BYTES_MAX`], or holds a password, ends in `~` and a
//! 128-bit hash of the whole URL instead. The fragment, which no server sees, is left out. The same
//! URL twice is the same file: the last one to arrive stays.
//!
//! Files are written through `ropewalk::fs`: a disk that is slow to take them holds up who writes,
//! not the worker with all its other fetches.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use ropewalk::cancel;
use ropewalk::fs::{self, File};
use url::Url;

/// Longest name given out; Linux takes 255.
const NAME_BYTES_MAX: usize = 200;

/// The folder that takes the bodies.
pub(crate) struct Folder {
    dir: PathBuf,
    /// Held for a moment only, never across a write.
    parts: Mutex<Parts>,
}

#[derive(Default)]
struct Parts {
    open: BTreeSet<PathBuf>,
    number: u64,
    abandoned: bool,
}

/// A body on its way into the folder; removed when dropped without [`Part::commit`].
pub(crate) struct Part<'a> {
    folder: &'a Folder,
    path: PathBuf,
    file: File,
}

impl Folder {
    /// Opens `dir`, creating it (and its parents) if it isn't there, and makes sure that files can
    /// be made in it.
    ///
    /// # Errors
    /// As [`fs::create_dir_all`] and [`File::create`]; also when something else has that name.
    pub(crate) fn open(dir: &Path) -> io::Result<Folder> {
        fs::create_dir_all(dir)?;
        let folder = Folder {
            dir: dir.to_owned(),
            parts: Mutex::default(),
        };
        folder.begin()?;
        Ok(folder)
    }

    /// Starts a temporary file.
    ///
    /// # Errors
    /// When it can't be created, or everything was abandoned.
    pub(crate) fn begin(&self) -> io::Result<Part<'_>> {
        let path = {
            let mut parts = self.parts.lock().expect("never poisoned");
            if parts.abandoned {
                return Err(io::Error::other("interrupted"));
            }
            parts.number += 1;
            let name = format!(".ropewalk-{}-{}.part", std::process::id(), parts.number);
            let path = self.dir.join(name);
            parts.open.insert(path.clone());
            path
        };
        match File::create(&path) {
            Ok(file) => Ok(Part {
                folder: self,
                path,
                file,
            }),
            Err(e) => {
                self.parts
                    .lock()
                    .expect("never poisoned")
                    .open
                    .remove(&path);
                Err(e)
            }
        }
    }

    /// Removes all temporary files and lets no new ones begin: the process is about to end with
    /// fetches under way.
    pub(crate) fn abandon(&self) {
        let open = {
            let mut parts = self.parts.lock().expect("never poisoned");
            parts.abandoned = true;
            std::mem::take(&mut parts.open)
        };
        for path in open {
            let _ = fs::remove_file(path);
        }
    }
}

impl Part<'_> {
    /// Gives the file, complete now, the name of `url` and returns its path.
    ///
    /// # Errors
    /// As [`fs::rename`]; the temporary file is removed.
    pub(crate) fn commit(self, url: &Url) -> io::Result<PathBuf> {
        let path = self.folder.dir.join(file_name(url));
        fs::rename(&self.path, &path)?;
        // There is nothing left to remove.
        self.forget();
        Ok(path)
    }
}

impl Part<'_> {
    /// Says whether the temporary file was still to be removed; it is not any more.
    fn forget(&self) -> bool {
        let mut parts = self.folder.parts.lock().expect("never poisoned");
        parts.open.remove(&self.path)
    }
}

impl Write for Part<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Part<'_> {
    fn drop(&mut self) {
        if self.forget() {
            // Also when it is given up because time is over.
            let _ = cancel::shield(|| fs::remove_file(&self.path));
        }
    }
}

/// Names the file for `url`; see the file's opening comment.
fn file_name(url: &Url) -> String {
    let mut bare = url.clone();
    bare.set_fragment(None);
    // Only schemes with a host get here, where neither can fail.
    let _ = bare.set_username("");
    let _ = bare.set_password(None);
    let text = bare.as_str().replacen("://", "/", 1);
    let mut name = String::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' => name.push(char::from(byte)),
            b'/' => name.push('_'),
            _ => write!(name, "%{byte:02X}").expect("writing to a String"),
        }
    }
    let secret = !url.username().is_empty() || url.password().is_some();
    if secret || name.len() > NAME_BYTES_MAX {
        let mut whole = url.clone();
        whole.set_fragment(None);
        name.truncate(NAME_BYTES_MAX - 33);
        write!(name, "~{:032x}", fnv1a_128(whole.as_str().as_bytes()))
            .expect("writing to a String");
    }
    name
}

/// The 128-bit FNV-1a hash (Fowler, Noll, Vo; draft-eastlake-fnv), the same on every machine and in
/// every version, so that names stay.
fn fnv1a_128(bytes: &[u8]) -> u128 {
    const OFFSET: u128 = 0x6c62272e07bb014262b821756295c58d;
    const PRIME: u128 = 0x0000000001000000000000000000013b;
    bytes.iter().fold(OFFSET, |hash, &byte| {
        (hash ^ u128::from(byte)).wrapping_mul(PRIME)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(url: &str) -> String {
        file_name(&Url::parse(url).unwrap())
    }

    #[test]
    fn names() {
        for (url, expected) in [
            ("http://example.com", "http_example.com_"),
            ("https://example.com/a/b.html", "https_example.com_a_b.html"),
            (
                "http://example.com:8080/?q=1&r=%2F",
                "http_example.com%3A8080_%3Fq%3D1%26r%3D%252F",
            ),
            ("http://example.com/a_b", "http_example.com_a%5Fb"),
            ("http://example.com/a#part", "http_example.com_a"),
            ("http://[::1]/", "http_%5B%3A%3A1%5D_"),
        ] {
            assert_eq!(name(url), expected, "{url}");
        }
    }

    #[test]
    fn names_are_safe_components() {
        let long = format!("http://h/{}", "x".repeat(5000));
        for url in [
            "http://h/../../etc/passwd",
            "http://h/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
            "http://h/..%5c..%5cx",
            "http://h/%00",
            "http://user:secret@h/",
            "http://h/\u{1F600}",
            long.as_str(),
        ] {
            let name = name(url);
            assert!(name.len() <= NAME_BYTES_MAX, "{name}");
            assert!(name.starts_with("http_"), "{name}");
            assert!(
                !name.contains(['/', '\\', '\0']) && !name.contains("secret"),
                "{name}"
            );
        }
    }

    #[test]
    fn different_urls_have_different_names() {
        let long = "x".repeat(400);
        let urls = [
            "http://h/a/b".to_owned(),
            "http://h/a_b".to_owned(),
            "http://h/a%2Fb".to_owned(),
            "http://h/a%5Fb".to_owned(),
            "https://h/a/b".to_owned(),
            "http://h:81/a/b".to_owned(),
            "http://h/a/b/".to_owned(),
            "http://h/a//b".to_owned(),
            "http://h/a/b?".to_owned(),
            "http://h/a~b".to_owned(),
            "http://u@h/a".to_owned(),
            "http://u:p@h/a".to_owned(),
            "http://v:p@h/a".to_owned(),
            format!("http://h/{long}1"),
            format!("http://h/{long}2"),
        ];
        let names: BTreeSet<String> = urls.iter().map(|url| name(url)).collect();
        assert_eq!(names.len(), urls.len(), "{names:#?}");
    }

    /// The published test values of FNV-1a.
    #[test]
    fn hash_is_fnv1a() {
        assert_eq!(fnv1a_128(b""), 0x6c62272e07bb014262b821756295c58d);
        assert_eq!(fnv1a_128(b"a"), 0xd228cb696f1a8caf78912b704e4a8964);
    }

    fn files(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap();
        let mut names: Vec<String> = entries
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn only_whole_files_appear() {
        let dir = std::env::temp_dir().join(format!("ropewalk-folder-{}", std::process::id()));
        let folder = Folder::open(&dir).unwrap();
        let url = Url::parse("http://h/a").unwrap();

        let mut part = folder.begin().unwrap();
        part.write_all(b"half").unwrap();
        drop(part);
        assert_eq!(files(&dir), [""; 0]);

        let mut part = folder.begin().unwrap();
        part.write_all(b"whole").unwrap();
        assert_eq!(part.commit(&url).unwrap(), dir.join("http_h_a"));
        assert_eq!(files(&dir), ["http_h_a"]);
        assert_eq!(fs::read(dir.join("http_h_a")).unwrap(), b"whole");

        let part = folder.begin().unwrap();
        folder.abandon();
        assert_eq!(files(&dir), ["http_h_a"]);
        assert!(part.commit(&url).is_err());
        assert!(folder.begin().is_err());
        fs::remove_dir_all(&dir).unwrap();
    }
}
