#!/bin/sh
# Puts the programs, their units, completions and man pages where they are looked for, or takes them away again. It never
# touches a vault.
#
#   [PREFIX=DIR] [DESTDIR=DIR] ./install.sh install PROGRAMS    PROGRAMS is the directory with the built programs
#   [PREFIX=DIR] [DESTDIR=DIR] ./install.sh uninstall
#
# With a PREFIX below the home directory and a running user manager it also enables and starts the socket, or stops it
# and the daemon. With DESTDIR it only copies, or removes.
set -eu
# What is made here is for all to read and for nobody else to replace; what was there keeps its mode.
umask 022

here=$(cd "$(dirname "$0")" && pwd)
home=${HOME:-/nonexistent}
prefix=${PREFIX:-$home/.local}
destdir=${DESTDIR:-}
case $prefix in
*[!A-Za-z0-9/._+@~%:=,-]* | [!/]*)
    echo 'install.sh: PREFIX must be an absolute path without blanks or quotes: it becomes part of a unit' >&2
    exit 2
    ;;
esac

units=$prefix/lib/systemd/user
is_home=
case $prefix in
"$home" | "$home"/*)
    is_home=yes
    # Where a user manager looks.
    units=${XDG_DATA_HOME:-$home/.local/share}/systemd/user
    ;;
esac

# Every file that is installed; completions and the client's manual pages are made by the built client.
names='secretsd secretctl secretsd-broker secretctl-mcp secretctl-ui secretctl-import secretctl-scan secretctl-approve secretsd-bus secretctl-sync'
# Under which other programs run the client, and the command that each stands for. A link `keyring` is its user's to place.
links='docker-credential-secretctl:docker-credential cargo-credential-secretctl:cargo-credential
    secretctl-vault-client:vault-client'
bash=$prefix/share/bash-completion/completions/secretctl
zsh=$prefix/share/zsh/site-functions/_secretctl
fish=$prefix/share/fish/vendor_completions.d/secretctl.fish
man=$prefix/share/man/man1

files() {
    for program in $names; do echo "$prefix/bin/$program"; done
    for link in $links; do
        echo "$prefix/bin/${link%:*}"
        echo "$man/${link%:*}.1"
    done
    for unit in "$here"/systemd/user/*; do echo "$units/${unit##*/}"; done
    echo "$bash"
    echo "$zsh"
    echo "$fish"
    echo "$man/secretsd.1"
    echo "$man/secretsd-broker.1"
    echo "$man/secretsd-bus.1"
    for page in "$destdir$man"/secretctl.1 "$destdir$man"/secretctl-*.1; do echo "${page#"$destdir"}"; done
}

# Under another name first, so that nobody ever finds half a file, or none.
place() {
    mkdir -p "$destdir${2%/*}"
    install -m "$3" "$1" "$destdir$2.new"
    # Never into a directory that somebody has put there.
    mv -fT "$destdir$2.new" "$destdir$2"
}

# What the client prints when called like this; a client that does not know how leaves nothing.
generate() {
    to=$1
    shift
    if "$programs/secretctl" "$@" >"$scratch" 2>/dev/null </dev/null && [ -s "$scratch" ]; then
        place "$scratch" "$to" 0644
    fi
}

# The user's own manager, which may hang, or wait for a unit without end: what concerns files goes on then.
manager() { timeout --kill-after=2 10 systemctl --user --quiet "$@"; }

runs_manager() {
    [ -n "$is_home" ] && [ -z "$destdir" ] && manager show-environment >/dev/null 2>&1
}

do_install() {
    programs=$1
    work=$(mktemp -d)
    scratch=$work/file
    trap 'rm -rf "$work"' EXIT
    trap 'exit 130' INT TERM
    for name in $names; do place "$programs/$name" "$prefix/bin/$name" 0755; done
    for link in $links; do
        ln -sf secretctl "$destdir$prefix/bin/${link%:*}.new"
        mv -fT "$destdir$prefix/bin/${link%:*}.new" "$destdir$prefix/bin/${link%:*}"
    done
    # A percent sign is special in a unit.
    bin=$(echo "$prefix/bin" | sed 's/%/%%/g')
    for unit in "$here"/systemd/user/*; do
        sed "s|^ExecStart=.*/|ExecStart=$bin/|" "$unit" >"$scratch"
        place "$scratch" "$units/${unit##*/}" 0644
    done
    generate "$bash" completions bash
    generate "$zsh" completions zsh
    generate "$fish" completions fish
    place "$here/daemon/secretsd.1" "$man/secretsd.1" 0644
    place "$here/broker/secretsd-broker.1" "$man/secretsd-broker.1" 0644
    place "$here/bus/secretsd-bus.1" "$man/secretsd-bus.1" 0644
    if "$programs/secretctl" man --dir "$work/man" >/dev/null 2>&1; then
        for page in "$work"/man/*; do place "$page" "$man/${page##*/}" 0644; done
        for link in $links; do
            [ -e "$work/man/${link%:*}.1" ] && continue
            echo ".so man1/secretctl-${link#*:}.1" >"$scratch"
            place "$scratch" "$man/${link%:*}.1" 0644
        done
    fi
    if [ -z "$destdir" ]; then
        case :${PATH:-}: in
        *":$prefix/bin:"*) echo "installed below $prefix; begin with: secretctl init" ;;
        *) echo "installed below $prefix; $prefix/bin is not in PATH yet" ;;
        esac
    fi
    runs_manager || return 0

    if ! manager daemon-reload || ! manager enable secretsd.socket; then
        echo 'the user manager does not do it in time; later: systemctl --user daemon-reload' \
            '&& systemctl --user enable --now secretsd.socket'
        return 0
    fi
    if manager is-active secretsd.service; then
        echo 'secretsd runs on as it was; the new version comes with: systemctl --user restart secretsd'
        return 0
    fi
    lock=${XDG_DATA_HOME:-$home/.local/share}/secretsd/vault.lock
    if [ -e "$lock" ] && ! flock --nonblock "$lock" true; then
        # Taking its socket away would leave it running unseen, with the vault. Its process id means something in the
        # boot and the PID namespace that it has noted; older versions note none.
        here="in $(cat /proc/sys/kernel/random/boot_id) $(readlink /proc/self/ns/pid)"
        case $(sed -n 2p "$lock") in
        '' | "$here") end="kill $(sed -n 1p "$lock") &&" ;;
        *) end='in its container or on its machine, then:' ;;
        esac
        echo "a daemon that systemd did not start has the vault; end it, then start the socket:" \
            "$end systemctl --user start secretsd.socket"
        return 0
    fi
    manager start secretsd.socket ||
        echo 'the socket is not started yet; see: systemctl --user status secretsd.socket'
}

do_uninstall() {
    if runs_manager && [ -e "$units/secretsd.socket" ]; then
        manager disable secretsd.socket secretsd-approve.service secretsd-bus.service secretsd-sync.timer secretsd-sync.path &&
            manager stop secretsd.socket secretsd-credentials.socket secretsd-use.socket secretsd.service \
                secretsd-approve.service secretsd-bus.service secretsd-sync.timer secretsd-sync.path 'secretsd-broker@*' ||
            echo 'the user manager has not stopped everything in time; see: systemctl --user status "secretsd*"'
    fi
    files | while read -r file; do rm -f "$destdir$file"; done
    # Made by `secretctl secret-service enable`; another program's stays.
    started=${XDG_DATA_HOME:-$home/.local/share}/dbus-1/services/org.freedesktop.secrets.service
    if [ -z "$destdir" ] && grep -qs '^Exec=.*/secretsd-bus$' "$started"; then rm -f "$started"; fi
    ! runs_manager || manager daemon-reload || true
    tell_of_vault
}

# A vault is never removed, and who wants that is told what to remove.
tell_of_vault() {
    data=${SECRETSD_DATA_DIR:-${XDG_DATA_HOME:-$home/.local/share}/secretsd}
    state=${SECRETSD_STATE_DIR:-${XDG_STATE_HOME:-$home/.local/state}/secretsd}
    [ -z "$destdir" ] && [ -e "$data/vault.db" ] || return 0
    echo "your vault is kept in $data"
    echo "once you no longer need its secrets, remove it with: rm -r '$data' '$state'"
}

case ${1:-}:$# in
install:2) do_install "$2" ;;
uninstall:1) do_uninstall ;;
*)
    sed -n '2,9s/^# \{0,1\}//p' "$0"
    exit 2
    ;;
esac
