//! The sending half of an endpoint.

use std::sync::Arc;
use std::task::Poll;

use bytes::BytesMut;
use tokio::time::timeout_at;

use super::batch::Batch;
use super::{Endpoint, State};
use crate::events::SendError;
use crate::ids::{MsgId, Name, unix_time};
use crate::limits::READ_BUFFER_BYTES;
use crate::router::{Halt, Now, Pause};
use crate::server::input::{Round, ThreadBuffers};
use crate::wire::{
    Ack, Answer, KnownFrame, Message, MillisText, Payload, Timestamp, ValidFrame, settlement_of,
};

/// Sends from inside the process. Cloning shares the endpoint.
///
/// A [`Message`] is encoded and checked each time. A [`ValidFrame`] was checked when it
/// was made; what a program has as JSON is checked as it passes. Many at a time are
/// cheapest in a [`Batch`].
#[derive(Debug, Clone)]
pub struct EndpointSender {
    pub(super) endpoint: Arc<Endpoint>,
}

/// The outcome of handing a frame to the session.
pub(super) enum Admission {
    Decided(Decision),
    /// The frame waits for room in a full queue.
    Paused(Pause),
}

/// The decision about a frame that was not refused.
pub(super) enum Decision {
    /// Accepted at this time, in milliseconds after 1970; so many receivers missed it.
    Accepted { unix_ms: i64, missed: u32 },
    /// A request that was carried out, with its ack.
    CarriedOut(Ack),
    /// An `ack`, which has no answer.
    Routed,
}

impl Endpoint {
    /// Sends the frame that `write` appends, and waits for room if need be.
    async fn send_frame<K>(
        &self,
        write: impl FnOnce(&mut BytesMut) -> Result<K, SendError>,
    ) -> Result<Decision, SendError>
    where
        K: AsRef<[KnownFrame]>,
    {
        match self.try_frame(write)? {
            (Admission::Decided(decision), _) => Ok(decision),
            (Admission::Paused(pause), frame) => self.send_after(pause, frame).await,
        }
    }

    /// Writes a frame into a buffer of this thread and hands it to the session. Returns
    /// a copy of a frame that must wait.
    fn try_frame<K: AsRef<[KnownFrame]>>(
        &self,
        write: impl FnOnce(&mut BytesMut) -> Result<K, SendError>,
    ) -> Result<(Admission, BytesMut), SendError> {
        ThreadBuffers::lend(|buffers| {
            let mut round = buffers.begin();
            let mut frame = round.take_buffer();
            let known = write(&mut frame)?;
            let admission = self.admit(&mut round, &mut frame, known.as_ref())?;
            let rest = BytesMut::from(&frame[..]);
            // A large frame has made it larger than those that are kept.
            if frame.capacity() <= READ_BUFFER_BYTES {
                round.give_buffer(frame);
            }
            Ok((admission, rest))
        })
    }

    /// Hands the frame in again as often as it takes.
    #[cold]
    async fn send_after(
        &self,
        mut pause: Pause,
        mut frame: BytesMut,
    ) -> Result<Decision, SendError> {
        let _turn = self.waiting.lock().await;
        loop {
            // Drops the pause, and with it the waiting of the endpoint, before the turn.
            self.wait_for_room(pause).await;
            let admission =
                ThreadBuffers::lend(|buffers| self.admit(&mut buffers.begin(), &mut frame, &[]))?;
            match admission {
                Admission::Decided(decision) => return Ok(decision),
                Admission::Paused(again) => pause = again,
            }
        }
    }

    /// Hands one frame to the session, which takes all of it or pauses.
    pub(super) fn admit(
        &self,
        round: &mut Round<'_>,
        frame: &mut BytesMut,
        known: &[KnownFrame],
    ) -> Result<Admission, SendError> {
        let now = self.shared.clock.now();
        let mut state = self.open_state()?;
        let halt = read(&mut state, round, frame, known, now);
        if let Some(Halt::Pause(pause)) = halt {
            return Ok(Admission::Paused(pause));
        }
        if let Some(missed) = state.session.drain_accepted().last() {
            let unix_ms = now.unix_ms;
            let accepted = Decision::Accepted { unix_ms, missed };
            return Ok(Admission::Decided(accepted));
        }
        // Unlike a connection, an endpoint may send any number of invalid frames.
        if halt.is_some() {
            return Err(self.refusal(&mut state));
        }
        let answers = state.session.take_answers();
        Ok(Admission::Decided(match self.answers_in(&answers).next() {
            Some(Answer::Ack(ack)) => Decision::CarriedOut(ack),
            _ => Decision::Routed,
        }))
    }

    pub(super) async fn wait_for_room(&self, mut pause: Pause) {
        let deadline = self.shared.clock.instant(pause.deadline);
        let room = std::future::poll_fn(|cx| {
            // Wait first, then look: room that appears in between wakes us.
            pause.wait(cx.waker());
            match pause.has_room() {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        });
        // Whether it was room or the deadline, the router decides.
        let _ = timeout_at(deadline, room).await;
    }
}

/// Hands frames to the session. Returns what stopped it, if anything did.
pub(super) fn read(
    state: &mut State,
    round: &mut Round<'_>,
    frames: &mut BytesMut,
    known: &[KnownFrame],
    now: Now,
) -> Option<Halt> {
    let session = &mut state.session;
    round.gathering.read_known(session, frames, known, now).halt
}

impl EndpointSender {
    /// The endpoint's name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.endpoint.name
    }

    /// Sends a message and gives the server's answer. Waits while the target's queue
    /// is full; a future that is dropped until then has sent nothing.
    ///
    /// # Errors
    /// The fate of a message that was not accepted.
    pub async fn send(&self, message: &Message) -> Result<Ack, SendError> {
        if matches!(message.payload, Payload::Ack(_)) {
            return Err(SendError::NeverAnswered);
        }
        let write = |out: &mut BytesMut| self.write(message, out);
        self.endpoint.send_frame(write).await?.ack(message.msg_id)
    }

    /// Sends a message and drops its ack; also an `ack`, which has none.
    ///
    /// # Errors
    /// As of [`EndpointSender::send`].
    pub async fn post(&self, message: &Message) -> Result<(), SendError> {
        let write = |out: &mut BytesMut| self.write(message, out);
        self.endpoint.send_frame(write).await?;
        Ok(())
    }

    /// Settles a message: tells the server, and its sender, by an `ack` that this program
    /// has done with it. A message to a durable name is delivered again until it is settled.
    /// Nothing is sent for a broadcast or an `ack`, which need no settling.
    ///
    /// # Errors
    /// As of [`EndpointSender::post`].
    pub async fn settle(&self, message: &Message) -> Result<(), SendError> {
        match message.settlement() {
            Some(ack) => self.post(&ack).await,
            None => Ok(()),
        }
    }

    /// Settles the message in `json`, whatever its payload; else as
    /// [`EndpointSender::settle`].
    ///
    /// # Errors
    /// As of [`EndpointSender::post`].
    pub async fn settle_json(&self, json: &[u8]) -> Result<(), SendError> {
        match settlement_of(json) {
            Some(ack) => self.post(&ack).await,
            None => Ok(()),
        }
    }

    /// Sends a frame with a fresh id and gives the server's answer, which names the id.
    ///
    /// # Errors
    /// As of [`EndpointSender::send`].
    pub async fn send_frame(&self, frame: &ValidFrame) -> Result<Ack, SendError> {
        if frame.kind() == crate::wire::Kind::Ack {
            return Err(SendError::NeverAnswered);
        }
        let (write, id) = self.write_fresh(frame);
        self.endpoint.send_frame(write).await?.ack(id)
    }

    /// Sends a frame with a fresh id and drops its ack. Returns the id.
    ///
    /// # Errors
    /// As of [`EndpointSender::send`].
    pub async fn post_frame(&self, frame: &ValidFrame) -> Result<MsgId, SendError> {
        let (write, id) = self.write_fresh(frame);
        self.endpoint.send_frame(write).await?;
        Ok(id)
    }

    /// Sends the JSON of a message as it is, and gives the server's answer. For a gateway
    /// that has its messages as JSON: it is checked as it passes, and copied.
    ///
    /// # Errors
    /// As of [`EndpointSender::send`]; [`SendError::Refused`] also says what is wrong
    /// with the JSON. [`SendError::FateUnknown`] of an `ack`, which has no answer: post it.
    pub async fn send_json(&self, json: &[u8]) -> Result<Ack, SendError> {
        let write = |out: &mut BytesMut| self.write_json(json, out);
        match self.endpoint.send_frame(write).await? {
            Decision::Accepted { unix_ms, missed } => {
                let id = crate::wire::msg_id_in(json).ok_or(SendError::FateUnknown)?;
                Ok(ack(id, unix_ms, missed))
            }
            Decision::CarriedOut(ack) => Ok(ack),
            Decision::Routed => Err(SendError::FateUnknown),
        }
    }

    /// Sends the JSON of a message as it is, and drops its ack.
    ///
    /// # Errors
    /// As of [`EndpointSender::send_json`].
    pub async fn post_json(&self, json: &[u8]) -> Result<(), SendError> {
        let write = |out: &mut BytesMut| self.write_json(json, out);
        self.endpoint.send_frame(write).await?;
        Ok(())
    }

    /// An empty batch of messages to be sent by this endpoint.
    #[must_use]
    pub fn batch(&self) -> Batch {
        Batch::of(self)
    }

    /// The largest JSON of a message that the server takes, in bytes.
    pub(super) fn json_bytes_max(&self) -> usize {
        self.endpoint.shared.config.router.frame_bytes_max
    }

    pub(super) fn check_size(&self, bytes: usize) -> Result<(), SendError> {
        let limit = self.json_bytes_max();
        match bytes <= limit {
            true => Ok(()),
            false => Err(SendError::TooLarge { bytes, limit }),
        }
    }

    /// Encodes a message, which is no proof of its validity.
    pub(super) fn write(
        &self,
        message: &Message,
        out: &mut BytesMut,
    ) -> Result<[KnownFrame; 0], SendError> {
        if matches!(message.payload, Payload::Hello(_) | Payload::Welcome(_)) {
            return Err(SendError::OfTheConnection);
        }
        let limit = self.json_bytes_max();
        let encoded = message.encode_within(limit, |frame| out.extend_from_slice(frame));
        encoded.map_err(|bytes| SendError::TooLarge { bytes, limit })?;
        Ok([])
    }

    fn write_fresh(
        &self,
        frame: &ValidFrame,
    ) -> (
        impl FnOnce(&mut BytesMut) -> Result<[KnownFrame; 1], SendError>,
        MsgId,
    ) {
        let now = unix_time();
        let id = MsgId::fresh_at(now);
        let write = move |out: &mut BytesMut| {
            self.check_size(frame.json_bytes())?;
            Ok([frame.append(out, id, &MillisText::at(now))])
        };
        (write, id)
    }

    fn write_json(&self, json: &[u8], out: &mut BytesMut) -> Result<[KnownFrame; 0], SendError> {
        self.check_size(json.len())?;
        // Also an empty one: the server says what is wrong with it.
        out.extend_from_slice(&(json.len() as u32).to_be_bytes());
        out.extend_from_slice(json);
        Ok([])
    }
}

impl Decision {
    pub(super) fn ack(self, id: MsgId) -> Result<Ack, SendError> {
        match self {
            Self::Accepted { unix_ms, missed } => Ok(ack(id, unix_ms, missed)),
            Self::CarriedOut(ack) => Ok(ack),
            Self::Routed => Err(SendError::FateUnknown),
        }
    }
}

fn ack(id: MsgId, unix_ms: i64, missed: u32) -> Ack {
    let accepted_at = Timestamp::from_unix_ms(unix_ms);
    Ack::new(id, accepted_at).with_dropped(missed.into())
}
