//! Static files: [`Files`] answers GET and HEAD from a folder.
//!
//! `path` turns the request's path into an open file below the root and nothing else; `conditional`
//! judges the preconditions; `range` reads `Range`; `content` streams the body; `listing` writes the
//! page of a folder without `index.html`.
//!
//! What the kernel has cached is opened and read at once; whatever may have to wait for a disk is
//! left to the blocking pool, so that a slow disk holds up the one request and not the worker.

mod conditional;
mod content;
mod listing;
mod path;
mod range;

use std::fs::{File, Metadata};
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use ropewalk_rt::unblock;
use rustix::fs::{AtFlags, Dir, FileType};

use self::conditional::{Validators, Verdict};
use self::content::Content;
use self::listing::Entry;
use self::path::{Refused, Root, Target};
use self::range::Wanted;
use crate::server::{Handler, IntoResponse, Request, Response};

/// Serves the files of a folder.
///
/// - **Paths**: percent-decoded once; anything with `.` or `..` segments, an encoded slash, a
///   backslash or control characters is 400. Nothing outside the folder is ever opened, whatever its
///   symbolic links say: such a link is 404. Only regular files are sent.
/// - **Dotfiles** (names that start with a dot) are 404 unless [`dotfiles`](Files::dotfiles) allows
///   them; `.well-known` is always allowed.
/// - **Folders**: without a trailing slash, a redirect (301) to the path with one; else `index.html`,
///   else a listing if [`listing`](Files::listing) allows it, else 404.
/// - **Methods**: GET and HEAD; 405 for others.
/// - **Types** by extension; text is said to be UTF-8; `X-Content-Type-Options: nosniff`.
/// - **Conditions**: `ETag` (weak for two seconds after a change) and `Last-Modified`; 304 and 412 as
///   RFC 9110 has it.
/// - **Ranges**: one as 206, several as `multipart/byteranges`, up to 16 and no more bytes than the
///   file has (else the whole is sent); 416 if none exists; `If-Range` is heeded.
///
/// Bodies are read from the file as they are sent, a buffer at a time.
///
/// # Examples
///
/// ```
/// use ropewalk_http::App;
/// use ropewalk_http::files::Files;
///
/// let app = App::new().fallback(Files::new("src")?);
/// let answer = app.exchange(b"GET /lib.rs HTTP/1.1\r\nhost: here\r\n\r\n");
/// assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
/// let answer = app.exchange(b"GET /%2e%2e/Cargo.toml HTTP/1.1\r\nhost: here\r\n\r\n");
/// assert!(answer.starts_with(b"HTTP/1.1 400 "));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Files {
    root: Root,
    prefix: String,
    listing: bool,
    dotfiles: bool,
}

/// What a request gets, before it becomes a response.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Payload,
}

#[derive(Debug)]
enum Payload {
    Empty,
    Text(String),
    File(Content),
}

impl Payload {
    /// Returns the length of the body, if there is to be one.
    fn len(&self) -> Option<u64> {
        match self {
            Payload::Empty => None,
            Payload::Text(text) => Some(text.len() as u64),
            Payload::File(content) => Some(content.len()),
        }
    }
}

impl Files {
    /// Serves the folder at `root`, which is opened now: it stays the same folder if its path comes
    /// to name another.
    ///
    /// # Errors
    /// When it can't be opened or is no folder.
    pub fn new(root: impl AsRef<Path>) -> io::Result<Files> {
        let root = Root::open(root.as_ref())?;
        Ok(Files {
            root,
            prefix: String::new(),
            listing: false,
            dotfiles: false,
        })
    }

    /// Takes this off the front of the request's path, for a folder mounted at `/static`, say. A
    /// path that doesn't start with it is 404.
    pub fn prefix(mut self, prefix: &str) -> Files {
        self.prefix = prefix.trim_end_matches('/').to_owned();
        self
    }

    /// Shows a page of the entries of a folder that has no `index.html`. Off by default.
    pub fn listing(mut self, listing: bool) -> Files {
        self.listing = listing;
        self
    }

    /// Serves files and folders whose names start with a dot. Off by default.
    pub fn dotfiles(mut self, dotfiles: bool) -> Files {
        self.dotfiles = dotfiles;
        self
    }

    /// Answers a request; [`Files`] is also a [`Handler`]: `App::new().fallback(files)`.
    pub fn respond(&self, request: &Request<'_>) -> Response {
        self.answer(
            request.method(),
            request.path(),
            request.query(),
            request.headers(),
        )
        .into_response()
    }

    /// Answers a request. HEAD is answered like GET; leaving out the body is the sender's part.
    fn answer(
        &self,
        method: &Method,
        path: &str,
        query: Option<&str>,
        headers: &HeaderMap,
    ) -> Answer {
        if method != Method::GET && method != Method::HEAD {
            let mut answer = Answer::plain(StatusCode::METHOD_NOT_ALLOWED);
            answer
                .headers
                .insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return answer;
        }
        let path = match path.strip_prefix(&self.prefix) {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => rest,
            _ => return Answer::plain(StatusCode::NOT_FOUND),
        };
        let target = match path::decode(path, self.dotfiles) {
            Ok(target) => target,
            Err(Refused::Malformed) => return Answer::plain(StatusCode::BAD_REQUEST),
            Err(Refused::Hidden) => return Answer::plain(StatusCode::NOT_FOUND),
        };
        self.find(&target, query, method, headers)
            .unwrap_or_else(|e| Answer::failed(&e))
    }

    fn find(
        &self,
        target: &Target,
        query: Option<&str>,
        method: &Method,
        headers: &HeaderMap,
    ) -> io::Result<Answer> {
        let file = self.root.open_below(&target.relative)?;
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            if !target.wants_folder {
                return Ok(self.redirect(&target.relative, query));
            }
            let index = target.relative.join("index.html");
            match self
                .root
                .open_below(&index)
                .and_then(|file| Ok((file.metadata()?, file)))
            {
                Ok((metadata, file)) if metadata.is_file() => {
                    return Ok(send(file, &metadata, &index, method, headers));
                }
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ if self.listing => return unblock(|| self.list(&file, &target.relative)),
                _ => return Err(io::ErrorKind::NotFound.into()),
            }
        }
        if target.wants_folder || !metadata.is_file() {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(send(file, &metadata, &target.relative, method, headers))
    }

    /// Redirects to the folder's path with a slash. The path is written anew from its segments, so
    /// one that began with `//` can't lead to another host.
    fn redirect(&self, relative: &Path, query: Option<&str>) -> Answer {
        let mut location = self.prefix.clone();
        for name in relative {
            location.push('/');
            location.push_str(&path::encode(name));
        }
        location.push('/');
        if let Some(query) = query {
            location.push('?');
            location.push_str(query);
        }
        let mut answer = Answer::plain(StatusCode::MOVED_PERMANENTLY);
        match HeaderValue::try_from(location) {
            Ok(location) => {
                answer.headers.insert(header::LOCATION, location);
                answer
            }
            Err(_) => Answer::plain(StatusCode::BAD_REQUEST),
        }
    }

    fn list(&self, folder: &File, relative: &Path) -> io::Result<Answer> {
        let mut entries = Vec::new();
        let mut more = false;
        for entry in Dir::read_from(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            let hidden =
                name == b"." || name == b".." || (name.starts_with(b".") && !self.dotfiles);
            if hidden {
                continue;
            }
            if entries.len() == listing::ENTRIES_MAX {
                more = true;
                break;
            }
            // Not shown: what can't be opened here, and what went away meanwhile.
            entries.extend(self.entry(folder, relative, name).ok().flatten());
        }
        let mut answer = Answer::plain(StatusCode::OK);
        answer.body = Payload::Text(listing::page(relative, entries, more));
        for (name, value) in [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            (header::CONTENT_SECURITY_POLICY, listing::POLICY),
            (header::CACHE_CONTROL, "no-cache"),
        ] {
            answer.headers.insert(name, HeaderValue::from_static(value));
        }
        Ok(answer)
    }

    /// Looks at an entry of a folder; `None` if it is nothing that is served. A symbolic link is
    /// what it leads to, as long as that is below the root.
    fn entry(&self, folder: &File, relative: &Path, name: &[u8]) -> io::Result<Option<Entry>> {
        let name = std::os::unix::ffi::OsStringExt::from_vec(name.to_vec());
        let mut stat = rustix::fs::statat(folder, Path::new(&name), AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(stat.st_mode).is_symlink() {
            stat = rustix::fs::fstat(self.root.open_below(&relative.join(Path::new(&name)))?)?;
        }
        let kind = FileType::from_raw_mode(stat.st_mode);
        let modified = u64::try_from(stat.st_mtime).ok();
        Ok((kind.is_dir() || kind.is_file()).then(|| Entry {
            name,
            folder: kind.is_dir(),
            bytes: u64::try_from(stat.st_size).unwrap_or(0),
            modified: modified.map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds)),
        }))
    }
}

impl Handler for Files {
    fn call(&self, request: &mut Request<'_>) -> Response {
        self.respond(request)
    }
}

/// Answers with a file, or the part of it asked for.
fn send(
    file: File,
    metadata: &Metadata,
    name: &Path,
    method: &Method,
    headers: &HeaderMap,
) -> Answer {
    let validators = Validators::of(metadata, SystemTime::now());
    let length = metadata.len();
    let mut answer = Answer::plain(StatusCode::OK);
    answer.body = Payload::Empty;
    answer.headers.insert(header::ETAG, validators.etag());
    if let Some(modified) = validators.last_modified() {
        answer.headers.insert(header::LAST_MODIFIED, modified);
    }
    match validators.judge(headers) {
        Verdict::NotModified => {
            answer.status = StatusCode::NOT_MODIFIED;
            answer.headers.remove(header::CONTENT_TYPE);
            return answer;
        }
        Verdict::Failed => return Answer::plain(StatusCode::PRECONDITION_FAILED),
        Verdict::Proceed => {}
    }
    answer
        .headers
        .insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    let mut content_type = content_type(name);
    let content = match ranges(method, headers, &validators, length) {
        Wanted::Whole => Content::part(file, 0, length),
        Wanted::One(span) => {
            answer.status = StatusCode::PARTIAL_CONTENT;
            let value = format!("bytes {}-{}/{length}", span.first, span.last);
            answer.headers.insert(header::CONTENT_RANGE, ascii(&value));
            Content::part(file, span.first, span.len())
        }
        Wanted::Several(spans) => {
            answer.status = StatusCode::PARTIAL_CONTENT;
            let (content, multipart) = Content::multipart(file, &spans, length, &content_type);
            content_type = multipart;
            content
        }
        Wanted::Nothing => {
            let mut answer = Answer::plain(StatusCode::RANGE_NOT_SATISFIABLE);
            answer
                .headers
                .insert(header::CONTENT_RANGE, ascii(&format!("bytes */{length}")));
            return answer;
        }
    };
    answer
        .headers
        .insert(header::CONTENT_TYPE, ascii(&content_type));
    answer.body = Payload::File(content);
    answer
}

/// Reads `Range`, which means something for GET only.
fn ranges(method: &Method, headers: &HeaderMap, validators: &Validators, length: u64) -> Wanted {
    let mut values = headers.get_all(header::RANGE).iter();
    match (values.next(), values.next()) {
        (Some(value), None) if method == Method::GET && validators.range_applies(headers) => value
            .to_str()
            .map_or(Wanted::Whole, |value| range::wanted(value, length)),
        _ => Wanted::Whole,
    }
}

/// Returns the media type for a file's name.
fn content_type(name: &Path) -> String {
    let mime = mime_guess::from_path(name).first_or_octet_stream();
    let text = mime.type_() == mime_guess::mime::TEXT
        || matches!(
            mime.essence_str(),
            "application/javascript" | "application/xhtml+xml"
        );
    if text {
        format!("{}; charset=utf-8", mime.essence_str())
    } else {
        mime.to_string()
    }
}

fn ascii(value: &str) -> HeaderValue {
    HeaderValue::from_str(value).expect("made of printable ASCII")
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let Answer {
            status,
            mut headers,
            body,
        } = self;
        // For whoever looks at the response before it is sent; the server writes its own.
        if let Some(length) = body.len() {
            headers.insert(header::CONTENT_LENGTH, length.into());
        }
        let mut response = match body {
            Payload::Empty => Response::new(status),
            Payload::Text(text) => Response::bytes(text),
            Payload::File(content) => {
                let length = content.len();
                Response::reader(content, Some(length))
            }
        };
        *response.headers_mut() = headers;
        response.with_status(status)
    }
}

impl Answer {
    /// An answer whose text is its status; nosniff, as everything here.
    fn plain(status: StatusCode) -> Answer {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        );
        let text = "text/plain; charset=utf-8";
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(text));
        Answer {
            status,
            headers,
            body: Payload::Text(format!("{status}\n")),
        }
    }

    /// Answers an error of the file system without telling more than needed.
    fn failed(e: &io::Error) -> Answer {
        Answer::plain(match e.kind() {
            io::ErrorKind::NotFound => StatusCode::NOT_FOUND,
            io::ErrorKind::PermissionDenied => StatusCode::FORBIDDEN,
            _ => match rustix::io::Errno::from_io_error(e) {
                // Out of descriptors or memory: not for ever.
                Some(
                    rustix::io::Errno::MFILE | rustix::io::Errno::NFILE | rustix::io::Errno::NOMEM,
                ) => StatusCode::SERVICE_UNAVAILABLE,
                _ => StatusCode::INTERNAL_SERVER_ERROR,
            },
        })
    }
}

#[cfg(test)]
mod tests;
