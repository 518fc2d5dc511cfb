//! `silverback tsdb verify` and `silverback tsdb repair`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use tsdb::fs::Fs;
use tsdb::fs::std::StdFs;
use tsdb::lock::{DirLock, LOCK_FILE};
use tsdb::verify::Report;

use super::{DAMAGED, say};

/// Checks `dirs`, each with the tenants below it, and prints what is wrong.
pub(super) fn verify(dirs: &[PathBuf]) -> anyhow::Result<ExitCode> {
    let mut damaged = false;
    for dir in with_tenants(dirs)? {
        // A lock file is not made where there is none: nothing is changed.
        let has_lock = StdFs.exists(&dir.join(LOCK_FILE))?;
        let lock = has_lock.then(|| DirLock::acquire(&StdFs, &dir)).transpose();
        let _lock = lock.context("make a snapshot and verify that")?;
        let report = tsdb::verify::verify(&StdFs, &dir, &mut |_| {})
            .with_context(|| dir.display().to_string())?;
        damaged |= report.is_damaged();
        print(&dir, &report)?;
    }
    Ok(if damaged { ExitCode::from(DAMAGED) } else { ExitCode::SUCCESS })
}

/// Repairs `dir` and prints what was done.
pub(super) fn repair(dir: &Path) -> anyhow::Result<ExitCode> {
    let fs: Arc<dyn Fs> = Arc::new(StdFs);
    for dir in with_tenants(&[dir.to_owned()])? {
        let (report, done) = tsdb::verify::repair::repair(&fs, &dir)?;
        print(&dir, &report)?;
        for line in done {
            say(&format!("{}: {line}", dir.display()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn print(dir: &Path, report: &Report) -> std::io::Result<()> {
    for finding in &report.findings {
        say(&finding.to_string())?;
    }
    let verdict = if report.is_damaged() { "DAMAGED" } else { "sound" };
    let Report { files, bytes, .. } = report;
    say(&format!("{}: {verdict}, {files} files, {bytes} bytes read", dir.display()))
}

/// The directories, each followed by those of its tenants.
fn with_tenants(dirs: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for dir in dirs {
        all.push(dir.clone());
        let tenants = dir.join("tenants");
        if StdFs.exists(&tenants)? {
            let entries = StdFs.read_dir(&tenants)?;
            all.extend(entries.iter().filter(|e| e.is_dir).map(|e| tenants.join(&e.name)));
        }
    }
    Ok(all)
}
