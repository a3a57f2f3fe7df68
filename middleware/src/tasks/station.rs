//! Where requests pass: the look-ups before a decision on tasks, and what follows from it.

use std::sync::Arc;

use http::HeaderMap;

use super::learner::TaskLearner;
use super::record::{Asker, KnownTasks};
use crate::policy::{Policy, Refusal, UnknownObject};
use crate::possession::Caller;
use crate::request::{Classified, Incoming, ObjectKind, Operation};
use crate::rewrite::OwnTasks;
use crate::session::{Principal, Session};
use crate::shared::Shared;
use crate::state::StateError;

/// The most tasks of one request that are looked up; the rest of them do not exist.
const MOST_TASKS: usize = 100;

fn unavailable(error: &StateError) -> Refusal {
    tracing::error!(%error, "the maker of a task cannot be looked up");
    Refusal::StateUnavailable
}

impl Shared {
    /// Looks up the tasks that a request names, before it is decided.
    ///
    /// The session is taken from its id alone here: whether it is the caller's is found out after the decision. There are
    /// no tasks in a batch: the revision that has batches has no tasks.
    pub(crate) async fn known_tasks(
        &self,
        request: &Incoming<'_>,
        headers: &HeaderMap,
        caller: Option<&Caller>,
    ) -> Result<(Asker, KnownTasks), Refusal> {
        let principal = caller.map(Principal::of);
        let mut known = KnownTasks::default();
        let ids = match request.single().map(|request| &request.operation) {
            Some(Operation::Task { id, .. }) => std::slice::from_ref(id),
            Some(Operation::Method { tasks, .. }) => tasks,
            _ => &[],
        };
        if ids.is_empty() {
            return Ok((Asker { principal, session: None }, known));
        }
        let era = request.single().map(|request| request.era);
        let asker = Asker { principal, session: era.and_then(|era| self.session_tag(headers, era)) };
        for id in ids.iter().take(MOST_TASKS) {
            if let Some(task) =
                Box::pin(self.ledger.find(id, asker)).await.map_err(|error| unavailable(&error))?
            {
                known.push(task);
            }
        }
        Ok((asker, known))
    }

    /// Makes the tasks that were never seen the caller's, who may use them.
    pub(crate) async fn adopt_tasks(&self, known: &KnownTasks, asker: Asker) -> Result<(), Refusal> {
        for task in known.unseen() {
            if !Box::pin(self.ledger.adopt(task, asker)).await.map_err(|error| unavailable(&error))? {
                return Err(Refusal::Unknown(UnknownObject::Task));
            }
        }
        Ok(())
    }

    /// Who asks, once their session is theirs.
    pub(crate) fn asker(&self, session: &Session, caller: Option<&Caller>) -> Asker {
        Asker { principal: caller.map(Principal::of), session: session.tag(&self.resource) }
    }

    /// What filters the answer to a permitted `tasks/list`.
    pub(crate) fn own_tasks(
        &self,
        request: &Incoming<'_>,
        asker: Asker,
        policy: &Arc<Policy>,
    ) -> Option<OwnTasks> {
        let lists = |message: &&Classified<'_>| message.method.as_deref() == Some("tasks/list");
        request.single().filter(lists)?;
        Some(OwnTasks { ledger: Arc::clone(&self.ledger), asker, policy: Arc::clone(policy) })
    }

    /// What watches the answer to a permitted request, where it may make a task.
    pub(crate) fn task_learner(&self, request: &Incoming<'_>, asker: Asker) -> Option<TaskLearner> {
        let Classified { operation: Operation::Object { kind: ObjectKind::Tool, name }, .. } =
            request.single()?
        else {
            return None;
        };
        Some(TaskLearner::new(Arc::clone(&self.ledger), asker, name))
    }
}
