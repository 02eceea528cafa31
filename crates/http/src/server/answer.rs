//! Encoding a response.

use std::io::{self, Read};

use http::header::{self, HeaderName};
use http::{Method, Version};

use super::date;
use super::response::{Body, BodyWriter, GATHER_BYTES, Response};
use crate::codec::body::{encode_chunk, encode_last_chunk};
use crate::codec::response::{encode_field, encode_length, encode_status, is_bodiless};

/// What the response answers.
pub(super) struct Asked<'a> {
    pub(super) method: &'a Method,
    pub(super) version: Version,
    /// Whether the connection is to be kept, as far as the request goes.
    pub(super) keep_alive: bool,
}

/// Appends `response` to `out`, sending what gets too much; says whether the connection can
/// be kept.
pub(super) fn encode(
    out: &mut Vec<u8>,
    response: Response,
    asked: &Asked<'_>,
    send: &mut dyn FnMut(&mut Vec<u8>) -> io::Result<()>,
) -> io::Result<bool> {
    let Response {
        status,
        content_type,
        headers,
        body,
    } = response;
    let bodiless = is_bodiless(asked.method, status);
    let length = match &body {
        Body::Empty | Body::Upgrade(_) => Some(0),
        Body::Bytes(bytes) => Some(bytes.len() as u64),
        Body::Reader { length, .. } => *length,
        Body::Stream(_) => None,
    };
    let chunked = length.is_none() && asked.version == Version::HTTP_11;
    let until_close = length.is_none() && !chunked && !bodiless;
    let mut keep_alive = asked.keep_alive && !until_close;

    encode_status(out, status);
    if let Some(value) = &content_type {
        encode_field(out, &header::CONTENT_TYPE, value);
    }
    let mut dated = false;
    for (name, value) in &headers {
        if is_framing(name) {
            continue;
        }
        if *name == header::CONNECTION && value.as_bytes().eq_ignore_ascii_case(b"close") {
            keep_alive = false;
            continue;
        }
        dated |= *name == header::DATE;
        encode_field(out, name, value);
    }
    if !dated && !status.is_informational() {
        date::encode(out);
    }
    // 1xx and 204 have no length; of 304 it would be the other response's.
    let lengthless = bodiless && *asked.method != Method::HEAD;
    match length {
        _ if lengthless => {}
        Some(length) => encode_length(out, length),
        None if chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        None => {}
    }
    if !keep_alive {
        out.extend_from_slice(b"connection: close\r\n");
    } else if asked.version == Version::HTTP_10 {
        out.extend_from_slice(b"connection: keep-alive\r\n");
    }
    out.extend_from_slice(b"\r\n");
    if bodiless {
        return Ok(keep_alive);
    }
    match body {
        Body::Empty | Body::Upgrade(_) => {}
        Body::Bytes(bytes) if bytes.len() < GATHER_BYTES => out.extend_from_slice(&bytes),
        Body::Bytes(bytes) => {
            for piece in bytes.chunks(GATHER_BYTES) {
                out.extend_from_slice(piece);
                send(out)?;
            }
        }
        Body::Reader { mut reader, length } => copy(out, &mut *reader, length, chunked, send)?,
        Body::Stream(write) => {
            write(&mut BodyWriter {
                out: &mut *out,
                send: &mut *send,
                chunked,
            })?;
            if chunked {
                encode_last_chunk(out);
            }
        }
    }
    Ok(keep_alive)
}

fn is_framing(name: &HeaderName) -> bool {
    *name == header::CONTENT_LENGTH || *name == header::TRANSFER_ENCODING
}

/// Sends what `reader` gives: `length` bytes, or all of it.
fn copy(
    out: &mut Vec<u8>,
    reader: &mut dyn Read,
    length: Option<u64>,
    chunked: bool,
    send: &mut dyn FnMut(&mut Vec<u8>) -> io::Result<()>,
) -> io::Result<()> {
    let mut left = length;
    let piece_bytes = left.map_or(GATHER_BYTES, |left| left.min(GATHER_BYTES as u64) as usize);
    let mut piece = vec![0; piece_bytes];
    while left != Some(0) {
        let most = left.map_or(piece.len(), |left| left.min(piece.len() as u64) as usize);
        let len = match reader.read(&mut piece[..most]) {
            Ok(len) => len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        match &mut left {
            _ if len == 0 && length.is_some() => {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the body's reader has fewer bytes than were announced",
                ));
            }
            _ if len == 0 => break,
            Some(left) => *left -= len as u64,
            None => {}
        }
        if chunked {
            encode_chunk(out, &piece[..len]);
        } else {
            out.extend_from_slice(&piece[..len]);
        }
        if out.len() >= GATHER_BYTES {
            send(out)?;
        }
    }
    if chunked {
        encode_last_chunk(out);
    }
    Ok(())
}
