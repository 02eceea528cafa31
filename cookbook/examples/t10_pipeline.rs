//! T10: a pipeline of three tasks: one reads lines, one formats them, one saves them.
//!
//! `t10_pipeline notes.txt` appends what is typed, or comes through a pipe, to the file; Ctrl-D
//! ends it. Without a file the lines go to the standard output. The channels between the tasks
//! are short, so a slow disk holds up the reading, not the memory.

use std::io::{self, BufRead, Write};
use std::process::ExitCode;

use ropewalk::channel::{Receiver, Sender, bounded};
use ropewalk::coroutine;
use ropewalk::fs::File;

/// So many lines are between two tasks at most.
const BETWEEN: usize = 16;

fn read(input: impl BufRead, lines: Sender<String>) -> io::Result<()> {
    for line in input.lines() {
        if lines.send(line?).is_err() {
            // The next task has given up, and says why.
            break;
        }
    }
    Ok(())
}

fn format(lines: Receiver<String>, formatted: Sender<String>) {
    let lines = lines.iter().filter(|line| !line.trim().is_empty());
    for (number, line) in lines.enumerate() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let line = format!("{:>3}  {}", number + 1, words.join(" "));
        if formatted.send(line).is_err() {
            break;
        }
    }
}

fn save(formatted: Receiver<String>, mut output: impl Write) -> io::Result<u64> {
    let mut saved = 0;
    for line in formatted {
        writeln!(output, "{line}")?;
        saved += 1;
    }
    output.flush()?;
    Ok(saved)
}

/// Runs the three tasks to the end of the input; gives the number of lines saved.
///
/// Each task ends when the one before it has: its end drops the sender.
///
/// # Errors
///
/// The input's or the output's. What was read before it is saved.
pub fn pipeline(input: impl BufRead + Send, output: impl Write + Send) -> io::Result<u64> {
    let (lines_in, lines_out) = bounded(BETWEEN);
    let (formatted_in, formatted_out) = bounded(BETWEEN);
    coroutine::scope(|s| {
        let reading = s.spawn(move || read(input, lines_in));
        s.spawn(move || format(lines_out, formatted_in));
        let saving = s.spawn(move || save(formatted_out, output));
        let saved = saving.join().expect("no panic")?;
        reading.join().expect("no panic")?;
        Ok(saved)
    })
}

fn run(path: Option<String>) -> io::Result<()> {
    let input = io::BufReader::new(ropewalk::io::stdin());
    let saved = match &path {
        Some(path) => {
            let file = File::options().append(true).create(true).open(path)?;
            pipeline(input, file)?
        }
        None => pipeline(input, ropewalk::io::stdout())?,
    };
    println!("saved {saved} lines");
    Ok(())
}

#[ropewalk::main]
fn main() -> ExitCode {
    match run(std::env::args().nth(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
