//! The server, seen by clients that send raw bytes.
//!
//! | module | what lives there |
//! |---|---|
//! | `site` | a server on loopback, and a client of bytes |
//! | `answers` | in memory: routes, framing, pipelining, statuses |
//! | `bodies` | over loopback: bodies, `100 Continue`, draining, upgrades |
//! | `connections` | over loopback: deadlines, limits, panics, half-closed clients |
//! | `descriptors` | running out of descriptors |
//! | `ending` | shutting down |

mod answers;
mod bodies;
mod connections;
mod descriptors;
mod ending;
mod site;
