//! The `Date` field: formatted once a second and thread, not once a request.

use std::cell::RefCell;
use std::time::{Duration, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

struct Line {
    second: i64,
    bytes: Vec<u8>,
}

thread_local! {
    static LINE: RefCell<Line> = const { RefCell::new(Line { second: -1, bytes: Vec::new() }) };
}

/// Appends the field to `out`.
pub(super) fn encode(out: &mut Vec<u8>) {
    // Coarse: a few milliseconds old, and a fifth of the price.
    let second = clock_gettime(ClockId::RealtimeCoarse).tv_sec;
    LINE.with_borrow_mut(|line| {
        if line.second != second {
            let since = Duration::from_secs(u64::try_from(second).unwrap_or(0));
            line.bytes =
                format!("date: {}\r\n", httpdate::fmt_http_date(UNIX_EPOCH + since)).into();
            line.second = second;
        }
        out.extend_from_slice(&line.bytes);
    });
}
