//! `POST /api/v1/write`: remote write. Good rows are stored and bad ones answered with a 400 that
//! names them, where Prometheus would refuse the whole request.

use std::time::Duration;

use hyper::body::Incoming;
use hyper::header;
use remote::error::DecodeError;
use remote::headers::{Accepted, Message, negotiate};
use tsdb::append::AppendError;

use super::Context;
use super::body::{self, snappy_len};
use super::error::Failure;
use super::reply::Reply;
use crate::app::now_ms;
use crate::ingest::remote_write::{Outcome, RemoteError, ingest};
use crate::ingest::{IngestError, Settings};
use crate::telemetry::add;

/// What this version takes. Headers that ask for more are a 415, on which senders fall back.
const ACCEPTED: Accepted = Accepted { v1: true, v2: false };

/// The checks are in the order of Prometheus's handler; the first that fails is the answer.
pub(super) async fn write(cx: &Context, incoming: Incoming) -> Result<Reply, Failure> {
    if !cx.config.enable_remote_write {
        return Err(Failure::NotFound(
            "remote write receiver needs to be enabled with --web.enable-remote-write-receiver"
                .to_owned(),
        ));
    }
    let Message::V1 = message(cx)? else {
        return Err(Failure::Unsupported("remote write 2.0 is not served".to_owned()));
    };
    cx.admit_write()?;
    let tenant = cx.tenant()?;
    let body = body::read(cx, incoming, cx.config.write_body_limit).await?;
    let limit = cx.config.write_decoded_limit.as_usize();
    let decoded_bytes = snappy_len(&body.bytes).min(limit as u64);
    let pool = &cx.app.writes;
    let permit = pool.enter(body.bytes.len() as u64).await?;
    let mut charge = body.charge;
    charge.grow(decoded_bytes).map_err(body::over_budget)?;
    let settings = Settings::of(&cx.config, now_ms()).for_tenant(&tenant, &cx.config);
    let bytes = body.bytes;
    let result = pool.run(permit, move || {
        let _charge = charge;
        ingest(&tenant.db, &bytes, limit, &settings)
    });
    let outcome = result.await?.map_err(failure)?;
    count(cx, &outcome);
    if outcome.refused.is_empty() {
        Ok(Reply::empty())
    } else if outcome.report.may_succeed_later() {
        Err(new_series_wait(outcome.refused))
    } else {
        Err(Failure::Rejected(outcome.refused))
    }
}

fn message(cx: &Context) -> Result<Message, Failure> {
    let text = |name| match cx.headers.get(&name) {
        None => Ok(None),
        Some(value) => value
            .to_str()
            .map(Some)
            .map_err(|_| Failure::Unsupported(format!("header {name} is not text"))),
    };
    let encodings = cx.headers.get_all(header::CONTENT_ENCODING).iter().count();
    if encodings > 1 {
        return Err(Failure::Unsupported("request has more than one Content-Encoding".to_owned()));
    }
    negotiate(text(header::CONTENT_TYPE)?, text(header::CONTENT_ENCODING)?, ACCEPTED)
        .map_err(|e| Failure::Unsupported(e.to_string()))
}

fn failure(e: RemoteError) -> Failure {
    let text = e.to_string();
    match e {
        RemoteError::Snappy(remote::snappy::SnappyError::TooLarge { .. }) => {
            Failure::TooLarge(text)
        }
        RemoteError::Snappy(remote::snappy::SnappyError::Corrupt) => Failure::BadBody(text),
        RemoteError::Ingest(e) => ingest_failure(&e),
    }
}

/// The answer to a write whose new series came too fast. Its rows are counted by their limit.
pub(super) fn new_series_wait(message: String) -> Failure {
    Failure::Throttled { message, limit: None, wait: Duration::ZERO }
}

/// The answer to a write of which nothing was stored.
pub(super) fn ingest_failure(e: &IngestError) -> Failure {
    let text = e.to_string();
    match e {
        IngestError::Decode(DecodeError::TooLarge { .. }) | IngestError::TooMany { .. } => {
            Failure::TooLarge(text)
        }
        IngestError::Decode(DecodeError::Malformed { .. }) => Failure::BadBody(text),
        IngestError::TooFast(e) => {
            Failure::Throttled { message: text, limit: Some("sample_rate"), wait: e.wait }
        }
        IngestError::Append(AppendError::ReadOnly(_)) => Failure::ReadOnly(text),
        IngestError::Append(AppendError::OverBudget(_)) => {
            Failure::Busy { message: text, limit: "memory" }
        }
        IngestError::Append(AppendError::LogFull { .. }) => {
            Failure::Busy { message: text, limit: "wal" }
        }
        IngestError::Append(AppendError::Closed) => Failure::NotReady { stopping: true },
        IngestError::Append(AppendError::Wal(_)) => Failure::Internal(text),
    }
}

fn count(cx: &Context, outcome: &Outcome) {
    let counters = &cx.app.metrics.remote;
    add(&counters.samples, outcome.report.stored);
    add(&counters.late, outcome.report.late);
    add(&counters.refused, outcome.report.refused);
    cx.app.metrics.rows_over_limits(&outcome.report.over_limits, outcome.labels_over_limit);
    add(&counters.bytes, outcome.bytes);
    add(&counters.exemplars_dropped, outcome.exemplars);
    if outcome.report.refused > 0 && cx.app.logs.allow("refused") {
        tracing::warn!(
            refused = outcome.report.refused,
            stored = outcome.report.stored,
            first = outcome.refused.lines().next(),
            "remote write rows refused"
        );
    }
}
