//! Connections kept alive between calls, per origin, and the count of those in use.
//!
//! Everything is behind one short lock that is never held across I/O. A connection is either *idle*
//! (in here) or *leased* (a [`Lease`] in some call); `live` counts both, and it is `live` that
//! `connections_per_host_max` bounds. Whoever finds the bound reached queues up; a lease that ends
//! hands its connection, or its permission to open one, to the first in the queue. Hence: while
//! somebody waits for an origin, nothing of it is idle, and nobody overtakes.
//!
//! There is no housekeeping thread: connections past their idle timeout are closed at the next call
//! of this client, whichever origin that goes to. `idle_order` lists the idle ones of all origins by
//! age, so that costs nothing when there is nothing to do.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use ropewalk_rt::channel::{self, Sender};
use ropewalk_rt::sync::Mutex;
use ropewalk_rt::time::{Duration, Instant};

use super::error::{Cause, Error, Phase};
use super::socket::TimeLimits;
use super::target::Origin;

/// The bounds of a pool.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    pub(crate) idle_per_host_max: usize,
    pub(crate) idle_max: usize,
    pub(crate) idle_timeout: Duration,
    pub(crate) connections_per_host_max: Option<usize>,
}

pub(crate) struct Pool<C> {
    bounds: Bounds,
    state: Mutex<State<C>>,
}

struct State<C> {
    hosts: HashMap<Origin, Host<C>>,
    /// Every idle connection's number, oldest first, and where it is.
    idle_order: BTreeMap<u64, Origin>,
    /// The next number for an idle connection or a waiter.
    next: u64,
}

struct Host<C> {
    /// Oldest in front; the youngest is taken first, so that surplus ones grow old and go.
    idle: VecDeque<Idle<C>>,
    live: usize,
    waiting: VecDeque<(u64, Sender<Option<C>>)>,
}

struct Idle<C> {
    number: u64,
    since: Instant,
    connection: C,
}

/// The right to one connection to an origin, and that connection once there is one.
///
/// Dropped with a connection inside, it closes it; either way the right goes to the next in line.
pub(crate) struct Lease<C> {
    pool: Arc<Pool<C>>,
    origin: Origin,
    pub(crate) connection: Option<C>,
    ended: bool,
}

impl<C> Pool<C> {
    pub(crate) fn new(bounds: Bounds) -> Pool<C> {
        let state = State {
            hosts: HashMap::new(),
            idle_order: BTreeMap::new(),
            next: 0,
        };
        Pool {
            bounds,
            state: Mutex::new(state),
        }
    }

    /// Takes an idle connection to `origin` or the right to open one, waiting for it if need be.
    pub(crate) fn lease(
        self: &Arc<Self>,
        origin: &Origin,
        limits: TimeLimits,
    ) -> Result<Lease<C>, Error> {
        let lease = |connection| Lease {
            pool: Arc::clone(self),
            origin: origin.clone(),
            connection,
            ended: false,
        };
        let (number, receiver) = {
            let mut state = self.state.lock();
            let expired = state.take_expired(self.bounds.idle_timeout);
            let number = state.number();
            let host = state.hosts.entry(origin.clone()).or_insert_with(Host::new);
            let idle = host.idle.pop_back();
            let may_open = idle.is_none()
                && self
                    .bounds
                    .connections_per_host_max
                    .is_none_or(|n| host.live < n);
            let waits = if may_open {
                host.live += 1;
                None
            } else if idle.is_none() {
                let (sender, receiver) = channel::bounded(1);
                host.waiting.push_back((number, sender));
                Some((number, receiver))
            } else {
                None
            };
            if let Some(idle) = &idle {
                state.idle_order.remove(&idle.number);
            }
            drop(state);
            // Closing takes system calls, so not under the lock.
            drop(expired);
            match waits {
                None => return Ok(lease(idle.map(|i| i.connection))),
                Some(waits) => waits,
            }
        };
        let mut granted = match limits.left() {
            Ok(None) => receiver.recv().ok(),
            Ok(Some(left)) => receiver.recv_timeout(left).ok(),
            Err(_) => None,
        };
        if granted.is_none() && self.leave_queue(origin, number) {
            granted = receiver.recv().ok();
        }
        match granted {
            Some(connection) => Ok(lease(connection)),
            None => Err(self.waited_in_vain(origin)),
        }
    }

    /// Takes a waiter out of the queue. Returns true if it had been served in the meantime: then
    /// what it was given is in its channel already.
    fn leave_queue(&self, origin: &Origin, number: u64) -> bool {
        let mut state = self.state.lock();
        let Some(host) = state.hosts.get_mut(origin) else {
            return true;
        };
        let before = host.waiting.len();
        host.waiting.retain(|(n, _)| *n != number);
        host.waiting.len() == before
    }

    fn waited_in_vain(&self, origin: &Origin) -> Error {
        let message = format!(
            "timed out while waiting for one of the {} connections to {origin} that \
             `connections_per_host_max` allows; a response keeps its connection until it is read \
             to its end or dropped",
            self.bounds.connections_per_host_max.unwrap_or(0),
        );
        Error::new(Cause::Timeout, Phase::Connect, message)
    }

    /// Ends a lease: the connection goes to the first waiter or becomes idle; without one, the right
    /// to open one goes to the first waiter or lapses.
    fn give_back(&self, origin: &Origin, mut connection: Option<C>) {
        let mut state = self.state.lock();
        let mut surplus = Vec::new();
        let number = state.number();
        let Some(host) = state.hosts.get_mut(origin) else {
            return;
        };
        while let Some((_, waiter)) = host.waiting.pop_front() {
            // A waiter leaves the queue before its receiver goes, so this succeeds.
            match waiter.try_send(connection.take()) {
                Ok(()) => return,
                Err(e) => connection = e.into_inner(),
            }
        }
        match connection {
            Some(connection) if host.idle.len() < self.bounds.idle_per_host_max => {
                host.idle.push_back(Idle {
                    number,
                    since: Instant::now(),
                    connection,
                });
                state.idle_order.insert(number, origin.clone());
                if state.idle_order.len() > self.bounds.idle_max {
                    surplus.extend(state.take_oldest());
                }
            }
            connection => {
                host.live -= 1;
                surplus.extend(connection);
                state.forget_if_unused(origin);
            }
        }
        surplus.extend(state.take_expired(self.bounds.idle_timeout));
        drop(state);
        drop(surplus);
    }

    #[cfg(test)]
    fn counts(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.hosts.len(), state.idle_order.len())
    }
}

impl<C> State<C> {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Takes out the connections that have been idle for `timeout` or longer.
    fn take_expired(&mut self, timeout: Duration) -> Vec<C> {
        let mut expired = Vec::new();
        if self.idle_order.is_empty() {
            return expired;
        }
        let now = Instant::now();
        while let Some(oldest) = self.oldest()
            && now.saturating_duration_since(oldest.since) >= timeout
        {
            expired.extend(self.take_oldest());
        }
        expired
    }

    fn oldest(&self) -> Option<&Idle<C>> {
        let (_, origin) = self.idle_order.first_key_value()?;
        self.hosts.get(origin)?.idle.front()
    }

    fn take_oldest(&mut self) -> Option<C> {
        let (_, origin) = self.idle_order.pop_first()?;
        let host = self.hosts.get_mut(&origin)?;
        let idle = host.idle.pop_front()?;
        host.live -= 1;
        self.forget_if_unused(&origin);
        Some(idle.connection)
    }

    fn forget_if_unused(&mut self, origin: &Origin) {
        if self
            .hosts
            .get(origin)
            .is_some_and(|h| h.live == 0 && h.waiting.is_empty())
        {
            self.hosts.remove(origin);
        }
    }
}

impl<C> Host<C> {
    fn new() -> Host<C> {
        Host {
            idle: VecDeque::new(),
            live: 0,
            waiting: VecDeque::new(),
        }
    }
}

impl<C> Lease<C> {
    /// Gives the connection back to be used again.
    pub(crate) fn keep(mut self) {
        let connection = self.connection.take();
        self.ended = true;
        self.pool.give_back(&self.origin, connection);
    }
}

impl<C> Drop for Lease<C> {
    fn drop(&mut self) {
        // Closed before somebody else may open one, so that the bound holds at the server too.
        drop(self.connection.take());
        if !self.ended {
            self.pool.give_back(&self.origin, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(bounds: Bounds) -> Arc<Pool<u32>> {
        Arc::new(Pool::new(bounds))
    }

    fn bounds() -> Bounds {
        Bounds {
            idle_per_host_max: 2,
            idle_max: 3,
            idle_timeout: Duration::from_secs(3600),
            connections_per_host_max: None,
        }
    }

    fn origin(host: &str) -> Origin {
        Origin {
            tls: false,
            host: host.into(),
            port: 80,
        }
    }

    fn soon() -> TimeLimits {
        TimeLimits::default().no_later_than(Instant::now() + Duration::from_millis(20))
    }

    fn put(pool: &Arc<Pool<u32>>, host: &str, connection: u32) {
        let mut lease = pool.lease(&origin(host), TimeLimits::default()).unwrap();
        lease.connection = Some(connection);
        lease.keep();
    }

    #[test]
    fn the_youngest_idle_connection_is_taken_first() {
        let pool = pool(bounds());
        let mut a = pool.lease(&origin("a"), TimeLimits::default()).unwrap();
        let mut b = pool.lease(&origin("a"), TimeLimits::default()).unwrap();
        assert!(a.connection.is_none() && b.connection.is_none());
        (a.connection, b.connection) = (Some(1), Some(2));
        a.keep();
        b.keep();
        let taken = pool.lease(&origin("a"), TimeLimits::default()).unwrap();
        assert_eq!(taken.connection, Some(2));
        let other = pool.lease(&origin("b"), TimeLimits::default()).unwrap();
        assert_eq!(other.connection, None, "another origin");
    }

    #[test]
    fn idle_connections_are_bounded_per_host_and_in_all() {
        let pool = pool(bounds());
        let leases: Vec<_> = (0..5)
            .map(|_| pool.lease(&origin("a"), TimeLimits::default()).unwrap())
            .collect();
        for (i, mut lease) in leases.into_iter().enumerate() {
            lease.connection = Some(i as u32);
            lease.keep();
        }
        assert_eq!(pool.counts(), (1, 2));
        put(&pool, "b", 10);
        put(&pool, "c", 11);
        assert_eq!(pool.counts(), (3, 3), "the oldest went");
        let a = pool.lease(&origin("a"), TimeLimits::default()).unwrap();
        assert_eq!(a.connection, Some(1));
    }

    #[test]
    fn connections_past_their_idle_timeout_are_not_given_out_and_hosts_are_forgotten() {
        let pool = pool(Bounds {
            idle_timeout: Duration::ZERO,
            ..bounds()
        });
        put(&pool, "a", 1);
        assert_eq!(pool.counts(), (0, 0));
        drop(pool.lease(&origin("b"), TimeLimits::default()).unwrap());
        assert_eq!(pool.counts(), (0, 0));
    }

    #[test]
    fn a_waiter_gets_the_connection_or_the_right_to_open_one() {
        let pool = pool(Bounds {
            connections_per_host_max: Some(1),
            ..bounds()
        });
        let mut first = pool.lease(&origin("a"), TimeLimits::default()).unwrap();
        first.connection = Some(7);
        let refused = pool.lease(&origin("a"), soon()).err().unwrap();
        assert!(refused.is_timeout() && refused.is_connect(), "{refused}");
        assert!(
            refused.to_string().contains("connections_per_host_max"),
            "{refused}"
        );
        drop(pool.lease(&origin("b"), soon()).unwrap());

        std::thread::scope(|s| {
            let waiting = s.spawn(|| pool.lease(&origin("a"), TimeLimits::default()).unwrap());
            while pool.state.lock().hosts[&origin("a")].waiting.is_empty() {
                std::thread::yield_now();
            }
            first.keep();
            let second = waiting.join().unwrap();
            assert_eq!(second.connection, Some(7));

            let waiting = s.spawn(|| pool.lease(&origin("a"), TimeLimits::default()).unwrap());
            while pool.state.lock().hosts[&origin("a")].waiting.is_empty() {
                std::thread::yield_now();
            }
            drop(second);
            assert_eq!(
                waiting.join().unwrap().connection,
                None,
                "closed: open another"
            );
        });
        assert_eq!(pool.counts(), (0, 0));
    }
}
