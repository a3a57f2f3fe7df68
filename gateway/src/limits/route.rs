//! Limits after authentication: requests of a user, of a client, and calls of a tool.

use std::sync::Arc;

use mcp_auth::Judged;
use mcp_auth::clock::Clock;
use mcp_auth::policy::{BadPattern, ByName};
use mcp_auth::resource::ResourceUri;
use mcp_auth::state::{Bucket, NotNow, Quota, Rates};

use super::Network;
use super::limited::{Limited, LimitedBy};
use super::shared::SharedRates;
use crate::config::RouteRatesConfig;
use crate::server::ClientAddr;

/// What callers may send to one route, counted by who they are: by user and client, never by session or token, of which
/// anybody can have a new one.
#[derive(Debug)]
pub(crate) struct RateLimits {
    resource: ResourceUri,
    per_subject: Option<Limit>,
    per_client: Option<Limit>,
    per_tool: Option<Limit>,
    tools: ByName<Limit>,
    /// Where replicas count together.
    shared: Option<SharedRates>,
}

#[derive(Debug)]
struct Limit {
    by: LimitedBy,
    rates: Rates,
}

/// Whose bucket it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Taker<'a> {
    User {
        issuer: &'a str,
        subject: &'a str,
    },
    Client {
        issuer: &'a str,
        client: &'a str,
    },
    Anonymous(Network),
    /// Nobody said where the request came from: all such requests are one caller's.
    Unknown,
}

/// Something that a request takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    limit: &'a Limit,
    pub(super) taker: Taker<'a>,
    pub(super) tool: Option<&'a str>,
    pub(super) count: u32,
}

impl RateLimits {
    /// The limits of a route; `None` where it has none.
    ///
    /// # Errors
    ///
    /// A name of a tool is no pattern; names were checked before.
    pub(crate) fn new(
        config: &RouteRatesConfig,
        resource: &ResourceUri,
        shared: Option<SharedRates>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Option<Self>, BadPattern> {
        if *config == RouteRatesConfig::default() {
            return Ok(None);
        }
        let limit = |by, quota: Quota| Limit { by, rates: Rates::new(quota, Arc::clone(clock)) };
        let tools = config.tools.iter().map(|(name, quota)| (name.as_str(), limit(LimitedBy::Tool, *quota)));
        Ok(Some(Self {
            resource: resource.clone(),
            per_subject: config.per_subject.map(|quota| limit(LimitedBy::Subject, quota)),
            per_client: config.per_client.map(|quota| limit(LimitedBy::Client, quota)),
            per_tool: config.per_tool.map(|quota| limit(LimitedBy::Tool, quota)),
            tools: ByName::new(tools)?,
            shared,
        }))
    }

    /// Counts a request that the policy permits: each message of it by itself, all of them or none.
    ///
    /// # Errors
    ///
    /// There were too many.
    pub(crate) async fn admit(&self, judged: &Judged, address: Option<ClientAddr>) -> Result<(), Limited> {
        if let Some(shared) = &self.shared {
            // boxed, so that the future of a request that is counted here is small
            let asked =
                Box::pin(async { shared.take(self.resource.as_str(), &self.collect(judged, address)).await });
            if let Ok(admitted) = asked.await {
                return admitted;
            }
        }
        self.admit_here(judged, address)
    }

    fn collect<'a>(&'a self, judged: &'a Judged, address: Option<ClientAddr>) -> Vec<Wanted<'a>> {
        let mut all = Vec::new();
        let _ = self.each(judged, address, |wanted| {
            all.push(wanted);
            Ok(())
        });
        all
    }

    /// Looks at every bucket before anything is taken, so that what is refused for one counts for none.
    fn admit_here(&self, judged: &Judged, address: Option<ClientAddr>) -> Result<(), Limited> {
        // a message meets three limits at most; only a batch has more, and its buckets are found again
        let mut known = [None; 3];
        let mut limits = known.iter_mut();
        self.each(judged, address, |wanted| {
            let bucket = wanted.bucket();
            if let Some(known) = limits.next() {
                *known = Some(bucket);
            }
            wanted.here(bucket, Rates::look)
        })?;
        let mut known = known.into_iter();
        self.each(judged, address, |wanted| {
            let bucket = known.next().flatten().unwrap_or_else(|| wanted.bucket());
            wanted.here(bucket, Rates::take)
        })
    }

    /// What a request takes, up to the first error.
    fn each<'a>(
        &'a self,
        judged: &'a Judged,
        address: Option<ClientAddr>,
        mut visit: impl FnMut(Wanted<'a>) -> Result<(), Limited>,
    ) -> Result<(), Limited> {
        let user = judged.permit().and_then(mcp_auth::Permit::principal);
        let taker = match (user, address) {
            (Some(user), _) => Taker::User { issuer: user.issuer(), subject: user.subject() },
            (None, Some(ClientAddr(address))) => Taker::Anonymous(Network::of(address)),
            (None, None) => Taker::Unknown,
        };
        let messages = judged.messages();
        let count = u32::try_from(messages.len()).unwrap_or(u32::MAX).max(1);
        if let Some(limit) = &self.per_subject {
            visit(Wanted { limit, taker, tool: None, count })?;
        }
        let client = user.and_then(|user| Some((user.issuer(), user.client_id()?)));
        if let (Some(limit), Some((issuer, client))) = (&self.per_client, client) {
            visit(Wanted { limit, taker: Taker::Client { issuer, client }, tool: None, count })?;
        }
        for (index, message) in messages.iter().enumerate() {
            let Some(tool) = message.tool() else { continue };
            let Some(limit) = self.tools.get(tool).or(self.per_tool.as_ref()) else { continue };
            // a batch is at most 100 messages; each of its tools is asked for once
            let calls = |messages: &[mcp_auth::JudgedMessage]| {
                messages.iter().filter(|other| other.tool() == Some(tool)).count()
            };
            if messages.get(..index).is_some_and(|before| calls(before) > 0) {
                continue;
            }
            let count = u32::try_from(calls(messages)).unwrap_or(u32::MAX);
            visit(Wanted { limit, taker, tool: Some(tool), count })?;
        }
        Ok(())
    }
}

impl Wanted<'_> {
    pub(super) fn quota(&self) -> Quota {
        self.limit.rates.quota()
    }

    pub(super) fn by(&self) -> LimitedBy {
        self.limit.by
    }

    pub(super) fn limited(&self, retry_after: Option<std::time::Duration>) -> Limited {
        Limited { by: self.by(), quota: self.quota(), retry_after, tool: self.tool.map(Box::from) }
    }

    fn bucket(&self) -> Bucket {
        self.limit.rates.bucket((self.taker, self.tool))
    }

    fn here(
        &self,
        bucket: Bucket,
        ask: impl FnOnce(&Rates, Bucket, u32) -> Result<(), NotNow>,
    ) -> Result<(), Limited> {
        ask(&self.limit.rates, bucket, self.count).map_err(|NotNow(retry_after)| self.limited(retry_after))
    }
}
