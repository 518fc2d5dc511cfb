//! `/api/v1/admin/tsdb/*`: deleting series, carrying deletes out, snapshots. As in Prometheus, and off
//! unless the server was told to take them; a delete can also only count.

use std::sync::Arc;

use hyper::body::Incoming;
use model::{Interrupt, Matcher, NeverInterrupted};
use tsdb::Db;
use tsdb::append::AppendError;
use tsdb::db::{DeleteError, StepError};
use tsdb::tombstones::Deletion;

use super::Context;
use super::error::Failure;
use super::params::{Params, format_rfc3339};
use super::prom_labels;
use super::prom_query::{invalid, success, time_or};
use super::reply::Reply;
use crate::app::{now_ms, random_u64};
use crate::blocking::Deadline;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// `delete_series`.
    Delete,
    /// `clean_tombstones`.
    Clean,
    /// `snapshot`.
    Snapshot,
}

/// Answers one of the routes.
pub(super) async fn act(cx: &Context, action: Action, body: Incoming) -> Result<Reply, Failure> {
    if !cx.config.enable_admin_api {
        return Err(Failure::Unavailable("admin APIs disabled".to_owned()));
    }
    let params = cx.params(body).await?;
    let db = cx.database()?;
    match action {
        Action::Delete => delete(cx, db, &params).await,
        Action::Clean => {
            let blocks = run(move || db.clean_tombstones()).await?;
            tracing::info!(blocks, "tombstones cleaned");
            Ok(Reply::empty())
        }
        Action::Snapshot => snapshot(db, &params).await,
    }
}

async fn delete(cx: &Context, db: Arc<Db>, params: &Params) -> Result<Reply, Failure> {
    if params.all("match[]").next().is_none() {
        return Err(Failure::BadData("no match[] parameter provided".to_owned()));
    }
    let mint = time_or(params, "start", i64::MIN)?;
    let maxt = time_or(params, "end", i64::MAX)?;
    let selectors = params
        .all("match[]")
        .map(|text| promql::parse_selector(text).map_err(|e| invalid("match[]", &e.to_string())));
    let selectors = selectors.collect::<Result<Vec<Vec<Matcher>>, _>>()?;
    let only_count = boolean(params, "dry_run")?;
    // An empty range is no error, and nothing is in it.
    let what = (mint <= maxt).then_some(Deletion { selectors, mint, maxt });

    let deadline = Deadline::new(cx.config.query_timeout.duration());
    let interrupt: Arc<dyn Interrupt> =
        if only_count { deadline.flag() } else { Arc::new(NeverInterrupted) };
    let max_series = cx.config.max_delete_series;
    let permit = cx.app.queries.enter(0).await?;
    let call = cx.app.queries.run(permit, move || match what {
        None => Ok(tsdb::db::DeleteReport::default()),
        Some(what) if only_count => db.count_deletable(&what, max_series, &interrupt),
        Some(what) => db.delete(&what, max_series, &interrupt),
    });
    // A delete that is logged is carried out, however long the client waits.
    let report = if only_count { deadline.over(call).await } else { call.await };
    let report = report?.map_err(delete_failure)?;
    if only_count {
        return Ok(success(|json| {
            let text = format!("{{\"series\":{},\"samples\":{}}}", report.series, report.samples);
            json.raw(&text);
        }));
    }
    Ok(Reply::empty())
}

async fn snapshot(db: Arc<Db>, params: &Params) -> Result<Reply, Failure> {
    let skip_head = boolean(params, "skip_head")?;
    let name = name(now_ms(), random_u64());
    let made = name.clone();
    run(move || db.snapshot(&made, !skip_head)).await?;
    tracing::info!(name, skip_head, "snapshot made");
    Ok(success(|json| {
        json.raw("{\"name\":").string(&name).raw("}");
    }))
}

/// `20261121T093150Z-19d494e890b6e1b5`: the time in UTC, and a random number.
fn name(now_ms: i64, random: u64) -> String {
    let time = format_rfc3339(now_ms.div_euclid(1000) * 1000);
    let digits: String = time.chars().filter(char::is_ascii_digit).take(14).collect();
    let (date, time) = digits.split_at(8);
    format!("{date}T{time}Z-{random:016x}")
}

/// Waits for work that takes its time and that nobody can wait for elsewhere.
async fn run<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, StepError> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(call).await {
        Ok(result) => result.map_err(step_failure),
        Err(_) => Err(Failure::Internal("internal error".to_owned())),
    }
}

/// As Go reads truth values.
fn boolean(params: &Params, name: &str) -> Result<bool, Failure> {
    match params.get(name) {
        "" | "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        text => {
            let text = model::go_quote(text);
            let why = format!(
                "unable to parse boolean: strconv.ParseBool: parsing {text}: invalid syntax"
            );
            Err(invalid(name, &why))
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn step_failure(e: StepError) -> Failure {
    match e {
        StepError::NoSpace { .. } => Failure::ReadOnly(e.to_string()),
        _ => Failure::Internal(e.to_string()),
    }
}

fn delete_failure(e: DeleteError) -> Failure {
    let text = e.to_string();
    match e {
        DeleteError::Invalid(_) => Failure::BadData(text),
        DeleteError::TooManySeries { .. } | DeleteError::TooManyTombstones(_) => {
            Failure::Execution(text)
        }
        DeleteError::Read(e) => prom_labels::failure(e),
        DeleteError::Log(AppendError::ReadOnly(_)) => Failure::ReadOnly(text),
        DeleteError::Log(AppendError::Closed) => Failure::NotReady { stopping: true },
        DeleteError::Log(_) => Failure::Internal(text),
        DeleteError::Show(e) => step_failure(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_named_as_prometheus_names_it() {
        assert_eq!(name(1_795_253_510_999, 0x19d4_94e8), "20261121T093150Z-0000000019d494e8");
        assert_eq!(name(0, u64::MAX), "19700101T000000Z-ffffffffffffffff");
    }

    #[test]
    fn truth_is_what_go_takes_for_it() {
        let parse = |query: &str| boolean(&Params::parse(query, "").unwrap(), "skip_head");
        for (text, want) in [("", false), ("True", true), ("t", true), ("0", false), ("F", false)] {
            assert_eq!(parse(&format!("skip_head={text}")).unwrap(), want, "{text}");
        }
        let Err(Failure::BadData(text)) = parse("skip_head=x") else { panic!("it is refused") };
        assert_eq!(
            text,
            "invalid parameter \"skip_head\": unable to parse boolean: strconv.ParseBool: \
             parsing \"x\": invalid syntax"
        );
    }
}
