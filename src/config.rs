//! Every setting once: name, type, default, bounds and help. Flags, environment variables, the
//! YAML file and `config/silverback.yml` are all made from this one table.
//!
//! A flag beats an environment variable (`SILVERBACK_` and the name in capitals), which beats the
//! file (`--config`), which beats the default. Names that Prometheus uses for the same thing are
//! accepted as flags beside ours.

mod load;
mod value;

use std::path::PathBuf;

use tsdb::wal::WalMode;

use crate::retention_rules::RetentionRules;

pub(crate) use load::{ConfigError, Invocation};
pub(crate) use value::{
    Addresses, ByteSize, Features, LogFormat, LogLevel, MemoryLimit, Millis, Value,
};

/// One setting, without its type.
pub(crate) struct Key {
    /// The field name; [`Key::name`] is what users write.
    field: &'static str,
    help: &'static [&'static str],
    /// The default as users write it.
    pub(crate) default: &'static str,
    /// Other names of the flag, Prometheus's.
    pub(crate) aliases: &'static [&'static str],
    /// Whether a reload changes it; others wait for a restart.
    pub(crate) live: bool,
    /// Whether the flag may stand without a value, and whether it may be repeated.
    pub(crate) is_switch: bool,
    /// Whether several values are one list.
    pub(crate) is_list: bool,
    /// What kind of value it takes, for the help text.
    pub(crate) unit: &'static str,
    set: fn(&mut Config, &str) -> Result<(), String>,
    get: fn(&Config) -> String,
}

impl Key {
    /// The name in flags and in the file.
    pub(crate) fn name(&self) -> String {
        self.field.replace('_', "-")
    }

    /// The environment variable.
    pub(crate) fn variable(&self) -> String {
        format!("SILVERBACK_{}", self.field.to_uppercase())
    }

    /// The help text as one line.
    pub(crate) fn help(&self) -> String {
        self.help.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
    }

    /// Parses `text` into `config`.
    pub(crate) fn set(&self, config: &mut Config, text: &str) -> Result<(), String> {
        (self.set)(config, text.trim()).map_err(|why| format!("{}: {why}", self.name()))
    }

    /// The value in `config` as text that [`Key::set`] reads.
    pub(crate) fn get(&self, config: &Config) -> String {
        (self.get)(config)
    }
}

/// `value`, if it is between two others, which are written as users would.
fn in_bounds<T: Value>(value: T, min: &str, max: &str) -> Result<T, String> {
    let bound = |text| T::parse(text).map(|bound| bound.magnitude());
    if value.magnitude() < bound(min)? {
        return Err(format!("{} is below the smallest allowed value {min}", value.print()));
    }
    if value.magnitude() > bound(max)? {
        return Err(format!("{} is above the largest allowed value {max}", value.print()));
    }
    Ok(value)
}

macro_rules! is_live {
    () => {
        false
    };
    (live) => {
        true
    };
}

macro_rules! keys {
    ($(
        $(#[doc = $help:literal])+
        $field:ident: $type:ty = $default:literal
        $(in $min:literal ..= $max:literal)? $([$($alias:literal)+])? $({$live:ident})?;
    )+) => {
        /// The settings of a process.
        #[derive(Debug, Clone, PartialEq)]
        pub(crate) struct Config {
            $($(#[doc = $help])+ pub(crate) $field: $type,)+
        }

        impl Default for Config {
            fn default() -> Self {
                Self {
                    $($field: <$type as Value>::parse($default)
                        .expect(concat!("the default of ", stringify!($field), " is tested")),)+
                }
            }
        }

        /// All settings, in the order of the documentation.
        pub(crate) static KEYS: &[Key] = &[$(Key {
            field: stringify!($field),
            help: &[$($help),+],
            default: $default,
            aliases: &[$($($alias),+)?],
            live: is_live!($($live)?),
            is_switch: <$type as Value>::SWITCH,
            is_list: <$type as Value>::LIST,
            unit: <$type as Value>::UNIT,
            set: |config, text| {
                let value = <$type as Value>::parse(text)?;
                $(let value = in_bounds(value, $min, $max)?;)?
                config.$field = value;
                Ok(())
            },
            get: |config| config.$field.print(),
        },)+];
    };
}

keys! {
    /// Addresses to listen on, comma separated. Anything but loopback is open to whoever can reach
    /// it: nothing authenticates.
    bind: Addresses = "127.0.0.1:8086" ["web.listen-address"];
    /// Directory of the database; made with mode 0700.
    data_dir: PathBuf = "./data" ["storage.tsdb.path"];
    /// When a write is acknowledged: every-write (after fdatasync, shared by writes that wait
    /// together), periodic (synced every wal-sync-interval), os-default, or none (no log at all).
    wal_mode: WalMode = "every-write";
    /// Time between syncs of the log in mode periodic.
    wal_sync_interval: Millis = "100ms" in "1ms"..="1m";
    /// Bytes of the log of a database: at this length everything in memory is flushed to blocks; where that
    /// does not help, writes get a 503 at half as much again. 0 is 8 GiB, at most a tenth of the disk.
    max_wal_bytes: ByteSize = "0";
    /// Memory budget of the process: bytes, or a share of what the cgroup or host has.
    memory_limit: MemoryLimit = "60%";
    /// Samples older than this are refused and deleted; 0 keeps everything.
    retention: Millis = "0s" ["storage.tsdb.retention.time"] {live};
    /// Bytes that blocks and logs under data-dir may take, those of all tenants together; the oldest
    /// blocks are deleted until the rest fits. 0 is no limit.
    retention_size: ByteSize = "0" ["storage.tsdb.retention.size"] {live};
    /// Per cent of the disk that blocks and logs under data-dir may take; the oldest blocks are deleted
    /// until the rest fits. 0 is no limit.
    retention_disk_percent: u64 = "0" in "0"..="95" {live};
    /// How long series of some names are kept, such as up=1d; node_*{job="x"}=30d; *=1y: an exact name
    /// before the longest prefix before *. Older samples are deleted by the hour.
    retention_rules: RetentionRules = "" {live};
    /// Bytes of the disk that stay free: with less, writes get a 503 until there is more. 0 is 2 %, at
    /// least 256 MiB or 10 %.
    min_free_disk: ByteSize = "0" {live};
    /// Age at which compaction compresses a block a second time, with zstd: a few per cent smaller, and slower
    /// to read. 0 is never.
    cold_after: Millis = "0s" {live};
    /// Time in which every block is read again to find what the disk lost; 0 never.
    scrub_period: Millis = "1w" {live};
    /// Bytes per second that this reading may take.
    scrub_rate: ByteSize = "5MiB" in "1KiB"..="1TiB" {live};
    /// Samples further in the future than this are refused.
    max_future: Millis = "10m" in "0s"..="10y" {live};
    /// Time after which late samples, older than their series' newest, go from memory to a block at
    /// the latest.
    max_late_age: Millis = "1h" in "10ms"..="1w";
    /// Active series in the process; more are refused, known ones continue.
    max_series: u64 = "5000000" in "1"..="1000000000";
    /// With tenants, active series of one; more are refused, known ones continue.
    max_series_per_tenant: u64 = "1000000" in "1"..="1000000000";
    /// New series per second in the process, after new-series-burst of them: others wait (503, or 429 on the
    /// doors of Influx 2 and 3), known ones continue. 0 is no limit; 50000 is a start.
    new_series_rate: u64 = "0" in "0"..="1000000000" {live};
    /// New series that may come at once after a pause; 0 is ten seconds of new-series-rate.
    new_series_burst: u64 = "0" in "0"..="1000000000" {live};
    /// Samples per second that a tenant may write, after sample-burst of them: other requests wait (503, or
    /// 429 on the doors of Influx 2 and 3). 0 is no limit; 100000 is a start.
    sample_rate: u64 = "0" in "0"..="1000000000000" {live};
    /// Samples that a tenant may write at once after a pause; 0 is ten seconds of sample-rate.
    sample_burst: u64 = "0" in "0"..="1000000000000" {live};
    /// Serve several tenants, told apart by the header X-Scope-OrgID, each with a database of its
    /// own under data-dir/tenants.
    tenants: bool = "false";
    /// Time between looks whether there is something to flush, to compact or to delete.
    maintenance_interval: Millis = "5s" in "10ms"..="10m" {live};
    /// Time that running requests get when the server stops, and that the stop may take.
    shutdown_grace: Millis = "30s" in "0s"..="10m";

    /// Connections in all; further ones wait in the accept queue.
    max_connections: u64 = "512" in "1"..="1000000" ["web.max-connections"];
    /// Connections from one source address; further ones are closed.
    max_connections_per_address: u64 = "128" in "1"..="1000000";
    /// Time for the first byte of a new connection.
    first_byte_timeout: Millis = "10s" in "1ms"..="1h";
    /// Time for the header block of a request, from its first byte.
    header_timeout: Millis = "10s" in "1ms"..="1h";
    /// Time that a connection may stay open between requests.
    idle_timeout: Millis = "60s" in "1ms"..="1d";
    /// Time that a request body gets before body-min-rate applies.
    body_grace: Millis = "30s" in "1ms"..="1h";
    /// Bytes per second that a request body must keep up with after body-grace.
    body_min_rate: ByteSize = "64KiB" in "1"..="1GiB";
    /// Time without progress after which a client that does not read its answer is cut off.
    write_stall_timeout: Millis = "30s" in "1ms"..="1h";
    /// Bytes of a header block.
    max_header_bytes: ByteSize = "32KiB" in "8KiB"..="1MiB";
    /// Headers of a request.
    max_headers: u64 = "64" in "1"..="1000";
    /// Bytes of a request URI.
    max_uri_bytes: ByteSize = "16KiB" in "256"..="65534";
    /// Concurrent streams of an HTTP/2 connection.
    http2_streams: u64 = "128" in "1"..="10000";
    /// Time between pings on an HTTP/2 connection; a peer that does not answer is cut off.
    http2_ping_interval: Millis = "20s" in "1s"..="1h";

    /// Bytes of a remote write body as sent.
    write_body_limit: ByteSize = "32MiB" in "1KiB"..="1GiB" {live};
    /// Bytes of a remote write body decompressed.
    write_decoded_limit: ByteSize = "32MiB" in "1KiB"..="1GiB" {live};
    /// Bytes of a line protocol body, as sent and decompressed.
    line_body_limit: ByteSize = "64MiB" in "1KiB"..="1GiB" {live};
    /// Bytes of one line of line protocol.
    max_line_bytes: ByteSize = "256KiB" in "64"..="64MiB" {live};
    /// Bytes of a form body on the query routes.
    form_body_limit: ByteSize = "10MiB" in "1KiB"..="1GiB" {live};
    /// Series in one write request.
    max_request_series: u64 = "100000" in "1"..="100000000" {live};
    /// Samples in one write request.
    max_request_samples: u64 = "1000000" in "1"..="1000000000" {live};
    /// Labels of a series, the metric name included.
    max_labels: u64 = "64" in "1"..="10000" {live};
    /// Bytes of a label name.
    max_label_name_bytes: ByteSize = "1KiB" in "1"..="1MiB" {live};
    /// Bytes of a label value.
    max_label_value_bytes: ByteSize = "4KiB" in "1"..="1MiB" {live};
    /// Bytes of all names and values of a series.
    max_label_set_bytes: ByteSize = "16KiB" in "1"..="16MiB" {live};
    /// Writes that run at one time; 0 is twice the number of processors.
    write_concurrency: u64 = "0" in "0"..="1024";
    /// Time that a write waits for its turn.
    write_queue_wait: Millis = "10s" in "1ms"..="10m";
    /// Bytes of bodies that wait for their turn.
    write_queue_bytes: ByteSize = "256MiB" in "1MiB"..="1TiB";
    /// The label that holds the database or bucket of a line; empty for none.
    influx_db_label: String = "db" {live};

    /// Queries that run at one time; 0 is twice the number of processors, at least 4, at most 20.
    query_concurrency: u64 = "0" in "0"..="1024" ["query.max-concurrency"];
    /// Time that a query waits for its turn.
    query_queue_wait: Millis = "10s" in "1ms"..="10m";
    /// Longest time of a query; a request may only ask for less.
    query_timeout: Millis = "2m" in "1ms"..="1d" ["query.timeout"] {live};
    /// Longest time of a request for labels, series or metadata.
    metadata_timeout: Millis = "10s" in "1ms"..="1d" {live};
    /// Samples that a query may hold in memory at one time.
    query_max_samples: u64 = "50000000" in "1"..="1000000000000" ["query.max-samples"] {live};
    /// Series that a query may select.
    query_max_series: u64 = "500000" in "1"..="1000000000" {live};
    /// Series that one delete may touch.
    max_delete_series: u64 = "1000000" in "1"..="1000000000" {live};
    /// Samples that a query may read by estimate; more is refused before anything is read.
    query_max_read_samples: u64 = "20000000000" in "1"..="1000000000000000" {live};
    /// Encoded bytes that a query may read by estimate; more is refused before anything is read.
    query_max_read_bytes: ByteSize = "64GiB" in "1KiB"..="1PiB" {live};
    /// Bytes that a query may hold.
    query_max_bytes: ByteSize = "1GiB" in "1MiB"..="1TiB" {live};
    /// Per cent of memory-limit that all queries together may hold; others get a 503.
    query_memory_percent: u64 = "25" in "1"..="100" {live};
    /// Bytes of an answer.
    query_max_response_bytes: ByteSize = "256MiB" in "64KiB"..="1TiB" {live};
    /// How far back an instant selector looks for a sample.
    lookback_delta: Millis = "5m" in "1ms"..="10y" ["query.lookback-delta"] {live};
    /// Step of a subquery that names none.
    evaluation_interval: Millis = "1m" in "1ms"..="10y" {live};

    /// Features to enable, comma separated, by their Prometheus names.
    enable_feature: Features = "" ["enable-feature"];
    /// Serve /-/reload and /-/quit.
    enable_lifecycle: bool = "false" ["web.enable-lifecycle"];
    /// Serve the routes under /api/v1/admin.
    enable_admin_api: bool = "false" ["web.enable-admin-api"];
    /// Take remote write at /api/v1/write.
    enable_remote_write: bool = "true" ["web.enable-remote-write-receiver"];
    /// Origins whose pages may read answers, an anchored regular expression; empty for none.
    cors_origin: String = "" ["web.cors.origin"];
    /// Least severe log lines to print: error, warn, info, debug.
    log_level: LogLevel = "info" ["log.level"];
    /// Form of log lines: logfmt or json.
    log_format: LogFormat = "logfmt" ["log.format"];
}

/// The oldest time of a sample, ms: what 64 bits of nanoseconds reach, the year 1677. Line protocol
/// cannot say an older one.
pub(crate) const OLDEST_MS: i64 = i64::MIN.div_euclid(1_000_000);

impl Config {
    /// Permits of the write pool.
    pub(crate) fn write_permits(&self) -> usize {
        match self.write_concurrency {
            0 => 2 * processors(),
            n => usize::try_from(n).unwrap_or(usize::MAX),
        }
    }

    /// Permits of the query pool.
    pub(crate) fn query_permits(&self) -> usize {
        match self.query_concurrency {
            0 => (2 * processors()).clamp(4, 20),
            n => usize::try_from(n).unwrap_or(usize::MAX),
        }
    }

    /// Oldest time (ms) that is kept, given the time now.
    pub(crate) fn oldest_ms(&self, now_ms: i64) -> i64 {
        match self.retention.0 {
            0 => OLDEST_MS,
            ms => now_ms.saturating_sub(i64::try_from(ms).unwrap_or(i64::MAX)).max(OLDEST_MS),
        }
    }

    /// Blocks that end before this time (ms) are compressed a second time, given the time now.
    pub(crate) fn cold_before_ms(&self, now_ms: i64) -> i64 {
        match self.cold_after.as_i64() {
            0 => i64::MIN,
            ms => now_ms.saturating_sub(ms),
        }
    }

    /// Longest block (ms) that compaction makes, as Prometheus chooses it: a tenth of the retention, so
    /// that deleting whole blocks keeps little longer than asked for, and 31 days at most.
    pub(crate) fn max_block_range_ms(&self) -> i64 {
        const MAX: i64 = 31 * 24 * 60 * 60 * 1000;
        match self.retention.as_i64() {
            0 => MAX,
            ms => (ms / 10).min(MAX),
        }
    }

    /// The effective settings as a YAML document; nothing in it is secret so far.
    pub(crate) fn yaml(&self) -> String {
        let mut out = String::new();
        for key in KEYS {
            out.push_str(&key.name());
            out.push_str(": ");
            out.push_str(&yaml_scalar(&key.get(self)));
            out.push('\n');
        }
        out
    }
}

/// Processors that the process may use.
pub(crate) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// `text` as a YAML scalar: quoted where a plain one would mean something else.
fn yaml_scalar(text: &str) -> String {
    let plain = !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._/:-".contains(&b))
        && !text.ends_with(':');
    if plain { text.to_owned() } else { format!("\"{}\"", text.escape_default()) }
}

/// The documented file with every key at its default (`config/silverback.yml`).
#[cfg(test)]
fn documented() -> String {
    use std::fmt::Write as _;
    let mut out = String::from(
        "# Every setting of silverback with its default. Each is also a flag (--name value) and an\n\
         # environment variable (SILVERBACK_NAME); a flag beats a variable, a variable beats this\n\
         # file. [live] ones follow a reload (SIGHUP or POST /-/reload), others wait for a restart.\n",
    );
    for key in KEYS {
        out.push('\n');
        let live = if key.live { " [live]" } else { "" };
        let unit = if key.unit.is_empty() { String::new() } else { format!(" ({})", key.unit) };
        let mut line = String::from("#");
        for word in format!("{}{unit}{live}", key.help()).split(' ') {
            if line.len() + word.len() >= 99 {
                out.push_str(&line);
                out.push('\n');
                line = String::from("#");
            }
            line.push(' ');
            line.push_str(word);
        }
        let _ = writeln!(out, "{line}\n{}: {}", key.name(), yaml_scalar(key.default));
    }
    out
}

#[cfg(test)]
mod tests;
