//! [`Classified`]: what a request wants, as the policy sees it.

use std::borrow::Cow;

use http::HeaderMap;

use super::headers::{self, Era, UpstreamEra};
use super::json::Field;
use super::malformed::Malformed;
use super::message::{self, ArgumentsAt, Message, RequestId};
use super::params::Params;

/// The kinds of object that a policy has rules for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectKind {
    /// Called by `tools/call`, listed by `tools/list`.
    Tool,
    /// Read by `resources/read`; subscriptions and completions name them too.
    Resource,
    /// Fetched by `prompts/get`.
    Prompt,
}

impl ObjectKind {
    /// The word for one of them: `tool`.
    pub fn noun(self) -> &'static str {
        match self {
            Self::Tool => "tool",
            Self::Resource => "resource",
            Self::Prompt => "prompt",
        }
    }
}

/// What a request wants to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation<'a> {
    /// Opens, keeps or ends a connection: `initialize`, `server/discover`, `ping`, `logging/setLevel`, a notification,
    /// an answer to the server, a `GET` stream, a `DELETE`. The method, where it has one.
    Lifecycle(Option<Cow<'a, str>>),
    /// Lists the objects of one kind, by this method.
    List(ObjectKind, &'static str),
    /// Uses one object.
    Object {
        /// What kind of object.
        kind: ObjectKind,
        /// Its name, or its URI; exactly the bytes that the body decodes to.
        name: Cow<'a, str>,
    },
    /// Asks for a task, changes or ends it: `tasks/get`, `tasks/update`, `tasks/cancel`, `tasks/result`.
    Task {
        /// The method.
        method: &'static str,
        /// `params.taskId`; exactly the bytes that the body decodes to.
        id: Cow<'a, str>,
    },
    /// Any other method; `subscriptions/listen` names resources and tasks besides.
    Method {
        /// The method.
        name: Cow<'a, str>,
        /// Every resource that the call names; each must be allowed as well.
        resources: Vec<Cow<'a, str>>,
        /// Every task that the call names; each must be the caller's.
        tasks: Vec<Cow<'a, str>>,
    },
}

/// A request whose meaning is known and confirmed, and which nobody has decided yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Classified<'a> {
    /// What it wants.
    pub operation: Operation<'a>,
    /// How it speaks.
    pub era: Era,
    /// The `id` to answer with; none for what expects no answer.
    pub id: Option<RequestId>,
    /// The JSON-RPC method, where there is a body that has one.
    pub method: Option<Cow<'a, str>>,
    /// The text of the message.
    pub(super) text: &'a str,
    /// And where in it the arguments are.
    pub(super) arguments: ArgumentsAt,
}

impl<'a> Classified<'a> {
    /// A request without a body: a `GET` stream or a `DELETE`.
    pub(crate) fn bodyless() -> Self {
        Self {
            operation: Operation::Lifecycle(None),
            era: Era::Legacy,
            id: None,
            method: None,
            text: "",
            arguments: ArgumentsAt::Nowhere,
        }
    }

    /// Reads a body that is one JSON-RPC message for a server of both eras, with the headers that must confirm it; see
    /// [`Incoming::from_body`](super::Incoming::from_body) for all that a body may be.
    ///
    /// # Errors
    /// Whatever is not one unambiguous JSON-RPC message: see [`Malformed`] for status, code and message.
    pub fn from_body(headers: &HeaderMap, body: &'a [u8]) -> Result<Self, Malformed> {
        Self::from_message(headers, message::text(body)?, UpstreamEra::Dual)
    }

    pub(super) fn from_message(
        headers: &HeaderMap,
        text: &'a str,
        upstream: UpstreamEra,
    ) -> Result<Self, Malformed> {
        let message = Message::parse(text)?;
        let era = headers::confirm(headers, &message, upstream)?;
        match message {
            Message::Response => Ok(Self { text, ..Self::bodyless() }),
            Message::Call { id, method, params } => {
                let arguments = ArgumentsAt::of(params.arguments, text);
                let operation = operation(&method, params, id.is_none())
                    .map_err(|malformed| malformed.with_id(id.as_ref()))?;
                Ok(Self { operation, era, id, method: Some(method), text, arguments })
            }
        }
    }

    pub(super) fn text(&self) -> &'a str {
        self.text
    }

    /// How long the message is, in bytes.
    pub(crate) fn message_len(&self) -> usize {
        self.text.len()
    }

    /// The text of `params.arguments`, where the message has them. It was not looked into beyond being JSON: keys may be
    /// there twice.
    pub fn arguments(&self) -> Option<&'a str> {
        self.arguments.read(self.text)
    }

    /// The name of what a request is about: of its object, else its method.
    pub(crate) fn object_name(&self) -> Option<&str> {
        match &self.operation {
            Operation::Object { name, .. } => Some(name),
            Operation::Lifecycle(_)
            | Operation::List(..)
            | Operation::Task { .. }
            | Operation::Method { .. } => self.method.as_deref(),
        }
    }

    /// The tool of a single `tools/call` that expects an answer: the only call whose refusal can be a tool result.
    pub(crate) fn called_tool(&self) -> Option<(&RequestId, &str)> {
        match (&self.operation, &self.id) {
            (Operation::Object { kind: ObjectKind::Tool, name }, Some(id)) => Some((id, name)),
            _ => None,
        }
    }
}

fn operation<'a>(
    method: &Cow<'a, str>,
    params: Params<'a>,
    notification: bool,
) -> Result<Operation<'a>, Malformed> {
    let object = |kind, name| Ok(Operation::Object { kind, name });
    // A message without `id` is judged by its method all the same: some servers run a `tools/call` that wants no answer.
    match &**method {
        "tools/call" => object(ObjectKind::Tool, text(params.name, "params.name")?),
        "prompts/get" => object(ObjectKind::Prompt, text(params.name, "params.name")?),
        "resources/read" | "resources/subscribe" | "resources/unsubscribe" => {
            object(ObjectKind::Resource, text(params.uri, "params.uri")?)
        }
        // What completes an argument tells what the object knows.
        "completion/complete" => match &*text(params.reference.kind, "params.ref.type")? {
            "ref/prompt" => object(ObjectKind::Prompt, text(params.reference.name, "params.ref.name")?),
            "ref/resource" => object(ObjectKind::Resource, text(params.reference.uri, "params.ref.uri")?),
            _ => Err(Malformed::bad_request(
                Malformed::INVALID_PARAMS,
                "expected `params.ref.type` to be `ref/prompt` or `ref/resource`",
            )),
        },
        "tools/list" => Ok(Operation::List(ObjectKind::Tool, "tools/list")),
        "prompts/list" => Ok(Operation::List(ObjectKind::Prompt, "prompts/list")),
        "resources/list" => Ok(Operation::List(ObjectKind::Resource, "resources/list")),
        "resources/templates/list" => Ok(Operation::List(ObjectKind::Resource, "resources/templates/list")),
        "initialize" | "server/discover" | "ping" | "logging/setLevel" => {
            Ok(Operation::Lifecycle(Some(method.clone())))
        }
        other if notification && other.starts_with("notifications/") => {
            Ok(Operation::Lifecycle(Some(method.clone())))
        }
        "tasks/get" => task("tasks/get", params),
        "tasks/update" => task("tasks/update", params),
        "tasks/cancel" => task("tasks/cancel", params),
        "tasks/result" => task("tasks/result", params),
        _ => Ok(Operation::Method {
            name: method.clone(),
            resources: params.subscriptions.resources,
            tasks: params.subscriptions.tasks,
        }),
    }
}

fn task<'a>(method: &'static str, params: Params<'a>) -> Result<Operation<'a>, Malformed> {
    Ok(Operation::Task { method, id: text(params.task_id, "params.taskId")? })
}

fn text<'a>(field: Field<'a>, path: &str) -> Result<Cow<'a, str>, Malformed> {
    match field {
        Field::Text(text) => Ok(text),
        Field::Absent | Field::Other => Err(Malformed::bad_request(
            Malformed::INVALID_PARAMS,
            format!("expected `{path}` to be a string"),
        )),
    }
}

#[cfg(test)]
mod tests;
