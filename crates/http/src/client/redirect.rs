//! Where a redirect leads and what of the request goes along.
//!
//! The rules are those of RFC 9110 §15.4 as browsers settled them (the Fetch standard): 303 turns
//! everything but HEAD into GET; 301 and 302 turn POST into GET and leave the rest; 307 and 308 repeat
//! method and body. Credentials stay within the origin (scheme, host and port) they were meant for.

use http::header::{self, HeaderMap, HeaderName};
use http::{Method, StatusCode};
use url::Url;

use super::error::{Cause, Error, Phase};

/// What to do about a redirect.
#[derive(Debug)]
pub(crate) struct Hop {
    pub(crate) url: Url,
    pub(crate) method: Method,
    /// Whether the body is sent again.
    pub(crate) keeps_body: bool,
}

/// The headers that describe a body and go when it goes.
const OF_THE_BODY: [HeaderName; 6] = [
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_LOCATION,
    header::EXPECT,
];

/// The headers meant for one origin only.
const OF_THE_ORIGIN: [HeaderName; 4] = [
    header::AUTHORIZATION,
    header::COOKIE,
    header::PROXY_AUTHORIZATION,
    header::HOST,
];

/// Tells where a response of this status and these headers leads; `None` if it is no redirect.
pub(crate) fn follow(
    from: &Url,
    method: &Method,
    status: StatusCode,
    headers: &HeaderMap,
) -> Result<Option<Hop>, Error> {
    let (method, keeps_body) = match status.as_u16() {
        301 | 302 if *method == Method::POST => (Method::GET, false),
        303 if *method != Method::GET && *method != Method::HEAD => (Method::GET, false),
        301 | 302 | 303 | 307 | 308 => (method.clone(), true),
        _ => return Ok(None),
    };
    // Without a target it is a response like any other.
    let Some(location) = headers.get(header::LOCATION) else {
        return Ok(None);
    };
    let bad = |why: &dyn std::fmt::Display| {
        let message = format!("the redirect's Location {location:?} can't be followed: {why}");
        Error::new(Cause::Redirect, Phase::Head, message).with_url(from)
    };
    let text = std::str::from_utf8(location.as_bytes()).map_err(|e| bad(&e))?;
    let mut url = from.join(text).map_err(|e| bad(&e))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(bad(&"only http and https are followed"));
    }
    if url.fragment().is_none() {
        url.set_fragment(from.fragment());
    }
    Ok(Some(Hop {
        url,
        method,
        keeps_body,
    }))
}

/// Takes out the headers that must not go along on `hop`.
pub(crate) fn strip(headers: &mut HeaderMap, from: &Url, hop: &Hop) {
    if !hop.keeps_body {
        for name in OF_THE_BODY {
            headers.remove(name);
        }
    }
    if from.origin() != hop.url.origin() {
        for name in OF_THE_ORIGIN {
            headers.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn hop(from: &str, method: Method, status: u16, location: &str) -> Result<Option<Hop>, Error> {
        let mut headers = HeaderMap::new();
        headers.insert(header::LOCATION, HeaderValue::from_str(location).unwrap());
        let from = Url::parse(from).unwrap();
        follow(
            &from,
            &method,
            StatusCode::from_u16(status).unwrap(),
            &headers,
        )
    }

    #[test]
    fn methods_follow_the_table() {
        use Method as M;
        let table = [
            (301, M::GET, M::GET, true),
            (301, M::POST, M::GET, false),
            (301, M::PUT, M::PUT, true),
            (302, M::POST, M::GET, false),
            (302, M::DELETE, M::DELETE, true),
            (303, M::POST, M::GET, false),
            (303, M::PUT, M::GET, false),
            (303, M::HEAD, M::HEAD, true),
            (307, M::POST, M::POST, true),
            (308, M::PUT, M::PUT, true),
        ];
        for (status, method, then, keeps_body) in table {
            let hop = hop("http://a/", method.clone(), status, "/x")
                .unwrap()
                .unwrap();
            assert_eq!(
                (hop.method, hop.keeps_body),
                (then, keeps_body),
                "{status} {method}"
            );
        }
        for status in [200, 204, 300, 304, 305, 306, 404] {
            assert!(
                hop("http://a/", M::GET, status, "/x").unwrap().is_none(),
                "{status}"
            );
        }
    }

    #[test]
    fn locations_resolve_against_the_url_and_keep_its_fragment() {
        for (from, location, to) in [
            ("http://a/b/c?q", "d", "http://a/b/d"),
            ("http://a/b/c?q", "/d", "http://a/d"),
            ("http://a/b/c?q", "?r", "http://a/b/c?r"),
            ("http://a/b", "//c/d", "http://c/d"),
            ("http://a/b", "https://a/b", "https://a/b"),
            ("http://a/b#f", "/c", "http://a/c#f"),
            ("http://a/b#f", "/c#g", "http://a/c#g"),
            ("http://a/b", "/sp ace", "http://a/sp%20ace"),
        ] {
            let hop = hop(from, Method::GET, 302, location).unwrap().unwrap();
            assert_eq!(hop.url.as_str(), to, "{from} {location}");
        }
    }

    #[test]
    fn other_schemes_and_nonsense_are_refused() {
        for location in [
            "ftp://a/",
            "javascript:alert(1)",
            "file:///etc/passwd",
            "http://[bad",
        ] {
            let e = hop("http://a/", Method::GET, 302, location).unwrap_err();
            assert!(e.is_redirect(), "{e}");
        }
    }

    #[test]
    fn credentials_stay_with_their_origin() {
        let full = || {
            let mut headers = HeaderMap::new();
            for name in OF_THE_ORIGIN.iter().chain(&OF_THE_BODY) {
                headers.insert(name, HeaderValue::from_static("x"));
            }
            headers.insert("x-own", HeaderValue::from_static("x"));
            headers
        };
        let from = Url::parse("https://a:8443/").unwrap();
        let all = full().len();
        for (to, keeps_body, left) in [
            ("https://a:8443/y", true, all),
            ("https://a:8443/y", false, all - OF_THE_BODY.len()),
            ("https://a/", true, all - OF_THE_ORIGIN.len()),
            ("http://a:8443/", true, all - OF_THE_ORIGIN.len()),
            ("https://b:8443/", false, 1),
        ] {
            let mut headers = full();
            let url = Url::parse(to).unwrap();
            strip(
                &mut headers,
                &from,
                &Hop {
                    url,
                    method: Method::GET,
                    keeps_body,
                },
            );
            assert_eq!(headers.len(), left, "{to}");
        }
    }
}
