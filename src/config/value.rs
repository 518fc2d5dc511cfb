//! The types of settings: how each is written, read and bounded.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;

use tsdb::wal::WalMode;

/// A type that a setting can have. [`Value::print`] writes what [`Value::parse`] reads.
pub(crate) trait Value: Sized {
    /// What the value is, for the documentation.
    const UNIT: &'static str;
    /// Whether a flag may stand without a value.
    const SWITCH: bool = false;
    /// Whether several values are one list.
    const LIST: bool = false;

    /// Reads a value.
    fn parse(text: &str) -> Result<Self, String>;

    /// Writes the value.
    fn print(&self) -> String;

    /// The number that bounds apply to.
    fn magnitude(&self) -> u64 {
        0
    }
}

/// A length of time in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Millis(pub(crate) u64);

impl Millis {
    /// As the standard library has it.
    pub(crate) const fn duration(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.0)
    }

    /// As times are stored.
    pub(crate) fn as_i64(self) -> i64 {
        i64::try_from(self.0).unwrap_or(i64::MAX)
    }
}

impl Value for Millis {
    const UNIT: &'static str = "duration";

    fn parse(text: &str) -> Result<Self, String> {
        let ms = promql::parse_duration(text).map_err(|e| e.to_string())?;
        Ok(Self(u64::try_from(ms).map_err(|_| format!("{text} is negative"))?))
    }

    fn print(&self) -> String {
        promql::format_duration(self.as_i64())
    }

    fn magnitude(&self) -> u64 {
        self.0
    }
}

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ByteSize(pub(crate) u64);

/// Suffixes of sizes. Decimal names are binary too, as in Prometheus's flags.
const SIZE_UNITS: [(&str, u64); 20] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("PiB", 1 << 50),
    ("EiB", 1 << 60),
    ("KB", 1 << 10),
    ("MB", 1 << 20),
    ("GB", 1 << 30),
    ("TB", 1 << 40),
    ("PB", 1 << 50),
    ("EB", 1 << 60),
    ("K", 1 << 10),
    ("M", 1 << 20),
    ("G", 1 << 30),
    ("T", 1 << 40),
    ("P", 1 << 50),
    ("E", 1 << 60),
    ("B", 1),
    ("", 1),
];

impl ByteSize {
    /// As lengths in memory.
    pub(crate) fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl Value for ByteSize {
    const UNIT: &'static str = "bytes";

    fn parse(text: &str) -> Result<Self, String> {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, suffix) = text.split_at(digits);
        let unit = SIZE_UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(suffix.trim()));
        let bytes =
            number.parse::<u64>().ok().zip(unit).and_then(|(n, (_, unit))| n.checked_mul(*unit));
        bytes.map(Self).ok_or_else(|| format!("{text:?} is not a size such as 32MiB"))
    }

    fn print(&self) -> String {
        let unit =
            SIZE_UNITS[..6].iter().rev().find(|(_, u)| self.0 >= *u && self.0.is_multiple_of(*u));
        match unit {
            Some((name, unit)) => format!("{}{name}", self.0 / unit),
            None => self.0.to_string(),
        }
    }

    fn magnitude(&self) -> u64 {
        self.0
    }
}

/// A memory budget: absolute, or a share of what there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MemoryLimit {
    /// Per cent of the memory of the cgroup or host.
    Percent(u64),
    /// Bytes.
    Bytes(u64),
}

/// Smallest budget with which the server can work.
const MIN_MEMORY: u64 = 64 << 20;

impl MemoryLimit {
    /// The budget in bytes, where `available` bytes are there.
    pub(crate) fn bytes(self, available: u64) -> u64 {
        match self {
            Self::Percent(p) => (available / 100).saturating_mul(p).max(MIN_MEMORY),
            Self::Bytes(n) => n,
        }
    }
}

impl Value for MemoryLimit {
    const UNIT: &'static str = "bytes or %";

    fn parse(text: &str) -> Result<Self, String> {
        if let Some(share) = text.strip_suffix('%') {
            let percent = share.parse().ok().filter(|p| (1..=100).contains(p));
            return percent.map(Self::Percent).ok_or_else(|| format!("{text} is not 1% to 100%"));
        }
        match ByteSize::parse(text)?.0 {
            n if n < MIN_MEMORY => Err(format!(
                "{text} is below the smallest budget of {}",
                ByteSize(MIN_MEMORY).print()
            )),
            n => Ok(Self::Bytes(n)),
        }
    }

    fn print(&self) -> String {
        match self {
            Self::Percent(p) => format!("{p}%"),
            Self::Bytes(n) => ByteSize(*n).print(),
        }
    }
}

/// Socket addresses; a missing host is every address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Addresses(pub(crate) Vec<SocketAddr>);

impl Value for Addresses {
    const UNIT: &'static str = "host:port";
    const LIST: bool = true;

    fn parse(text: &str) -> Result<Self, String> {
        let parse = |part: &str| {
            let part = part.trim().replace("localhost:", "127.0.0.1:");
            let full = if part.starts_with(':') { format!("0.0.0.0{part}") } else { part.clone() };
            full.parse().map_err(|_| format!("{part:?} is not an address such as 127.0.0.1:8086"))
        };
        Ok(Self(text.split(',').map(parse).collect::<Result<_, _>>()?))
    }

    fn print(&self) -> String {
        self.0.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    }
}

/// Features that change something when they are enabled, by Prometheus's names.
const FEATURES: [&str; 7] = [
    "promql-experimental-functions",
    "promql-extended-range-selectors",
    "promql-binop-fill-modifiers",
    "promql-delayed-name-removal",
    "promql-per-step-stats",
    "type-and-unit-labels",
    "use-start-timestamps",
];

/// Features of Prometheus that are always on here.
const ALWAYS_ON: [&str; 2] = ["promql-duration-expr", "native-histograms"];

/// Features of Prometheus that mean nothing here, or not yet.
const WITHOUT_EFFECT: [&str; 18] = [
    "exemplar-storage",
    "created-timestamp-zero-ingestion",
    "st-storage",
    "st-synthesis",
    "metadata-wal-records",
    "delayed-compaction",
    "concurrent-rule-eval",
    "memory-snapshot-on-shutdown",
    "extra-scrape-metrics",
    "old-ui",
    "otlp-deltatocumulative",
    "otlp-native-delta-ingestion",
    "use-uncached-io",
    "xor2-encoding",
    "histograms-st-encoding",
    "auto-reload-config",
    "search-api",
    "agent",
];

/// Names of enabled features. Any name is taken, as Prometheus does, and [`Features::remarks`] says
/// which do nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Features(pub(crate) BTreeSet<String>);

impl Features {
    /// Whether a feature is enabled.
    pub(crate) fn has(&self, name: &str) -> bool {
        debug_assert!(FEATURES.contains(&name), "{name} is in the table");
        self.0.contains(name)
    }

    /// What an operator should know about the names that were given.
    pub(crate) fn remarks(&self) -> Vec<String> {
        let among = |list: &[&str], name: &String| list.contains(&name.as_str());
        let remark = |name: &String| {
            if among(&FEATURES, name) || among(&ALWAYS_ON, name) {
                None
            } else if among(&WITHOUT_EFFECT, name) {
                Some(format!("feature {name} has no effect here"))
            } else {
                Some(format!("unknown feature {name:?}; known are {}", FEATURES.join(", ")))
            }
        };
        self.0.iter().filter_map(remark).collect()
    }
}

impl Value for Features {
    const UNIT: &'static str = "list";
    const LIST: bool = true;

    fn parse(text: &str) -> Result<Self, String> {
        let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
        Ok(Self(names.map(str::to_owned).collect()))
    }

    fn print(&self) -> String {
        self.0.iter().map(String::as_str).collect::<Vec<_>>().join(",")
    }
}

impl Value for PathBuf {
    const UNIT: &'static str = "path";

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() { Err("must not be empty".to_owned()) } else { Ok(text.into()) }
    }

    fn print(&self) -> String {
        self.display().to_string()
    }
}

impl Value for String {
    const UNIT: &'static str = "text";

    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }

    fn print(&self) -> String {
        self.clone()
    }
}

impl Value for u64 {
    const UNIT: &'static str = "number";

    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| format!("{text:?} is not a whole number"))
    }

    fn print(&self) -> String {
        self.to_string()
    }

    fn magnitude(&self) -> u64 {
        *self
    }
}

impl Value for bool {
    const UNIT: &'static str = "true or false";
    const SWITCH: bool = true;

    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| format!("{text:?} is neither true nor false"))
    }

    fn print(&self) -> String {
        self.to_string()
    }
}

/// A setting with a few named values.
trait Choice: Copy + PartialEq + 'static {
    const NAMES: &'static [(&'static str, Self)];

    fn choose(text: &str) -> Result<Self, String> {
        let found = Self::NAMES.iter().find(|(name, _)| *name == text);
        found.map(|(_, value)| *value).ok_or_else(|| {
            let names: Vec<_> = Self::NAMES.iter().map(|(name, _)| *name).collect();
            format!("{text:?} is none of {}", names.join(", "))
        })
    }

    fn name(self) -> &'static str {
        let found = Self::NAMES.iter().find(|(_, value)| *value == self);
        found.map(|(name, _)| *name).expect("every variant is in the table")
    }
}

macro_rules! choice {
    ($type:ty, $unit:literal, $($name:literal => $value:path),+) => {
        impl Choice for $type {
            const NAMES: &'static [(&'static str, Self)] = &[$(($name, $value)),+];
        }

        impl Value for $type {
            const UNIT: &'static str = $unit;

            fn parse(text: &str) -> Result<Self, String> {
                Self::choose(text)
            }

            fn print(&self) -> String {
                self.name().to_owned()
            }
        }
    };
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// `key=value` pairs.
    Logfmt,
    /// One JSON object a line.
    Json,
}

/// The least severe lines to log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogLevel {
    /// An operator must act.
    Error,
    /// Something recovered.
    Warn,
    /// Life cycle.
    Info,
    /// Everything.
    Debug,
}

choice!(LogFormat, "", "logfmt" => LogFormat::Logfmt, "json" => LogFormat::Json);
choice!(LogLevel, "", "error" => LogLevel::Error, "warn" => LogLevel::Warn,
    "info" => LogLevel::Info, "debug" => LogLevel::Debug);
choice!(WalMode, "", "every-write" => WalMode::EveryWrite, "periodic" => WalMode::Periodic,
    "os-default" => WalMode::OsDefault, "none" => WalMode::None);
