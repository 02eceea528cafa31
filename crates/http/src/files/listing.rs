//! A page that lists a folder.
//!
//! Names come from the file system and may hold anything: text is escaped, links are percent-encoded
//! single segments behind `./`, and the page may run no script (see [`POLICY`]).

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::Path;
use std::time::SystemTime;

use super::path;

/// Most entries shown, so that a huge folder can't fill the memory.
pub(super) const ENTRIES_MAX: usize = 10_000;

/// The page's `Content-Security-Policy`: its own style, nothing else.
pub(super) const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// One line of the page.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: OsString,
    pub(super) folder: bool,
    pub(super) bytes: u64,
    pub(super) modified: Option<SystemTime>,
}

/// Writes the page for the folder at `relative` below the root: folders first, each by name. `more`
/// says that not all entries are there.
pub(super) fn page(relative: &Path, mut entries: Vec<Entry>, more: bool) -> String {
    entries.sort_by(|a, b| b.folder.cmp(&a.folder).then_with(|| a.name.cmp(&b.name)));
    let root = relative.as_os_str().is_empty();
    let title = if root {
        "/".to_owned()
    } else {
        format!("/{}/", relative.to_string_lossy())
    };
    let title = escape(&title);
    let mut page = String::with_capacity(1024 + entries.len() * 160);
    let _ = write!(
        page,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n\
         <style>body{{font:1rem system-ui,sans-serif;margin:2rem}}td{{padding:.1rem 1rem .1rem 0}}\
         .n{{text-align:right;font-variant-numeric:tabular-nums}}</style>\n</head>\n<body>\n\
         <h1>{title}</h1>\n<table>\n"
    );
    if !root {
        page.push_str("<tr><td><a href=\"../\">../</a></td><td></td><td></td></tr>\n");
    }
    for entry in &entries {
        let slash = if entry.folder { "/" } else { "" };
        let href = path::encode(&entry.name);
        let name = escape(&entry.name.to_string_lossy());
        let bytes = if entry.folder {
            String::new()
        } else {
            entry.bytes.to_string()
        };
        let modified = entry
            .modified
            .map(httpdate::fmt_http_date)
            .unwrap_or_default();
        let _ = writeln!(
            page,
            "<tr><td><a href=\"./{href}{slash}\">{name}{slash}</a></td>\
             <td class=\"n\">{bytes}</td><td>{modified}</td></tr>"
        );
    }
    page.push_str("</table>\n");
    if more {
        let _ = writeln!(
            page,
            "<p>Only {ENTRIES_MAX} entries are shown; there are more.</p>"
        );
    }
    page.push_str("</body>\n</html>\n");
    page
}

/// Escapes text for HTML content and quoted attributes.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    fn entry(name: &str, folder: bool) -> Entry {
        Entry {
            name: name.into(),
            folder,
            bytes: 7,
            modified: Some(UNIX_EPOCH),
        }
    }

    #[test]
    fn folders_first_by_name() {
        let entries = vec![
            entry("b", false),
            entry("z", true),
            entry("a", false),
            entry("y", true),
        ];
        let page = page(Path::new(""), entries, false);
        let at = |link: &str| {
            page.find(link)
                .unwrap_or_else(|| panic!("no {link} in {page}"))
        };
        let order = [">y/<", ">z/<", ">a<", ">b<"].map(at);
        assert!(order.is_sorted(), "{order:?}");
        assert!(!page.contains("../") && !page.contains("there are more"));
    }

    #[test]
    fn a_page_below_the_root_leads_up() {
        let page = page(Path::new("sub/deep"), Vec::new(), true);
        assert!(page.contains("<a href=\"../\">") && page.contains("<h1>/sub/deep/</h1>"));
        assert!(page.contains("there are more"));
    }

    #[test]
    fn names_cannot_break_out() {
        let names = [
            "<script>alert(1)</script>",
            "\" onmouseover=\"x",
            "' onmouseover='x",
            "javascript:alert(1)",
            "a?b#c%d",
            "&lt;",
        ];
        let entries = names.iter().map(|name| entry(name, false)).collect();
        let page = page(Path::new("<b>"), entries, false);
        assert!(!page.contains("<script") && !page.contains("<b>"), "{page}");
        assert!(
            !page.contains("\" onmouseover") && !page.contains("' onmouseover"),
            "{page}"
        );
        assert!(page.contains("href=\"./javascript%3Aalert(1)\""), "{page}");
        assert!(page.contains("href=\"./a%3Fb%23c%25d\""), "{page}");
        assert!(page.contains("&amp;lt;"), "{page}");
    }
}
