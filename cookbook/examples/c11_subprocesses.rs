//! C11, known as asyncio's subprocesses: many at once, talked to over their pipes, and killed
//! with all they have started when they take too long.
//!
//! Each child has a coroutine of its own that waits for it as if there were nothing else to do.

use std::io::{self, BufRead, BufReader, Write};

use ropewalk::coroutine;
use ropewalk::process::{Command, Stdio, TimeoutExpired};
use ropewalk::time::Duration;

/// Has a child of its own put each text into capitals, all at once.
///
/// # Errors
///
/// A child's that can't be started or fails.
pub fn shout(texts: &[&str]) -> io::Result<Vec<String>> {
    coroutine::scope(|s| {
        let children: Vec<_> = texts
            .iter()
            .map(|text| {
                s.spawn(move || {
                    Command::new("tr")
                        .args(["a-z", "A-Z"])
                        .output_with_input(text.as_bytes())
                })
            })
            .collect();
        let shouted = |child: coroutine::ScopedJoinHandle<'_, _>| {
            let output: ropewalk::process::Output = child.join().expect("no panic")?;
            String::from_utf8(output.stdout).map_err(io::Error::other)
        };
        children.into_iter().map(shouted).collect()
    })
}

/// Starts so many children, each of which waits for its input; says how many were alive at once,
/// and how many ended well after it.
///
/// # Errors
///
/// A child's that can't be started.
pub fn alive_at_once(count: usize) -> io::Result<(usize, usize)> {
    let start = || {
        Command::new("cat")
            .stdin(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
    };
    let mut children: Vec<_> = (0..count).map(|_| start()).collect::<io::Result<_>>()?;
    let mut alive = 0;
    for child in &mut children {
        alive += usize::from(child.try_wait()?.is_none());
    }
    // To wait closes the input first.
    let ended = coroutine::scope(|s| {
        let waiting: Vec<_> = children
            .iter_mut()
            .map(|child| s.spawn(|| child.wait().is_ok_and(|status| status.success())))
            .collect();
        let well = waiting.into_iter().map(|w| w.join().expect("no panic"));
        well.filter(|&well| well).count()
    });
    Ok((alive, ended))
}

/// Says line after line to a child, and hears its answer to each before the next.
///
/// # Errors
///
/// The child's.
pub fn talk(lines: &[&str]) -> io::Result<Vec<String>> {
    let script = "while read -r line; do echo \"you said: $line\"; done";
    let mut child = Command::new("sh")
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut to = child.stdin.take().expect("piped");
    let mut from = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut answers = Vec::new();
    for line in lines {
        writeln!(to, "{line}")?;
        answers.push(from.next().ok_or(io::ErrorKind::UnexpectedEof)??);
    }
    drop(to);
    child.wait()?;
    Ok(answers)
}

/// Runs a child that starts another and takes for ever; gives what it had said when its time was
/// over, with the other's process id before it.
///
/// # Errors
///
/// If it ended all the same.
pub fn out_of_time(limit: Duration) -> io::Result<String> {
    let script = "sleep 1000 & echo $!; echo so far so good; wait";
    match Command::new("sh")
        .args(["-c", script])
        .timeout(limit)
        .output()
    {
        Ok(_) => Err(io::Error::other("it ended")),
        Err(error) => match TimeoutExpired::of(&error) {
            Some(expired) => Ok(String::from_utf8_lossy(&expired.output().stdout).into_owned()),
            None => Err(error),
        },
    }
}

/// Says whether a process has ended, or does within some time: whoever adopts a killed one takes
/// its end a moment later.
pub fn ends(id: &str) -> bool {
    (0..1000).any(|_| {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat"));
        let ended = stat.map_or(true, |stat| stat.contains(") Z "));
        if !ended {
            coroutine::sleep(Duration::from_millis(5));
        }
        ended
    })
}

#[ropewalk::main]
fn main() -> io::Result<()> {
    println!("at once: {:?}", shout(&["one", "two", "three"])?);
    let (alive, ended) = alive_at_once(20)?;
    println!("{alive} alive at once, {ended} ended well");
    println!("a talk: {:?}", talk(&["hello", "good bye"])?);

    let said = out_of_time(Duration::from_millis(500))?;
    let (grandchild, said) = said.split_once('\n').unwrap_or_default();
    println!("killed after: {said:?}");
    println!("what it had started has ended too: {}", ends(grandchild));
    Ok(())
}
