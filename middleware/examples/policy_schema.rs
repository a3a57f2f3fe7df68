//! Writes the JSON Schema of policy files to standard output: `cargo run --features schema --example policy_schema`.

use std::io::Write as _;

fn main() -> std::io::Result<()> {
    std::io::stdout().write_all(mcp_auth::policy::json_schema().as_bytes())
}
