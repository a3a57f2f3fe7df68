//! See [`mcp_auth_fuzz::status_list`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mcp_auth_fuzz::status_list(data));
