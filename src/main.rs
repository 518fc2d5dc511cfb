//! The server: `silverback` alone serves with embedded storage in `./data`.

mod allocator;
mod app;
mod blocking;
mod cli;
mod config;
mod executor;
mod http;
mod ingest;
mod maintenance;
mod rates;
mod retention_rules;
mod server;
mod telemetry;
mod tenants;
mod text;

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use model::Accountant;
use tokio::signal::unix::{SignalKind, signal};

use app::App;
use config::{Config, Invocation};
use maintenance::Maintenance;
use tenants::{Opener, Tenants};

/// A wrong setting.
const BAD_CONFIG: u8 = 2;
/// Threads of the pools stay: where the system has none left, what needs one waits for one that is
/// there, and the runtime panics where there is none.
const KEEP_THREADS: Duration = Duration::from_hours(10 * 365 * 24);

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().collect();
    if let Some(code) = cli::run(&args) {
        return code;
    }
    let invocation = Invocation::from_args(args, |name| std::env::var(name).ok());
    let invocation = match invocation {
        Ok(invocation) => invocation,
        Err(error) if !error.use_stderr() => {
            // Help and version; nobody to tell when standard output is closed.
            let _ = write!(std::io::stdout(), "{error}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default();
            return fail(line.strip_prefix("error: ").unwrap_or(line), BAD_CONFIG);
        }
    };
    let config = match invocation.load() {
        Ok(config) => config,
        Err(error) => return fail(&error.to_string(), BAD_CONFIG),
    };
    telemetry::start_logging(config.log_level, config.log_format);
    std::panic::set_hook(Box::new(|info| tracing::error!(panic = %info, "panic")));
    #[cfg(feature = "sabotage")]
    sabotage();
    for remark in config.enable_feature.remarks() {
        tracing::warn!(remark, "enable-feature");
    }
    match run(config, invocation) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&in_words(&error), 1),
    }
}

/// Breaks storage in the way that `SILVERBACK_SABOTAGE` names.
#[cfg(feature = "sabotage")]
fn sabotage() {
    let name = std::env::var("SILVERBACK_SABOTAGE").unwrap_or_default();
    let sabotage = tsdb::sabotage::Sabotage::from_name(&name);
    tracing::error!(?sabotage, "this build breaks storage on purpose");
    tsdb::sabotage::choose(sabotage);
}

/// Says why in one line and gives the exit code.
fn fail(why: &str, code: u8) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "silverback: {}", why.replace('\n', " "));
    ExitCode::from(code)
}

fn run(config: Config, invocation: Invocation) -> anyhow::Result<()> {
    let limit = config.memory_limit.bytes(telemetry::available_memory());
    allocator::tune(limit);
    let memory = Accountant::new(limit);
    let threads = config.write_permits() + config.query_permits();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config::processors())
        // Beside the two pools: opening, reloading, compressing.
        .max_blocking_threads(threads + 8)
        .thread_keep_alive(KEEP_THREADS)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let app = App::new(config, invocation, memory);
    let result = runtime.block_on(serve(app.clone()));
    // Calls that are still running were given their time; a thread must not hold up the end.
    runtime.shutdown_background();
    close(&app);
    result
}

async fn serve(app: Arc<App>) -> anyhow::Result<()> {
    let config = app.config();
    let mut hangup = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let listeners = server::listen(&config.bind.0).await?;
    let stop = app.stopping();
    let serving = tokio::spawn(server::serve(app.clone(), listeners, stop.clone()));
    let opening = tokio::task::spawn_blocking({
        let app = app.clone();
        move || open(&app)
    });
    let reloading = app.clone();
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            let app = reloading.clone();
            let _ = tokio::task::spawn_blocking(move || app.reload()).await;
        }
    });
    let stopping = app.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        stopping.stop();
    });
    let mut opening = opening;
    let mut stopped = app.stopping();
    let opened = tokio::select! {
        opened = &mut opening => opened.context("opening the database panicked")?,
        // Whoever stops a server that replays a long log does not wait for the end of it: the next
        // start begins again, as it would after a crash.
        _ = stopped.wait_for(|stopped| *stopped) => {
            return serving.await.context("serving panicked");
        }
    };
    let maintenance = match opened {
        Ok(maintenance) => maintenance,
        Err(error) => {
            app.stop();
            return Err(error);
        }
    };
    serving.await.context("serving panicked")?;
    tokio::task::spawn_blocking(move || maintenance.stop()).await.context("maintenance panicked")
}

/// Opens the databases and starts their upkeep.
fn open(app: &Arc<App>) -> anyhow::Result<Maintenance> {
    let config = app.config();
    check_directory(&config.data_dir)?;
    let fs = Arc::new(tsdb::fs::std::StdFs);
    let opener = Opener::new(fs, &config, app.memory.clone(), app.new_series.clone());
    let tenants = Tenants::open(opener, config.tenants, &mut |rows| app.set_replayed(rows))?;
    app.ready(tenants);
    tracing::info!(data_dir = %config.data_dir.display(), memory_limit = app.memory.limit(), "ready");
    Maintenance::start(app).context("cannot start maintenance")
}

/// The error and its causes, each said once: those of storage say theirs themselves.
fn in_words(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |text, cause| match cause.to_string() {
        cause if text.contains(&cause) => text,
        cause if text.is_empty() => cause,
        cause => format!("{text}: {cause}"),
    })
}

/// Others must not be able to change the data (reliability contract S14).
fn check_directory(dir: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(metadata) = std::fs::metadata(dir) else { return Ok(()) };
    let mode = metadata.mode() & 0o7777;
    anyhow::ensure!(
        mode & 0o022 == 0,
        "{} is writable by others (mode {mode:o}); run chmod go-w on it",
        dir.display()
    );
    Ok(())
}

fn close(app: &App) {
    let Some(tenants) = app.tenants() else { return };
    for (tenant, db) in tenants.all() {
        match db.close() {
            Ok(()) => tracing::info!(tenant, "closed"),
            Err(error) => tracing::error!(tenant, %error, "close failed, the log keeps the data"),
        }
    }
}
