//! Who made a task, and by which tool.

use bytes::Bytes;

use crate::session::Principal;

/// Who asks: what counts of them where a task is made or asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asker {
    pub(crate) principal: Option<Principal>,
    /// The name of their session.
    pub(crate) session: Option<[u8; 32]>,
}

/// Who may ask for a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    Principal(Principal),
    /// Whoever is in this session.
    Session([u8; 32]),
    /// Whoever knows its id: it was made by a stranger outside of any session.
    Anyone,
}

impl Owner {
    pub(super) fn of(maker: Asker) -> Self {
        match (maker.principal, maker.session) {
            (Some(principal), _) => Self::Principal(principal),
            (None, Some(session)) => Self::Session(session),
            (None, None) => Self::Anyone,
        }
    }

    fn is(&self, asker: Asker) -> bool {
        match self {
            Self::Principal(principal) => asker.principal == Some(*principal),
            Self::Session(session) => asker.session == Some(*session),
            Self::Anyone => true,
        }
    }
}

/// What is remembered of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TaskRecord {
    owner: Owner,
    tools: Vec<String>,
}

impl TaskRecord {
    /// A task that one of `tools` was called for.
    pub(super) fn new(maker: Asker, tools: Vec<String>) -> Self {
        Self { owner: Owner::of(maker), tools }
    }

    /// The tools that `asker` has to be allowed to call; `None` where the task is not theirs.
    pub(super) fn tools_for(self, asker: Asker) -> Option<Vec<String>> {
        // Without a tool nothing would be asked of the policy.
        (self.owner.is(asker) && !self.tools.is_empty()).then_some(self.tools)
    }

    pub(super) fn to_bytes(&self) -> Bytes {
        let (mark, owner) = match &self.owner {
            Owner::Anyone => (0, [0; 32]),
            Owner::Session(session) => (1, *session),
            Owner::Principal(principal) => (2, *principal.as_bytes()),
        };
        [&[mark], owner.as_slice(), &write_tools(&self.tools)].concat().into()
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (mark, rest) = bytes.split_first()?;
        let (owner, tools) = rest.split_first_chunk::<32>()?;
        let owner = match mark {
            0 => Owner::Anyone,
            1 => Owner::Session(*owner),
            2 => Owner::Principal(Principal::from_bytes(*owner)),
            _ => return None,
        };
        Some(Self { owner, tools: read_tools(tools)? })
    }
}

pub(super) fn write_tools(tools: &[String]) -> Vec<u8> {
    // Strings alone: there is nothing in them that could fail to serialise.
    serde_json::to_vec(tools).unwrap_or_default()
}

pub(super) fn read_tools(bytes: &[u8]) -> Option<Vec<String>> {
    serde_json::from_slice(bytes).ok()
}

/// The tasks that a request names and that are its caller's, with the tools that made them; all that a decision needs.
#[derive(Debug, Default)]
pub(crate) struct KnownTasks(Vec<KnownTask>);

#[derive(Debug)]
pub(super) struct KnownTask {
    pub(super) id: String,
    pub(super) tools: Vec<String>,
    /// Whether its id was never seen: its first use makes it the caller's.
    pub(super) unseen: bool,
}

impl KnownTasks {
    pub(super) fn push(&mut self, task: KnownTask) {
        self.0.push(task);
    }

    pub(super) fn unseen(&self) -> impl Iterator<Item = &KnownTask> {
        self.0.iter().filter(|task| task.unseen)
    }

    /// The tools whose rules the task falls under; `None` where there is no such task, for this caller.
    pub(crate) fn tools_of(&self, id: &str) -> Option<&[String]> {
        self.0.iter().find(|task| task.id == id).map(|task| &*task.tools)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asker(principal: u8, session: u8) -> Asker {
        let some = |byte| (byte != 0).then_some([byte; 32]);
        Asker { principal: some(principal).map(Principal::from_bytes), session: some(session) }
    }

    #[test]
    fn a_task_is_its_makers_alone() {
        for (maker, owners, others) in [
            (asker(1, 0), vec![asker(1, 0), asker(1, 7)], vec![asker(0, 0), asker(2, 0), asker(0, 7)]),
            (asker(1, 7), vec![asker(1, 7), asker(1, 0)], vec![asker(2, 7), asker(0, 7), asker(0, 0)]),
            (asker(0, 7), vec![asker(0, 7), asker(1, 7)], vec![asker(0, 0), asker(0, 8), asker(1, 0)]),
            (asker(0, 0), vec![asker(0, 0), asker(1, 7)], vec![]),
        ] {
            let record = TaskRecord::new(maker, vec!["t".to_owned()]);
            let record = TaskRecord::from_bytes(&record.to_bytes()).unwrap();
            for owner in owners {
                assert!(record.clone().tools_for(owner).is_some(), "{maker:?} {owner:?}");
            }
            for other in others {
                assert_eq!(record.clone().tools_for(other), None, "{maker:?} {other:?}");
            }
        }
    }

    #[test]
    fn what_is_no_record_is_nobodys() {
        let record = TaskRecord::new(asker(1, 0), vec!["\u{0}\"\n".to_owned(), String::new()]);
        assert_eq!(TaskRecord::from_bytes(&record.to_bytes()), Some(record.clone()));
        for bad in [&b""[..], b"\x03", &record.to_bytes()[..32], &record.to_bytes()[..40]] {
            assert_eq!(TaskRecord::from_bytes(bad), None, "{bad:?}");
        }
        assert_eq!(TaskRecord::new(asker(0, 0), Vec::new()).tools_for(asker(0, 0)), None);
    }
}
