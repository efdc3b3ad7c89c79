# Each target is a line or three; what is longer is a script.

PREFIX ?= $(HOME)/.local
DESTDIR ?=

# Where cargo puts what it builds; a variable of the caller's wins, as it does for cargo.
TARGET = $${CARGO_TARGET_DIR:-target}

# The client starts in two thirds of the time when the C library is linked into it, where there is one for that: Debian
# has it in libc6-dev, Fedora in glibc-static. It stays position independent. Flags of its own rebuild nothing else. The
# daemon starts once and keeps the system's library.
CLIENT = $(if $(filter /%,$(shell cc -print-file-name=libc.a 2>/dev/null)),-C target-feature=+crt-static)

# The programs.
INSTALLED = secretsd secretctl secretsd-broker secretctl-mcp secretctl-ui secretctl-import secretctl-scan secretctl-approve secretsd-bus secretctl-sync

.PHONY: demo picture test soak openapi bench lint fuzz build install uninstall deb

# Shows the programs at work in a directory of its own, which it removes again.
demo: build
	tests/demo.sh "$(TARGET)/release"

# schemathesis and the broker's clients are fetched into the target directory; without a network their tests say that they
# are skipped.
test:
	-tests/tests/openapi/install.sh
	-tests/tests/clients/install.sh
	-tests/tests/bus/install.sh
	-tests/tests/sync/install.sh
	tests/all.sh

# The tests against kills, failing disks, edited files, crowds, odd requests and minutes of load in their long form.
soak:
	-tests/tests/bus/crate.sh
	SOAK=1 cargo test --workspace --locked --test kill --test fsync --test faults --test tamper --test crowd --test openapi \
		--test soak --test bus
	SOAK=1 cargo test --package secrets-fleet --locked model

# Writes the API's description again, after a route or a wire type has changed.
openapi:
	RENEW=1 cargo test --package secretsd-tests --locked --test openapi the_committed

# Draws docs/demo.svg again from what the demo prints, after that has changed.
picture:
	RENEW=1 cargo test --package secretsd-tests --locked --test documents the_picture

lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo clippy --package secretsd --package secretctl --package secretsd-broker --lib --locked -- --cfg fuzzing -D warnings
	cargo deny --locked check bans licenses sources
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --locked

# Prints each figure beside its floor; judges nothing. `make bench PART=served` measures one part. The programs are
# those that are installed, copied because cargo puts others in their place.
bench: build
	$(if $(filter-out broker,$(PART)),,-tests/bench/peers/install.sh)
	install -D -t "$(TARGET)/measured" $(INSTALLED:%="$(TARGET)/release/%")
	PROGRAMS="$$(realpath "$(TARGET)/measured")" cargo bench --locked -p secretsd-tests --bench speed -- $(PART)

# Each fuzz target for this many seconds; needs nightly Rust and cargo-fuzz. What is found stays in tests/fuzz/artifacts.
FUZZ_SECONDS ?= 60

fuzz:
	tests/fuzz/run.sh $(FUZZ_SECONDS)

# Each by itself: together they would share the features of crates, and HTTP/2 would be in all of them. The client has a
# profile of its own, and is put beside the others.
build:
	cargo build --release --locked -p secretsd
	cargo build --release --locked -p secretsd-broker
	cargo build --release --locked -p secretctl-mcp
	cargo build --release --locked -p secretctl-ui
	cargo build --release --locked -p secretctl-approve
	cargo build --release --locked -p secretsd-bus
	cargo build --release --locked -p secretctl-import
	cargo build --release --locked -p secretctl-sync
	cargo build --release --locked -p secretctl-scan
	cargo rustc --profile client --locked -p secretctl --bin secretctl -- $(CLIENT)
	install -t "$(TARGET)/release" "$(TARGET)/client/secretctl"

install: build
	PREFIX="$(PREFIX)" DESTDIR="$(DESTDIR)" ./install.sh install "$(TARGET)/release"

# Removes what was installed, never a vault.
uninstall:
	PREFIX="$(PREFIX)" DESTDIR="$(DESTDIR)" ./install.sh uninstall

# A Debian package of the programs.
deb: build
	deb/build.sh "$(TARGET)/release" "$(TARGET)/deb"
