#!/bin/sh
# Builds a Debian package from built programs: what install.sh puts below /usr, what the policy asks for, and the scripts
# beside this one.
#
#   deb/build.sh PROGRAMS OUTPUT    directories; the package's path is the answer
#
# DEB_VERSION replaces the version of Cargo.toml. DEBFULLNAME and DEBEMAIL name who answers for the package; without
# them its address is one that no mail can ever reach (RFC 2606).
set -eu
umask 022

here=$(cd "$(dirname "$0")" && pwd)
source=${here%/*}
programs=$(cd "$1" && pwd)
mkdir -p "$2"
output=$(cd "$2" && pwd)
version=${DEB_VERSION:-$(sed -n 's/^version = "\(.*\)"/\1/p' "$source/Cargo.toml" | head -1)-1}
architecture=$(dpkg --print-architecture)
maintainer="${DEBFULLNAME:-secretsd maintainers} <${DEBEMAIL:-secretsd@secretsd.invalid}>"
# The same sources give the same package.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$source" log -1 --format=%ct 2>/dev/null || date +%s)}
export SOURCE_DATE_EPOCH

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
root=$work/root
mkdir -p "$work/programs" "$root/DEBIAN"

for name in secretsd secretctl secretsd-broker secretctl-mcp secretctl-ui secretctl-import secretctl-scan \
    secretctl-approve secretsd-bus secretctl-sync; do
    cp "$programs/$name" "$work/programs"
done
env HOME=/nonexistent PREFIX=/usr DESTDIR="$root" "$source/install.sh" install "$work/programs"
# Not the links among them.
find "$root/usr/bin" -type f -exec strip --strip-unneeded --remove-section=.comment --remove-section=.note {} +
# Where Debian's zsh looks.
if [ -d "$root/usr/share/zsh/site-functions" ]; then
    mv "$root/usr/share/zsh/site-functions" "$root/usr/share/zsh/vendor-completions"
fi
[ ! -d "$root/usr/share/man" ] || gzip -9n "$root"/usr/share/man/man1/*
install -D -m 0644 "$here/secretsd.preset" "$root/usr/lib/systemd/user-preset/80-secretsd.preset"

doc=$root/usr/share/doc/secretsd
mkdir -p "$doc"
install -m 0644 "$source/README.md" "$source/SECURITY.md" "$doc"
install -D -m 0644 -t "$doc/systemd" "$source/systemd/README.md"
install -D -m 0644 -t "$doc/docs" "$source"/docs/*.md
gzip -9nc "$source/CHANGELOG.md" >"$doc/changelog.gz"
cat <<END | gzip -9n >"$doc/changelog.Debian.gz"
secretsd ($version) unstable; urgency=medium

  * See changelog.gz.

 -- $maintainer  $(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")
END
{
    cat "$here/copyright"
    echo 'License: Expat'
    # Its words, without title and name.
    sed -n '/^Permission is hereby/,$s/^/ /p' "$source/LICENSE-MIT" | sed 's/^ $/ ./'
} >"$doc/copyright"

# Asks for a source package's control file, and for nothing in it.
mkdir "$work/debian"
printf 'Source: secretsd\n\nPackage: secretsd\nArchitecture: any\n' >"$work/debian/control"
depends=$(cd "$work" && dpkg-shlibdeps -O $(find root/usr/bin -type f) 2>/dev/null)
cat >"$root/DEBIAN/control" <<END
Package: secretsd
Version: $version
Architecture: $architecture
Maintainer: $maintainer
Installed-Size: $(du -sk --exclude=DEBIAN "$root" | cut -f1)
Depends: ${depends#shlibs:Depends=}
Recommends: bubblewrap (>= 0.8), ca-certificates, libpam-systemd, systemd
Suggests: pinentry-gnome3 | pinentry-x11, notification-daemon
Section: utils
Priority: optional
Description: keep API keys in an encrypted vault and give them to chosen programs
 secretsd keeps a user's API keys in an encrypted vault. Run a program with
 "secretctl run -s NAME -- program": the program gets the key, and no file
 holds it. Other programs can ask for names, providers and masks as JSON over a
 Unix socket, as ssh-agent does for keys.
 .
 With "secretctl proxy run -s NAME -- program" the program gets a placeholder,
 and the key is put into its requests to hosts that the user has named.
 .
 The user manager of systemd starts the daemon on the first connection.
END
for script in postinst prerm postrm; do
    sed -e "/^#MANAGERS#\$/{r $here/managers.sh" -e 'd}' "$here/$script" >"$root/DEBIAN/$script"
    chmod 0755 "$root/DEBIAN/$script"
done
(cd "$root" && find usr -type f -exec md5sum {} +) | LC_ALL=C sort -k2 >"$root/DEBIAN/md5sums"
chmod 0644 "$root/DEBIAN/control" "$root/DEBIAN/md5sums"

package=$output/secretsd_${version}_$architecture.deb
dpkg-deb --root-owner-group --build "$root" "$package" >/dev/null
echo "$package"
