//! Lines and length-prefixed messages, whatever pieces they come in.

use std::io::{self, ErrorKind, Read, Write};
use std::time::Duration;

use ropewalk_rt::io::frame::{Codec, FrameError, FrameReader, FrameWriter, LengthPrefixed, Lines};
use ropewalk_rt::net::{TcpListener, TcpStream};

use crate::stage::on_each;

/// Gives its bytes in pieces of `piece`, with an interruption now and then.
struct Pieces<'a> {
    bytes: &'a [u8],
    piece: usize,
    calls: usize,
}

impl<'a> Pieces<'a> {
    fn new(bytes: &'a [u8], piece: usize) -> Pieces<'a> {
        Pieces {
            bytes,
            piece,
            calls: 0,
        }
    }
}

impl Read for Pieces<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.calls += 1;
        if self.calls.is_multiple_of(3) {
            return Err(ErrorKind::Interrupted.into());
        }
        let take = self.piece.min(buf.len()).min(self.bytes.len());
        buf[..take].copy_from_slice(&self.bytes[..take]);
        self.bytes = &self.bytes[take..];
        Ok(take)
    }
}

fn frame_error(error: &io::Error) -> FrameError {
    let inner = error.get_ref().expect("a source");
    *inner.downcast_ref::<FrameError>().expect("a frame error")
}

fn lines(bytes: &[u8], codec: &Lines, piece: usize) -> Vec<Result<String, FrameError>> {
    let mut reader = FrameReader::new(Pieces::new(bytes, piece), codec.clone());
    let mut lines = Vec::new();
    loop {
        match reader.read_frame() {
            Ok(Some(line)) => lines.push(Ok(line.to_string())),
            Ok(None) => return lines,
            Err(error) => lines.push(Err(frame_error(&error))),
        }
        assert!(lines.len() < 100, "it comes to an end");
    }
}

#[test]
fn lines_come_whole_from_pieces_of_any_size() {
    let text = "one\ntwo\r\n\n\r\nh\u{e4}t\u{65e5}\nlast".as_bytes();
    for piece in 1..=text.len() {
        let lines = lines(text, &Lines::new(), piece);
        let lines: Vec<_> = lines.into_iter().map(Result::unwrap).collect();
        assert_eq!(lines, ["one", "two", "", "", "h\u{e4}t\u{65e5}", "last"]);
    }
}

#[test]
fn a_carriage_return_counts_only_before_a_line_feed() {
    let got = lines(b"a\rb\r\r\nend\r", &Lines::new(), 2);
    assert_eq!(got, [Ok("a\rb\r".to_string()), Ok("end\r".to_string())]);
}

#[test]
fn lines_that_are_too_long_or_not_utf8_are_skipped() {
    let text = b"12345\n123456\r\n1234567\nok\n\xff\xfe\nend\n12345678901234567890";
    for piece in 1..=text.len() {
        let got = lines(text, &Lines::new().max_len(6), piece);
        let long = FrameError::TooLong { max: 6 };
        assert_eq!(
            got,
            [
                Ok("12345".to_string()),
                Ok("123456".to_string()),
                Err(long),
                Ok("ok".to_string()),
                Err(FrameError::NotUtf8 { at: 0 }),
                Ok("end".to_string()),
                Err(long),
            ],
            "in pieces of {piece}"
        );
    }
}

fn codecs() -> Vec<LengthPrefixed> {
    let mut codecs = Vec::new();
    for codec in [
        LengthPrefixed::u8(),
        LengthPrefixed::u16(),
        LengthPrefixed::u32(),
        LengthPrefixed::u64(),
        LengthPrefixed::varint(),
    ] {
        codecs.extend([codec, codec.little_endian()]);
    }
    codecs
}

#[test]
fn lengths_of_each_width_and_order_come_back() {
    let messages: Vec<Vec<u8>> = [0usize, 1, 127, 128, 200, 255]
        .iter()
        .map(|len| (0..*len).map(|n| n as u8).collect())
        .collect();
    for codec in codecs() {
        let mut writer = FrameWriter::new(Vec::new(), codec);
        for message in &messages {
            writer.write_frame(message).unwrap();
        }
        let bytes = writer.into_inner();
        for piece in [1, 2, 3, 7, 64, bytes.len()] {
            let mut reader = FrameReader::new(Pieces::new(&bytes, piece), codec);
            for message in &messages {
                assert_eq!(
                    reader.read_frame().unwrap(),
                    Some(&message[..]),
                    "{codec:?}"
                );
            }
            assert_eq!(reader.read_frame().unwrap(), None);
            assert_eq!(reader.read_frame().unwrap(), None, "and stays at the end");
        }
        // Every proper part of it ends inside a message, or between two.
        for cut in 0..bytes.len() {
            let mut reader = FrameReader::new(&bytes[..cut], codec);
            let mut whole = 0;
            let end = loop {
                match reader.read_frame() {
                    Ok(Some(_)) => whole += 1,
                    end => break end.map(|_| ()),
                }
            };
            assert!(whole < messages.len());
            if let Err(error) = end {
                assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
                assert!(matches!(frame_error(&error), FrameError::Truncated { got } if got > 0));
                assert_eq!(
                    reader.read_frame().unwrap_err().kind(),
                    ErrorKind::UnexpectedEof
                );
            }
        }
    }
}

#[test]
fn the_bytes_are_as_documented() {
    let written = |codec: LengthPrefixed, len: usize| {
        let mut writer = FrameWriter::new(Vec::new(), codec.max_len(1 << 20));
        writer.write_frame(&vec![0; len]).unwrap();
        let bytes = writer.into_inner();
        bytes[..bytes.len() - len].to_vec()
    };
    assert_eq!(written(LengthPrefixed::u8(), 9), [9]);
    assert_eq!(written(LengthPrefixed::u16(), 258), [1, 2]);
    assert_eq!(written(LengthPrefixed::u16().little_endian(), 258), [2, 1]);
    assert_eq!(written(LengthPrefixed::u32(), 66051), [0, 1, 2, 3]);
    assert_eq!(
        written(LengthPrefixed::u64().little_endian(), 66051),
        [3, 2, 1, 0, 0, 0, 0, 0]
    );
    assert_eq!(written(LengthPrefixed::varint(), 300), [0xac, 2]);
}

#[test]
fn a_length_beyond_the_limit_is_an_error_and_stays_one() {
    for codec in codecs() {
        let mut writer = FrameWriter::new(Vec::new(), codec);
        writer.write_frame(&[7; 100]).unwrap();
        writer.write_frame(b"next").unwrap();
        let bytes = writer.into_inner();
        let mut reader = FrameReader::new(&bytes[..], codec.max_len(99));
        for _ in 0..2 {
            let error = reader.read_frame().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData);
            assert_eq!(frame_error(&error), FrameError::TooLong { max: 99 });
        }
    }
    // A claim costs nothing before the bytes come.
    let claim = [0xff; 8];
    let mut reader = FrameReader::new(&claim[..], LengthPrefixed::u64().max_len(usize::MAX));
    let error = reader.read_frame().unwrap_err();
    assert!(matches!(frame_error(&error), FrameError::TooLong { .. }));
    let claim = [0x7f, 0xff, 0xff, 0xff, 1, 2, 3];
    let mut reader = FrameReader::new(&claim[..], LengthPrefixed::u32().max_len(usize::MAX));
    let error = reader.read_frame().unwrap_err();
    assert_eq!(frame_error(&error), FrameError::Truncated { got: 7 });
    let mut reader = FrameReader::new(&[0xff; 11][..], LengthPrefixed::varint());
    let error = reader.read_frame().unwrap_err();
    assert_eq!(frame_error(&error), FrameError::BadVarint);
}

#[test]
fn what_can_not_be_written_is_refused_whole() {
    let mut writer = FrameWriter::new(Vec::new(), Lines::new().crlf().max_len(5));
    for line in ["a\nb", "a\r"] {
        let error = writer.write_frame(line).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(frame_error(&error), FrameError::LineBreak);
    }
    let error = writer.write_frame("123456").unwrap_err();
    assert_eq!(frame_error(&error), FrameError::TooLong { max: 5 });
    writer.write_frame("12345").unwrap();
    assert_eq!(writer.into_inner(), b"12345\r\n");

    let mut writer = FrameWriter::new(Vec::new(), LengthPrefixed::u8());
    let error = writer.write_frame(&[0; 256]).unwrap_err();
    assert_eq!(frame_error(&error), FrameError::TooLong { max: 255 });
    assert_eq!(writer.queued(), 0);
}

/// Takes so many bytes and then says that it would wait too long, once each time.
struct Slow {
    taken: Vec<u8>,
    at_once: usize,
    refuse: bool,
}

impl Write for Slow {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.refuse = !self.refuse;
        if self.refuse {
            return Err(ErrorKind::TimedOut.into());
        }
        let take = self.at_once.min(buf.len());
        self.taken.extend_from_slice(&buf[..take]);
        Ok(take)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_time_out_tears_no_message_apart() {
    let slow = Slow {
        taken: Vec::new(),
        at_once: 2,
        refuse: true,
    };
    let mut writer = FrameWriter::new(slow, Lines::new());
    for line in ["first", "second", "third"] {
        let mut result = writer.write_frame(line);
        while let Err(error) = result {
            assert_eq!(error.kind(), ErrorKind::TimedOut);
            result = writer.flush();
        }
    }
    assert_eq!(writer.into_inner().taken, b"first\nsecond\nthird\n");
}

#[test]
fn a_read_that_timed_out_goes_on_where_it_was() {
    on_each(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        server
            .set_read_timeout(Some(Duration::from_millis(5)))
            .unwrap();
        let codec = LengthPrefixed::u32();
        let mut bytes = Vec::new();
        codec.encode(b"a message in pieces", &mut bytes).unwrap();
        let mut reader = FrameReader::new(&server, codec);
        for piece in bytes.chunks(4) {
            let error = reader.read_frame().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut);
            client.write_all(piece).unwrap();
        }
        server.set_read_timeout(None).unwrap();
        assert_eq!(
            reader.read_frame().unwrap(),
            Some(&b"a message in pieces"[..])
        );
        client.write_all(b"rest").unwrap();
        drop(client);
        let error = reader.read_frame().unwrap_err();
        // "rest" is a length far beyond the limit.
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert_eq!(reader.into_parts().1, b"rest");
    });
}
