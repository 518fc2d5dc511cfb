//! From failures to answers: the one place that decides status codes.
//!
//! 4xx: the same bytes will never succeed. 429 and 503: they may later. Other 5xx: our fault. A
//! permanent error answered 5xx would make senders retry for ever and lose everything newer.

use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{self, HeaderName};

use super::Door;
use super::json::Json;
use super::reply::Reply;
use crate::blocking::Shed;
use crate::tenants::TenantError;
use crate::text::cut;

/// Seconds after which a client that was turned away should come back.
const RETRY_AFTER: &str = "1";
/// The same at most, where the time is known.
const MAX_RETRY_AFTER: u64 = 60;
/// Longest message in an answer, so that the whole stays within 1 KiB.
const MAX_MESSAGE_BYTES: usize = 768;

/// Why a request is not served. Texts that clients match on are the reference implementation's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// A parameter or a query text is wrong.
    BadData(String),
    /// The query cannot be evaluated.
    Execution(String),
    /// The query is over one of its limits.
    OverLimit {
        /// The message.
        message: String,
        /// The limit, for the counter.
        limit: &'static str,
    },
    /// As [`Failure::BadData`], for a query that is over one of its limits before it is asked.
    TooLargeToAsk {
        /// The message.
        message: String,
        /// The limit, for the counter.
        limit: &'static str,
    },
    /// The query was canceled.
    Canceled(String),
    /// The query took too long.
    Timeout(String),
    /// Our fault.
    Internal(String),
    /// Switched off.
    Unavailable(String),
    /// Too much to do; later.
    Busy {
        /// The message.
        message: String,
        /// The limit, for the counter.
        limit: &'static str,
    },
    /// Too fast; later.
    Throttled {
        /// The message.
        message: String,
        /// The limit, for the counter, where nothing else counts it.
        limit: Option<&'static str>,
        /// When to come back.
        wait: Duration,
    },
    /// Storage takes no writes now.
    ReadOnly(String),
    /// The log is being replayed, or the server ends.
    NotReady {
        /// Which of the two.
        stopping: bool,
    },
    /// No route has this path.
    UnknownPath,
    /// Switched off, and as if not there.
    NotFound(String),
    /// The route has other methods.
    Method {
        /// Which.
        allow: &'static str,
    },
    /// A route has other methods, with its own text.
    MethodText {
        /// Which.
        allow: &'static str,
        /// The text.
        text: &'static str,
    },
    /// The bytes of the request are ambiguous.
    Framing(&'static str),
    /// The URI is too long.
    UriTooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// The body is too long.
    TooLarge(String),
    /// The body cannot be decoded.
    BadBody(String),
    /// The body came too slowly.
    SlowBody,
    /// A content encoding or type that is not served.
    Unsupported(String),
    /// Not allowed.
    Forbidden(String),
    /// A state change asked for by a page of another site.
    ForeignOrigin,
    /// Some or all rows of a write were refused; the text says which.
    Rejected(String),
    /// Rows that storage refused, which v2 tells from bad lines.
    Unprocessable(String),
    /// As [`Failure::Rejected`], with the v3 door's list of lines as JSON.
    RejectedLines {
        /// The summary.
        message: String,
        /// The `data` member.
        data: String,
    },
}

impl Failure {
    fn status(&self, door: Door) -> StatusCode {
        match self {
            Self::BadData(_)
            | Self::TooLargeToAsk { .. }
            | Self::Framing(_)
            | Self::BadBody(_)
            | Self::Rejected(_)
            | Self::RejectedLines { .. } => StatusCode::BAD_REQUEST,
            // The 1.x and 3 doors know no 422.
            Self::Unprocessable(_) if door != Door::InfluxV2 => StatusCode::BAD_REQUEST,
            Self::Execution(_) | Self::OverLimit { .. } | Self::Unprocessable(_) => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            Self::Canceled(_) => StatusCode::from_u16(499).expect("a valid status"),
            // Prometheus by default, and Telegraf's 1.x output, drop what is answered with 429.
            Self::Throttled { .. } if matches!(door, Door::InfluxV2 | Door::InfluxV3) => {
                StatusCode::TOO_MANY_REQUESTS
            }
            Self::Throttled { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::Timeout(_) | Self::ReadOnly(_) | Self::NotReady { .. } | Self::Busy { .. } => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Internal(_) | Self::Unavailable(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::UnknownPath | Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Method { .. } | Self::MethodText { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::UriTooLong { .. } => StatusCode::URI_TOO_LONG,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::SlowBody => StatusCode::REQUEST_TIMEOUT,
            Self::Unsupported(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Forbidden(_) | Self::ForeignOrigin => StatusCode::FORBIDDEN,
        }
    }

    /// Prometheus's `errorType`.
    fn error_type(&self) -> &'static str {
        match self {
            Self::Execution(_) | Self::OverLimit { .. } | Self::Unprocessable(_) => "execution",
            Self::Canceled(_) => "canceled",
            Self::Timeout(_) | Self::Busy { .. } => "timeout",
            Self::Internal(_) => "internal",
            Self::Unavailable(_)
            | Self::ReadOnly(_)
            | Self::NotReady { .. }
            | Self::Throttled { .. } => "unavailable",
            Self::UnknownPath | Self::NotFound(_) => "not_found",
            _ => "bad_data",
        }
    }

    /// The `code` of the v2 door.
    fn influx_code(&self, door: Door) -> &'static str {
        match self.status(door).as_u16() {
            401 => "unauthorized",
            403 => "forbidden",
            404 => "not found",
            405 => "method not allowed",
            413 => "request too large",
            422 => "unprocessable entity",
            429 => "too many requests",
            500 => "internal error",
            503 => "unavailable",
            _ => "invalid",
        }
    }

    /// The limit that refused the request, for the counter.
    pub(super) fn limit(&self) -> Option<&'static str> {
        match self {
            Self::Busy { limit, .. }
            | Self::OverLimit { limit, .. }
            | Self::TooLargeToAsk { limit, .. } => Some(limit),
            Self::Throttled { limit, .. } => *limit,
            Self::Timeout(_) => Some("time"),
            Self::UriTooLong { .. } => Some("uri"),
            Self::TooLarge(_) => Some("body"),
            Self::SlowBody => Some("body_rate"),
            _ => None,
        }
    }

    fn message(&self) -> String {
        let text = match self {
            Self::BadData(text)
            | Self::Execution(text)
            | Self::Canceled(text)
            | Self::Timeout(text)
            | Self::Internal(text)
            | Self::Unavailable(text)
            | Self::ReadOnly(text)
            | Self::NotFound(text)
            | Self::TooLarge(text)
            | Self::BadBody(text)
            | Self::Unsupported(text)
            | Self::Forbidden(text)
            | Self::Rejected(text)
            | Self::Unprocessable(text)
            | Self::OverLimit { message: text, .. }
            | Self::TooLargeToAsk { message: text, .. }
            | Self::Busy { message: text, .. }
            | Self::Throttled { message: text, .. }
            | Self::RejectedLines { message: text, .. } => text.as_str(),
            Self::NotReady { .. } => "Service Unavailable",
            Self::UnknownPath => "404 page not found",
            Self::Method { .. } => "Method Not Allowed",
            Self::MethodText { text, .. } => text,
            Self::Framing(what) => what,
            Self::UriTooLong { limit } => {
                return format!("request URI is over the limit of {limit} bytes");
            }
            Self::SlowBody => "request body came too slowly",
            Self::ForeignOrigin => "origin not allowed",
        };
        cut(text, MAX_MESSAGE_BYTES).to_owned()
    }

    /// The answer in the shape of `door`.
    pub(super) fn reply(&self, door: Door) -> Reply {
        let status = self.status(door);
        let message = match (door, self) {
            (Door::InfluxV2 | Door::InfluxV3, Self::UnknownPath) => "path not found".to_owned(),
            _ => self.message(),
        };
        let mut reply = match (door, self) {
            // Prometheus writes these two without a line end.
            (Door::Text, Self::Forbidden(_) | Self::MethodText { .. }) => {
                Reply::text(status, message)
            }
            // The router's own answers are text behind every Prometheus door.
            (Door::Api, Self::UnknownPath | Self::Method { .. } | Self::NotReady { .. })
            | (Door::Text, _) => Reply::text(status, format!("{message}\n")),
            (Door::Api, _) => Reply::new(status, "application/json", self.envelope(&message)),
            (Door::InfluxV1, _) => {
                let mut reply =
                    Reply::new(status, "application/json", influx_error(&message, None));
                // As 1.x: the whole text on one line. A header holds no other control character.
                let line = message.replace(|c: char| c.is_control() && c != '\t', " ");
                reply.header_text(HeaderName::from_static("x-influxdb-error"), cut(&line, 1024));
                reply
            }
            (Door::InfluxV2, _) => {
                let code = self.influx_code(door);
                let mut json = Json::default();
                json.raw("{\"code\":").string(code).raw(",\"message\":").string(&message).raw("}");
                let mut reply =
                    Reply::new(status, "application/json; charset=utf-8", json.into_bytes());
                reply.header("x-platform-error-code", code);
                reply
            }
            (Door::InfluxV3, Self::RejectedLines { data, .. }) => {
                Reply::new(status, "application/json", influx_error(&message, Some(data)))
            }
            (Door::InfluxV3, _) => {
                Reply::new(status, "application/json", influx_error(&message, None))
            }
        };
        match self {
            Self::Method { allow } | Self::MethodText { allow, .. } => {
                reply.header(header::ALLOW, allow);
            }
            Self::NotReady { stopping } => {
                let text = if *stopping { "true" } else { "false" };
                reply.header("x-prometheus-stopping", text);
                reply.header(header::RETRY_AFTER, RETRY_AFTER);
            }
            Self::Throttled { wait, .. } => {
                let seconds = wait.as_secs().saturating_add(1).min(MAX_RETRY_AFTER);
                reply.header_text(header::RETRY_AFTER, &seconds.to_string());
            }
            Self::Busy { .. } | Self::ReadOnly(_) => reply.header(header::RETRY_AFTER, RETRY_AFTER),
            _ => {}
        }
        // What is left of the body cannot be told from the next request, or is not wanted.
        reply.close = matches!(
            self,
            Self::Framing(_) | Self::UriTooLong { .. } | Self::TooLarge(_) | Self::SlowBody
        );
        reply
    }

    fn envelope(&self, message: &str) -> Vec<u8> {
        let mut json = Json::default();
        json.raw("{\"status\":\"error\",\"errorType\":\"").raw(self.error_type());
        json.raw("\",\"error\":").string(message).raw("}");
        json.into_bytes()
    }
}

fn influx_error(message: &str, data: Option<&str>) -> Vec<u8> {
    let mut json = Json::default();
    json.raw("{\"error\":").string(message);
    if let Some(data) = data {
        json.raw(",\"data\":").raw(data);
    }
    json.raw("}\n");
    json.into_bytes()
}

impl From<TenantError> for Failure {
    fn from(e: TenantError) -> Self {
        match e {
            TenantError::BadId => Self::BadData(e.to_string()),
            TenantError::TooMany => Self::Busy { message: e.to_string(), limit: "tenants" },
            TenantError::Open { .. } => Self::Internal(e.to_string()),
        }
    }
}

impl From<Shed> for Failure {
    fn from(e: Shed) -> Self {
        match e {
            Shed::Busy("queries") => Self::Busy {
                message: "query timed out in query queue".to_owned(),
                limit: "query_queue",
            },
            Shed::Busy(_) => Self::Busy { message: e.to_string(), limit: "write_queue" },
            Shed::Panicked => Self::Internal(e.to_string()),
        }
    }
}
