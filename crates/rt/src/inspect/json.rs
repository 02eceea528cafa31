//! JSON, as much of it as a dump and metrics need: a writer.

use std::fmt::{Display, Write as _};
use std::time::UNIX_EPOCH;

use super::dump::{Dump, Frame, Group, RuntimeInfo, TaskInfo};

/// Writes one value after another; puts the commas.
#[derive(Default)]
pub(super) struct Json {
    text: String,
    comma: bool,
}

impl Json {
    pub(super) fn finish(self) -> String {
        self.text
    }

    fn separate(&mut self) {
        if std::mem::replace(&mut self.comma, true) {
            self.text.push(',');
        }
    }

    /// An object; `fields` writes them.
    pub(super) fn object(&mut self, fields: impl FnOnce(&mut Json)) {
        self.enclosed('{', '}', fields);
    }

    /// An array with what `value` writes for each.
    pub(super) fn array<T>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        mut value: impl FnMut(&mut Json, T),
    ) {
        self.enclosed('[', ']', |json| {
            items.into_iter().for_each(|item| value(json, item))
        });
    }

    fn enclosed(&mut self, open: char, close: char, inside: impl FnOnce(&mut Json)) {
        self.separate();
        self.text.push(open);
        self.comma = false;
        inside(self);
        self.text.push(close);
        self.comma = true;
    }

    /// The name of a field, whose value comes next.
    pub(super) fn key(&mut self, name: &str) -> &mut Json {
        self.string(name);
        self.text.push(':');
        self.comma = false;
        self
    }

    pub(super) fn string(&mut self, text: &str) {
        self.separate();
        self.text.push('"');
        for c in text.chars() {
            match c {
                '"' => self.text.push_str("\\\""),
                '\\' => self.text.push_str("\\\\"),
                '\n' => self.text.push_str("\\n"),
                c if u32::from(c) < 0x20 => {
                    let _ = write!(self.text, "\\u{:04x}", u32::from(c));
                }
                c => self.text.push(c),
            }
        }
        self.text.push('"');
    }

    /// A number that is JSON's as `Display` gives it: of an integer.
    pub(super) fn integer(&mut self, number: impl Display) {
        self.separate();
        let _ = write!(self.text, "{number}");
    }

    pub(super) fn boolean(&mut self, value: bool) {
        self.separate();
        self.text.push_str(if value { "true" } else { "false" });
    }

    /// What `value` writes, or `null`.
    pub(super) fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Json, T)) {
        match value {
            Some(value) => write(self, value),
            None => {
                self.separate();
                self.text.push_str("null");
            }
        }
    }
}

impl Dump {
    /// The dump as JSON, on one line.
    ///
    /// Times are in milliseconds, addresses are strings in hexadecimal, and what is not known is
    /// `null`.
    pub fn to_json(&self) -> String {
        self.to_json_with(usize::MAX)
    }

    /// As [`to_json`](Self::to_json), with no more than `tasks_max` of each group's tasks.
    pub(super) fn to_json_with(&self, tasks_max: usize) -> String {
        let mut json = Json::default();
        json.object(|json| {
            json.key("pid").integer(self.pid);
            json.key("program").string(&self.program);
            let taken = self.taken.duration_since(UNIX_EPOCH).unwrap_or_default();
            json.key("taken_unix_ms").integer(taken.as_millis());
            json.key("runtimes").array(&self.runtimes, runtime);
            json.key("groups")
                .array(&self.groups, |json, of| group(json, of, tasks_max));
        });
        json.finish()
    }
}

fn runtime(json: &mut Json, runtime: &RuntimeInfo) {
    json.object(|json| {
        json.key("workers").integer(runtime.workers);
        json.key("driver").string(runtime.driver.as_str());
        json.key("live").integer(runtime.live);
        json.key("silent_workers")
            .array(&runtime.silent_workers, |json, silent| {
                json.integer(silent.index)
            });
    });
}

fn group(json: &mut Json, group: &Group, tasks_max: usize) {
    json.object(|json| {
        json.key("count").integer(group.tasks.len());
        json.key("state").string(group.state.as_str());
        json.key("reason").option(group.reason, Json::string);
        json.key("stack").array(&group.stack, frame);
        json.key("folded").integer(group.folded);
        let longest = group.tasks.iter().filter_map(|task| task.waiting).max();
        json.key("waiting_ms_max")
            .option(longest, |json, longest| json.integer(longest.as_millis()));
        json.key("tasks")
            .array(group.tasks.iter().take(tasks_max), task);
    });
}

fn frame(json: &mut Json, frame: &Frame) {
    json.object(|json| {
        json.key("function").string(&frame.function);
        json.key("file").option(frame.file.as_deref(), Json::string);
        json.key("line").option(frame.line, Json::integer);
    });
}

fn task(json: &mut Json, task: &TaskInfo) {
    json.object(|json| {
        json.key("id").integer(task.id);
        json.key("name").option(task.name.as_deref(), Json::string);
        json.key("parent").option(task.parent, Json::integer);
        json.key("kind").string(task.kind.as_str());
        let site = task
            .site
            .map(|site| format!("{}:{}", site.file(), site.line()));
        json.key("spawned_at")
            .option(site, |json, site| json.string(&site));
        json.key("daemon").boolean(task.daemon);
        json.key("worker").option(task.worker, Json::integer);
        json.key("runtime").option(task.runtime, Json::integer);
        let ms =
            |json: &mut Json, duration: std::time::Duration| json.integer(duration.as_millis());
        json.key("age_ms").option(task.age, ms);
        json.key("waiting_ms").option(task.waiting, ms);
        json.key("deadline_ms").option(task.deadline, ms);
        json.key("object").option(task.object, |json, object| {
            json.string(&format!("{object:#x}"))
        });
        json.key("owner").option(task.owner, Json::integer);
        json.key("stack_bytes")
            .option(task.stack_bytes, Json::integer);
    });
}
