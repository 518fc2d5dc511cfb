//! Snapshots: directories that open as data directories. Blocks are immutable, so they are linked and
//! not copied; what only the head has is written to blocks of the snapshot's own.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::flush::InOrderReader;
use super::steps::{CHECKPOINT_BIG_ROWS, StepError};
use super::{Db, Maintenance};
use crate::block::directory;
use crate::block::{Block, BlockSource, CHUNKS_FILE, INDEX_FILE, META_FILE};
use crate::checkpoint::CheckpointWriter;
use crate::fs::Fs;
use crate::manifest::{Manifest, State};
use crate::view::View;
use crate::wal::record::Record;

/// Where snapshots live, in the data directory.
pub const SNAPSHOTS: &str = "snapshots";
const TMP_SUFFIX: &str = ".tmp";
/// The segment that a snapshot's checkpoint stands before; there is no log.
const FIRST_SEGMENT: u64 = 1;

impl Db {
    /// Makes `snapshots/<name>`, a directory that opens as a data directory and holds every sample
    /// that was acknowledged before the call; without `head`, those that are in blocks. Nothing
    /// of it changes afterwards, and deleting it costs the database nothing.
    ///
    /// The head is written under the flush lock; appends and queries go on.
    ///
    /// # Errors
    /// [`StepError`]; nothing is left under `name` then.
    pub fn snapshot(&self, name: &str, head: bool) -> Result<(), StepError> {
        let parent = self.dir.join(SNAPSHOTS);
        let (dir, tmp) = (parent.join(name), parent.join(format!("{name}{TMP_SUFFIX}")));
        // No block goes while this is held: compaction and retention take it first.
        let mut maintenance = self.maintenance();
        let fs = &*self.fs;
        fs.create_dir(&parent)?;
        fs.sync_dir(&self.dir)?;
        if fs.exists(&dir)? {
            return Err(io::Error::from(io::ErrorKind::AlreadyExists).into());
        }
        remove_unfinished(fs, &parent)?;
        let made = self.fill(&mut maintenance, &tmp, head).and_then(|()| {
            fs.rename(&tmp, &dir)?;
            Ok(fs.sync_dir(&parent)?)
        });
        if made.is_err() {
            // What cannot be removed now goes before the next snapshot.
            let _ = remove_unfinished(fs, &parent);
        }
        made
    }

    fn fill(&self, maintenance: &mut Maintenance, dir: &Path, head: bool) -> Result<(), StepError> {
        let fs = &*self.fs;
        let wal = dir.join("wal");
        fs.create_dir(dir)?;
        fs.create_dir(&wal)?;
        if head {
            self.settle(maintenance, self.wal.last_seq())?;
        }
        let seq = self.wal.durable_seq();
        let view = self.views.load();
        for block in &view.blocks {
            link_block(fs, block, &dir.join(block.id().to_string()))?;
        }
        let mut state = State {
            boundary: view.boundary,
            blocks: view.blocks.iter().map(|b| b.id()).collect::<BTreeSet<_>>(),
            checkpoint: Some(FIRST_SEGMENT),
            max_series_ref: self.head.next_ref(),
            tombstones: view.tombstones.iter().map(|t| (t.seq, Arc::clone(t))).collect(),
            ..maintenance.manifest.state().clone()
        };
        if head {
            self.write_head(dir, &view, seq, &mut state)?;
        }
        let mut writer = CheckpointWriter::create(fs, &wal, FIRST_SEGMENT, seq)?;
        self.checkpoint_names(&mut writer)?;
        writer.finish()?;
        fs.sync_dir(&wal)?;
        Manifest::create(Arc::clone(&self.fs), dir, &state)?;
        Ok(fs.sync_dir(dir)?)
    }

    /// Writes what no block of `view` holds to blocks in `dir`, and names them in `state`.
    fn write_head(
        &self,
        dir: &Path,
        view: &View,
        seq: u64,
        state: &mut State,
    ) -> Result<(), StepError> {
        // Rows that come in order meanwhile are above this, and not in the snapshot.
        let newest = self.head.bounds().1;
        let boundary = view.boundary.max(newest.saturating_add(1));
        let mut reader = InOrderReader::default();
        let from = view.boundary;
        let in_order =
            self.write_block(dir, BlockSource::Flush, seq, |slot, series, labels, writer| {
                self.add_in_order(slot, series, from..boundary, &mut reader, labels, writer)
            })?;
        let late = self.write_late_block(dir, seq, &self.head.late_buffers())?;
        state.blocks.extend(in_order.iter().chain(&late).map(|b| b.id()));
        (state.boundary, state.late_seq) = (boundary, seq);
        Ok(())
    }

    /// Writes metadata and names of databases.
    pub(super) fn checkpoint_names(&self, writer: &mut CheckpointWriter<'_>) -> io::Result<()> {
        for names in self.metadata(None).chunks(CHECKPOINT_BIG_ROWS) {
            writer.record(&Record { metadata: names.to_vec(), ..Record::default() })?;
        }
        for names in self.databases().chunks(CHECKPOINT_BIG_ROWS) {
            writer.record(&Record { databases: names.to_vec(), ..Record::default() })?;
        }
        Ok(())
    }
}

fn link_block(fs: &dyn Fs, block: &Block, to: &Path) -> io::Result<()> {
    fs.create_dir(to)?;
    for name in [META_FILE, CHUNKS_FILE, INDEX_FILE] {
        fs.link(&block.dir().join(name), &to.join(name))?;
    }
    fs.sync_dir(to)
}

/// Removes what earlier attempts left behind.
fn remove_unfinished(fs: &dyn Fs, parent: &Path) -> io::Result<()> {
    for entry in fs.read_dir(parent)? {
        if entry.is_dir && entry.name.ends_with(TMP_SUFFIX) {
            let dir = parent.join(&entry.name);
            for inner in fs.read_dir(&dir)? {
                if inner.is_dir {
                    directory::remove(fs, &dir, &inner.name)?;
                } else {
                    fs.remove_file(&dir.join(&inner.name))?;
                }
            }
            fs.remove_dir(&dir)?;
        }
    }
    Ok(())
}
