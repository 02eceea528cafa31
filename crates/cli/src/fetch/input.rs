//! Where URLs come from: arguments, a file, standard input. One URL a line; blank lines and lines
//! that start with `#` are skipped.
//!
//! Lines are handed on as they arrive, and one line is all that is held, so an endless input starts
//! at once and costs no memory.

use std::io::{self, BufRead};

/// Longest line taken, in bytes. Servers refuse URLs long before this.
const LINE_BYTES_MAX: usize = 64 * 1024;
/// How much of a refused line is shown in its record.
const SHOWN_BYTES_MAX: usize = 200;

/// One entry of the input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// What should be a URL.
    Url(String),
    /// A line that can't be one: how to show it and why not.
    Bad { shown: String, why: String },
}

/// The entries of a reader, read as they are asked for.
pub(crate) struct Lines<R> {
    reader: R,
    first: bool,
    line: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    /// Reads entries from `reader`.
    pub(crate) fn new(reader: R) -> Lines<R> {
        Lines {
            reader,
            first: true,
            line: Vec::new(),
        }
    }

    /// Reads a line without its end into `self.line` and returns its full length in bytes, which is
    /// more than was kept if it is too long; `None` at the end of the input.
    fn read_line(&mut self) -> io::Result<Option<usize>> {
        self.line.clear();
        let mut length = 0;
        loop {
            let chunk = match self.reader.fill_buf() {
                Ok([]) if length == 0 => return Ok(None),
                Ok([]) => return Ok(Some(length)),
                Ok(chunk) => chunk,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            let end = chunk.iter().position(|&b| b == b'\n');
            let part = &chunk[..end.unwrap_or(chunk.len())];
            let room = LINE_BYTES_MAX
                .saturating_sub(self.line.len())
                .min(part.len());
            self.line.extend_from_slice(&part[..room]);
            // The line end counts, so that an empty line differs from the end of the input.
            length += part.len() + usize::from(end.is_some());
            let used = part.len() + usize::from(end.is_some());
            self.reader.consume(used);
            if end.is_some() {
                return Ok(Some(length - 1));
            }
        }
    }

    /// Turns the line read into an entry; `None` for a line to be skipped.
    fn entry(&mut self, length: usize) -> Option<Entry> {
        let mut line = self.line.as_slice();
        if std::mem::take(&mut self.first) {
            line = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line);
        }
        let line = line.trim_ascii();
        if line.is_empty() && length <= LINE_BYTES_MAX || line.starts_with(b"#") {
            return None;
        }
        if length > LINE_BYTES_MAX {
            let why = format!("the line has {length} bytes, more than {LINE_BYTES_MAX}");
            return Some(Entry::Bad {
                shown: shown(line),
                why,
            });
        }
        Some(match std::str::from_utf8(line) {
            Ok(url) => Entry::Url(url.to_owned()),
            Err(_) => {
                let why = "the line is not UTF-8".to_owned();
                Entry::Bad {
                    shown: shown(line),
                    why,
                }
            }
        })
    }
}

fn shown(line: &[u8]) -> String {
    let part = &line[..line.len().min(SHOWN_BYTES_MAX)];
    let mut shown = String::from_utf8_lossy(part).into_owned();
    if part.len() < line.len() {
        shown.push('…');
    }
    shown
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = io::Result<Entry>;

    fn next(&mut self) -> Option<io::Result<Entry>> {
        loop {
            match self.read_line() {
                Ok(None) => return None,
                Ok(Some(length)) => {
                    if let Some(entry) = self.entry(length) {
                        return Some(Ok(entry));
                    }
                }
                Err(e) => return Some(Err(e)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufReader;

    fn entries(input: &[u8]) -> Vec<Entry> {
        Lines::new(BufReader::with_capacity(7, input))
            .map(Result::unwrap)
            .collect()
    }

    fn urls(input: &str) -> Vec<String> {
        let url = |entry| match entry {
            Entry::Url(url) => url,
            bad => panic!("{bad:?}"),
        };
        entries(input.as_bytes()).into_iter().map(url).collect()
    }

    #[test]
    fn lines() {
        assert_eq!(urls(""), [""; 0]);
        assert_eq!(urls("\n\n  \n"), [""; 0]);
        assert_eq!(urls("http://a/"), ["http://a/"]);
        assert_eq!(urls("http://a/\nhttp://b/\n"), ["http://a/", "http://b/"]);
        assert_eq!(
            urls("\u{feff}http://a/\r\n\r\n\t http://b/ \r\n"),
            ["http://a/", "http://b/"]
        );
        assert_eq!(
            urls("# one\n#two\nhttp://a/#frag\n  # three\n"),
            ["http://a/#frag"]
        );
    }

    #[test]
    fn bad_lines_do_not_stop_the_rest() {
        let mut input = b"http://a/\n\xff\xfe\n".to_vec();
        input.extend(vec![b'x'; LINE_BYTES_MAX + 1]);
        input.extend(b"\nhttp://b/");
        let entries = entries(&input);
        assert_eq!(entries.len(), 4, "{entries:?}");
        assert_eq!(entries[0], Entry::Url("http://a/".into()));
        assert!(matches!(&entries[1], Entry::Bad { why, .. } if why.contains("UTF-8")));
        assert!(matches!(&entries[2], Entry::Bad { shown, why }
            if shown.len() < 300 && why.contains("65537 bytes")));
        assert_eq!(entries[3], Entry::Url("http://b/".into()));
    }

    #[test]
    fn longest_line_is_taken() {
        let line = "x".repeat(LINE_BYTES_MAX);
        assert_eq!(urls(&format!("{line}\n")), [line]);
    }

    /// An entry is there as soon as its line is, though the input goes on.
    #[test]
    fn no_wait_for_the_end() {
        let (reader, mut writer) = io::pipe().unwrap();
        let mut lines = Lines::new(BufReader::new(reader));
        for url in ["http://a/", "http://b/"] {
            io::Write::write_all(&mut writer, format!("{url}\n").as_bytes()).unwrap();
            assert_eq!(lines.next().unwrap().unwrap(), Entry::Url(url.into()));
        }
        drop(writer);
        assert!(lines.next().is_none());
    }
}
