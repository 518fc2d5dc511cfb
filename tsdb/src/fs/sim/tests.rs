use super::*;

const POLICIES: [CrashPolicy; 7] = CrashPolicy::ALL;

fn with_file(content: &[u8]) -> (SimFs, Box<dyn FsFile>) {
    let fs = SimFs::new(1);
    let mut file = fs.create(Path::new("/f")).unwrap();
    file.append(content).unwrap();
    file.sync().unwrap();
    fs.sync_dir(Path::new("/")).unwrap();
    (fs, file)
}

fn read(fs: &SimFs) -> Vec<u8> {
    fs.read(Path::new("/f")).unwrap()
}

#[test]
fn what_is_synced_survives_every_policy() {
    for policy in POLICIES {
        for seed in 0..50 {
            let (fs, mut file) = with_file(&[1; 700]);
            file.append(&[2; 9000]).unwrap();
            let after = read(&fs.crash(policy, seed));
            assert!(after.len() >= 700 && after[..700] == [1; 700], "{policy:?} {seed}");
            assert!(after[700..].iter().all(|b| [0, 2].contains(b)), "{policy:?} {seed}");
        }
    }
}

#[test]
fn each_policy_does_what_it_says() {
    let after = |policy, seed| {
        let (fs, mut file) = with_file(&[1; 700]);
        file.append(&[2; 9000]).unwrap();
        fs.create(Path::new("/g")).unwrap();
        let fs = fs.crash(policy, seed);
        (read(&fs), fs.exists(Path::new("/g")).unwrap())
    };
    let new = [vec![1; 700], vec![2; 9000]].concat();
    let zeros = [vec![1; 700], vec![0; 9000]].concat();
    assert_eq!(after(CrashPolicy::DropUnsynced, 0), (vec![1; 700], false));
    assert_eq!(after(CrashPolicy::KeepAll, 0), (new.clone(), true));
    assert_eq!(after(CrashPolicy::ZeroTail, 0), (zeros, true));
    let seen: Vec<_> = (0..50).map(|seed| after(CrashPolicy::LoseNames, seed)).collect();
    assert!(seen.iter().all(|(content, _)| *content == new));
    assert!(seen.iter().any(|(_, named)| *named) && seen.iter().any(|(_, named)| !*named));
    // A hole: a zero sector with new ones on both sides.
    let torn = (0..50).any(|seed| {
        let (content, _) = after(CrashPolicy::Tear { sector: 512 }, seed);
        let tail = content.get(1024..).unwrap_or_default();
        let lost = tail.iter().position(|b| *b == 0);
        lost.is_some_and(|at| tail[at..].contains(&2))
    });
    assert!(torn);
}

#[test]
fn an_unsynced_cut_can_come_back() {
    let (fs, mut file) = with_file(&[1; 700]);
    file.truncate(100).unwrap();
    file.append(&[3; 50]).unwrap();
    assert_eq!(read(&fs).len(), 150);
    assert_eq!(read(&fs.crash(CrashPolicy::DropUnsynced, 0)), [1; 700]);
}

#[test]
fn a_renamed_file_has_one_of_its_names_whatever_is_lost() {
    for seed in 0..20 {
        let (fs, _) = with_file(b"x");
        fs.rename(Path::new("/f"), Path::new("/g")).unwrap();
        let after = fs.crash(CrashPolicy::Mixed, seed);
        let names = after.read_dir(Path::new("/")).unwrap();
        assert_eq!(names.len(), 1, "{names:?}");
        assert_eq!(after.read(&Path::new("/").join(&names[0].name)).unwrap(), b"x");
    }
}

#[test]
fn after_a_failed_sync_no_later_sync_saves_the_bytes() {
    let (fs, mut file) = with_file(&[1; 10]);
    fs.fail(Fault::once(Op::Sync, 0, FaultError::Io));
    file.append(&[2; 10]).unwrap();
    assert!(file.sync().is_err());
    file.append(&[3; 10]).unwrap();
    file.sync().unwrap();
    assert_eq!(read(&fs), [[1; 10], [2; 10], [3; 10]].concat(), "readers still see them");
    let (seen, lost) = (read(&fs), [[1; 10], [0; 10], [3; 10]].concat());
    for policy in POLICIES.into_iter().filter(|policy| *policy != CrashPolicy::Mixed) {
        let after = read(&fs.crash(policy, 0));
        let want = if policy == CrashPolicy::KeepAll { &seen } else { &lost };
        assert_eq!(after, *want, "{policy:?}");
    }
}

#[test]
fn a_dead_machine_answers_nothing() {
    let (fs, mut file) = with_file(b"x");
    fs.crash_at(fs.ops() + 2);
    file.append(b"y").unwrap();
    assert!(file.sync().is_err() && fs.is_dead());
    assert!(file.append(b"z").is_err() && fs.create(Path::new("/g")).is_err());
    assert!(fs.read(Path::new("/f")).is_err() && fs.exists(Path::new("/f")).is_err());
    assert!(read(&fs.crash(CrashPolicy::DropUnsynced, 0)).starts_with(b"x"));
}

#[test]
fn a_full_disk_takes_what_fits_and_has_room_again_after_a_removal() {
    let (fs, mut file) = with_file(&[1; 90]);
    fs.set_capacity(100);
    let error = file.append(&[2; 20]).unwrap_err();
    assert_eq!((error.kind(), file.len()), (ErrorKind::StorageFull, 100));
    assert_eq!(fs.space(Path::new("/")).unwrap(), Space { total: 100, free: 0 });
    fs.remove_file(Path::new("/f")).unwrap();
    fs.create(Path::new("/g")).unwrap().append(&[3; 100]).unwrap();
}

#[test]
fn faults_strike_the_operation_they_name() {
    let (fs, mut file) = with_file(&[]);
    fs.fail(Fault::once(Op::Append, 1, FaultError::ShortWrite));
    fs.fail(Fault { path: "/g".to_owned(), ..Fault::sticky(Op::Create, 0, FaultError::NoSpace) });
    file.append(&[1; 4]).unwrap();
    assert!(file.append(&[2; 4]).is_err());
    file.append(&[3; 4]).unwrap();
    assert_eq!(read(&fs), [1, 1, 1, 1, 2, 2, 3, 3, 3, 3]);
    for _ in 0..3 {
        assert!(fs.create(Path::new("/g")).is_err());
    }
    fs.fail(Fault { bytes: 4..5, ..Fault::sticky(Op::Read, 0, FaultError::Io) });
    let scan = fs.open_scan(Path::new("/f")).unwrap();
    assert!(scan.bytes(0, 4).is_ok() && scan.bytes(5, 5).is_ok() && scan.bytes(0, 5).is_err());
    fs.clear_faults();
    assert!(scan.bytes(0, 5).is_ok());
}

#[test]
fn ignoring_syncs_loses_what_was_synced() {
    let fs = SimFs::new(1);
    fs.set_ignore_sync(true);
    let mut file = fs.create(Path::new("/f")).unwrap();
    file.append(b"x").unwrap();
    file.sync().unwrap();
    fs.sync_dir(Path::new("/")).unwrap();
    assert_eq!(read(&fs.crash(CrashPolicy::DropUnsynced, 0)), b"");
}
