//! Request bodies: read with caps on size and on slowness, and decompressed with a cap on what
//! comes out. Everything is charged to the memory budget before it exists.

use std::io::Read;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use hyper::header;
use model::{Account, Accountant, Charge};
use tokio::time::Instant;

use super::Context;
use super::error::Failure;
use crate::config::ByteSize;

/// A whole body, and its share of the memory budget.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) bytes: Bytes,
    pub(super) charge: Charge,
}

/// Reads the body of a request; more than `limit` bytes are refused, by the declared length alone
/// if there is one.
///
/// # Errors
/// [`Failure::TooLarge`], [`Failure::SlowBody`], [`Failure::BadBody`], or [`Failure::Busy`] where
/// the memory budget has no room.
pub(super) async fn read(
    cx: &Context,
    mut incoming: Incoming,
    limit: ByteSize,
) -> Result<Body, Failure> {
    let too_large = || too_large(cx, limit);
    let declared = incoming.size_hint().exact();
    if declared.is_some_and(|n| n > limit.0) {
        return Err(too_large());
    }
    let mut charge = charge(&cx.app.memory, declared.unwrap_or(0))?;
    let mut pace = Pace::new(cx);
    let Some(first) = next(&mut incoming, &pace).await? else {
        return Ok(Body { bytes: Bytes::new(), charge });
    };
    if incoming.is_end_stream() && first.len() as u64 <= limit.0 {
        charge.set_always(first.len() as u64);
        return Ok(Body { bytes: first, charge });
    }
    let mut all = Vec::new();
    let room = declared.and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
    all.try_reserve_exact(room.max(first.len())).map_err(|_| no_memory())?;
    let mut piece = Some(first);
    while let Some(bytes) = piece {
        let len = (all.len() + bytes.len()) as u64;
        if len > limit.0 {
            return Err(too_large());
        }
        if len > charge.bytes() {
            // Doubling, as the vector does.
            charge.grow((2 * len).min(limit.0) - charge.bytes()).map_err(over_budget)?;
        }
        all.extend_from_slice(&bytes);
        pace.received = len;
        piece = next(&mut incoming, &pace).await?;
    }
    charge.set_always(all.capacity() as u64);
    Ok(Body { bytes: all.into(), charge })
}

fn too_large(cx: &Context, limit: ByteSize) -> Failure {
    let limit = limit.0;
    if cx.door.is_influx() {
        return Failure::TooLarge(format!("Request Entity Too Large: limit is {limit} bytes"));
    }
    Failure::TooLarge(format!("request body exceeds the {limit} bytes limit"))
}

fn charge(memory: &Accountant, bytes: u64) -> Result<Charge, Failure> {
    memory.charge(Account::Requests, bytes).map_err(over_budget)
}

pub(super) fn over_budget(e: model::OverBudget) -> Failure {
    Failure::Busy { message: e.to_string(), limit: "memory" }
}

fn no_memory() -> Failure {
    Failure::Busy { message: "out of memory".to_owned(), limit: "memory" }
}

/// How fast a body must come: any way it likes during the grace time, then at a minimum rate.
struct Pace {
    grace_ends: Instant,
    bytes_per_second: u64,
    received: u64,
}

impl Pace {
    fn new(cx: &Context) -> Self {
        Self {
            grace_ends: Instant::now() + cx.config.body_grace.duration(),
            bytes_per_second: cx.config.body_min_rate.0,
            received: 0,
        }
    }

    fn deadline(&self) -> Instant {
        let earned_ms = self.received.saturating_mul(1000) / self.bytes_per_second;
        self.grace_ends + std::time::Duration::from_millis(earned_ms)
    }
}

async fn next(incoming: &mut Incoming, pace: &Pace) -> Result<Option<Bytes>, Failure> {
    loop {
        let frame = tokio::time::timeout_at(pace.deadline(), incoming.frame());
        match frame.await {
            Err(_) => return Err(Failure::SlowBody),
            Ok(None) => return Ok(None),
            Ok(Some(Err(error))) => return Err(Failure::BadBody(format!("request body: {error}"))),
            // Trailers are read and dropped.
            Ok(Some(Ok(frame))) => {
                if let Ok(bytes) = frame.into_data() {
                    return Ok(Some(bytes));
                }
            }
        }
    }
}

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    /// As it is.
    Identity,
    /// gzip, any number of members.
    Gzip,
    /// zlib, which HTTP calls deflate.
    Deflate,
    /// Snappy's block format.
    Snappy,
}

impl Coding {
    /// The coding of a request to an Influx door.
    ///
    /// # Errors
    /// [`Failure::Unsupported`] for codings that are not known, and for several.
    pub(super) fn of(cx: &Context) -> Result<Self, Failure> {
        let mut headers = cx.headers.get_all(header::CONTENT_ENCODING).iter();
        let (first, second) = (headers.next(), headers.next());
        let name = first.map_or(Ok(""), |value| value.to_str()).unwrap_or("?").trim();
        match name.to_ascii_lowercase().as_str() {
            _ if second.is_some() => {
                Err(Failure::Unsupported("request has more than one Content-Encoding".to_owned()))
            }
            "" | "identity" | "none" => Ok(Self::Identity),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            "deflate" => Ok(Self::Deflate),
            "snappy" => Ok(Self::Snappy),
            other => {
                let other: String = other.chars().take(64).collect();
                Err(Failure::Unsupported(format!("unsupported Content-Encoding {other:?}")))
            }
        }
    }
}

/// Bytes by which a decompressed body grows.
const STEP: usize = 256 << 10;

/// Undoes `coding`; more than `limit` decompressed bytes are refused before they exist.
///
/// # Errors
/// [`Failure::TooLarge`], [`Failure::BadBody`], or [`Failure::Busy`] where the memory budget has
/// no room.
pub(super) fn decompress(
    memory: &Accountant,
    body: Body,
    coding: Coding,
    limit: ByteSize,
) -> Result<Body, Failure> {
    let limit = limit.as_usize();
    let over = || {
        Failure::TooLarge(format!("Request Entity Too Large: limit is {limit} bytes decompressed"))
    };
    match coding {
        Coding::Identity if body.bytes.len() > limit => Err(over()),
        Coding::Identity => Ok(body),
        Coding::Gzip => inflate(flate2::read::MultiGzDecoder::new(&body.bytes[..]), memory, limit)?
            .map_err(|e| Failure::BadBody(gzip_text(&e)))?
            .ok_or_else(over),
        Coding::Deflate => inflate(flate2::read::ZlibDecoder::new(&body.bytes[..]), memory, limit)?
            .map_err(|e| Failure::BadBody(format!("zlib: {e}")))?
            .ok_or_else(over),
        Coding::Snappy => {
            let declared = snappy_len(&body.bytes).min(limit as u64);
            let mut charge = body.charge;
            charge.grow(declared).map_err(over_budget)?;
            let mut out = Vec::new();
            remote::snappy::decompress(&body.bytes, limit, &mut out).map_err(|e| match e {
                remote::snappy::SnappyError::Corrupt => Failure::BadBody(e.to_string()),
                remote::snappy::SnappyError::TooLarge { .. } => Failure::TooLarge(e.to_string()),
            })?;
            charge.set_always(out.capacity() as u64);
            Ok(Body { bytes: out.into(), charge })
        }
    }
}

/// The decompressed length that a snappy block declares; zero where it declares none.
pub(super) fn snappy_len(block: &[u8]) -> u64 {
    let mut len = 0;
    for (i, b) in block.iter().take(5).enumerate() {
        len |= u64::from(b & 0x7f) << (7 * i);
        if b & 0x80 == 0 {
            return len;
        }
    }
    0
}

type Inflated = std::io::Result<Option<Body>>;

/// Reads all of `reader`: `Ok(None)` where it is over the limit. The outer error is the budget's.
fn inflate(mut reader: impl Read, memory: &Accountant, limit: usize) -> Result<Inflated, Failure> {
    let mut charge = charge(memory, 0)?;
    let mut out: Vec<u8> = Vec::new();
    let mut filled = 0;
    loop {
        if filled == out.len() {
            if filled > limit {
                return Ok(Ok(None));
            }
            // Doubling from a first step, never beyond one byte over the limit.
            let len = (2 * filled).max(STEP).min(limit + 1);
            charge.grow(len.saturating_sub(filled) as u64).map_err(over_budget)?;
            out.try_reserve_exact(len - filled).map_err(|_| no_memory())?;
            out.resize(len, 0);
        }
        match reader.read(&mut out[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Ok(Err(e)),
        }
    }
    if filled > limit {
        return Ok(Ok(None));
    }
    out.truncate(filled);
    Ok(Ok(Some(Body { bytes: out.into(), charge })))
}

/// The texts of InfluxDB 1.x, which senders show.
fn gzip_text(e: &std::io::Error) -> String {
    if e.kind() == std::io::ErrorKind::UnexpectedEof {
        "unexpected EOF".to_owned()
    } else {
        format!("gzip: {e}")
    }
}

#[cfg(test)]
mod tests;
