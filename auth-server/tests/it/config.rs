//! Configuration: every fault at once, with its place; and the command line.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Output, Stdio},
};

use mcp_auth_server::Config;

fn write(dir: &Path, toml: &str) -> std::path::PathBuf {
    let file = dir.join("auth-server.toml");
    std::fs::write(&file, toml).unwrap();
    file
}

#[test]
fn all_faults_are_reported_with_line_key_and_what_was_wanted() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("short.secret"), "short").unwrap();
    std::fs::write(dir.path().join("broken.toml"), "version = 1\nchalenge = \"auto\"\n").unwrap();
    let file = write(
        dir.path(),
        r#"
[server]
listen = ["localhost"]
issuer = "https://as.test/"
trusted_proxies = ["proxy.test"]

[database]
url = "mysql://localhost/x"

[[resources]]
url = "gw.test/mcp"

[[resources]]
url = "https://gw.test/mcp"
policy = "broken.toml"

[[resources]]
url = "https://gw.test/none"
policy = "absent.toml"

[clients]
dynamic_registraton = true
allowed_redirect_uris = ["http://evil.test/cb"]
insecure_document_hosts = ["localhost"]
extra_ca_file = "absent.pem"

[[clients.registered]]
id = "a"
redirect_uris = ["https://a.test/cb"]
secret_file = "short.secret"

[tokens]
access_token_ttl_seconds = 0
code_ttl_seconds = 601
"#,
    );
    let text = Config::load(&file).unwrap_err().to_string();
    for (place, words) in [
        ("auth-server.toml:3:", "`server.listen[0]`"),
        ("auth-server.toml:4:", "`server.issuer`"),
        ("auth-server.toml:5:", "`server.trusted_proxies[0]`"),
        ("auth-server.toml:8:", "`database.url`"),
        ("auth-server.toml:11:", "`resources[0].url`"),
        ("broken.toml:2:", "chalenge"),
        ("auth-server.toml:19:", "absent.toml"),
        ("auth-server.toml:22:", "dynamic_registraton"),
        ("auth-server.toml:23:", "http://evil.test/cb"),
        ("auth-server.toml:24:", "insecure_document_hosts"),
        ("auth-server.toml:25:", "absent.pem"),
        ("auth-server.toml:30:", "at least 32 bytes"),
        ("auth-server.toml:33:", "`tokens.access_token_ttl_seconds`"),
        ("auth-server.toml:34:", "`tokens.code_ttl_seconds`"),
    ] {
        assert!(
            text.lines().any(|line| line.contains(place) && line.contains(words)),
            "{place} {words}:\n{text}"
        );
    }
}

const GOOD: &str = r#"
[server]
issuer = "http://localhost:4000"
[[resources]]
url = "http://localhost:3000/mcp"
"#;

fn run(arguments: &[&str], file: &Path, stdin: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_mcp-auth-server"))
        .args(arguments)
        .arg("--config")
        .arg(file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn the_command_line_checks_and_adds_users() {
    let dir = tempfile::tempdir().unwrap();
    let file = write(dir.path(), GOOD);
    let checked = run(&["check"], &file, "");
    assert!(checked.status.success(), "{checked:?}");

    let added = run(&["user", "add", "Alex"], &file, "correct horse\n");
    assert!(added.status.success(), "{added:?}");
    for (name, password, words) in [
        ("alex", "correct horse\n", "in the database already"),
        ("blake", "short\n", "8 to 128 characters"),
        ("blake", "", "8 to 128 characters"),
        ("a b", "correct horse\n", "user name"),
    ] {
        let refused = run(&["user", "add", name], &file, password);
        assert!(!refused.status.success(), "{name}");
        assert!(String::from_utf8_lossy(&refused.stderr).contains(words), "{refused:?}");
    }

    let broken = write(dir.path(), &GOOD.replace("http://localhost:4000", "nowhere"));
    for arguments in [&["check"][..], &["run"], &["user", "add", "casey"]] {
        let refused = run(arguments, &broken, "correct horse\n");
        assert!(!refused.status.success());
        assert!(String::from_utf8_lossy(&refused.stderr).contains("auth-server.toml:3:"), "{refused:?}");
    }
}

#[cfg(unix)]
#[test]
fn the_database_is_readable_by_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;

    let dir = tempfile::tempdir().unwrap();
    let file = write(dir.path(), GOOD);
    assert!(run(&["user", "add", "alex"], &file, "correct horse\n").status.success());
    let mode = std::fs::metadata(dir.path().join("auth-server.db")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}
