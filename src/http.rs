//! HTTP: one table of routes, and what happens around each request: framing, limits, readiness,
//! cross-origin rules, compression, counting.

mod admin;
mod admin_tsdb;
mod body;
mod compress;
mod error;
mod federate;
mod influx;
mod json;
mod params;
mod prom_labels;
mod prom_query;
mod prom_status;
mod prom_write;
mod reply;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Version};
use tsdb::Db;

use crate::app::{App, Phase, PressureGate};
use crate::config::Config;
use crate::server::Pulse;
use crate::tenants::Tenant;
use error::Failure;
use params::Params;
use reply::{Reply, ReplyBody};

/// Who a route speaks to: decides the shape of errors and the headers around the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// The JSON envelope of Prometheus's API.
    Api,
    /// Plain text, as Prometheus's other pages and remote write have it.
    Text,
    /// InfluxDB 1.x.
    InfluxV1,
    /// InfluxDB 2.x.
    InfluxV2,
    /// InfluxDB 3.
    InfluxV3,
}

impl Door {
    const fn is_influx(self) -> bool {
        matches!(self, Self::InfluxV1 | Self::InfluxV2 | Self::InfluxV3)
    }
}

/// What a route does. [`dispatch`] has the handlers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Endpoint {
    Query,
    QueryRange,
    QueryExemplars,
    FormatQuery,
    ParseQuery,
    Labels,
    LabelValues,
    Series,
    Metadata,
    Status(prom_status::Page),
    Version,
    Home,
    Federate,
    Empty(prom_status::Empty),
    Admin(Action),
    RemoteWrite,
    LineWrite,
    InfluxQuery,
    Ping,
    InfluxReady,
    Health,
    Healthy,
    Ready,
    Reload,
    Quit,
    Metrics,
}

/// When a route answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    /// From the first moment.
    Always,
    /// While the databases are open.
    WhenReady,
}

struct Route {
    path: &'static str,
    /// Methods as the `Allow` header lists them.
    allow: &'static str,
    endpoint: Endpoint,
    door: Door,
    open: Open,
}

const GET: &str = "GET, OPTIONS";
const GET_POST: &str = "GET, OPTIONS, POST";
const POST: &str = "OPTIONS, POST";
const POST_PUT: &str = "OPTIONS, POST, PUT";
const GET_HEAD: &str = "GET, HEAD, OPTIONS";
const GET_POST_PUT: &str = "GET, OPTIONS, POST, PUT";

const fn route(path: &'static str, allow: &'static str, endpoint: Endpoint) -> Route {
    Route { path, allow, endpoint, door: Door::Api, open: Open::WhenReady }
}

const fn always(mut route: Route, door: Door) -> Route {
    (route.open, route.door) = (Open::Always, door);
    route
}

const fn at(mut route: Route, door: Door) -> Route {
    route.door = door;
    route
}

pub(crate) use params::format_rfc3339;

use admin_tsdb::Action;
use prom_status::{Empty, Page};

/// Every route. `*` stands for one part of a path.
static ROUTES: &[Route] = &[
    at(route("/api/v1/write", POST, Endpoint::RemoteWrite), Door::Text),
    at(route("/write", POST, Endpoint::LineWrite), Door::InfluxV1),
    at(route("/api/v2/write", POST, Endpoint::LineWrite), Door::InfluxV2),
    at(route("/api/v3/write_lp", POST, Endpoint::LineWrite), Door::InfluxV3),
    route("/api/v1/query", GET_POST, Endpoint::Query),
    route("/api/v1/query_range", GET_POST, Endpoint::QueryRange),
    route("/api/v1/query_exemplars", GET_POST, Endpoint::QueryExemplars),
    route("/api/v1/format_query", GET_POST, Endpoint::FormatQuery),
    route("/api/v1/parse_query", GET_POST, Endpoint::ParseQuery),
    route("/api/v1/labels", GET_POST, Endpoint::Labels),
    route("/api/v1/label/*/values", GET, Endpoint::LabelValues),
    route("/api/v1/series", GET_POST, Endpoint::Series),
    route("/api/v1/metadata", GET, Endpoint::Metadata),
    route("/api/v1/status/buildinfo", GET, Endpoint::Status(Page::BuildInfo)),
    route("/api/v1/status/runtimeinfo", GET, Endpoint::Status(Page::RuntimeInfo)),
    route("/api/v1/status/config", GET, Endpoint::Status(Page::Config)),
    route("/api/v1/status/flags", GET, Endpoint::Status(Page::Flags)),
    route("/api/v1/status/tsdb", GET, Endpoint::Status(Page::Tsdb)),
    route("/api/v1/status/tsdb/blocks", GET, Endpoint::Status(Page::Blocks)),
    always(route("/api/v1/status/walreplay", GET, Endpoint::Status(Page::WalReplay)), Door::Api),
    always(route("/api/v1/notifications", GET, Endpoint::Status(Page::Notifications)), Door::Api),
    route("/api/v1/features", GET, Endpoint::Status(Page::Features)),
    route("/api/v1/rules", GET, Endpoint::Empty(Empty::Rules)),
    route("/api/v1/alerts", GET, Endpoint::Empty(Empty::Alerts)),
    route("/api/v1/targets", GET, Endpoint::Empty(Empty::Targets)),
    route("/api/v1/targets/metadata", GET, Endpoint::Empty(Empty::TargetsMetadata)),
    route("/api/v1/scrape_pools", GET, Endpoint::Empty(Empty::ScrapePools)),
    route("/api/v1/alertmanagers", GET, Endpoint::Empty(Empty::Alertmanagers)),
    route("/api/v1/admin/tsdb/delete_series", POST_PUT, Endpoint::Admin(Action::Delete)),
    route("/api/v1/admin/tsdb/clean_tombstones", POST_PUT, Endpoint::Admin(Action::Clean)),
    route("/api/v1/admin/tsdb/snapshot", POST_PUT, Endpoint::Admin(Action::Snapshot)),
    at(route("/federate", GET, Endpoint::Federate), Door::Text),
    always(route("/version", GET, Endpoint::Version), Door::Text),
    always(route("/", GET, Endpoint::Home), Door::Text),
    always(route("/graph", GET, Endpoint::Home), Door::Text),
    at(route("/query", GET_POST, Endpoint::InfluxQuery), Door::InfluxV1),
    always(route("/ping", GET_HEAD, Endpoint::Ping), Door::InfluxV1),
    always(route("/status", GET_HEAD, Endpoint::Ping), Door::InfluxV1),
    always(route("/health", GET_HEAD, Endpoint::Health), Door::InfluxV1),
    always(route("/ready", GET_HEAD, Endpoint::InfluxReady), Door::InfluxV2),
    always(route("/-/healthy", GET_HEAD, Endpoint::Healthy), Door::Text),
    always(route("/-/ready", GET_HEAD, Endpoint::Ready), Door::Text),
    always(route("/-/reload", GET_POST_PUT, Endpoint::Reload), Door::Text),
    always(route("/-/quit", GET_POST_PUT, Endpoint::Quit), Door::Text),
    always(route("/metrics", GET_HEAD, Endpoint::Metrics), Door::Text),
];

/// Prefixes under which senders that know one URL only find the Influx doors.
const INFLUX_PREFIXES: [&str; 2] = ["/influxdb", "/influx"];

impl Route {
    fn matches(&self, path: &str) -> bool {
        match self.path.split_once('*') {
            None => self.path == path,
            Some((before, after)) => {
                let middle = path.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
                middle.is_some_and(|part| !part.is_empty() && !part.contains('/'))
            }
        }
    }

    /// What stands for `*` in `path`, still percent-encoded.
    fn variable<'p>(&self, path: &'p str) -> &'p str {
        let (before, after) = self.path.split_once('*').unwrap_or((path, ""));
        path.strip_prefix(before).and_then(|rest| rest.strip_suffix(after)).unwrap_or_default()
    }

    fn allows(&self, method: &Method) -> bool {
        self.allow.split(", ").any(|name| name == method.as_str())
    }

    /// What the request counters call it.
    fn handler(&self) -> &'static str {
        self.path
    }
}

/// The route of `path`.
fn find(path: &str) -> Option<&'static Route> {
    let find = |path: &str| ROUTES.iter().find(|route| route.matches(path));
    find(path).or_else(|| {
        let rest = INFLUX_PREFIXES.iter().find_map(|prefix| path.strip_prefix(prefix))?;
        find(rest).filter(|route| route.door.is_influx())
    })
}

/// Whose errors an unknown `path` has: senders of a protocol read them in its shape.
fn door_of_unknown(path: &str) -> Door {
    let rest = INFLUX_PREFIXES.iter().find_map(|prefix| path.strip_prefix(prefix));
    match rest.unwrap_or(path) {
        rest if rest.starts_with("/api/v2/") => Door::InfluxV2,
        rest if rest.starts_with("/api/v3/") => Door::InfluxV3,
        _ => Door::Text,
    }
}

/// A path without doubled slashes: base URLs that end in one make them.
fn tidy(path: &str) -> std::borrow::Cow<'_, str> {
    if !path.contains("//") {
        return path.into();
    }
    let mut out = String::with_capacity(path.len());
    for c in path.chars() {
        if c != '/' || !out.ends_with('/') {
            out.push(c);
        }
    }
    out.into()
}

/// What a handler works with.
pub(crate) struct Context {
    pub(crate) app: Arc<App>,
    /// The settings when the request came.
    pub(crate) config: Arc<Config>,
    pub(crate) door: Door,
    pub(crate) method: Method,
    pub(crate) headers: HeaderMap,
    /// The URL's query, still encoded.
    query: String,
    /// What stands for `*` in the path.
    variable: String,
    pub(crate) began: Instant,
}

impl Context {
    /// The first header called `name`, where it is text.
    pub(crate) fn header(&self, name: impl header::AsHeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Sheds a query while memory is short.
    ///
    /// # Errors
    /// [`Failure::Busy`].
    pub(crate) fn admit_query(&self) -> Result<(), Failure> {
        self.admit(&self.app.query_gate, "queries")
    }

    /// Sheds a write while memory is very short; before its body is read.
    ///
    /// # Errors
    /// [`Failure::Busy`].
    pub(crate) fn admit_write(&self) -> Result<(), Failure> {
        self.admit(&self.app.write_gate, "writes")
    }

    fn admit(&self, gate: &PressureGate, what: &str) -> Result<(), Failure> {
        if !gate.is_closed(&self.app.memory) {
            return Ok(());
        }
        let percent = self.app.memory.used_percent();
        let message = format!("{what} wait: {percent} % of the memory budget is in use");
        Err(Failure::Busy { message, limit: "memory" })
    }

    /// The database of the request's tenant.
    ///
    /// # Errors
    /// As [`Context::tenant`].
    pub(crate) fn database(&self) -> Result<Arc<Db>, Failure> {
        self.tenant().map(|tenant| tenant.db.clone())
    }

    /// The request's tenant.
    ///
    /// # Errors
    /// [`Failure`] for a bad tenant id or a database that does not open.
    pub(crate) fn tenant(&self) -> Result<Arc<Tenant>, Failure> {
        let tenants = self.app.tenants().ok_or(Failure::NotReady { stopping: false })?;
        let ids = self.headers.get_all("x-scope-orgid").iter().map(HeaderValue::as_bytes);
        if tenants.are_several() {
            // The first request of a tenant opens files.
            tokio::task::block_in_place(|| tenants.tenant(ids)).map_err(Failure::from)
        } else {
            tenants.tenant(ids).map_err(Failure::from)
        }
    }

    /// The parameters of the URL alone.
    ///
    /// # Errors
    /// Bad percent-encoding.
    pub(crate) fn url_params(&self) -> Result<Params, Failure> {
        Params::parse(&self.query, "").map_err(Failure::BadData)
    }

    /// The parameters of the form body, if there is one, and of the URL.
    ///
    /// # Errors
    /// Bad percent-encoding, or a body that cannot be read.
    pub(crate) async fn params(&self, body: Incoming) -> Result<Params, Failure> {
        let form = self
            .header(header::CONTENT_TYPE)
            .and_then(|value| value.split(';').next())
            .is_some_and(|kind| {
                kind.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded")
            });
        if self.method != Method::POST && self.method != Method::PUT || !form {
            return self.url_params();
        }
        let limit = self.config.form_body_limit;
        let body = body::read(self, body, limit).await?;
        let text = std::str::from_utf8(&body.bytes)
            .map_err(|_| Failure::BadData("form body is not valid UTF-8".to_owned()))?;
        Params::parse(&self.query, text).map_err(Failure::BadData)
    }
}

/// Answers one request. Never fails: every failure is an answer.
///
/// # Errors
/// None.
pub(crate) async fn handle(
    app: Arc<App>,
    pulse: Arc<Pulse>,
    request: Request<Incoming>,
) -> Result<Response<ReplyBody>, Infallible> {
    let guard = pulse.begin();
    let began = Instant::now();
    let config = app.config();
    let (parts, body) = request.into_parts();
    let path = tidy(parts.uri.path());
    let route = find(&path);
    let door = route.map_or_else(|| door_of_unknown(&path), |route| route.door);
    let cx = Context {
        app: app.clone(),
        door,
        method: parts.method,
        headers: parts.headers,
        query: parts.uri.query().unwrap_or_default().to_owned(),
        variable: route.map(|route| route.variable(&path).to_owned()).unwrap_or_default(),
        config,
        began,
    };
    let uri_bytes = parts.uri.path().len() + cx.query.len();
    let framing = Framing {
        pulse: &pulse,
        version: parts.version,
        uri_bytes,
        has_host: parts.uri.host().is_some(),
    };
    let result = match check_framing(&cx, &framing) {
        Err(failure) => Err(failure),
        Ok(()) => match route {
            // Any path of the API has options (contract 1.1), served or not.
            None if cx.method == Method::OPTIONS && path.starts_with("/api/v1/") => {
                Ok(Reply::empty())
            }
            None => Err(Failure::UnknownPath),
            Some(route) => serve(&cx, route, body).await,
        },
    };
    let mut reply = result.unwrap_or_else(|failure| {
        if let Some(limit) = failure.limit() {
            app.metrics.limit_exceeded(limit);
        }
        failure.reply(door)
    });
    around(&cx, &mut reply);
    compress::compress(&cx, &mut reply).await;
    let handler = route.map_or("other", Route::handler);
    let bytes = reply.body.len() as u64;
    app.metrics.handled(handler, reply.status.as_u16(), began.elapsed(), bytes);
    Ok(reply.into_response(cx.method == Method::HEAD, parts.version, guard))
}

/// What is judged before the route is looked at.
struct Framing<'a> {
    pulse: &'a Pulse,
    version: Version,
    uri_bytes: usize,
    has_host: bool,
}

fn check_framing(cx: &Context, framing: &Framing<'_>) -> Result<(), Failure> {
    if framing.pulse.is_ambiguous() {
        return Err(Failure::Framing("both Content-Length and Transfer-Encoding"));
    }
    let hosts = cx.headers.get_all(header::HOST).iter().count();
    let no_host = hosts == 0 && !framing.has_host && framing.version >= Version::HTTP_11;
    if no_host || hosts > 1 {
        return Err(Failure::Framing("missing or repeated Host header"));
    }
    let limit = cx.config.max_uri_bytes.as_usize();
    if framing.uri_bytes > limit {
        return Err(Failure::UriTooLong { limit });
    }
    Ok(())
}

async fn serve(cx: &Context, route: &Route, body: Incoming) -> Result<Reply, Failure> {
    if cx.method == Method::OPTIONS {
        let mut reply = Reply::empty();
        if cx.door == Door::Text && !route.path.starts_with("/api/") {
            reply.status = StatusCode::OK;
            reply.header(header::ALLOW, route.allow);
        }
        return Ok(reply);
    }
    if !route.allows(&cx.method) {
        return Err(Failure::Method { allow: route.allow });
    }
    // A page of another site must not change anything here (reliability contract S6).
    if cx.method != Method::GET && cx.method != Method::HEAD && is_foreign(cx) {
        return Err(Failure::ForeignOrigin);
    }
    if route.open == Open::WhenReady && cx.app.phase() != Phase::Ready {
        return Err(Failure::NotReady { stopping: cx.app.phase() == Phase::Stopping });
    }
    dispatch(cx, route.endpoint, body).await
}

async fn dispatch(cx: &Context, endpoint: Endpoint, body: Incoming) -> Result<Reply, Failure> {
    match endpoint {
        Endpoint::Query => prom_query::instant(cx, cx.params(body).await?).await,
        Endpoint::QueryRange => prom_query::range(cx, cx.params(body).await?).await,
        Endpoint::QueryExemplars => prom_query::exemplars(cx, &cx.params(body).await?),
        Endpoint::FormatQuery => prom_query::format(cx, &cx.params(body).await?),
        Endpoint::ParseQuery => prom_query::parse(cx, &cx.params(body).await?),
        Endpoint::Labels => prom_labels::labels(cx, cx.params(body).await?).await,
        Endpoint::LabelValues => {
            prom_labels::label_values(cx, &cx.variable, cx.url_params()?).await
        }
        Endpoint::Series => prom_labels::series(cx, cx.params(body).await?).await,
        Endpoint::Metadata => prom_labels::metadata(cx, &cx.url_params()?),
        Endpoint::Status(page) => prom_status::page(cx, page, &cx.url_params()?),
        Endpoint::Empty(empty) => prom_status::empty(empty, &cx.url_params()?),
        Endpoint::Admin(action) => admin_tsdb::act(cx, action, body).await,
        Endpoint::Version => Ok(prom_status::version()),
        Endpoint::Home => Ok(admin::home()),
        Endpoint::Federate => federate::federate(cx, cx.url_params()?).await,
        Endpoint::RemoteWrite => prom_write::write(cx, body).await,
        Endpoint::LineWrite => influx::write(cx, body).await,
        Endpoint::InfluxQuery => influx::query(cx, &cx.params(body).await?).await,
        Endpoint::Ping => Ok(influx::ping(&cx.url_params()?)),
        Endpoint::InfluxReady => Ok(influx::ready(cx)),
        Endpoint::Health => Ok(influx::health(cx)),
        Endpoint::Healthy => Ok(admin::healthy()),
        Endpoint::Ready => admin::ready(cx),
        Endpoint::Reload => admin::reload(cx).await,
        Endpoint::Quit => admin::quit(cx),
        Endpoint::Metrics => Ok(admin::metrics(cx)),
    }
}

/// Whether the request comes from a page of another site that may not read answers either.
fn is_foreign(cx: &Context) -> bool {
    let Some(origin) = cx.header(header::ORIGIN) else {
        return cx.headers.contains_key(header::ORIGIN);
    };
    let own = origin.split_once("://").map(|(_, host)| host) == cx.header(header::HOST);
    !own && !origin_allowed(cx, origin)
}

fn origin_allowed(cx: &Context, origin: &str) -> bool {
    let allowed = &cx.config.cors_origin;
    !allowed.is_empty() && model::Regex::anchored(allowed).is_ok_and(|regex| regex.is_match(origin))
}

/// Adds the headers that do not depend on the handler.
fn around(cx: &Context, reply: &mut Reply) {
    if cx.door == Door::Api {
        reply.header(header::VARY, "Origin");
    }
    // The pages of operators have no cross-origin rules, as in Prometheus: no page reads them.
    if let Some(origin) = cx.headers.get(header::ORIGIN).filter(|_| cx.door != Door::Text) {
        let (allow, methods, expose) = if cx.door.is_influx() {
            (
                "Accept, Accept-Encoding, Authorization, Content-Length, Content-Type, \
                 X-CSRF-Token, X-HTTP-Method-Override",
                "DELETE, GET, OPTIONS, POST, PUT",
                "Date, X-InfluxDB-Version, X-InfluxDB-Build",
            )
        } else {
            ("Accept, Authorization, Content-Type, Origin", "GET, POST, OPTIONS", "Date")
        };
        reply.header(header::ACCESS_CONTROL_ALLOW_HEADERS, allow);
        reply.header(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
        reply.header(header::ACCESS_CONTROL_EXPOSE_HEADERS, expose);
        if origin.to_str().is_ok_and(|text| origin_allowed(cx, text)) {
            reply.headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        }
    }
    if cx.door.is_influx() {
        reply.header("x-influxdb-version", influx::VERSION);
        reply.header("x-influxdb-build", "OSS");
    }
    if cx.door.is_influx() || !reply.status.is_success() {
        let id = reply::request_id(cx);
        if cx.door.is_influx() {
            reply.headers.insert("request-id", id.clone());
        }
        reply.headers.insert("x-request-id", id);
    }
}

#[cfg(test)]
mod tests;
