//! What is done by name.

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use ropewalk_rt::fs::{self, Permissions};

use crate::scratch::{Scratch, pattern};
use crate::stage::on_each;

#[test]
fn whole_files() {
    on_each(|| {
        let scratch = Scratch::new();
        let path = scratch.path("a");
        for len in [0, 1, 4095, 4096, 4097, 300_000] {
            let data = pattern(len);
            fs::write(&path, &data).unwrap();
            assert!(fs::read(&path).unwrap() == data, "{len} bytes");
        }
        fs::write(&path, "now text: ä").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "now text: ä");
        fs::write(&path, b"\xff").unwrap();
        assert_eq!(
            fs::read_to_string(&path).unwrap_err().kind(),
            ErrorKind::InvalidData
        );
        assert_eq!(
            fs::read(scratch.path("no")).unwrap_err().kind(),
            ErrorKind::NotFound
        );
    });
}

#[test]
fn names_come_and_go() {
    on_each(|| {
        let scratch = Scratch::new();
        let (a, b, c) = (
            scratch.file("a", b"a"),
            scratch.path("b"),
            scratch.path("c"),
        );
        fs::rename(&a, &b).unwrap();
        assert!(!fs::exists(&a).unwrap());
        assert!(fs::exists(&b).unwrap());
        assert_eq!(fs::rename(&a, &b).unwrap_err().kind(), ErrorKind::NotFound);
        fs::hard_link(&b, &c).unwrap();
        assert_eq!(
            fs::hard_link(&b, &c).unwrap_err().kind(),
            ErrorKind::AlreadyExists
        );
        fs::remove_file(&b).unwrap();
        assert_eq!(fs::read(&c).unwrap(), b"a");
        assert_eq!(fs::remove_file(&b).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(
            fs::remove_dir(&c).unwrap_err().kind(),
            ErrorKind::NotADirectory
        );
        fs::symlink("c", &b).unwrap();
        assert_eq!(fs::read_link(&b).unwrap(), PathBuf::from("c"));
        assert_eq!(fs::read(&b).unwrap(), b"a");
        assert!(fs::symlink_metadata(&b).unwrap().is_symlink());
        assert!(fs::metadata(&b).unwrap().is_file());
        assert_eq!(
            fs::canonicalize(&b).unwrap(),
            std::fs::canonicalize(&c).unwrap()
        );
        assert_eq!(
            fs::read_link(&c).unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
        assert_eq!(
            fs::rename("a\0", &b).unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
    });
}

#[test]
fn copies_have_contents_and_permissions() {
    on_each(|| {
        let scratch = Scratch::new();
        let data = pattern(100_000);
        let (from, to) = (scratch.file("from", &data), scratch.path("to"));
        fs::set_permissions(&from, Permissions::from_mode(0o640)).unwrap();
        assert_eq!(fs::copy(&from, &to).unwrap(), 100_000);
        assert!(fs::read(&to).unwrap() == data);
        assert_eq!(
            fs::metadata(&to).unwrap().permissions().mode() & 0o777,
            0o640
        );
        assert_eq!(
            fs::copy(scratch.path("no"), &to).unwrap_err().kind(),
            ErrorKind::NotFound
        );
    });
}
