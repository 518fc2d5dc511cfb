//! One connection: which protocol it speaks, and when it is cut off.

mod paced;
mod pulse;

use std::io;
use std::pin::Pin;
use std::sync::Arc;

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::app::App;
use crate::http;
use paced::Paced;
use pulse::Limits;

pub(crate) use pulse::{Pulse, RequestGuard};

/// How an HTTP/2 connection with prior knowledge begins (RFC 9113, section 3.4).
const H2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Serves a connection until it ends, is cut off, or the server stops.
pub(super) async fn serve(app: &Arc<App>, mut stream: TcpStream, stop: watch::Receiver<bool>) {
    let config = app.config();
    let max_head = config.max_header_bytes.as_usize();
    let opening = tokio::time::timeout(config.first_byte_timeout.duration(), open(&mut stream));
    let (is_h2, prefix) = match opening.await {
        Ok(Ok(opening)) => opening,
        Ok(Err(_)) => return,
        Err(_) => {
            app.metrics.connection_cut("first_byte");
            return;
        }
    };
    let pulse = Pulse::new(is_h2);
    let io = TokioIo::new(Paced::new(stream, prefix, pulse.clone(), max_head));
    let service = service_fn({
        let (app, pulse) = (app.clone(), pulse.clone());
        move |request| http::handle(app.clone(), pulse.clone(), request)
    });
    let limits = Limits::of(&config);
    if is_h2 {
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(u32::try_from(config.http2_streams).unwrap_or(u32::MAX))
            .max_header_list_size(u32::try_from(config.max_header_bytes.0).unwrap_or(u32::MAX))
            .keep_alive_interval(config.http2_ping_interval.duration())
            .keep_alive_timeout(config.http2_ping_interval.duration())
            .serve_connection(io, service);
        watch_over(app, &pulse, limits, stop, connection, http2::Connection::graceful_shutdown)
            .await;
    } else {
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            // The pulse has two limits instead, one for idle time and one for the header block.
            .header_read_timeout(None)
            .max_headers(usize::try_from(config.max_headers).unwrap_or(usize::MAX))
            .max_header_size(max_head)
            .serve_connection(io, service);
        watch_over(app, &pulse, limits, stop, connection, http1::Connection::graceful_shutdown)
            .await;
    }
}

/// Drives `connection`, and drops it when it is overdue.
async fn watch_over<C: Future<Output = hyper::Result<()>>>(
    app: &App,
    pulse: &Pulse,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
    connection: C,
    shut_down: impl Fn(Pin<&mut C>),
) {
    let mut connection = std::pin::pin!(connection);
    let mut tick = tokio::time::interval(limits.tick());
    let mut stopping = false;
    loop {
        tokio::select! {
            biased;
            _ = connection.as_mut() => return,
            _ = stop.wait_for(|stop| *stop), if !stopping => {
                stopping = true;
                shut_down(connection.as_mut());
            }
            _ = tick.tick() => {
                if let Some(why) = pulse.overdue(limits) {
                    app.metrics.connection_cut(why);
                    return;
                }
            }
        }
    }
}

/// Reads until it is clear whether the peer speaks HTTP/2, and returns what was read.
async fn open(stream: &mut TcpStream) -> io::Result<(bool, Vec<u8>)> {
    let mut seen = Vec::with_capacity(4096);
    loop {
        if stream.read_buf(&mut seen).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let n = seen.len().min(H2_PREFACE.len());
        if seen[..n] != H2_PREFACE[..n] {
            return Ok((false, seen));
        }
        if n == H2_PREFACE.len() {
            return Ok((true, seen));
        }
    }
}
