//! From decoded rows to one append per request. What the doors have in common is here; how each
//! protocol names its series is in the modules.

pub(crate) mod line_protocol;
pub(crate) mod remote_write;

use std::sync::Arc;

use remote::labels::LabelLimits;
use tsdb::append::{AppendError, AppendPolicy, DuplicatePolicy};

use crate::config::Config;
use crate::rates::{Rate, TooFast};
use crate::tenants::Tenant;

/// Doors keep their aliases apart: equal bytes mean different things behind different ones.
const REMOTE_V1: u8 = 1;
const LINE: u8 = 2;

/// Capacity above which a thread gives scratch memory back, bytes.
const MAX_KEPT: usize = 8 << 20;

/// What holds for one write request.
#[derive(Clone)]
pub(crate) struct Settings {
    /// Series in the request (limit L9).
    pub(crate) max_series: usize,
    /// Samples in the request (limit L9).
    pub(crate) max_samples: usize,
    /// Limits on one label set (limit L10).
    pub(crate) labels: LabelLimits,
    /// Bytes of one line (limit L7).
    pub(crate) max_line_bytes: usize,
    /// The label that holds the database of a line; empty for none.
    pub(crate) db_label: String,
    /// Oldest time that is accepted, ms.
    pub(crate) min_time_ms: i64,
    /// Newest time that is accepted, ms.
    pub(crate) max_time_ms: i64,
    /// Whose samples come, and how fast they may (limit L14).
    pub(crate) sample_rate: Option<(Arc<Tenant>, Rate)>,
}

impl Settings {
    /// The settings of a request that comes at `now_ms`.
    pub(crate) fn of(config: &Config, now_ms: i64) -> Self {
        let count = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        Self {
            max_series: count(config.max_request_series),
            max_samples: count(config.max_request_samples),
            labels: LabelLimits {
                labels: count(config.max_labels),
                name_bytes: config.max_label_name_bytes.as_usize(),
                value_bytes: config.max_label_value_bytes.as_usize(),
                set_bytes: config.max_label_set_bytes.as_usize(),
            },
            max_line_bytes: config.max_line_bytes.as_usize(),
            db_label: config.influx_db_label.clone(),
            min_time_ms: config.oldest_ms(now_ms),
            max_time_ms: now_ms.saturating_add(config.max_future.as_i64()),
            sample_rate: None,
        }
    }

    /// The same for a request of `tenant`.
    pub(crate) fn for_tenant(self, tenant: &Arc<Tenant>, config: &Config) -> Self {
        let sample_rate = Rate::of_samples(config).map(|rate| (tenant.clone(), rate));
        Self { sample_rate, ..self }
    }

    /// Admits the `n` samples of the request.
    fn admit(&self, n: usize) -> Result<(), TooFast> {
        match &self.sample_rate {
            Some((tenant, rate)) => tenant.sample_rate.admit(n as u64, *rate),
            None => Ok(()),
        }
    }

    fn policy(&self, duplicates: DuplicatePolicy) -> AppendPolicy {
        AppendPolicy {
            duplicates,
            min_time_ms: self.min_time_ms,
            max_time_ms: self.max_time_ms,
            wal_mode: None,
        }
    }
}

/// Why nothing of a request was stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IngestError {
    /// The body is not the message that it claims to be, or is over a limit.
    #[error(transparent)]
    Decode(#[from] remote::error::DecodeError),
    /// More series or samples than one request may have.
    #[error("request has more than {limit} {what}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// Samples come too fast.
    #[error(transparent)]
    TooFast(#[from] TooFast),
    /// Storage failed; a retry is safe.
    #[error(transparent)]
    Append(#[from] AppendError),
}
