//! A socket that tells the pulse what happens on it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::pulse::Pulse;

/// The stream of one connection.
pub(super) struct Paced {
    stream: TcpStream,
    /// Bytes that were read before the protocol was known.
    prefix: Vec<u8>,
    served: usize,
    pulse: Arc<Pulse>,
    head: HeadScan,
}

impl Paced {
    pub(super) fn new(
        stream: TcpStream,
        prefix: Vec<u8>,
        pulse: Arc<Pulse>,
        max_head: usize,
    ) -> Self {
        let mut head = HeadScan { bytes: Vec::new(), max: max_head };
        head.feed(&prefix, &pulse);
        Self { stream, prefix, served: 0, pulse, head }
    }

    fn serve_prefix(&mut self, buf: &mut ReadBuf<'_>) {
        let rest = &self.prefix[self.served..];
        let n = rest.len().min(buf.remaining());
        buf.put_slice(&rest[..n]);
        self.served += n;
        if self.served == self.prefix.len() {
            (self.prefix, self.served) = (Vec::new(), 0);
        }
    }
}

impl AsyncRead for Paced {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.served < this.prefix.len() {
            this.serve_prefix(buf);
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        this.head.feed(&buf.filled()[before..], &this.pulse);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Paced {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.pulse.wrote(result.is_pending());
        result
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.pulse.wrote(result.is_pending());
        result
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Looks at each request's head for two framings at once. hyper obeys the transfer encoding and
/// drops the length, so that only the bytes show it. A head that comes in one read with the body
/// before it is not seen; it is framed by its transfer encoding, as RFC 9112 says.
struct HeadScan {
    bytes: Vec<u8>,
    max: usize,
}

impl HeadScan {
    fn feed(&mut self, new: &[u8], pulse: &Pulse) {
        if new.is_empty() || !pulse.awaits_head() {
            return;
        }
        pulse.saw_head();
        if self.bytes.len() >= self.max {
            // hyper refuses it.
            return;
        }
        let from = self.bytes.len().saturating_sub(3);
        self.bytes.extend_from_slice(&new[..new.len().min(self.max)]);
        let Some(end) = self.bytes[from..].windows(4).position(|w| w == b"\r\n\r\n") else {
            return;
        };
        let head = &self.bytes[..from + end];
        pulse.set_ambiguous(has(head, b"content-length:") && has(head, b"transfer-encoding:"));
        self.bytes.clear();
    }
}

fn has(head: &[u8], name: &[u8]) -> bool {
    head.split(|b| *b == b'\n')
        .any(|line| line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)))
}
