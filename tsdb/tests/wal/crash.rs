//! Power cuts at every operation, against a model of what was acknowledged.

use tsdb::fs::sim::CrashPolicy;

use super::*;

/// What the client and the checkpoint know.
#[derive(Debug, Clone)]
struct Model {
    /// Sizes of the records, by sequence number less one; their numbers are in the content.
    sent: Vec<(u64, usize)>,
    /// Everything up to here was acked.
    acked: u64,
    /// Everything up to here was acked by a sync.
    synced: u64,
    /// Everything up to here may have been removed, because a checkpoint holds it.
    floor: u64,
    replay_from: Position,
    next_number: u64,
}

impl Model {
    fn new() -> Self {
        let replay_from = Position::START;
        Self { sent: vec![], acked: 0, synced: 0, floor: 0, replay_from, next_number: 0 }
    }
}

/// Runs a random workload until it ends or the power is cut.
fn run(wal: &Wal, mode: WalMode, model: &mut Model, steps: usize, rng: &mut Rng) {
    for _ in 0..steps {
        let done = match rng.below(20) {
            0 => wal.sync().map(|()| {
                model.acked = model.sent.len() as u64;
                model.synced = model.acked;
            }),
            1 => wal.cut().map(|cut| {
                model.acked = model.sent.len() as u64;
                model.synced = model.acked;
                // The checkpoint becomes durable before what it replaces goes.
                (model.replay_from, model.floor) = (cut, model.acked);
                let _ = wal.remove_before(cut.segment);
            }),
            n => {
                let mut last = 0;
                for _ in 0..=n % 3 {
                    let bytes = [10, 500, 2500][usize::try_from(rng.below(3)).unwrap()];
                    model.sent.push((model.next_number, bytes));
                    let Ok(seq) = enqueue(wal, model.next_number, bytes) else {
                        model.sent.pop();
                        return;
                    };
                    last = seq;
                    model.next_number += 1;
                    assert_eq!(last, model.sent.len() as u64);
                }
                wal.commit(last, mode).map(|()| {
                    model.acked = last;
                    if mode == WalMode::EveryWrite {
                        model.synced = last;
                    }
                })
            }
        };
        if done.is_err() {
            return;
        }
    }
}

/// What is wrong with what was recovered.
fn judge(
    model: &Model,
    mode: WalMode,
    process_only: bool,
    records: &Records,
) -> Result<(), String> {
    let must = if process_only { model.acked } else { model.synced };
    let mut at = model.floor;
    for (seq, replayed) in records {
        let sent = usize::try_from(*seq - 1).ok().and_then(|i| model.sent.get(i));
        let Some((number, bytes)) = sent else { return Err(format!("{seq} was never sent")) };
        if *replayed != record(*number, *bytes) {
            return Err(format!("{seq} is not what was sent"));
        }
        if *seq <= model.floor {
            continue;
        }
        if *seq <= at {
            return Err(format!("{seq} after {at}"));
        }
        if *seq != at + 1 && (mode != WalMode::EveryWrite || at < must) {
            return Err(format!("hole before {seq}, last {at}, must {must}"));
        }
        at = *seq;
    }
    if at < must { Err(format!("lost: {must} must be there, last is {at}")) } else { Ok(()) }
}

/// Opens what a crash left, crashing up to twice more during that, and checks that every opening
/// gives the same records. Returns the log and what it holds.
fn recover(
    fs: &SimFs,
    options: &WalOptions,
    model: &Model,
    policy: CrashPolicy,
    seed: u64,
) -> Result<(SimFs, Wal, Records), String> {
    let mut fs = fs.clone();
    let mut first: Option<Records> = None;
    for again in 0..3 {
        if again < 2 {
            fs.crash_at(1 + (seed + again) % 8);
        }
        let run = options.run + 1 + u32::try_from(again).unwrap();
        let options = WalOptions { run, ..options.clone() };
        let opened = open_from(&fs, &options, model.replay_from);
        if let Ok((wal, records, _)) = opened {
            // A read of a dead disk looks like damage; that opening never served anybody.
            if !fs.is_dead() {
                let same = first.as_ref().is_none_or(|first| *first == records);
                return if same { Ok((fs, wal, records)) } else { Err("unstable".to_owned()) };
            }
            if wal.read_only().is_some() && first.is_none() {
                first = Some(records);
            }
        }
        fs = fs.crash(policy, seed + again);
    }
    Err("not recovered".to_owned())
}

/// Crashes at operation `at`, recovers, goes on, crashes again, recovers again. `None` where the
/// workload ended before the operation.
fn crash_twice(
    mode: WalMode,
    policy: CrashPolicy,
    (seed, at): (u64, u64),
    sabotage: impl Fn(&SimFs),
) -> Option<Result<(), String>> {
    let options = options(mode);
    let fs = SimFs::new(seed);
    let (mut model, mut rng) = (Model::new(), Rng::new(seed));
    let (wal, ..) = open(&fs, &options);
    sabotage(&fs);
    fs.crash_at(fs.ops() + at);
    run(&wal, mode, &mut model, 25, &mut rng);
    if !fs.is_dead() {
        return None;
    }
    drop(wal);
    let checked = || {
        let process_only = policy == CrashPolicy::KeepAll;
        let after = fs.crash(policy, seed ^ at);
        let (fs, wal, records) = recover(&after, &options, &model, policy, seed ^ at)?;
        judge(&model, mode, process_only, &records)?;
        // Sequence numbers of what was lost for good are given again.
        let mut model = model.clone();
        let kept: Vec<u64> = records.iter().map(|(seq, _)| *seq).collect();
        let last = wal.last_seq();
        model.sent.truncate(usize::try_from(last).unwrap());
        if model.sent.len() as u64 != last {
            return Err(format!("next is {last}, sent {}", model.sent.len()));
        }
        (model.acked, model.synced) = (last, last);
        fs.crash_at(fs.ops() + 1 + at % 40);
        let mut rng = Rng::new(seed + at);
        run(&wal, mode, &mut model, 10, &mut rng);
        drop(wal);
        let after = fs.crash(policy, seed + at);
        let later = WalOptions { run: 100, ..options.clone() };
        let (_, _, records) = recover(&after, &later, &model, policy, at)?;
        // Holes of the first crash, in what was never acked, stay holes and nothing else.
        let filled: Records = (model.floor + 1..=last)
            .filter(|seq| !kept.contains(seq))
            .map(|seq| {
                let (number, bytes) = model.sent[usize::try_from(seq - 1).unwrap()];
                (seq, record(number, bytes))
            })
            .chain(records.clone())
            .collect();
        if records.iter().any(|(seq, _)| *seq <= last && !kept.contains(seq)) {
            return Err("a lost record came back".to_owned());
        }
        let mut filled = filled;
        filled.sort_by_key(|(seq, _)| *seq);
        judge(&model, mode, process_only, &filled)
    };
    Some(checked())
}

/// Seeds to run; a long run is the same test with a bigger number.
fn seeds() -> u64 {
    std::env::var("WAL_CRASH_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(2)
}

/// Crashes at every operation with every policy and returns how many states were checked and the
/// first that was wrong.
fn explore(mode: WalMode, sabotage: impl Fn(&SimFs)) -> (u64, Option<String>) {
    let mut states = 0;
    for policy in CrashPolicy::ALL {
        for seed in 0..seeds() {
            for at in 1.. {
                match crash_twice(mode, policy, (seed, at), &sabotage) {
                    None => break,
                    Some(Ok(())) => states += 1,
                    Some(Err(what)) => {
                        return (states, Some(format!("{mode:?} {policy:?} {seed} {at}: {what}")));
                    }
                }
            }
        }
    }
    (states, None)
}

#[test]
fn every_acked_record_survives_a_power_cut_at_any_operation() {
    let (states, wrong) = explore(WalMode::EveryWrite, |_| {});
    println!("{states} states");
    assert_eq!(wrong, None);
    assert!(states > 500, "{states}");
}

#[test]
fn the_interval_modes_lose_a_suffix_and_nothing_that_was_synced() {
    let (states, wrong) = explore(WalMode::Periodic, |_| {});
    println!("{states} states");
    assert_eq!(wrong, None);
    assert!(states > 300, "{states}");
}

#[test]
fn a_build_without_the_sync_is_caught() {
    let (states, wrong) = explore(WalMode::EveryWrite, |fs| fs.set_ignore_sync(true));
    println!("caught after {states} states: {wrong:?}");
    assert!(wrong.is_some_and(|what| what.contains("lost")));
}

#[test]
fn a_build_without_the_directory_sync_is_caught() {
    let (states, wrong) = explore(WalMode::EveryWrite, |fs| fs.set_ignore_dir_sync(true));
    println!("caught after {states} states: {wrong:?}");
    assert!(wrong.is_some());
}
