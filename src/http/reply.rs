//! An answer on its way to the socket.

use std::pin::Pin;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context as Task, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Response, StatusCode, Version};

use super::Context;
use crate::server::RequestGuard;

/// Status, headers and the whole body.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Whether the connection ends with this answer.
    pub(crate) close: bool,
}

impl Reply {
    /// An answer with this body.
    pub(crate) fn new(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        Self { status, headers, body: body.into(), close: false }
    }

    /// 200 with JSON.
    pub(crate) fn json(body: impl Into<Bytes>) -> Self {
        Self::new(StatusCode::OK, "application/json", body)
    }

    /// Plain text.
    pub(crate) fn text(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self::new(status, "text/plain; charset=utf-8", body)
    }

    /// 204.
    pub(crate) fn empty() -> Self {
        let headers = HeaderMap::new();
        Self { status: StatusCode::NO_CONTENT, headers, body: Bytes::new(), close: false }
    }

    /// Sets a header to text of ours.
    pub(crate) fn header(&mut self, name: impl header::IntoHeaderName, value: &'static str) {
        self.headers.insert(name, HeaderValue::from_static(value));
    }

    /// Sets a header to text that a client may have had a part in; left out where no header can
    /// hold it.
    pub(crate) fn header_text(&mut self, name: HeaderName, value: &str) {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
    }

    pub(super) fn into_response(
        self,
        head_only: bool,
        version: Version,
        guard: RequestGuard,
    ) -> Response<ReplyBody> {
        let bodiless = self.status == StatusCode::NO_CONTENT;
        let len = self.body.len();
        let rest = if head_only || bodiless { Bytes::new() } else { self.body };
        let mut response = Response::new(ReplyBody { rest, guard });
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        if head_only && !bodiless {
            response.headers_mut().insert(header::CONTENT_LENGTH, len.into());
        }
        if self.close && version < Version::HTTP_2 {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// Bytes handed out at a time: small enough that flow control paces a big answer, and that the
/// pulse sees whether the peer takes it.
const PIECE: usize = 64 << 10;

/// The body of an answer. It keeps its request open in the connection's pulse until it is sent.
#[derive(Debug)]
pub(crate) struct ReplyBody {
    rest: Bytes,
    guard: RequestGuard,
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Task<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let n = self.rest.len().min(PIECE);
        let piece = self.rest.split_to(n);
        if !self.rest.is_empty() {
            self.guard.answering();
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

/// The id of a request: the client's, if it sent a sane one, else the next of ours.
pub(super) fn request_id(cx: &Context) -> HeaderValue {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    static SEED: OnceLock<u64> = OnceLock::new();
    for name in ["x-request-id", "request-id"] {
        if let Some(id) = cx.headers.get(name)
            && (1..=64).contains(&id.len())
            && id.as_bytes().iter().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
        {
            return id.clone();
        }
    }
    let seed = *SEED.get_or_init(crate::app::random_u64);
    let id =
        seed.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    HeaderValue::from_str(&format!("{id:016x}")).expect("hex digits are a header value")
}
