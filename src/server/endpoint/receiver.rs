//! The receiving half of an endpoint.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use futures_core::Stream;

use super::{Endpoint, State};
use crate::events::{Event, Inbound};
use crate::limits::FRAME_PREFIX_BYTES;
use crate::router::{Attention, Session};
use crate::server::phase::Phase;
use crate::wire::{self, Answer, ErrorCode};

/// Receives inside the process: a stream of [`Event`]s, the messages to the
/// endpoint's name or to everyone. It ends, after an [`Event::Notice`], when the name
/// is taken over or the server stops. Dropping it gives the name up: messages that
/// it has not returned wait for the next owner, or are reported to their senders.
pub struct EndpointReceiver {
    endpoint: Arc<Endpoint>,
    /// Broadcasts that were taken from the session and not handed out. Other messages
    /// are taken one by one: here they would be lost with the receiver.
    run: Bytes,
    /// The run is the server's report of missing messages.
    run_is_report: bool,
    notices: VecDeque<Event>,
    /// Nothing follows the frames and notices that are here.
    has_ended: bool,
}

impl EndpointReceiver {
    pub(super) fn new(endpoint: &Arc<Endpoint>) -> Self {
        Self {
            endpoint: Arc::clone(endpoint),
            run: Bytes::new(),
            run_is_report: false,
            notices: VecDeque::new(),
            has_ended: false,
        }
    }

    /// The next event; `None` after the name was taken over or the server stopped.
    pub async fn receive(&mut self) -> Option<Event> {
        std::future::poll_fn(|cx| self.poll_receive(cx)).await
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        loop {
            if let Some(notice) = self.notices.pop_front() {
                return Poll::Ready(Some(notice));
            }
            if let Some(json) = self.next_frame() {
                return Poll::Ready(Some(self.event_of(json)));
            }
            if self.has_ended {
                return Poll::Ready(None);
            }
            if !self.look(cx) {
                return Poll::Pending;
            }
        }
    }

    /// The next frame of the run, without its prefix.
    fn next_frame(&mut self) -> Option<Bytes> {
        let frame = wire::frames(&self.run).next()?;
        // The last one is taken whole: to share it would cost an allocation.
        let mut json = match frame.end == self.run.len() {
            true => std::mem::take(&mut self.run),
            false => self.run.split_to(frame.end),
        };
        json.advance(FRAME_PREFIX_BYTES);
        Some(json)
    }

    /// The event of a frame: a message, or a notice of missing ones.
    fn event_of(&self, json: Bytes) -> Event {
        if self.run_is_report
            && let Some(Answer::Error(report)) = self.endpoint.reader.answer_in(&json)
        {
            return Event::Notice(report);
        }
        Event::Message(Inbound::new(json))
    }

    /// Takes the next frames or notices; returns false, to be woken, if there are none.
    fn look(&mut self, cx: &Context<'_>) -> bool {
        let endpoint = Arc::clone(&self.endpoint);
        let mut state = endpoint.state();
        // Most often there is more, and no need to be woken.
        if self.look_once(&endpoint, &mut state) {
            return true;
        }
        state.session.register(cx.waker());
        self.look_once(&endpoint, &mut state)
    }

    fn look_once(&mut self, endpoint: &Endpoint, state: &mut State) -> bool {
        let now = || endpoint.shared.clock.now();
        let phase = endpoint.shared.phases.now();
        let session = &mut state.session;
        if session.has_reports() {
            self.has_ended = session.handle_reports(now()) == Attention::Close;
            self.take_notices(session);
        }
        if let Some(run) = session.take_next() {
            self.run = run.frames;
            self.run_is_report = run.is_report;
            if phase >= Phase::Draining {
                state.note_drained();
            }
            return true;
        }
        if phase >= Phase::Draining {
            state.draining = None;
        }
        if phase == Phase::Closing && !self.has_ended {
            self.has_ended = true;
            let reason = "the server stops";
            session.close_with(ErrorCode::ServerShuttingDown, reason, None, now());
            self.take_notices(session);
        }
        self.has_ended || !self.notices.is_empty()
    }

    fn take_notices(&mut self, session: &mut Session) {
        let answers = session.take_answers();
        let reports = self.endpoint.answers_in(&answers);
        self.notices
            .extend(reports.filter_map(|answer| match answer {
                Answer::Error(report) => Some(Event::Notice(report)),
                Answer::Ack(_) => None,
            }));
    }
}

impl Stream for EndpointReceiver {
    type Item = Event;
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.poll_receive(cx)
    }
}

impl Drop for EndpointReceiver {
    fn drop(&mut self) {
        let mut state = self.endpoint.state();
        state.session.end_input();
        state.draining = None;
    }
}

impl fmt::Debug for EndpointReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointReceiver")
            .field("name", &self.endpoint.name)
            .finish_non_exhaustive()
    }
}
