//! Starting and stopping.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use mcp_auth_runtime::{
    serve::{Terms, serve_on},
    tls::Tls,
};
use secrecy::SecretString;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    app::App,
    assertions::AssertionIssuer,
    cimd::Documents,
    client_keys::ClientKeys,
    config::{Config, DatabaseUrl},
    device_guesses::DeviceGuesses,
    directory::UNUSED_SECONDS,
    keys::SigningKeys,
    login_limits::LoginLimits,
    metrics::{
        Endpoints,
        listener::{Asked, Listening},
    },
    model::{
        resources::Resources,
        secret::{Secret, identifier},
    },
    outbound::Outbound,
    outside::Outside,
    passwords::Passwords,
    rates::Rates,
    refusals::Lines,
    registration_limits::RegistrationLimits,
    reload,
    router::router,
    status::{Places, StatusLists},
    storage::{
        self, Housekeeping as _, Storage,
        sql::{Database, Schema},
    },
    throttle::Throttle,
};

/// How long requests may go on after a shutdown was asked for.
const GRACE: Duration = Duration::from_secs(10);
/// Seconds that audit events are kept.
const AUDIT_SECONDS: i64 = 400 * 86_400;
/// Events of limits that were reached, of all limits together.
const LIMIT_EVENTS_PER_MINUTE: u32 = 60;
/// How often expired rows are removed.
const PURGE_EVERY: Duration = Duration::from_mins(1);

/// A server that runs.
#[derive(Debug)]
pub struct Running {
    shutdown: CancellationToken,
    server: JoinHandle<()>,
    storage: Arc<dyn Storage>,
    metrics: Option<Listening>,
}

impl Running {
    /// Where operators ask for metrics and health, if anywhere.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().map(|listening| listening.address)
    }

    /// Asks the server to stop: no new connections, and running requests have ten seconds.
    pub fn shutdown(&self) {
        self.shutdown.cancel();
    }

    /// Waits until the server has stopped.
    ///
    /// # Errors
    /// When the server did not stop in good order.
    pub async fn stopped(self) -> anyhow::Result<()> {
        let ended = self.server.await.context("the server broke off");
        self.shutdown.cancel();
        let unwatched = match self.metrics {
            Some(listening) => listening.stopped().await,
            None => Ok(()),
        };
        self.storage.close().await;
        ended.and(unwatched)
    }
}

/// Starts the server on listeners that are already bound; the configuration's own addresses are not used.
///
/// # Errors
/// When the database cannot be opened or a watched file cannot be read.
pub async fn start(config: Config, listeners: Vec<TcpListener>) -> anyhow::Result<Running> {
    start_with(config, listeners, Outside::default()).await
}

/// As [`start`], with a clock, random source and resolver of the caller's choice: for tests.
///
/// # Errors
/// As for [`start`].
pub async fn start_with(
    config: Config,
    listeners: Vec<TcpListener>,
    outside: Outside,
) -> anyhow::Result<Running> {
    // Another crate in the same program may switch on a second crypto backend; without this choice, the first
    // signature would then end in a panic. An error says that the choice was made already.
    let _chosen_before = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
    for listener in &listeners {
        config
            .listening
            .admits(listener.local_addr().context("a listener does not say where it listens")?)?;
    }
    let shutdown = CancellationToken::new();
    // what follows files ends with a start that fails
    let failed = shutdown.clone().drop_guard();
    let tls = config.listening.tls.clone().map(Tls::new).transpose()?;
    if let Some(tls) = &tls {
        tokio::spawn(tls.clone().follow(shutdown.clone()).await?);
    }
    let storage: Arc<dyn Storage> = Arc::new(open(&config).await?);
    let keys =
        SigningKeys::start(Arc::clone(&storage), Arc::clone(&outside.clock), config.key_settings()).await?;
    let keys = Arc::new(keys);
    let fetches = config.clients.rules.fetched_keys.is_some()
        || config.assertion_issuers.iter().any(AssertionIssuer::has_keys_elsewhere);
    let outbound = if fetches {
        Some(Arc::new(Outbound::new(&config.clients, config.limits.fetches, &outside)?))
    } else {
        None
    };
    let documents = outbound
        .clone()
        .filter(|_| config.clients.metadata_documents)
        .map(|outbound| Documents::new(outbound, &config.clients));
    let decoy = SecretString::from(Secret::generate(&*outside.rng)?.expose());
    let mut resources = Vec::new();
    for configured in config.resources {
        if let Some(policy) = configured.policy {
            reload::follow(policy, Arc::clone(&configured.resource), shutdown.clone()).await?;
        }
        resources.push(configured.resource);
    }
    let egresses: Vec<_> = config
        .clients
        .registration
        .rates
        .egresses
        .iter()
        .flat_map(|egress| egress.addresses.clone())
        .collect();
    let app = Arc::new(App {
        issuer: config.issuer,
        trusted_proxies: config.listening.trusted_proxies,
        resources: Resources::new(resources, config.tokens.lifetimes),
        registration_limits: RegistrationLimits::new(&config.clients.registration.rates),
        rates: Rates::new(&config.limits.rates, egresses.clone()),
        device_guesses: DeviceGuesses::new(),
        limit_events: Throttle::new(LIMIT_EVENTS_PER_MINUTE, 60),
        lines: Lines::new(),
        clients: config.clients,
        tokens: config.tokens,
        session_lifetime: config.session_lifetime,
        consent_rules: config.consent_rules,
        storage: Arc::clone(&storage),
        keys: Arc::clone(&keys),
        dpop: config.dpop,
        status_places: Places::default(),
        status_lists: StatusLists::new(),
        documents,
        client_keys: outbound.map(ClientKeys::new),
        assertion_issuers: config.assertion_issuers,
        passwords: Passwords::new(decoy, config.limits.password_hashes_at_once, &*outside.rng).await?,
        login_limits: LoginLimits::new(),
        outside,
    });
    tokio::spawn(purge(Arc::clone(&app), shutdown.clone()));
    let stop = shutdown.clone();
    tokio::spawn(async move { stop.run_until_cancelled(keys.look_after_always()).await });
    let endpoints = Endpoints::new(app.issuer.path());
    let metrics = match &config.metrics {
        Some(listener) => {
            let (endpoints, storage, stopping) = (endpoints.clone(), Arc::clone(&storage), shutdown.clone());
            Some(Listening::start(listener, Asked { endpoints, storage, stopping }).await?)
        }
        None => None,
    };
    for listener in &listeners {
        let addr = listener.local_addr().context("a listener does not say where it listens")?;
        tracing::info!(%addr, issuer = app.issuer.as_str(), "listening");
    }
    failed.disarm();
    let speak_for_many = [app.trusted_proxies.clone(), egresses].concat();
    let terms = Terms {
        tls,
        max_connections: config.limits.max_connections,
        max_connections_per_address: config.limits.max_connections_per_address,
        speaks_for_many: Arc::new(move |ip| speak_for_many.iter().any(|block| block.contains(ip))),
    };
    let router = router(app, config.limits.body, metrics.is_some().then_some(endpoints));
    let server = tokio::spawn(serve_on(terms, listeners, router, shutdown.clone(), GRACE));
    Ok(Running { shutdown, server, storage, metrics })
}

/// Brings the tables up to date.
pub(crate) async fn migrate(config: &Config) -> anyhow::Result<()> {
    open_with(config, Schema::Migrate).await?.close().await;
    Ok(())
}

/// Opens the database, and brings its tables up to date where the configuration says so.
pub(crate) async fn open(config: &Config) -> anyhow::Result<Database> {
    if config.migrate {
        return open_with(config, Schema::Migrate).await;
    }
    expect_database(config)?;
    open_with(config, Schema::Check).await
}

/// Opens a database that is there, as [`open`] does: what is changed in an empty one at a mistaken path changes nothing.
pub(crate) async fn open_existing(config: &Config) -> anyhow::Result<Database> {
    expect_database(config)?;
    open(config).await
}

fn expect_database(config: &Config) -> anyhow::Result<()> {
    if let DatabaseUrl::Sqlite(file) = &config.database {
        anyhow::ensure!(
            file.exists(),
            "there is no database `{}`: expected `database.url`, or MCP_AUTH_SERVER__DATABASE__URL in the environment, to be \
             that of the server. The first `run`, `migrate` or `user add` makes it",
            file.display()
        );
    }
    Ok(())
}

async fn open_with(config: &Config, schema: Schema) -> anyhow::Result<Database> {
    Database::open(&config.database, schema).await.with_context(|| match &config.database {
        DatabaseUrl::Sqlite(file) => format!("the database `{}` cannot be opened", file.display()),
        DatabaseUrl::Postgres(_) => "the database cannot be opened".to_owned(),
    })
}

/// Removes what has expired, now and then, on one of the servers.
async fn purge(app: Arc<App>, shutdown: CancellationToken) {
    let holder = match identifier(&*app.outside.rng) {
        Ok(holder) => holder,
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "expired rows are not removed");
            return;
        }
    };
    loop {
        // where the database is closed in the middle of it, what is left is for the next time
        if let Err(error) = purge_once(&app, &holder).await
            && !shutdown.is_cancelled()
        {
            tracing::warn!(error = &error as &dyn std::error::Error, "expired rows not removed");
        }
        tokio::select! {
            () = shutdown.cancelled() => break,
            () = tokio::time::sleep(PURGE_EVERY) => {}
        }
    }
}

async fn purge_once(app: &App, holder: &str) -> storage::Result<()> {
    let now = app.now();
    // longer than the interval, so that the one that has it keeps it; whoever is left when it stops takes over
    let until = now.plus_seconds(3 * i64::try_from(PURGE_EVERY.as_secs()).unwrap_or(i64::MAX));
    if !app.storage.lease("purge", holder, now, until).await? {
        return Ok(());
    }
    app.storage.purge(now, now.plus_seconds(-UNUSED_SECONDS), now.plus_seconds(-AUDIT_SECONDS)).await
}
