//! Transfers at an offset, appending, and the position that several share.

use std::io::{IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

use ropewalk_rt::coroutine;
use ropewalk_rt::fs::{self, File};

use crate::scratch::{Scratch, pattern};
use crate::stage::on_each;

#[test]
fn at_an_offset_without_moving_the_position() {
    on_each(|| {
        let scratch = Scratch::new();
        let path = scratch.path("a");
        let mut file = File::create_new(&path).unwrap();
        file.write_all_at(b"89", 8).unwrap();
        assert_eq!(file.write_at(b"01234567", 0).unwrap(), 8);
        assert_eq!(file.stream_position().unwrap(), 0);
        let mut four = [0; 4];
        assert_eq!(file.read_at(&mut four, 3).unwrap(), 4);
        assert_eq!(&four, b"3456");
        assert_eq!(file.read_at(&mut four, 8).unwrap(), 2, "what is left");
        assert_eq!(file.read_at(&mut four, 10).unwrap(), 0, "at the end");
        assert_eq!(file.read_at(&mut four, 1 << 40).unwrap(), 0, "past the end");
        assert_eq!(file.read_at(&mut [], 3).unwrap(), 0);
        let error = file.read_exact_at(&mut four, 8).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
        let error = file.read_at(&mut four, u64::MAX).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
        FileExt::read_exact_at(&file, &mut four, 1).unwrap();
        assert_eq!(&four, b"1234");
        let (mut one, mut two) = ([0; 3], [0; 3]);
        let mut bufs = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
        assert_eq!(file.read_vectored_at(&mut bufs, 5).unwrap(), 5);
        assert_eq!((&one, &two), (b"567", b"89\0"));
        let bufs = [IoSlice::new(b"ab"), IoSlice::new(b"cd")];
        assert_eq!(file.write_vectored_at(&bufs, 20).unwrap(), 4);
        assert_eq!(file.stream_position().unwrap(), 0);
        assert_eq!(
            fs::read(&path).unwrap(),
            b"0123456789\0\0\0\0\0\0\0\0\0\0abcd"
        );
    });
}

#[test]
fn appending_goes_to_the_end() {
    on_each(|| {
        let scratch = Scratch::new();
        let path = scratch.file("a", b"begin");
        let file = File::options().append(true).read(true).open(&path).unwrap();
        (&file).seek(SeekFrom::Start(0)).unwrap();
        (&file).write_all(b" one").unwrap();
        file.write_at(b" two", 0).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"begin one two");
        // Several at once: none over another.
        coroutine::scope(|s| {
            for number in 0..8u8 {
                let file = &file;
                s.spawn(move || {
                    for _ in 0..20 {
                        let mut file = file;
                        file.write_all(&[b'0' + number; 10]).unwrap();
                    }
                });
            }
        });
        let all = fs::read(&path).unwrap();
        assert_eq!(all.len(), 13 + 1600);
        assert!(
            all[13..]
                .chunks(10)
                .all(|ten| ten.iter().all(|byte| *byte == ten[0]))
        );
    });
}

#[test]
fn who_share_a_position_share_the_contents_out() {
    on_each(|| {
        let scratch = Scratch::new();
        let data = pattern(64 * 100);
        let path = scratch.file("a", &data);
        let file = File::open(&path).unwrap();
        let clone = file.try_clone().unwrap();
        let mut parts = coroutine::scope(|s| {
            let readers: Vec<_> = (0..8)
                .map(|number| {
                    let mut file = if number % 2 == 0 { &file } else { &clone };
                    s.spawn(move || {
                        let mut parts = Vec::new();
                        loop {
                            let mut part = [0; 100];
                            match file.read(&mut part).unwrap() {
                                0 => return parts,
                                read => assert_eq!(read, 100),
                            }
                            parts.push(part);
                        }
                    })
                })
                .collect();
            let parts: Vec<_> = readers
                .into_iter()
                .flat_map(|reader| reader.join().unwrap())
                .collect();
            parts
        });
        let mut expected: Vec<[u8; 100]> = data
            .chunks(100)
            .map(|part| part.try_into().unwrap())
            .collect();
        parts.sort_unstable();
        expected.sort_unstable();
        assert!(parts == expected, "each part once");
    });
}

#[test]
fn who_share_a_position_write_one_after_the_other() {
    on_each(|| {
        let scratch = Scratch::new();
        let path = scratch.path("a");
        let file = File::create(&path).unwrap();
        coroutine::scope(|s| {
            for number in 0..8u8 {
                let clone = file.try_clone().unwrap();
                s.spawn(move || {
                    for _ in 0..10 {
                        (&clone).write_all(&[b'a' + number; 5000]).unwrap();
                    }
                });
            }
        });
        let all = fs::read(&path).unwrap();
        assert_eq!(all.len(), 8 * 10 * 5000);
        assert!(
            all.chunks(5000)
                .all(|part| part.iter().all(|byte| *byte == part[0]))
        );
    });
}

#[test]
fn many_reads_in_flight() {
    on_each(|| {
        let scratch = Scratch::new();
        let data = pattern(1 << 20);
        let path = scratch.file("a", &data);
        let file = File::open(&path).unwrap();
        // Out of the page cache, as far as the system minds the advice.
        file.sync_all().unwrap();
        // SAFETY: no pointers.
        unsafe {
            libc::posix_fadvise(
                std::os::fd::AsRawFd::as_raw_fd(&file),
                0,
                0,
                libc::POSIX_FADV_DONTNEED,
            )
        };
        coroutine::scope(|s| {
            for number in 0..256usize {
                let (file, data) = (&file, &data);
                s.spawn(move || {
                    let offset = number * 7919 % ((1 << 20) - 4096);
                    let mut part = vec![0; 4096];
                    file.read_exact_at(&mut part, offset as u64).unwrap();
                    assert!(part == data[offset..offset + 4096]);
                });
            }
        });
    });
}
