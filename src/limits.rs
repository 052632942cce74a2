//! Every limit and default, with the relations between them checked when compiling.
//!
//! Sizes are in bytes. Settings of a deployment start from the `*_DEFAULT` values;
//! the rest is fixed because the protocol promises it.

use std::time::Duration;

/// Bytes of the length prefix before each frame: a big-endian `u32`.
pub const FRAME_PREFIX_BYTES: usize = 4;
/// Largest frame accepted unless configured otherwise, without its prefix.
pub const FRAME_BYTES_MAX_DEFAULT: usize = 1024 * 1024;
/// Smallest value that `frame_bytes_max` may be configured to.
pub const FRAME_BYTES_MAX_MIN: usize = 1024;
/// Largest value that `frame_bytes_max` may be configured to.
pub const FRAME_BYTES_MAX_MAX: usize = 64 * 1024 * 1024;
/// How deep a frame's JSON may be nested; the root object is level 1.
pub const JSON_DEPTH_MAX: usize = 64;
/// Largest name of a participant, in bytes of UTF-8.
pub const NAME_BYTES_MAX: usize = 128;
/// Most names that one connection may own.
pub const NAMES_PER_CONNECTION_MAX: usize = 64;
/// After so many invalid frames in a row a connection is closed.
pub const REFUSED_IN_A_ROW_MAX: u32 = 100;
/// Most subscriptions that one connection may have.
pub const SUBSCRIPTIONS_PER_CONNECTION_MAX: usize = 256;
/// Bytes that they may have together, as they were sent.
pub const SUBSCRIPTION_BYTES_PER_CONNECTION_MAX: usize = 256 * 1024;
/// Largest value by which broadcasts are conflated or kept, with some bytes for its
/// subscription or pointer. A message with a larger one is as one without.
pub const KEY_BYTES_MAX: usize = 256;
/// Most pointers that the last broadcasts are kept by.
pub const SNAPSHOT_KEYS_MAX: usize = 16;
/// Most broadcasts that are kept for snapshots.
pub const SNAPSHOT_MESSAGES_MAX: usize = 65_536;
/// Bytes that they may take.
pub const SNAPSHOT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Messages of snapshots that may wait for one connection, beside one snapshot.
pub const SNAPSHOT_WAITING_MAX: usize = 65_536;
/// Largest id of a subscription, in bytes of UTF-8.
pub const SUBSCRIPTION_ID_BYTES_MAX: usize = 128;
/// Most conditions that one filter may have.
pub const FILTER_CONDITIONS_MAX: usize = 64;
/// Most values that one condition may compare with.
pub const FILTER_VALUES_MAX: usize = 1024;
/// Largest string that a condition may compare with, in bytes of UTF-8.
pub const FILTER_TEXT_BYTES_MAX: usize = 1024;
/// Largest JSON pointer, in bytes of UTF-8 as it is written.
pub const POINTER_BYTES_MAX: usize = 1024;
/// Most messages that one batch ack covers.
pub const BATCH_ACK_MESSAGES_MAX: usize = 1024;
/// How long no byte of an incomplete frame may come while tickwire is reading.
pub const FRAME_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a frame may take to come, however slowly it does.
pub const FRAME_GRACE: Duration = Duration::from_secs(10);
/// Bytes a second at which a frame must come in the mean, after the grace.
pub const FRAME_RATE_MIN_DEFAULT: usize = 1024;
/// Smallest value that `frame_rate_min` may be configured to.
pub const FRAME_RATE_MIN_MIN: usize = 1;
/// Largest value that `frame_rate_min` may be configured to.
pub const FRAME_RATE_MIN_MAX: usize = 1024 * 1024;
/// How long a connection may go without an accepted message.
pub const FIRST_MESSAGE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
/// Smallest value that `first_message_timeout` may be configured to.
pub const FIRST_MESSAGE_TIMEOUT_MIN: Duration = Duration::from_millis(100);
/// Largest value that `first_message_timeout` may be configured to.
pub const FIRST_MESSAGE_TIMEOUT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Bytes a queue (of a name, or of a connection's broadcasts) may hold.
pub const QUEUE_BYTES_DEFAULT: usize = 8 * 1024 * 1024;
/// Smallest value that `queue_bytes` may be configured to.
pub const QUEUE_BYTES_MIN: usize = 64 * 1024;
/// Largest value that `queue_bytes` may be configured to.
pub const QUEUE_BYTES_MAX: usize = 16 * 1024 * 1024 * 1024;
/// Messages a queue may hold.
pub const QUEUE_MESSAGES_DEFAULT: usize = 65_536;
/// Smallest value that `queue_messages` may be configured to.
pub const QUEUE_MESSAGES_MIN: usize = 16;
/// Largest value that `queue_messages` may be configured to.
pub const QUEUE_MESSAGES_MAX: usize = 4 * 1024 * 1024;
/// One part in so many of a queue is kept for acks and errors.
pub const QUEUE_RESERVE_DIVISOR: usize = 8;
/// How long in sum a full queue pauses a connection before it refuses its events.
pub const STALL_TIMEOUT_DEFAULT: Duration = Duration::from_secs(2);
/// Largest value that `stall_timeout` may be configured to.
pub const STALL_TIMEOUT_MAX: Duration = Duration::from_secs(60 * 60);
/// Ids of accepted messages, the latest, kept for one resumable connection.
pub const RESUME_IDS_MAX: usize = 65_536;
/// How long the messages queued for a name wait for its next owner.
pub const LINGER_DEFAULT: Duration = Duration::from_secs(30);
/// Largest value that `linger` may be configured to.
pub const LINGER_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// How often names are checked for whether they have waited for long enough.
pub const TEND_INTERVAL: Duration = Duration::from_secs(1);
/// Names without an owner that are kept; beyond, the oldest are given up.
pub const LINGERING_NAMES_MAX: usize = 16 * 1024;
/// Bytes that they may hold together; beyond, the oldest are given up.
pub const LINGERING_BYTES_MAX: usize = 1024 * 1024 * 1024;
/// Bytes that a member of a group takes from its queue at once.
pub const GROUP_TAKE_BYTES: usize = 64 * 1024;
/// How much a member sorts for others at once, where a key binds messages.
pub const GROUP_SORT_BYTES: usize = 256 * 1024;
/// Largest window of a connection, in messages: they are counted in 32 bits.
pub const WINDOW_MESSAGES_MAX: u32 = u32::MAX;
/// Bytes of unwritten answers beyond which a connection's input is paused.
pub const CONTROL_LANE_BYTES: usize = 256 * 1024;
/// A connection that takes no byte for so long while answers wait is closed.
pub const ANSWER_STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// `memory_max` must have room for so many frames of the largest size.
pub const MEMORY_MAX_FRAMES: usize = 4;
/// Smallest value that `memory_max` may be configured to, whatever the frames.
pub const MEMORY_MAX_MIN: usize = 1024 * 1024;
/// `memory_max` where the memory of the machine isn't known.
pub const MEMORY_MAX_FALLBACK: usize = 1024 * 1024 * 1024;
/// By default `memory_max` is one part in so many of the machine's or cgroup's memory.
pub const MEMORY_MAX_DIVISOR: usize = 2;
/// Bytes that a thread counts before it tells the total of them.
pub const MEMORY_LEASE_BYTES: usize = 64 * 1024;
/// Bytes of an incomplete frame that a connection may have however short memory is.
pub const INPUT_ALWAYS_BYTES: usize = 2 * 1024;
/// [`CONTROL_LANE_BYTES`] while memory is short.
pub const CONTROL_LANE_SHORT_BYTES: usize = 8 * 1024;
/// How long a connection waits for memory to read the rest of its frame.
pub const MEMORY_WAIT_MAX: Duration = Duration::from_secs(10);

/// Bytes read at once. A window holds all frames of one read.
pub const READ_BUFFER_BYTES: usize = 64 * 1024;
/// Runs shorter than this are copied out of their window instead of pinning it.
pub const PIN_BYTES_MIN: usize = 4 * 1024;

/// Shapes that one server has learned at most.
pub const SHAPES_MAX: usize = 256;
/// Largest frame that a shape is learned from.
pub const SHAPE_FRAME_BYTES_MAX: usize = 4 * 1024;
/// Bytes of samples and classes that one shape may have: two for each position.
pub const SHAPE_BYTES_MAX: usize = 3 * SHAPE_FRAME_BYTES_MAX;
/// Values of varying width that one shape may have.
pub const SHAPE_VARIABLES_MAX: usize = 64;
/// Layouts of frames that were seen once and are remembered until the second time.
pub const LAYOUTS_SEEN_MAX: usize = 64;
/// Shapes that one connection may have learned, and one more every
/// [`SHAPE_CREDIT_INTERVAL`]: one peer can't push out the shapes of others.
pub const SHAPES_PER_CONNECTION_MAX: u8 = 64;
/// How often a connection may learn one more shape.
pub const SHAPE_CREDIT_INTERVAL: Duration = Duration::from_secs(10);

/// How long the answers and the reason of a close may take to be written.
pub const CLOSE_WRITE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long input is discarded after the writing side was shut down.
pub const CLOSE_DISCARD_TIMEOUT: Duration = Duration::from_secs(1);
/// How much input is discarded after the writing side was shut down.
pub const CLOSE_DISCARD_BYTES: usize = 1024 * 1024;
/// How long queued messages may take to be written at shutdown.
pub const DRAIN_TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);
/// Largest value that `drain_timeout` may be configured to.
pub const DRAIN_TIMEOUT_MAX: Duration = Duration::from_secs(60 * 60);
/// With data in flight and no acknowledgement for so long, a peer is dead.
pub const PEER_SILENCE_MAX: Duration = Duration::from_secs(10);

/// Connections served at once unless configured otherwise.
pub const CONNECTIONS_MAX_DEFAULT: usize = 16_384;
/// Largest value that `connections_max` may be configured to.
pub const CONNECTIONS_MAX_MAX: usize = 1024 * 1024;
/// Connections beside those, refused or closing; beyond, the oldest is ended.
pub const CONNECTIONS_CLOSING_MAX: usize = 256;
/// How long a refused connection has to read why before others may end it.
pub const REFUSAL_HOLD: Duration = Duration::from_millis(250);
/// Descriptors that are kept for connections that are refused or closing.
pub const DESCRIPTORS_RESERVED: usize = 16;
/// First delay after the system failed to accept; each further failure doubles it.
pub const ACCEPT_BACKOFF_FIRST: Duration = Duration::from_millis(10);
/// Longest delay after the system failed to accept.
pub const ACCEPT_BACKOFF_MAX: Duration = Duration::from_secs(1);
/// A log line that outsiders can cause is written once in this time, as a sum.
pub const REPEATED_LOG_INTERVAL: Duration = Duration::from_secs(10);
/// Addresses that one server may be told to listen on.
pub const LISTEN_MAX: usize = 16;
/// Addresses that their names may have together.
pub const LISTEN_ADDRESSES_MAX: usize = 64;
/// How long the names to listen on may take to be resolved.
pub const LISTEN_RESOLVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Most worker threads that `tickwire serve` may be told to start.
pub const THREADS_MAX: usize = 1024;
/// Bytes of log lines kept for standard error; more are dropped and counted.
pub const LOG_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of them that only lines about lost messages and panics may use.
pub const LOG_RESERVE_BYTES: usize = 64 * 1024;
/// Names by which losses that don't fit are summed up; the rest make one sum.
pub const LOG_LOSS_NAMES_MAX: usize = 256;
/// Lines from one place in the program in each [`LOG_REPEAT_INTERVAL`]; the others
/// are summed up.
pub const LOG_REPEATS_MAX: u32 = 32;
/// How often lines that repeat are summed up.
pub const LOG_REPEAT_INTERVAL: Duration = Duration::from_secs(10);
/// First delay after standard error failed; each further failure doubles it.
pub const LOG_RETRY_DELAY_FIRST: Duration = Duration::from_millis(10);
/// Longest delay after standard error failed.
pub const LOG_RETRY_DELAY_MAX: Duration = Duration::from_secs(1);
/// How long a server that ends waits until its last lines are written.
pub const LOG_END_TIMEOUT: Duration = Duration::from_secs(1);
/// Where `tickwire serve` listens unless told otherwise.
pub const LISTEN_DEFAULT: &str = "127.0.0.1:7411";
/// The server's own name unless told otherwise.
pub const SERVER_NAME_DEFAULT: &str = "tickwire";
/// The name that heartbeats go to.
pub const HEALTH_MONITOR: &str = "health-monitor";
/// The name that log records go to.
pub const LOG_AGGREGATOR: &str = "log-aggregator";
/// The protocol's version.
pub const PROTOCOL_VERSION: u64 = 1;

/// Messages of one connection to durable names that may wait for the disk.
pub const STORING_MESSAGES_MAX: usize = 65_536;
/// Their bytes.
pub const STORING_BYTES_MAX: usize = 8 * 1024 * 1024;

/// How long a connection whose peer sends no more waits for the store.
pub const STORE_WAIT_MAX: Duration = Duration::from_secs(30);
/// Messages of a durable name that its owner has been handed and has not settled.
pub const UNSETTLED_MAX: usize = 1_024;
/// Bytes that the journal appends before it commits them, if more wait.
pub const COMMIT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes that the journal may have on disk, unless configured otherwise.
pub const JOURNAL_BYTES_DEFAULT: usize = 16 * 1024 * 1024 * 1024;
/// The least of them that can be configured: some segments.
pub const JOURNAL_BYTES_MIN: usize = 1024 * 1024 * 1024;
/// The most of them that can be configured.
pub const JOURNAL_BYTES_MAX: usize = 1024 * JOURNAL_BYTES_MIN;
/// Names that may have unsettled messages.
pub const JOURNAL_NAMES_MAX: usize = 65_536;
/// A name may have this part of the journal's bytes unsettled.
pub const JOURNAL_NAME_DIVISOR: u64 = 8;

/// The size of the journal's files, unless configured otherwise.
pub const JOURNAL_SEGMENT_BYTES: u32 = 64 * 1024 * 1024;
/// Smallest size that the journal's files may be configured to: a header, and a mark that
/// fills the rest of a sector; or a run of one small frame with the longest names.
pub const JOURNAL_SEGMENT_BYTES_MIN: u32 = 512;
/// Segments that may be missing side by side for a journal to be mended. Behind more, a
/// segment doesn't belong to the journal.
pub const JOURNAL_MISSING_MAX: u64 = 1024;
/// The bytes that a disk loses or keeps as one.
pub const JOURNAL_SECTOR_BYTES: usize = 512;
/// A commit is stated in a record of its own once it is so old, if no other record came.
pub const JOURNAL_MARK_AFTER: Duration = Duration::from_millis(10);

/// How long a client waits for the connection and its `welcome`.
pub const CONNECT_TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);
/// How long one address of a host has before a client tries the next beside it.
pub const CONNECT_STAGGER: Duration = Duration::from_millis(250);
/// Addresses of one host that a client tries.
pub const CONNECT_ADDRESSES_MAX: usize = 16;
/// Bytes that a client leaves to the kernel beyond those that are on their way.
pub const CLIENT_UNSENT_BYTES: u32 = 128 * 1024;
/// How long a client waits for the answer to a message that it has written.
pub const ANSWER_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
/// Shortest silence after which a client gives a server up.
pub const SILENCE_MIN: Duration = Duration::from_secs(1);
/// The same for a server that doesn't announce how long its pauses may be.
pub const SILENCE_UNTOLD_MIN: Duration = Duration::from_secs(30);
/// How often `tickwire listen` asks the server for a sign of life.
pub const LISTEN_PROBE_INTERVAL: Duration = Duration::from_secs(10);
/// Most messages that `tickwire listen` prints before it settles them.
pub const LISTEN_UNSETTLED_MAX: usize = 256;
/// How long `tickwire listen` waits, at its end, until the server has read that it settles
/// messages.
pub const LISTEN_SETTLE_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest duration of a client: a longer one is taken as this.
pub const CLIENT_DURATION_MAX: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);
/// Shortest interval of a client's heartbeats, probes and attempts to connect again.
pub const CLIENT_INTERVAL_MIN: Duration = Duration::from_millis(1);
/// How long a closing client waits to write its messages and for all answers.
pub const CLOSE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);
/// Messages that a client may have under way without an answer.
pub const UNANSWERED_MAX_DEFAULT: usize = 4096;
/// Most messages under way of a client that asks to be resumable: of more, a server
/// might no longer remember the first.
pub const RESUMABLE_UNANSWERED_MAX: usize = 32_768;
/// Bytes that a client keeps for writing, once or again. One message may be larger.
pub const CLIENT_QUEUE_BYTES: usize = 4 * 1024 * 1024;
/// Bound of the delay before the first attempt to connect again; each doubles it.
pub const RECONNECT_DELAY_FIRST_DEFAULT: Duration = Duration::from_millis(50);
/// Bound of the delay before any attempt to connect again.
pub const RECONNECT_DELAY_MAX_DEFAULT: Duration = Duration::from_secs(5);
/// How long a connection must have stood for the delays to begin anew.
pub const RECONNECT_STABLE: Duration = Duration::from_secs(10);
/// Bytes that the program has not received at which a client without answers to
/// wait for stops reading.
pub const INBOUND_BYTES_DEFAULT: usize = 4 * 1024 * 1024;
/// The same for a client that has answers to wait for.
pub const INBOUND_BYTES_MAX_DEFAULT: usize = 64 * 1024 * 1024;
/// How often keepalive asks whether an idle peer is still there.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

const _: () = {
    // A queue must be able to keep its reserve and still take ordinary messages.
    assert!(QUEUE_MESSAGES_MIN / QUEUE_RESERVE_DIVISOR >= 1);
    // Several frames of the largest default size fit a default queue.
    assert!(FRAME_BYTES_MAX_DEFAULT * 4 <= QUEUE_BYTES_DEFAULT);
    // Offsets into a frame are kept in 32 bits.
    assert!(FRAME_BYTES_MAX_MAX + READ_BUFFER_BYTES <= u32::MAX as usize);
    assert!(DESCRIPTORS_RESERVED <= CONNECTIONS_CLOSING_MAX);
    // A connection that is hurried has had less time than one that is not.
    assert!(REFUSAL_HOLD.as_millis() < CLOSE_DISCARD_TIMEOUT.as_millis());
    assert!(ACCEPT_BACKOFF_FIRST.as_millis() <= ACCEPT_BACKOFF_MAX.as_millis());
    assert!(FRAME_RATE_MIN_MIN >= 1);
    // Or a frame of one byte would be given up as slow before it is silent.
    assert!(FRAME_TIMEOUT.as_millis() <= FRAME_GRACE.as_millis());
    assert!(LISTEN_MAX <= LISTEN_ADDRESSES_MAX);
    assert!(TEND_INTERVAL.as_millis() < LINGER_DEFAULT.as_millis());
    assert!(INBOUND_BYTES_DEFAULT <= INBOUND_BYTES_MAX_DEFAULT);
    assert!(UNANSWERED_MAX_DEFAULT <= RESUMABLE_UNANSWERED_MAX);
    assert!(RECONNECT_DELAY_FIRST_DEFAULT.as_millis() <= RECONNECT_DELAY_MAX_DEFAULT.as_millis());
    // Or a server that is gone again and again would be asked without a pause.
    assert!(RECONNECT_DELAY_MAX_DEFAULT.as_millis() <= RECONNECT_STABLE.as_millis());
    // The client's queue is counted by a semaphore's 32-bit requests.
    assert!(CLIENT_QUEUE_BYTES <= u32::MAX as usize);
    // A pause is over before it is taken for silence.
    assert!(SILENCE_UNTOLD_MIN.as_millis() >= 2 * STALL_TIMEOUT_DEFAULT.as_millis());
    assert!(SILENCE_MIN.as_millis() <= SILENCE_UNTOLD_MIN.as_millis());
    assert!(SILENCE_MIN.as_millis() > CLIENT_INTERVAL_MIN.as_millis());
    // Every address is tried while the default time to connect lasts.
    assert!(
        CONNECT_STAGGER.as_millis() * (CONNECT_ADDRESSES_MAX as u128)
            <= CONNECT_TIMEOUT_DEFAULT.as_millis()
    );
    // An answer may wait for as long as a target stalls its sender.
    assert!(ANSWER_TIMEOUT_DEFAULT.as_millis() > STALL_TIMEOUT_DEFAULT.as_millis());
    assert!(PIN_BYTES_MIN < READ_BUFFER_BYTES);
    assert!(JOURNAL_SEGMENT_BYTES_MIN <= JOURNAL_SEGMENT_BYTES);
    // A mark of up to a sector without its first record fits behind the header.
    assert!(JOURNAL_SECTOR_BYTES <= JOURNAL_SEGMENT_BYTES_MIN as usize);
    assert!(LOG_RESERVE_BYTES * 2 <= LOG_BYTES_MAX);
    assert!(LOG_RETRY_DELAY_FIRST.as_millis() <= LOG_RETRY_DELAY_MAX.as_millis());
    // Whoever ends the server waits for the log once, and not for long.
    assert!(LOG_END_TIMEOUT.as_millis() < DRAIN_TIMEOUT_DEFAULT.as_millis());
    assert!(CONTROL_LANE_SHORT_BYTES < CONTROL_LANE_BYTES);
    assert!(INPUT_ALWAYS_BYTES < READ_BUFFER_BYTES);
    assert!(MEMORY_MAX_MIN <= MEMORY_MAX_FALLBACK);
    assert!(MEMORY_MAX_FRAMES * FRAME_BYTES_MAX_DEFAULT <= MEMORY_MAX_FALLBACK);
    // Defaults within their bounds.
    assert!(QUEUE_MESSAGES_MIN <= QUEUE_MESSAGES_DEFAULT);
    assert!(QUEUE_MESSAGES_DEFAULT <= QUEUE_MESSAGES_MAX);
    assert!(QUEUE_BYTES_MIN <= QUEUE_BYTES_DEFAULT && QUEUE_BYTES_DEFAULT <= QUEUE_BYTES_MAX);
    assert!(FRAME_BYTES_MAX_MIN <= FRAME_BYTES_MAX_DEFAULT);
    assert!(FRAME_BYTES_MAX_DEFAULT <= FRAME_BYTES_MAX_MAX);
    assert!(CONNECTIONS_MAX_DEFAULT <= CONNECTIONS_MAX_MAX);
    assert!(FRAME_RATE_MIN_MIN <= FRAME_RATE_MIN_DEFAULT);
    assert!(FRAME_RATE_MIN_DEFAULT <= FRAME_RATE_MIN_MAX);
    assert!(FIRST_MESSAGE_TIMEOUT_MIN.as_millis() <= FIRST_MESSAGE_TIMEOUT_DEFAULT.as_millis());
    assert!(FIRST_MESSAGE_TIMEOUT_DEFAULT.as_millis() <= FIRST_MESSAGE_TIMEOUT_MAX.as_millis());
    assert!(STALL_TIMEOUT_DEFAULT.as_millis() <= STALL_TIMEOUT_MAX.as_millis());
    assert!(LINGER_DEFAULT.as_millis() <= LINGER_MAX.as_millis());
    assert!(DRAIN_TIMEOUT_DEFAULT.as_millis() <= DRAIN_TIMEOUT_MAX.as_millis());
};
