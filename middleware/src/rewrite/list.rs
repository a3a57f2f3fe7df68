//! What a policy changes in a list.

use std::fmt::Write as _;
use std::sync::Arc;

pub(crate) use super::json::Unreadable;
use super::json::{Edits, Value};
use crate::policy::{Access, Policy, Rule};
use crate::request::ObjectKind;

/// One kind of list: where a result has it, and what names its elements.
#[derive(Debug)]
struct List {
    kind: ObjectKind,
    member: &'static str,
    name: &'static str,
}

const TOOLS: List = List { kind: ObjectKind::Tool, member: "tools", name: "name" };
const PROMPTS: List = List { kind: ObjectKind::Prompt, member: "prompts", name: "name" };
const RESOURCES: List = List { kind: ObjectKind::Resource, member: "resources", name: "uri" };
const TEMPLATES: List = List { kind: ObjectKind::Resource, member: "resourceTemplates", name: "uriTemplate" };

/// Rewrites the lists in answers, by the policy that allowed the request.
#[derive(Debug, Clone)]
pub(crate) struct ListRewriter {
    policy: Arc<Policy>,
    lists: &'static [List],
    /// Whether an answer must have the list: then one that cannot be understood is withheld.
    expected: bool,
}

impl ListRewriter {
    /// For the answer to a list request.
    pub(crate) fn for_answer(policy: Arc<Policy>, kind: ObjectKind, method: &str) -> Self {
        let lists: &[List] = match (kind, method) {
            (ObjectKind::Tool, _) => &[TOOLS],
            (ObjectKind::Prompt, _) => &[PROMPTS],
            (ObjectKind::Resource, "resources/templates/list") => &[TEMPLATES],
            (ObjectKind::Resource, _) => &[RESOURCES],
        };
        Self { policy, lists, expected: true }
    }

    /// For a `GET` stream of earlier revisions: one that is resumed may repeat the answer to any request, lists too.
    pub(crate) fn for_stream(policy: Arc<Policy>) -> Self {
        Self { policy, lists: &[TOOLS, PROMPTS, RESOURCES, TEMPLATES], expected: false }
    }

    /// Whether the answer is known to be a list.
    pub(super) fn expects_list(&self) -> bool {
        self.expected
    }

    /// Rewrites one JSON-RPC message; `None` where it is to stay as it is: a notification, a request of the server, an
    /// error in place of the list, another answer on a stream.
    pub(crate) fn message(&self, text: &str) -> Result<Option<String>, Unreadable> {
        let message = Value::whole(text);
        if !self.expected && !message.is_object() {
            return Ok(None);
        }
        let [method, result] = message.members(["method", "result"])?;
        let (None, Some(result)) = (method, result) else {
            return Ok(None);
        };
        if !self.expected && !result.is_object() {
            return Ok(None);
        }
        let mut edits = Edits::default();
        for list in self.lists {
            match result.members([list.member])? {
                [Some(value)] if self.expected || value.is_array() => self.edit(&mut edits, list, &value)?,
                [_] if self.expected => return Err(Unreadable(format!("expected `result.{}`", list.member))),
                [_] => {}
            }
        }
        Ok((!edits.is_empty()).then(|| edits.apply(text)))
    }

    fn edit(&self, edits: &mut Edits, list: &List, value: &Value<'_>) -> Result<(), Unreadable> {
        let elements = value.elements()?;
        let mut kept_any = false;
        let mut before: Option<&Value<'_>> = None;
        for (index, element) in elements.iter().enumerate() {
            let [Some(name)] = element.members([list.name])? else {
                return Err(Unreadable(format!("expected a `{}` in each of `{}`", list.name, list.member)));
            };
            let rule = self.policy.rule(list.kind, &name.as_string()?);
            if rule.access() == Access::Deny {
                // With the comma before it, or behind it while nothing is kept.
                let gap = match (before.filter(|_| kept_any), elements.get(index + 1)) {
                    (Some(before), _) => before.range().end..element.range().end,
                    (None, Some(next)) => element.start..next.start,
                    (None, None) => element.range(),
                };
                edits.replace(gap, "");
            } else {
                kept_any = true;
                if list.kind == ObjectKind::Tool {
                    secure(edits, element, rule)?;
                }
            }
            before = Some(element);
        }
        Ok(())
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
