//! What was measured: JSON lines for programs, a Markdown table for people, and the setting.

use std::collections::BTreeMap;
use std::io::Write;

use serde_json::{Map, Value, json};

use crate::contest::Entry;
use crate::measure::median;

/// The crates whose versions belong to a result.
const PEERS: [&str; 14] = [
    "tokio",
    "rayon",
    "parking_lot",
    "crossbeam-channel",
    "flume",
    "hyper",
    "hyper-util",
    "axum",
    "may",
    "may_minihttp",
    "monoio",
    "glommio",
    "compio",
    "procspawn",
];

/// Ropewalk's rows; the first that has a value is what the ratios are about.
const OURS: [&str; 2] = ["ropewalk", "ropewalk-epoll"];

/// Which way a value is good.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Better {
    /// Less is better.
    Lower,
    /// More is better.
    Higher,
}

/// What a group of rows measures.
#[derive(Clone, Copy)]
pub(crate) struct Measure {
    /// The benchmark's name.
    pub(crate) bench: &'static str,
    /// The value's unit.
    pub(crate) unit: &'static str,
    /// Which way the value is good.
    pub(crate) better: Better,
}

/// One contender's result within a group.
struct Row {
    contender: &'static str,
    /// One value a round, or the error that ended its part.
    values: Result<Vec<f64>, String>,
    extra: Vec<(&'static str, Value)>,
}

/// The rows of one benchmark under one variant.
struct Group {
    measure: Measure,
    variant: String,
    rows: Vec<Row>,
}

/// The results of one benchmark.
pub(crate) struct Report {
    groups: Vec<Group>,
}

impl Report {
    /// An empty report.
    pub(crate) fn new() -> Report {
        Report { groups: Vec::new() }
    }

    /// Adds the rows of `variant`: `value` is taken of each sample, `extra` of all a contender's
    /// samples together. Adds nothing if nobody took part.
    pub(crate) fn add<S>(
        &mut self,
        measure: Measure,
        variant: impl Into<String>,
        entries: Vec<Entry<S>>,
        value: impl Fn(&S) -> f64,
        extra: impl Fn(&[S]) -> Vec<(&'static str, Value)>,
    ) {
        let row = |entry: Entry<S>| Row {
            contender: entry.contender,
            extra: entry.outcome.as_deref().map(&extra).unwrap_or_default(),
            values: entry
                .outcome
                .map(|samples| samples.iter().map(&value).collect()),
        };
        let rows: Vec<Row> = entries.into_iter().map(row).collect();
        if rows.is_empty() {
            return;
        }
        self.groups.push(Group {
            measure,
            variant: variant.into(),
            rows,
        });
    }

    /// Whether nobody took part.
    pub(crate) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Whether every contender has a value.
    pub(crate) fn is_complete(&self) -> bool {
        self.groups
            .iter()
            .flat_map(|group| &group.rows)
            .all(|row| row.values.is_ok())
    }

    /// Prints the JSON lines on standard output and the tables on standard error.
    pub(crate) fn print(&self) {
        for group in &self.groups {
            for line in group.json() {
                // A reader that has seen enough, as `head` has, is no error.
                let _ = writeln!(std::io::stdout(), "{line}");
            }
            let _ = writeln!(std::io::stderr(), "{}", group.table());
        }
    }
}

impl Group {
    /// The row of ours that the ratios are about.
    fn ours(&self) -> Option<(&'static str, &[f64])> {
        OURS.iter().find_map(|name| {
            let row = self.rows.iter().find(|row| row.contender == *name)?;
            Some((*name, row.values.as_deref().ok()?))
        })
    }

    /// How many times better ours is than `theirs`: the median over the rounds of the ratio
    /// within a round, so that what disturbed a whole round cancels out; the ratio of the
    /// medians where the numbers of rounds differ.
    fn ratio(&self, ours: &[f64], theirs: &[f64]) -> f64 {
        let (ours, theirs) = match self.measure.better {
            Better::Lower => (theirs, ours),
            Better::Higher => (ours, theirs),
        };
        if ours.len() == theirs.len() {
            median(
                &ours
                    .iter()
                    .zip(theirs)
                    .map(|(a, b)| a / b)
                    .collect::<Vec<_>>(),
            )
        } else {
            median(ours) / median(theirs)
        }
    }

    fn json(&self) -> Vec<Value> {
        let mut lines: Vec<Value> = self.rows.iter().map(|row| self.row_json(row)).collect();
        if let Some((name, ours)) = self.ours() {
            let peers = self.rows.iter().filter(|row| row.contender != name);
            let ratios: BTreeMap<_, _> = peers
                .filter_map(|row| Some((row.contender, row.values.as_deref().ok()?)))
                .map(|(peer, theirs)| (peer, rounded(self.ratio(ours, theirs))))
                .collect();
            let mut line = Map::new();
            line.insert("bench".into(), json!(self.measure.bench));
            line.insert("of".into(), json!(name));
            line.insert("ratio".into(), json!(ratios));
            line.insert("variant".into(), json!(self.variant));
            lines.push(Value::Object(line));
        }
        lines
    }

    fn row_json(&self, row: &Row) -> Value {
        let mut line = Map::new();
        line.insert("bench".into(), json!(self.measure.bench));
        line.insert("variant".into(), json!(self.variant));
        line.insert("contender".into(), json!(row.contender));
        line.insert("unit".into(), json!(self.measure.unit));
        let better = match self.measure.better {
            Better::Lower => "lower",
            Better::Higher => "higher",
        };
        line.insert("better".into(), json!(better));
        match &row.values {
            Ok(values) => {
                line.insert("value".into(), json!(rounded(median(values))));
                let bounds = |pick: fn(f64, f64) -> f64| values.iter().copied().reduce(pick);
                line.insert("min".into(), json!(bounds(f64::min).map(rounded)));
                line.insert("max".into(), json!(bounds(f64::max).map(rounded)));
                line.insert("rounds".into(), json!(values.len()));
            }
            Err(error) => {
                line.insert("value".into(), Value::Null);
                line.insert("error".into(), json!(error));
            }
        }
        for (name, value) in &row.extra {
            line.insert((*name).into(), value.clone());
        }
        Value::Object(line)
    }

    /// A Markdown table, its columns aligned for reading as it is.
    fn table(&self) -> String {
        let mut extras = Vec::new();
        for (name, _) in self.rows.iter().flat_map(|row| &row.extra) {
            if !extras.contains(name) {
                extras.push(*name);
            }
        }
        let ours = self.ours();
        let mut header = vec!["contender".to_owned(), self.measure.unit.to_owned()];
        header.push("lowest–highest".to_owned());
        header.push(ours.map_or("ratio".into(), |(name, _)| format!("{name} is better by")));
        header.extend(extras.iter().map(|name| name.replace('_', " ")));
        let mut lines = vec![header];
        for row in &self.rows {
            let mut cells = vec![row.contender.to_owned()];
            match &row.values {
                Ok(values) => {
                    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
                    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                    cells.push(readable(median(values)));
                    cells.push(format!("{}–{}", readable(low), readable(high)));
                    cells.push(match ours {
                        Some((name, ours)) if name != row.contender => {
                            format!("{:.2}×", self.ratio(ours, values))
                        }
                        _ => "–".to_owned(),
                    });
                }
                Err(error) => cells.extend([format!("failed: {error}"), "–".into(), "–".into()]),
            }
            for name in &extras {
                let value = row.extra.iter().find(|(extra, _)| extra == name);
                cells.push(value.map_or("–".into(), |(_, value)| readable_json(value)));
            }
            lines.push(cells);
        }
        format!(
            "\n**{}**, {}\n\n{}",
            self.measure.bench,
            self.variant,
            align(&lines)
        )
    }
}

/// Lays `lines` out as a Markdown table: the first column to the left, the others to the right.
fn align(lines: &[Vec<String>]) -> String {
    let widths: Vec<usize> = (0..lines[0].len())
        .map(|column| {
            lines
                .iter()
                .map(|line| line[column].chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        for (column, (cell, &width)) in line.iter().zip(&widths).enumerate() {
            text += &match column {
                0 => format!("| {cell:<width$} |"),
                _ => format!(" {cell:>width$} |"),
            };
        }
        text.push('\n');
        if number == 0 {
            text += &format!("|{}|", "-".repeat(widths[0] + 2));
            text.extend(
                widths[1..]
                    .iter()
                    .map(|width| format!("{}:|", "-".repeat(width + 1))),
            );
            text.push('\n');
        }
    }
    text
}

/// Cuts a figure to four significant digits after the point at most: what is beyond is noise.
pub(crate) fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let digits = 4 - 1 - value.abs().log10().floor() as i32;
    let scale = 10f64.powi(digits.clamp(0, 12));
    (value * scale).round() / scale
}

fn readable(value: f64) -> String {
    match value.abs() {
        magnitude if magnitude >= 1000.0 => grouped(value.round() as i64),
        magnitude if magnitude >= 100.0 => format!("{value:.0}"),
        magnitude if magnitude >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn readable_json(value: &Value) -> String {
    match value {
        Value::Number(number) if number.is_f64() => readable(number.as_f64().unwrap_or(f64::NAN)),
        Value::Number(number) => number.as_i64().map_or_else(|| number.to_string(), grouped),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Digits in groups of three, parted by commas.
fn grouped(value: i64) -> String {
    let digits = value.unsigned_abs().to_string();
    let mut text = String::from(if value < 0 { "-" } else { "" });
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Says on standard error which machine and which versions the results belong to.
pub(crate) fn print_setting() {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown processor", |(_, model)| model);
    let kernel = read("/proc/sys/kernel/osrelease");
    let cores = crate::measure::cores().len();
    eprintln!("machine: {model}, {cores} cores, Linux {}", kernel.trim());
    let versions: Vec<String> = PEERS
        .iter()
        .map(|name| format!("{name} {}", locked_version(name)))
        .collect();
    eprintln!("peers: {}", versions.join(", "));
}

/// The version of a dependency that this program was built with.
fn locked_version(name: &str) -> &'static str {
    let lock = include_str!("../../Cargo.lock");
    let mut lines = lock.lines();
    let wanted = format!("name = \"{name}\"");
    lines.find(|line| *line == wanted);
    let version = lines
        .next()
        .and_then(|line| line.strip_prefix("version = "));
    version.map_or("of unknown version", |version| version.trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEASURE: Measure = Measure {
        bench: "spawn",
        unit: "ns/task",
        better: Better::Lower,
    };

    fn report() -> Report {
        let entries = vec![
            Entry {
                contender: "ropewalk",
                outcome: Ok(vec![10.0, 30.0, 20.0]),
            },
            Entry {
                contender: "tokio",
                outcome: Ok(vec![50.0, 150.0, 40.0]),
            },
            Entry {
                contender: "may",
                outcome: Err("it fell".to_owned()),
            },
        ];
        let mut report = Report::new();
        report.add(
            MEASURE,
            "batch-1",
            entries,
            |v| *v,
            |all| vec![("seen", json!(all.len()))],
        );
        report
    }

    #[test]
    fn json_has_a_line_a_contender_and_one_of_ratios() {
        let report = report();
        let lines = report.groups[0].json();
        assert_eq!(lines.len(), 4);
        assert_eq!(lines[0]["value"], 20.0);
        assert_eq!(
            (&lines[0]["min"], &lines[0]["max"]),
            (&json!(10.0), &json!(30.0))
        );
        assert_eq!(lines[0]["seen"], 3);
        assert_eq!(lines[2]["error"], "it fell");
        assert_eq!(lines[3]["ratio"], json!({"tokio": 5.0}));
        assert!(!report.is_complete());
    }

    #[test]
    fn higher_is_better_turns_the_ratio_round() {
        let mut report = report();
        report.groups[0].measure.better = Better::Higher;
        assert_eq!(report.groups[0].json()[3]["ratio"], json!({"tokio": 0.2}));
    }

    #[test]
    fn table_shows_failures_too() {
        let table = report().groups[0].table();
        assert!(table.contains("failed: it fell"), "{table}");
        assert!(table.contains("5.00×"), "{table}");
    }

    #[test]
    fn figures_are_cut_to_what_they_are_worth() {
        assert_eq!(rounded(123.456), 123.5);
        assert_eq!(rounded(0.0123456), 0.01235);
        assert_eq!(rounded(1_234_567.8), 1_234_568.0);
        assert_eq!(readable(1_234_567.8), "1,234,568");
        assert_eq!(grouped(-1_000), "-1,000");
    }

    #[test]
    fn versions_come_from_the_lock_file() {
        assert!(locked_version("tokio").starts_with("1."));
        assert_eq!(locked_version("no such crate"), "of unknown version");
    }
}
