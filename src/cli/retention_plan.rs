//! `silverback tsdb retention-plan`: what retention would delete, and when. It deletes nothing.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use model::{Interrupt, NeverInterrupted};
use tsdb::fs::std::StdFs;
use tsdb::{Db, DbOptions};

use super::say;
use crate::app::now_ms;
use crate::config::{Config, Invocation, Value as _};
use crate::http::format_rfc3339;
use crate::maintenance::RULES_STEP_MS;

/// Prints the plan for the database in `dir` with the settings of the file `config`.
pub(super) fn plan(dir: &Path, config: Option<&Path>) -> anyhow::Result<ExitCode> {
    let mut args: Vec<OsString> = vec!["silverback".into()];
    if let Some(path) = config {
        args.extend(["--config".into(), path.into()]);
    }
    let invocation = Invocation::from_args(args, |name| std::env::var(name).ok())?;
    let config = invocation.load()?;
    anyhow::ensure!(
        dir.join(tsdb::manifest::FILE_NAME).exists(),
        "{} has no database",
        dir.display()
    );
    let options = DbOptions { seed: crate::app::random_u64(), ..DbOptions::default() };
    let (db, _) = Db::open(Arc::new(StdFs), dir, options, &mut |_| {})
        .with_context(|| dir.display().to_string())?;
    let now = now_ms();
    whole_blocks(&db, &config, now)?;
    rules(&db, &config, now)?;
    Ok(ExitCode::SUCCESS)
}

/// The blocks, and when retention by time deletes each.
fn whole_blocks(db: &Db, config: &Config, now: i64) -> anyhow::Result<()> {
    let keep = config.retention.as_i64();
    say(&match keep {
        0 => "retention: none, blocks stay".to_owned(),
        _ => format!(
            "retention: {}, samples before {} are refused and deleted",
            config.retention.print(),
            format_rfc3339(now.saturating_sub(keep))
        ),
    })?;
    for meta in db.blocks() {
        let goes = match keep {
            0 => "stays".to_owned(),
            _ if meta.maxt < now.saturating_sub(keep) => "goes now".to_owned(),
            _ => format!("goes at {}", format_rfc3339(meta.maxt.saturating_add(keep))),
        };
        let samples = meta.num_samples + meta.num_histograms;
        let (first, last) = (format_rfc3339(meta.mint), format_rfc3339(meta.maxt));
        say(&format!("block {} {first} to {last}, {samples} samples: {goes}", meta.id))?;
    }
    Ok(())
}

/// The rules, and what each deletes now.
fn rules(db: &Db, config: &Config, now: i64) -> anyhow::Result<()> {
    let never: Arc<dyn Interrupt> = Arc::new(NeverInterrupted);
    for (rule, what) in config.retention_rules.plan(now, RULES_STEP_MS) {
        let found = db.count_deletable(&what, u64::MAX, &never)?;
        let bound = format_rfc3339(what.maxt.saturating_add(1));
        let (series, samples) = (found.series, found.samples);
        say(&format!("rule {rule}: before {bound}, {samples} samples of {series} series go now"))?;
    }
    Ok(())
}
