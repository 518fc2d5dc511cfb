//! The Influx doors: `/write`, `/api/v2/write`, `/api/v3/write_lp`, `/query`, `/ping`, `/health`
//! and `/ready`, answered so that Telegraf and the client libraries neither loop nor lose data.

mod query;
mod report;

use hyper::StatusCode;
use hyper::body::Incoming;
use lineproto::Precision;

use super::body::{self, Coding};
use super::error::Failure;
use super::json::Json;
use super::params::{Params, format_rfc3339};
use super::prom_write::ingest_failure;
use super::reply::Reply;
use super::{Context, Door};
use crate::app::{Phase, now_ns};
use crate::ingest::Settings;
use crate::ingest::line_protocol::{self, Outcome, Request};
use crate::telemetry::add;

pub(super) use query::query;

/// The release that clients are told: with 1.8 both generations of clients use what is here.
pub(super) const VERSION: &str = "1.8.10";

/// Stores a body of line protocol.
pub(super) async fn write(cx: &Context, incoming: Incoming) -> Result<Reply, Failure> {
    let params = cx.url_params()?;
    let (database, precision) = target(cx.door, &params)?;
    let coding = Coding::of(cx)?;
    cx.admit_write()?;
    let tenant = cx.tenant()?;
    let limit = cx.config.line_body_limit;
    let body = body::read(cx, incoming, limit).await?;
    let request = Request {
        database,
        precision,
        now_ns: now_ns(),
        all_or_nothing: cx.door == Door::InfluxV3 && params.get("accept_partial") == "false",
    };
    let settings = Settings::of(&cx.config, request.now_ns / 1_000_000);
    let settings = settings.for_tenant(&tenant, &cx.config);
    let (memory, all_or_nothing) = (cx.app.memory.clone(), request.all_or_nothing);
    let pool = &cx.app.writes;
    let permit = pool.enter(body.bytes.len() as u64).await?;
    let stored = pool.run(permit, move || {
        let body = body::decompress(&memory, body, coding, limit)?;
        let outcome = line_protocol::ingest(&tenant.db, &body.bytes, &request, &settings)
            .map_err(|e| ingest_failure(&e))?;
        Ok::<_, Failure>((outcome, body.bytes.len() as u64))
    });
    let (outcome, bytes) = stored.await??;
    count(cx, &outcome, bytes);
    match report::failure(cx.door, &outcome, all_or_nothing) {
        None => Ok(Reply::empty()),
        Some(failure) => Err(failure),
    }
}

/// Database and precision, as each door names them. `rp`, `org` and credentials are ignored.
fn target(door: Door, params: &Params) -> Result<(String, Precision), Failure> {
    let bad = |text: String| Failure::BadData(text);
    let precision = params.get("precision");
    let (database, precision) = match door {
        Door::InfluxV2 => {
            let bucket = params.get("bucket").split('/').next().unwrap_or_default();
            if bucket.is_empty() {
                return Err(bad("bucket is required".to_owned()));
            }
            (bucket, Precision::parse_v2(precision))
        }
        Door::InfluxV3 => (params.get("db"), Precision::parse_v3(precision)),
        _ => (params.get("db"), Precision::parse_v1(precision)),
    };
    if database.is_empty() {
        let text = if door == Door::InfluxV3 {
            "missing query parameter 'db'"
        } else {
            "database is required"
        };
        return Err(bad(text.to_owned()));
    }
    if !matches!(params.get("consistency"), "" | "any" | "one" | "quorum" | "all") {
        return Err(bad("invalid consistency level".to_owned()));
    }
    Ok((database.to_owned(), precision.map_err(|e| bad(e.to_string()))?))
}

fn count(cx: &Context, outcome: &Outcome, bytes: u64) {
    let counters = &cx.app.metrics.line;
    add(&counters.samples, outcome.report.stored);
    add(&counters.late, outcome.report.late);
    add(&counters.refused, outcome.report.refused);
    cx.app.metrics.rows_over_limits(&outcome.report.over_limits, outcome.labels_over_limit);
    add(&counters.bytes, bytes);
    add(&counters.bad_lines, outcome.num_bad);
    add(&counters.strings_dropped, outcome.strings);
    add(&counters.name_tags_ignored, outcome.name_tags);
}

/// `/ping` and `/status`.
pub(super) fn ping(params: &Params) -> Reply {
    if matches!(params.get("verbose"), "" | "0" | "false") {
        return Reply::empty();
    }
    let mut json = Json::default();
    json.raw("{\"version\":").string(VERSION).raw("}\n");
    Reply::json(json.into_bytes())
}

/// `/health`.
pub(super) fn health(cx: &Context) -> Reply {
    let ready = cx.app.phase() == Phase::Ready;
    let (message, status) =
        if ready { ("ready for queries and writes", "pass") } else { ("not ready", "fail") };
    let mut json = Json::default();
    json.raw("{\"checks\":[],\"message\":").string(message);
    json.raw(",\"name\":\"influxdb\",\"status\":").string(status);
    json.raw(",\"version\":").string(VERSION).raw("}\n");
    let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Reply::new(code, "application/json; charset=utf-8", json.into_bytes())
}

/// `/ready`.
pub(super) fn ready(cx: &Context) -> Reply {
    let ready = cx.app.phase() == Phase::Ready;
    let up = cx.app.started.elapsed().as_secs();
    let mut json = Json::default();
    json.raw("{\"status\":").string(if ready { "ready" } else { "starting" });
    json.raw(",\"started\":").string(&format_rfc3339(cx.app.started_ms));
    json.raw(",\"up\":").string(&format!("{}h{}m{}s", up / 3600, up / 60 % 60, up % 60));
    if !ready {
        json.raw(",\"replayed_rows\":").raw(&cx.app.replayed().to_string());
    }
    json.raw("}\n");
    let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Reply::new(code, "application/json; charset=utf-8", json.into_bytes())
}
