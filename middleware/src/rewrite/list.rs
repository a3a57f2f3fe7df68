//! What a policy changes in a list.

use std::fmt::Write as _;
use std::sync::Arc;

pub(crate) use super::json::Unreadable;
use super::json::{Edits, Value};
use crate::policy::{Access, Policy, Rule};
use crate::request::ObjectKind;

/// Rewrites the answers to one list request, by the policy that allowed it.
#[derive(Debug, Clone)]
pub(crate) struct ListRewriter {
    pub(crate) policy: Arc<Policy>,
    pub(crate) kind: ObjectKind,
    pub(crate) method: &'static str,
}

impl ListRewriter {
    /// The member of the result that holds the list, and the member of an element that names it.
    fn members(&self) -> (&'static str, &'static str) {
        match (self.kind, self.method) {
            (ObjectKind::Tool, _) => ("tools", "name"),
            (ObjectKind::Prompt, _) => ("prompts", "name"),
            (ObjectKind::Resource, "resources/templates/list") => ("resourceTemplates", "uriTemplate"),
            (ObjectKind::Resource, _) => ("resources", "uri"),
        }
    }

    /// Rewrites one JSON-RPC message; `None` where it is to stay as it is: a notification, a request of the server, or an
    /// error in place of the list.
    pub(super) fn message(&self, text: &str) -> Result<Option<String>, Unreadable> {
        let [method, result] = Value::whole(text).members(["method", "result"])?;
        let (None, Some(result)) = (method, result) else {
            return Ok(None);
        };
        let (list, name) = self.members();
        let [list_value] = result.members([list])?;
        let Some(elements) = list_value else {
            return Err(Unreadable(format!("expected `result.{list}`")));
        };
        let mut edits = Edits::default();
        let elements = elements.elements()?;
        let mut last_kept: Option<Value<'_>> = None;
        for (index, element) in elements.iter().enumerate() {
            let [name_value] = element.members([name])?;
            let Some(name_value) = name_value else {
                return Err(Unreadable(format!("expected a `{name}` in each of `{list}`")));
            };
            let rule = self.policy.rule(self.kind, &name_value.as_string()?);
            if rule.access() == Access::Deny {
                // With the comma before it, or behind it while nothing is kept.
                let gap = match (last_kept, elements.get(index + 1)) {
                    (Some(_), _) => {
                        elements.get(index.wrapping_sub(1)).map_or(element.start, |before| before.range().end)
                            ..element.range().end
                    }
                    (None, Some(next)) => element.start..next.start,
                    (None, None) => element.range(),
                };
                edits.replace(gap, "");
                continue;
            }
            last_kept = Some(*element);
            if self.kind == ObjectKind::Tool {
                secure(&mut edits, element, rule)?;
            }
        }
        Ok(Some(edits.apply(text)))
    }
}

/// Puts the rule into the tool's descriptor. What the upstream says of it does not count: what is enforced is published.
fn secure(edits: &mut Edits, tool: &Value<'_>, rule: &Rule) -> Result<(), Unreadable> {
    let schemes = security_schemes(rule);
    let [declared, meta] = tool.members(["securitySchemes", "_meta"])?;
    match &meta {
        Some(meta) if meta.is_object() => {
            let [declared] = meta.members(["securitySchemes"])?;
            edits.set(meta, "securitySchemes", declared.as_ref(), &schemes);
        }
        Some(other) => edits.replace(other.range(), format!("{{\"securitySchemes\":{schemes}}}")),
        None => edits.set(tool, "_meta", None, &format!("{{\"securitySchemes\":{schemes}}}")),
    }
    edits.set(tool, "securitySchemes", declared.as_ref(), &schemes);
    Ok(())
}

/// `noauth` is callable anonymously, `oauth2` needs a token, both is optional: the two types that clients know.
fn security_schemes(rule: &Rule) -> String {
    let mut schemes = String::from("[");
    if matches!(rule.access(), Access::Public | Access::Optional) {
        schemes.push_str(r#"{"type":"noauth"}"#);
    }
    if matches!(rule.access(), Access::OAuth2 | Access::Optional) {
        if schemes.len() > 1 {
            schemes.push(',');
        }
        schemes.push_str(r#"{"type":"oauth2","scopes":["#);
        for (index, scope) in rule.scopes().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            // A scope token has neither quotes, backslashes nor control characters (RFC 6749 §3.3): it is a JSON string as it is.
            let _ = write!(schemes, "{comma}\"{scope}\"");
        }
        schemes.push_str("]}");
    }
    schemes.push(']');
    schemes
}

#[cfg(test)]
mod tests;
