//! The answer to `tasks/list` (MCP 2025-11-25): of its tasks, those of the caller stay.

use std::pin::pin;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::Response;
use http_body::Body;
use http_body_util::BodyExt;
use serde_json::value::RawValue;

use super::body::{BoxError, MOST_LIST_BYTES, ResponseBody, forget_encoding, has_no_list, withheld};
use super::content::Content;
use super::events::{Event, EventReader};
use super::json::{Edits, Unreadable, Value};
use crate::coding::{Coding, Decoder};
use crate::policy::Policy;
use crate::request::{ObjectKind, RequestId};
use crate::state::StateError;
use crate::tasks::{Asker, Ledger};

/// Whose tasks stay.
pub(crate) struct OwnTasks {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) asker: Asker,
    pub(crate) policy: Arc<Policy>,
}

/// Takes from a list of tasks those that are not the caller's, or whose tool the policy denies by now. It is read whole
/// first, events too, because each task has to be looked up. A list that cannot be read is withheld.
pub(crate) async fn keep_own_tasks<B>(
    response: Response<B>,
    own: OwnTasks,
    id: Option<RequestId>,
) -> Response<ResponseBody<B>>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    if has_no_list(response.status()) {
        return ResponseBody::upstream(response);
    }
    let (mut parts, body) = response.into_parts();
    let unreadable = |why: &str| Err(Unreadable(why.to_owned()));
    let kept = match (Content::of(&parts.headers), Coding::of(&parts.headers)) {
        (Content::Json, Ok(coding)) => own.of_json(body, coding).await,
        (Content::Events, Ok(coding)) => own.of_events(body, coding).await,
        _ => unreadable("expected JSON or events, in clear or with a content coding that is known"),
    };
    match kept {
        Ok(kept) => {
            forget_encoding(&mut parts.headers);
            Response::from_parts(parts, ResponseBody::whole(kept))
        }
        Err(error) => {
            tracing::error!(%error, "a list of tasks is withheld");
            withheld(id.as_ref()).map(ResponseBody::whole)
        }
    }
}

impl From<StateError> for Unreadable {
    fn from(error: StateError) -> Self {
        Self(error.to_string())
    }
}

/// Whether a stream has brought its answer.
type Answered = bool;

impl OwnTasks {
    async fn of_json<B>(&self, body: B, coding: Option<Coding>) -> Result<Bytes, Unreadable>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let mut whole = BytesMut::new();
        read(body, coding, |clear| {
            whole.extend_from_slice(clear);
            Ok(false)
        })
        .await?;
        let text = std::str::from_utf8(&whole).map_err(|error| Unreadable(error.to_string()))?;
        Ok(self.keep(text).await?.0.map_or_else(|| Bytes::copy_from_slice(text.as_bytes()), Bytes::from))
    }

    /// The events up to the answer, and nothing of them but their data: what is resumed behind one brings no list.
    async fn of_events<B>(&self, body: B, coding: Option<Coding>) -> Result<Bytes, Unreadable>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let mut reader = EventReader::new(MOST_LIST_BYTES);
        let mut events = Vec::new();
        read(body, coding, |clear| {
            let seen = events.len();
            reader.push(clear, |event| events.push(event));
            Ok(events.iter().skip(seen).any(|event| matches!(event, Event::Data(data) if is_answer(data))))
        })
        .await?;
        reader.finish(|event| events.push(event));
        let mut out = Vec::new();
        for event in events {
            let data = match event {
                Event::Data(data) => data,
                Event::TooLong => return Err(Unreadable("expected shorter events".to_owned())),
                Event::Id => continue,
            };
            let text = std::str::from_utf8(&data).map_err(|error| Unreadable(error.to_string()))?;
            let (kept, answered) =
                if text.trim().is_empty() { (None, false) } else { self.keep(text).await? };
            for line in kept.as_deref().unwrap_or(text).split('\n') {
                out.extend_from_slice(b"data: ");
                out.extend_from_slice(line.as_bytes());
                out.push(b'\n');
            }
            out.push(b'\n');
            if answered {
                break;
            }
        }
        Ok(out.into())
    }

    /// The message without others' tasks; `None` where it has no list. Whether it is an answer.
    async fn keep(&self, text: &str) -> Result<(Option<String>, Answered), Unreadable> {
        let [method, result] = Value::whole(text).members(["method", "result"])?;
        let Some(result) = result.filter(|_| method.is_none()) else {
            return Ok((None, method.is_none()));
        };
        let [Some(tasks)] = result.members(["tasks"])? else {
            return Err(Unreadable("expected `result.tasks`".to_owned()));
        };
        let elements: Vec<&RawValue> =
            serde_json::from_str(tasks.text).map_err(|error| Unreadable(error.to_string()))?;
        let mut kept = Vec::new();
        for element in elements {
            let [Some(id)] = Value::whole(element.get()).members(["taskId"])? else {
                return Err(Unreadable("expected a `taskId` in each of `tasks`".to_owned()));
            };
            if self.is_own(&id.as_string()?).await? {
                kept.push(element.get());
            }
        }
        let mut edits = Edits::default();
        edits.replace(tasks.range(), |out| {
            out.push('[');
            out.push_str(&kept.join(","));
            out.push(']');
        });
        Ok((Some(edits.apply(text)), true))
    }

    async fn is_own(&self, id: &str) -> Result<bool, StateError> {
        let tools = self.ledger.seen(id, self.asker).await?;
        let allowed = |tool: &String| !self.policy.rule(ObjectKind::Tool, tool).is_denied();
        Ok(tools.is_some_and(|tools| tools.iter().all(allowed)))
    }
}

/// Reads a body to its end, or until `take` has enough of it.
async fn read<B>(
    body: B,
    coding: Option<Coding>,
    mut take: impl FnMut(&[u8]) -> Result<bool, Unreadable>,
) -> Result<(), Unreadable>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let broken = |error: &dyn std::fmt::Display| Unreadable(error.to_string());
    let mut coding = coding.map(|coding| Decoder::new(coding, MOST_LIST_BYTES));
    let mut room = MOST_LIST_BYTES;
    let mut body = pin!(body);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|error| broken(&error.into()))?.into_data() else { continue };
        let clear = match &mut coding {
            None => data,
            Some(coding) => coding.push(&data).map_err(|error| broken(&error))?.into(),
        };
        room = room
            .checked_sub(clear.len())
            .ok_or_else(|| Unreadable(format!("expected at most {MOST_LIST_BYTES} bytes")))?;
        if take(&clear)? {
            return Ok(());
        }
    }
    if let Some(mut coding) = coding {
        take(&coding.finish().map_err(|error| broken(&error))?)?;
    }
    Ok(())
}

/// Empties a list of tasks of which nobody knows who asked for it; `None` where there is none.
pub(super) fn without_tasks(text: &str) -> Result<Option<String>, Unreadable> {
    let [method, Some(result)] = Value::whole(text).members(["method", "result"])? else {
        return Ok(None);
    };
    if method.is_some() || !result.is_object() {
        return Ok(None);
    }
    let [Some(tasks)] = result.members(["tasks"])? else {
        return Ok(None);
    };
    let Ok(elements) = serde_json::from_str::<Vec<&RawValue>>(tasks.text) else {
        return Ok(None);
    };
    let is_task = |element: &&RawValue| {
        let members = Value::whole(element.get()).members(["taskId"]);
        !matches!(members, Ok([None]))
    };
    if !elements.iter().any(is_task) {
        return Ok(None);
    }
    let mut edits = Edits::default();
    edits.replace(tasks.range(), |out| out.push_str("[]"));
    Ok(Some(edits.apply(text)))
}

fn is_answer(data: &[u8]) -> bool {
    let Some([method, result, error]) = std::str::from_utf8(data)
        .ok()
        .and_then(|text| Value::whole(text).members(["method", "result", "error"]).ok())
    else {
        return false;
    };
    method.is_none() && (result.is_some() || error.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_tasks_of_nobody_knows_whom_is_emptied() {
        let text = r#"{"id":1,"result":{"tasks": [{"taskId":"a"}],"nextCursor":"c"}}"#;
        let emptied = r#"{"id":1,"result":{"tasks": [],"nextCursor":"c"}}"#;
        assert_eq!(without_tasks(text).unwrap().as_deref(), Some(emptied));
        for other in [
            r#"{"id":1,"result":{"tasks":[]}}"#,
            r#"{"id":1,"result":{"tasks":[{"name":"a"}]}}"#,
            r#"{"id":1,"result":{"tasks":{"taskId":"a"}}}"#,
            r#"{"id":1,"result":[]}"#,
            r#"{"id":1,"result":{}}"#,
            r#"{"method":"x","result":{"tasks":[{"taskId":"a"}]}}"#,
        ] {
            assert_eq!(without_tasks(other).unwrap(), None, "{other}");
        }
    }
}
