//! The power is cut at operations of a random workload of appends, flushes, compactions,
//! checkpoints and clean stops on a simulated disk: what was acknowledged is there afterwards, and nothing else but
//! whole batches whose outcome was not known.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "the counts are the test's result")]

mod workload;

use tsdb::fs::sim::{CrashPolicy, Op, SimFs};

use workload::{cut, fail, retention, run};

fn operations(seed: u64) -> u64 {
    let fs = SimFs::new(seed);
    let client = run(&fs, seed, 60);
    println!("seed {seed}: {} compactions, {} deletes", client.compactions, client.deletes);
    assert!(client.compactions > 0 && client.deletes > 0 && !fs.is_dead());
    fs.ops()
}

#[test]
fn acknowledged_samples_survive_a_power_cut_at_any_operation() {
    let seeds: u64 = std::env::var("CRASH_SEEDS").map_or(3, |v| v.parse().unwrap());
    let mut states = 0;
    for seed in 1..=seeds {
        let ops = operations(seed);
        // Every operation over the seeds, a few policies each.
        for at in (1 + seed % 3..=ops).step_by(3) {
            for (n, policy) in (0..).zip(CrashPolicy::ALL) {
                if (at + n) % 3 == 0 {
                    if let Err(what) = cut(seed, at, policy, |_| {}) {
                        panic!("seed {seed}, operation {at} of {ops}, {policy:?}: {what}");
                    }
                    states += 1;
                }
            }
        }
    }
    println!("{states} crash states");
    assert!(states > 100);
}

#[test]
fn a_build_that_does_not_sync_is_caught() {
    let sabotages: [fn(&SimFs); 2] =
        [|fs| fs.set_ignore_sync(true), |fs| fs.set_ignore_dir_sync(true)];
    for (n, sabotage) in sabotages.into_iter().enumerate() {
        let ops = operations(1);
        let caught = (1..=ops)
            .flat_map(|at| CrashPolicy::ALL.map(|policy| (at, policy)))
            .position(|(at, policy)| cut(1, at, policy, sabotage).is_err());
        let states = caught.unwrap_or_else(|| panic!("sabotage {n} was not noticed"));
        println!("sabotage {n} caught after {states} states");
    }
}

#[test]
fn a_failed_write_or_sync_leaves_no_fragment_and_loses_nothing() {
    for seed in 1..4 {
        for op in [Op::Append, Op::Sync] {
            for nth in 0..40 {
                fail(seed, op, nth)
                    .unwrap_or_else(|why| panic!("seed {seed}, {op:?} {nth}: {why}"));
            }
        }
    }
}

#[test]
fn retention_goes_by_the_wall_clock() {
    retention().unwrap();
}
