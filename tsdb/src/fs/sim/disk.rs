//! What is on the simulated disk: as seen by a running process, and as far as it is durable.

use ::std::collections::{BTreeMap, HashSet};
use ::std::io::{self, ErrorKind};
use ::std::ops::Range;
use ::std::path::{Component, Path, PathBuf};

use super::fault::{Fault, FaultError, Op};

/// Index of a file or directory.
pub(super) type Ino = usize;
const ROOT: Ino = 0;

/// Content of a file.
#[derive(Debug, Clone, Default)]
pub(super) struct FileNode {
    /// What readers see.
    pub(super) data: Vec<u8>,
    /// What a power cut leaves for sure.
    pub(super) durable: Vec<u8>,
    /// Both begin with the same bytes up to here.
    pub(super) common: usize,
    /// Parts of `data` whose sync failed: readers see them, but no sync will ever save them.
    lost: Vec<Range<usize>>,
    /// Has no name and so takes no space that counts.
    unlinked: bool,
}

impl FileNode {
    /// A file all of whose content is durable.
    pub(super) fn with_content(content: Vec<u8>, unlinked: bool) -> Self {
        let (durable, common) = (content.clone(), content.len());
        Self { data: content, durable, common, lost: Vec::new(), unlinked }
    }

    /// What would be on the disk if everything were written back now.
    pub(super) fn written_back(&self) -> Vec<u8> {
        let mut data = self.data.clone();
        for lost in &self.lost {
            let end = lost.end.min(data.len());
            data[lost.start.min(end)..end].fill(0);
        }
        data
    }

    /// Makes the content durable.
    pub(super) fn sync(&mut self) {
        if self.lost.is_empty() {
            self.durable.truncate(self.common);
            self.durable.extend_from_slice(&self.data[self.common..]);
        } else {
            self.durable = self.written_back();
        }
        self.common = self.data.len();
    }

    pub(super) fn truncate(&mut self, len: usize) {
        self.data.truncate(len);
        self.common = self.common.min(len);
        self.lost.retain(|lost| lost.start < len);
    }
}

/// Names of a directory.
#[derive(Debug, Clone, Default)]
pub(super) struct DirNode {
    /// What a process sees.
    pub(super) names: BTreeMap<String, Ino>,
    /// What a power cut leaves for sure.
    pub(super) durable: BTreeMap<String, Ino>,
}

#[derive(Debug, Clone)]
pub(super) enum Node {
    File(FileNode),
    Dir(DirNode),
}

impl Node {
    pub(super) fn file() -> Self {
        Self::File(FileNode::default())
    }

    pub(super) fn dir() -> Self {
        Self::Dir(DirNode::default())
    }
}

/// A change of names that is not durable yet.
#[derive(Debug, Clone)]
pub(super) enum NameChange {
    Link { dir: Ino, name: String, ino: Ino },
    Unlink { dir: Ino, name: String },
    Rename { from: (Ino, String), to: (Ino, String), ino: Ino },
}

impl NameChange {
    fn touches(&self, ino: Ino) -> bool {
        match self {
            Self::Link { dir, .. } | Self::Unlink { dir, .. } => *dir == ino,
            Self::Rename { from, to, .. } => from.0 == ino || to.0 == ino,
        }
    }

    /// Makes the change in the durable names.
    pub(super) fn apply(&self, nodes: &mut [Node]) {
        let mut names = |dir: Ino, change: &dyn Fn(&mut BTreeMap<String, Ino>)| {
            if let Some(Node::Dir(node)) = nodes.get_mut(dir) {
                change(&mut node.durable);
            }
        };
        match self {
            Self::Link { dir, name, ino } => names(*dir, &|names| {
                names.insert(name.clone(), *ino);
            }),
            Self::Unlink { dir, name } => names(*dir, &|names| {
                names.remove(name);
            }),
            Self::Rename { from, to, ino } => {
                names(from.0, &|names| {
                    if names.get(&from.1) == Some(ino) {
                        names.remove(&from.1);
                    }
                });
                names(to.0, &|names| {
                    names.insert(to.1.clone(), *ino);
                });
            }
        }
    }
}

/// A small generator (splitmix64); the same seed gives the same disk.
#[derive(Debug, Clone)]
pub(super) struct Rng(pub(super) u64);

impl Rng {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `n`, which is not 0.
    pub(super) fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n as u64).expect("below a usize")
    }

    pub(super) fn coin(&mut self) -> bool {
        self.next() & 1 == 1
    }
}

#[derive(Debug)]
pub(super) struct Disk {
    pub(super) nodes: Vec<Node>,
    pub(super) changes: Vec<NameChange>,
    pub(super) ops: u64,
    pub(super) syncs: u64,
    pub(super) crash_at: Option<u64>,
    pub(super) dead: bool,
    pub(super) faults: Vec<Fault>,
    pub(super) capacity: u64,
    pub(super) ignore_sync: bool,
    pub(super) ignore_dir_sync: bool,
    pub(super) locks: HashSet<PathBuf>,
    rng: Rng,
}

/// How an operation is to go.
enum Fate {
    Succeeds,
    Fails(FaultError),
    /// The power is cut; the flag says whether the operation still reaches the disk's cache.
    Dies(bool),
}

fn power_cut() -> io::Error {
    io::Error::other("the simulated machine has lost power")
}

impl Disk {
    pub(super) fn new(seed: u64) -> Self {
        Self::with_nodes(vec![Node::dir()], seed)
    }

    pub(super) fn with_nodes(nodes: Vec<Node>, seed: u64) -> Self {
        Self {
            nodes,
            changes: Vec::new(),
            ops: 0,
            syncs: 0,
            crash_at: None,
            dead: false,
            faults: Vec::new(),
            capacity: 1 << 40,
            ignore_sync: false,
            ignore_dir_sync: false,
            locks: HashSet::new(),
            rng: Rng(seed),
        }
    }

    pub(super) fn alive(&self) -> io::Result<()> {
        if self.dead { Err(power_cut()) } else { Ok(()) }
    }

    /// Bytes of all files that have a name.
    pub(super) fn used(&self) -> u64 {
        self.nodes
            .iter()
            .map(|node| match node {
                Node::File(file) if !file.unlinked => file.data.len() as u64,
                _ => 0,
            })
            .sum()
    }

    fn fate(&mut self, op: Op, path: &Path) -> io::Result<Fate> {
        self.alive()?;
        self.ops += 1;
        if self.crash_at == Some(self.ops) {
            self.dead = true;
            return Ok(Fate::Dies(self.rng.coin()));
        }
        let path = path.to_string_lossy();
        let struck =
            self.faults.iter_mut().find_map(|f| f.strikes(op, &path, &(0..1)).then_some(f.error));
        Ok(struck.map_or(Fate::Succeeds, Fate::Fails))
    }

    pub(super) fn read_fault(&mut self, path: &Path, bytes: Range<u64>) -> io::Result<()> {
        let path = path.to_string_lossy();
        let struck = self
            .faults
            .iter_mut()
            .find_map(|fault| fault.strikes(Op::Read, &path, &bytes).then_some(fault.error));
        struck.map_or(Ok(()), |error| Err(error.to_io()))
    }

    /// Runs an operation that happens whole or not at all.
    pub(super) fn change(
        &mut self,
        op: Op,
        path: &Path,
        change: impl FnOnce(&mut Self) -> io::Result<()>,
    ) -> io::Result<()> {
        match self.fate(op, path)? {
            Fate::Succeeds => change(self),
            Fate::Fails(error) => Err(error.to_io()),
            Fate::Dies(happens) => {
                if happens {
                    change(self)?;
                }
                Err(power_cut())
            }
        }
    }

    /// Appends all of `bytes` or, if something fails, a prefix, and says how many.
    pub(super) fn append(
        &mut self,
        ino: Ino,
        path: &Path,
        bytes: &[u8],
    ) -> (usize, io::Result<()>) {
        let fate = match self.fate(Op::Append, path) {
            Ok(fate) => fate,
            Err(e) => return (0, Err(e)),
        };
        let room = usize::try_from(self.capacity.saturating_sub(self.used())).unwrap_or(usize::MAX);
        let any_prefix = self.rng.below(bytes.len() + 1);
        let (n, result) = match fate {
            Fate::Succeeds if bytes.len() > room => (room, Err(FaultError::NoSpace.to_io())),
            Fate::Succeeds => (bytes.len(), Ok(())),
            Fate::Fails(FaultError::ShortWrite) => {
                (bytes.len() / 2, Err(FaultError::ShortWrite.to_io()))
            }
            Fate::Fails(error) => (any_prefix, Err(error.to_io())),
            Fate::Dies(_) => (any_prefix, Err(power_cut())),
        };
        let n = n.min(room);
        match self.file_mut(ino) {
            Ok(file) => file.data.extend_from_slice(&bytes[..n]),
            Err(e) => return (0, Err(e)),
        }
        (n, result)
    }

    pub(super) fn sync(&mut self, ino: Ino, path: &Path) -> io::Result<()> {
        let fate = self.fate(Op::Sync, path)?;
        self.syncs += 1;
        let ignore = self.ignore_sync;
        let file = self.file_mut(ino)?;
        match fate {
            Fate::Succeeds | Fate::Dies(true) if !ignore => file.sync(),
            Fate::Fails(_) => file.lost.push(file.common..file.data.len()),
            Fate::Succeeds | Fate::Dies(_) => {}
        }
        match fate {
            Fate::Succeeds => Ok(()),
            Fate::Fails(error) => Err(error.to_io()),
            Fate::Dies(_) => Err(power_cut()),
        }
    }

    pub(super) fn sync_names(&mut self, dir: Ino) {
        let (now, later): (Vec<_>, Vec<_>) =
            ::std::mem::take(&mut self.changes).into_iter().partition(|c| c.touches(dir));
        for change in now {
            change.apply(&mut self.nodes);
        }
        self.changes = later;
    }

    pub(super) fn file(&self, ino: Ino) -> io::Result<&FileNode> {
        match &self.nodes[ino] {
            Node::File(file) => Ok(file),
            Node::Dir(_) => Err(ErrorKind::IsADirectory.into()),
        }
    }

    pub(super) fn file_mut(&mut self, ino: Ino) -> io::Result<&mut FileNode> {
        match &mut self.nodes[ino] {
            Node::File(file) => Ok(file),
            Node::Dir(_) => Err(ErrorKind::IsADirectory.into()),
        }
    }

    pub(super) fn dir(&self, ino: Ino) -> io::Result<&DirNode> {
        match &self.nodes[ino] {
            Node::Dir(dir) => Ok(dir),
            Node::File(_) => Err(ErrorKind::NotADirectory.into()),
        }
    }

    fn names_mut(&mut self, ino: Ino) -> io::Result<&mut BTreeMap<String, Ino>> {
        match &mut self.nodes[ino] {
            Node::Dir(dir) => Ok(&mut dir.names),
            Node::File(_) => Err(ErrorKind::NotADirectory.into()),
        }
    }

    /// The file or directory called `path`.
    pub(super) fn find(&self, path: &Path) -> io::Result<Ino> {
        path.components().try_fold(ROOT, |ino, part| match part {
            Component::Normal(name) => {
                let name = name.to_string_lossy();
                self.dir(ino)?.names.get(&*name).copied().ok_or(ErrorKind::NotFound.into())
            }
            Component::RootDir | Component::CurDir => Ok(ino),
            Component::ParentDir | Component::Prefix(_) => Err(ErrorKind::InvalidInput.into()),
        })
    }

    /// The directory of `path` and the name in it.
    fn place(&self, path: &Path) -> io::Result<(Ino, String)> {
        let name = path.file_name().ok_or(ErrorKind::InvalidInput)?;
        let dir = self.find(path.parent().unwrap_or(Path::new("/")))?;
        self.dir(dir)?;
        Ok((dir, name.to_string_lossy().into_owned()))
    }

    pub(super) fn make(&mut self, path: &Path, node: Node) -> io::Result<()> {
        let (dir, name) = self.place(path)?;
        if self.dir(dir)?.names.contains_key(&name) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let ino = self.nodes.len();
        self.nodes.push(node);
        self.names_mut(dir)?.insert(name.clone(), ino);
        self.changes.push(NameChange::Link { dir, name, ino });
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &Path, is_dir: bool) -> io::Result<()> {
        let ino = self.find(path)?;
        let (dir, name) = self.place(path)?;
        match &mut self.nodes[ino] {
            Node::Dir(node) if is_dir && node.names.is_empty() => {}
            Node::Dir(_) if is_dir => return Err(ErrorKind::DirectoryNotEmpty.into()),
            Node::Dir(_) => return Err(ErrorKind::IsADirectory.into()),
            Node::File(_) if is_dir => return Err(ErrorKind::NotADirectory.into()),
            Node::File(file) => file.unlinked = true,
        }
        self.names_mut(dir)?.remove(&name);
        self.changes.push(NameChange::Unlink { dir, name });
        Ok(())
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let ino = self.find(from)?;
        let (from, to) = (self.place(from)?, self.place(to)?);
        let replaced = self.dir(to.0)?.names.get(&to.1).copied();
        match replaced.map(|old| &mut self.nodes[old]) {
            Some(Node::Dir(_)) => return Err(ErrorKind::AlreadyExists.into()),
            Some(Node::File(file)) if replaced != Some(ino) => file.unlinked = true,
            _ => {}
        }
        self.names_mut(from.0)?.remove(&from.1);
        self.names_mut(to.0)?.insert(to.1.clone(), ino);
        self.changes.push(NameChange::Rename { from, to, ino });
        Ok(())
    }
}
