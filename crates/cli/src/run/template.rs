//! The command to run, with places for values.
//!
//! | place | becomes, for the value `dir/photo.tar.gz` |
//! |---|---|
//! | `{}` | `dir/photo.tar.gz` |
//! | `{.}` | without its last extension: `dir/photo.tar` |
//! | `{/}` | the last part of the path: `photo.tar.gz` |
//! | `{//}` | what is before that: `dir` (`.` if nothing is) |
//! | `{/.}` | `photo.tar` |
//! | `{#}`, `{%}` | the number of the job, and of the slot it runs in, from 1 |
//!
//! `{2}`, `{2.}`, `{2/}` and so on are of the second source's value; the others of all values, with
//! blanks between. A template without any place for a value gets `{}` at its end.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// A command whose words have places for values.
#[derive(Debug)]
pub(crate) struct Template {
    words: Vec<Vec<Part>>,
    /// Whether it is one text for a shell.
    shell: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Vec<u8>),
    Job,
    Slot,
    Value { source: Option<usize>, form: Form },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Whole,
    WithoutExtension,
    Name,
    Parent,
    Stem,
}

/// What a job's places become.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filling<'a> {
    pub(crate) values: &'a [OsString],
    pub(crate) job: u64,
    pub(crate) slot: usize,
}

impl Template {
    /// Reads a command: several words, each an argument as it is; or a single text, which is split
    /// into words as a shell would, quotes included, but with nothing of a shell besides.
    ///
    /// With `shell` the words, joined by blanks, are one text for a shell.
    ///
    /// # Errors
    ///
    /// A sentence, for a text with a quote that is not closed.
    pub(crate) fn new(command: &[OsString], shell: bool) -> Result<Template, String> {
        let words: Vec<OsString> = match command {
            words if shell => vec![words.join(OsStr::new(" "))],
            [text] => split(text)?,
            words => words.to_vec(),
        };
        let mut words: Vec<Vec<Part>> = words.iter().map(|word| parts(word.as_bytes())).collect();
        let values = |part: &Part| matches!(part, Part::Value { .. });
        if !words.iter().flatten().any(values) {
            let all = Part::Value {
                source: None,
                form: Form::Whole,
            };
            match words.last_mut().filter(|_| shell) {
                Some(text) => text.extend([Part::Text(b" ".to_vec()), all]),
                None => words.push(vec![all]),
            }
        }
        Ok(Template { words, shell })
    }

    /// The highest source that a place names, from 1; 0 if none names any.
    pub(crate) fn sources_named(&self) -> usize {
        let named = self.words.iter().flatten().filter_map(|part| match part {
            Part::Value { source, .. } => *source,
            _ => None,
        });
        named.map(|source| source + 1).max().unwrap_or(0)
    }

    /// The words of a job's command. For a shell a single one, in which values are quoted.
    pub(crate) fn fill(&self, filling: Filling<'_>) -> Vec<OsString> {
        let mut filled = Vec::with_capacity(self.words.len());
        for word in &self.words {
            // A place that stands alone gives a word for each value.
            if let ([Part::Value { source: None, form }], false) = (word.as_slice(), self.shell) {
                filled.extend(filling.values.iter().map(|value| form.of(value)));
                continue;
            }
            let mut bytes = Vec::new();
            for part in word {
                self.put(part, filling, &mut bytes);
            }
            filled.push(OsString::from_vec(bytes));
        }
        filled
    }

    fn put(&self, part: &Part, filling: Filling<'_>, bytes: &mut Vec<u8>) {
        let (values, form) = match part {
            Part::Text(text) => return bytes.extend_from_slice(text),
            Part::Job => return bytes.extend(filling.job.to_string().bytes()),
            Part::Slot => return bytes.extend(filling.slot.to_string().bytes()),
            Part::Value { source, form } => match source {
                Some(source) => (&filling.values[*source..=*source], form),
                None => (filling.values, form),
            },
        };
        for (index, value) in values.iter().enumerate() {
            if index > 0 {
                bytes.push(b' ');
            }
            let value = form.of(value);
            match self.shell {
                true => bytes.extend(quoted(value.as_bytes())),
                false => bytes.extend_from_slice(value.as_bytes()),
            }
        }
    }
}

/// Splits a text into words at blanks. A single quote keeps all up to the next one, a double quote
/// all but `\"` and `\\`; a backslash keeps one character.
///
/// # Errors
///
/// A sentence, for a quote that is not closed.
pub(crate) fn split(text: &OsStr) -> Result<Vec<OsString>, String> {
    let words = shlex::bytes::split(text.as_bytes()).ok_or_else(|| {
        format!(
            "a quote is not closed, or a backslash stands at the end, in: {}",
            text.display()
        )
    })?;
    Ok(words.into_iter().map(OsString::from_vec).collect())
}

/// A value as a shell's single word.
fn quoted(value: &[u8]) -> Vec<u8> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_./:=@%+,".contains(byte);
    if !value.is_empty() && value.iter().all(plain) {
        return value.to_vec();
    }
    let mut quoted = vec![b'\''];
    for &byte in value {
        match byte {
            b'\'' => quoted.extend(b"'\\''"),
            byte => quoted.push(byte),
        }
    }
    quoted.push(b'\'');
    quoted
}

/// A command as one line that a shell would take for it, for people and the job log.
pub(crate) fn shown(words: &[OsString], shell: bool) -> String {
    let words = words.iter().map(|word| match shell {
        true => word.as_bytes().to_vec(),
        false => quoted(word.as_bytes()),
    });
    let line = words.collect::<Vec<_>>().join(&b' ');
    String::from_utf8_lossy(&line).replace(['\n', '\t'], " ")
}

fn parts(word: &[u8]) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    let mut rest = word;
    while let Some((&first, after)) = rest.split_first() {
        let place = rest
            .iter()
            .position(|&byte| byte == b'}')
            .filter(|_| first == b'{')
            .and_then(|end| Some((place(&rest[1..end])?, &rest[end + 1..])));
        if let Some((part, behind)) = place {
            parts.push(part);
            rest = behind;
            continue;
        }
        match parts.last_mut() {
            Some(Part::Text(text)) => text.push(first),
            _ => parts.push(Part::Text(vec![first])),
        }
        rest = after;
    }
    if parts.is_empty() {
        // An argument that is empty stays one.
        parts.push(Part::Text(Vec::new()));
    }
    parts
}

/// What the text between two braces asks for; `None` if they are just braces.
fn place(inside: &[u8]) -> Option<Part> {
    match inside {
        b"#" => return Some(Part::Job),
        b"%" => return Some(Part::Slot),
        _ => {}
    }
    let digits = inside.iter().take_while(|byte| byte.is_ascii_digit());
    let (number, form) = inside.split_at(digits.count());
    let source = match number {
        [] => None,
        number => {
            let number: usize = std::str::from_utf8(number).ok()?.parse().ok()?;
            Some(number.checked_sub(1)?)
        }
    };
    let form = match form {
        b"" => Form::Whole,
        b"." => Form::WithoutExtension,
        b"/" => Form::Name,
        b"//" => Form::Parent,
        b"/." => Form::Stem,
        _ => return None,
    };
    Some(Part::Value { source, form })
}

impl Form {
    fn of(self, value: &OsStr) -> OsString {
        let bytes = value.as_bytes();
        let name_at = bytes.iter().rposition(|&byte| byte == b'/');
        let name_at = name_at.map_or(0, |slash| slash + 1);
        // A name that begins with a dot has no extension there.
        let dot = bytes[name_at..].iter().rposition(|&byte| byte == b'.');
        let stem_end = match dot {
            Some(dot) if dot > 0 => name_at + dot,
            _ => bytes.len(),
        };
        let part = match self {
            Form::Whole => bytes,
            Form::WithoutExtension => &bytes[..stem_end],
            Form::Name => &bytes[name_at..],
            Form::Stem => &bytes[name_at..stem_end],
            Form::Parent if name_at == 0 => b".",
            Form::Parent if name_at == 1 => b"/",
            Form::Parent => &bytes[..name_at - 1],
        };
        OsStr::from_bytes(part).to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(command: &[&str], shell: bool, values: &[&str]) -> Vec<String> {
        let command: Vec<_> = command.iter().map(OsString::from).collect();
        let values: Vec<_> = values.iter().map(OsString::from).collect();
        let template = Template::new(&command, shell).unwrap();
        let filling = Filling {
            values: &values,
            job: 7,
            slot: 2,
        };
        let words = template.fill(filling);
        words
            .into_iter()
            .map(|word| word.into_string().unwrap())
            .collect()
    }

    #[test]
    fn each_place_has_its_form() {
        let words = ["c", "{}", "{.}", "{/}", "{//}", "{/.}", "{#}-{%}"];
        assert_eq!(
            filled(&words, false, &["dir/photo.tar.gz"]),
            [
                "c",
                "dir/photo.tar.gz",
                "dir/photo.tar",
                "photo.tar.gz",
                "dir",
                "photo.tar",
                "7-2"
            ]
        );
        let words = ["c", "{.}", "{//}", "{/.}"];
        assert_eq!(
            filled(&words, false, &[".profile"])[1..],
            [".profile", ".", ".profile"]
        );
        assert_eq!(filled(&words, false, &["/a.b"])[1..], ["/a", "/", "a"]);
        assert_eq!(
            filled(&words, false, &["a.d/b"])[1..],
            ["a.d/b", "a.d", "b"]
        );
        assert_eq!(filled(&words, false, &[""])[1..], ["", ".", ""]);
    }

    #[test]
    fn a_single_text_is_split_before_it_is_filled() {
        assert_eq!(
            filled(
                &["convert '{}' \"{.} small\".png"],
                false,
                &["my photo.jpg"]
            ),
            ["convert", "my photo.jpg", "my photo small.png"]
        );
        assert!(Template::new(&["echo 'open".into()], false).is_err());
    }

    // Names of files need not be UTF-8.
    #[test]
    fn a_text_of_any_bytes_is_split() {
        let text = OsStr::from_bytes(b"cat 'caf\xe9 one' {}\xff");
        let template = Template::new(&[text.to_owned()], false).unwrap();
        let filled = template.fill(Filling {
            values: &[OsString::from_vec(b"\xfe".to_vec())],
            job: 1,
            slot: 1,
        });
        let bytes: Vec<&[u8]> = filled.iter().map(|word| word.as_bytes()).collect();
        assert_eq!(bytes, [&b"cat"[..], b"caf\xe9 one", b"\xfe\xff"]);
    }

    #[test]
    fn words_stay_as_they_are() {
        assert_eq!(
            filled(&["echo", "a  b", "", "{x} {} }{"], false, &["v w"]),
            ["echo", "a  b", "", "{x} v w }{"]
        );
    }

    #[test]
    fn values_come_last_where_there_is_no_place() {
        assert_eq!(
            filled(&["echo", "-n"], false, &["a", "b c"]),
            ["echo", "-n", "a", "b c"]
        );
        assert_eq!(
            filled(&["echo -n"], true, &["a", "b c"]),
            ["echo -n a 'b c'"]
        );
        assert_eq!(filled(&["echo", "{#}"], false, &["a"]), ["echo", "7", "a"]);
    }

    #[test]
    fn sources_are_named_by_number() {
        assert_eq!(
            filled(&["c", "{2}-{1/}", "{}"], false, &["x/y", "z"]),
            ["c", "z-y", "x/y", "z"]
        );
        assert_eq!(filled(&["c", "<{}>"], false, &["a", "b"]), ["c", "<a b>"]);
        let template = Template::new(&["c {3.} {1}".into()], false).unwrap();
        assert_eq!(template.sources_named(), 3);
    }

    // Whatever is in a value, a shell sees one word.
    #[test]
    fn a_shell_gets_values_quoted() {
        let evil = "it's; rm -rf $HOME `x` \"q\" \\ *";
        let command = filled(&["printf %s {}"], true, &[evil]);
        let output = std::process::Command::new("sh")
            .arg("-c")
            .arg(&command[0])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), evil);
    }
}
