//! Which database a request is for: one per tenant, each a directory of its own, all in one
//! process under one memory budget.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::Accountant;
use parking_lot::Mutex;
use tsdb::append::SeriesGate;
use tsdb::db::OpenError;
use tsdb::fs::Fs;
use tsdb::{Db, DbOptions};

use crate::config::Config;
use crate::rates::SampleRate;

/// The tenant of requests that name none.
pub(crate) const DEFAULT_TENANT: &str = "default";
/// Longest tenant id (reliability contract S8).
const MAX_ID_BYTES: usize = 64;
/// Tenants that are open at one time; each has its own log and head.
const MAX_TENANTS: usize = 1000;

/// Why a request has no database.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TenantError {
    /// The id is not `[A-Za-z0-9_-]{1,64}`, or there is more than one.
    #[error("invalid tenant id: must be 1 to {MAX_ID_BYTES} letters, digits, '_' or '-'")]
    BadId,
    /// No more tenants can be opened.
    #[error("limit of {MAX_TENANTS} tenants reached")]
    TooMany,
    /// The database does not open.
    #[error("tenant {id}: {source}")]
    Open {
        /// The tenant.
        id: String,
        /// Why.
        source: OpenError,
    },
}

/// A tenant: a database, and what it may take.
pub(crate) struct Tenant {
    /// Its database.
    pub(crate) db: Arc<Db>,
    /// How fast its samples may come.
    pub(crate) sample_rate: SampleRate,
}

/// The open databases.
pub(crate) struct Tenants {
    default: Arc<Tenant>,
    /// `None` where there is one tenant only.
    several: Option<Several>,
}

struct Several {
    opener: Opener,
    open: Mutex<BTreeMap<String, Arc<Tenant>>>,
}

/// Opens databases.
#[derive(Debug, Clone)]
pub(crate) struct Opener {
    fs: Arc<dyn Fs>,
    data_dir: PathBuf,
    options: DbOptions,
}

impl Opener {
    /// An opener with the settings of the process.
    pub(crate) fn new(
        fs: Arc<dyn Fs>,
        config: &Config,
        memory: Accountant,
        series_gate: Arc<dyn SeriesGate>,
    ) -> Self {
        let (max_series, max_series_setting) = if config.tenants {
            (config.max_series_per_tenant, "max-series-per-tenant")
        } else {
            (config.max_series, "max-series")
        };
        let options = DbOptions {
            wal_mode: config.wal_mode,
            memory,
            max_series,
            max_series_setting,
            series_gate,
            wal_limit_bytes: config.max_wal_bytes.0,
            max_late_age_ms: config.max_late_age.0,
            seed: crate::app::random_u64(),
            ..DbOptions::default()
        };
        Self { fs, data_dir: config.data_dir.clone(), options }
    }

    fn open(&self, dir: &Path, progress: &mut dyn FnMut(u64)) -> Result<Arc<Tenant>, OpenError> {
        for part in dir.ancestors().collect::<Vec<_>>().into_iter().rev() {
            if !part.as_os_str().is_empty() && !self.fs.exists(part)? {
                self.fs.create_dir(part)?;
            }
        }
        let (db, report) = Db::open(self.fs.clone(), dir, self.options.clone(), progress)?;
        let dir = dir.display();
        tracing::info!(
            %dir,
            blocks = report.blocks,
            replayed_rows = report.replayed_rows,
            "database opened"
        );
        for block in &report.damaged_blocks {
            tracing::error!(%dir, block, "samples of a block are missing from answers");
        }
        if report.damaged_regions > 0 || report.orphaned_rows > 0 {
            tracing::error!(
                %dir,
                regions = report.damaged_regions,
                orphaned_rows = report.orphaned_rows,
                "damage in the log moved to quarantine"
            );
        }
        Ok(Arc::new(Tenant { db: Arc::new(db), sample_rate: SampleRate::default() }))
    }

    fn tenant(&self, id: &str) -> Result<Arc<Tenant>, TenantError> {
        let dir = self.data_dir.join("tenants").join(id);
        let opened = self.open(&dir, &mut |_| ());
        opened.map_err(|source| TenantError::Open { id: id.to_owned(), source })
    }
}

impl Tenants {
    /// Opens the default database and, with `several`, those of all tenants with a directory.
    /// Rows replayed so far go to `progress`.
    ///
    /// # Errors
    /// The first database that does not open.
    pub(crate) fn open(
        opener: Opener,
        several: bool,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Self, TenantError> {
        let default = opener
            .open(&opener.data_dir, progress)
            .map_err(|source| TenantError::Open { id: DEFAULT_TENANT.to_owned(), source })?;
        if !several {
            return Ok(Self { default, several: None });
        }
        let mut open = BTreeMap::new();
        for entry in opener.fs.read_dir(&opener.data_dir.join("tenants")).unwrap_or_default() {
            if entry.is_dir && is_id(&entry.name) {
                open.insert(entry.name.clone(), opener.tenant(&entry.name)?);
            }
        }
        Ok(Self { default, several: Some(Several { opener, open: Mutex::new(open) }) })
    }

    /// The tenant of the request with these `X-Scope-OrgID` headers; made when it is new. The
    /// headers mean nothing where there is one tenant only.
    ///
    /// # Errors
    /// [`TenantError`].
    pub(crate) fn tenant<'a>(
        &self,
        mut ids: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Arc<Tenant>, TenantError> {
        let Some(several) = &self.several else { return Ok(self.default.clone()) };
        let Some(id) = ids.next() else { return Ok(self.default.clone()) };
        if ids.next().is_some() {
            return Err(TenantError::BadId);
        }
        let id = std::str::from_utf8(id).ok().filter(|id| is_id(id)).ok_or(TenantError::BadId)?;
        if id == DEFAULT_TENANT {
            return Ok(self.default.clone());
        }
        // Held while a database opens, so that it is opened once. New tenants are rare.
        let mut open = several.open.lock();
        if let Some(tenant) = open.get(id) {
            return Ok(tenant.clone());
        }
        if open.len() >= MAX_TENANTS {
            return Err(TenantError::TooMany);
        }
        let tenant = several.opener.tenant(id)?;
        open.insert(id.to_owned(), tenant.clone());
        Ok(tenant)
    }

    /// Whether requests name their tenant.
    pub(crate) fn are_several(&self) -> bool {
        self.several.is_some()
    }

    /// All open databases with their tenants.
    pub(crate) fn all(&self) -> Vec<(String, Arc<Db>)> {
        let mut all = vec![(DEFAULT_TENANT.to_owned(), self.default.db.clone())];
        if let Some(several) = &self.several {
            let open = several.open.lock();
            all.extend(open.iter().map(|(id, tenant)| (id.clone(), tenant.db.clone())));
        }
        all
    }
}

/// Whether `id` may be a tenant; it then is safe as a path part too.
fn is_id(id: &str) -> bool {
    (1..=MAX_ID_BYTES).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_never_a_path() {
        let long = "a".repeat(65);
        for bad in ["", ".", "..", "a/b", "%2e%2e", "a.b", "ä", "a b", "a\0", long.as_str()] {
            assert!(!is_id(bad), "{bad:?}");
        }
        for good in ["a", "-", "_", "Team-7_x", &long[..64]] {
            assert!(is_id(good), "{good:?}");
        }
    }
}
