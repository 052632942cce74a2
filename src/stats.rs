//! Counters of a router's work.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::ids::ConnectionId;

/// Connections add to one of so many stripes.
const STRIPES: usize = 16;

macro_rules! counters {
    ($($(#[$doc:meta])* $field:ident,)*) => {
        /// The work of a router since it started.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        #[non_exhaustive]
        pub struct Stats {
            $($(#[$doc])* pub $field: u64,)*
        }

        /// The counters, in stripes on cache lines of their own, so that threads
        /// rarely wait for each other.
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            stripes: [Stripe; STRIPES],
        }

        #[derive(Debug, Default)]
        #[repr(align(128))]
        struct Stripe {
            $($field: AtomicU64,)*
        }

        impl Counters {
            /// Adds the work of a connection in one read.
            pub(crate) fn add(&self, connection: ConnectionId, done: &Stats) {
                let stripe = &self.stripes[connection.0 as usize % STRIPES];
                $(if done.$field > 0 {
                    stripe.$field.fetch_add(done.$field, Ordering::Relaxed);
                })*
            }

            /// The sums so far, which may be some messages apart.
            pub(crate) fn snapshot(&self) -> Stats {
                Stats {
                    $($field: self.sum(|stripe| &stripe.$field),)*
                }
            }

            fn sum(&self, of: impl Fn(&Stripe) -> &AtomicU64) -> u64 {
                let counts = self.stripes.iter().map(|stripe| of(stripe).load(Ordering::Relaxed));
                counts.sum()
            }
        }
    };
}

counters! {
    /// Connections that were opened.
    connections,
    /// Messages accepted.
    accepted,
    /// Messages acknowledged again and not delivered again, because the resumed
    /// connection had sent them before.
    duplicates,
    /// Frames refused.
    refused,
    /// Deliveries dropped because a receiver's queue was full.
    dropped,
    /// Accepted messages given up: their target's owner left and nobody took its
    /// place in time, or the server stopped. Their senders are told, and an event
    /// with the target [`loss::TARGET`](crate::loss::TARGET) tells of each.
    given_up,
    /// Broadcasts that a newer one with the same key replaced before a receiver that
    /// asked for the latest only.
    conflated,
}
