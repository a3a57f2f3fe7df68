//! The configurations in the README are ones that load.

use std::path::Path;

use mcp_auth_gateway::config::Config;

#[test]
fn every_configuration_in_the_readme_loads() {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md")).unwrap();
    let blocks: Vec<&str> =
        readme.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    let named = |name: &str| {
        let first_line = format!("# {name}\n");
        blocks.iter().copied().filter(|block| block.starts_with(&first_line)).collect::<Vec<_>>()
    };
    let [policy] = named("policy.toml")[..] else { panic!("one policy") };
    let configurations = named("gateway.toml");
    assert!(configurations.len() >= 4, "in front of a server, with a provider, with a command, with TLS");

    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("policy.toml", policy);
    let [time] = named("time-policy.toml")[..] else { panic!("one policy of the time server") };
    write("time-policy.toml", time);
    let pair = rcgen::generate_simple_self_signed(["mcp.example.com".to_owned()]).unwrap();
    write("fullchain.pem", &pair.cert.pem());
    write("privkey.pem", &pair.signing_key.serialize_pem());
    for configuration in configurations {
        write("gateway.toml", configuration);
        let config = Config::load(&folder.path().join("gateway.toml"))
            .unwrap_or_else(|error| panic!("{error}\n{configuration}"));
        assert_eq!(config.warnings(), [""; 0], "{configuration}");
    }
}
