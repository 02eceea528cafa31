//! The forms: JSON that parses, and the text of Prometheus, line by line.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use ropewalk_rt::coroutine::Builder;
use ropewalk_rt::inspect;
use ropewalk_rt::sync::Semaphore;
use serde_json::Value;

use crate::stage::{answered_until, runtime, stands};

#[test]
fn the_dump_is_json() {
    let runtime = runtime(1);
    let gate = Arc::new(Semaphore::new(0));
    let name = "a \"name\"\nwith \\ everything\t\u{1} ä 糸";
    let handle = {
        let gate = gate.clone();
        runtime.run(move || {
            let builder = Builder::new().name(name);
            builder.spawn(move || drop(gate.acquire())).unwrap()
        })
    };
    let dump = answered_until(&runtime, |dump| stands(dump, name, "waiting for a permit"));
    let json = dump.to_json();
    assert!(!json.contains('\n'));
    let json: Value = serde_json::from_str(&json).expect("it parses");
    assert_eq!(json["pid"], std::process::id());
    assert!(json["program"].as_str().unwrap().starts_with("inspect"));
    assert!(json["taken_unix_ms"].as_u64().unwrap() > 1_700_000_000_000);
    let expected = serde_json::json!([{
        "workers": 1, "driver": runtime.driver().as_str(), "live": 1, "silent_workers": [],
    }]);
    assert_eq!(json["runtimes"], expected);
    let group = &json["groups"][0];
    assert_eq!(group["count"], 1);
    assert_eq!(group["state"], "parked");
    assert_eq!(group["reason"], "waiting for a permit");
    assert!(group["folded"].as_u64().unwrap() > 0);
    let frame = &group["stack"][0];
    assert!(
        frame["file"].as_str().unwrap().ends_with("form.rs"),
        "{frame}"
    );
    assert!(frame["line"].is_u64() && frame["function"].is_string());
    let task = &group["tasks"][0];
    assert_eq!(task["id"], handle.id());
    assert_eq!(task["name"], name);
    assert!(task["parent"].is_u64());
    assert_eq!(task["kind"], "coroutine");
    assert!(task["spawned_at"].as_str().unwrap().contains("form.rs:"));
    assert_eq!((&task["worker"], &task["runtime"]), (&0.into(), &0.into()));
    assert!(task["age_ms"].is_u64() && task["waiting_ms"].is_u64());
    assert!(task["object"].as_str().unwrap().starts_with("0x"));
    assert_eq!(task["owner"], Value::Null);
    assert_eq!(task["stack_bytes"], Value::Null);
    gate.add_permits(1);
    handle.join().unwrap();
}

#[test]
fn the_metrics_are_json() {
    let runtime = runtime(2);
    runtime.run(ropewalk_rt::coroutine::yield_now);
    let json: Value = serde_json::from_str(&inspect::metrics().to_json()).expect("it parses");
    assert!(json["uptime_ms"].is_u64());
    assert!(json["workers"].as_array().unwrap().len() >= 2);
    for counters in json["workers"]
        .as_array()
        .unwrap()
        .iter()
        .chain([&json["total"]])
    {
        for name in [
            "spawned",
            "started",
            "completed",
            "resumed",
            "stolen",
            "queue_len",
        ] {
            assert!(counters[name].is_u64(), "{name}: {counters}");
        }
        for name in ["p50", "p99", "max"] {
            assert!(counters["queue_latency_ns"][name].is_u64(), "{counters}");
        }
        assert!(counters["parks"].is_object());
    }
    assert!(json["total"]["live"].is_u64());
    assert!(json["total"]["parks"]["runnable"].as_u64().unwrap() >= 1);
}

/// One sample: name, labels, value.
fn sample(line: &str) -> (String, Vec<(String, String)>, f64) {
    let (series, value) = line.rsplit_once(' ').expect("a value");
    let value = match value {
        "+Inf" => f64::INFINITY,
        value => value.parse().expect("a number"),
    };
    let Some((name, rest)) = series.split_once('{') else {
        return (series.into(), Vec::new(), value);
    };
    let mut rest = rest.strip_suffix('}').expect("labels end");
    let mut labels = Vec::new();
    while !rest.is_empty() {
        let (label, after) = rest.split_once("=\"").expect("a label's value");
        let end = after.find('"').expect("it ends");
        labels.push((label.to_string(), after[..end].to_string()));
        rest = after[end + 1..].trim_start_matches(',');
    }
    (name.into(), labels, value)
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c == '_')
}

#[test]
fn the_metrics_are_what_prometheus_reads() {
    let runtime = runtime(2);
    runtime.run(|| {
        ropewalk_rt::coroutine::yield_now();
        ropewalk_rt::time::sleep(std::time::Duration::from_millis(1));
    });
    let text = inspect::metrics().to_prometheus();
    assert!(text.ends_with('\n'));
    let (mut helped, mut kinds) = (HashSet::new(), HashMap::new());
    let mut seen = HashSet::new();
    let mut buckets: HashMap<Vec<(String, String)>, (f64, f64)> = HashMap::new();
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, _) = help.split_once(' ').expect("a text");
            assert!(helped.insert(name), "{name} is told twice");
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect("a type");
            assert!(helped.contains(name), "help comes first: {line}");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            kinds.insert(name, kind);
        } else {
            let (name, mut labels, value) = sample(line);
            assert!(
                is_name(&name) && labels.iter().all(|(label, _)| is_name(label)),
                "{line}"
            );
            let family = ["_bucket", "_sum", "_count"]
                .into_iter()
                .find_map(|suffix| {
                    let family = name.strip_suffix(suffix)?;
                    (kinds.get(family) == Some(&"histogram")).then_some(family)
                });
            let family = family.unwrap_or(&name);
            assert!(kinds.contains_key(family), "the type comes first: {line}");
            assert!(
                seen.insert(line.rsplit_once(' ').unwrap().0),
                "twice: {line}"
            );
            assert!(value >= 0.0, "{line}");
            if name.ends_with("_bucket") {
                let (_, bound) = labels.pop().filter(|(label, _)| label == "le").unwrap();
                let bound = bound.replace("+Inf", "inf").parse().expect("a bound");
                let last = buckets.insert(labels, (bound, value));
                assert!(
                    last.is_none_or(|last| last.0 < bound && last.1 <= value),
                    "{line}"
                );
            }
        }
    }
    assert!(!buckets.is_empty());
    assert!(text.contains("ropewalk_parks_total{runtime="), "{text}");
    assert!(text.contains("reason=\"sleeping\"}"), "{text}");
}
