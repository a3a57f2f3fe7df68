# What a developer runs while working; `./test` is the whole of it.

default: lint unit

fmt:
    cargo fmt --all

lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --all-features -- -D warnings

# Everything but the end-to-end tests.
unit:
    cargo test --workspace --all-features --exclude mcp-demo-tools
    cargo test --package mcp-demo-tools --lib

# The foreign clients and the browser.
e2e:
    demo-tools/tests/setup
    cargo test --package mcp-demo-tools --test e2e

# What others understand of the bodies that are accepted: `just differential 1000000`, with another seed each time.
differential cases="100000":
    middleware/tests/setup
    MCP_AUTH_DIFFERENTIAL_CASES={{cases}} MCP_AUTH_DIFFERENTIAL_SEED=$(date +%s) cargo test --release --package mcp-auth --all-features --test differential -- --nocapture

# Looks for bytes that break what must hold: `just fuzz body 600`. Needs cargo-fuzz and a nightly toolchain. What it finds
# goes to middleware/fuzz/seeds, where every test run has it.
fuzz target seconds="60":
    mkdir -p target/fuzz/{{target}}
    cd middleware && cargo +nightly fuzz run {{target}} ../target/fuzz/{{target}} fuzz/seeds/{{target}} -- -max_total_time={{seconds}} -max_len=4096

# Builds every fuzz target and tries its seeds, with the stable toolchain.
fuzz-build:
    cargo test --package mcp-auth-fuzz

# Accept changed snapshots, after having read them.
snap:
    INSTA_UPDATE=always cargo test --workspace --all-features --exclude mcp-demo-tools

doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --all-features

# Licences, sources, duplicates and known advisories: needs cargo-deny.
deny:
    cargo deny check

demo *args:
    cargo run --bin demo -- {{args}}
