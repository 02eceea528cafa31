//! What a right answer looks like, learnt from the first and demanded of all the others.

use std::io;

use crate::peers::HELLO;

/// The form of a contender's right answers.
///
/// The first answer is read with care: status, framing and body. As the same request is
/// answered each time, every further answer must have the same length and the same bytes but
/// for the value of a `date` header, and those the generator checks at the speed of `memcmp`.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    before_date: Vec<u8>,
    date_bytes: usize,
    after_date: Vec<u8>,
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`
const DATE_BYTES: usize = 29;

impl Template {
    /// A template that is these bytes, for answers that are always the same.
    pub(crate) fn exactly(bytes: &[u8]) -> Template {
        Template {
            before_date: bytes.to_vec(),
            date_bytes: 0,
            after_date: Vec::new(),
        }
    }

    /// Learns from the first answer to a `GET /`; `None` as long as `received` is only a part.
    ///
    /// # Errors
    /// If it is not a `200` with a right length and the right body.
    pub(crate) fn learn(received: &[u8]) -> io::Result<Option<Template>> {
        let wrong = |what: &str| {
            let text = String::from_utf8_lossy(received);
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{what} in the answer {text:?}"),
            )
        };
        let Some(head_bytes) = find(received, b"\r\n\r\n").map(|at| at + 4) else {
            return Ok(None);
        };
        let head = std::str::from_utf8(&received[..head_bytes]).map_err(|_| wrong("no text"))?;
        if !head.starts_with("HTTP/1.1 200 ") {
            return Err(wrong("no status 200"));
        }
        let lowercase = head.to_ascii_lowercase();
        let header = |name: &str| lowercase.lines().find_map(|line| line.strip_prefix(name));
        let length = header("content-length:").and_then(|value| value.trim().parse().ok());
        if length != Some(HELLO.len()) || header("transfer-encoding:").is_some() {
            return Err(wrong("no right content-length"));
        }
        if header("connection:").is_some_and(|value| value.contains("close")) {
            return Err(wrong("no keep-alive"));
        }
        let body = &received[head_bytes..];
        if body.len() < HELLO.len() {
            return Ok(None);
        }
        if body != HELLO.as_bytes() {
            return Err(wrong("no right body"));
        }
        let date = lowercase
            .find("\r\ndate: ")
            .map(|at| at + "\r\ndate: ".len());
        let (start, date_bytes) = date.map_or((received.len(), 0), |start| (start, DATE_BYTES));
        if received[start..]
            .get(date_bytes..)
            .is_none_or(|rest| date_bytes > 0 && !rest.starts_with(b"\r\n"))
        {
            return Err(wrong("no date of 29 bytes"));
        }
        Ok(Some(Template {
            before_date: received[..start].to_vec(),
            date_bytes,
            after_date: received[start + date_bytes..].to_vec(),
        }))
    }

    /// The length of every answer.
    pub(crate) fn length(&self) -> usize {
        self.before_date.len() + self.date_bytes + self.after_date.len()
    }

    /// Whether `answer`, of the right length, is a right one.
    pub(crate) fn matches(&self, answer: &[u8]) -> bool {
        answer.starts_with(&self.before_date) && answer.ends_with(&self.after_date)
    }
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len())
        .position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(headers: &str) -> Vec<u8> {
        format!("HTTP/1.1 200 OK\r\n{headers}\r\n\r\n{HELLO}").into_bytes()
    }

    #[test]
    fn another_date_matches_and_nothing_else_may_differ() {
        let first = answer("Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 13");
        let template = Template::learn(&first).unwrap().unwrap();
        assert_eq!(template.length(), first.len());
        let later = answer("Date: Sun, 06 Nov 1994 08:49:38 GMT\r\nContent-Length: 13");
        assert!(template.matches(&first) && template.matches(&later));
        for at in [0, 10, first.len() - 1] {
            let mut other = first.clone();
            other[at] ^= 1;
            assert!(!template.matches(&other), "byte {at} was not looked at");
        }
    }

    #[test]
    fn a_part_is_not_learnt_from_and_wrong_answers_are_refused() {
        let whole = answer("content-length: 13");
        for length in 0..whole.len() {
            assert!(Template::learn(&whole[..length]).unwrap().is_none());
        }
        assert!(Template::learn(&whole).unwrap().is_some());
        for wrong in [
            answer("content-length: 12"),
            answer("content-length: 13\r\nconnection: close"),
            answer("transfer-encoding: chunked"),
            answer("content-length: 13\r\ndate: today"),
            b"HTTP/1.1 404 Not Found\r\ncontent-length: 13\r\n\r\nHello, World!".to_vec(),
            b"HTTP/1.1 200 OK\r\ncontent-length: 13\r\n\r\nHello, Worlds".to_vec(),
        ] {
            assert!(
                Template::learn(&wrong).is_err(),
                "{}",
                String::from_utf8_lossy(&wrong)
            );
        }
    }
}
