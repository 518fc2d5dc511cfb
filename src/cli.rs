//! The tools: sub-commands that work on directories and end.
//!
//! Exit codes: 0 done and sound, 1 damage was found, 2 a wrong command line, 3 it could not be done.

mod backup;
mod retention_plan;
mod tsdb_check;

use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

const DAMAGED: u8 = 1;
const USAGE: u8 = 2;
const FAILED: u8 = 3;

/// A metrics backend; without a sub-command it serves.
#[derive(Debug, Parser)]
#[command(name = "silverback", version)]
struct Tools {
    #[command(subcommand)]
    tool: Tool,
}

#[derive(Debug, Subcommand)]
enum Tool {
    /// Works on data directories that no server has open.
    #[command(subcommand)]
    Tsdb(Tsdb),
    /// Copies a data directory or a snapshot into a backup directory; blocks that it has are not copied.
    Backup {
        /// The data directory of a stopped server, or `snapshots/NAME` of a running one.
        source: PathBuf,
        /// The backup directory.
        to: PathBuf,
        /// What the backup is called.
        #[arg(long, default_value_t = backup::name())]
        name: String,
    },
    /// Makes a data directory of a backup and checks it.
    Restore {
        /// The backup directory.
        from: PathBuf,
        /// The directory to make.
        target: PathBuf,
        /// Which backup; the last one by name where none is given.
        #[arg(long)]
        name: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
enum Tsdb {
    /// Reads every checksum and prints what is damaged; changes nothing.
    Verify {
        /// The data directories.
        #[arg(required = true)]
        dirs: Vec<PathBuf>,
    },
    /// Prints what retention by time and by rules would delete, and when; deletes nothing.
    RetentionPlan {
        /// The data directory.
        dir: PathBuf,
        /// The server's file of settings.
        #[arg(long)]
        config: Option<PathBuf>,
    },
    /// Moves what is damaged to quarantine/ and rebuilds what can be rebuilt; deletes nothing.
    Repair {
        /// The data directory.
        dir: PathBuf,
    },
}

/// Runs the sub-command that `args` (program name first) begin with; `None` where they begin with none.
pub(crate) fn run(args: &[OsString]) -> Option<ExitCode> {
    let first = args.get(1)?.to_str()?;
    if !["tsdb", "backup", "restore"].contains(&first) {
        return None;
    }
    let tools = match Tools::try_parse_from(args) {
        Ok(tools) => tools,
        Err(error) => {
            // Nobody to tell when the stream is closed.
            let _ = error.print();
            return Some(if error.use_stderr() {
                ExitCode::from(USAGE)
            } else {
                ExitCode::SUCCESS
            });
        }
    };
    let done = match tools.tool {
        Tool::Tsdb(Tsdb::Verify { dirs }) => tsdb_check::verify(&dirs),
        Tool::Tsdb(Tsdb::RetentionPlan { dir, config }) => {
            retention_plan::plan(&dir, config.as_deref())
        }
        Tool::Tsdb(Tsdb::Repair { dir }) => tsdb_check::repair(&dir),
        Tool::Backup { source, to, name } => backup::backup(&source, &to, &name),
        Tool::Restore { from, target, name } => backup::restore(&from, &target, name),
    };
    Some(done.unwrap_or_else(|error| {
        let _ = writeln!(std::io::stderr(), "silverback: {error:#}");
        ExitCode::from(FAILED)
    }))
}

/// Prints a line of the answer.
///
/// # Errors
/// Standard output is closed.
fn say(line: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{line}")
}
