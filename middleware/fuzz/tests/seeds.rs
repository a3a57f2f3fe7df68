//! Every seed, and what fuzzing has found before, holds.

use std::path::Path;

type Property = fn(&[u8]);

#[test]
fn every_seed_holds() {
    let targets: [(&str, Property); 7] = [
        ("body", mcp_auth_fuzz::body),
        ("headers", mcp_auth_fuzz::headers),
        ("credentials", mcp_auth_fuzz::credentials),
        ("challenge", mcp_auth_fuzz::challenge),
        ("events", mcp_auth_fuzz::events),
        ("policy", mcp_auth_fuzz::policy),
        ("status_list", mcp_auth_fuzz::status_list),
    ];
    for (name, property) in targets {
        let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(name);
        let mut count = 0;
        for seed in std::fs::read_dir(&seeds).unwrap() {
            let path = seed.unwrap().path();
            let data = std::fs::read(&path).unwrap();
            assert!(std::panic::catch_unwind(|| property(&data)).is_ok(), "{}", path.display());
            count += 1;
        }
        assert!(count >= 5, "{} has only {count} seeds", seeds.display());
    }
}
