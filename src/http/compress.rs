//! Compressed answers, by Prometheus's rule: `Accept-Encoding` is split at commas and each part is
//! compared literally, so that one with a weight does not count.

use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use hyper::Method;
use hyper::header;

use super::Context;
use super::reply::Reply;

/// Below this many bytes an answer fits one packet anyway.
const MIN_BYTES: usize = 1 << 10;
/// From this many bytes on the work leaves the threads that drive sockets.
const MAX_INLINE_BYTES: usize = 32 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Gzip,
    Deflate,
}

/// Compresses the body if the client takes it and it pays.
pub(super) async fn compress(cx: &Context, reply: &mut Reply) {
    if reply.body.is_empty() {
        return;
    }
    reply.headers.append(header::VARY, header::HeaderValue::from_static("Accept-Encoding"));
    let Some(coding) = cx.header(header::ACCEPT_ENCODING).and_then(choose) else { return };
    if reply.body.len() < MIN_BYTES || cx.method == Method::HEAD {
        return;
    }
    let plain = reply.body.clone();
    let packed = if plain.len() <= MAX_INLINE_BYTES {
        Some(pack(&plain, coding))
    } else {
        tokio::task::spawn_blocking(move || pack(&plain, coding)).await.ok()
    };
    if let Some(packed) = packed {
        reply.body = packed;
        reply.header(
            header::CONTENT_ENCODING,
            match coding {
                Coding::Gzip => "gzip",
                Coding::Deflate => "deflate",
            },
        );
    }
}

fn choose(accept: &str) -> Option<Coding> {
    accept.split(',').find_map(|token| match token.trim() {
        "gzip" => Some(Coding::Gzip),
        "deflate" => Some(Coding::Deflate),
        _ => None,
    })
}

fn pack(plain: &[u8], coding: Coding) -> Bytes {
    let out = Vec::with_capacity(plain.len() / 4);
    let packed = match coding {
        Coding::Gzip => {
            let mut encoder = GzEncoder::new(out, Compression::fast());
            encoder.write_all(plain).and_then(|()| encoder.finish())
        }
        Coding::Deflate => {
            let mut encoder = ZlibEncoder::new(out, Compression::fast());
            encoder.write_all(plain).and_then(|()| encoder.finish())
        }
    };
    packed.expect("writing to a vector does not fail").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn tokens_are_compared_literally() {
        for (accept, want) in [
            ("gzip", Some(Coding::Gzip)),
            ("br, gzip", Some(Coding::Gzip)),
            ("deflate,gzip", Some(Coding::Deflate)),
            ("gzip;q=1.0", None),
            ("GZIP", None),
            ("*", None),
            ("", None),
        ] {
            assert_eq!(choose(accept), want, "{accept}");
        }
    }

    #[test]
    fn both_codings_read_back() {
        let text = b"silverback ".repeat(1000);
        let mut out = Vec::new();
        flate2::read::GzDecoder::new(&pack(&text, Coding::Gzip)[..]).read_to_end(&mut out).unwrap();
        assert_eq!(out, text);
        out.clear();
        let packed = pack(&text, Coding::Deflate);
        flate2::read::ZlibDecoder::new(&packed[..]).read_to_end(&mut out).unwrap();
        assert_eq!(out, text);
    }
}
