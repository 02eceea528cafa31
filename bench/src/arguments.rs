//! The command line: which benchmark, how long, and the hidden form in which the program
//! starts itself again as a contender's process.

use crate::child::Role;

/// What a wrong command line is answered with.
pub(crate) const USAGE: &str = "\
usage: ropewalk-bench NAME [--quick] [--rounds N] [--only CONTENDER,...]

  NAME       switch, spawn, memory, mutex, channel, timers, udp, files, echo, http, http-pipelined,
             executor, run, process or all
  --quick    fewer and shorter rounds: about 20 s for each NAME
  --rounds   how many rounds to take medians over
  --only     run these contenders alone (their names are those of the output)";

const NAMES: [&str; 15] = [
    "switch",
    "spawn",
    "memory",
    "mutex",
    "channel",
    "timers",
    "udp",
    "files",
    "echo",
    "http",
    "http-pipelined",
    "executor",
    "run",
    "process",
    "all",
];

/// What to run and how thoroughly.
pub(crate) struct Arguments {
    /// The benchmark's name, or `all`.
    pub(crate) name: String,
    /// Whether to finish in about 20 s.
    pub(crate) quick: bool,
    rounds: Option<usize>,
    only: Vec<String>,
}

impl Arguments {
    /// The number of rounds: what `--rounds` says, else one of the two defaults.
    pub(crate) fn rounds(&self, quick: usize, thorough: usize) -> usize {
        self.rounds
            .unwrap_or(if self.quick { quick } else { thorough })
    }

    /// Those of `contenders` that `--only` lets through: all of them without it.
    pub(crate) fn select(&self, contenders: &[&'static str]) -> Vec<&'static str> {
        let wanted = |name: &&&str| self.only.is_empty() || self.only.iter().any(|o| o == **name);
        contenders.iter().filter(wanted).copied().collect()
    }
}

/// The two ways this program is started.
pub(crate) enum Invocation {
    /// By a person.
    Benchmarks(Arguments),
    /// By itself: play `role` as `contender`, on one core if one is named.
    Child {
        role: Role,
        contender: String,
        core: Option<usize>,
    },
}

/// Reads the command line, without the program's name.
///
/// # Errors
/// A sentence that says which argument is wrong.
pub(crate) fn parse(mut given: impl Iterator<Item = String>) -> Result<Invocation, String> {
    let mut name = None;
    let mut quick = false;
    let mut rounds = None;
    let mut only = Vec::new();
    while let Some(argument) = given.next() {
        match argument.as_str() {
            "--child" => return parse_child(given),
            "--quick" => quick = true,
            "--rounds" => rounds = Some(parse_rounds(given.next())?),
            "--only" => {
                let list = given.next().ok_or("--only needs a list of contenders")?;
                only.extend(list.split(',').map(str::to_owned));
            }
            known if NAMES.contains(&known) && name.is_none() => name = Some(argument),
            other => return Err(format!("unexpected argument: {other}")),
        }
    }
    let name = name.ok_or("no benchmark named")?;
    Ok(Invocation::Benchmarks(Arguments {
        name,
        quick,
        rounds,
        only,
    }))
}

fn parse_rounds(value: Option<String>) -> Result<usize, String> {
    let value = value.ok_or("--rounds needs a number")?;
    match value.parse() {
        Ok(rounds) if rounds > 0 => Ok(rounds),
        _ => Err(format!("--rounds needs a number above 0, not {value:?}")),
    }
}

/// Reads `ROLE CONTENDER [CORE]`.
fn parse_child(mut given: impl Iterator<Item = String>) -> Result<Invocation, String> {
    let role = given.next().ok_or("--child needs a role")?;
    let role = Role::from_name(&role).ok_or_else(|| format!("unknown role: {role}"))?;
    let contender = given.next().ok_or("--child needs a contender")?;
    let core = match given.next() {
        Some(core) => Some(core.parse().map_err(|_| format!("not a core: {core}"))?),
        None => None,
    };
    Ok(Invocation::Child {
        role,
        contender,
        core,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn benchmarks(line: &str) -> Result<Arguments, String> {
        match parse(line.split_whitespace().map(str::to_owned))? {
            Invocation::Benchmarks(arguments) => Ok(arguments),
            Invocation::Child { .. } => Err("a child's command line".into()),
        }
    }

    #[test]
    fn reads_name_and_options_in_any_order() {
        let arguments = benchmarks("--quick spawn --rounds 3 --only tokio,may").unwrap();
        assert_eq!(arguments.name, "spawn");
        assert!(arguments.quick);
        assert_eq!(arguments.rounds(5, 9), 3);
        assert_eq!(
            arguments.select(&["ropewalk", "tokio", "may"]),
            ["tokio", "may"]
        );
    }

    #[test]
    fn defaults_depend_on_quick() {
        assert_eq!(benchmarks("http").unwrap().rounds(5, 9), 9);
        assert_eq!(benchmarks("http --quick").unwrap().rounds(5, 9), 5);
        assert_eq!(benchmarks("http").unwrap().select(&["tokio"]), ["tokio"]);
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        for line in [
            "",
            "--quick",
            "nothing",
            "spawn switch",
            "spawn --rounds 0",
            "echo --only",
        ] {
            assert!(benchmarks(line).is_err(), "{line:?} was accepted");
        }
    }
}
