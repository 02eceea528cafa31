//! `ropewalk serve`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::process::{Folder, Running, ropewalk};

/// A running `ropewalk serve`.
pub(crate) struct Server {
    pub(crate) running: Running,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts serving `dir` on a free port, which it learns from the banner.
    pub(crate) fn start(dir: &Path, args: &[&str]) -> Server {
        let mut command = ropewalk(["serve", "--bind", "127.0.0.1:0"]);
        let mut running = Running::start(command.arg(dir).args(args));
        loop {
            let line = running.err_line();
            if let Some((_, url)) = line.split_once("http://") {
                let address = url.trim_end_matches('/').split(' ').next().unwrap();
                let address = address.trim_end_matches('/').parse().unwrap();
                return Server { running, address };
            }
        }
    }

    /// Sends a request on a connection of its own.
    fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Reply {
        let mut stream = connect(self.address);
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n");
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut reader = BufReader::new(stream);
        let mut reply = Reply::head(&mut reader);
        reader.read_to_end(&mut reply.body).unwrap();
        reply
    }

    fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, &[])
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    // Only so that a failing test ends.
    stream
        .set_read_timeout(Some(Duration::from_secs(120)))
        .unwrap();
    stream
}

/// A response as it came.
#[derive(Debug)]
struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Reply {
    fn head(reader: &mut impl BufRead) -> Reply {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let status = line
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status in {line:?}"));
        let mut headers = Vec::new();
        loop {
            line.clear();
            reader.read_line(&mut line).unwrap();
            match line.trim_end().split_once(": ") {
                Some((name, value)) => headers.push((name.to_ascii_lowercase(), value.to_owned())),
                None => {
                    return Reply {
                        status,
                        headers,
                        body: Vec::new(),
                    };
                }
            }
        }
    }

    /// Returns a header's value, empty if it isn't there.
    fn header(&self, name: &str) -> &str {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map_or("", |(_, value)| value)
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// A folder with some files, and a secret beside it.
fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("secret.txt", "secret");
    folder.write("root/a.txt", "0123456789");
    folder.write("root/page.html", "<p>é</p>");
    folder.write("root/style.css", "p{}");
    folder.write("root/picture.png", "png");
    folder.write("root/unknown.xyzzy", "?");
    folder.write("root/.hidden", "hidden");
    folder.write("root/with index/index.html", "index");
    folder.write("root/list/<b>.txt", "b");
    symlink("../secret.txt", folder.join("root/leak.txt")).unwrap();
    symlink("..", folder.join("root/out")).unwrap();
    symlink("a.txt", folder.join("root/inside.txt")).unwrap();
    // Changed long ago, so that tags are strong.
    let a = std::fs::File::options()
        .write(true)
        .open(folder.join("root/a.txt"))
        .unwrap();
    a.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(1_000_000_000))
        .unwrap();
    folder
}

#[test]
fn files_and_types() {
    let folder = folder();
    let server = Server::start(&folder.join("root"), &[]);
    for (path, kind, body) in [
        ("/a.txt", "text/plain; charset=utf-8", "0123456789"),
        ("/a.txt?query", "text/plain; charset=utf-8", "0123456789"),
        ("/inside.txt", "text/plain; charset=utf-8", "0123456789"),
        ("/page.html", "text/html; charset=utf-8", "<p>é</p>"),
        ("/style.css", "text/css; charset=utf-8", "p{}"),
        ("/picture.png", "image/png", "png"),
        ("/unknown.xyzzy", "application/octet-stream", "?"),
        ("/with%20index/", "text/html; charset=utf-8", "index"),
    ] {
        let reply = server.get(path);
        assert_eq!((reply.status, reply.text()), (200, body), "{path}");
        assert_eq!(reply.header("content-type"), kind, "{path}");
        assert_eq!(
            reply.header("content-length"),
            body.len().to_string(),
            "{path}"
        );

        let head = server.ask("HEAD", path, &[]);
        assert_eq!((head.status, head.text()), (200, ""), "{path}");
        let mut names = ["content-type", "content-length", "etag", "last-modified"].iter();
        assert!(
            names.all(|name| head.header(name) == reply.header(name)),
            "{head:?} {reply:?}"
        );
    }
    let reply = server.get("/with%20index?a=1");
    assert_eq!(
        (reply.status, reply.header("location")),
        (301, "/with%20index/?a=1")
    );
    assert_eq!(server.get("/nowhere").status, 404);
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"] {
        let reply = server.ask(method, "/a.txt", &[("Content-Length", "0")]);
        assert_eq!(
            (reply.status, reply.header("allow")),
            (405, "GET, HEAD"),
            "{method}"
        );
    }
}

#[test]
fn listings_and_dotfiles() {
    let folder = folder();
    let root = folder.join("root");
    let server = Server::start(&root, &[]);
    let page = server.get("/");
    assert_eq!(page.status, 200);
    assert!(page.text().contains("with index/") && !page.text().contains("hidden"));
    assert!(
        !page.text().contains("leak") && !page.text().contains("out"),
        "{}",
        page.text()
    );
    assert!(server.get("/list/").text().contains("&lt;b&gt;.txt"));
    assert_eq!(server.get("/.hidden").status, 404);

    let server = Server::start(&root, &["--no-listing", "--hidden"]);
    assert_eq!(server.get("/").status, 404);
    assert_eq!(server.get("/with%20index/").status, 200);
    assert_eq!(server.get("/.hidden").text(), "hidden");
}

#[test]
fn nothing_outside_the_folder() {
    let folder = folder();
    let server = Server::start(&folder.join("root"), &["--hidden"]);
    for path in [
        "/../secret.txt",
        "/..",
        "/../",
        "/list/../../secret.txt",
        "/%2e%2e/secret.txt",
        "/%2E%2E/secret.txt",
        "/.%2e/secret.txt",
        "/..%2fsecret.txt",
        "/list%2f..%2f..%2fsecret.txt",
        "/..%5csecret.txt",
        "/..\\secret.txt",
        "/%252e%252e/secret.txt",
        "/a.txt%00",
        "/%00",
        "//../secret.txt",
        "/./../secret.txt",
        "/leak.txt",
        "/out/secret.txt",
        "/out/",
        "/%c0%ae%c0%ae/secret.txt",
        "/etc/passwd",
        "//etc/passwd",
    ] {
        let reply = server.get(path);
        assert!(matches!(reply.status, 400 | 404), "{path}: {reply:?}");
        assert!(
            !reply.text().contains("secret") && !reply.text().contains("root:"),
            "{path}"
        );
    }
}

#[test]
fn ranges_and_conditions() {
    let folder = folder();
    let server = Server::start(&folder.join("root"), &[]);
    let whole = server.get("/a.txt");
    let (tag, date) = (whole.header("etag"), whole.header("last-modified"));
    assert_eq!(date, "Sun, 09 Sep 2001 01:46:40 GMT");
    for (headers, status, range, body) in [
        (&[("Range", "bytes=0-0")][..], 206, "bytes 0-0/10", "0"),
        (&[("Range", "bytes=2-4")], 206, "bytes 2-4/10", "234"),
        (&[("Range", "bytes=7-")], 206, "bytes 7-9/10", "789"),
        (&[("Range", "bytes=7-100")], 206, "bytes 7-9/10", "789"),
        (&[("Range", "bytes=-3")], 206, "bytes 7-9/10", "789"),
        (
            &[("Range", "bytes=10-")],
            416,
            "bytes */10",
            "416 Range Not Satisfiable\n",
        ),
        (&[("Range", "bytes=4-2")], 200, "", "0123456789"),
        (&[("Range", "pages=1-2")], 200, "", "0123456789"),
        (
            &[("Range", "bytes=2-4"), ("If-Range", tag)],
            206,
            "bytes 2-4/10",
            "234",
        ),
        (
            &[("Range", "bytes=2-4"), ("If-Range", "\"x\"")],
            200,
            "",
            "0123456789",
        ),
        (&[("If-None-Match", tag)], 304, "", ""),
        (&[("If-None-Match", "\"x\"")], 200, "", "0123456789"),
        (&[("If-Modified-Since", date)], 304, "", ""),
        (
            &[("If-Unmodified-Since", "Sun, 09 Sep 2001 01:46:39 GMT")],
            412,
            "",
            "412 Precondition Failed\n",
        ),
    ] {
        let reply = server.ask("GET", "/a.txt", headers);
        assert_eq!((reply.status, reply.text()), (status, body), "{headers:?}");
        assert_eq!(reply.header("content-range"), range, "{headers:?}");
    }
    let several = server.ask("GET", "/a.txt", &[("Range", "bytes=0-1,8-9")]);
    assert_eq!(several.status, 206);
    let (kind, boundary) = several
        .header("content-type")
        .split_once("; boundary=")
        .unwrap();
    assert_eq!(kind, "multipart/byteranges");
    assert_eq!(several.text().matches(boundary).count(), 3);
    assert_eq!(
        several.header("content-length"),
        several.body.len().to_string()
    );
}

/// A file larger than any buffer arrives whole, and its memory doesn't show in the server.
#[test]
fn large_file_is_streamed() {
    const LENGTH: usize = 300 << 20;
    let folder = Folder::new();
    let file = std::fs::File::create(folder.join("large")).unwrap();
    file.set_len(LENGTH as u64).unwrap();
    let server = Server::start(folder.path(), &[]);
    let mut stream = connect(server.address);
    stream
        .write_all(b"GET /large HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut reader = BufReader::new(stream);
    assert_eq!(
        Reply::head(&mut reader).header("content-length"),
        LENGTH.to_string()
    );
    assert_eq!(
        std::io::copy(&mut reader, &mut std::io::sink()).unwrap(),
        LENGTH as u64
    );
    let peak = status_number(server.running.id(), "VmHWM:");
    assert!(peak < (LENGTH >> 10) as u64 / 4, "{peak} KiB at the peak");
}

/// Reads a number from `/proc/<id>/status`.
fn status_number(id: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// Many connections held open while new ones are answered; then every held one is answered again.
/// 1,000, or with `ROPEWALK_FULL=1` 20,000 (or as many as the limit on open files has room for).
#[test]
fn many_connections() {
    let full = std::env::var_os("ROPEWALK_FULL").is_some_and(|value| value == "1");
    let hard = getrlimit(Resource::Nofile).maximum;
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: hard,
            maximum: hard,
        },
    )
    .unwrap();
    let possible = usize::try_from(hard.unwrap_or(u64::MAX)).unwrap_or(usize::MAX) - 300;
    let count = if full { 20_000 } else { 1_000 }.min(possible);

    let folder = Folder::new();
    folder.write("a.txt", "0123456789");
    let server = Server::start(folder.path(), &[]);
    let request = b"GET /a.txt HTTP/1.1\r\nHost: h\r\n\r\n";
    let answered = |stream: &TcpStream| {
        let mut reader = BufReader::new(stream);
        let reply = Reply::head(&mut reader);
        let mut body = [0; 10];
        reader.read_exact(&mut body).unwrap();
        reply.status == 200 && &body == b"0123456789"
    };
    let mut held = Vec::with_capacity(count);
    for number in 0..count {
        let mut stream = connect(server.address);
        stream.write_all(request).unwrap();
        assert!(answered(&stream), "connection {number}");
        held.push(stream);
    }
    assert_eq!(descriptors(server.running.id()) / count, 1);
    let threads = status_number(server.running.id(), "Threads:");
    assert!(threads < 100, "{threads} threads");
    for _ in 0..10 {
        assert_eq!(server.get("/a.txt").text(), "0123456789");
    }
    for (number, mut stream) in held.iter().enumerate() {
        stream.write_all(request).unwrap();
        assert!(answered(stream), "connection {number} again");
    }
    println!(
        "{count} connections held, {threads} threads, {} KiB",
        status_number(server.running.id(), "VmRSS:")
    );
}

fn descriptors(id: u32) -> usize {
    std::fs::read_dir(format!("/proc/{id}/fd")).unwrap().count()
}

/// More connections than descriptors: the listener lives on and serves again when some are closed.
#[test]
fn out_of_descriptors() {
    let folder = Folder::new();
    folder.write("a.txt", "a");
    let program = env!("CARGO_BIN_EXE_ropewalk");
    let mut command = std::process::Command::new("sh");
    command
        .args([
            "-c",
            "ulimit -n 200; exec \"$0\" serve --bind 127.0.0.1:0 \"$1\"",
            program,
        ])
        .arg(folder.path())
        .stderr(std::process::Stdio::piped());
    let mut running = Running::start(&mut command);
    let warning = running.err_line();
    assert!(
        warning.contains("ulimit -n") && warning.contains("LimitNOFILE"),
        "{warning}"
    );
    let banner = running.err_line();
    let address = banner
        .split_once("http://")
        .unwrap()
        .1
        .trim_end_matches('/')
        .parse()
        .unwrap();
    let server = Server { running, address };
    let crowd: Vec<TcpStream> = (0..400).map(|_| connect(address)).collect();
    drop(crowd);
    assert_eq!(server.get("/a.txt").text(), "a");
}

#[test]
fn access_log() {
    let folder = folder();
    let mut server = Server::start(&folder.join("root"), &["-v"]);
    server.get("/a.txt?x=1");
    server.get("/nowhere");
    let line = server.running.err_line();
    assert!(
        line.contains("127.0.0.1") && line.contains("\"GET /a.txt?x=1\" 200 10"),
        "{line}"
    );
    let line = server.running.err_line();
    assert!(line.contains("\"GET /nowhere\" 404"), "{line}");
}
