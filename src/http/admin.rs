//! What operators and orchestrators ask: health, readiness, reload, quit, metrics.

use hyper::{Method, StatusCode, header};

use super::Context;
use super::error::Failure;
use super::reply::Reply;
use crate::app::Phase;
use crate::telemetry;

/// `/-/healthy`.
pub(super) fn healthy() -> Reply {
    Reply::text(StatusCode::OK, "Prometheus Server is Healthy.\n")
}

/// `/-/ready`.
pub(super) fn ready(cx: &Context) -> Result<Reply, Failure> {
    match cx.app.phase() {
        Phase::Ready => Ok(Reply::text(StatusCode::OK, "Prometheus Server is Ready.\n")),
        phase => Err(Failure::NotReady { stopping: phase == Phase::Stopping }),
    }
}

/// Whether a lifecycle route may do what it is asked.
fn lifecycle(cx: &Context) -> Result<(), Failure> {
    if cx.method != Method::POST && cx.method != Method::PUT {
        let text = "Only POST or PUT requests allowed";
        return Err(Failure::MethodText { allow: "POST, PUT", text });
    }
    if cx.config.enable_lifecycle {
        Ok(())
    } else {
        Err(Failure::Forbidden("Lifecycle API is not enabled.".to_owned()))
    }
}

/// `/` and `/graph`: where Prometheus has its pages.
pub(super) fn home() -> Reply {
    let body = "<a href=\"/query\">Found</a>.\n\n";
    let mut reply = Reply::new(StatusCode::FOUND, "text/html; charset=utf-8", body);
    reply.header(header::LOCATION, "/query");
    reply
}

/// `/-/reload`.
pub(super) async fn reload(cx: &Context) -> Result<Reply, Failure> {
    lifecycle(cx)?;
    let app = cx.app.clone();
    // It reads a file.
    let result = tokio::task::spawn_blocking(move || app.reload()).await;
    match result {
        Ok(Ok(())) => Ok(Reply::text(StatusCode::OK, "")),
        Ok(Err(error)) => Err(Failure::Internal(format!("failed to reload config: {error}"))),
        Err(_) => Err(Failure::Internal("failed to reload config: internal error".to_owned())),
    }
}

/// `/-/quit`.
pub(super) fn quit(cx: &Context) -> Result<Reply, Failure> {
    lifecycle(cx)?;
    tracing::info!("asked to quit over HTTP");
    cx.app.stop();
    Ok(Reply::text(StatusCode::OK, "Requesting termination... Goodbye!"))
}

/// `/metrics`.
pub(super) fn metrics(cx: &Context) -> Reply {
    let body = telemetry::exposition(&cx.app);
    Reply::new(
        StatusCode::OK,
        "text/plain; version=0.0.4; charset=utf-8; escaping=underscores",
        body,
    )
}
