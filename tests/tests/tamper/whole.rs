//! Other files in the vault's or the anchor's place, and beside them.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::json;

use crate::bench::{Bench, Verdict};

fn refused(kind: &str) -> Verdict {
    Verdict::Refused(kind.to_owned())
}

#[test]
fn another_file_in_the_vaults_place_is_refused() {
    let (mut bench, other) = (Bench::new(), Bench::new());
    let (vault, anchor) = (bench.specimen.vault.clone(), bench.specimen.anchor.clone());
    let page = 4_096;
    assert!(vault.len() > 10 * page && vault.len() % page == 0);
    for length in (0..vault.len()).step_by(page) {
        let verdict = bench.judge(&vault[..length], &anchor);
        assert_eq!(verdict, refused("vault_corrupt_error"), "cut at {length}");
        let verdict = bench.judge(&vault[..length + 1_000], &anchor);
        assert_eq!(verdict, refused("vault_corrupt_error"), "cut at {}", length + 1_000);
    }
    for content in [&b"x"[..], b"a text\n", &[0; 4_096], b"SQLite format 3\0", &other.specimen.vault[..100]] {
        assert_eq!(bench.judge(content, &anchor), refused("vault_corrupt_error"));
        assert_eq!(fs::read(bench.vault()).unwrap(), content, "what cannot be read is not changed");
    }
    assert_eq!(
        bench.judge(&other.specimen.vault, &anchor),
        Verdict::RolledBack,
        "same key file, other vault"
    );

    // What stands behind the last page is no part of the database.
    for garbage in [&[0; 4_096][..], b"garbage"] {
        let longer = [&vault, garbage].concat();
        assert_eq!(bench.judge(&longer, &anchor), Verdict::Intact);
    }
    assert_eq!(bench.judge(&vault, &anchor), Verdict::Intact);
}

#[test]
fn what_is_not_a_private_file_is_not_opened() {
    let mut bench = Bench::new();
    let (vault, anchor) = (bench.specimen.vault.clone(), bench.specimen.anchor.clone());
    let aside = bench.env.private_file("aside.db", &vault);
    for guard in [false, true] {
        let path = if guard { bench.anchor() } else { bench.vault() };
        for kind in ["symlink", "directory", "fifo", "open to others"] {
            bench.place(&vault, &anchor);
            if kind != "open to others" {
                fs::remove_file(&path).unwrap();
            }
            match kind {
                "symlink" => symlink(&aside, &path).unwrap(),
                "directory" => fs::create_dir(&path).unwrap(),
                "fifo" => mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap(),
                _ => fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap(),
            }
            assert_eq!(bench.judge_placed(), refused("storage_error"), "{kind}");
        }
    }
    bench.place(&vault, &anchor);
    fs::remove_file(bench.vault()).unwrap();
    assert_eq!(bench.judge_placed(), refused("vault_corrupt_error"));
    assert!(!bench.vault().exists(), "a vault that has disappeared is not replaced by an empty one");
    assert_eq!(bench.judge(&vault, &anchor), Verdict::Intact);
}

/// SQLite believes a log or a journal that lies beside a database, whosever it is.
#[test]
fn another_log_beside_the_vault_is_refused_and_does_no_harm() {
    let (mut bench, mut other) = (Bench::new(), Bench::new());
    let (vault, anchor) = (bench.specimen.vault.clone(), bench.specimen.anchor.clone());
    other.unlock().expect(200);
    other.env.store("MORE", "in the log");
    other.env.kill();
    let foreign = fs::read(other.beside("-wal")).unwrap();
    assert!(!foreign.is_empty());

    for (suffix, content) in [
        ("-wal", &foreign[..]),
        ("-wal", b"garbage"),
        ("-wal", &foreign[..foreign.len() / 2]),
        ("-journal", b"garbage"),
        ("-journal", &foreign),
        ("-shm", b"garbage"),
    ] {
        bench.place(&vault, &anchor);
        bench.place_beside(suffix, content);
        let verdict = bench.judge_placed();
        assert!(matches!(verdict, Verdict::Refused(_) | Verdict::Intact), "{suffix}: {verdict:?}");
        if let Verdict::Refused(_) = verdict {
            assert!(fs::read(bench.vault()).unwrap() == vault, "a refused {suffix} got into the vault");
        }
    }
}

#[test]
fn an_old_copy_can_be_read_once_it_is_accepted() {
    let mut bench = Bench::new();
    let (older, anchor) = (bench.older.clone(), bench.specimen.anchor.clone());
    assert_eq!(bench.judge(&older.vault, &anchor), Verdict::RolledBack);
    // Neither looking at it nor locking it makes it the present one.
    assert_eq!(fs::read(bench.anchor()).unwrap(), anchor);
    assert_eq!(bench.judge_placed(), Verdict::RolledBack);

    bench.unlock().expect(200);
    let accepted = bench.connection.ask("POST", "/vault/verify", Some(&json!({ "accept_restore": true })));
    accepted.expect(200);
    bench.lock();
    bench.specimen.contents = older.contents;
    assert_eq!(bench.judge_placed(), Verdict::Intact, "the old copy as it was");
    // And the copy that it replaced is now the one of another history.
    let (vault, renewed) = (bench.specimen.vault.clone(), fs::read(bench.anchor()).unwrap());
    assert_eq!(bench.judge(&vault, &renewed), Verdict::RolledBack);
}

#[test]
fn an_anchor_of_another_time_or_vault_is_told_apart() {
    let (mut bench, other) = (Bench::new(), Bench::new());
    let (vault, anchor) = (bench.specimen.vault.clone(), bench.specimen.anchor.clone());
    assert_eq!(bench.judge(&vault, &bench.older.anchor.clone()), Verdict::Intact, "older than the vault");
    assert_eq!(bench.judge(&vault, &other.specimen.anchor), Verdict::RolledBack, "another vault's");
    for content in [&b""[..], b"a text\n", &anchor[..40], &[anchor.as_slice(), b"x"].concat(), &[0; 5_000]] {
        let verdict = bench.judge(&vault, content);
        assert!(matches!(verdict, Verdict::Refused(_)), "{} bytes: {verdict:?}", content.len());
    }
    bench.place(&vault, &anchor);
    fs::remove_file(bench.anchor()).unwrap();
    assert_eq!(bench.judge_placed(), Verdict::Intact, "the first start on another machine");
    assert!(bench.anchor().exists(), "a new guard is set up");
}
