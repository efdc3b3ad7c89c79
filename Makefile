# Each target is a line or three; what is longer is a script.

PREFIX ?= $(HOME)/.local
DESTDIR ?=

# Where cargo puts what it builds; a variable of the caller's wins, as it does for cargo.
TARGET = $${CARGO_TARGET_DIR:-target}

BINDIR = $(DESTDIR)$(PREFIX)/bin

.PHONY: demo test soak bench lint fuzz build install uninstall

# Shows the programs at work in a directory of its own, which it removes again.
demo: build
	tests/demo.sh "$(TARGET)/release"

test:
	cargo test --workspace --locked

# The tests against kills, failing disks and edited files in their long form.
soak:
	SOAK=1 cargo test --workspace --locked --test kill --test fsync --test faults --test tamper

lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo clippy --package secretsd --lib --locked -- --cfg fuzzing -D warnings
	cargo deny --locked check bans licenses sources
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --locked

# Prints each figure beside its floor; judges nothing. `make bench PART=served` measures one part.
bench:
	cargo bench --locked -p secretsd-tests --bench speed -- $(PART)

# Each fuzz target for this many seconds; needs nightly Rust and cargo-fuzz. What is found stays in tests/fuzz/artifacts.
FUZZ_SECONDS ?= 60

fuzz:
	tests/fuzz/run.sh $(FUZZ_SECONDS)

build:
	cargo build --release --locked -p secretsd -p secretctl

install: build
	install -D -m 0755 "$(TARGET)/release/secretsd" $(BINDIR)/secretsd
	install -D -m 0755 "$(TARGET)/release/secretctl" $(BINDIR)/secretctl

# Removes the programs, never a vault.
uninstall:
	rm -f $(BINDIR)/secretsd $(BINDIR)/secretctl
