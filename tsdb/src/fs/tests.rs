//! What every file system does, run on each of them.

use ::std::io::ErrorKind;
use ::std::os::unix::fs::PermissionsExt as _;
use ::std::path::Path;

use super::std::StdFs;
use super::*;

fn names(fs: &dyn Fs, dir: &Path) -> Vec<String> {
    fs.read_dir(dir).unwrap().into_iter().map(|e| e.name).collect()
}

/// `root` is an empty directory.
fn conforms(fs: &dyn Fs, root: &Path) {
    let dir = root.join("d");
    fs.create_dir(&dir).unwrap();
    fs.create_dir(&dir).unwrap();
    assert_eq!(fs.create_dir(&root.join("no/d")).unwrap_err().kind(), ErrorKind::NotFound);

    let path = dir.join("a");
    let mut file = fs.create(&path).unwrap();
    assert_eq!(fs.create(&path).unwrap_err().kind(), ErrorKind::AlreadyExists);
    file.append(b"hello ").unwrap();
    file.append(b"world").unwrap();
    file.sync().unwrap();
    assert_eq!((file.len(), fs.read(&path).unwrap()), (11, b"hello world".to_vec()));
    file.truncate(5).unwrap();
    file.append(b"!").unwrap();
    assert_eq!((file.len(), fs.read(&path).unwrap()), (6, b"hello!".to_vec()));
    drop(file);
    let mut file = fs.open_append(&path).unwrap();
    file.append(b"?").unwrap();
    assert_eq!(file.len(), 7);
    assert_eq!(fs.open_append(&dir.join("no")).unwrap_err().kind(), ErrorKind::NotFound);

    for read in [fs.open_read(&path).unwrap(), fs.open_scan(&path).unwrap()] {
        assert_eq!((read.len(), &*read.bytes(1, 4).unwrap()), (7, &b"ello"[..]));
        assert_eq!(&*read.bytes(7, 0).unwrap(), b"");
        for (offset, len) in [(0, 8), (7, 1), (8, 0), (u64::MAX, 1), (1, u64::MAX)] {
            let err = read.bytes(offset, len).unwrap_err();
            assert_eq!(err.kind(), ErrorKind::UnexpectedEof, "{offset} {len}");
        }
    }
    assert_eq!(fs.open_read(&dir.join("no")).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(fs.read(&dir.join("no")).unwrap_err().kind(), ErrorKind::NotFound);

    fs.create(&dir.join("b")).unwrap();
    fs.rename(&path, &dir.join("b")).unwrap();
    assert_eq!(names(fs, &dir), ["b"]);
    assert_eq!(fs.read(&dir.join("b")).unwrap(), b"hello!?");
    assert_eq!(fs.rename(&path, &dir.join("c")).unwrap_err().kind(), ErrorKind::NotFound);

    fs.create_dir(&dir.join("sub.tmp")).unwrap();
    fs.create(&dir.join("sub.tmp/x")).unwrap().append(&vec![7; 100_000]).unwrap();
    fs.rename(&dir.join("sub.tmp"), &dir.join("sub")).unwrap();
    fs.sync_dir(&dir).unwrap();
    let big = fs.open_read(&dir.join("sub/x")).unwrap();
    assert_eq!((big.len(), &*big.bytes(99_999, 1).unwrap()), (100_000, &[7][..]));
    assert!(big.bytes(99_999, 2).is_err());
    drop(big);
    let entry = |name: &str, is_dir, len| DirEntry { name: name.to_owned(), is_dir, len };
    assert_eq!(fs.read_dir(&dir).unwrap(), [entry("b", false, 7), entry("sub", true, 0)]);
    assert!(fs.remove_dir(&dir.join("sub")).is_err(), "not empty");
    fs.remove_file(&dir.join("sub/x")).unwrap();
    fs.remove_dir(&dir.join("sub")).unwrap();
    assert_eq!(fs.remove_file(&dir.join("sub/x")).unwrap_err().kind(), ErrorKind::NotFound);
    assert!(fs.exists(&dir.join("b")).unwrap() && !fs.exists(&dir.join("sub")).unwrap());
    assert_eq!(fs.read_dir(&dir.join("sub")).unwrap_err().kind(), ErrorKind::NotFound);

    let lock = fs.lock(&dir.join("LOCK")).unwrap();
    assert_eq!(fs.lock(&dir.join("LOCK")).unwrap_err().kind(), ErrorKind::WouldBlock);
    drop(lock);
    fs.lock(&dir.join("LOCK")).unwrap();
    let space = fs.space(&dir).unwrap();
    assert!(space.total >= space.free && space.free > 0);
}

#[test]
fn the_real_one_conforms() {
    let root = tempfile::tempdir().unwrap();
    conforms(&StdFs, root.path());
}

#[test]
fn nobody_else_may_read_what_is_created() {
    let root = tempfile::tempdir().unwrap();
    let (dir, file) = (root.path().join("d"), root.path().join("f"));
    StdFs.create_dir(&dir).unwrap();
    StdFs.create(&file).unwrap();
    let mode = |p: &Path| p.metadata().unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(&dir), mode(&file)), (0o700, 0o600));
}

#[test]
fn the_simulated_one_conforms() {
    conforms(&super::sim::SimFs::new(1), Path::new("/"));
}
