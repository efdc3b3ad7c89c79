//! Edits through SQLite, as somebody would make them who knows the format and lacks the key.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use secretsd_tests::env::PASSPHRASE;
use secretsd_tests::http::raw;
use serde_json::json;

use crate::bench::{Bench, Verdict};

/// What must become of an edited vault.
#[derive(Clone, Copy)]
enum Expect {
    /// It does not open, and is called damaged.
    Corrupt,
    /// It does not open, because no slot fits the key any more.
    WrongKey,
    /// It does not open, as a vault of a newer format.
    Newer,
    /// It opens, and these questions about it are refused.
    Partly(&'static [&'static str]),
    /// Nothing has changed for its owner.
    NoEffect,
}

use Expect::{Corrupt, Newer, NoEffect, Partly, WrongKey};

/// Views of what is in the file, numbered: v is values, s secrets, `changed` those
/// that had another value before. `other` is another vault, `older` this one in an earlier state.
const VIEWS: &str = "
    CREATE TEMP TABLE v AS SELECT *, row_number() OVER (ORDER BY id, version) AS n FROM record WHERE kind = 2;
    CREATE TEMP TABLE s AS SELECT *, row_number() OVER (ORDER BY id) AS n FROM record WHERE kind = 1;
    CREATE TEMP TABLE changed AS
        SELECT new.id AS id, new.version AS new, old.version AS old, old.sealed AS sealed
        FROM record AS new JOIN older.record AS old ON new.id = old.id
            JOIN v ON v.id = new.id AND v.version = new.version
        WHERE new.kind = 1 AND old.kind = 1 AND new.version > old.version ORDER BY new.id;
    CREATE TEMP TABLE n AS SELECT max(sequence) AS n FROM audit;";

/// The number of a slot's kind: key file, recovery key, passphrase.
const KEY_FILE: &str = "kind = 2";
const RECOVERY: &str = "kind = 4";
const PASSPHRASE_SLOT: &str = "kind = 1";

#[rustfmt::skip]
fn attacks() -> Vec<(&'static str, Expect, String)> {
    let value = |n: u32| format!("kind = 2 AND (id, version) = (SELECT id, version FROM v WHERE n = {n})");
    let secret = |n: u32| format!("kind = 1 AND (id, version) = (SELECT id, version FROM s WHERE n = {n})");
    let one = |table: &str, set: &str, what: &str| format!("UPDATE {table} SET {set} WHERE {what}");
    // Another byte than the one that is there, which may be zero already.
    let flip = |column: &str| format!("{column} = CAST(substr({column}, 1, 20) || CASE substr({column}, 21, 1) WHEN x'00' THEN x'01' ELSE x'00' END || substr({column}, 22) AS BLOB)");
    let schema = |sql: &str| format!("PRAGMA writable_schema = ON; {sql}; PRAGMA writable_schema = RESET");
    let mut attacks: Vec<(&'static str, Expect, String)> = vec![
        // Values and secrets.
        ("swap two values", Corrupt, format!("UPDATE record SET sealed = (SELECT sealed FROM v WHERE n = 2) WHERE {}; UPDATE record SET sealed = (SELECT sealed FROM v WHERE n = 1) WHERE {}", value(1), value(2))),
        ("swap two secrets", Corrupt, format!("UPDATE record SET sealed = (SELECT sealed FROM s WHERE n = 2) WHERE {}; UPDATE record SET sealed = (SELECT sealed FROM s WHERE n = 1) WHERE {}", secret(1), secret(2))),
        ("swap two values' ids", Corrupt, "UPDATE record SET id = x'00' WHERE kind = 2 AND id = (SELECT id FROM s WHERE n = 1); UPDATE record SET id = (SELECT id FROM s WHERE n = 1) WHERE kind = 2 AND id = (SELECT id FROM s WHERE n = 2); UPDATE record SET id = (SELECT id FROM s WHERE n = 2) WHERE id = x'00'".into()),
        ("swap all of two secrets' ids", Corrupt, "UPDATE record SET id = x'00' WHERE id = (SELECT id FROM s WHERE n = 1); UPDATE record SET id = (SELECT id FROM s WHERE n = 1) WHERE id = (SELECT id FROM s WHERE n = 2); UPDATE record SET id = (SELECT id FROM s WHERE n = 2) WHERE id = x'00'".into()),
        ("change an id", Corrupt, format!("UPDATE record SET id = randomblob(16) WHERE {}", secret(3))),
        ("delete a value", Corrupt, format!("DELETE FROM record WHERE {}", value(5))),
        ("delete an old version", Corrupt, "DELETE FROM record WHERE kind = 2 AND version = 1 AND id = (SELECT id FROM changed)".into()),
        ("delete a secret's metadata", Corrupt, format!("DELETE FROM record WHERE {}", secret(4))),
        ("delete a whole secret", Corrupt, "DELETE FROM record WHERE id = (SELECT id FROM s WHERE n = 4)".into()),
        ("delete all records", Corrupt, "DELETE FROM record".into()),
        ("duplicate a value under another id", Corrupt, "INSERT INTO record SELECT kind, randomblob(16), version, sealed FROM v WHERE n = 1".into()),
        ("duplicate a value under another version", Corrupt, "INSERT INTO record SELECT kind, id, version + 50, sealed FROM v WHERE n = 1".into()),
        ("duplicate a whole secret", Corrupt, "INSERT INTO record SELECT kind, x'000102030405060708090a0b0c0d0e0f', version, sealed FROM record WHERE id = (SELECT id FROM s WHERE n = 4)".into()),
        ("copy a value over another secret's", Corrupt, format!("UPDATE record SET sealed = (SELECT sealed FROM v WHERE n = 1) WHERE {}", value(2))),
        ("turn a value into a token", Corrupt, format!("UPDATE record SET kind = 3 WHERE {}", value(1))),
        ("turn a value into a kind that never was", Corrupt, format!("UPDATE record SET kind = 99 WHERE {}", value(1))),
        ("a negative kind", Corrupt, format!("UPDATE record SET kind = -1 WHERE {}", value(1))),
        ("a higher version", Corrupt, format!("UPDATE record SET version = version + 1 WHERE {}", secret(1))),
        ("a negative version", Corrupt, format!("UPDATE record SET version = -1 WHERE {}", secret(1))),
        ("the highest version", Corrupt, format!("UPDATE record SET version = 9223372036854775807 WHERE {}", secret(1))),
        ("an id of 15 bytes", Corrupt, format!("UPDATE record SET id = substr(id, 1, 15) WHERE {}", secret(1))),
        ("an empty value", Corrupt, format!("UPDATE record SET sealed = x'' WHERE {}", value(1))),
        ("a value without its last byte", Corrupt, format!("UPDATE record SET sealed = substr(sealed, 1, length(sealed) - 1) WHERE {}", value(1))),
        ("a value with one byte more", Corrupt, format!("UPDATE record SET sealed = CAST(sealed || x'00' AS BLOB) WHERE {}", value(1))),
        ("a value of another sealing format", Corrupt, format!("UPDATE record SET sealed = CAST(x'02' || substr(sealed, 2) AS BLOB) WHERE {}", value(1))),
        ("a value of 32 MiB", Corrupt, format!("UPDATE record SET sealed = zeroblob(33554432) WHERE {}", value(1))),
        ("roll back a secret's row", Corrupt, "UPDATE record SET version = (SELECT old FROM changed), sealed = (SELECT sealed FROM changed) WHERE kind = 1 AND id = (SELECT id FROM changed)".into()),
        ("roll back a secret's row and keep its version", Corrupt, "UPDATE record SET sealed = (SELECT sealed FROM changed) WHERE kind = 1 AND id = (SELECT id FROM changed)".into()),
        ("an old value in the present one's place", Corrupt, "UPDATE record SET sealed = (SELECT v.sealed FROM v JOIN changed ON v.id = changed.id ORDER BY changed.id, v.version LIMIT 1) WHERE kind = 2 AND id = (SELECT id FROM changed) AND version = (SELECT new FROM changed)".into()),
        ("roll back a whole secret", Corrupt, "DELETE FROM record WHERE id = (SELECT id FROM changed); INSERT INTO record SELECT * FROM older.record WHERE id = (SELECT id FROM changed)".into()),
        ("roll back all secrets", Corrupt, "DELETE FROM record; INSERT INTO record SELECT * FROM older.record".into()),
        ("bring back a secret out of the trash", Corrupt, "DELETE FROM record WHERE kind = 1; INSERT INTO record SELECT * FROM older.record WHERE kind = 1".into()),
        ("another vault's records", Corrupt, "DELETE FROM record; INSERT INTO record SELECT * FROM other.record".into()),
        ("another vault's secret beside ours", Corrupt, "INSERT INTO record SELECT * FROM other.record WHERE id = (SELECT id FROM other.record WHERE kind = 1 LIMIT 1)".into()),
        // Slots.
        ("the key file's slot gone", WrongKey, format!("DELETE FROM slot WHERE {KEY_FILE}")),
        ("the recovery slot gone", Corrupt, format!("DELETE FROM slot WHERE {RECOVERY}")),
        ("all slots gone", WrongKey, "DELETE FROM slot".into()),
        ("a slot twice", Corrupt, format!("INSERT INTO slot SELECT randomblob(16), kind, memory_kib, passes, lanes, salt, wrapped, sealed FROM slot WHERE {KEY_FILE}")),
        ("another vault's slot beside ours", Corrupt, format!("INSERT INTO slot SELECT * FROM other.slot WHERE {KEY_FILE}")),
        ("another vault's slots", WrongKey, "DELETE FROM slot; INSERT INTO slot SELECT * FROM other.slot".into()),
        ("an older state's slots and header", Corrupt, "DELETE FROM slot; INSERT INTO slot SELECT * FROM older.slot; DELETE FROM manifest; INSERT INTO manifest SELECT * FROM older.manifest".into()),
        ("a slot of a kind that never was", Corrupt, one("slot", "kind = 77", RECOVERY)),
        ("a thousand slots more", Corrupt, "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 1000) INSERT INTO slot SELECT randomblob(16), 2, 0, 0, 0, randomblob(16), randomblob(60), sealed FROM c, slot WHERE kind = 2".into()),
        ("our key file's slot with another kind", WrongKey, one("slot", "kind = 5", KEY_FILE)),
        ("our key file's slot with a cost", WrongKey, one("slot", "memory_kib = 19456", KEY_FILE)),
        ("our key file's slot with another salt", WrongKey, one("slot", "salt = randomblob(16)", KEY_FILE)),
        ("our key file's slot with another wrapped key", WrongKey, one("slot", &flip("wrapped"), KEY_FILE)),
        ("our key file's slot under another id", WrongKey, one("slot", "id = randomblob(16)", KEY_FILE)),
        ("our key file's slot with another description", Corrupt, one("slot", &flip("sealed"), KEY_FILE)),
        ("our key file's slot with an empty wrapped key", WrongKey, one("slot", "wrapped = x''", KEY_FILE)),
        // Header and manifest.
        ("another vault id", WrongKey, "UPDATE header SET vault = randomblob(16)".into()),
        ("a vault id of 15 bytes", Corrupt, "UPDATE header SET vault = randomblob(15)".into()),
        ("another lineage", Corrupt, "UPDATE header SET lineage = randomblob(16)".into()),
        ("a later epoch", WrongKey, "UPDATE header SET epoch = epoch + 1".into()),
        ("a negative epoch", Corrupt, "UPDATE header SET epoch = -1".into()),
        ("an epoch out of range", Corrupt, "UPDATE header SET epoch = epoch + 4294967296".into()),
        ("another header MAC", Corrupt, "UPDATE header SET mac = randomblob(32)".into()),
        ("another vault's header", WrongKey, "DELETE FROM header; INSERT INTO header SELECT * FROM other.header".into()),
        ("another vault's header and slots", Corrupt, "DELETE FROM header; DELETE FROM slot; INSERT INTO header SELECT * FROM other.header; INSERT INTO slot SELECT * FROM other.slot".into()),
        ("another vault's header, slots and manifest", Corrupt, "DELETE FROM header; DELETE FROM slot; DELETE FROM manifest; INSERT INTO header SELECT * FROM other.header; INSERT INTO slot SELECT * FROM other.slot; INSERT INTO manifest SELECT * FROM other.manifest".into()),
        ("no header", Corrupt, "DELETE FROM header".into()),
        ("two headers", Corrupt, "PRAGMA ignore_check_constraints = ON; INSERT INTO header SELECT 2, vault, lineage, epoch, mac FROM header".into()),
        ("an old manifest", Corrupt, "DELETE FROM manifest; INSERT INTO manifest SELECT * FROM older.manifest".into()),
        ("a later generation", Corrupt, "UPDATE manifest SET generation = generation + 1".into()),
        ("an earlier generation", Corrupt, "UPDATE manifest SET generation = generation - 1".into()),
        ("a negative generation", Corrupt, "UPDATE manifest SET generation = -1".into()),
        ("a changed manifest", Corrupt, format!("UPDATE manifest SET {}", flip("sealed"))),
        ("another vault's manifest", Corrupt, "DELETE FROM manifest; INSERT INTO manifest SELECT * FROM other.manifest".into()),
        ("no manifest", Corrupt, "DELETE FROM manifest".into()),
        ("two manifests", Corrupt, "PRAGMA ignore_check_constraints = ON; INSERT INTO manifest SELECT 0, generation, sealed FROM older.manifest".into()),
        // The audit log.
        ("the first audit entry gone", Corrupt, "DELETE FROM audit WHERE sequence = 1".into()),
        ("an audit entry gone", Corrupt, "DELETE FROM audit WHERE sequence = 7".into()),
        ("the last audit entry gone", Corrupt, "DELETE FROM audit WHERE sequence = (SELECT n FROM n)".into()),
        ("half of the audit log gone", Corrupt, "DELETE FROM audit WHERE sequence > (SELECT n / 2 FROM n)".into()),
        ("an audit entry more", Corrupt, "INSERT INTO audit SELECT sequence + 1, sealed, mac FROM audit WHERE sequence = (SELECT n FROM n)".into()),
        ("the last audit entry's MAC", Corrupt, "UPDATE audit SET mac = randomblob(32) WHERE sequence = (SELECT n FROM n)".into()),
        ("an old audit log", Corrupt, "DELETE FROM audit; INSERT INTO audit SELECT * FROM older.audit".into()),
        ("an audit entry edited", Partly(&["audit", "verification"]), format!("UPDATE audit SET {} WHERE sequence = 7", flip("sealed"))),
        ("the last audit entry edited", Partly(&["audit", "verification"]), format!("UPDATE audit SET {} WHERE sequence = (SELECT n FROM n)", flip("sealed"))),
        ("two audit entries swapped", Partly(&["audit", "verification"]), "UPDATE audit SET sequence = 0 WHERE sequence = 7; UPDATE audit SET sequence = 7 WHERE sequence = 8; UPDATE audit SET sequence = 8 WHERE sequence = 0".into()),
        ("an audit entry in another's place", Partly(&["audit", "verification"]), "UPDATE audit SET sealed = (SELECT sealed FROM audit WHERE sequence = 7), mac = (SELECT mac FROM audit WHERE sequence = 7) WHERE sequence = 8".into()),
        ("an audit entry moved to the front", Partly(&["audit", "verification"]), "UPDATE audit SET sequence = 0 WHERE sequence = 7".into()),
        ("an audit entry moved below zero", Partly(&["audit", "verification"]), "UPDATE audit SET sequence = -7 WHERE sequence = 7".into()),
        // The schema.
        ("a table more", Corrupt, "CREATE TABLE more (a) ".into()),
        ("a view more", Corrupt, "CREATE VIEW more AS SELECT 1".into()),
        ("an index more", Corrupt, "CREATE INDEX more ON audit (mac)".into()),
        ("a trigger more", Corrupt, "CREATE TRIGGER more AFTER INSERT ON record BEGIN DELETE FROM audit; END".into()),
        ("a column more", Corrupt, "ALTER TABLE record ADD COLUMN more BLOB".into()),
        ("a column renamed", Corrupt, "ALTER TABLE record RENAME COLUMN sealed TO opened".into()),
        ("a table gone", Corrupt, "DROP TABLE audit".into()),
        ("a table replaced by a view", Corrupt, "ALTER TABLE audit RENAME TO hidden; CREATE VIEW audit AS SELECT * FROM hidden".into()),
        ("statistics", NoEffect, "ANALYZE".into()),
        ("forged statistics", NoEffect, "ANALYZE; UPDATE sqlite_stat1 SET stat = '9223372036854775807 -1 x'; INSERT INTO sqlite_stat1 VALUES ('record', 'none', zeroblob(99)), (NULL, NULL, NULL)".into()),
        ("statistics of another form", Corrupt, schema("ANALYZE; UPDATE sqlite_schema SET sql = 'CREATE TABLE sqlite_stat1(tbl,idx,stat,more)' WHERE name = 'sqlite_stat1'")),
        ("an index on statistics", Corrupt, schema("ANALYZE; INSERT INTO sqlite_schema SELECT 'index', 'more', 'sqlite_stat1', rootpage, 'CREATE INDEX more ON sqlite_stat1(tbl)' FROM sqlite_schema WHERE name = 'sqlite_stat1'")),
        ("a table's text", Corrupt, schema("UPDATE sqlite_schema SET sql = replace(sql, 'CREATE TABLE', 'create table') WHERE name = 'audit'")),
        ("a table without STRICT", Corrupt, schema("UPDATE sqlite_schema SET sql = replace(sql, ' STRICT', '') WHERE name = 'audit'")),
        ("a table with a default", Corrupt, schema("UPDATE sqlite_schema SET sql = replace(sql, 'mac BLOB', 'mac BLOB DEFAULT 1') WHERE name = 'audit'")),
        ("no schema at all", Corrupt, schema("DELETE FROM sqlite_schema")),
        ("another application id", Corrupt, "PRAGMA application_id = 1".into()),
        ("no application id", Corrupt, "PRAGMA application_id = 0".into()),
        ("format 0", Corrupt, "PRAGMA user_version = 0".into()),
        ("format 2", Newer, "PRAGMA user_version = 2".into()),
        ("a negative format", Corrupt, "PRAGMA user_version = -1".into()),
        // The same rows in another file.
        ("rebuilt", NoEffect, "VACUUM".into()),
        ("rebuilt without a log", NoEffect, "PRAGMA journal_mode = DELETE; VACUUM".into()),
        ("rebuilt with another page size", NoEffect, "PRAGMA journal_mode = DELETE; PRAGMA page_size = 1024; VACUUM".into()),
        ("rebuilt to vacuum itself", NoEffect, "PRAGMA auto_vacuum = FULL; VACUUM".into()),
    ];
    for (name, column) in [("kind", "kind = 2"), ("memory", "memory_kib = memory_kib + 1"), ("passes", "passes = passes + 1"), ("lanes", "lanes = lanes + 1"), ("salt", "salt = randomblob(16)"), ("id", "id = randomblob(16)"), ("memory out of bounds", "memory_kib = 4294967295"), ("negative memory", "memory_kib = -1"), ("memory beyond a number", "memory_kib = 1099511627776")] {
        attacks.push((name, Corrupt, one("slot", column, PASSPHRASE_SLOT)));
    }
    attacks.push(("wrapped key", Corrupt, one("slot", &flip("wrapped"), PASSPHRASE_SLOT)));
    attacks.push(("description", Corrupt, one("slot", &flip("sealed"), PASSPHRASE_SLOT)));
    attacks
}

/// Edits a copy of the specimen.
fn edited(bench: &Bench, other: &Bench, sql: &str) -> Vec<u8> {
    let path = bench.scratch("edited", &bench.specimen.vault);
    let attach = |name: &str, content: &[u8]| {
        let path = bench.scratch(name, content);
        format!("ATTACH '{}' AS {name};", path.display())
    };
    let db = Connection::open(&path).unwrap();
    db.execute_batch(&(attach("older", &bench.older.vault) + &attach("other", &other.specimen.vault)))
        .unwrap();
    db.execute_batch(VIEWS).unwrap();
    db.execute_batch(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    drop(db);
    fs::read(&path).unwrap()
}

#[test]
fn edited_rows_are_refused_or_have_no_effect() {
    let (mut bench, other) = (Bench::new(), Bench::new());
    let attacks = attacks();
    assert_eq!(attacks.iter().map(|(name, ..)| name).collect::<BTreeSet<_>>().len(), attacks.len());
    let anchor = bench.specimen.anchor.clone();
    let mut wrong = Vec::new();
    for (name, expected, sql) in &attacks {
        let vault = edited(&bench, &other, sql);
        assert!(vault != bench.specimen.vault, "{name}: nothing was changed");
        let refused = |kind: &str| Verdict::Refused(kind.to_owned());
        let expected = match expected {
            Corrupt => refused("vault_corrupt_error"),
            WrongKey => refused("wrong_key_error"),
            Newer => refused("storage_error"),
            Partly(questions) => Verdict::Partly(
                questions.iter().map(|q| ((*q).to_owned(), "vault_corrupt_error".to_owned())).collect(),
            ),
            NoEffect => Verdict::Intact,
        };
        let verdict = bench.judge(&vault, &anchor);
        if verdict != expected {
            wrong.push(format!("{name}: expected {expected:?}, got {verdict:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(!bench.env.log().contains("panicked"));
    println!("{} attacks", attacks.len());
}

#[test]
fn a_newer_format_is_named_as_such() {
    let (mut bench, other) = (Bench::new(), Bench::new());
    let vault = edited(&bench, &other, "PRAGMA user_version = 2");
    bench.place(&vault, &bench.specimen.anchor);
    let refused = bench.unlock().expect_error(500, "storage_error");
    assert!(refused["detail"].as_str().unwrap().to_lowercase().contains("newer"), "{refused}");
    assert!(bench.env.log().contains("format 2"), "the log does not say which");
}

/// A forged cost must not make the daemon take the memory before it finds out.
#[test]
fn a_forged_cost_is_refused_before_it_is_paid() {
    let (mut bench, other) = (Bench::new(), Bench::new());
    for cost in
        ["memory_kib = 2097153", "passes = 17", "lanes = 9", "memory_kib = 8", "passes = 1", "lanes = 0"]
    {
        let vault = edited(&bench, &other, &format!("UPDATE slot SET {cost} WHERE {PASSPHRASE_SLOT}"));
        bench.place(&vault, &bench.specimen.anchor);
        let answer = bench.env.post("/vault/unlock", &json!({ "passphrase": PASSPHRASE }));
        answer.expect_error(500, "vault_corrupt_error");
        bench.lock();
    }
}

/// Makes copies of the passphrase's slot that open with nothing, each as expensive as this says.
fn with_slots(bench: &Bench, other: &Bench, count: usize, cost: &str) -> Vec<u8> {
    let sql = format!(
        "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {count})
         INSERT INTO slot SELECT randomblob(16), kind, memory_kib, passes, lanes, salt, wrapped, sealed
             FROM slot, n WHERE {PASSPHRASE_SLOT};
         UPDATE slot SET {cost} WHERE {PASSPHRASE_SLOT}"
    );
    edited(bench, other, &sql)
}

/// Nobody waits for keys to be tried one after the other that a stranger has put there.
#[test]
fn more_slots_than_a_vault_can_have_are_refused_before_they_are_tried() {
    let (mut bench, other) = (Bench::new(), Bench::new());
    // With the three that are there already.
    let vault = with_slots(&bench, &other, 62, "memory_kib = 262144, passes = 16");
    bench.place(&vault, &bench.specimen.anchor);
    let began = Instant::now();
    let answer = bench.env.post("/vault/unlock", &json!({ "passphrase": "wrong" }));
    answer.expect_error(500, "vault_corrupt_error");
    bench.unlock().expect_error(500, "vault_corrupt_error");
    assert!(began.elapsed() < Duration::from_secs(5), "after {:?}", began.elapsed());
}

#[test]
fn an_unlock_does_not_wait_for_one_whose_caller_has_gone() {
    let (mut bench, other) = (Bench::new(), Bench::new());
    let vault = with_slots(&bench, &other, 61, "memory_kib = 262144, passes = 16");
    bench.place(&vault, &bench.specimen.anchor);
    let body = json!({ "passphrase": "wrong" }).to_string();
    let request = format!(
        "POST /api/v1/vault/unlock HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        bench.env.token(),
        body.len()
    );
    // Long enough to be at the first slots, and no longer there for an answer.
    assert!(raw(&bench.env.socket(), request.as_bytes(), Duration::from_millis(500)).is_empty());
    // A key of another kind, for which only its turn is waited.
    bench.unlock().expect_error(500, "vault_corrupt_error");
    bench.lock();
    bench.place(&bench.specimen.vault, &bench.specimen.anchor);
    bench.unlock().expect(200);
}

/// Part of an audit log is as good as all of it only if what is missing shows.
#[test]
fn the_newest_audit_entries_have_no_silent_gap() {
    let (mut bench, other) = (Bench::new(), Bench::new());
    // The counts stay right: one entry is gone, and one is there that nobody asks for.
    let hide = "UPDATE audit SET sequence = 0 WHERE sequence = (SELECT n - 2 FROM n)";
    let vault = edited(&bench, &other, hide);
    bench.place(&vault, &bench.specimen.anchor);
    bench.unlock().expect(200);
    let answer = bench.connection.ask("GET", "/audit?limit=10", None);
    answer.expect_error(500, "vault_corrupt_error");
}
