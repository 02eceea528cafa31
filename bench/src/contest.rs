//! Takes the contenders' turns: round after round, every contender once a round, so that
//! whatever drifts on the machine drifts under all of them.

use std::io::{IsTerminal, Write};

/// One contender's part: either what it measured in each round, or why it fell out.
pub(crate) struct Entry<S> {
    /// Its name in the output.
    pub(crate) contender: &'static str,
    /// One sample a round, or the error that ended its part.
    pub(crate) outcome: Result<Vec<S>, String>,
}

/// Sets every contender up, then lets each take one sample a round, the first turn passing on
/// from round to round. A contender that fails falls out with its error; the others go on.
pub(crate) fn interleave<C, S>(
    title: &str,
    contenders: &[&'static str],
    rounds: usize,
    mut set_up: impl FnMut(&'static str) -> std::io::Result<C>,
    mut sample: impl FnMut(&mut C) -> std::io::Result<S>,
) -> Vec<Entry<S>> {
    let mut parts: Vec<_> = contenders
        .iter()
        .map(|&name| {
            show_progress(&format!("{title}: setting up {name}"));
            let contender = set_up(name).map_err(|error| error.to_string());
            (name, contender, Vec::with_capacity(rounds))
        })
        .collect();
    for round in 0..rounds {
        for turn in 0..parts.len() {
            let index = (round + turn) % parts.len();
            let (name, contender, samples) = &mut parts[index];
            if let Ok(running) = contender {
                show_progress(&format!("{title}: round {} of {rounds}, {name}", round + 1));
                match sample(running) {
                    Ok(taken) => samples.push(taken),
                    Err(error) => *contender = Err(error.to_string()),
                }
            }
        }
    }
    show_progress("");
    parts
        .into_iter()
        .map(|(contender, state, samples)| Entry {
            contender,
            outcome: state.map(|_| samples),
        })
        .collect()
}

/// Shows one line that the next one replaces, on a terminal only.
pub(crate) fn show_progress(line: &str) {
    let mut errors = std::io::stderr();
    if errors.is_terminal() {
        // Clear the line, then write; a terminal that went away is not worth failing for.
        let _ = write!(errors, "\r\x1b[K{line}").and_then(|()| errors.flush());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_interleave_and_a_failure_falls_out() {
        let mut order = Vec::new();
        let entries = interleave(
            "test",
            &["a", "b", "absent"],
            2,
            |name| {
                if name == "absent" {
                    Err(std::io::Error::other("no"))
                } else {
                    Ok(name)
                }
            },
            |name| {
                order.push(*name);
                let b_turns = order.iter().filter(|n| **n == "b").count();
                if b_turns == 2 && *name == "b" {
                    Err(std::io::Error::other("b fell"))
                } else {
                    Ok(1)
                }
            },
        );
        assert_eq!(order, ["a", "b", "b", "a"]);
        assert_eq!(entries[0].outcome, Ok(vec![1, 1]));
        assert_eq!(entries[1].outcome, Err("b fell".to_owned()));
        assert_eq!(entries[2].outcome, Err("no".to_owned()));
    }
}
