//! Request heads.

use std::mem::MaybeUninit;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode, Uri, Version};

use super::head::{self, FIELDS_MAX, Fields, Said};
use super::{Framing, Limits, ProtocolError};

/// What a request is for (RFC 9112, section 3.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Target {
    /// A path, perhaps with a query: `/path?query`.
    #[default]
    Origin,
    /// A whole URI, as proxies are sent: `http://host/path`.
    Absolute,
    /// `host:port`, of CONNECT.
    Authority,
    /// `*`, of OPTIONS.
    Asterisk,
}

/// The most bytes that a `Uri` can have.
const TARGET_BYTES_MAX: usize = u16::MAX as usize - 1;

/// A parsed request head; re-use one to keep its room.
#[derive(Clone, Debug)]
pub struct RequestHead {
    /// The method.
    pub method: Method,
    /// The version: 1.0 or 1.1.
    pub version: Version,
    /// The form of the target.
    pub form: Target,
    /// The fields.
    pub fields: Fields,
    /// Where the body ends.
    pub framing: Framing,
    /// Whether the client is ready for another request on the connection.
    pub keep_alive: bool,
    /// Whether the client waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
    /// Whether the client asks to upgrade the connection to another protocol.
    pub upgrade: bool,
    target: String,
}

impl Default for RequestHead {
    fn default() -> Self {
        RequestHead {
            method: Method::GET,
            version: Version::HTTP_11,
            form: Target::Origin,
            fields: Fields::default(),
            framing: Framing::Empty,
            keep_alive: true,
            expects_continue: false,
            upgrade: false,
            target: String::new(),
        }
    }
}

impl RequestHead {
    /// The target, as sent.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The path of the target, still percent-encoded; `*` and `host:port` stand for
    /// themselves.
    pub fn path(&self) -> &str {
        let from_path = match self.form {
            Target::Absolute => self.after_authority(),
            _ => &self.target,
        };
        let end = memchr::memchr(b'?', from_path.as_bytes()).unwrap_or(from_path.len());
        match &from_path[..end] {
            "" => "/",
            path => path,
        }
    }

    /// What stands behind the first `?` of the target, still percent-encoded.
    pub fn query(&self) -> Option<&str> {
        let from_path = match self.form {
            Target::Absolute => self.after_authority(),
            _ => &self.target,
        };
        from_path.split_once('?').map(|(_, query)| query)
    }

    /// The host that is asked for: the target's, if it names one, else the `Host` field's.
    pub fn host(&self) -> Option<&str> {
        match self.form {
            Target::Absolute => {
                let after = self.target.split_once("://").map_or("", |(_, after)| after);
                Some(&after[..after.len() - self.after_authority().len()])
            }
            Target::Authority => Some(&self.target),
            _ => std::str::from_utf8(self.fields.find("host")?).ok(),
        }
    }

    /// The target as a URI.
    pub fn uri(&self) -> Uri {
        // Checked while parsing: what is accepted there is a URI.
        self.target.parse().unwrap_or_default()
    }

    /// The fields as a map, made anew.
    pub fn headers(&self) -> HeaderMap {
        self.fields.to_map()
    }

    fn after_authority(&self) -> &str {
        let after = self.target.split_once("://").map_or("", |(_, after)| after);
        let end = after.find(['/', '?']).unwrap_or(after.len());
        &after[end..]
    }
}

/// Parses a request head at the start of `buf` into `head`; gives its length in bytes.
///
/// `None`: not complete, nothing wrong so far. Up to two empty lines before it are passed
/// over and counted in.
///
/// # Errors
///
/// What is wrong; `head` is then undefined, and the connection can't be used further: where
/// the next request begins is not known.
pub fn parse(
    buf: &[u8],
    limits: &Limits,
    head: &mut RequestHead,
) -> Result<Option<usize>, ProtocolError> {
    let skipped = empty_lines(buf);
    let buf = &buf[skipped..];
    check_target_so_far(buf, limits)?;
    let Some(len) = head::end(buf, limits)? else {
        return Ok(None);
    };
    let bytes = &buf[..len];
    let mut fields = [MaybeUninit::uninit(); FIELDS_MAX];
    let most = limits.fields_max.min(FIELDS_MAX);
    let mut request = httparse::Request::new(&mut []);
    let status = request
        .parse_with_uninit_headers(bytes, &mut fields[..most])
        .map_err(|error| match error {
            httparse::Error::Version if !names_version(bytes) => {
                ProtocolError::bad("an invalid request line")
            }
            error => head::syntax(error),
        })?;
    if status.is_partial() {
        return Err(ProtocolError::bad("an invalid head"));
    }
    let version = head::version(request.version);
    let method = request.method.unwrap_or_default();
    head.method = method
        .parse()
        .map_err(|_| ProtocolError::bad("an invalid method"))?;
    head.version = version;
    let target = request.path.unwrap_or_default();
    head.form = form(&head.method, target)?;
    head.target.clear();
    head.target.push_str(target);
    let said = Said::read(request.headers)?;
    check_host(&said, version, request.headers)?;
    head.framing = said.framing(version)?.unwrap_or(Framing::Empty);
    if head.form == Target::Authority && head.framing != Framing::Empty {
        // What follows belongs to the tunnel (RFC 9110, section 9.3.6), or doesn't.
        return Err(ProtocolError::bad("CONNECT with a body"));
    }
    if let (Framing::Length(length), Some(most)) = (head.framing, limits.body_bytes_max)
        && length > most
    {
        return Err(ProtocolError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "the body is too long",
        ));
    }
    head.keep_alive = said.keeps_alive(version);
    // HTTP/1.0 has no interim responses: there the expectation is passed over.
    head.expects_continue = match said.expects {
        Some(false) => {
            return Err(ProtocolError::new(
                StatusCode::EXPECTATION_FAILED,
                "an expectation other than 100-continue",
            ));
        }
        Some(true) => version == Version::HTTP_11 && head.framing != Framing::Empty,
        None => false,
    };
    head.upgrade = version == Version::HTTP_11 && said.upgrades();
    head.fields.set(bytes, request.headers);
    Ok(Some(skipped + len))
}

/// How many bytes of empty lines stand before the request (RFC 9112, section 2.2).
fn empty_lines(buf: &[u8]) -> usize {
    let mut skipped = 0;
    while skipped < 4 && buf[skipped..].starts_with(b"\r\n") {
        skipped += 2;
    }
    skipped
}

/// Says whether the request line ends in a version, be it one that nobody speaks.
fn names_version(bytes: &[u8]) -> bool {
    let line = bytes
        .split(|byte| *byte == b'\r')
        .next()
        .unwrap_or_default();
    let mut parts = line.split(|byte| *byte == b' ').skip(2);
    let version = parts.next().and_then(|part| part.strip_prefix(b"HTTP/"));
    let digits = |version: &[u8]| matches!(version, [major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit());
    version.is_some_and(digits) && parts.next().is_none()
}

/// Refuses a target that is too long before its end has come.
fn check_target_so_far(buf: &[u8], limits: &Limits) -> Result<(), ProtocolError> {
    let Some(start) = memchr::memchr(b' ', &buf[..buf.len().min(64)]) else {
        if buf.len() >= 64 {
            return Err(ProtocolError::bad("an invalid method"));
        }
        return Ok(());
    };
    let rest = &buf[start + 1..];
    let most = limits.target_bytes_max.min(TARGET_BYTES_MAX);
    let seen = &rest[..rest.len().min(most + 1)];
    if seen.len() > most && !seen.iter().any(|byte| matches!(byte, b' ' | b'\r' | b'\n')) {
        return Err(ProtocolError::new(
            StatusCode::URI_TOO_LONG,
            "the target is too long",
        ));
    }
    Ok(())
}

fn form(method: &Method, target: &str) -> Result<Target, ProtocolError> {
    const BAD: ProtocolError = ProtocolError::bad("an invalid request target");
    let bytes = target.as_bytes();
    if *method == Method::CONNECT {
        let authority = target.parse::<http::uri::Authority>().map_err(|_| BAD)?;
        let plain = authority.port_u16().is_some() && is_host(bytes);
        return if plain {
            Ok(Target::Authority)
        } else {
            Err(BAD)
        };
    }
    match bytes.first() {
        Some(b'/') if is_path_and_query(bytes) => Ok(Target::Origin),
        Some(b'/') => Err(BAD),
        Some(b'*') if target == "*" && *method == Method::OPTIONS => Ok(Target::Asterisk),
        _ => {
            let uri: Uri = target.parse().map_err(|_| BAD)?;
            let web = matches!(uri.scheme_str(), Some("http" | "https"));
            let (_, after) = target.split_once("://").ok_or(BAD)?;
            let (host, rest) = after.split_at(after.find(['/', '?']).unwrap_or(after.len()));
            let fine = web && is_host(host.as_bytes()) && is_path_and_query(rest.as_bytes());
            if fine { Ok(Target::Absolute) } else { Err(BAD) }
        }
    }
}

fn is_path_and_query(bytes: &[u8]) -> bool {
    let query = memchr::memchr(b'?', bytes).unwrap_or(bytes.len());
    bytes[..query].iter().all(|byte| is_path(*byte))
        && bytes[query..].iter().all(|byte| is_query(*byte))
}

/// The bytes of a path that `http::Uri` takes: visible ASCII without `#<>?\^` and backquote.
const fn is_path(byte: u8) -> bool {
    matches!(byte, 0x21..=0x7e) && !matches!(byte, b'#' | b'<' | b'>' | b'?' | b'\\' | b'^' | b'`')
}

/// The bytes of a query that `http::Uri` takes.
const fn is_query(byte: u8) -> bool {
    matches!(byte, 0x21 | 0x24..=0x3b | 0x3d | 0x3f..=0x7e)
}

fn check_host(
    said: &Said,
    version: Version,
    fields: &[httparse::Header<'_>],
) -> Result<(), ProtocolError> {
    match said.hosts {
        0 if version == Version::HTTP_10 => return Ok(()),
        0 => return Err(ProtocolError::bad("no Host")),
        1 => {}
        _ => return Err(ProtocolError::bad("more than one Host")),
    }
    if is_host(fields[said.host_at].value.trim_ascii()) {
        Ok(())
    } else {
        Err(ProtocolError::bad("an invalid Host"))
    }
}

/// A name or an address, perhaps with a port. Percent-encoding, which RFC 3986 allows in a
/// name, has no use in one of DNS and is refused.
fn is_host(value: &[u8]) -> bool {
    let (host, port) = if value.first() == Some(&b'[') {
        let Some(end) = memchr::memchr(b']', value) else {
            return false;
        };
        let inside = &value[1..end];
        let address = std::str::from_utf8(inside)
            .ok()
            .map(str::parse::<std::net::Ipv6Addr>);
        if !matches!(address, Some(Ok(_))) {
            return false;
        }
        (inside, &value[end + 1..])
    } else {
        let end = memchr::memchr(b':', value).unwrap_or(value.len());
        if !value[..end].iter().all(|byte| is_name(*byte)) {
            return false;
        }
        value.split_at(end)
    };
    let port_fits = match port {
        [] => true,
        [b':', digits @ ..] => {
            digits.is_empty()
                || (digits.iter().all(u8::is_ascii_digit)
                    && std::str::from_utf8(digits).is_ok_and(|text| text.parse::<u16>().is_ok()))
        }
        _ => false,
    };
    !host.is_empty() && port_fits
}

/// The bytes of a host's name: unreserved ones and sub-delimiters (RFC 3986, section 3.2.2).
const fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'.'
                | b'_'
                | b'~'
                | b'!'
                | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b';'
                | b'='
        )
}

/// Appends a request head to `out`: the line, the fields in their order, the empty line.
///
/// Names and values can't hold a line end, by their types; `target` is the caller's to check.
pub fn encode(
    out: &mut Vec<u8>,
    method: &Method,
    target: &str,
    fields: &[(&HeaderName, &HeaderValue)],
) {
    debug_assert!(!target.bytes().any(|byte| byte <= b' ' || byte == 0x7f));
    out.extend_from_slice(method.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    for (name, value) in fields {
        encode_field(out, name, value);
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends one field.
pub(crate) fn encode_field(out: &mut Vec<u8>, name: &HeaderName, value: &HeaderValue) {
    out.extend_from_slice(name.as_str().as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value.as_bytes());
    out.extend_from_slice(b"\r\n");
}
