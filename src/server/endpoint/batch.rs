//! Messages that are sent together, with one step for many.

use std::collections::VecDeque;
use std::fmt;

use bytes::BytesMut;

use super::sender::{EndpointSender, read};
use crate::events::SendError;
use crate::ids::{MsgId, unix_time};
use crate::limits::{FRAME_PREFIX_BYTES, READ_BUFFER_BYTES};
use crate::router::{Halt, Pause};
use crate::server::input::ThreadBuffers;
use crate::wire::{KnownFrame, Message, MillisText, Payload, ValidFrame};

/// The room in a chunk for a message that is not encoded yet: enough for most.
const MESSAGE_BYTES_USUAL: usize = 1024;

/// Messages that an endpoint sends together. They are accepted in their order, and
/// leave the batch as they are: what is in it was not sent.
///
/// ```
/// # use tickwire::wire::{Message, Order, Side, ValidFrame};
/// # async fn example(server: &tickwire::ServerHandle) -> Result<(), Box<dyn std::error::Error>> {
/// let (sender, _) = server.attach("strategy")?;
/// let order = Order::new("ord-1", "BTCUSDT", Side::Buy, 1);
/// let frame = ValidFrame::new(&Message::order("strategy", "gateway", "run-1", order)?)?;
/// let mut batch = sender.batch();
/// for _ in 0..1_000 {
///     batch.push(&frame)?;
/// }
/// batch.post_all().await?;
/// # Ok(())
/// # }
/// ```
pub struct Batch {
    sender: EndpointSender,
    /// No one is empty.
    chunks: VecDeque<Chunk>,
    messages: usize,
    /// A buffer for the next chunk.
    spare: Chunk,
}

/// Frames side by side, as a read from a socket would have them.
#[derive(Default)]
struct Chunk {
    frames: BytesMut,
    /// What is known of each of them.
    known: Vec<KnownFrame>,
    /// The number of frames that were taken off the front.
    taken: usize,
}

impl Batch {
    pub(super) fn of(sender: &EndpointSender) -> Self {
        Self {
            sender: sender.clone(),
            chunks: VecDeque::new(),
            messages: 0,
            spare: Chunk::default(),
        }
    }

    /// The number of messages that are not accepted yet.
    #[must_use]
    pub fn len(&self) -> usize {
        self.messages
    }

    /// Returns whether all messages were accepted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.messages == 0
    }

    /// Adds a frame with a fresh id, which is returned.
    ///
    /// # Errors
    /// [`SendError::TooLarge`] for this server.
    pub fn push(&mut self, frame: &ValidFrame) -> Result<MsgId, SendError> {
        self.sender.check_size(frame.json_bytes())?;
        let now = unix_time();
        let id = MsgId::fresh_at(now);
        let chunk = self.chunk_for(frame.json_bytes());
        let known = frame.append(&mut chunk.frames, id, &MillisText::at(now));
        chunk.known.push(known);
        self.messages += 1;
        Ok(id)
    }

    /// Adds a frame under the id that it was made with: for a second try of the same
    /// message.
    ///
    /// # Errors
    /// [`SendError::TooLarge`] for this server.
    pub fn push_again(&mut self, frame: &ValidFrame) -> Result<(), SendError> {
        self.sender.check_size(frame.json().len())?;
        let chunk = self.chunk_for(frame.json().len());
        let known = frame.append_original(&mut chunk.frames);
        chunk.known.push(known);
        self.messages += 1;
        Ok(())
    }

    /// Encodes and adds a message. It is checked on its way.
    ///
    /// # Errors
    /// [`SendError::TooLarge`] for this server, or [`SendError::OfTheConnection`].
    pub fn push_message(&mut self, message: &Message) -> Result<(), SendError> {
        if matches!(
            message.payload,
            Payload::Subscribe(_) | Payload::Unsubscribe(_)
        ) {
            return Err(SendError::OfTheConnection);
        }
        let sender = self.sender.clone();
        let chunk = self.chunk_for(MESSAGE_BYTES_USUAL);
        let before = chunk.frames.len();
        let encoded = sender.write(message, &mut chunk.frames);
        let bytes = chunk.frames.len() - before;
        match encoded {
            Ok(_) => {
                let header = None;
                chunk.known.push(KnownFrame { header, bytes });
                self.messages += 1;
                Ok(())
            }
            Err(error) => {
                // The chunk may have been made for it.
                if chunk.known.is_empty() {
                    self.chunks.pop_back();
                }
                Err(error)
            }
        }
    }

    /// Sends all messages and drops their acks. Waits while a queue is full; after each
    /// 64 KiB others have a turn. A future that is dropped leaves in the batch what was
    /// not accepted.
    ///
    /// # Errors
    /// The first message that is not accepted. Those before it were accepted, those
    /// behind it are still in the batch, and so is itself if the server has stopped
    /// ([`SendError::Closed`]).
    pub async fn post_all(&mut self) -> Result<(), SendError> {
        let endpoint = self.sender.endpoint.clone();
        let mut turn = None;
        while let Some(chunk) = self.chunks.front_mut() {
            let before = chunk.left();
            let posted = endpoint.post_chunk(chunk);
            self.messages -= before - chunk.left();
            if chunk.left() == 0
                && let Some(chunk) = self.chunks.pop_front()
            {
                self.spare = chunk.emptied();
            }
            let Some(pause) = posted? else {
                if !self.chunks.is_empty() {
                    tokio::task::yield_now().await;
                }
                continue;
            };
            if turn.is_none() {
                turn = Some(endpoint.waiting.lock().await);
            }
            endpoint.wait_for_room(pause).await;
        }
        Ok(())
    }

    /// The chunk for a frame with so many bytes of JSON.
    fn chunk_for(&mut self, json_bytes: usize) -> &mut Chunk {
        let bytes = FRAME_PREFIX_BYTES + json_bytes;
        let has_room = |chunk: &Chunk| chunk.frames.len() + bytes <= READ_BUFFER_BYTES;
        if !self.chunks.back().is_some_and(has_room) {
            let mut chunk = std::mem::take(&mut self.spare);
            chunk.frames.reserve(READ_BUFFER_BYTES);
            self.chunks.push_back(chunk);
        }
        let last = self.chunks.len() - 1;
        &mut self.chunks[last]
    }
}

impl Chunk {
    /// The number of frames that are not taken.
    fn left(&self) -> usize {
        self.known.len() - self.taken
    }

    /// Notes the frames that are no longer in the buffer.
    fn note_taken(&mut self) {
        let mut left: usize = self.known[self.taken..].iter().map(|it| it.bytes).sum();
        while left > self.frames.len() {
            left -= self.known[self.taken].bytes;
            self.taken += 1;
        }
    }

    fn emptied(mut self) -> Self {
        self.frames.clear();
        self.known.clear();
        self.taken = 0;
        self
    }
}

impl super::Endpoint {
    /// Hands the frames of a chunk to the session, until one must wait.
    ///
    /// # Errors
    /// The first that is refused, which was taken as well.
    fn post_chunk(&self, chunk: &mut Chunk) -> Result<Option<Pause>, SendError> {
        let now = self.shared.clock.now();
        let mut state = self.open_state()?;
        let halt = ThreadBuffers::lend(|buffers| {
            let known = &chunk.known[chunk.taken..];
            read(
                &mut state,
                &mut buffers.begin(),
                &mut chunk.frames,
                known,
                now,
            )
        });
        state.session.drain_accepted().for_each(drop);
        chunk.note_taken();
        match halt {
            None => Ok(None),
            Some(Halt::Pause(pause)) => {
                // Queues may hold what was taken, and are charged for its block.
                chunk.frames = BytesMut::from(&chunk.frames[..]);
                Ok(Some(pause))
            }
            Some(_) => Err(self.refusal(&mut state)),
        }
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("sender", self.sender.name())
            .field("messages", &self.messages)
            .finish_non_exhaustive()
    }
}
