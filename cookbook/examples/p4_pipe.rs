//! P4, known as `multiprocessing.Pipe(duplex)`: `send`, `recv`, `poll`, `close`, `EOFError`.
//!
//! An end sends one type and receives another, and both sides know them. One end can be shared:
//! each message is one packet, so several writers, also in several processes, also when they are
//! killed, never mix theirs up. In Python that corrupts the pipe.

use std::collections::BTreeMap;
use std::io;

use ropewalk::process::Process;
use ropewalk::process::pipe::{self, Pipe, PipeError, Sender};
use ropewalk::time::Duration;
use serde::{Deserialize, Serialize};

/// What is asked.
#[derive(Debug, Serialize, Deserialize)]
pub enum Question {
    /// How often each word comes.
    Count(String),
    /// What the text is, backwards.
    Reverse(String),
}

/// What is answered.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// The words, each with how often it comes.
    Counted(BTreeMap<String, usize>),
    /// The text.
    Reversed(String),
}

/// Answers until nobody asks any more; gives how many it has answered.
#[ropewalk::task]
fn answer(pipe: Pipe<Answer, Question>) -> usize {
    let mut answered = 0;
    for question in pipe.iter() {
        let answer = match question.expect("a question") {
            Question::Count(text) => {
                let mut words = BTreeMap::new();
                for word in text.split_whitespace() {
                    *words.entry(word.to_owned()).or_default() += 1;
                }
                Answer::Counted(words)
            }
            Question::Reverse(text) => Answer::Reversed(text.chars().rev().collect()),
        };
        pipe.send(answer).expect("who asks listens");
        answered += 1;
    }
    answered
}

/// Both ways: asks a process the questions, one after the other, and closes its end; gives the
/// answers, and how many the process says it has given.
///
/// # Errors
///
/// The process's and the pipe's.
pub fn ask(questions: Vec<Question>) -> io::Result<(Vec<Answer>, usize)> {
    let (here, there) = pipe::duplex()?;
    let process = Process::spawn(answer, (there,))?;
    let mut answers = Vec::new();
    for question in questions {
        here.send(question)?;
        answers.push(here.recv()?);
    }
    drop(here);
    let answered = process.join()?;
    Ok((answers, answered))
}

#[ropewalk::task]
fn count_to(last: u32, numbers: Sender<u32>) {
    for number in 1..=last {
        numbers.send(number).expect("somebody counts with us");
    }
}

/// One way: what a process counts, up to its end.
///
/// # Errors
///
/// The process's and the pipe's.
pub fn hear(last: u32) -> io::Result<(Vec<u32>, bool)> {
    let (sender, receiver) = pipe::one_way()?;
    let process = Process::spawn(count_to, (last, sender))?;
    let mut numbers = Vec::new();
    // `poll` waits for a message or the end.
    while receiver.poll_timeout(Duration::MAX)? {
        match receiver.recv() {
            Ok(number) => numbers.push(number),
            Err(PipeError::Closed) => break,
            Err(error) => return Err(error.into()),
        }
    }
    process.join()?;
    // A closed pipe stays closed.
    Ok((numbers, matches!(receiver.recv(), Err(PipeError::Closed))))
}

#[ropewalk::task]
fn write_lines(who: u32, lines: u32, sender: Sender<(u32, u32, String)>) {
    for line in 0..lines {
        let text = format!("{who}").repeat(1 + line as usize * 997 % 100_000);
        sender.send((who, line, text)).expect("the reader reads");
    }
}

/// Has so many processes write as many lines each into one end, at once. Gives how many came
/// through whole and in their writer's order, and how many came at all.
///
/// # Errors
///
/// A process's and the pipe's.
pub fn share(writers: u32, lines: u32) -> io::Result<(u32, u32)> {
    let (sender, receiver) = pipe::one_way()?;
    let mut processes = Vec::new();
    for who in 0..writers {
        processes.push(Process::spawn(write_lines, (who, lines, sender.clone()))?);
    }
    drop(sender);
    let mut next = vec![0; writers as usize];
    let (mut whole, mut all) = (0, 0);
    for message in &receiver {
        let (who, line, text) = message?;
        all += 1;
        let expected = format!("{who}").repeat(1 + line as usize * 997 % 100_000);
        whole += u32::from(text == expected && next[who as usize] == line);
        next[who as usize] = line + 1;
    }
    for process in processes {
        process.join()?;
    }
    Ok((whole, all))
}

/// What a send says whose receiver is gone, with the message given back.
///
/// # Errors
///
/// If there is no pipe to be had.
pub fn send_to_nobody() -> io::Result<(String, String)> {
    let (here, there) = pipe::duplex::<String, ()>()?;
    drop(there);
    let error = here.send("anybody?".to_owned()).expect_err("nobody");
    Ok((error.to_string(), error.into_inner()))
}

#[ropewalk::main]
fn main() -> io::Result<()> {
    let text = "what is it that is".to_owned();
    let questions = vec![Question::Count(text.clone()), Question::Reverse(text)];
    let (answers, answered) = ask(questions)?;
    for answer in answers {
        println!("{answer:?}");
    }
    println!("answered: {answered}");
    let (numbers, closed) = hear(5)?;
    println!("one way: {numbers:?}, then closed: {closed}");
    let (whole, all) = share(4, 250)?;
    println!("4 writers at one end: {all} messages, {whole} whole and in order");
    let (why, message) = send_to_nobody()?;
    println!("{message:?} was not sent: {why}");
    Ok(())
}
