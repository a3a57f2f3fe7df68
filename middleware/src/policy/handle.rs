//! The policy in force, and changing it without stopping.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::{Policy, observe};

/// Shares one policy between the layer and whoever reloads it; clones see the same one.
///
/// A request takes the policy once and is decided by it from start to end, whatever is loaded meanwhile.
///
/// ```
/// use mcp_auth::policy::{Access, Policy, PolicyHandle};
/// use mcp_auth::request::ObjectKind;
///
/// let handle = PolicyHandle::new(Policy::parse("version = 1\n[tools.echo]\nauth = \"oauth2\"\n")?);
/// handle.replace(Policy::parse("version = 1\n[tools.echo]\nauth = \"public\"\n")?);
/// assert_eq!(handle.load().rule(ObjectKind::Tool, "echo").access(), Access::Public);
/// # Ok::<(), mcp_auth::document::Faults>(())
/// ```
#[derive(Debug, Clone)]
pub struct PolicyHandle(Arc<ArcSwap<Policy>>);

impl PolicyHandle {
    /// Puts a first policy in force.
    pub fn new(policy: Policy) -> Self {
        observe::in_force(policy.version(), None);
        Self(Arc::new(ArcSwap::from_pointee(policy)))
    }

    /// Puts another policy in force for all requests that have not been decided yet.
    pub fn replace(&self, policy: Policy) {
        let version = policy.version();
        let before = self.0.swap(Arc::new(policy));
        observe::in_force(version, Some(before.version()));
    }

    /// Says in the metrics which policy is in force. [`new`](Self::new) and [`replace`](Self::replace) do so too; this
    /// is for a recorder that was installed after them.
    pub(crate) fn observe(&self) {
        observe::in_force(self.load().version(), None);
    }

    /// The policy in force.
    pub fn load(&self) -> Arc<Policy> {
        self.0.load_full()
    }
}
