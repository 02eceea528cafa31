//! Reading and writing, the same for files and for the two ends of a pipe.

use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::OwnedFd;

use ropewalk_rt::fs::{self, File};

use crate::scratch::{Scratch, pattern};
use crate::stage::on_each;

/// What bytes are put into, and what they then come out of.
struct Way {
    name: &'static str,
    into: File,
    out: File,
}

fn ways(scratch: &Scratch) -> Vec<Way> {
    let path = scratch.path("way");
    let into = File::create(&path).unwrap();
    let out = File::open(&path).unwrap();
    let (reader, writer) = io::pipe().unwrap();
    vec![
        Way {
            name: "a file",
            into,
            out,
        },
        Way {
            name: "a pipe",
            into: OwnedFd::from(writer).into(),
            out: OwnedFd::from(reader).into(),
        },
    ]
}

fn on_each_way(body: impl Fn(Way) + Sync) {
    on_each(|| {
        let scratch = Scratch::new();
        for way in ways(&scratch) {
            let name = way.name;
            let guard = Told(name);
            body(way);
            std::mem::forget(guard);
        }
    });
}

/// Says on the way out of a panic where it was.
struct Told(&'static str);

impl Drop for Told {
    fn drop(&mut self) {
        eprintln!("failed with {}", self.0);
    }
}

#[test]
fn bytes_come_out_as_they_went_in() {
    on_each_way(|mut way| {
        let data = pattern(10_000);
        way.into.write_all(&data).unwrap();
        let mut read = vec![0; data.len()];
        way.out.read_exact(&mut read).unwrap();
        assert_eq!(read, data);
        way.into.write_all(b"more").unwrap();
        drop(way.into);
        let mut rest = Vec::new();
        assert_eq!(way.out.read_to_end(&mut rest).unwrap(), 4);
        assert_eq!(rest, b"more");
        assert_eq!(way.out.read(&mut [0; 4]).unwrap(), 0);
    });
}

#[test]
fn more_than_fits_at_once() {
    on_each_way(|way| {
        let data = pattern(3 << 20);
        let (into, mut out) = (way.into, way.out);
        let whole = data.clone();
        let writing = ropewalk_rt::spawn(move || (&into).write_all(&whole).unwrap());
        if way.name == "a file" {
            writing.join().unwrap();
            let mut read = Vec::new();
            out.read_to_end(&mut read).unwrap();
            assert!(read == data);
        } else {
            let mut read = Vec::new();
            out.read_to_end(&mut read).unwrap();
            assert!(read == data);
            writing.join().unwrap();
        }
    });
}

#[test]
fn empty_buffers_move_nothing() {
    on_each_way(|mut way| {
        assert_eq!(way.into.write(b"").unwrap(), 0);
        assert_eq!(way.into.write_vectored(&[]).unwrap(), 0);
        assert_eq!(way.into.write_vectored(&[IoSlice::new(b"")]).unwrap(), 0);
        way.into.write_all(b"x").unwrap();
        assert_eq!(way.out.read(&mut []).unwrap(), 0);
        assert_eq!(way.out.read_vectored(&mut []).unwrap(), 0);
        let mut one = [0];
        assert_eq!(way.out.read(&mut one).unwrap(), 1);
        assert_eq!(&one, b"x");
    });
}

#[test]
fn several_buffers_in_order() {
    on_each_way(|mut way| {
        let written = way
            .into
            .write_vectored(&[
                IoSlice::new(b"ab"),
                IoSlice::new(b""),
                IoSlice::new(b"cdef"),
            ])
            .unwrap();
        assert_eq!(written, 6);
        let (mut one, mut two, mut three) = ([0; 1], [0; 3], [0; 5]);
        let read = way
            .out
            .read_vectored(&mut [
                IoSliceMut::new(&mut one),
                IoSliceMut::new(&mut two),
                IoSliceMut::new(&mut three),
            ])
            .unwrap();
        assert_eq!(read, 6);
        assert_eq!((&one, &two, &three), (b"a", b"bcd", b"ef\0\0\0"));
    });
}

#[test]
fn more_buffers_than_the_kernel_takes() {
    on_each_way(|mut way| {
        let bytes = pattern(1500);
        let slices: Vec<_> = bytes.chunks(1).map(IoSlice::new).collect();
        let written = way.into.write_vectored(&slices).unwrap();
        assert_eq!(written, 1024);
        way.into.write_all(&bytes[written..]).unwrap();
        let mut read = vec![0; 1500];
        let mut slices: Vec<_> = read.chunks_mut(1).map(IoSliceMut::new).collect();
        assert_eq!(way.out.read_vectored(&mut slices).unwrap(), 1024);
        way.out.read_exact(&mut read[1024..]).unwrap();
        assert_eq!(read, bytes);
    });
}

#[test]
fn the_wrong_direction_is_an_error() {
    on_each_way(|mut way| {
        let error = way.into.read(&mut [0; 4]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EBADF));
        let error = way.out.write(b"x").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EBADF));
    });
}

#[test]
fn text_that_is_none() {
    on_each_way(|mut way| {
        way.into.write_all(b"caf\xe9").unwrap();
        drop(way.into);
        let mut text = String::from("kept");
        let error = way.out.read_to_string(&mut text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert_eq!(text, "kept");
    });
}

#[test]
fn a_buffer_beyond_what_one_call_moves() {
    // Not filled and not touched: the file has little, the pages are never there.
    on_each(|| {
        let scratch = Scratch::new();
        let path = scratch.file("a", b"short");
        let mut huge = Vec::<u8>::with_capacity(3 << 30);
        // SAFETY: zeroes from the system, which no one has written to.
        let huge = unsafe {
            let layout = huge.spare_capacity_mut();
            std::slice::from_raw_parts_mut(layout.as_mut_ptr().cast::<u8>(), 3 << 30)
        };
        let mut file = File::open(&path).unwrap();
        assert_eq!(file.read(huge).unwrap(), 5);
        assert_eq!(&huge[..5], b"short");
        assert_eq!(file.read_at(huge, 2).unwrap(), 3);
        assert_eq!(&huge[..3], b"ort");
    });
}

#[test]
fn what_the_kernel_makes_up_is_read_to_its_end() {
    on_each(|| {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        assert!(status.contains("Threads:"), "{status}");
        assert!(!fs::read("/proc/self/maps").unwrap().is_empty());
        let mut zeroes = [1; 100];
        File::open("/dev/zero")
            .unwrap()
            .read_exact(&mut zeroes)
            .unwrap();
        assert_eq!(zeroes, [0; 100]);
        assert!(fs::read("/dev/null").unwrap().is_empty());
        let mut null = File::options().write(true).open("/dev/null").unwrap();
        null.write_all(&zeroes).unwrap();
        let full = File::options().write(true).open("/dev/full").unwrap();
        let error = (&full).write(&zeroes).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
    });
}

#[test]
fn a_file_in_memory() {
    // A tmpfs, where the kernel has no "at once": most machines have this one.
    let dir = std::path::Path::new("/dev/shm");
    if !dir.is_dir() {
        eprintln!("skipped: no /dev/shm");
        return;
    }
    on_each(|| {
        let scratch = Scratch::below(dir);
        let path = scratch.path("a");
        let data = pattern(1 << 20);
        let mut file = File::create_new(&path).unwrap();
        for part in data.chunks(4096) {
            file.write_all(part).unwrap();
        }
        file.write_all_at(&data[..300_000], 0).unwrap();
        let mut part = vec![0; 5000];
        file.read_exact_at(&mut part, 1000).unwrap();
        assert!(part == data[1000..6000]);
        assert_eq!(file.metadata().unwrap().len(), 1 << 20);
        file.sync_all().unwrap();
        assert!(fs::read(&path).unwrap() == data);
        let mut all = vec![0; 2 << 20];
        assert_eq!(file.read_at(&mut all, 0).unwrap(), 1 << 20);
        assert!(all[..1 << 20] == data);
    });
}
