//! What a URL means for the wire: whom to connect to, what to ask for, which `Host` to name.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderValue;
use percent_encoding::percent_decode_str;
use url::{Host, Url};

use super::error::{Cause, Error, Phase};

/// Scheme, host and port: the key of the connection pool and the border at which credentials stop.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    pub(crate) tls: bool,
    /// Without brackets; an IPv6 address parses as such.
    pub(crate) host: Arc<str>,
    pub(crate) port: u16,
}

impl Origin {
    /// Takes the origin out of a URL that [`parse`] has accepted.
    pub(crate) fn of(url: &Url) -> Result<Origin, Error> {
        let tls = match url.scheme() {
            "http" => false,
            "https" => true,
            other => {
                let message = format!("the scheme {other:?} is not supported, only http and https");
                return Err(Error::new(Cause::Url, Phase::Prepare, message).with_url(url));
            }
        };
        #[cfg(not(feature = "tls"))]
        if tls {
            let message = "https needs the feature `tls` of the crate ropewalk";
            return Err(Error::new(Cause::Url, Phase::Prepare, message).with_url(url));
        }
        let host: Arc<str> = match url.host() {
            Some(Host::Domain(name)) if !name.is_empty() => name.into(),
            Some(Host::Ipv4(ip)) => ip.to_string().into(),
            Some(Host::Ipv6(ip)) => ip.to_string().into(),
            _ => {
                let message = "the URL names no host";
                return Err(Error::new(Cause::Url, Phase::Prepare, message).with_url(url));
            }
        };
        // Both schemes have a default port, so there always is one.
        let port = url
            .port_or_known_default()
            .unwrap_or(if tls { 443 } else { 80 });
        Ok(Origin { tls, host, port })
    }

    /// Returns the host if it is a literal address, which needs no name service.
    pub(crate) fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// Returns the value of the `Host` field: the port only where it isn't the scheme's own.
    pub(crate) fn host_header(&self) -> Result<HeaderValue, Error> {
        let default = if self.tls { 443 } else { 80 };
        let text = if self.port == default {
            self.bracketed()
        } else {
            self.to_string()
        };
        HeaderValue::try_from(text).map_err(|e| {
            let message = format!("the host {:?} can't be put into a header", self.host);
            Error::new(Cause::Url, Phase::Prepare, message).with_source(e)
        })
    }

    fn bracketed(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.to_string()
        }
    }
}

/// Shows `host:port`, as errors name it.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.bracketed(), self.port)
    }
}

/// Parses what the caller gave as URL; an error says what is missing.
pub(crate) fn parse(text: &str) -> Result<Url, Error> {
    Url::parse(text).map_err(|e| {
        let message = match e {
            url::ParseError::RelativeUrlWithoutBase => {
                format!("the URL {text:?} has no scheme; write http:// or https:// in front of it")
            }
            e => format!("the URL {text:?} is invalid: {e}"),
        };
        Error::new(Cause::Url, Phase::Prepare, message).with_source(e)
    })
}

/// Takes user name and password out of the URL and returns them as a `Basic` authorization.
///
/// They leave the URL so that neither errors nor `Response::url` show a password.
pub(crate) fn take_userinfo(url: &mut Url) -> Option<HeaderValue> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let mut pair: Vec<u8> = percent_decode_str(url.username()).collect();
    pair.push(b':');
    pair.extend(percent_decode_str(url.password().unwrap_or("")));
    // Both fail only for URLs without a host, which have no user either.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    let mut value = HeaderValue::try_from(format!("Basic {}", base64(&pair))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Encodes by RFC 4648 §4, with padding.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word =
            chunk.iter().fold(0u32, |w, &b| w << 8 | u32::from(b)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            if i <= chunk.len() {
                text.push(char::from(ALPHABET[(word >> (18 - 6 * i) & 63) as usize]));
            } else {
                text.push('=');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_matches_the_vectors_of_rfc_4648() {
        let vectors = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ];
        for (plain, encoded) in vectors {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
        assert_eq!(base64(&[0xff, 0xfe, 0xfd]), "//79");
    }

    #[test]
    fn host_header_leaves_the_default_port_out_and_brackets_ipv6() {
        for (url, host) in [
            ("http://example.com/", "example.com"),
            ("http://example.com:80/", "example.com"),
            ("http://example.com:443/", "example.com:443"),
            ("http://[::1]/", "[::1]"),
            ("http://[::1]:8080/", "[::1]:8080"),
            ("http://127.0.0.1:81/", "127.0.0.1:81"),
            ("http://bücher.example/", "xn--bcher-kva.example"),
        ] {
            let origin = Origin::of(&parse(url).unwrap()).unwrap();
            assert_eq!(origin.host_header().unwrap(), host, "{url}");
        }
    }

    #[test]
    fn userinfo_is_decoded_and_leaves_the_url() {
        let mut url = parse("http://al%20ice:p%40ss@example.com/x").unwrap();
        let value = take_userinfo(&mut url).unwrap();
        assert_eq!(value, format!("Basic {}", base64(b"al ice:p@ss")).as_str());
        assert!(value.is_sensitive());
        assert_eq!(url.as_str(), "http://example.com/x");
        assert!(take_userinfo(&mut url).is_none());
    }

    #[test]
    fn caller_faults_are_told_apart() {
        let missing = parse("example.com/x").unwrap_err();
        assert!(missing.is_url() && missing.is_request() && !missing.is_protocol());
        assert!(missing.to_string().contains("no scheme"), "{missing}");
        assert!(parse("http://").unwrap_err().is_url());
        let ftp = Origin::of(&parse("ftp://example.com/").unwrap())
            .err()
            .unwrap();
        assert!(ftp.is_url());
        assert!(ftp.to_string().contains("\"ftp\""), "{ftp}");
    }
}
