//! What is told about each URL: the outcome, and its record, one JSON object a line.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

/// What came of a URL, after its last attempt.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The URL as the input had it.
    pub(crate) url: String,
    /// The status of the last response, if there was one.
    pub(crate) status: Option<u16>,
    /// Bytes of the last response's body that arrived.
    pub(crate) bytes: u64,
    /// How long the last attempt took, to the end of the body.
    pub(crate) elapsed: Duration,
    /// Why it counts as failed.
    pub(crate) failure: Option<Failure>,
    /// Attempts made; 0 for what isn't a URL.
    pub(crate) attempts: u32,
    /// The final URL, if redirects led elsewhere.
    pub(crate) redirected_to: Option<String>,
    /// The file that holds the body.
    pub(crate) file: Option<PathBuf>,
}

/// Why a URL counts as failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    pub(crate) text: String,
}

/// The classes of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// Not a URL, or not an http or https one.
    Url,
    /// The name has no address.
    Dns,
    /// No connection: refused, unreachable, out of descriptors.
    Connect,
    /// An untrusted certificate or a failed handshake.
    Tls,
    /// The time was up.
    Timeout,
    /// A status of 400 and above.
    Status,
    /// Too many redirects, or one to nowhere.
    Redirect,
    /// The peer went away in the middle.
    Closed,
    /// The peer doesn't speak HTTP.
    Protocol,
    /// The body could not be written to its file.
    File,
    /// Anything else.
    Other,
}

impl Outcome {
    /// Starts an outcome with no attempt made.
    pub(crate) fn new(url: String) -> Outcome {
        Outcome {
            url,
            status: None,
            bytes: 0,
            elapsed: Duration::ZERO,
            failure: None,
            attempts: 0,
            redirected_to: None,
            file: None,
        }
    }

    /// Makes the outcome of what is no URL.
    pub(crate) fn bad_url(shown: String, why: String) -> Box<Outcome> {
        let failure = Some(Failure::new(Kind::Url, why));
        Box::new(Outcome {
            failure,
            ..Outcome::new(shown)
        })
    }

    /// Returns the record: a line of JSON, its end included.
    pub(crate) fn record(&self) -> Vec<u8> {
        let record = Record {
            url: &self.url,
            status: self.status,
            bytes: self.bytes,
            ms: self.elapsed.as_micros() as f64 / 1000.0,
            error: self.failure.as_ref().map(|failure| failure.text.as_str()),
            attempts: self.attempts,
            error_kind: self.failure.as_ref().map(|failure| failure.kind),
            redirected_to: self.redirected_to.as_deref(),
            file: self.file.as_ref().map(|path| path.to_string_lossy()),
        };
        let mut line = serde_json::to_vec(&record).expect("a record is always valid JSON");
        line.push(b'\n');
        line
    }
}

#[derive(Serialize)]
struct Record<'a> {
    url: &'a str,
    status: Option<u16>,
    bytes: u64,
    ms: f64,
    error: Option<&'a str>,
    attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_kind: Option<Kind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    redirected_to: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<std::borrow::Cow<'a, str>>,
}

impl Failure {
    pub(crate) fn new(kind: Kind, text: impl Into<String>) -> Failure {
        Failure {
            kind,
            text: text.into(),
        }
    }
}

impl Kind {
    /// Tells whether another attempt may go better; statuses are judged one by one.
    pub(crate) fn is_retryable(self) -> bool {
        matches!(
            self,
            Kind::Dns | Kind::Connect | Kind::Timeout | Kind::Closed
        )
    }

    /// Returns the word for this class in records and the summary.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Url => "url",
            Kind::Dns => "dns",
            Kind::Connect => "connect",
            Kind::Tls => "tls",
            Kind::Timeout => "timeout",
            Kind::Status => "status",
            Kind::Redirect => "redirect",
            Kind::Closed => "closed",
            Kind::Protocol => "protocol",
            Kind::File => "file",
            Kind::Other => "other",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records() {
        let mut outcome = Outcome::new("http://h/\"q\"\n".to_owned());
        outcome.status = Some(200);
        outcome.bytes = 12;
        outcome.elapsed = Duration::from_micros(1234);
        outcome.attempts = 1;
        assert_eq!(
            String::from_utf8(outcome.record()).unwrap(),
            "{\"url\":\"http://h/\\\"q\\\"\\n\",\"status\":200,\"bytes\":12,\"ms\":1.234,\
             \"error\":null,\"attempts\":1}\n"
        );
        let outcome = Outcome::bad_url("nonsense".to_owned(), "not a URL".to_owned());
        assert_eq!(
            String::from_utf8(outcome.record()).unwrap(),
            "{\"url\":\"nonsense\",\"status\":null,\"bytes\":0,\"ms\":0.0,\"error\":\"not a URL\",\
             \"attempts\":0,\"error_kind\":\"url\"}\n"
        );
    }

    #[test]
    fn names_are_those_of_the_records() {
        for kind in [
            Kind::Url,
            Kind::Dns,
            Kind::Timeout,
            Kind::Status,
            Kind::File,
            Kind::Other,
        ] {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
    }
}
