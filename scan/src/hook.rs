//! git's hook before a commit. One that is there already is kept beside ours and runs first: it may change what is staged.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::arguments::Arguments;
use crate::failure::Failure;
use crate::git::{self, Git, shown};
use crate::report;

/// git's name for it, and ours for the one that was there.
const HOOK: &str = "pre-commit";
const KEPT: &str = "pre-commit.before-secretctl";

/// The second line of ours.
const MARK: &str =
    "# Written by secretctl scan --install-hook; to remove it: secretctl scan --uninstall-hook";

/// Where the hooks are, and whether they are of this repository alone.
struct Place {
    hook: PathBuf,
    kept: PathBuf,
    is_shared: bool,
}

impl Place {
    fn find() -> Result<Self, Failure> {
        let dir = git::hooks_dir()?;
        let own = Git::here().output(&["rev-parse", "--path-format=absolute", "--git-common-dir"])?;
        let own = String::from_utf8_lossy(&own).trim_end_matches('\n').to_owned();
        let is_shared = dir != Path::new(&own).join("hooks");
        Ok(Self { hook: dir.join(HOOK), kept: dir.join(KEPT), is_shared })
    }
}

/// Puts it in place, and says where.
pub(crate) fn install(arguments: &Arguments) -> Result<(), Failure> {
    let place = Place::find()?;
    let (hook, kept) = (&place.hook, &place.kept);
    let is_there = hook.symlink_metadata().is_ok();
    let is_again = is_there && is_ours(hook);
    if is_there && !is_again {
        if kept.symlink_metadata().is_ok() {
            let message = format!(
                "{} was replaced after it was installed, and {} is still there; remove one of them",
                shown(hook),
                shown(kept)
            );
            return Err(Failure::conflict(message));
        }
        fs::rename(hook, kept).map_err(|error| failed(hook, &error))?;
    }
    let written = write(hook, &script(arguments)?);
    if written.is_err() && is_there && !is_again {
        let _ = fs::rename(kept, hook);
    }
    written.map_err(|error| failed(hook, &error))?;
    let beside = match kept.symlink_metadata().is_ok() {
        true => format!("; the hook that was there is {KEPT} beside it and runs first"),
        false => String::new(),
    };
    report::said(&format!("{} looks through what is staged before each commit{beside}", shown(hook)));
    if place.is_shared {
        report::said("core.hooksPath is set: this hook is for all repositories that have their hooks there");
    }
    Ok(())
}

/// Takes it away, and puts back what was there.
pub(crate) fn uninstall() -> Result<(), Failure> {
    let Place { hook, kept, .. } = Place::find()?;
    if !is_ours(&hook) {
        return Err(Failure::absent(format!(
            "{} is no hook of secretctl; nothing was removed",
            shown(&hook)
        )));
    }
    let is_kept = kept.symlink_metadata().is_ok();
    let done = if is_kept { fs::rename(&kept, &hook) } else { fs::remove_file(&hook) };
    done.map_err(|error| failed(&hook, &error))?;
    let what = if is_kept { "is again the hook that was there before" } else { "is removed" };
    report::said(&format!("{} {what}", shown(&hook)));
    Ok(())
}

fn is_ours(hook: &Path) -> bool {
    let is_file = hook.symlink_metadata().is_ok_and(|data| data.is_file());
    is_file && fs::read(hook).is_ok_and(|text| String::from_utf8_lossy(&text).lines().nth(1) == Some(MARK))
}

fn failed(path: &Path, error: &io::Error) -> Failure {
    Failure::other(format!("cannot write {}: {error}", shown(path)))
}

/// Under another name first, so that git never finds half a hook.
fn write(hook: &Path, text: &str) -> io::Result<()> {
    if let Some(dir) = hook.parent() {
        fs::create_dir_all(dir)?;
    }
    let new = hook.with_extension("secretctl-new");
    let _ = fs::remove_file(&new);
    let mut file: File = File::options().write(true).create_new(true).mode(0o700).open(&new)?;
    file.set_permissions(Permissions::from_mode(0o755))?;
    file.write_all(text.as_bytes())?;
    fs::rename(&new, hook)
}

/// The hook. Programs with windows start it without a terminal, and with few variables.
fn script(arguments: &Arguments) -> Result<String, Failure> {
    let client = arguments.client.as_deref().ok_or_else(|| Failure::usage("where is secretctl?"))?;
    let mut options = String::new();
    for (flag, path) in [("--socket", &arguments.socket), ("--token-file", &arguments.token_file)] {
        if let Some(path) = path {
            options.push_str(&format!(" {flag} {}", quoted(path)?));
        }
    }
    Ok(format!(
        r#"#!/bin/sh
{MARK}
before=${{0%/*}}/{KEPT}
if [ -x "$before" ]; then
    "$before" "$@" || exit
fi
secretctl={client}
[ -x "$secretctl" ] || secretctl=$(command -v secretctl) || secretctl=
if [ -z "${{XDG_RUNTIME_DIR-}}" ] && [ -d "/run/user/$(id -u)" ]; then
    export XDG_RUNTIME_DIR="/run/user/$(id -u)"
fi
code=127
[ -z "$secretctl" ] || {{
    "$secretctl" scan --staged --hook{options}
    code=$?
}}
case $code in
0) exit 0 ;;
10) why='a value of the vault is staged' fix='take it out, stage the file again, and commit' ;;
3) why='the vault is locked, so nothing was looked for' fix='secretctl unlock, then commit again' ;;
127) why='secretctl is gone, so nothing was looked for' fix='install it, or remove this hook' ;;
*) why='not everything could be looked at' fix='see above, then commit again' ;;
esac
echo "secretctl: the commit was stopped: $why" >&2
echo "fix: $fix; to commit without this check: git commit --no-verify" >&2
exit 1
"#,
        client = quoted(client)?
    ))
}

/// A word of the shell that is this path.
fn quoted(path: &Path) -> Result<String, Failure> {
    let text = path.to_str().filter(|text| !text.contains('\n'));
    let text =
        text.ok_or_else(|| Failure::other(format!("{} cannot be written into a hook", shown(path))))?;
    Ok(format!("'{}'", text.replace('\'', r"'\''")))
}
