//! Directories: made, listed, removed.

use std::collections::BTreeSet;
use std::io::ErrorKind;

use ropewalk_rt::cancel::{self, Token};
use ropewalk_rt::fs;

use crate::scratch::Scratch;
use crate::stage::on_each;

#[test]
fn made_and_removed() {
    on_each(|| {
        let scratch = Scratch::new();
        let (a, deep) = (scratch.path("a"), scratch.path("a/b/c"));
        fs::create_dir(&a).unwrap();
        assert_eq!(
            fs::create_dir(&a).unwrap_err().kind(),
            ErrorKind::AlreadyExists
        );
        assert_eq!(
            fs::create_dir(&deep).unwrap_err().kind(),
            ErrorKind::NotFound
        );
        fs::create_dir_all(&deep).unwrap();
        fs::create_dir_all(&deep).unwrap();
        assert_eq!(
            fs::remove_dir(&a).unwrap_err().kind(),
            ErrorKind::DirectoryNotEmpty
        );
        fs::remove_dir(&deep).unwrap();
        fs::write(a.join("b/file"), "x").unwrap();
        assert_eq!(
            fs::remove_file(a.join("b")).unwrap_err().kind(),
            ErrorKind::IsADirectory
        );
        fs::remove_dir_all(&a).unwrap();
        assert!(!fs::exists(&a).unwrap());
        assert_eq!(
            fs::remove_dir_all(&a).unwrap_err().kind(),
            ErrorKind::NotFound
        );
    });
}

#[test]
fn listed_whole_however_long() {
    on_each(|| {
        for count in [0, 1, 127, 128, 129, 300] {
            let scratch = Scratch::new();
            let names: BTreeSet<_> = (0..count).map(|number| format!("n{number}")).collect();
            for name in &names {
                if name == "n1" {
                    std::fs::create_dir(scratch.path(name)).unwrap();
                } else {
                    scratch.file(name, name.as_bytes());
                }
            }
            let mut seen = BTreeSet::new();
            for entry in fs::read_dir(scratch.dir()).unwrap() {
                let entry = entry.unwrap();
                let name = entry.file_name().into_string().unwrap();
                assert_eq!(entry.path(), scratch.path(&name));
                assert_eq!(entry.file_type().unwrap().is_dir(), name == "n1");
                if name != "n1" {
                    assert_eq!(entry.metadata().unwrap().len(), name.len() as u64);
                }
                assert_ne!(entry.ino(), 0);
                seen.insert(name);
            }
            assert_eq!(seen, names);
        }
        let error = fs::read_dir("/nowhere/at/all").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    });
}

#[test]
fn an_entry_that_has_gone() {
    on_each(|| {
        let scratch = Scratch::new();
        let path = scratch.file("a", b"");
        let entry = fs::read_dir(scratch.dir())
            .unwrap()
            .next()
            .unwrap()
            .unwrap();
        fs::remove_file(path).unwrap();
        assert!(entry.file_type().unwrap().is_file());
        assert_eq!(entry.metadata().unwrap_err().kind(), ErrorKind::NotFound);
    });
}

#[test]
fn a_cancelled_listing_ends() {
    on_each(|| {
        let scratch = Scratch::new();
        for number in 0..300 {
            scratch.file(&number.to_string(), b"");
        }
        let entries = fs::read_dir(scratch.dir()).unwrap();
        let token = Token::new();
        token.cancel();
        // Those who skip errors come to an end all the same.
        let listed = token.run(|| {
            assert!(cancel::check().is_err());
            entries.flatten().count()
        });
        assert!(listed < 300, "{listed} were fetched before");
    });
}
