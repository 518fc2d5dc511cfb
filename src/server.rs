//! Sockets: the accept loop, the caps on connections, and the stop.
//!
//! The loop is ours because the stock ones keep slow clients for ever: every connection has a
//! [`pulse`](conn::Pulse) that says what it is waiting for, and is cut off when it waits too long.

mod conn;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::app::App;

pub(crate) use conn::{Pulse, RequestGuard};

/// Opens the configured addresses.
///
/// # Errors
/// What the system says, with the address.
pub(crate) async fn listen(addresses: &[SocketAddr]) -> anyhow::Result<Vec<TcpListener>> {
    let mut listeners = Vec::with_capacity(addresses.len());
    for address in addresses {
        let listener = TcpListener::bind(address)
            .await
            .map_err(|e| anyhow::anyhow!("cannot listen on {address}: {e}"))?;
        let bound = listener.local_addr()?;
        if bound.ip().is_loopback() {
            tracing::info!(address = %bound, "listening");
        } else {
            tracing::warn!(address = %bound, "listening without authentication, open to the network");
        }
        listeners.push(listener);
    }
    Ok(listeners)
}

/// Accepts and serves until `stop` turns true, then waits for open connections, at most the
/// configured grace.
pub(crate) async fn serve(app: Arc<App>, listeners: Vec<TcpListener>, stop: watch::Receiver<bool>) {
    let config = app.config();
    let total = usize::try_from(config.max_connections).unwrap_or(Semaphore::MAX_PERMITS);
    let total = total.min(Semaphore::MAX_PERMITS);
    let gate = Arc::new(Gate {
        permits: Arc::new(Semaphore::new(total)),
        per_address: config.max_connections_per_address,
        by_address: Mutex::new(HashMap::new()),
    });
    let mut loops = tokio::task::JoinSet::new();
    for listener in listeners {
        loops.spawn(accept_loop(app.clone(), gate.clone(), listener, stop.clone()));
    }
    while loops.join_next().await.is_some() {}
    let all = u32::try_from(total).unwrap_or(u32::MAX);
    let idle = gate.permits.acquire_many(all);
    if tokio::time::timeout(config.shutdown_grace.duration(), idle).await.is_err() {
        tracing::warn!("connections were still busy at the end of the grace period");
    }
}

/// Who may connect.
struct Gate {
    permits: Arc<Semaphore>,
    per_address: u64,
    by_address: Mutex<HashMap<IpAddr, u64>>,
}

/// A connection's place in the counts; dropping gives it back.
struct Place {
    gate: Arc<Gate>,
    address: IpAddr,
    _permit: OwnedSemaphorePermit,
}

impl Gate {
    /// A place for a connection from `address`, unless it has too many.
    fn enter(self: &Arc<Self>, address: IpAddr, permit: OwnedSemaphorePermit) -> Option<Place> {
        let address = address.to_canonical();
        let mut by_address = self.by_address.lock();
        let count = by_address.entry(address).or_insert(0);
        if *count >= self.per_address {
            return None;
        }
        *count += 1;
        Some(Place { gate: self.clone(), address, _permit: permit })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut by_address = self.gate.by_address.lock();
        if let Some(count) = by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                by_address.remove(&self.address);
            }
        }
    }
}

/// Pause after a failed accept: out of descriptors passes, and must not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

async fn accept_loop(
    app: Arc<App>,
    gate: Arc<Gate>,
    listener: TcpListener,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        let next = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            next = next_connection(&app, &gate, &listener) => next,
        };
        match next {
            Ok((stream, address, permit)) => {
                if let Some(place) = gate.enter(address.ip(), permit) {
                    tokio::spawn(serve_one(app.clone(), stream, place, stop.clone()));
                } else {
                    app.metrics.limit_exceeded("connections_per_address");
                }
            }
            Err(error) => {
                if app.logs.allow("accept") {
                    tracing::warn!(%error, "accept failed");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Waits for a free place before it takes a connection from the kernel's queue.
async fn next_connection(
    app: &App,
    gate: &Gate,
    listener: &TcpListener,
) -> std::io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = if let Ok(permit) = gate.permits.clone().try_acquire_owned() {
        permit
    } else {
        app.metrics.limit_exceeded("connections");
        gate.permits.clone().acquire_owned().await.expect("nobody closes the gate")
    };
    let (stream, address) = listener.accept().await?;
    Ok((stream, address, permit))
}

async fn serve_one(app: Arc<App>, stream: TcpStream, place: Place, stop: watch::Receiver<bool>) {
    // Answers are written whole; waiting for more bytes only delays them.
    let _ = stream.set_nodelay(true);
    app.metrics.connection_opened();
    conn::serve(&app, stream, stop).await;
    app.metrics.connection_closed();
    drop(place);
}
