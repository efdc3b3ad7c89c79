# Each target is a line or three; what is longer is a script.

PREFIX ?= $(HOME)/.local
DESTDIR ?=

BINDIR = $(DESTDIR)$(PREFIX)/bin

.PHONY: demo test soak lint build install uninstall

# Shows the programs at work in a directory of its own, which it removes again.
demo: build
	tests/demo.sh target/release

test:
	cargo test --workspace --locked

# The tests against kills, failing disks and edited files in their long form.
soak:
	SOAK=1 cargo test --workspace --locked --test kill --test fsync --test faults --test tamper

lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo deny --locked check bans licenses sources
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --locked

build:
	cargo build --release --locked -p secretsd -p secretctl

install: build
	install -D -m 0755 target/release/secretsd $(BINDIR)/secretsd
	install -D -m 0755 target/release/secretctl $(BINDIR)/secretctl

# Removes the programs, never a vault.
uninstall:
	rm -f $(BINDIR)/secretsd $(BINDIR)/secretctl
