# Each target is a line or three; what is longer is a script.

PREFIX ?= $(HOME)/.local
DESTDIR ?=

# Where cargo puts what it builds; a variable of the caller's wins, as it does for cargo.
TARGET = $${CARGO_TARGET_DIR:-target}

BINDIR = $(DESTDIR)$(PREFIX)/bin

.PHONY: demo test lint build install uninstall

# Shows the programs at work in a directory of its own, which it removes again.
demo: build
	tests/demo.sh "$(TARGET)/release"

test:
	cargo test --workspace --locked

lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo deny --locked check bans licenses sources
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --locked

build:
	cargo build --release --locked -p secretsd -p secretctl

install: build
	install -D -m 0755 "$(TARGET)/release/secretsd" $(BINDIR)/secretsd
	install -D -m 0755 "$(TARGET)/release/secretctl" $(BINDIR)/secretctl

# Removes the programs, never a vault.
uninstall:
	rm -f $(BINDIR)/secretsd $(BINDIR)/secretctl
