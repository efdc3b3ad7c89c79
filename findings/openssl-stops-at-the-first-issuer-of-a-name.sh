#!/usr/bin/env bash
# OpenSSL refuses a good certificate when an older authority of the same name stands before its issuer.
#
# An authority was made a second time, with the same name and a new key, and both are in the file of trusted ones. If a
# certificate has no authority key identifier, OpenSSL takes the first whose name fits, and does not try the other when
# the signature does not. The error is not "unknown issuer" but "certificate signature failure", which looks like a forged
# certificate. RFC 4158, section 2.4.2, says that a builder of paths should go back and try the next. Go, Java, rustls,
# GnuTLS and NSS do. Seen with OpenSSL 3.0.19 and 3.0.20.
#
# What follows for us: the authority of each session has a name of its own, and each of its certificates says by which
# key it was signed; broker/src/certificate.rs.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Pinned, and unpacked here alone; the packages are of Debian 12.
(cd "$work" && apt-get download -qq openssl=3.0.20-1~deb12u2 libssl3=3.0.20-1~deb12u2 && for package in *.deb; do dpkg-deb -x "$package" root; done)
export PATH="$work/root/usr/bin:$PATH"
LD_LIBRARY_PATH=$(echo "$work"/root/usr/lib/*-linux-gnu)
export LD_LIBRARY_PATH
cd "$work"
for authority in old new; do
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj '/CN=one name' \
        -keyout "$authority.key" -out "$authority.pem" 2>said
done
sign() {
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=leaf -keyout leaf.key -out leaf.csr 2>said
    openssl x509 -req -in leaf.csr -CA new.pem -CAkey new.key -CAcreateserial -days 1 -extfile "$1" -out "$1.pem" 2>said
}
printf '%s\n' 'subjectAltName=DNS:leaf.example' 'authorityKeyIdentifier=none' >without
printf '%s\n' 'subjectAltName=DNS:leaf.example' 'authorityKeyIdentifier=keyid' >with
sign without
sign with
cat old.pem new.pem >old-first
cat new.pem old.pem >new-first
verify() {
    if openssl verify -CAfile "$1" "$2" >said 2>&1; then echo OK; else sed -n 's/^error [0-9]* at .*lookup: *//p' said; fi
}
result="old first: $(verify old-first without.pem); new first: $(verify new-first without.pem); with identifier: $(verify old-first with.pem)"

openssl version
echo 'expected: OK each time'
echo "came: $result"
[ "$result" = 'old first: certificate signature failure; new first: OK; with identifier: OK' ]
echo 'as described'
