//! `silverback backup` and `silverback restore`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use tsdb::backup::{self, Copied};
use tsdb::fs::std::StdFs;

use super::{DAMAGED, say};
use crate::app::now_ms;
use crate::http::format_rfc3339;

/// A name by the time, so that later backups sort behind earlier ones.
pub(super) fn name() -> String {
    format_rfc3339(now_ms().div_euclid(1000) * 1000).replace(['-', ':'], "")
}

/// Makes a backup.
pub(super) fn backup(source: &Path, to: &Path, name: &str) -> anyhow::Result<ExitCode> {
    ensure!(is_name(name), "{name:?} is no name: letters, digits, '-', '_' and '.' make one");
    let copied = backup::backup(&StdFs, source, to, name)?;
    tell(&format!("backup {name} of {}", source.display()), copied)?;
    Ok(ExitCode::SUCCESS)
}

/// Brings a backup back and checks the whole of it.
pub(super) fn restore(
    from: &Path,
    target: &Path,
    name: Option<String>,
) -> anyhow::Result<ExitCode> {
    let name = match name {
        Some(name) => name,
        None => backup::list(&StdFs, from)?.pop().context("there is no backup")?,
    };
    ensure!(is_name(&name), "{name:?} is no name of a backup");
    let copied = backup::restore(&StdFs, from, &name, target)?;
    tell(&format!("backup {name} restored to {}", target.display()), copied)?;
    let report = tsdb::verify::verify(&StdFs, target, &mut |_| {})?;
    for finding in &report.findings {
        say(&finding.to_string())?;
    }
    Ok(if report.is_damaged() { ExitCode::from(DAMAGED) } else { ExitCode::SUCCESS })
}

/// Whether the text is a file name and stays one.
fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    !name.is_empty() && !name.starts_with('.') && name.chars().all(plain)
}

fn tell(what: &str, copied: Copied) -> std::io::Result<()> {
    let Copied { blocks, known_blocks, bytes } = copied;
    say(&format!("{what}: {blocks} blocks and {bytes} bytes copied, {known_blocks} blocks known"))
}

#[cfg(test)]
mod tests {
    use super::is_name;

    #[test]
    fn a_name_is_never_a_path() {
        for bad in ["", ".", "..", "a/b", "../x", ".hidden", "a b", "ä"] {
            assert!(!is_name(bad), "{bad:?}");
        }
        assert!(is_name("20261121T151245Z") && is_name("before.upgrade-1_2"));
    }
}
