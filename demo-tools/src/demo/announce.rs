//! Where the house stands, for people and for programs.

use std::fmt;
use std::path::PathBuf;

use secrecy::ExposeSecret as _;
use serde::Serialize;

use super::users::Credentials;

/// What there is to know about a running house.
#[derive(Debug, Clone, Serialize)]
pub struct Facts {
    /// What an MCP client is given.
    pub mcp_url: String,
    /// The authorization server's issuer identifier.
    pub issuer: String,
    /// The MCP server behind the gateway, which trusts whoever reaches it.
    pub upstream_url: String,
    /// The policy in force: a copy of the house's own, to edit.
    pub policy_file: PathBuf,
    /// Who can sign in.
    pub users: Vec<Credentials>,
    /// Where the gateway publishes the resource's metadata (RFC 9728 §3).
    #[serde(skip)]
    pub(crate) metadata_url: String,
}

impl Facts {
    /// The facts as one line of JSON, line end included.
    ///
    /// # Errors
    /// If the policy file's path is not UTF-8.
    pub fn to_json_line(&self) -> serde_json::Result<String> {
        Ok(serde_json::to_string(self)? + "\n")
    }
}

impl fmt::Display for Facts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mcp_url, issuer, upstream_url, policy_file, users, metadata_url } = self;
        let policy_file = policy_file.display();
        writeln!(
            formatter,
            "The house stands.

  MCP server            {mcp_url}
  Authorization server  {issuer}
  Behind the gateway    {upstream_url}  (no authorization of its own)
  Policy                {policy_file}  (edit it: it counts within two seconds)
"
        )?;
        for Credentials { username, password } in users {
            let how = match password {
                Some(password) => format!(" / {}", password.expose_secret()),
                None => ", with the password told at first".to_owned(),
            };
            writeln!(formatter, "  Sign in as {username}{how}")?;
        }
        let challenge = call(mcp_url, "notes_list", "curl -i");
        let public = call(mcp_url, "auth_show", "curl");
        writeln!(
            formatter,
            "
A tool that needs you to sign in answers with a challenge:

{challenge}

The challenge names a document that says where to sign in:

  curl {metadata_url}

A public tool serves anybody:

{public}

Ctrl-C ends the demo."
        )
    }
}

fn call(url: &str, tool: &str, curl: &str) -> String {
    format!(
        r#"  {curl} {url} \
    -H 'Content-Type: application/json' -H 'Accept: application/json, text/event-stream' \
    -d '{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{tool}","arguments":{{}}}}}}'"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts {
            mcp_url: "http://localhost:3000/mcp".to_owned(),
            issuer: "http://localhost:4000".to_owned(),
            upstream_url: "http://127.0.0.1:5000/mcp".to_owned(),
            policy_file: "/data/policy.toml".into(),
            users: vec![
                Credentials { username: "alex".to_owned(), password: Some("password".into()) },
                Credentials { username: "blake".to_owned(), password: None },
            ],
            metadata_url: "http://localhost:3000/.well-known/oauth-protected-resource/mcp".to_owned(),
        }
    }

    #[test]
    fn programs_get_one_line() {
        assert_eq!(
            facts().to_json_line().unwrap(),
            concat!(
                r#"{"mcp_url":"http://localhost:3000/mcp","issuer":"http://localhost:4000","#,
                r#""upstream_url":"http://127.0.0.1:5000/mcp","policy_file":"/data/policy.toml","#,
                r#""users":[{"username":"alex","password":"password"},{"username":"blake","password":null}]}"#,
                "\n"
            )
        );
    }

    #[test]
    fn people_get_what_they_can_paste() {
        let text = facts().to_string();
        assert!(text.contains("Sign in as alex / password\n"), "{text}");
        assert_eq!(text.matches("curl ").count(), 3, "{text}");
        assert!(text.contains(r#"{"name":"notes_list","arguments":{}}"#), "{text}");
    }
}
