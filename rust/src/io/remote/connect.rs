//! Names looked up and connections made, for no longer than somebody wants them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread::Builder;
use std::time::{Duration, Instant};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::time::Duration as Limit;
use ureq::unversioned::transport::{
    ConnectProxyConnector, ConnectionDetails, Connector, NextTimeout, RustlsConnector, TcpConnector,
    Transport,
};
use ureq::{Agent, Error};

/// Longest attempt at an address: nobody else has its socket before it is connected, to shut it down. A packet that was lost
/// is sent again after a second, so nothing is lost with an attempt; an answer takes less, also by way of a satellite.
const ATTEMPT: Duration = Duration::from_millis(800);
/// How often a name's address is asked whether it is still wanted.
const TICK: Duration = Duration::from_millis(50);

/// A client whose requests can be ended.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) agent: Agent,
    wanted: Wanted,
}

/// Whether anybody wants what is waited for.
#[derive(Debug, Clone)]
struct Wanted(Arc<AtomicBool>);

impl Line {
    pub(super) fn new(config: Config) -> Self {
        let wanted = Wanted(Arc::new(AtomicBool::new(true)));
        let connector = ().chain(ConnectProxyConnector::default());
        let connector = connector.chain(Attempts(wanted.clone())).chain(RustlsConnector::default());
        Self { agent: Agent::with_parts(config, connector, Names(wanted.clone())), wanted }
    }

    /// End what is under way.
    pub(super) fn end(self) {
        self.wanted.0.store(false, Ordering::Relaxed);
        self.agent.shutdown();
    }
}

impl Wanted {
    /// The time that is left until `end`, if it is wanted still.
    fn left(&self, end: Option<Instant>, timeout: NextTimeout) -> Result<Duration, Error> {
        if !self.0.load(Ordering::Relaxed) {
            return Err(io::Error::from(io::ErrorKind::ConnectionAborted).into());
        }
        let left = end.map_or(Duration::MAX, |end| end.saturating_duration_since(Instant::now()));
        if left.is_zero() { Err(Error::Timeout(timeout.reason)) } else { Ok(left) }
    }
}

/// Connects by short attempts.
#[derive(Debug)]
struct Attempts(Wanted);

impl<In: Transport> Connector<In> for Attempts {
    type Out = <TcpConnector as Connector<In>>::Out;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        let tcp = TcpConnector::default();
        if chained.is_some() {
            return tcp.connect(details, chained);
        }
        let end = Instant::now().checked_add(*details.timeout.after);
        loop {
            let mut refused = None;
            for address in &details.addrs {
                let limit = self.0.left(end, details.timeout)?.min(ATTEMPT);
                let mut addrs = details.resolver.empty();
                addrs.push(*address);
                let attempt = ConnectionDetails {
                    addrs,
                    now: (details.current_time)(),
                    timeout: NextTimeout { after: limit.into(), ..details.timeout },
                    current_time: Arc::clone(&details.current_time),
                    run_connector: Arc::clone(&details.run_connector),
                    register_shutdown: Arc::clone(&details.register_shutdown),
                    ..*details
                };
                match tcp.connect(&attempt, None) {
                    Err(Error::Timeout(_)) => {}
                    // Another address may do.
                    Err(Error::Io(error)) => refused = Some(error),
                    connected => return connected,
                }
            }
            if let Some(error) = refused {
                return Err(error.into());
            }
        }
    }
}

/// Looks names up.
#[derive(Debug)]
struct Names(Wanted);

impl Resolver for Names {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let end = Instant::now().checked_add(*timeout.after);
        let (sender, receiver) = channel();
        let (uri, config) = (uri.clone(), config.clone());
        let patient = NextTimeout { after: Limit::NotHappening, ..timeout };
        // The system's resolver cannot be interrupted, so this thread may outlive whoever asked.
        Builder::new().spawn(move || {
            // Nobody may be waiting any more.
            let _ = sender.send(DefaultResolver::default().resolve(&uri, &config, patient));
        })?;
        loop {
            match receiver.recv_timeout(self.0.left(end, timeout)?.min(TICK)) {
                Ok(found) => return found,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(Error::HostNotFound),
            }
        }
    }
}
