//! One attempt at one URL: request, body into nothing or a file, and what came of it.

use std::fmt;
use std::io::{self, Read, Write};

use http::{StatusCode, header};
use ropewalk::http::client::{Client, Error, Response};
use ropewalk::time::{Duration, Instant};

use super::folder::{Folder, Part};
use super::frontier::Job;
use super::record::{Failure, Kind, Outcome};

/// Bytes read at a time; on the coroutine's stack.
const CHUNK_BYTES: usize = 16 * 1024;
/// Longest `Retry-After` heeded.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);

/// What came of an attempt.
pub(crate) struct Attempt {
    pub(crate) outcome: Outcome,
    /// Another attempt may go better.
    pub(crate) retryable: bool,
    /// How long the server asked to be left alone.
    pub(crate) retry_after: Option<Duration>,
}

/// Fetches `job.url` once, within the client's timeout. Every failure is in the outcome.
pub(crate) fn make(client: &Client, job: &Job, folder: Option<&Folder>) -> Attempt {
    let start = Instant::now();
    let mut outcome = Outcome::new(job.given.clone());
    outcome.attempts = job.attempts + 1;
    let mut retryable = false;
    let mut retry_after = None;
    match client.get(job.url.as_str()).send() {
        Ok(mut response) => {
            let status = response.status();
            outcome.status = Some(status.as_u16());
            outcome.redirected_to =
                (response.url() != &job.url).then(|| response.url().to_string());
            let wanted = folder.filter(|_| !failed(status));
            match receive(&mut response, job, wanted, &mut outcome) {
                Err(failure) => {
                    retryable = failure.kind.is_retryable();
                    outcome.failure = Some(failure);
                }
                Ok(()) if failed(status) => {
                    retryable = status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error();
                    retry_after = asked_to_wait(&response);
                    outcome.failure = Some(Failure::new(Kind::Status, format!("HTTP {status}")));
                }
                Ok(()) => {}
            }
        }
        Err(e) => {
            let failure = Failure::of_client(&e);
            retryable = failure.kind.is_retryable();
            outcome.failure = Some(failure);
        }
    }
    outcome.elapsed = start.elapsed();
    Attempt {
        outcome,
        retryable,
        retry_after,
    }
}

/// A status of 400 and above counts as failed.
fn failed(status: StatusCode) -> bool {
    status.as_u16() >= 400
}

/// Reads the body to its end, counting it, into a file of `folder` if there is one.
fn receive(
    response: &mut Response,
    job: &Job,
    folder: Option<&Folder>,
    outcome: &mut Outcome,
) -> Result<(), Failure> {
    let in_file = |e: io::Error| Failure::new(Kind::File, format!("cannot write the body: {e}"));
    let mut part = folder.map(Folder::begin).transpose().map_err(in_file)?;
    let mut chunk = [0; CHUNK_BYTES];
    loop {
        match response.read(&mut chunk) {
            Ok(0) => break,
            Ok(n) => {
                outcome.bytes += n as u64;
                if let Some(part) = &mut part {
                    part.write_all(&chunk[..n]).map_err(in_file)?;
                }
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(Failure::of_read(&e)),
        }
    }
    outcome.file = part
        .map(|part: Part<'_>| part.commit(&job.url))
        .transpose()
        .map_err(in_file)?;
    Ok(())
}

/// Returns the seconds of `Retry-After`, capped; its date form is not heeded.
fn asked_to_wait(response: &Response) -> Option<Duration> {
    let seconds = response
        .headers()
        .get(header::RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

impl Failure {
    /// Sorts an error of the client.
    fn of_client(e: &Error) -> Failure {
        let kind = if e.is_url() {
            Kind::Url
        } else if e.is_timeout() {
            Kind::Timeout
        } else if e.is_dns() {
            Kind::Dns
        } else if e.is_tls() {
            Kind::Tls
        } else if e.is_redirect() {
            Kind::Redirect
        } else if e.is_connect() {
            Kind::Connect
        } else if e.is_closed() {
            Kind::Closed
        } else if e.is_protocol() {
            Kind::Protocol
        } else {
            Kind::Other
        };
        Failure::new(kind, without_url(e, e.url()))
    }

    /// Sorts an error met while reading a body, which carries the client's inside.
    fn of_read(e: &io::Error) -> Failure {
        match e.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(inner) => Failure::of_client(inner),
            None => Failure::new(Kind::Other, e.to_string()),
        }
    }
}

/// The text of an error without the URL in front, which the record shows already.
fn without_url(e: &impl fmt::Display, url: Option<&url::Url>) -> String {
    let text = e.to_string();
    let prefix = url.map(|url| format!("{url}: "));
    match prefix.and_then(|prefix| text.strip_prefix(&prefix).map(str::to_owned)) {
        Some(rest) => rest,
        None => text,
    }
}
