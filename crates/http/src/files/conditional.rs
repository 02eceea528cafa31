//! Conditional requests (RFC 9110, section 13): whether what the client has is still good.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// A file changed less than this ago may change again within the clock's grain and keep its length:
/// its tag is weak until then.
const SETTLED: Duration = Duration::from_secs(2);

/// What identifies a version of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Validators {
    /// The entity tag without `W/`, quotes included.
    opaque: String,
    weak: bool,
    /// To the second, as `Last-Modified` has it; `None` if the file is from before 1970.
    modified: Option<SystemTime>,
}

/// What the preconditions of a request come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Answer as usual.
    Proceed,
    /// 304: what the client has is good.
    NotModified,
    /// 412: what the client asks about is gone.
    Failed,
}

impl Validators {
    /// Makes the validators of a file: a tag of inode, length and time of change in nanoseconds, and
    /// the time of change in seconds.
    pub(super) fn of(metadata: &Metadata, now: SystemTime) -> Validators {
        let opaque = format!(
            "\"{:x}-{:x}-{:x}.{:x}\"",
            metadata.ino(),
            metadata.len(),
            metadata.mtime(),
            metadata.mtime_nsec()
        );
        let modified = u64::try_from(metadata.mtime())
            .ok()
            .map(|s| UNIX_EPOCH + Duration::from_secs(s));
        let weak = match metadata
            .modified()
            .ok()
            .map(|time| now.duration_since(time))
        {
            Some(Ok(age)) => age < SETTLED,
            // In the future: no telling.
            Some(Err(_)) | None => true,
        };
        // A time in the future must not be sent (section 8.8.2.1).
        let modified = modified.filter(|time| *time <= now);
        Validators {
            opaque,
            weak,
            modified,
        }
    }

    /// Returns the value of `ETag`.
    pub(super) fn etag(&self) -> HeaderValue {
        let tag = if self.weak {
            format!("W/{}", self.opaque)
        } else {
            self.opaque.clone()
        };
        HeaderValue::try_from(tag).expect("hexadecimal digits and quotes")
    }

    /// Returns the value of `Last-Modified`.
    pub(super) fn last_modified(&self) -> Option<HeaderValue> {
        let text = httpdate::fmt_http_date(self.modified?);
        HeaderValue::try_from(text).ok()
    }

    /// Judges `If-Match`, `If-Unmodified-Since`, `If-None-Match` and `If-Modified-Since` of a GET or
    /// HEAD request, in the order of section 13.2.2. A date that can't be read is ignored.
    pub(super) fn judge(&self, headers: &HeaderMap) -> Verdict {
        if headers.contains_key(header::IF_MATCH) {
            if !self.listed(headers, header::IF_MATCH, Comparison::Strong) {
                return Verdict::Failed;
            }
        } else if let Some(since) = date(headers, header::IF_UNMODIFIED_SINCE)
            && self.modified.is_none_or(|modified| modified > since)
        {
            return Verdict::Failed;
        }
        if headers.contains_key(header::IF_NONE_MATCH) {
            if self.listed(headers, header::IF_NONE_MATCH, Comparison::Weak) {
                return Verdict::NotModified;
            }
        } else if let Some(since) = date(headers, header::IF_MODIFIED_SINCE)
            && self.modified.is_some_and(|modified| modified <= since)
        {
            return Verdict::NotModified;
        }
        Verdict::Proceed
    }

    /// Tells whether a `Range` of this request may be heeded: it has no `If-Range`, or one that names
    /// this very version (strong comparison; a date only exactly, and only once settled).
    pub(super) fn range_applies(&self, headers: &HeaderMap) -> bool {
        let mut values = headers.get_all(header::IF_RANGE).iter();
        let (value, None) = (values.next(), values.next()) else {
            return false;
        };
        let Some(value) = value else { return true };
        let Ok(value) = value.to_str() else {
            return false;
        };
        let value = value.trim();
        if value.starts_with('"') || value.starts_with("W/") {
            return !self.weak && value == self.opaque;
        }
        match httpdate::parse_http_date(value) {
            Ok(date) => !self.weak && self.modified == Some(date),
            Err(_) => false,
        }
    }

    /// Tells whether a list of tags has ours in it, or is `*`.
    fn listed(&self, headers: &HeaderMap, name: HeaderName, comparison: Comparison) -> bool {
        headers.get_all(name).iter().any(|value| {
            if value.as_bytes().trim_ascii() == b"*" {
                return true;
            }
            tags(value.as_bytes()).any(|(weak, opaque)| {
                let may_match = match comparison {
                    Comparison::Strong => !weak && !self.weak,
                    Comparison::Weak => true,
                };
                may_match && opaque == self.opaque.as_bytes()
            })
        })
    }
}

#[derive(Clone, Copy)]
enum Comparison {
    Strong,
    Weak,
}

/// Returns the tags of a list, each as (weak, opaque with its quotes); stops at what is no tag. A
/// comma inside quotes belongs to its tag.
fn tags(mut list: &[u8]) -> impl Iterator<Item = (bool, &[u8])> {
    std::iter::from_fn(move || {
        while let [b' ' | b'\t' | b',', rest @ ..] = list {
            list = rest;
        }
        let (weak, rest) = match list.strip_prefix(b"W/") {
            Some(rest) => (true, rest),
            None => (false, list),
        };
        let inner = rest.strip_prefix(b"\"")?;
        let end = memchr::memchr(b'"', inner)?;
        let (opaque, rest) = rest.split_at(end + 2);
        list = rest;
        Some((weak, opaque))
    })
}

/// Returns a header's date; `None` if it isn't there, isn't one, or is there twice.
fn date(headers: &HeaderMap, name: HeaderName) -> Option<SystemTime> {
    let mut values = headers.get_all(name).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    httpdate::parse_http_date(value.to_str().ok()?.trim()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    fn validators(weak: bool) -> Validators {
        let modified = Some(httpdate::parse_http_date(DATE).unwrap());
        Validators {
            opaque: "\"t\"".to_owned(),
            weak,
            modified,
        }
    }

    fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |&(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        };
        list.iter().map(pair).collect()
    }

    #[test]
    fn verdicts() {
        use Verdict::{Failed, NotModified, Proceed};
        const NM: &str = "if-none-match";
        const MS: &str = "if-modified-since";
        const M: &str = "if-match";
        const US: &str = "if-unmodified-since";
        for (list, expected) in [
            (&[][..], Proceed),
            (&[(NM, "\"t\"")], NotModified),
            (&[(NM, "W/\"t\"")], NotModified),
            (&[(NM, "\"a\", \"t\"")], NotModified),
            (&[(NM, "\"a,\",W/\"b\" ,\t\"t\"")], NotModified),
            (&[(NM, "*")], NotModified),
            (&[(NM, "\"a\""), (NM, "\"t\"")], NotModified),
            (&[(NM, "\"a\"")], Proceed),
            (&[(NM, "t")], Proceed),
            (&[(NM, "")], Proceed),
            (&[(NM, "\"t")], Proceed),
            (&[(NM, "\"a\" junk \"t\"")], Proceed),
            (&[(MS, DATE)], NotModified),
            (&[(MS, LATER)], NotModified),
            (&[(MS, EARLIER)], Proceed),
            (&[(MS, "yesterday")], Proceed),
            (&[(MS, DATE), (MS, DATE)], Proceed),
            // The tag wins over the date.
            (&[(NM, "\"a\""), (MS, LATER)], Proceed),
            (&[(NM, "\"t\""), (MS, EARLIER)], NotModified),
            (&[(M, "\"t\"")], Proceed),
            (&[(M, "*")], Proceed),
            (&[(M, "W/\"t\"")], Failed),
            (&[(M, "\"a\"")], Failed),
            (&[(US, DATE)], Proceed),
            (&[(US, LATER)], Proceed),
            (&[(US, EARLIER)], Failed),
            (&[(US, "nonsense")], Proceed),
            (&[(M, "\"t\""), (US, EARLIER)], Proceed),
            (&[(M, "\"t\""), (NM, "\"t\"")], NotModified),
            (&[(M, "\"a\""), (NM, "\"t\"")], Failed),
        ] {
            assert_eq!(
                validators(false).judge(&headers(list)),
                expected,
                "{list:?}"
            );
        }
        // A weak tag is good for a cache, not for a precondition.
        assert_eq!(
            validators(true).judge(&headers(&[(NM, "\"t\"")])),
            NotModified
        );
        assert_eq!(validators(true).judge(&headers(&[(M, "\"t\"")])), Failed);
    }

    #[test]
    fn if_range() {
        const IR: &str = "if-range";
        for (list, expected) in [
            (&[][..], true),
            (&[(IR, "\"t\"")], true),
            (&[(IR, "W/\"t\"")], false),
            (&[(IR, "\"a\"")], false),
            (&[(IR, DATE)], true),
            (&[(IR, EARLIER)], false),
            (&[(IR, LATER)], false),
            (&[(IR, "nonsense")], false),
            (&[(IR, "\"t\""), (IR, "\"t\"")], false),
        ] {
            assert_eq!(
                validators(false).range_applies(&headers(list)),
                expected,
                "{list:?}"
            );
        }
        assert!(!validators(true).range_applies(&headers(&[(IR, "\"t\"")])));
        assert!(!validators(true).range_applies(&headers(&[(IR, DATE)])));
        assert!(validators(true).range_applies(&headers(&[])));
    }

    #[test]
    fn of_files() {
        let path = std::env::temp_dir().join(format!("ropewalk-tag-{}", std::process::id()));
        std::fs::write(&path, "a").unwrap();
        let metadata = std::fs::metadata(&path).unwrap();
        let modified = metadata.modified().unwrap();
        let fresh = Validators::of(&metadata, modified + Duration::from_millis(1));
        let settled = Validators::of(&metadata, modified + Duration::from_secs(60));
        let future = Validators::of(&metadata, modified - Duration::from_secs(60));
        assert!(fresh.etag().to_str().unwrap().starts_with("W/\""));
        assert!(settled.etag().to_str().unwrap().starts_with('"'));
        assert_eq!(fresh.opaque, settled.opaque);
        assert!(settled.last_modified().is_some() && future.last_modified().is_none());

        std::fs::write(&path, "ab").unwrap();
        let longer = std::fs::metadata(&path).unwrap();
        let longer = Validators::of(&longer, modified + Duration::from_secs(60));
        assert_ne!(longer.opaque, settled.opaque);
        std::fs::remove_file(&path).unwrap();
    }
}
