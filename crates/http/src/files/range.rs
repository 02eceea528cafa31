//! The `Range` header (RFC 9110, section 14): which bytes of a representation are wanted.
//!
//! Policy where the RFC leaves it open: a header that is no valid set of byte ranges is ignored, as is
//! one with more than [`RANGES_MAX`] ranges, or whose ranges together ask for more bytes than there
//! are (overlapping ranges are only of use to an attacker); then the whole is sent. Ranges are sent in
//! the order asked for; those that can't be satisfied are left out of the answer to several.

/// Most ranges answered in one response.
const RANGES_MAX: usize = 16;

/// A part of a representation: `first..=last`, both positions of bytes that exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) first: u64,
    pub(super) last: u64,
}

impl Span {
    /// Returns the number of bytes.
    pub(super) fn len(self) -> u64 {
        self.last - self.first + 1
    }
}

/// What a `Range` header asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Everything: 200.
    Whole,
    /// One part: 206 with `Content-Range`.
    One(Span),
    /// At least two parts: 206 with `multipart/byteranges`.
    Several(Vec<Span>),
    /// Nothing that exists: 416.
    Nothing,
}

/// Reads the value of a `Range` header for a representation of `length` bytes.
pub(super) fn wanted(value: &str, length: u64) -> Wanted {
    let Some(specs) = parse(value) else {
        return Wanted::Whole;
    };
    let spans: Vec<Span> = specs
        .iter()
        .filter_map(|spec| spec.resolve(length))
        .collect();
    let total = spans
        .iter()
        .fold(0u64, |sum, span| sum.saturating_add(span.len()));
    match spans.as_slice() {
        [] => Wanted::Nothing,
        [one] => Wanted::One(*one),
        _ if total > length => Wanted::Whole,
        _ => Wanted::Several(spans),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Spec {
    /// `first-last` or `first-`.
    From(u64, Option<u64>),
    /// `-count`: the last so many.
    Last(u64),
}

impl Spec {
    fn resolve(&self, length: u64) -> Option<Span> {
        let end = length.checked_sub(1)?;
        match *self {
            Spec::From(first, last) if first <= end => Some(Span {
                first,
                last: last.unwrap_or(end).min(end),
            }),
            Spec::Last(count) if count > 0 => Some(Span {
                first: length.saturating_sub(count),
                last: end,
            }),
            _ => None,
        }
    }
}

/// Parses `bytes=…`; `None` for anything to be ignored.
fn parse(value: &str) -> Option<Vec<Spec>> {
    let (unit, set) = value.split_once('=')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    let mut specs = Vec::new();
    for element in set.split(',') {
        let element = element.trim_matches([' ', '\t']);
        if element.is_empty() {
            continue;
        }
        if specs.len() == RANGES_MAX {
            return None;
        }
        let (first, last) = element.split_once('-')?;
        specs.push(match (first, last) {
            ("", count) => Spec::Last(number(count)?),
            (first, "") => Spec::From(number(first)?, None),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                if last < first {
                    return None;
                }
                Spec::From(first, Some(last))
            }
        });
    }
    (!specs.is_empty()).then_some(specs)
}

/// Parses digits and nothing else; what is too large for a file position is as good as the largest.
fn number(digits: &str) -> Option<u64> {
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(first: u64, last: u64) -> Wanted {
        Wanted::One(Span { first, last })
    }

    fn several(spans: &[(u64, u64)]) -> Wanted {
        Wanted::Several(
            spans
                .iter()
                .map(|&(first, last)| Span { first, last })
                .collect(),
        )
    }

    #[test]
    fn of_a_thousand_bytes() {
        for (value, expected) in [
            ("bytes=0-499", one(0, 499)),
            ("bytes=500-999", one(500, 999)),
            ("bytes=-500", one(500, 999)),
            ("bytes=500-", one(500, 999)),
            ("bytes=0-0", one(0, 0)),
            ("bytes=-1", one(999, 999)),
            ("bytes=0-", one(0, 999)),
            ("bytes=999-5000", one(999, 999)),
            ("bytes=-5000", one(0, 999)),
            ("bytes=0-18446744073709551615", one(0, 999)),
            ("bytes=0-99999999999999999999999", one(0, 999)),
            ("bytes=-99999999999999999999999", one(0, 999)),
            ("BYTES=1-2", one(1, 2)),
            ("bytes= 1-2", one(1, 2)),
            ("bytes=,1-2,,", one(1, 2)),
            ("bytes=0-0,-1", several(&[(0, 0), (999, 999)])),
            ("bytes=0-1 ,\t4-5", several(&[(0, 1), (4, 5)])),
            ("bytes=4-5,0-1", several(&[(4, 5), (0, 1)])),
            // Those that can't be satisfied are left out.
            ("bytes=0-1,1000-", one(0, 1)),
            ("bytes=0-1,2000-,3-4", several(&[(0, 1), (3, 4)])),
            ("bytes=1000-", Wanted::Nothing),
            ("bytes=1000-2000,5000-", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=99999999999999999999999-", Wanted::Nothing),
            // Not a set of byte ranges: ignored.
            ("bytes=5-4", Wanted::Whole),
            ("bytes=0-1,5-4", Wanted::Whole),
            ("bytes=", Wanted::Whole),
            ("bytes=,", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
            ("bytes=a-b", Wanted::Whole),
            ("bytes=1-2-3", Wanted::Whole),
            ("bytes=--1", Wanted::Whole),
            ("bytes=+1-2", Wanted::Whole),
            ("bytes=1 - 2", Wanted::Whole),
            ("bytes 0-1", Wanted::Whole),
            ("lines=0-1", Wanted::Whole),
            ("bytes", Wanted::Whole),
            ("", Wanted::Whole),
            // More than there is: ignored.
            ("bytes=0-999,0-0", Wanted::Whole),
            ("bytes=0-,0-,0-", Wanted::Whole),
        ] {
            assert_eq!(wanted(value, 1000), expected, "{value}");
        }
    }

    #[test]
    fn of_nothing_and_of_one_byte() {
        assert_eq!(wanted("bytes=0-", 0), Wanted::Nothing);
        assert_eq!(wanted("bytes=-1", 0), Wanted::Nothing);
        assert_eq!(wanted("bytes=0-0", 1), one(0, 0));
        assert_eq!(wanted("bytes=-9", 1), one(0, 0));
        assert_eq!(wanted("bytes=1-", 1), Wanted::Nothing);
        assert_eq!(wanted("bytes=0-", u64::MAX), one(0, u64::MAX - 1));
    }

    #[test]
    fn too_many() {
        let ranges = |n: usize| {
            let list: Vec<String> = (0..n).map(|i| format!("{0}-{0}", i * 2)).collect();
            wanted(&format!("bytes={}", list.join(",")), 1000)
        };
        assert!(matches!(ranges(RANGES_MAX), Wanted::Several(spans) if spans.len() == RANGES_MAX));
        assert_eq!(ranges(RANGES_MAX + 1), Wanted::Whole);
    }
}
