//! Makes the sources that the models check out of the sources that ship.
//!
//! Each file in [`SOURCES`] is read from where it is built for real and written to `OUT_DIR`, with
//! three kinds of changes:
//!
//! - paths to loom's atomics, cells and locks instead of std's ([`EVERYWHERE`], [`RT`]);
//! - what only concerns constants, or calls the system ([`Source::swaps`]); it must be there, or
//!   the build says what is missing, and so must
//! - the faults of `src/faults.rs`, each as `if crate::faults::on("name") { broken } else { real }`.

use std::path::{Path, PathBuf};
use std::{env, fs};

#[path = "src/faults/table.rs"]
mod table;

/// A file that ships and what of it is checked.
struct Source {
    /// Below `crates/`; also how the faults name it.
    path: &'static str,
    /// Where it goes, below `OUT_DIR`.
    to: &'static str,
    parts: &'static [Part],
    /// Behind which text (empty: it is the only place) what is put in place of what.
    swaps: &'static [(&'static str, &'static str, &'static str)],
}

/// A piece of what is made.
enum Part {
    /// Of the source, from one text to another (excluded); empty: from the beginning, or to the end.
    Cut(&'static str, &'static str),
    /// Something else.
    Text(&'static str),
}

use Part::{Cut, Text};

const fn whole(path: &'static str, to: &'static str) -> Source {
    Source {
        path,
        to,
        parts: &[Cut("", "")],
        swaps: &[],
    }
}

/// For all files.
const EVERYWHERE: &[(&str, &str)] = &[
    ("std::sync::atomic::", "crate::shim::atomic::"),
    ("use std::sync::{", "use crate::shim::sync::{"),
    ("use std::cell::", "use crate::shim::cell::"),
    ("use std::hint;", "use loom::hint;"),
    ("std::thread::yield_now", "loom::thread::yield_now"),
    ("thread_local!", "loom::thread_local!"),
    ("const fn new(", "fn new("),
    // The processes under test go on after a model has failed.
    ("std::process::abort()", "()"),
    ("debug_assert", "assert"),
];

/// For the files of `rt`: the kernel is this crate, `rt` a module of it.
const RT: &[(&str, &str)] = &[
    ("crate::", "crate::rt::"),
    ("crate::rt::shim::", "crate::shim::"),
    ("crate::rt::faults::", "crate::faults::"),
    ("ropewalk_kernel::", "crate::"),
    ("pub(super) ", "pub(crate) "),
    ("lock_api::", "crate::shim::lock_api::"),
    (
        "use crossbeam_utils::{Backoff, CachePadded};",
        "use crate::shim::backoff::{Backoff, CachePadded};",
    ),
];

include!("src/sources.rs");

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/sources.rs");
    println!("cargo::rerun-if-changed=src/faults/table.rs");
    if env::var_os("CARGO_CFG_LOOM").is_none() {
        return;
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let crates = here.parent().expect("below `crates`");
    for fault in table::FAULTS {
        assert!(
            SOURCES.iter().any(|source| source.path == fault.file),
            "fault {}: `{}` is not among the sources",
            fault.name,
            fault.file
        );
    }
    let place = |text: &str| {
        text.replace("$OUT", &out.display().to_string())
            .replace("$SRC", &here.join("src").display().to_string())
    };
    for source in SOURCES {
        let text = place(&make(source, crates));
        let to = out.join(source.to);
        fs::create_dir_all(to.parent().expect("below OUT_DIR")).expect("can write to OUT_DIR");
        fs::write(to, text).expect("can write to OUT_DIR");
    }
    fs::write(out.join("modules.rs"), place(MODULES)).expect("can write to OUT_DIR");
}

fn make(source: &Source, crates: &Path) -> String {
    let path = crates.join(source.path);
    println!("cargo::rerun-if-changed={}", path.display());
    let text =
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut text: String = source
        .parts
        .iter()
        .map(|part| match part {
            Cut(from, to) => cut(&text, from, to, source.path),
            Text(text) => text,
        })
        .collect();
    // Before anything else, so that the table quotes what ships.
    for fault in table::FAULTS
        .iter()
        .filter(|fault| fault.file == source.path)
    {
        let broken = if fault.real.trim_end().ends_with([';', '}']) {
            format!(
                "if crate::faults::on(\"{}\") {{ {} }} else {{ {} }}",
                fault.name, fault.broken, fault.real
            )
        } else {
            format!(
                "(if crate::faults::on(\"{}\") {{ {} }} else {{ {} }})",
                fault.name, fault.broken, fault.real
            )
        };
        text = swap(&text, fault.after, fault.real, &broken, source.path);
    }
    for (after, from, to) in source.swaps {
        text = swap(&text, after, from, to, source.path);
    }
    for (from, to) in EVERYWHERE {
        text = text.replace(from, to);
    }
    if source.path.starts_with("rt/") {
        for (from, to) in RT {
            text = text.replace(from, to);
        }
    }
    text
}

fn cut<'t>(text: &'t str, from: &str, to: &str, path: &str) -> &'t str {
    let start = text
        .find(from)
        .unwrap_or_else(|| panic!("{path}: no `{from}` any more"));
    let rest = &text[start..];
    if to.is_empty() {
        return rest;
    }
    let end = rest
        .find(to)
        .unwrap_or_else(|| panic!("{path}: no `{to}` after `{from}` any more"));
    &rest[..end]
}

/// Puts `to` in place of `from`, however its lines are broken: where it is there only once, or, if
/// `after` is something, behind that.
fn swap(text: &str, after: &str, from: &str, to: &str, path: &str) -> String {
    let at = text.find(after);
    let at = at.unwrap_or_else(|| panic!("{path}: `{after}` is not there any more"));
    let found = find_all(&text[at..], from);
    assert!(
        found.len() == 1 || (!found.is_empty() && !after.is_empty()),
        "{path}: `{from}` is there {} times",
        found.len()
    );
    let (start, end) = found[0];
    format!("{}{to}{}", &text[..at + start], &text[at + end..])
}

/// Where `what` is, any white space in it standing for any other.
fn find_all(text: &str, what: &str) -> Vec<(usize, usize)> {
    let words: Vec<&str> = what.split_whitespace().collect();
    let mut found = Vec::new();
    for (start, _) in text.match_indices(words[0]) {
        let mut at = start + words[0].len();
        let whole = words[1..].iter().all(|word| {
            let rest = text[at..].trim_start();
            let gap = text.len() - at - rest.len();
            let matches = gap > 0 && rest.starts_with(word);
            at += gap + word.len();
            matches
        });
        if whole {
            found.push((start, at));
        }
    }
    found
}
