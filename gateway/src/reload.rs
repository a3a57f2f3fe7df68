//! Policy files that change while the gateway runs.
//!
//! An edit that does not load changes nothing: the last good policy stays in force, and the log says what is wrong with
//! the file, line by line.

use std::path::Path;

use anyhow::Context as _;
use mcp_auth::document::{Fault, Faults, Position};
use mcp_auth::policy::Policy;
use mcp_auth_runtime::watch::SettledFile;
use tokio_util::sync::CancellationToken;

use crate::config::PolicyFile;

/// Starts to follow the file; the watch ends with `stop`.
///
/// # Errors
///
/// If the file can no longer be read.
pub(crate) async fn follow(
    policy: PolicyFile,
    stop: CancellationToken,
) -> anyhow::Result<impl Future<Output = ()>> {
    let path = policy.path.display().to_string();
    let (text, file) = SettledFile::open(&policy.path)
        .await
        .with_context(|| format!("cannot watch the policy file {path}"))?;
    let mut follower = Follower { policy, file };
    // it may have been edited since the configuration was read
    follower.take(&text);
    Ok(async move {
        stop.run_until_cancelled(follower.run()).await;
    })
}

struct Follower {
    policy: PolicyFile,
    file: SettledFile,
}

impl Follower {
    async fn run(&mut self) {
        loop {
            match self.file.changed().await {
                Ok(text) => self.take(&text),
                Err(refusal) => {
                    let fault = Fault::in_document(refusal.to_string());
                    report(&self.policy.path, &Faults::from(fault));
                }
            }
        }
    }

    fn take(&mut self, text: &str) {
        if text == self.policy.text {
            return;
        }
        match read(text, &self.policy.text) {
            Ok(policy) => {
                self.policy.handle.replace(policy);
                text.clone_into(&mut self.policy.text);
                tracing::info!(file = %self.policy.path.display(), "policy loaded");
            }
            Err(faults) => report(&self.policy.path, &faults),
        }
    }
}

fn read(text: &str, in_force: &str) -> Result<Policy, Faults> {
    let policy = Policy::parse(text)?;
    match cut_off(text, in_force) {
        Some(position) => Err(Faults::from(
            Fault::in_document("expected a whole policy, but found the one in force cut off here")
                .at(position)
                .with_hint(
                    "if the rest was left out on purpose, change anything else as well, such as a comment",
                ),
        )),
        None => Ok(policy),
    }
}

/// Where the text ends too early, if it is a beginning of the policy in force that ends within a line or a table.
///
/// A writer that stalls or dies half-way leaves such a text, and it may well be valid TOML: a rule whose `scopes` are
/// still to come would let everybody in who is signed in. Leaving out whole tables at the end is an edit like others.
fn cut_off(text: &str, in_force: &str) -> Option<Position> {
    let rest = in_force.strip_prefix(text)?;
    let within_line = !text.ends_with('\n') && !rest.starts_with(['\n', '\r']);
    let next = rest.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    let within_table = next.is_some_and(|line| !line.starts_with('['));
    ((within_line && !rest.is_empty()) || within_table).then(|| Position::of(text, text.len()))
}

/// One event a fault, and one that says what it means.
fn report(path: &Path, faults: &Faults) {
    let file = path.display().to_string();
    for fault in faults {
        tracing::error!(
            file,
            line = fault.line(),
            column = fault.column(),
            key = Some(fault.key()).filter(|key| !key.is_empty()),
            hint = fault.hint(),
            "{}",
            fault.render(&file)
        );
    }
    tracing::error!(
        file,
        faults = faults.len(),
        "the policy file does not load; the last good policy stays in force"
    );
}

#[cfg(test)]
#[expect(clippy::string_slice, reason = "a fixed text in ASCII")]
mod tests {
    use super::{cut_off, read};

    const POLICY: &str = "\
version = 1
# tools that need a token
[tools.echo]
auth = \"oauth2\"
scopes = [\"a\"]

[tools.open]
auth = \"public\"
";

    #[test]
    fn a_policy_cut_within_a_line_or_a_table_is_refused() {
        let accepted: Vec<&str> = POLICY
            .char_indices()
            .map(|(at, _)| &POLICY[..at])
            .filter(|half| read(half, POLICY).is_ok())
            .collect();
        let first_table = &POLICY[..POLICY.find("\n\n").unwrap()];
        let whole = [
            "version = 1",
            "version = 1\n",
            "version = 1\n# tools that need a token",
            "version = 1\n# tools that need a token\n",
            first_table,
            &POLICY[..=first_table.len()],
            &POLICY[..first_table.len() + 2],
            POLICY.trim_end(),
        ];
        assert_eq!(accepted, whole);
    }

    #[test]
    fn what_opens_a_rule_by_being_cut_is_refused_with_its_line() {
        let half = &POLICY[..POLICY.find("scopes").unwrap()];
        let faults = read(half, POLICY).unwrap_err();
        assert_eq!(
            faults.render("policy.toml"),
            "policy.toml:5:1: expected a whole policy, but found the one in force cut off here\n  \
             hint: if the rest was left out on purpose, change anything else as well, such as a comment"
        );
    }

    #[test]
    fn other_edits_are_taken() {
        for edit in [
            POLICY.to_owned(),
            format!("{POLICY}\n[tools.more]\nauth = \"deny\"\n"),
            POLICY.replace("scopes = [\"a\"]\n", ""),
            POLICY[..POLICY.find("[tools.open]").unwrap()].to_owned(),
            POLICY.trim_end().to_owned(),
        ] {
            assert_eq!(cut_off(&edit, POLICY), None, "{edit}");
            assert!(read(&edit, POLICY).is_ok(), "{edit}");
        }
    }
}
