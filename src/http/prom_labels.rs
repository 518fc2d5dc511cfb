//! `/api/v1/labels`, `label/<name>/values`, `series` and `metadata`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{Interrupt, Labels, Matcher, NamesRequest, Queryable, ReadError, Selection};

use super::Context;
use super::error::Failure;
use super::params::{self, Params};
use super::prom_query::{invalid, success, success_with, time_or};
use super::reply::Reply;
use crate::blocking::Deadline;

const TRUNCATED: &str = "results truncated due to limit";

/// What the discovery routes share.
struct Request {
    /// One selector or more; a series counts when it passes any.
    selectors: Vec<Vec<Matcher>>,
    mint: i64,
    maxt: i64,
    limit: usize,
}

impl Request {
    /// `prefixed` says whether errors of `match[]` name the parameter: on `series` alone they do.
    fn parse(params: &Params, prefixed: bool) -> Result<Self, Failure> {
        let limit = params::parse_limit(params.get("limit")).map_err(|e| invalid("limit", &e))?;
        let mint = time_or(params, "start", i64::MIN)?;
        let maxt = time_or(params, "end", i64::MAX)?;
        let selectors = params.all("match[]").map(|text| {
            selector(text).map_err(|why| {
                if prefixed { invalid("match[]", &why) } else { Failure::BadData(why) }
            })
        });
        let selectors = selectors.collect::<Result<_, _>>()?;
        Ok(Self { selectors, mint, maxt, limit })
    }

    fn names(&self, matchers: &[Matcher], interrupt: &Arc<dyn Interrupt>) -> NamesRequest {
        NamesRequest {
            matchers: matchers.to_vec(),
            mint: self.mint,
            maxt: self.maxt,
            interrupt: interrupt.clone(),
        }
    }

    /// The selectors, or the one that selects everything.
    fn selectors(&self) -> Vec<&[Matcher]> {
        if self.maxt < self.mint {
            // An empty range is no error, and nothing is in it.
            Vec::new()
        } else if self.selectors.is_empty() {
            vec![&[]]
        } else {
            self.selectors.iter().map(Vec::as_slice).collect()
        }
    }

    /// The union of lists of names, sorted, cut to the limit.
    fn union(&self, lists: Vec<Vec<String>>) -> Names {
        let mut lists = lists;
        let mut names = match (lists.len(), lists.pop()) {
            (1, Some(only)) => only,
            (_, last) => {
                let all: BTreeSet<String> =
                    lists.into_iter().flatten().chain(last.into_iter().flatten()).collect();
                all.into_iter().collect()
            }
        };
        let truncated = self.limit > 0 && names.len() > self.limit;
        if truncated {
            names.truncate(self.limit);
        }
        Names { names, truncated }
    }
}

struct Names {
    names: Vec<String>,
    truncated: bool,
}

impl Names {
    /// With what storage has to say in `warnings`.
    fn answer(&self, mut warnings: Vec<String>, max_bytes: usize) -> Result<Vec<u8>, Failure> {
        warnings.extend(self.truncated.then(|| TRUNCATED.to_owned()));
        bounded(
            success_with(&warnings, |json| {
                json.strings(&self.names);
            }),
            max_bytes,
        )
    }
}

pub(super) fn bounded(body: Vec<u8>, max_bytes: usize) -> Result<Vec<u8>, Failure> {
    if body.len() > max_bytes {
        let text = format!(
            "answer is {} bytes, limit {max_bytes}: narrow it by match[], time or limit",
            body.len()
        );
        return Err(Failure::OverLimit { message: text, limit: "response_bytes" });
    }
    Ok(body)
}

/// A selector that does not select everything.
fn selector(text: &str) -> Result<Vec<Matcher>, String> {
    let matchers = promql::parse_selector(text).map_err(|e| e.to_string())?;
    if matchers.iter().all(Matcher::matches_empty) {
        return Err("match[] must contain at least one non-empty matcher".to_owned());
    }
    Ok(matchers)
}

/// `/api/v1/labels`.
pub(super) async fn labels(cx: &Context, params: Params) -> Result<Reply, Failure> {
    let request = Request::parse(&params, false)?;
    read(cx, move |data, interrupt, max_bytes| {
        let lists =
            request.selectors().into_iter().map(|m| data.label_names(&request.names(m, interrupt)));
        let lists = lists.collect::<Result<Vec<_>, _>>().map_err(failure)?;
        request.union(lists).answer(data.warnings(request.mint, request.maxt), max_bytes)
    })
    .await
}

/// `/api/v1/label/<name>/values`; `encoded` is the name as it stands in the path.
pub(super) async fn label_values(
    cx: &Context,
    encoded: &str,
    params: Params,
) -> Result<Reply, Failure> {
    let name = params::decode(encoded, false).map_err(|_| {
        Failure::BadData(format!("invalid label name: {}", model::go_quote(encoded)))
    })?;
    let name = unescape_name(&name);
    let request = Request::parse(&params, false)?;
    read(cx, move |data, interrupt, max_bytes| {
        let lists = request
            .selectors()
            .into_iter()
            .map(|m| data.label_values(&name, &request.names(m, interrupt)));
        let lists = lists.collect::<Result<Vec<_>, _>>().map_err(failure)?;
        request.union(lists).answer(data.warnings(request.mint, request.maxt), max_bytes)
    })
    .await
}

/// `/api/v1/series`.
pub(super) async fn series(cx: &Context, params: Params) -> Result<Reply, Failure> {
    if params.all("match[]").next().is_none() {
        return Err(Failure::BadData("no match[] parameter provided".to_owned()));
    }
    let request = Request::parse(&params, true)?;
    read(cx, move |data, interrupt, max_bytes| {
        let sets = request.selectors().into_iter().map(|matchers| {
            let mut selection = Selection::new(matchers.to_vec(), request.mint, request.maxt);
            selection.interrupt = interrupt.clone();
            data.select(&selection)
        });
        let sets = sets.collect::<Result<Vec<_>, _>>().map_err(failure)?;
        let mut warnings: Vec<String> = sets.iter().flat_map(|set| set.warnings()).collect();
        let mut seen = BTreeSet::new();
        warnings.retain(|text| seen.insert(text.clone()));
        let mut found: Vec<Labels> = Vec::new();
        for set in &sets {
            for i in 0..set.len() {
                if i % 1024 == 0 {
                    interrupt.check().map_err(|e| failure(e.into()))?;
                }
                // The index tells which series exist, their chunks whether they have samples in range.
                if set.has_samples(i).map_err(failure)? {
                    found.push(set.labels(i).map_err(failure)?);
                }
            }
        }
        if sets.len() > 1 {
            found.sort_unstable();
            found.dedup();
        }
        if request.limit > 0 && found.len() > request.limit {
            found.truncate(request.limit);
            warnings.push(TRUNCATED.to_owned());
        }
        let body = success_with(&warnings, |json| {
            json.list(&found, |json, labels| {
                json.labels(labels);
            });
        });
        bounded(body, max_bytes)
    })
    .await
}

/// Runs `call` in the query pool under the time limit for metadata.
async fn read(
    cx: &Context,
    call: impl FnOnce(&dyn Queryable, &Arc<dyn Interrupt>, usize) -> Result<Vec<u8>, Failure>
    + Send
    + 'static,
) -> Result<Reply, Failure> {
    Ok(Reply::json(read_bytes(cx, call).await?))
}

/// As [`read`], for answers that are not JSON.
pub(super) async fn read_bytes(
    cx: &Context,
    call: impl FnOnce(&dyn Queryable, &Arc<dyn Interrupt>, usize) -> Result<Vec<u8>, Failure>
    + Send
    + 'static,
) -> Result<Vec<u8>, Failure> {
    cx.admit_query()?;
    let db = cx.database()?;
    let deadline = Deadline::new(cx.config.metadata_timeout.duration());
    let interrupt: Arc<dyn Interrupt> = deadline.flag();
    let max_bytes = cx.config.query_max_response_bytes.as_usize();
    let permit = cx.app.queries.enter(0).await?;
    let call = cx.app.queries.run(permit, move || call(db.as_ref(), &interrupt, max_bytes));
    deadline.over(call).await?
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
pub(super) fn failure(e: ReadError) -> Failure {
    let text = e.to_string();
    match e {
        ReadError::Interrupted(model::Interrupted::TimedOut) => {
            Failure::Timeout("request timed out".to_owned())
        }
        ReadError::Interrupted(model::Interrupted::Canceled) => {
            Failure::Canceled("request was canceled".to_owned())
        }
        ReadError::OverBudget(e) => super::body::over_budget(e),
        ReadError::Corrupt(_) | ReadError::Io(_) => Failure::Internal(text),
    }
}

/// `/api/v1/metadata`.
pub(super) fn metadata(cx: &Context, params: &Params) -> Result<Reply, Failure> {
    let number = |name: &str| match params.get(name) {
        "" => Ok(-1),
        text => {
            text.parse::<i64>().map_err(|_| Failure::BadData(format!("{name} must be a number")))
        }
    };
    let (limit, per_metric) = (number("limit")?, number("limit_per_metric")?);
    let metric = params.get("metric");
    let mut by_name = BTreeMap::<String, Vec<_>>::new();
    let metric = Some(metric).filter(|metric| !metric.is_empty());
    for (name, metadata) in cx.database()?.metadata(metric) {
        by_name.entry(name).or_default().push(metadata);
    }
    // Zero and below mean all, as for Prometheus, but the number of metrics honours zero as none.
    let metrics = usize::try_from(limit).ok().filter(|n| *n > 0).unwrap_or(usize::MAX);
    let entries = usize::try_from(per_metric).ok().filter(|n| *n > 0).unwrap_or(usize::MAX);
    Ok(success(|json| {
        json.object(by_name.iter().take(metrics), |json, (name, list)| {
            json.string(name).raw(":").list(list.iter().take(entries), |json, m| {
                json.raw("{\"type\":\"").raw(m.kind.as_str()).raw("\",\"help\":").string(&m.help);
                json.raw(",\"unit\":").string(&m.unit).raw("}");
            });
        });
    }))
}

/// Undoes the value encoding of UTF-8 names (`U__` and hexadecimal code points); a name that is
/// not encoded, or badly, is itself.
fn unescape_name(name: &str) -> String {
    let Some(encoded) = name.strip_prefix("U__") else { return name.to_owned() };
    decode_value_escapes(encoded).unwrap_or_else(|| name.to_owned())
}

fn decode_value_escapes(encoded: &str) -> Option<String> {
    /// Hexadecimal digits of a code point.
    const MAX_DIGITS: usize = 6;
    let mut out = String::with_capacity(encoded.len());
    let mut rest = encoded;
    while let Some(at) = rest.find('_') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('_') {
            out.push('_');
            rest = after;
            continue;
        }
        let end = rest.find('_').filter(|end| (1..=MAX_DIGITS).contains(end))?;
        out.push(char::from_u32(u32::from_str_radix(&rest[..end], 16).ok()?)?);
        rest = &rest[end + 1..];
    }
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoded_names_are_decoded_and_others_left_alone() {
        for (name, want) in [
            ("job", "job"),
            ("a.b", "a.b"),
            ("U__a_2e_b", "a.b"),
            ("U__a__b", "a_b"),
            ("U___1F600_", "\u{1f600}"),
            ("U__a_", "U__a_"),
            ("U__a_zz_", "U__a_zz_"),
            ("U__a_1234567_", "U__a_1234567_"),
            ("U__a_d800_", "U__a_d800_"),
        ] {
            assert_eq!(unescape_name(name), want, "{name}");
        }
    }

    #[test]
    fn a_selector_that_selects_everything_is_refused() {
        assert_eq!(selector("up").unwrap(), [Matcher::equal(model::NAME_LABEL, "up")]);
        for text in ["{}", "{a=\"\"}", "{a=~\".*\"}"] {
            assert_eq!(
                selector(text).unwrap_err(),
                "match[] must contain at least one non-empty matcher",
                "{text}"
            );
        }
    }
}
