//! Every kind of file of a server's directory is damaged in turn (reliability contract F15, P5 to
//! P7): the server starts, or ends with 1 and one line that names the file; no answer has a value
//! that nobody wrote, and nothing panics.
//!
//! `COMPAT_DAMAGES` sets how often each damage is done to each kind of file (1).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use compat_tests::oracle::{Audit, Door, Signals, Writer};
use compat_tests::report::{Failures, Table, say};
use compat_tests::rng::{Rng, now_ms, seed};
use compat_tests::server::{Server, binary};

/// What is done to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Damage {
    Flips,
    ZeroPage,
    Empty,
    OneByte,
    HalfAHeader,
    Half,
    LastByteGone,
    Garbage,
    Gone,
}

const DAMAGES: [Damage; 9] = [
    Damage::Flips,
    Damage::ZeroPage,
    Damage::Empty,
    Damage::OneByte,
    Damage::HalfAHeader,
    Damage::Half,
    Damage::LastByteGone,
    Damage::Garbage,
    Damage::Gone,
];

impl Damage {
    fn inflict(self, path: &Path, rng: &mut Rng) {
        if self == Self::Gone {
            return std::fs::remove_file(path).expect("the file is there");
        }
        let mut bytes = std::fs::read(path).expect("the file can be read");
        let length = bytes.len();
        let mut place = || usize::try_from(rng.below(length as u64)).expect("inside the file");
        match self {
            Self::Flips => (0..16).for_each(|bit| bytes[place()] ^= 1 << (bit % 8)),
            Self::ZeroPage => {
                let at = place() / 4096 * 4096;
                let end = (at + 4096).min(length);
                bytes[at..end].fill(0);
            }
            Self::Empty => bytes.clear(),
            Self::OneByte => bytes.truncate(1),
            Self::HalfAHeader => bytes.truncate(15),
            Self::Half => bytes.truncate(length / 2),
            Self::LastByteGone => bytes.truncate(length - 1),
            Self::Garbage => {
                let more = rng.between(1, 300);
                bytes.extend((0..more).map(|_| rng.bits().to_le_bytes()[0]));
            }
            Self::Gone => {}
        }
        std::fs::write(path, bytes).expect("the file can be written");
    }
}

/// What kind of file it is, by its name.
fn kind(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    match path.extension().and_then(|end| end.to_str()) {
        Some(end) => Some(format!("*.{end}")),
        None if name == "LOCK" => None,
        None => Some(name.to_owned()),
    }
}

fn files(dir: &Path, found: &mut BTreeMap<String, Vec<PathBuf>>) {
    for entry in std::fs::read_dir(dir).expect("a directory").flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(&path, found);
        } else if let Some(kind) =
            kind(&path).filter(|_| entry.metadata().is_ok_and(|m| m.len() > 0))
        {
            found.entry(kind).or_default().push(path);
        }
    }
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status().expect("cp runs");
    assert!(status.success(), "cp -a {} {}", from.display(), to.display());
}

/// A directory with blocks, a checkpoint, tombstones and a log, as a kill leaves it; and who wrote it.
fn populated(seed: u64) -> (Server, Vec<Writer>) {
    let flags = ["--web.enable-admin-api", "--max-late-age=100ms", "--maintenance-interval=50ms"];
    let mut server = Server::start(&flags);
    let mut rng = Rng::new(seed);
    let mut writers = Vec::new();
    for (id, door) in [Door::RemoteWrite, Door::LineV1].into_iter().enumerate() {
        let base_ms = now_ms() - 40 * 3_600_000;
        let mut writer = Writer::new(door, "damage", id, base_ms, rng.bits());
        let (signals, acked) = (Signals::default(), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            let (mut client, signals, acked, writer) =
                (server.client(), &signals, &acked, &mut writer);
            scope.spawn(move || writer.run_patiently(&mut client, signals, acked));
            std::thread::sleep(Duration::from_millis(1200));
            signals.stop.store(true, std::sync::atomic::Ordering::SeqCst);
        });
        writer.resend_unknown(&mut server.client()).expect("an answer");
        writers.push(writer);
    }
    server.kill();
    (server, writers)
}

/// One damage, and what becomes of it.
struct Outcome {
    refused: bool,
    found: bool,
    kept: usize,
    expected: usize,
}

fn outcome(data: &Path, path: &Path, writers: &[Writer]) -> Result<Outcome, String> {
    let verify = Command::new(binary()).args(["tsdb", "verify"]).arg(data).output();
    let verify = verify.expect("the binary runs");
    let found = !verify.status.success();
    let mut server = Server::new(&["--web.enable-admin-api"], Some(data.to_owned()));
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if let Err(code) = server.try_start() {
        let log = server.log();
        let last = log.lines().filter(|line| line.starts_with("silverback: ")).collect::<Vec<_>>();
        if code != Some(1) || last.len() != 1 || !last[0].contains(name) || log.contains("panicked")
        {
            return Err(format!("it ended with {code:?}: {log}"));
        }
        return Ok(Outcome { refused: true, found, kept: 0, expected: 0 });
    }
    let mut client = server.client();
    let audits: Vec<Audit> = writers.iter().map(|writer| writer.audit(&mut client)).collect();
    server.stop();
    let log = server.log();
    let sum = |count: fn(&Audit) -> usize| audits.iter().map(count).sum::<usize>();
    let warned = audits.iter().any(|a| a.warned) || log.contains("level=error");
    let wrong: Vec<&String> = audits.iter().flat_map(|audit| &audit.wrong).take(3).collect();
    if !wrong.is_empty() {
        return Err(format!("{} wrong values: {wrong:?}", sum(|a| a.wrong.len())));
    }
    // A log that ends earlier, with a whole record, is a log: of what came behind nothing is known.
    if !found && !warned && kind(path).as_deref() != Some("*.wal") {
        let (kept, expected) = (sum(|a| a.kept), sum(|a| a.expected));
        if sum(|a| a.outdated) > 0 || kept < expected {
            let back = sum(|a| a.outdated);
            return Err(format!("{kept} of {expected} samples, {back} back, and nothing says so"));
        }
    }
    if let Some(line) = log.lines().find(|line| line.contains("panicked at")) {
        return Err(line.to_owned());
    }
    Ok(Outcome {
        refused: false,
        found: found || warned,
        kept: sum(|a| a.kept),
        expected: sum(|a| a.expected),
    })
}

#[test]
fn damaged_files_give_no_wrong_values() {
    let rounds = std::env::var("COMPAT_DAMAGES").map_or(1, |n| n.parse().expect("a number"));
    let seed = seed();
    let (server, writers) = populated(seed);
    let data = server.data_dir();
    let mut kinds = BTreeMap::new();
    files(&data, &mut kinds);
    for kind in ["*.wal", "*.ckpt", "MANIFEST", "chunks", "index", "meta"] {
        assert!(kinds.contains_key(kind), "no {kind} in {kinds:?}");
    }
    let mut rng = Rng::new(seed);
    let mut failures = Failures::default();
    let mut table = Table::new(&["file", "damages", "found %", "refused", "data kept %"]);
    let percent = |part: usize, of: usize| {
        let tenths = 1000 * part / of.max(1);
        format!("{}.{}", tenths / 10, tenths % 10)
    };
    for (kind, paths) in &kinds {
        let (mut damages, mut found, mut refused, mut kept, mut expected) = (0, 0, 0, 0, 0);
        for damage in DAMAGES.iter().cycle().take(DAMAGES.len() * rounds) {
            let place = usize::try_from(rng.below(paths.len() as u64)).expect("a file");
            let copied = tempfile::TempDir::with_prefix("silverback-damage-").expect("a directory");
            let to = copied.path().join("data");
            copy(&data, &to);
            let path = to.join(paths[place].strip_prefix(&data).expect("a file of the directory"));
            damage.inflict(&path, &mut rng);
            let outcome = outcome(&to, &path, &writers);
            damages += 1;
            if let Ok(outcome) = &outcome {
                found += usize::from(outcome.found);
                refused += usize::from(outcome.refused);
                kept += outcome.kept;
                expected += outcome.expected;
            }
            failures.check(&format!("{kind} {damage:?}, seed {seed}"), outcome.map(drop));
        }
        let cells =
            [kind.clone(), damages.to_string(), percent(found, damages), refused.to_string()];
        table.row(cells.into_iter().chain([percent(kept, expected)]).collect());
    }
    say(&table.print());
    failures.finish("damaged files");
}
