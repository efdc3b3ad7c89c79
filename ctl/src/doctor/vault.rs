//! The vault's files, as far as they can be judged without a key, and what the open vault says of itself.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::statvfs;
use secrets_local::leap::{Sighting, Times};
use secrets_local::{files, places};
use secrets_proto::vault::{AutoLock, Obstacle, VaultState};

use super::paths::{Kind, private};
use super::report::{Report, as_root, quoted, removing};
use super::service::Service;
use super::setup::Setup;
use super::system;
use crate::approval;
use crate::leap;
use crate::obstacle::hindered_by;
use crate::{session, unconfirmed, vault_file};

/// The anchor's first bytes and its length.
const ANCHOR: (&[u8; 4], u64) = (b"SDA1", 80);

/// Below this much room writes are about to fail.
const LITTLE_ROOM: u64 = 16 << 20;

/// How long after a write the guard may take, and some more.
const FRESH: Duration = Duration::from_secs(3);

/// File systems that do not keep what they say, or not for long: their numbers are from statfs(2).
const UNFIT: [(u64, &str); 8] = [
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB2"),
    (0x6573_5546, "FUSE"),
    (0x0102_1997, "9p"),
    (0x0102_1994, "tmpfs"),
    (0x794c_7630, "an overlay"),
];

pub(super) fn check(report: &mut Report, setup: &Setup, service: &Service) {
    let vault = setup.data_dir.join(places::VAULT);
    let before = report.len();
    private(report, "lock", &setup.data_dir.join(places::LOCK), Kind::File);
    let exists = private(report, "vault", &vault, Kind::File);
    for companion in ["vault.db-wal", "vault.db-shm"] {
        private(report, "vault", &setup.data_dir.join(companion), Kind::File);
    }
    if exists && report.len() == before {
        contents(report, setup, &vault);
    }
    if exists {
        anchor(report, setup);
        kept(report, setup);
        file_system(report, setup);
        room(report, setup);
        clock(report, setup, &vault);
    } else {
        match vault_file::put_aside(&setup.data_dir) {
            Some(aside) => {
                let what = session::interrupted(&aside);
                report.fault("vault", what, "nothing else can be opened until it is back", None);
            }
            None => report.ok("vault", "there is no vault yet; create it with: secretctl init"),
        }
    }
    said(report, setup, service);
    guards(report, setup, service);
}

/// Whether what is guarded can be had by another way.
fn guards(report: &mut Report, setup: &Setup, service: &Service) {
    let Some((guarded @ 1.., kinds)) = service.guarded(setup) else { return };
    let secrets = if guarded == 1 {
        "1 secret is guarded".to_owned()
    } else {
        format!("{guarded} secrets are guarded")
    };
    if kinds.is_empty() {
        return report.ok("guards", secrets);
    }
    let what = format!("{secrets}, and {} opens the vault, too", approval::ways_in(&kinds));
    let why = "a program that can read it needs no approval";
    report.warning("guards", what, why, Some("secretctl key list".to_owned()));
}

fn contents(report: &mut Report, setup: &Setup, vault: &Path) {
    let mut beginning = Vec::new();
    let read = File::open(vault).and_then(|file| file.take(100).read_to_end(&mut beginning));
    if read.is_err() || !vault_file::is_vault(&beginning) {
        let what = format!("{} is not a vault of secretsd", vault.display());
        let why = "the daemon neither opens nor replaces it; put a backup in its place";
        return report.fault("vault", what, why, Some("secretctl restore-vault BACKUP".to_owned()));
    }
    if vault_file::has_log(vault) && setup.holder.is_none() {
        let what = "the newest writes are in vault.db-wal, left over from a daemon that has ended";
        let why =
            "vault.db alone is an older vault: do not copy it; the next unlock moves the writes into it";
        return report.warning("vault", what, why, Some("secretctl unlock".to_owned()));
    }
    report.ok("vault", format!("{} is yours alone", vault.display()));
}

fn anchor(report: &mut Report, setup: &Setup) {
    let path = setup.state_dir.join(places::ANCHOR);
    let before = report.len();
    let exists = private(report, "anchor", &path, Kind::File);
    if report.len() > before {
        return;
    }
    if !exists && is_fresh(&setup.data_dir) {
        return report.ok("anchor", "the guard against an older copy of the vault will be created");
    }
    if !exists {
        let what =
            format!("there is no guard against an older copy of the vault in {}", setup.state_dir.display());
        let why = "an older vault would not be noticed; the next write creates the guard again";
        let fix = "secretctl unlock && secretctl lock";
        return report.warning("anchor", what, why, Some(fix.to_owned()));
    }
    let mut beginning = [0; 4];
    let is_whole = File::open(&path).and_then(|mut file| file.read_exact(&mut beginning)).is_ok()
        && &beginning == ANCHOR.0
        && fs::metadata(&path).is_ok_and(|metadata| metadata.len() == ANCHOR.1);
    if is_whole {
        return report.ok("anchor", format!("{} is in its place", path.display()));
    }
    let word = quoted(&path);
    let what = format!("{} is damaged", path.display());
    let why = "the vault does not open: it may be an old copy. If it is your newest, move the guard away";
    report.fault("anchor", what, why, Some(format!("mv {word} {word}.damaged")));
}

/// Vaults that restores have put aside.
fn kept(report: &mut Report, setup: &Setup) {
    let kept = vault_file::kept(&setup.data_dir);
    if kept.is_empty() {
        return;
    }
    let names: Vec<String> = kept.iter().map(|path| path.display().to_string()).collect();
    let what = format!("the vault from before a restore is kept: {}", names.join(", "));
    let why = "it opens with the keys it had then, and holds secrets destroyed since; delete it when you no longer need it";
    report.warning("kept-vault", what, why, Some(removing(&kept)));
}

/// Whether the vault was written a moment ago: its guard follows within a second.
fn is_fresh(data_dir: &Path) -> bool {
    let written = |name: &str| fs::metadata(data_dir.join(name)).and_then(|file| file.modified()).ok();
    let age = |time: SystemTime| SystemTime::now().duration_since(time).unwrap_or_default();
    ["vault.db", "vault.db-wal"].into_iter().filter_map(written).any(|time| age(time) < FRESH)
}

fn file_system(report: &mut Report, setup: &Setup) {
    let Some(kind) = system::file_system(&setup.data_dir) else { return };
    let Some((_, name)) = UNFIT.iter().find(|(number, _)| *number == kind) else { return };
    let what = format!("{} is on {name}", setup.data_dir.display());
    let why = match *name {
        "tmpfs" => "it is lost at the next reboot; move it with SECRETSD_DATA_DIR",
        "an overlay" => "it may be lost with the container; put it on a volume with SECRETSD_DATA_DIR",
        _ => "locks and durable writes are not reliable there; move it with SECRETSD_DATA_DIR",
    };
    report.warning("file-system", what, why, None);
}

fn room(report: &mut Report, setup: &Setup) {
    let Ok(system) = statvfs(&setup.data_dir) else { return };
    let free = system.f_bavail.saturating_mul(system.f_frsize);
    let find = format!("du -xh --max-depth=1 {} | sort -h | tail", quoted(&setup.data_dir));
    if free < LITTLE_ROOM {
        let what = format!("{} MiB free on the vault's disk", free >> 20);
        let why = "on a full disk only deleting and locking work; free some space";
        return report.fault("disk", what, why, Some(find));
    }
    report.ok("disk", format!("{} MiB free on the vault's disk", free >> 20));
}

fn clock(report: &mut Report, setup: &Setup, vault: &Path) {
    let fix = || Some(as_root("timedatectl set-ntp true"));
    let seen = files::read_private(&setup.state_dir.join(places::CLOCK), 256).ok();
    let seen = seen.and_then(|text| Sighting::parse(&text));
    let seen = seen.map(|seen| seen.next(Times::now()));
    if let Some(seconds) = seen.and_then(Sighting::leapt) {
        return report.warning("clock", leap::told(seconds), leap::MEANS, fix());
    }
    let Ok(written) = fs::metadata(vault).and_then(|metadata| metadata.modified()) else { return };
    let ahead = written.duration_since(SystemTime::now()).unwrap_or_default();
    if ahead < Duration::from_secs(300) {
        return report.ok("clock", "the clock is not behind the vault");
    }
    let what = format!("the clock is behind: the vault was written {} s in the future", ahead.as_secs());
    let why = "tokens, expiry and the audit log go by the clock";
    report.warning("clock", what, why, fix());
}

fn said(report: &mut Report, setup: &Setup, service: &Service) {
    let Some(status) = service.status() else { return };
    if status.rolled_back {
        let why = "it is read-only: put the newer one back, or accept this one";
        let fix = Some("secretctl verify --accept-restore".to_owned());
        report.fault("rollback", "ROLLBACK DETECTED: the vault is older than it was", why, fix);
    }
    if let Some(reason) = &status.start_failure {
        let what = format!("the daemon did not unlock the vault when it started: {reason}");
        let why = "it stays locked until somebody unlocks it; the daemon's log has more";
        report.warning("start", what, why, Some("secretctl unlock".to_owned()));
    }
    for lost in &status.lost {
        let why = "who uses that name does not reach the daemon, which tries again each second; its log has the same";
        report.fault("reach", lost, why, None);
    }
    triggers(report, &status.auto_lock);
    if let Some(notice) = service.unconfirmed(setup) {
        let why = "a signal or a closed output may have swallowed it";
        report.warning("recovery-key", notice, why, Some(unconfirmed::CURE.to_owned()));
    }
    match status.keys {
        Some(1) => {
            let why = "if it is lost, so is everything in the vault";
            let fix = Some("secretctl key add --recovery".to_owned());
            report.warning("keys", "the vault has a single key", why, fix);
        }
        Some(count) => report.ok("keys", format!("{count} keys open the vault")),
        None if status.state == VaultState::Locked => {
            report.ok("keys", "the number of keys is shown when the vault is unlocked");
        }
        None => {}
    }
}

/// Not a warning: a machine without logind is none that is suspended or whose screen is locked.
fn triggers(report: &mut Report, auto_lock: &AutoLock) {
    let Some(obstacle) = auto_lock.obstacle else {
        return report.ok("logind", "the vault locks at suspend and session lock as configured");
    };
    let what = format!("the vault does not lock at suspend or session lock: {}", hindered_by(obstacle));
    match obstacle {
        Obstacle::Refused => {
            let why = "it may stay unlocked while you are away; loginctl shows what logind knows";
            report.warning("logind", what, why, None);
        }
        Obstacle::NoSystemBus | Obstacle::NoLogind | Obstacle::NoAnswer | Obstacle::Suspending => {
            report.ok("logind", what);
        }
    }
}
