//! `Files` as a whole, on a folder with everything in it that has ever been a problem.

use super::*;
use http::HeaderName;
use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

/// A folder with files in it, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("ropewalk-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("root/sub")).unwrap();
        let folder = Folder(path);
        for (name, text) in [
            ("../secret.txt", "secret"),
            ("a.txt", "0123456789"),
            ("page.html", "<p>"),
            ("script.js", "1"),
            ("data.json", "{}"),
            ("picture.png", "png"),
            ("noextension", "?"),
            ("empty.txt", ""),
            (".hidden", "hidden"),
            ("sub/index.html", "<h1>sub</h1>"),
            ("a b&c.txt", "odd"),
        ] {
            folder.write(name, text);
        }
        fs::create_dir(folder.root().join("list")).unwrap();
        folder.write("list/<x>.txt", "x");
        symlink("../../secret.txt", folder.root().join("list/leak.txt")).unwrap();
        symlink("../a.txt", folder.root().join("list/inside.txt")).unwrap();
        symlink("../secret.txt", folder.root().join("leak.txt")).unwrap();
        folder
    }

    fn root(&self) -> PathBuf {
        self.0.join("root")
    }

    /// Writes a file that was last changed long ago, so that its tag is strong.
    fn write(&self, name: &str, text: &str) {
        let path = self.root().join(name);
        fs::write(&path, text).unwrap();
        let long_ago = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_modified(long_ago)
            .unwrap();
    }

    fn files(&self) -> Files {
        Files::new(self.root()).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn ask(files: &Files, path: &str, headers: &[(HeaderName, &str)]) -> Answer {
    let headers = headers
        .iter()
        .map(|(name, value)| (name.clone(), value.parse().unwrap()));
    files.answer(&Method::GET, path, None, &headers.collect())
}

fn status(files: &Files, path: &str) -> u16 {
    ask(files, path, &[]).status.as_u16()
}

fn header_of(answer: &Answer, name: HeaderName) -> &str {
    answer
        .headers
        .get(&name)
        .map_or("", |value| value.to_str().unwrap())
}

fn text(answer: Answer) -> String {
    match answer.body {
        Payload::Empty => String::new(),
        Payload::Text(text) => text,
        Payload::File(mut content) => {
            let mut text = String::new();
            content.read_to_string(&mut text).unwrap();
            text
        }
    }
}

#[test]
fn types() {
    let folder = Folder::new("types");
    let files = folder.files();
    for (path, expected) in [
        ("/a.txt", "text/plain; charset=utf-8"),
        ("/page.html", "text/html; charset=utf-8"),
        ("/script.js", "text/javascript; charset=utf-8"),
        ("/data.json", "application/json"),
        ("/picture.png", "image/png"),
        ("/noextension", "application/octet-stream"),
        ("/sub/", "text/html; charset=utf-8"),
    ] {
        let answer = ask(&files, path, &[]);
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(header_of(&answer, header::CONTENT_TYPE), expected, "{path}");
        assert_eq!(
            header_of(&answer, header::X_CONTENT_TYPE_OPTIONS),
            "nosniff",
            "{path}"
        );
        assert_eq!(header_of(&answer, header::ACCEPT_RANGES), "bytes", "{path}");
    }
}

#[test]
fn statuses_of_paths() {
    let folder = Folder::new("paths");
    let files = folder.files();
    for (path, expected) in [
        ("/a.txt", 200),
        ("//a.txt", 200),
        ("/a%2etxt", 200),
        ("/a%20b&c.txt", 200),
        ("/empty.txt", 200),
        ("/nowhere", 404),
        ("/a.txt/", 404),
        ("/a.txt/b", 404),
        ("/leak.txt", 404),
        ("/list/leak.txt", 404),
        ("/list/inside.txt", 200),
        ("/.hidden", 404),
        ("/../secret.txt", 400),
        ("/%2e%2e/secret.txt", 400),
        ("/sub/..%2f..%2fsecret.txt", 400),
        ("/sub\\..\\secret.txt", 400),
        ("/a.txt%00.png", 400),
        ("/%zz", 400),
        ("/", 404),
        ("/list/", 404),
        ("/sub", 301),
        ("/sub/", 200),
    ] {
        assert_eq!(status(&files, path), expected, "{path}");
    }
    let long = format!("/{}", "x".repeat(5000));
    assert_eq!(status(&files, &long), 404);
    assert_eq!(status(&files.dotfiles(true), "/.hidden"), 200);
}

#[test]
fn other_methods() {
    let folder = Folder::new("methods");
    for method in [
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::OPTIONS,
        Method::PATCH,
    ] {
        let answer = folder
            .files()
            .answer(&method, "/a.txt", None, &HeaderMap::new());
        assert_eq!(answer.status, 405, "{method}");
        assert_eq!(header_of(&answer, header::ALLOW), "GET, HEAD");
    }
}

#[test]
fn redirects_stay_here() {
    let folder = Folder::new("redirects");
    fs::create_dir_all(folder.root().join("evil.example/x y")).unwrap();
    let files = folder.files();
    for (path, query, location) in [
        ("/sub", None, "/sub/"),
        ("/sub", Some("a=1&b"), "/sub/?a=1&b"),
        ("//evil.example", None, "/evil.example/"),
        ("//evil.example/x%20y", None, "/evil.example/x%20y/"),
    ] {
        let answer = files.answer(&Method::GET, path, query, &HeaderMap::new());
        assert_eq!(answer.status, 301, "{path}");
        assert_eq!(header_of(&answer, header::LOCATION), location, "{path}");
    }
    let files = files.prefix("/static/");
    let answer = ask(&files, "/static/sub", &[]);
    assert_eq!(header_of(&answer, header::LOCATION), "/static/sub/");
    assert_eq!(status(&files, "/static/a.txt"), 200);
    assert_eq!(status(&files, "/a.txt"), 404);
    assert_eq!(status(&files, "/statica.txt"), 404);
}

#[test]
fn listings() {
    let folder = Folder::new("listings");
    let files = folder.files().listing(true);
    let answer = ask(&files, "/list/", &[]);
    assert_eq!(answer.status, 200);
    assert_eq!(
        header_of(&answer, header::CONTENT_SECURITY_POLICY),
        listing::POLICY
    );
    let page = text(answer);
    assert!(
        page.contains("&lt;x&gt;.txt") && page.contains("inside.txt"),
        "{page}"
    );
    assert!(!page.contains("<x>") && !page.contains("leak"), "{page}");
    let page = text(ask(&files, "/", &[]));
    assert!(
        page.contains(">sub/<") && !page.contains("hidden"),
        "{page}"
    );
    assert!(text(ask(&files, "/sub/", &[])).contains("<h1>sub</h1>"));
    assert!(text(ask(&files.dotfiles(true), "/", &[])).contains(".hidden"));
}

#[test]
fn ranges_and_conditions() {
    use header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, RANGE};
    let folder = Folder::new("ranges");
    let files = folder.files();
    let whole = ask(&files, "/a.txt", &[]);
    let tag = header_of(&whole, header::ETAG).to_owned();
    let date = header_of(&whole, header::LAST_MODIFIED).to_owned();
    assert!(tag.starts_with('"'), "{tag}");
    assert_eq!(text(whole), "0123456789");
    let tag = tag.as_str();
    for (headers, status, range, body) in [
        (&[(RANGE, "bytes=2-4")][..], 206, "bytes 2-4/10", "234"),
        (&[(RANGE, "bytes=-2")], 206, "bytes 8-9/10", "89"),
        (
            &[(RANGE, "bytes=20-")],
            416,
            "bytes */10",
            "416 Range Not Satisfiable\n",
        ),
        (&[(RANGE, "bytes=2-1")], 200, "", "0123456789"),
        (
            &[(RANGE, "bytes=2-4"), (IF_RANGE, tag)],
            206,
            "bytes 2-4/10",
            "234",
        ),
        (
            &[(RANGE, "bytes=2-4"), (IF_RANGE, &date)],
            206,
            "bytes 2-4/10",
            "234",
        ),
        (
            &[(RANGE, "bytes=2-4"), (IF_RANGE, "\"old\"")],
            200,
            "",
            "0123456789",
        ),
        (&[(RANGE, "bytes=2-4"), (IF_NONE_MATCH, tag)], 304, "", ""),
        (&[(IF_NONE_MATCH, "\"old\"")], 200, "", "0123456789"),
        (&[(IF_MODIFIED_SINCE, &date)], 304, "", ""),
        (
            &[(IF_MATCH, "\"old\"")],
            412,
            "",
            "412 Precondition Failed\n",
        ),
    ] {
        let answer = ask(&files, "/a.txt", headers);
        assert_eq!(answer.status, status, "{headers:?}");
        assert_eq!(
            header_of(&answer, header::CONTENT_RANGE),
            range,
            "{headers:?}"
        );
        if status == 304 {
            assert_eq!(header_of(&answer, header::ETAG), tag);
            assert!(!answer.headers.contains_key(header::CONTENT_TYPE));
        }
        assert_eq!(text(answer), body, "{headers:?}");
    }
    let answer = ask(&files, "/a.txt", &[(RANGE, "bytes=0-1,-1")]);
    assert_eq!(answer.status, 206);
    assert!(header_of(&answer, header::CONTENT_TYPE).starts_with("multipart/byteranges"));
    let body = text(answer);
    assert!(body.contains("bytes 0-1/10\r\n\r\n01\r\n"), "{body}");
    assert!(body.contains("bytes 9-9/10\r\n\r\n9\r\n"), "{body}");
    assert_eq!(
        ask(&files, "/empty.txt", &[(RANGE, "bytes=0-")]).status,
        416
    );

    // A range means nothing to HEAD.
    let headers = [(RANGE, "bytes=2-4".parse().unwrap())]
        .into_iter()
        .collect();
    let answer = files.answer(&Method::HEAD, "/a.txt", None, &headers);
    assert_eq!(answer.status, 200);
    assert!(matches!(answer.body, Payload::File(content) if content.len() == 10));
}

#[test]
fn not_a_folder() {
    let folder = Folder::new("root");
    assert!(Files::new(folder.root().join("a.txt")).is_err());
    assert!(Files::new(folder.root().join("nowhere")).is_err());
}
