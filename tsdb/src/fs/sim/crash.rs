//! What a power cut leaves.

use ::std::collections::HashSet;

use super::disk::{Disk, FileNode, Node, Rng};

/// What becomes of everything that was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CrashPolicy {
    /// All of it is gone.
    DropUnsynced,
    /// All of it is there, even what a failed sync lost: a crash of the process alone.
    KeepAll,
    /// Names are there; of each file's content every sector of so many bytes is new, old or zeros
    /// on its own, and the length is any that it had.
    Tear {
        /// 512 or 4096.
        sector: usize,
    },
    /// Names and lengths are there, what was not synced is zeros.
    ZeroTail,
    /// Contents are there, each change of a name on its own is there or not.
    LoseNames,
    /// Each file on its own gets one of the fates above, and so does each change of a name.
    Mixed,
}

impl CrashPolicy {
    /// Every policy once.
    pub const ALL: [Self; 7] = [
        Self::DropUnsynced,
        Self::KeepAll,
        Self::Tear { sector: 512 },
        Self::Tear { sector: 4096 },
        Self::ZeroTail,
        Self::LoseNames,
        Self::Mixed,
    ];
}

/// The disk after a power cut.
pub(super) fn after(disk: &Disk, policy: CrashPolicy, seed: u64) -> Disk {
    let mut rng = Rng(seed);
    let mut nodes = disk.nodes.clone();
    for change in &disk.changes {
        let kept = match policy {
            CrashPolicy::DropUnsynced => false,
            CrashPolicy::KeepAll | CrashPolicy::Tear { .. } | CrashPolicy::ZeroTail => true,
            CrashPolicy::LoseNames | CrashPolicy::Mixed => rng.coin(),
        };
        if kept {
            change.apply(&mut nodes);
        }
    }
    let mut named = HashSet::new();
    for node in &mut nodes {
        if let Node::Dir(dir) = node {
            dir.names = dir.durable.clone();
            named.extend(dir.names.values().copied());
        }
    }
    for (ino, node) in nodes.iter_mut().enumerate() {
        if let Node::File(file) = node {
            let content = content(file, policy, &mut rng);
            *file = FileNode::with_content(content, !named.contains(&ino));
        }
    }
    let mut after = Disk::with_nodes(nodes, rng.next());
    after.capacity = disk.capacity;
    after
}

fn content(file: &FileNode, policy: CrashPolicy, rng: &mut Rng) -> Vec<u8> {
    let new = file.written_back();
    match policy {
        CrashPolicy::DropUnsynced => file.durable.clone(),
        CrashPolicy::KeepAll => file.data.clone(),
        CrashPolicy::LoseNames => new,
        CrashPolicy::Tear { sector } => tear(file, &new, sector, rng),
        CrashPolicy::ZeroTail => {
            let mut zeros = file.durable[..file.common.min(file.durable.len())].to_vec();
            zeros.resize(new.len(), 0);
            zeros
        }
        CrashPolicy::Mixed => {
            let of_content = [
                CrashPolicy::DropUnsynced,
                CrashPolicy::KeepAll,
                CrashPolicy::Tear { sector: 512 },
                CrashPolicy::Tear { sector: 4096 },
                CrashPolicy::ZeroTail,
            ];
            content(file, of_content[rng.below(of_content.len())], rng)
        }
    }
}

fn tear(file: &FileNode, new: &[u8], sector: usize, rng: &mut Rng) -> Vec<u8> {
    let old = &file.durable;
    if file.common == old.len() && file.common == new.len() {
        return new.to_vec();
    }
    let (shorter, longer) = (old.len().min(new.len()), old.len().max(new.len()));
    let len = match rng.below(3) {
        0 => new.len(),
        1 => old.len(),
        _ => shorter + rng.below(longer - shorter + 1),
    };
    let first = file.common / sector * sector;
    let mut out = old[..first.min(old.len())].to_vec();
    while out.len() < len {
        let at = out.len();
        let end = (at / sector * sector + sector).min(len);
        let from = match rng.below(3) {
            0 => new,
            1 => old,
            _ if at < file.common => old,
            _ => &[],
        };
        let part = from.get(at..).unwrap_or_default();
        out.extend_from_slice(&part[..part.len().min(end - at)]);
        out.resize(end, 0);
    }
    out.truncate(len);
    out
}
