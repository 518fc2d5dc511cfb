//! The series of a checkpoint's frame on their way into the index. Frames come from several threads, and
//! only what needs the index is done under its lock: giving numbers to the strings of the frame, and in the end
//! putting in what was made of them in between.

use super::runs::Runs;
use super::{Canonical, HeadIndex, hash_of};
use crate::checkpoint::{FrameSeries, SeriesFrame};
use crate::encoding::varint::put_u64;
use crate::head::label_codes::{LabelCode, SchemaId};
use crate::head::symbols::SymbolId;
use crate::wal::record::SeriesRef;

/// Places of the table of label sets that are asked for at once.
const AT_ONCE: usize = 64;

/// The numbers of a frame's strings and schemas. They are held until [`HeadIndex::insert_frame`].
#[derive(Debug)]
pub struct FrameNames {
    strings: Vec<SymbolId>,
    schemas: Vec<(SchemaId, Vec<SymbolId>)>,
    seed: u64,
}

/// The series of a frame, ready to go into the index that named its strings.
#[derive(Debug)]
pub struct CodedFrame {
    names: FrameNames,
    series: Vec<(SeriesRef, u32, LabelCode)>,
    /// By place in the frame.
    runs: Runs,
    /// How many series name each of the strings as a value.
    users: Vec<u32>,
    /// How many series are of each schema.
    members: Vec<u32>,
}

impl CodedFrame {
    /// Codes the series of `frame`, whose strings are called `names`.
    pub fn new(frame: &SeriesFrame<'_>, names: FrameNames) -> Self {
        let mut users = vec![0; names.strings.len()];
        let mut members = vec![0; names.schemas.len()];
        let (mut runs, mut code, mut ids) = (Runs::default(), Vec::new(), Vec::new());
        let code_series = |(place, series): (u32, &FrameSeries)| {
            let (schema, schema_names) = &names.schemas[series.schema as usize];
            members[series.schema as usize] += 1;
            code.clear();
            ids.clear();
            put_u64(&mut code, u64::from(schema.0));
            for value in frame.values(series) {
                users[*value as usize] += 1;
                let id = names.strings[*value as usize];
                put_u64(&mut code, u64::from(id.0));
                ids.push(id);
            }
            runs.push(schema_names.iter().copied().zip(ids.iter().copied()), place);
            (series.id, hash_of(&code, names.seed), LabelCode::from(code.as_slice()))
        };
        let series = (0..).zip(&frame.series).map(code_series).collect();
        Self { names, series, runs, users, members }
    }
}

impl HeadIndex {
    /// Makes room for so many series.
    pub fn reserve(&mut self, num_series: usize) {
        self.canonical.reserve(num_series, |c| Canonical::spread(c.hash));
    }

    /// Gives numbers to the strings and schemas of a frame, for [`CodedFrame::new`].
    pub fn name_frame(&mut self, frame: &SeriesFrame<'_>) -> FrameNames {
        let symbols = self.dictionary.symbols_mut();
        let strings: Vec<SymbolId> = frame.strings.iter().map(|text| symbols.hold(text)).collect();
        let schemas = frame.schemas.iter().map(|places| {
            let names: Vec<_> = places.iter().map(|place| strings[*place as usize]).collect();
            (self.dictionary.hold_schema(&names), names)
        });
        FrameNames { schemas: schemas.collect(), seed: self.seed, strings }
    }

    /// Adds those series of a frame that are not there; returns the slot of each and whether it is new.
    pub fn insert_frame(&mut self, frame: CodedFrame) -> Vec<(u32, bool)> {
        let CodedFrame { names, series, runs, users, members } = frame;
        for (string, users) in names.strings.iter().zip(users) {
            self.dictionary.symbols_mut().hold_times(*string, users);
        }
        for ((schema, _), members) in names.schemas.iter().zip(members) {
            self.dictionary.hold_schema_times(*schema, members);
        }
        let (base, mut slots) = (self.slots.len(), Vec::with_capacity(series.len()));
        let mut rest = series.into_iter();
        while !rest.as_slice().is_empty() {
            let ahead = rest.as_slice().iter().take(AT_ONCE);
            // Memory is slow to answer, but answers many at once: this asks for the places of the table.
            let seen = ahead.fold(0, |seen, (_, hash, _)| seen ^ self.look(*hash));
            std::hint::black_box(seen);
            for (id, hash, code) in rest.by_ref().take(AT_ONCE) {
                slots.push(self.insert_hashed(code, hash, id));
            }
        }
        let are_neighbours = self.slots.len() == base + slots.len();
        if let (true, Ok(base)) = (are_neighbours, u32::try_from(base)) {
            let end = u32::try_from(self.slots.len()).expect("slots are 32 bits wide");
            self.taken(base..end);
            runs.finish(self, base);
        } else {
            // Some were there, or took places of series that are gone.
            let mut runs = Runs::default();
            for (slot, _) in slots.iter().filter(|(_, is_new)| *is_new) {
                self.taken(*slot..*slot + 1);
                runs.push(self.pairs(*slot), *slot);
            }
            runs.finish(self, 0);
        }
        for (schema, _) in names.schemas {
            self.dictionary.release_schema(schema);
        }
        for string in names.strings {
            self.dictionary.symbols_mut().release(string);
        }
        slots
    }

    /// Reads a word where the table has series of this hash.
    fn look(&self, hash: u32) -> u32 {
        let found = self.canonical.find(Canonical::spread(hash), |c| c.hash == hash);
        found.map_or(0, |c| c.slot)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use model::Labels;
    use parking_lot::Mutex;
    use proptest::prelude::*;

    use super::*;
    use crate::checkpoint::{Checkpoint, CheckpointWriter};
    use crate::fs::Fs as _;
    use crate::fs::sim::SimFs;
    use crate::head::open::OpenStore;
    use crate::head::series::Series;

    /// Label sets of two schemas, with values that several have.
    fn labels(n: u32) -> Labels {
        let extra = ["zone", "job"][(n % 2) as usize];
        let pairs = [("__name__", n % 5), ("i", n), (extra, n % 3)];
        Labels::from_pairs(pairs.map(|(name, v)| (name, v.to_string()))).unwrap()
    }

    /// The slots of each label pair.
    fn listed(index: &HeadIndex) -> Vec<(String, String, Vec<u32>)> {
        let mut all = Vec::new();
        for (name, values) in index.names() {
            for (value, list) in values.values_from("") {
                all.push((name.to_string(), value.to_string(), list.to_bitmap().iter().collect()));
            }
            all.push((name.to_string(), String::new(), values.has.iter().collect()));
        }
        all.sort();
        all
    }

    proptest! {
        /// Model: an index that is given the series one by one. Some are there before the frame, some have
        /// left free slots, and some come twice.
        #[test]
        fn a_frame_does_what_its_series_do_one_by_one(
            before in proptest::collection::vec(0..60_u32, 0..30),
            gone in 0..12_usize,
            framed in proptest::collection::vec(0..60_u32, 0..90),
        ) {
            let (mut source, mut one_by_one, mut index) =
                (HeadIndex::new(1), HeadIndex::new(2), HeadIndex::new(2));
            for index in [&mut one_by_one, &mut index] {
                let before = before.iter().map(|n| (SeriesRef(1000), labels(*n))).collect::<Vec<_>>();
                let added = index.insert_all(&before);
                for (slot, _) in added.into_iter().filter(|(_, is_new)| *is_new).take(gone) {
                    index.unlink(slot);
                    index.free(slot);
                }
            }
            let fs = SimFs::new(1);
            let dir = Path::new("/wal");
            fs.create_dir(dir).unwrap();
            let mut writer = CheckpointWriter::create(&fs, dir, 5, 41).unwrap();
            let mut want = Vec::new();
            for (id, n) in (1..).zip(&framed) {
                let slot = source.find(&labels(*n)).map(|(slot, _)| slot);
                let slot = slot.unwrap_or_else(|| source.insert(&labels(*n), SeriesRef(id)));
                let mut series = Series::free();
                series.id = SeriesRef(id);
                writer.series(&series, &OpenStore::new(1), (slot, &source), 0);
                want.push(match one_by_one.find(&labels(*n)) {
                    Some((slot, _)) => (slot, false),
                    None => (one_by_one.insert(&labels(*n), SeriesRef(id)), true),
                });
            }
            writer.finish().unwrap();
            let checkpoint = Checkpoint::open(&fs, dir, 5).unwrap();
            prop_assert_eq!(checkpoint.num_series(), framed.len());
            let restored = Mutex::new((index, Vec::new()));
            checkpoint.series(&|frame| {
                let (index, slots) = &mut *restored.lock();
                let names = index.name_frame(frame);
                slots.extend(index.insert_frame(CodedFrame::new(frame, names)));
            }).unwrap();
            let (mut index, slots) = restored.into_inner();
            prop_assert_eq!(slots, want);
            prop_assert_eq!(listed(&index), listed(&one_by_one));
            for slot in one_by_one.all() {
                prop_assert_eq!(index.labels(slot), one_by_one.labels(slot));
                prop_assert_eq!(index.series(slot), one_by_one.series(slot));
            }
            // Nothing is held that no series names.
            for slot in one_by_one.all() {
                index.unlink(slot);
                index.free(slot);
            }
            prop_assert_eq!((index.dictionary.symbols().len(), index.num_pairs()), (0, 0));
        }
    }
}
