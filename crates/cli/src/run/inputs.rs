//! Where the values of jobs come from: behind `:::`, from files behind `::::` or after `-a`, or
//! from standard input. Several sources are combined: each value of the first with each of the
//! second and so on, the last changing fastest; linked ones go side by side: with `:::+` and
//! `::::+` as far as the shortest reaches, with `--link` as far as the longest, the others beginning
//! anew, as GNU parallel has it.
//!
//! The first source is read as jobs start, so it may be endless; the others are read at the
//! beginning.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// One source of values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) from: From,
    /// How its values go with those of the source before.
    pub(crate) linked: Linked,
}

/// How the values of a source go with those of the source before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Linked {
    /// Each with each.
    No,
    /// Side by side, up to the end of the shorter one.
    Shortest,
    /// Side by side, up to the end of the longer one.
    Around,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum From {
    Words(Vec<OsString>),
    /// A file; `-` is standard input.
    File(PathBuf),
}

/// Takes a command line apart: the command, and the sources behind it.
///
/// # Errors
///
/// A sentence, for a `::::` without a file, or a `:::+` before any source.
pub(crate) fn take_apart(
    words: Vec<OsString>,
    files: &[PathBuf],
    link: bool,
) -> Result<(Vec<OsString>, Vec<Source>), String> {
    let mut sources: Vec<Source> = Vec::new();
    for file in files {
        let linked = linked(false, link, &sources);
        sources.push(Source {
            from: From::File(file.clone()),
            linked,
        });
    }
    let mut command = Vec::new();
    // The separator that is in force, and the words since.
    let mut open: Option<(String, Vec<OsString>)> = None;
    for word in words {
        match word.to_str() {
            Some(separator @ (":::" | ":::+" | "::::" | "::::+")) => {
                close(
                    open.replace((separator.to_owned(), Vec::new())),
                    &mut sources,
                    link,
                )?;
            }
            _ => match &mut open {
                Some((_, values)) => values.push(word),
                None => command.push(word),
            },
        }
    }
    close(open, &mut sources, link)?;
    Ok((command, sources))
}

fn close(
    open: Option<(String, Vec<OsString>)>,
    sources: &mut Vec<Source>,
    link: bool,
) -> Result<(), String> {
    let Some((separator, words)) = open else {
        return Ok(());
    };
    let plus = separator.ends_with('+');
    if plus && sources.is_empty() {
        return Err(format!(
            "{separator} links a source to the one before, and there is none"
        ));
    }
    if !separator.starts_with("::::") {
        let linked = linked(plus, link, sources);
        sources.push(Source {
            from: From::Words(words),
            linked,
        });
        return Ok(());
    }
    if words.is_empty() {
        return Err(format!(
            "{separator} needs a file behind it; - is standard input"
        ));
    }
    for (index, file) in words.into_iter().enumerate() {
        let linked = linked(plus && index == 0, link, sources);
        sources.push(Source {
            from: From::File(file.into()),
            linked,
        });
    }
    Ok(())
}

/// How a source goes with those `before`.
fn linked(plus: bool, link: bool, before: &[Source]) -> Linked {
    match (plus, link) {
        _ if before.is_empty() => Linked::No,
        (_, true) => Linked::Around,
        (true, false) => Linked::Shortest,
        (false, false) => Linked::No,
    }
}

/// Says whether a line is a command; else it is empty, or a comment.
pub(crate) fn is_command(line: &OsStr) -> bool {
    let line = line.as_bytes().trim_ascii_start();
    !line.is_empty() && !line.starts_with(b"#")
}

/// The values of jobs, one vector a job, in order.
pub(crate) struct Inputs {
    first: Values,
    /// Those linked to the first, taken along with it.
    beside: Vec<Vec<OsString>>,
    /// Whether these, and the first, begin anew until the longest has ended.
    around: bool,
    /// The values of the first that may come again.
    kept: Vec<OsString>,
    /// The rows of the other groups of linked sources.
    others: Vec<Vec<Vec<OsString>>>,
    row: Vec<OsString>,
    taken: usize,
    /// Which row of each other group comes next.
    next: Vec<usize>,
}

type Values = Box<dyn Iterator<Item = io::Result<OsString>> + Send>;

impl Inputs {
    /// Opens the sources; at least one.
    ///
    /// # Errors
    ///
    /// A file's, with its name.
    pub(crate) fn open(sources: Vec<Source>, null: bool) -> io::Result<Inputs> {
        let around = sources.iter().any(|source| source.linked == Linked::Around);
        let mut first = None;
        let mut beside = Vec::new();
        // Each group of linked sources as columns.
        let mut groups: Vec<Vec<Vec<OsString>>> = Vec::new();
        for Source { from, linked } in sources {
            let values = from.open(null)?;
            if first.is_none() {
                first = Some(Box::new(values.fuse()) as Values);
                continue;
            }
            let column = values.collect::<io::Result<Vec<_>>>()?;
            match groups.last_mut() {
                Some(group) if linked != Linked::No => group.push(column),
                None if linked != Linked::No => beside.push(column),
                _ => groups.push(vec![column]),
            }
        }
        let others: Vec<_> = groups.into_iter().map(rows).collect();
        Ok(Inputs {
            first: first.expect("at least one source"),
            beside,
            around,
            kept: Vec::new(),
            next: vec![0; others.len()],
            others,
            row: Vec::new(),
            taken: 0,
        })
    }

    /// How many sources there are.
    pub(crate) fn width(&self) -> usize {
        let others = self
            .others
            .iter()
            .map(|group| group.first().map_or(0, Vec::len));
        1 + self.beside.len() + others.sum::<usize>()
    }

    /// How many jobs there will be, as far as is known.
    pub(crate) fn len_known(&self) -> Option<u64> {
        let (low, high) = self.first.size_hint();
        let firsts = high.filter(|high| *high == low)?;
        let beside = self.beside.iter().map(Vec::len);
        let firsts = match self.around {
            true if firsts == 0 || self.beside.iter().any(Vec::is_empty) => 0,
            true => beside.fold(firsts, usize::max),
            false => beside.fold(firsts, usize::min),
        };
        let combinations = self.others.iter().map(Vec::len).product::<usize>();
        Some(firsts as u64 * combinations as u64)
    }

    /// Reads what is left of the first source, so that the number of jobs is known; of values
    /// that are lines of commands only those that are some.
    ///
    /// # Errors
    ///
    /// The source's.
    pub(crate) fn read_all(&mut self, commands: bool) -> io::Result<()> {
        let values = self.first.by_ref().filter(|value| match value {
            Ok(value) => !commands || is_command(value),
            Err(_) => true,
        });
        let values = values.collect::<io::Result<Vec<_>>>()?;
        self.first = Box::new(values.into_iter().map(Ok));
        Ok(())
    }

    /// Takes the next value of the first source, and what is linked to it.
    fn advance(&mut self) -> Option<io::Result<()>> {
        let is_over = |column: &Vec<OsString>| match self.around {
            true => column.is_empty(),
            false => column.len() <= self.taken,
        };
        if self.beside.iter().any(is_over) {
            return None;
        }
        let longest = self.beside.iter().map(Vec::len).max().unwrap_or(0);
        let value = match self.first.next() {
            Some(Ok(value)) => {
                if self.around && self.taken < longest {
                    self.kept.push(value.clone());
                }
                value
            }
            Some(Err(error)) => return Some(Err(error)),
            None if self.taken < longest && !self.kept.is_empty() => {
                self.kept[self.taken % self.kept.len()].clone()
            }
            None => return None,
        };
        let beside = self.beside.iter();
        let beside = beside.map(|column| column[self.taken % column.len()].clone());
        self.row = std::iter::once(value).chain(beside).collect();
        self.taken += 1;
        Some(Ok(()))
    }
}

impl Iterator for Inputs {
    type Item = io::Result<Vec<OsString>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.others.iter().any(Vec::is_empty) {
            return None;
        }
        if self.next.iter().all(|next| *next == 0)
            && let Err(error) = self.advance()?
        {
            return Some(Err(error));
        }
        let mut values = self.row.clone();
        for (group, next) in self.others.iter().zip(&self.next) {
            values.extend_from_slice(&group[*next]);
        }
        // As an odometer: the last moves, and those before it when it is around.
        for (group, next) in self.others.iter().zip(&mut self.next).rev() {
            *next += 1;
            if *next < group.len() {
                break;
            }
            *next = 0;
        }
        Some(Ok(values))
    }
}

/// Turns columns into rows, as many as the shortest has.
fn rows(columns: Vec<Vec<OsString>>) -> Vec<Vec<OsString>> {
    let len = columns.iter().map(Vec::len).min().unwrap_or(0);
    let row = |index: usize| columns.iter().map(|column| column[index].clone()).collect();
    (0..len).map(row).collect()
}

impl From {
    fn open(self, null: bool) -> io::Result<Values> {
        let path = match self {
            From::Words(words) => return Ok(Box::new(words.into_iter().map(Ok))),
            From::File(path) => path,
        };
        let end = if null { 0 } else { b'\n' };
        if path.as_os_str() == "-" {
            return Ok(Box::new(Lines {
                reader: BufReader::new(io::stdin()),
                end,
            }));
        }
        let open = || {
            let file = File::open(&path)?;
            match file.metadata()?.is_dir() {
                true => Err(io::Error::from(io::ErrorKind::IsADirectory)),
                false => Ok(file),
            }
        };
        let file = open().map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", path.display()))
        })?;
        Ok(Box::new(Lines {
            reader: BufReader::new(file),
            end,
        }))
    }
}

/// What a reader holds, cut at each `end`.
struct Lines<R> {
    reader: R,
    end: u8,
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = io::Result<OsString>;

    fn next(&mut self) -> Option<io::Result<OsString>> {
        let mut line = Vec::new();
        match self.reader.read_until(self.end, &mut line) {
            Ok(0) => None,
            Ok(_) => {
                if line.last() == Some(&self.end) {
                    line.pop();
                }
                Some(Ok(OsString::from_vec(line)))
            }
            Err(error) => Some(Err(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jobs(line: &str, link: bool) -> Vec<String> {
        let words = line.split(' ').map(OsString::from).collect();
        let (_, sources) = take_apart(words, &[], link).unwrap();
        let inputs = Inputs::open(sources, false).unwrap();
        let known = inputs.len_known();
        let jobs: Vec<_> = inputs
            .map(|values| {
                values
                    .unwrap()
                    .join(std::ffi::OsStr::new(""))
                    .into_string()
                    .unwrap()
            })
            .collect();
        assert_eq!(known, Some(jobs.len() as u64));
        jobs
    }

    #[test]
    fn sources_are_combined_or_linked() {
        assert_eq!(jobs("c ::: a b", false), ["a", "b"]);
        assert_eq!(
            jobs("c ::: a b ::: 1 2 3", false),
            ["a1", "a2", "a3", "b1", "b2", "b3"]
        );
        assert_eq!(jobs("c ::: a b :::+ 1 2 3", false), ["a1", "b2"]);
        assert_eq!(
            jobs("c ::: a b ::: 1 2 3 :::+ x y", false),
            ["a1x", "a2y", "b1x", "b2y"]
        );
        assert_eq!(jobs("c ::: a b ::: 1 2", true), ["a1", "b2"]);
        assert_eq!(jobs("c ::: a b c ::: 1 2", true), ["a1", "b2", "c1"]);
        assert_eq!(
            jobs("c ::: a b ::: 1 2 3 4 5 :::+ x", true),
            ["a1x", "b2x", "a3x", "b4x", "a5x"]
        );
        assert_eq!(jobs("c ::: a b :::", true), [""; 0]);
        assert_eq!(jobs("c ::: ::: a b", true), [""; 0]);
        assert_eq!(jobs("c ::: a b :::", false), [""; 0]);
        assert_eq!(jobs("c :::", false), [""; 0]);
    }

    #[test]
    fn all_is_read_if_the_number_is_to_be_known() {
        let mut inputs = Inputs {
            first: Box::new(Lines {
                reader: &b"a\n # no\n\nb"[..],
                end: b'\n',
            }),
            ..Inputs::open(jobs_of(":::"), false).unwrap()
        };
        assert_eq!(inputs.len_known(), None);
        inputs.read_all(true).unwrap();
        assert_eq!(inputs.len_known(), Some(2));
        let values: Vec<_> = inputs.map(Result::unwrap).collect();
        assert_eq!(values, [["a"], ["b"]]);
    }

    fn jobs_of(line: &str) -> Vec<Source> {
        let words = line.split(' ').map(OsString::from).collect();
        take_apart(words, &[], false).unwrap().1
    }

    #[test]
    fn a_command_line_is_taken_apart() {
        let words = ["echo", "-n", ":::", "a", "::::", "f", "-"].map(OsString::from);
        let (command, sources) = take_apart(words.into(), &[], false).unwrap();
        assert_eq!(command, ["echo", "-n"]);
        let from: Vec<_> = sources.into_iter().map(|source| source.from).collect();
        assert_eq!(
            from,
            [
                From::Words(vec!["a".into()]),
                From::File("f".into()),
                From::File("-".into())
            ]
        );
        let wrong =
            |line: &str| take_apart(line.split(' ').map(OsString::from).collect(), &[], false);
        assert!(wrong("c ::::").unwrap_err().contains("a file"));
        assert!(wrong("c :::+ a").unwrap_err().contains("none"));
    }

    #[test]
    fn lines_end_with_a_line_feed_or_nothing() {
        let lines = |text: &'static [u8], end| {
            let lines = Lines { reader: text, end };
            lines
                .map(|line| line.unwrap().into_string().unwrap())
                .collect::<Vec<_>>()
        };
        assert_eq!(lines(b"a\n\n b \nc", b'\n'), ["a", "", " b ", "c"]);
        assert_eq!(lines(b"a\nb\0c\0", 0), ["a\nb", "c"]);
        assert_eq!(lines(b"", b'\n'), [""; 0]);
    }
}
