//! Counters of what a router has done.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $field:ident,)*) => {
        /// What a router has done since it started.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        #[non_exhaustive]
        pub struct Stats {
            $($(#[$doc])* pub $field: u64,)*
        }

        /// The counters as many threads add to them; on cache lines of their
        /// own, because what lies beside them is read with each message.
        #[derive(Debug, Default)]
        #[repr(align(128))]
        pub(crate) struct Counters {
            $($field: AtomicU64,)*
        }

        impl Counters {
            /// Adds what one session did in one read.
            pub(crate) fn add(&self, done: &Stats) {
                $(if done.$field > 0 {
                    self.$field.fetch_add(done.$field, Ordering::Relaxed);
                })*
            }

            /// The sums so far. They are read one after the other, so they may
            /// be some messages apart.
            pub(crate) fn snapshot(&self) -> Stats {
                Stats {
                    $($field: self.$field.load(Ordering::Relaxed),)*
                }
            }
        }
    };
}

counters! {
    /// Connections that were opened.
    connections,
    /// Messages accepted.
    accepted,
    /// Frames refused.
    refused,
    /// Deliveries dropped because a receiver's queue was full.
    dropped,
}
