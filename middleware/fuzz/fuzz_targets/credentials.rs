//! See [`mcp_auth_fuzz::credentials`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mcp_auth_fuzz::credentials(data));
