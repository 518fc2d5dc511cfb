//! `/api/v1/status/*`, and the routes that are empty because nothing is scraped and no rule runs.

use super::Context;
use super::error::Failure;
use super::json::Json;
use super::params::{Params, format_rfc3339};
use super::prom_query::{invalid, success};
use super::reply::Reply;
use crate::app::{Phase, now_ms};
use crate::config::{KEYS, Value as _};
use promql::functions::FUNCTIONS;

/// The Prometheus release whose behaviour is served; Grafana picks its requests by it.
pub(super) const VERSION: &str = "3.14.0";

/// A status page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Page {
    BuildInfo,
    RuntimeInfo,
    Config,
    Flags,
    Tsdb,
    Blocks,
    WalReplay,
    Notifications,
    Features,
}

/// A route whose answer is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Empty {
    Rules,
    Alerts,
    Targets,
    TargetsMetadata,
    ScrapePools,
    Alertmanagers,
}

pub(super) fn empty(what: Empty, params: &Params) -> Result<Reply, Failure> {
    if what == Empty::Rules {
        match params.get("type") {
            "" | "alert" | "record" => {}
            other => {
                return Err(invalid(
                    "type",
                    &format!("not supported value {}", model::go_quote(other)),
                ));
            }
        }
    }
    let data = match what {
        Empty::Rules => r#"{"groups":[]}"#,
        Empty::Alerts => r#"{"alerts":[]}"#,
        Empty::Targets => r#"{"activeTargets":[],"droppedTargets":[],"droppedTargetCounts":{}}"#,
        Empty::TargetsMetadata => "[]",
        Empty::ScrapePools => r#"{"scrapePools":[]}"#,
        Empty::Alertmanagers => r#"{"activeAlertmanagers":[],"droppedAlertmanagers":[]}"#,
    };
    Ok(success(|json| {
        json.raw(data);
    }))
}

pub(super) fn page(cx: &Context, page: Page, params: &Params) -> Result<Reply, Failure> {
    Ok(match page {
        Page::BuildInfo => success(build_info),
        Page::RuntimeInfo => success(|json| runtime_info(cx, json)),
        Page::Config => success(|json| {
            json.raw("{\"yaml\":").string(&cx.config.yaml()).raw("}");
        }),
        Page::Flags => success(|json| {
            json.object(KEYS, |json, key| {
                json.string(&key.name()).raw(":").string(&key.get(&cx.config));
            });
        }),
        Page::Tsdb => return tsdb(cx, params),
        Page::Blocks => return blocks(cx),
        Page::WalReplay => success(|json| {
            // Rows; how many there will be is known at the end.
            let current = cx.app.replayed();
            let max = current + u64::from(cx.app.phase() == Phase::Starting);
            json.raw("{\"min\":0,\"max\":").int(max);
            json.raw(",\"current\":").int(current).raw("}");
        }),
        Page::Notifications => success(|json| notifications(cx, json)),
        Page::Features => success(|json| features(cx, json)),
    })
}

fn members(json: &mut Json, pairs: &[(&str, &str)]) {
    json.object(pairs, |json, (name, value)| {
        json.string(name).raw(":").string(value);
    });
}

fn build_info(json: &mut Json) {
    members(
        json,
        &[
            ("version", VERSION),
            ("revision", concat!("silverback-", env!("CARGO_PKG_VERSION"))),
            ("branch", "HEAD"),
            ("buildUser", ""),
            ("buildDate", ""),
            ("goVersion", ""),
        ],
    );
}

fn runtime_info(cx: &Context, json: &mut Json) {
    let (reload_ok, reloaded_ms) = cx.app.reload_state();
    let cwd = std::env::current_dir().map(|dir| dir.display().to_string()).unwrap_or_default();
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let (time, size) = (cx.config.retention, cx.config.retention_size);
    let retention = [(time.0, time.print()), (size.0, size.print())];
    let retention: Vec<String> =
        retention.into_iter().filter(|(n, _)| *n > 0).map(|(_, text)| text).collect();
    let retention = retention.join(" or ");
    json.raw("{\"startTime\":").string(&format_rfc3339(cx.app.started_ms));
    json.raw(",\"CWD\":").string(&cwd).raw(",\"hostname\":").string(host.trim());
    json.raw(",\"serverTime\":").string(&format_rfc3339(now_ms()));
    json.raw(",\"reloadConfigSuccess\":").raw(if reload_ok { "true" } else { "false" });
    json.raw(",\"lastConfigTime\":").string(&format_rfc3339(reloaded_ms));
    json.raw(",\"corruptionCount\":0,\"goroutineCount\":").int(cx.app.queries.running());
    json.raw(",\"GOMAXPROCS\":").int(crate::config::processors());
    json.raw(",\"GOMEMLIMIT\":").int(cx.app.memory.limit());
    json.raw(",\"GOGC\":\"\",\"GODEBUG\":\"\",\"storageRetention\":").string(&retention).raw("}");
}

fn notifications(cx: &Context, json: &mut Json) {
    let mut texts = Vec::new();
    match cx.app.phase() {
        Phase::Starting => {
            texts.push("Prometheus is starting and replaying the write-ahead log (WAL).");
        }
        Phase::Stopping => {
            texts.push("Prometheus is shutting down and gracefully stopping all operations.");
        }
        Phase::Ready => {}
    }
    if !cx.app.reload_state().0 {
        texts.push("Configuration reload has failed.");
    }
    let date = format_rfc3339(now_ms());
    json.list(texts, |json, text| {
        json.raw("{\"text\":").string(text).raw(",\"date\":").string(&date);
        json.raw(",\"active\":true}");
    });
}

/// `/version`: the members of `status/buildinfo` without the envelope.
pub(super) fn version() -> Reply {
    let mut json = Json::default();
    build_info(&mut json);
    Reply::json(json.into_bytes())
}

/// The blocks in the words of Prometheus's `meta.json`, where `maxTime` is exclusive.
fn blocks(cx: &Context) -> Result<Reply, Failure> {
    let blocks = cx.database()?.blocks();
    Ok(success(|json| {
        json.raw("{\"blocks\":").list(&blocks, |json, meta| {
            json.raw("{\"ulid\":").string(&meta.id.to_string());
            json.raw(",\"minTime\":").int(meta.mint);
            json.raw(",\"maxTime\":").int(meta.maxt.saturating_add(1));
            json.raw(",\"stats\":{\"numSamples\":").int(meta.num_samples + meta.num_histograms);
            json.raw(",\"numSeries\":").int(meta.num_series);
            json.raw(",\"numChunks\":").int(meta.num_chunks);
            json.raw("},\"compaction\":{\"level\":").int(meta.level.max(1));
            let sources =
                if meta.parents.is_empty() { vec![meta.id] } else { meta.parents.clone() };
            json.raw(",\"sources\":").strings(sources.iter().map(ToString::to_string));
            json.raw("},\"version\":1}");
        });
        json.raw("}");
    }))
}

/// Lists of `status/tsdb` when nothing else is asked for, and at most.
const DEFAULT_TOP: usize = 10;
const MAX_TOP: usize = 10_000;

fn tsdb(cx: &Context, params: &Params) -> Result<Reply, Failure> {
    let limit = match params.get("limit") {
        "" => DEFAULT_TOP,
        text => match text.parse::<usize>() {
            Ok(n) if n > MAX_TOP => {
                return Err(Failure::BadData(format!("limit must not exceed {MAX_TOP}")));
            }
            Ok(n) if n > 0 => n,
            _ => return Err(Failure::BadData("limit must be a positive number".to_owned())),
        },
    };
    let db = cx.database()?;
    let (stats, top) = (db.stats(), db.head_top(limit));
    Ok(success(|json| {
        json.raw("{\"headStats\":{\"numSeries\":").int(stats.num_series);
        json.raw(",\"numLabelPairs\":").int(stats.num_label_pairs);
        json.raw(",\"chunkCount\":").int(stats.num_chunks);
        json.raw(",\"minTime\":").int(stats.min_time_ms);
        json.raw(",\"maxTime\":").int(stats.max_time_ms).raw("}");
        for (name, list) in [
            ("seriesCountByMetricName", &top.series_by_metric),
            ("labelValueCountByLabelName", &top.values_by_label),
            ("memoryInBytesByLabelName", &top.bytes_by_label),
            ("seriesCountByLabelValuePair", &top.series_by_pair),
        ] {
            json.raw(",\"").raw(name).raw("\":").list(list, |json, (name, value)| {
                json.raw("{\"name\":").string(name).raw(",\"value\":").int(*value).raw("}");
            });
        }
        json.raw("}");
    }))
}

fn features(cx: &Context, json: &mut Json) {
    let config = &cx.config;
    let on = |name| config.enable_feature.has(name);
    let api = [
        ("admin", config.enable_admin_api),
        ("exclude_alerts", true),
        ("label_values_match", true),
        ("lifecycle", config.enable_lifecycle),
        ("otlp_write_receiver", false),
        ("query_stats", true),
        ("query_warnings", true),
        ("remote_write_receiver", config.enable_remote_write),
        ("search", false),
        ("time_range_labels", true),
        ("time_range_series", true),
    ];
    let promql = [
        ("at_modifier", true),
        ("delayed_name_removal", on("promql-delayed-name-removal")),
        ("duration_expr", true),
        ("negative_offset", true),
        ("per_query_lookback_delta", true),
        ("per_step_stats", on("promql-per-step-stats")),
        ("subqueries", true),
        ("type_and_unit_labels", on("type-and-unit-labels")),
    ];
    let experimental = on("promql-experimental-functions");
    let functions = FUNCTIONS.iter().map(|f| (f.name, experimental || !f.experimental));
    let tsdb = [("native_histograms", true), ("exemplar_storage", false)];
    json.raw("{\"api\":");
    flags(json, api);
    json.raw(",\"promql\":");
    flags(json, promql);
    json.raw(",\"promql_functions\":");
    flags(json, functions);
    json.raw(",\"tsdb\":");
    flags(json, tsdb);
    json.raw("}");
}

fn flags(json: &mut Json, pairs: impl IntoIterator<Item = (&'static str, bool)>) {
    json.object(pairs, |json, (name, on)| {
        json.string(name).raw(if on { ":true" } else { ":false" });
    });
}
