//! The addresses of one upstream: which of them gets a request, and what becomes of it where one fails.
//!
//! - The address with the least calls under way gets the next one ([`choice`]); silent streams count for streams alone
//!   ([`load`]).
//! - An address that fails several times in a row is out for a while, and starts slowly when it comes back ([`standing`]).
//!   Where all are out, they are used all the same: nobody else would find out when they are back. An address whose checks
//!   fail ([`health`]) is not used until they succeed; where all are down, clients get 503 at once.
//! - A request is sent a second time, to another address, only where not one byte of it went out.
//! - Not more than so many requests are served at a time, and not more than so many wait ([`concurrency`]).
//! - A session stays where it was opened ([`sticky`]). Where that address is gone, or out while others are not, clients get
//!   404, at which they open a new session.

mod choice;
mod concurrency;
mod counted;
mod era;
#[cfg(test)]
mod fixture;
mod health;
mod load;
mod refusal;
mod standing;
mod states;
mod sticky;
mod watch;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::header::HOST;
use http::{HeaderMap, Request, Response, StatusCode, Uri};
use http_body::Body as _;
use mcp_auth::random::{Random, SystemRandom};
use mcp_auth::request::UpstreamEraHandle;

use super::{CleanBody, Endpoint, EndpointConfig, EndpointError, Failure, UpstreamBody};
use crate::body::RequestBody;
use crate::config::{ConcurrencyConfig, EraConfig, HealthConfig, RouteConfig, RoutePath};
use choice::{Tried, choose};
use concurrency::Concurrency;
use counted::Held;
use era::Eras;
use load::{Kind, Load};
use standing::{Epoch, Fault, Standing};
use sticky::{Bound, Tag};

pub(crate) use choice::MOST_ADDRESSES;
pub(crate) use concurrency::Busy;
pub(crate) use counted::CountedBody;
pub(crate) use refusal::Unserved;
pub(crate) use standing::Service;
pub(crate) use states::{AddressState, GroupState};

/// To how many addresses a request goes at most that none of them has got.
const MOST_TRIES: usize = 3;

/// What a group is made from. Two that are equal may share everything.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct GroupConfig {
    /// The path of the route, for logs and metrics.
    pub(crate) route: String,
    /// Each once; at least one and at most [`MOST_ADDRESSES`].
    pub(crate) addresses: Vec<EndpointConfig>,
    pub(crate) health: HealthConfig,
    pub(crate) concurrency: ConcurrencyConfig,
    pub(crate) era: EraConfig,
}

/// The addresses of one upstream. What watches over them ends when the group is dropped.
#[derive(Debug)]
pub(crate) struct Group {
    shared: Arc<Shared>,
    _watch: Option<watch::Watch>,
}

#[derive(Debug)]
struct Shared {
    route: String,
    addresses: Box<[Address]>,
    /// Counts the choices, so that equals take turns.
    turn: AtomicUsize,
    health: HealthConfig,
    concurrency: Arc<Concurrency>,
    /// Where the upstream is asked for it.
    eras: Option<Eras>,
    era: UpstreamEraHandle,
    epoch: Epoch,
    random: Arc<dyn Random>,
}

#[derive(Debug)]
struct Address {
    /// Its URL, for logs and metrics.
    name: String,
    endpoint: Endpoint,
    tag: Tag,
    load: Arc<Load>,
    standing: Standing,
}

impl GroupConfig {
    /// What a route says of its upstream.
    pub(crate) fn of(route: &RouteConfig) -> Self {
        let endpoint = |uri: &Uri| EndpointConfig {
            appends_path: matches!(route.path, RoutePath::Below(_)),
            ..route.reach.endpoint(uri.clone())
        };
        Self {
            route: route.name.clone(),
            addresses: route.upstreams.iter().map(endpoint).collect(),
            health: route.health.clone(),
            concurrency: route.concurrency.clone(),
            era: route.upstream_era,
        }
    }
}

impl Group {
    /// A group, and the task that watches over it where the configuration wants one: to be called within a runtime.
    ///
    /// # Errors
    ///
    /// If TLS cannot be set up.
    pub(crate) fn new(config: &GroupConfig) -> Result<Self, EndpointError> {
        Self::with_random(config, Arc::new(SystemRandom))
    }

    fn with_random(config: &GroupConfig, random: Arc<dyn Random>) -> Result<Self, EndpointError> {
        let addresses = config.addresses.iter().map(Address::new).collect::<Result<Box<[_]>, _>>()?;
        let (era, eras) = match config.era {
            EraConfig::Known(era) => (era.into(), None),
            EraConfig::Auto => {
                let eras = Eras::new(addresses.len());
                (eras.handle().clone(), Some(eras))
            }
        };
        let shared = Arc::new(Shared {
            route: config.route.clone(),
            addresses,
            turn: AtomicUsize::new(0),
            health: config.health.clone(),
            concurrency: Arc::new(Concurrency::new(&config.concurrency)),
            eras,
            era,
            epoch: Epoch::new(),
            random,
        });
        let watch = watch::Watch::begin(&shared, &config.addresses)?;
        Ok(Self { shared, _watch: watch })
    }

    /// The revisions that the upstream speaks, as far as is known; for the layer in front.
    pub(crate) fn era(&self) -> &UpstreamEraHandle {
        &self.shared.era
    }

    /// Sends a request to the best address, or to the one that its session lives at; returns when the head of the answer
    /// is there. Who drops the future, or the answer, gives back all that was held for it.
    ///
    /// # Errors
    ///
    /// No answer: see [`Unserved`].
    pub(crate) async fn send(
        &self,
        mut request: Box<Request<CleanBody>>,
    ) -> Result<Response<CountedBody>, Unserved> {
        let shared = &*self.shared;
        let bound = shared.take_session(request.headers_mut());
        if bound == Bound::Gone {
            return Err(Unserved::SessionGone);
        }
        let slot = shared.concurrency.enter().await.map_err(|busy| shared.busy(busy))?;
        let kind = Kind::of(&request);
        let doubtful = shared.eras.as_ref().is_some_and(|eras| eras.may_doubt(request.headers()));
        let of_client = is_still_coming(&request);
        let mut tried = Tried::default();
        let mut address = shared.address(bound, kind)?;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let under_way = address.1.load.begin(kind);
            match address.1.endpoint.send(request).await {
                Ok(answer) => {
                    if doubtful && let Some(eras) = &shared.eras {
                        eras.doubt();
                    }
                    let held = Held { under_way, slot: Some(slot) };
                    let marks = !shared.is_alone() || bound != Bound::Nowhere;
                    return Ok(shared.answered(address.1, answer, held, marks));
                }
                Err(mut error) => {
                    shared.failed(address, error.kind, of_client);
                    tried.add(address.0);
                    let next = || {
                        shared
                            .choose(tried, kind)
                            .filter(|_| attempts < MOST_TRIES && bound == Bound::Nowhere)
                    };
                    match error.unsent.take().and_then(|unsent| Some((unsent, next()?))) {
                        Some((mut unsent, next)) => {
                            // the name of the one before
                            unsent.headers_mut().remove(HOST);
                            tracing::info!(route = shared.route, upstream = address.1.name, next = next.1.name, %error, "nothing was sent: the request goes to another address");
                            metrics::counter!("mcp_gateway_upstream_retries_total", "route" => shared.route.clone()).increment(1);
                            (request, address) = (unsent, next);
                        }
                        None => return Err(Unserved::Failed { address: address.1.name.clone(), error }),
                    }
                }
            }
        }
    }
}

impl Address {
    fn new(config: &EndpointConfig) -> Result<Self, EndpointError> {
        let endpoint = Endpoint::new(config.clone())?;
        Ok(Self {
            name: endpoint.uri().to_string(),
            tag: Tag::of(endpoint.uri()),
            endpoint,
            load: Arc::default(),
            standing: Standing::default(),
        })
    }
}

impl Shared {
    /// Whether there is a choice at all.
    fn is_alone(&self) -> bool {
        self.addresses.len() == 1
    }

    /// Where the session of a request lives, if it is in one. An upstream of one address has all of them: only where there
    /// were several before may an id still have a tag.
    fn take_session(&self, headers: &mut HeaderMap) -> Bound {
        if let [only] = &*self.addresses
            && !only.tag.is_on(headers)
        {
            return Bound::Nowhere;
        }
        sticky::take(headers, self.addresses.iter().map(|address| address.tag))
    }

    fn service(&self, address: &Address) -> Service {
        address.standing.service(|| self.epoch.now(), self.health.slow_start)
    }

    /// The address for a request.
    fn address(&self, bound: Bound, kind: Kind) -> Result<(usize, &Address), Unserved> {
        let down = || Unserved::Down { retry_after: self.health.interval };
        let Bound::To(index) = bound else {
            return self.choose(Tried::default(), kind).ok_or_else(down);
        };
        let address = self.addresses.get(index).ok_or(Unserved::SessionGone)?;
        let service = self.service(address);
        if matches!(service, Service::In { .. }) {
            return Ok((index, address));
        }
        match (service, self.choose(Tried::default(), kind).map(|(_, best)| self.service(best))) {
            // a new session could not be opened either
            (_, None) => Err(down()),
            // there is no better one
            (Service::Out { .. }, Some(Service::Out { .. })) => Ok((index, address)),
            _ => Err(Unserved::SessionGone),
        }
    }

    fn choose(&self, tried: Tried, kind: Kind) -> Option<(usize, &Address)> {
        let look = |index: usize| {
            let address = self.addresses.get(index)?;
            Some((address.load.of(kind), self.service(address)))
        };
        let turn = if self.is_alone() { 0 } else { self.turn.fetch_add(1, Ordering::Relaxed) };
        let index = choose(self.addresses.len(), tried, turn, look)?;
        Some((index, self.addresses.get(index)?))
    }

    fn answered(
        &self,
        address: &Address,
        mut answer: Response<UpstreamBody>,
        mut held: Held,
        marks: bool,
    ) -> Response<CountedBody> {
        match answer.status() {
            StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
                self.fault(address, Fault::Answer);
            }
            _ => address.standing.succeeded(),
        }
        if marks {
            address.tag.mark(answer.headers_mut());
        }
        if answer.body().is_event_stream() {
            held.streams();
        }
        answer.map(|body| CountedBody::new(body, held))
    }

    /// `of_client` says whether the client, too, may have broken it off.
    fn failed(&self, (index, address): (usize, &Address), failure: Failure, of_client: bool) {
        let fault = match failure {
            Failure::NoAnswer | Failure::Broken if of_client => return,
            Failure::Connect | Failure::ConnectTimeout => Fault::Connect,
            Failure::NoAnswer | Failure::Broken => Fault::Answer,
        };
        self.fault(address, fault);
        if let Some(eras) = self.eras.as_ref().filter(|_| fault == Fault::Connect) {
            eras.forget(index);
        }
    }

    fn fault(&self, address: &Address, fault: Fault) {
        let out_for = address.standing.failed(fault, self.epoch.now(), &*self.random);
        let labels = || [("route", self.route.clone()), ("address", address.name.clone())];
        metrics::counter!("mcp_gateway_upstream_failures_total", &labels()).increment(1);
        if let Some(out_for) = out_for {
            metrics::counter!("mcp_gateway_upstream_ejections_total", &labels()).increment(1);
            tracing::warn!(
                route = self.route,
                upstream = address.name,
                for_ms = out_for.as_millis(),
                "an address failed several times in a row: it gets no requests while others can have them"
            );
        }
    }

    fn busy(&self, busy: Busy) -> Unserved {
        metrics::counter!("mcp_gateway_upstream_busy_total", "route" => self.route.clone(), "reason" => busy.code())
            .increment(1);
        Unserved::Busy { busy, retry_after: self.concurrency.longest_wait() }
    }
}

/// Whether the client has yet to send the body, or a part of it: who breaks off then, or lets others wait, nobody knows.
fn is_still_coming(request: &Request<CleanBody>) -> bool {
    matches!(request.body(), CleanBody(RequestBody::Streamed { .. })) && !request.body().is_end_stream()
}

#[cfg(test)]
mod tests;
