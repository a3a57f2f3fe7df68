//! What a policy changes in a list.

use std::sync::Arc;

use super::answer::{Answer, Element, ListMember, ResultMember};
use super::json::Edits;
pub(crate) use super::json::Unreadable;
use crate::policy::{Access, Policy, Rule};
use crate::request::ObjectKind;

/// One kind of list: where a result has it, and what names its elements.
#[derive(Debug)]
pub(super) struct List {
    kind: ObjectKind,
    pub(super) member: &'static str,
    pub(super) name: &'static str,
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
        if !self.expected && !text.trim_start().starts_with('{') {
            return Ok(None);
        }
        let answer = Answer::read(text, self.lists)?;
        let (false, Some(result)) = (answer.has_method, answer.result) else {
            return Ok(None);
        };
        let found = match result {
            ResultMember::Object(found) => found,
            ResultMember::Other if self.expected => {
                return Err(Unreadable("expected `result` to be an object".to_owned()));
            }
            ResultMember::Other => return Ok(None),
        };
        let mut edits = Edits::default();
        for (list, found) in self.lists.iter().zip(found) {
            match found {
                Some(ListMember::Array(elements)) => self.edit(&mut edits, list, &elements)?,
                _ if self.expected => {
                    return Err(Unreadable(format!("expected a list in `result.{}`", list.member)));
                }
                _ => {}
            }
        }
        Ok((!edits.is_empty()).then(|| edits.apply(text)))
    }

    fn edit(&self, edits: &mut Edits, list: &List, elements: &[Element<'_>]) -> Result<(), Unreadable> {
        let mut kept_any = false;
        let mut before: Option<&Element<'_>> = None;
        for (index, element) in elements.iter().enumerate() {
            let Some(name) = element.name else {
                return Err(Unreadable(format!("expected a `{}` in each of `{}`", list.name, list.member)));
            };
            let rule = self.policy.rule(list.kind, &name.as_string()?);
            if rule.access() == Access::Deny {
                // With the comma before it, or behind it while nothing is kept.
                let gap = match (before.filter(|_| kept_any), elements.get(index + 1)) {
                    (Some(before), _) => before.end..element.end,
                    (None, Some(next)) => element.start..next.start,
                    (None, None) => element.start..element.end,
                };
                edits.replace(gap, |_| {});
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
fn secure(edits: &mut Edits, tool: &Element<'_>, rule: &Rule) -> Result<(), Unreadable> {
    if let Some(key) = tool.repeated {
        return Err(Unreadable(format!("the key `{key}` is given twice")));
    }
    let alone = |text: &mut String| {
        text.push_str("{\"securitySchemes\":");
        write_security_schemes(rule, text);
        text.push('}');
    };
    match &tool.meta {
        Some(meta) if meta.is_object() => {
            let [declared] = meta.members(["securitySchemes"])?;
            if let Some(declared) = declared {
                edits.replace(declared.range(), |text| write_security_schemes(rule, text));
            } else {
                // Behind the last member, before what white space the upstream put there.
                let members = meta.text.strip_suffix('}').unwrap_or(meta.text).trim_end();
                let comma = if members.ends_with('{') { "" } else { "," };
                let end = meta.start + members.len();
                edits.replace(end..end, |text| {
                    text.push_str(comma);
                    text.push_str("\"securitySchemes\":");
                    write_security_schemes(rule, text);
                });
            }
        }
        meta => edits.set(meta.as_ref(), tool.members_end, "_meta", alone),
    }
    edits.set(tool.security_schemes.as_ref(), tool.members_end, "securitySchemes", |text| {
        write_security_schemes(rule, text);
    });
    Ok(())
}

/// `noauth` is callable anonymously, `oauth2` needs a token, both is optional: the two types that clients know.
fn write_security_schemes(rule: &Rule, text: &mut String) {
    text.push('[');
    if matches!(rule.access(), Access::Public | Access::Optional) {
        text.push_str(r#"{"type":"noauth"}"#);
    }
    if rule.access() == Access::Optional {
        text.push(',');
    }
    if matches!(rule.access(), Access::OAuth2 | Access::Optional) {
        text.push_str(r#"{"type":"oauth2","scopes":["#);
        for (index, scope) in rule.scopes().enumerate() {
            text.push_str(if index == 0 { "\"" } else { ",\"" });
            // A scope token has neither quotes, backslashes nor control characters (RFC 6749 §3.3): it is a JSON string as it is.
            text.push_str(scope);
            text.push('"');
        }
        text.push_str("]}");
    }
    text.push(']');
}

#[cfg(test)]
mod tests;
