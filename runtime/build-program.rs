//! The build script of each program: finds out what is built and how, for its `--version`. `built_from!` has what it found.
//!
//! `MCP_AUTH_COMMIT` (a commit, with `-dirty` behind it where files differ from it) and `SOURCE_DATE_EPOCH` (seconds) count
//! where they are set: a build without the repository, such as one in a container, is told so. Otherwise git is asked.
//! What is not to be found out is `unknown`.
#![expect(clippy::disallowed_methods, reason = "cargo tells a build script everything by its environment")]
#![expect(clippy::print_stdout, reason = "and reads what it is told in return from standard output")]

use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// What every program is made of, from the top of the repository.
const SHARED: [&str; 6] = [
    "Cargo.toml",
    "Cargo.lock",
    "middleware/Cargo.toml",
    "middleware/src",
    "runtime/Cargo.toml",
    "runtime/src",
];
/// What a program may be made of besides, in its own folder.
const OWN: [&str; 4] = ["Cargo.toml", "src", "migrations", "templates"];

const UNKNOWN: &str = "unknown";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed=MCP_AUTH_COMMIT");
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
    println!("cargo::rerun-if-changed=../runtime/build-program.rs");
    let own = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let top = own.parent().ok_or("expected the package in a folder of the repository")?;
    // an argument that a container's build was not given is empty
    let told = |name| env::var(name).ok().filter(|value| !value.is_empty());

    let commit = match told("MCP_AUTH_COMMIT") {
        Some(commit) => {
            shortened(&commit).ok_or("MCP_AUTH_COMMIT: expected a commit, with `-dirty` or without")?
        }
        None => commit(top, &own).unwrap_or_else(|| UNKNOWN.to_owned()),
    };
    let seconds = match told("SOURCE_DATE_EPOCH") {
        Some(seconds) => Some(seconds.parse()?),
        None if told("MCP_AUTH_COMMIT").is_some() => None,
        None => git(top, &["log", "-1", "--format=%ct"]).and_then(|seconds| seconds.parse().ok()),
    };
    let date = match seconds {
        Some(seconds) => OffsetDateTime::from_unix_timestamp(seconds)?.format(&Rfc3339)?,
        None => UNKNOWN.to_owned(),
    };
    let rustc = said(Command::new(env::var("RUSTC")?).arg("--version"));

    println!("cargo::rustc-env=MCP_AUTH_BUILD_COMMIT={commit}");
    println!("cargo::rustc-env=MCP_AUTH_BUILD_DATE={date}");
    println!("cargo::rustc-env=MCP_AUTH_BUILD_RUSTC={}", rustc.as_deref().unwrap_or(UNKNOWN));
    println!("cargo::rustc-env=MCP_AUTH_BUILD_TARGET={}", env::var("TARGET")?);
    println!("cargo::rustc-env=MCP_AUTH_BUILD_PROFILE={}", env::var("PROFILE")?);
    Ok(())
}

/// Twelve digits of a commit and whether files differ from it.
fn shortened(commit: &str) -> Option<String> {
    let (hash, dirty) = match commit.strip_suffix("-dirty") {
        Some(hash) => (hash, "-dirty"),
        None => (commit, ""),
    };
    let sound = hash.len() >= 7 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    let short = hash.get(..12).unwrap_or(hash);
    sound.then(|| format!("{short}{dirty}"))
}

/// The commit that is checked out, if this is a repository's work tree and not one that lies within another's.
fn commit(top: &Path, own: &Path) -> Option<String> {
    if !top.join(".git").exists() {
        return None;
    }
    let hash = git(top, &["rev-parse", "HEAD"])?;
    // HEAD names a branch or a commit, its log has a line for each that was checked out or made; a path that is not there
    // would have this run at every build
    for name in ["HEAD", "logs/HEAD"] {
        let path = git(top, &["rev-parse", "--git-path", name])?;
        watch(&top.join(path));
    }
    let folder = own.file_name()?.to_str()?;
    let own = OWN.iter().map(|name| format!("{folder}/{name}")).filter(|name| top.join(name).exists());
    let sources: Vec<String> = SHARED.iter().map(|name| (*name).to_owned()).chain(own).collect();
    // an edit of these builds the program anew as it is
    for name in &sources {
        watch(&top.join(name));
    }
    let asked = ["status", "--porcelain", "--"].into_iter().chain(sources.iter().map(String::as_str));
    let changed = git(top, &asked.collect::<Vec<_>>())?;
    shortened(&if changed.is_empty() { hash } else { format!("{hash}-dirty") })
}

fn watch(path: &Path) {
    if path.exists() {
        println!("cargo::rerun-if-changed={}", path.display());
    }
}

fn git(top: &Path, arguments: &[&str]) -> Option<String> {
    // it writes nothing: another git may be at work
    said(Command::new("git").arg("--no-optional-locks").args(arguments).current_dir(top))
}

/// What a command says, where it succeeds.
fn said(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
