//! Steps on all databases, one after the other. One that fails rests on the database where it
//! failed, and only there: the disk of one tenant may be full or gone while the others are well.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tsdb::Db;

use crate::app::App;
use crate::telemetry::{StepCost, thread_cpu_time};
use crate::tenants::Tenants;

/// Pause after the first failure, so that a full disk is not hammered; each further one doubles it.
const FIRST_REST: Duration = Duration::from_secs(5);
/// Longest pause.
const MAX_REST: Duration = Duration::from_mins(1);

/// The databases with their tenants.
pub(super) type Databases = Vec<(String, Arc<Db>)>;

/// The databases that are open now.
pub(super) fn databases(app: &App) -> Databases {
    app.tenants().map(Tenants::all).unwrap_or_default()
}

/// The rounds of one thread.
pub(super) struct Rounds<'a> {
    app: &'a App,
    rests: Rests,
}

impl<'a> Rounds<'a> {
    pub(super) fn new(app: &'a App) -> Self {
        Self { app, rests: Rests::default() }
    }

    /// Runs `step`, called `name`, on every database. Returns whether it did anything.
    pub(super) fn each(
        &mut self,
        name: &'static str,
        mut step: impl FnMut(&Db) -> anyhow::Result<bool>,
    ) -> bool {
        let mut did = false;
        for (tenant, db) in databases(self.app) {
            did |= self.one(name, &tenant, || step(&db));
        }
        did
    }

    /// Runs `step` on the database of `tenant`, unless it rests there. Returns whether it did
    /// anything.
    pub(super) fn one(
        &mut self,
        name: &'static str,
        tenant: &str,
        step: impl FnOnce() -> anyhow::Result<bool>,
    ) -> bool {
        if self.rests.is_resting(name, tenant, Instant::now()) {
            return false;
        }
        let result = run(self.app, name, tenant, step);
        self.rests.note(name, tenant, Instant::now(), result.is_some());
        result.unwrap_or(false)
    }
}

/// Runs a step, counts it and logs its failure: whether it did anything, `None` where it failed. A
/// panic is a failure: where storage could not go on after it, storage has ended the process.
pub(super) fn run(
    app: &App,
    name: &'static str,
    tenant: &str,
    step: impl FnOnce() -> anyhow::Result<bool>,
) -> Option<bool> {
    let (began, cpu) = (Instant::now(), thread_cpu_time());
    let result = catch_unwind(AssertUnwindSafe(step))
        .unwrap_or_else(|_| Err(anyhow::anyhow!("the step panicked")));
    let cost = StepCost { elapsed: began.elapsed(), cpu: thread_cpu_time().saturating_sub(cpu) };
    if let Err(error) = &result
        && app.logs.allow("maintenance")
    {
        tracing::error!(tenant, step = name, %error, "maintenance step failed");
    }
    let did = result.ok();
    app.metrics.step_done(name, cost, did);
    did
}

/// Which steps rest on which databases.
#[derive(Debug, Default)]
struct Rests(BTreeMap<(&'static str, String), Rest>);

#[derive(Debug)]
struct Rest {
    /// Since the last success.
    failures: u32,
    until: Instant,
}

impl Rests {
    fn is_resting(&self, step: &'static str, tenant: &str, now: Instant) -> bool {
        // Nearly always there is nothing to look for.
        !self.0.is_empty()
            && self.0.get(&(step, tenant.to_owned())).is_some_and(|rest| now < rest.until)
    }

    fn note(&mut self, step: &'static str, tenant: &str, now: Instant, succeeded: bool) {
        if succeeded && self.0.is_empty() {
            return;
        }
        let key = (step, tenant.to_owned());
        if succeeded {
            self.0.remove(&key);
            return;
        }
        let rest = self.0.entry(key).or_insert(Rest { failures: 0, until: now });
        let pause = FIRST_REST.saturating_mul(1 << rest.failures.min(16)).min(MAX_REST);
        rest.failures = rest.failures.saturating_add(1);
        rest.until = now + pause;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_rests_longer_each_time_and_alone() {
        let (mut rests, begin) = (Rests::default(), Instant::now());
        let at = |seconds| begin + Duration::from_secs(seconds);
        assert!(!rests.is_resting("flush", "a", at(0)));
        rests.note("flush", "a", at(0), false);
        assert!(rests.is_resting("flush", "a", at(4)) && !rests.is_resting("flush", "a", at(5)));
        assert!(!rests.is_resting("flush", "b", at(1)), "another tenant");
        assert!(!rests.is_resting("checkpoint", "a", at(1)), "another step");
        for (n, seconds) in [(1, 10), (2, 20), (3, 40), (4, 60), (50, 60)] {
            let mut rests = Rests::default();
            for _ in 0..=n {
                rests.note("flush", "a", at(0), false);
            }
            assert!(rests.is_resting("flush", "a", at(seconds - 1)), "{n} failures before");
            assert!(!rests.is_resting("flush", "a", at(seconds)), "{n} failures before");
        }
        rests.note("flush", "a", at(5), true);
        rests.note("flush", "a", at(6), false);
        assert!(!rests.is_resting("flush", "a", at(11)), "a success begins anew");
    }
}
