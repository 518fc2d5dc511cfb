//! The log of a writer: what was acknowledged, what may be there, and what must not.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::Verdict;

/// Where one sample may be: the number of its series, and its time in ms.
pub(super) type Place = (u64, i64);
/// Everything that a server has of a writer.
pub(super) type Samples = BTreeMap<Place, f64>;
/// What an operation leaves at a place: a value, or nothing.
pub(super) type Change = (Place, Option<f64>);

/// What may be stored at one place.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    /// What the last acknowledged operation left.
    acked: Option<f64>,
    /// What a later one without an answer leaves if it was carried out; the same if there is none.
    maybe: Option<f64>,
}

/// An acknowledged operation.
#[derive(Debug, Clone)]
struct Acknowledged {
    at: Instant,
    changes: Vec<Change>,
}

/// What a power cut took from a mode that may lose the newest acknowledged operations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Suffix {
    /// Acknowledged operations that are lost.
    pub operations: usize,
    /// When the oldest of them was acknowledged.
    pub since: Option<Instant>,
}

/// What is left of damaged data.
#[derive(Debug, Clone, Default)]
pub struct Audit {
    /// Samples that should be there.
    pub expected: usize,
    /// Those of them that are.
    pub kept: usize,
    /// Samples that were there once, and were deleted or overwritten.
    pub outdated: usize,
    /// Samples that never were.
    pub wrong: Vec<String>,
    /// Whether an answer says that something is missing, or is an error.
    pub warned: bool,
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub(super) struct Ledger {
    slots: BTreeMap<Place, Slot>,
    refused: BTreeSet<Place>,
    /// What was there before the first of `acked`.
    base: Samples,
    acked: Vec<Acknowledged>,
}

impl Ledger {
    /// INTENT: noted before the first byte leaves.
    pub(super) fn intend(&mut self, changes: &[Change]) {
        for (place, value) in changes {
            self.slots.entry(*place).or_default().maybe = *value;
        }
    }

    /// A row at `place` is sent that has to be refused.
    pub(super) fn refuse(&mut self, place: Place) {
        self.refused.insert(place);
    }

    /// ACK: the whole answer was received.
    pub(super) fn acknowledge(&mut self, changes: Vec<Change>) {
        for (place, value) in &changes {
            self.slots.insert(*place, Slot { acked: *value, maybe: *value });
        }
        self.acked.push(Acknowledged { at: Instant::now(), changes });
    }

    /// What deleting `series`, or all where it is `None`, from `mint` to `maxt` changes.
    pub(super) fn deletion(&self, series: Option<u64>, mint: i64, maxt: i64) -> Vec<Change> {
        let hit = |place: &&Place| {
            series.is_none_or(|number| number == place.0) && (mint..=maxt).contains(&place.1)
        };
        self.slots.keys().filter(hit).map(|place| (*place, None)).collect()
    }

    /// Compares what is stored with what is promised: all that was acknowledged, and of the
    /// operation without an answer, which is to make the changes `unknown`, all or nothing.
    pub(super) fn judge(
        &self,
        who: &str,
        stored: &Samples,
        unknown: &[Change],
        verdict: &mut Verdict,
    ) {
        for (place, slot) in &self.slots {
            let got = stored.get(place).copied();
            verdict.checked += usize::from(slot.acked.is_some());
            if got == slot.acked || got == slot.maybe {
                continue;
            }
            if slot.acked.is_some() {
                verdict.lost += 1;
            } else {
                verdict.phantom += 1;
            }
            verdict.find(format!("{who} s={} t={}: {got:?}, log {slot:?}", place.0, place.1));
        }
        for (place, value) in stored {
            if self.refused.contains(place) || !self.slots.contains_key(place) {
                verdict.phantom += 1;
                verdict.find(format!("{who} {place:?}: {value} was never accepted"));
            }
        }
        // Changes to what is there anyway say nothing about the operation.
        let tells =
            |change: &&Change| self.slots.get(&change.0).is_none_or(|slot| slot.acked != change.1);
        let there = |change: &&Change| stored.get(&change.0).copied() == change.1;
        let num_changes = unknown.iter().filter(tells).count();
        let num_there = unknown.iter().filter(tells).filter(there).count();
        if num_there != 0 && num_there != num_changes {
            verdict.torn += 1;
            verdict.find(format!("{who}: {num_there} of {num_changes} changes of a request"));
        }
    }

    /// Compares what is left of damaged data with everything that was acknowledged ever.
    pub(super) fn audit(&self, stored: &Samples) -> Audit {
        let mut ever: BTreeSet<(Place, u64)> = BTreeSet::new();
        for (place, value) in self.acked.iter().flat_map(|operation| &operation.changes) {
            ever.extend(value.map(|value| (*place, value.to_bits())));
        }
        let expected = self.slots.values().filter(|slot| slot.acked.is_some()).count();
        let mut audit = Audit { expected, ..Audit::default() };
        for (place, value) in stored {
            if self.slots.get(place).is_some_and(|slot| slot.acked == Some(*value)) {
                audit.kept += 1;
            } else if ever.contains(&(*place, value.to_bits())) {
                audit.outdated += 1;
            } else {
                audit.wrong.push(format!("s={} t={}: {value}", place.0, place.1));
            }
        }
        audit
    }

    /// Takes what is stored for what is there from now on, if it is what the acknowledged
    /// operations up to some point left, in their order, or all of them and the one without an
    /// answer. What came behind that point is lost and must not appear later.
    ///
    /// # Errors
    /// How far the best point is from what is stored: survivors with a hole.
    pub(super) fn settle(
        &mut self,
        stored: &Samples,
        unknown: Option<&[Change]>,
    ) -> Result<Suffix, String> {
        let mut now = self.base.clone();
        let places: BTreeSet<&Place> = now.keys().chain(stored.keys()).collect();
        let mut wrong = places.iter().filter(|p| now.get(p) != stored.get(p)).count();
        let (mut point, mut nearest) = ((wrong == 0).then_some(0), wrong);
        let operations = self.acked.iter().map(|operation| operation.changes.as_slice());
        for (number, changes) in (1..).zip(operations.chain(unknown)) {
            for (place, value) in changes {
                let want = stored.get(place);
                wrong -= usize::from(now.get(place) != want);
                match value {
                    Some(value) => now.insert(*place, *value),
                    None => now.remove(place),
                };
                wrong += usize::from(now.get(place) != want);
            }
            nearest = nearest.min(wrong);
            // The last one that fits: an operation may change nothing.
            if wrong == 0 {
                point = Some(number);
            }
        }
        let Some(point) = point else {
            return Err(format!("no prefix is nearer than {nearest} samples"));
        };
        let lost = self.acked.get(point..).unwrap_or_default();
        let suffix = Suffix { operations: lost.len(), since: lost.first().map(|one| one.at) };
        for (place, slot) in &mut self.slots {
            let there = stored.get(place).copied();
            *slot = Slot { acked: there, maybe: there };
        }
        self.base.clone_from(stored);
        self.acked.clear();
        Ok(suffix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Place = (0, 1);
    const B: Place = (0, 2);
    const C: Place = (1, 1);

    fn stored(samples: &[(Place, f64)]) -> Samples {
        samples.iter().copied().collect()
    }

    /// A and B are written, B goes, C has no answer.
    fn ledger() -> Ledger {
        let mut ledger = Ledger::default();
        for changes in [vec![(A, Some(1.0)), (B, Some(2.0))], vec![(B, None)]] {
            ledger.intend(&changes);
            ledger.acknowledge(changes);
        }
        ledger.intend(&[(C, Some(3.0)), (A, Some(4.0))]);
        ledger.refuse((9, 9));
        ledger
    }

    #[test]
    fn each_breach_is_counted_as_what_it_is() {
        let unknown = [(C, Some(3.0)), (A, Some(4.0))];
        for (samples, lost, phantom, torn) in [
            (vec![(A, 1.0)], 0, 0, 0),
            (vec![(A, 4.0), (C, 3.0)], 0, 0, 0),
            (vec![(A, 1.0), (C, 3.0)], 0, 0, 1),
            (vec![], 1, 0, 0),
            (vec![(A, 1.0), (B, 2.0)], 0, 1, 0),
            (vec![(A, 7.0)], 1, 0, 0),
            (vec![(A, 1.0), ((9, 9), 1.0)], 0, 1, 0),
            (vec![(A, 1.0), ((5, 5), 1.0)], 0, 1, 0),
        ] {
            let mut verdict = Verdict::default();
            ledger().judge("w", &stored(&samples), &unknown, &mut verdict);
            let got = (verdict.lost, verdict.phantom, verdict.torn);
            assert_eq!(got, (lost, phantom, torn), "{samples:?}: {verdict:?}");
            assert_eq!(verdict.is_good(), lost + phantom + torn == 0);
        }
    }

    #[test]
    fn only_a_prefix_may_survive_a_cut_in_a_lazy_mode() {
        let unknown: &[Change] = &[(C, Some(3.0)), (A, Some(4.0))];
        for (samples, lost) in [
            (vec![], Some(2)),
            (vec![(A, 1.0), (B, 2.0)], Some(1)),
            (vec![(A, 1.0)], Some(0)),
            (vec![(A, 4.0), (C, 3.0)], Some(0)),
            (vec![(B, 2.0)], None),
            (vec![(A, 1.0), (C, 3.0)], None),
        ] {
            let settled = ledger().settle(&stored(&samples), Some(unknown));
            assert_eq!(settled.as_ref().ok().map(|s| s.operations), lost, "{samples:?}");
            assert!(
                settled.is_err() || settled.is_ok_and(|s| s.since.is_some() == (lost != Some(0)))
            );
        }
    }

    #[test]
    fn what_was_lost_must_not_come_back() {
        let mut ledger = ledger();
        ledger.settle(&stored(&[]), None).unwrap();
        let mut verdict = Verdict::default();
        ledger.judge("w", &stored(&[(A, 1.0)]), &[], &mut verdict);
        assert_eq!((verdict.lost, verdict.phantom), (0, 1));
    }
}
