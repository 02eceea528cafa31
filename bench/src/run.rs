//! `run`: jobs a second of `ropewalk run`, on programs that do nothing or print a line.
//!
//! Every contender gets the same numbers on its standard input, one a line, and runs a program for
//! each, so many at once. Its own start is in the time.
//!
//! - `ropewalk`, `ropewalk-epoll`: `ropewalk run -j N PROGRAM`, built by `cargo build --release -p
//!   ropewalk-cli` and lying beside this program;
//! - `gnu-parallel`: `parallel --will-cite -j N PROGRAM`;
//! - `xargs`: `xargs -P N -n 1 PROGRAM`, which keeps no output together and no log;
//! - `bare`: no command line tool but a loop of this program's own that starts the processes and
//!   waits for them, to show what the system itself takes for that.
//!
//! Variants: `true-N` runs `true`; `echo-N` runs `echo`, whose line is kept and shown by those that
//! do; `exit-N` runs a program of three instructions. On a virtual machine the C library's start,
//! which asks the processor for its properties, may take most of a millisecond in each `true`;
//! that program has none of it, so what is left is the contender's own. `N` jobs at once.

use std::collections::VecDeque;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use crate::arguments::Arguments;
use crate::contest;
use crate::report::{Better, Measure, Report};

const CONTENDERS: [&str; 5] = [
    "ropewalk",
    "ropewalk-epoll",
    "gnu-parallel",
    "xargs",
    "bare",
];
const MEASURE: Measure = Measure {
    bench: "run",
    unit: "jobs/s",
    better: Better::Higher,
};

/// A program to run, and how many at once.
#[derive(Clone, Copy)]
struct Variant<'p> {
    program: &'p str,
    at_once: usize,
}

/// Runs the benchmark.
pub(crate) fn run(arguments: &Arguments) -> Report {
    let mut report = Report::new();
    let contenders: Vec<_> = arguments
        .select(&CONTENDERS)
        .into_iter()
        .filter(|name| match missing(name) {
            Some(what) => {
                eprintln!("skipped: {what} not installed");
                false
            }
            None => true,
        })
        .collect();
    let jobs = if arguments.quick { 300 } else { 1000 };
    let exit = Exit::write();
    let mut variants = vec![
        ("true-2", "true", 2),
        ("true-8", "true", 8),
        ("echo-8", "echo", 8),
    ];
    match &exit {
        Ok(Some(Exit(path))) => variants.push(("exit-8", path, 8)),
        Ok(None) => eprintln!("skipped: exit-8 is for x86-64 alone"),
        Err(error) => eprintln!("skipped: exit-8: {error}"),
    }
    for (name, program, at_once) in variants {
        let variant = Variant { program, at_once };
        let entries = contest::interleave(
            &format!("run {name}"),
            &contenders,
            arguments.rounds(3, 7),
            |contender| {
                // Pages of the programs, and the blocking pool's threads of nobody, are in memory.
                jobs_per_second(contender, variant, 20)?;
                Ok(contender)
            },
            |contender| jobs_per_second(contender, variant, jobs),
        );
        report.add(MEASURE, name, entries, |rate| *rate, |_| Vec::new());
    }
    report
}

/// The program of three instructions; goes with this.
struct Exit(String);

impl Exit {
    /// Writes it to the temporary folder; `None` for a processor it isn't for.
    fn write() -> io::Result<Option<Exit>> {
        if !cfg!(target_arch = "x86_64") {
            return Ok(None);
        }
        let path = std::env::temp_dir().join(format!("ropewalk-bench-exit-{}", std::process::id()));
        let path = path.into_os_string().into_string();
        let path = path.map_err(|_| io::Error::other("the temporary folder's name is no text"))?;
        fs::write(&path, exit_program())?;
        let exit = Exit(path);
        fs::set_permissions(&exit.0, fs::Permissions::from_mode(0o755))?;
        Ok(Some(exit))
    }
}

impl Drop for Exit {
    fn drop(&mut self) {
        // At worst a small file stays where such files are swept away.
        let _ = fs::remove_file(&self.0);
    }
}

/// An ELF executable for x86-64: its header, one program header, `exit(0)`.
fn exit_program() -> Vec<u8> {
    const BASE: u64 = 0x40_0000;
    const HEADERS: u64 = 64 + 56;
    // mov eax, 60 (exit); xor edi, edi; syscall
    const CODE: [u8; 9] = [0xb8, 60, 0, 0, 0, 0x31, 0xff, 0x0f, 0x05];
    let mut elf = Vec::new();
    elf.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    // An executable, for x86-64, of version 1.
    elf.extend([2u16, 62].iter().flat_map(|half| half.to_le_bytes()));
    elf.extend(1u32.to_le_bytes());
    // Entry; program headers, right behind this; no section headers.
    let places = [BASE + HEADERS, 64, 0];
    elf.extend(places.iter().flat_map(|place| place.to_le_bytes()));
    elf.extend(0u32.to_le_bytes());
    // Sizes: this header, one program header of so many bytes; no section header.
    let sizes = [64u16, 56, 1, 0, 0, 0];
    elf.extend(sizes.iter().flat_map(|size| size.to_le_bytes()));
    // To be loaded, readable and executable; all of the file.
    elf.extend([1u32, 5].iter().flat_map(|word| word.to_le_bytes()));
    let len = HEADERS + CODE.len() as u64;
    let places = [0, BASE, BASE, len, len, 0x1000];
    elf.extend(places.iter().flat_map(|place| place.to_le_bytes()));
    elf.extend(CODE);
    elf
}

/// The program that a contender is, if it is not there.
fn missing(contender: &str) -> Option<&'static str> {
    let (program, name) = match contender {
        "gnu-parallel" => ("parallel", "GNU parallel"),
        "xargs" => ("xargs", "xargs"),
        _ => return None,
    };
    let version = Command::new(program).arg("--version").output();
    let there = version.is_ok_and(|output| {
        // Another program has that name too.
        output.status.success() && String::from_utf8_lossy(&output.stdout).contains("GNU")
    });
    (!there).then_some(name)
}

/// The `ropewalk` command of the same build.
fn ropewalk() -> io::Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name("ropewalk");
    match path.exists() {
        true => Ok(path),
        false => Err(io::Error::other(
            "no `ropewalk` beside the benchmark: cargo build --release -p ropewalk-cli",
        )),
    }
}

fn jobs_per_second(contender: &str, variant: Variant<'_>, jobs: usize) -> io::Result<f64> {
    let Variant { program, at_once } = variant;
    let begun = Instant::now();
    let number = at_once.to_string();
    match contender {
        "bare" => bare(variant, jobs)?,
        "gnu-parallel" => feed(
            Command::new("parallel").args(["--will-cite", "-j", &number, program]),
            jobs,
        )?,
        "xargs" => feed(
            Command::new("xargs").args(["-P", &number, "-n", "1", program]),
            jobs,
        )?,
        ours => {
            let mut command = Command::new(ropewalk()?);
            match ours {
                "ropewalk-epoll" => command.env("ROPEWALK_DRIVER", "epoll"),
                _ => command.env_remove("ROPEWALK_DRIVER"),
            };
            feed(command.args(["run", "-j", &number, program]), jobs)?;
        }
    }
    Ok(jobs as f64 / begun.elapsed().as_secs_f64())
}

/// Runs a tool with a line for each job, to its end.
fn feed(command: &mut Command, jobs: usize) -> io::Result<()> {
    let mut tool = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()?;
    let lines: String = (0..jobs).map(|job| format!("{job}\n")).collect();
    let fed = tool
        .stdin
        .take()
        .expect("standard input is piped")
        .write_all(lines.as_bytes());
    let status = tool.wait()?;
    fed?;
    match status.success() {
        true => Ok(()),
        false => Err(io::Error::other(format!("ended with {status}"))),
    }
}

/// Starts a process for each job, and waits for the oldest when enough run.
fn bare(variant: Variant<'_>, jobs: usize) -> io::Result<()> {
    let mut running: VecDeque<Child> = VecDeque::new();
    for job in 0..jobs {
        if running.len() == variant.at_once
            && let Some(mut oldest) = running.pop_front()
        {
            oldest.wait()?;
        }
        let mut command = Command::new(variant.program);
        command.arg(job.to_string());
        running.push_back(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?);
    }
    running
        .iter_mut()
        .try_for_each(|child| child.wait().map(drop))
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    #[test]
    fn the_program_of_three_instructions_runs() {
        let exit = Exit::write().unwrap().unwrap();
        let status = Command::new(&exit.0).status().unwrap();
        assert!(status.success(), "{status}");
    }
}
