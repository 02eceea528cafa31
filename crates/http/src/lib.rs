//! HTTP/1.1 for Ropewalk.
#![forbid(unsafe_code)]
