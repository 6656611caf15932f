//! A text on its way to whoever asked: a slow reader's pieces are joined, and nobody waits for him.

use std::task::{Context, Poll};

use lore_core::GenerateEvent;
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;

/// The sending side of one text; what is held in it is at most the text itself.
#[derive(Debug)]
pub(super) struct Outlet {
    reply: Sender<GenerateEvent>,
    pending: String,
    end: Option<GenerateEvent>,
}

/// How far a text has gone out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// All there is.
    All,
    /// The reader has no room for the rest yet.
    Waits,
    /// The reader has gone.
    Gone,
}

impl Outlet {
    /// Nothing is on its way yet.
    pub fn new(reply: Sender<GenerateEvent>) -> Self {
        Self { reply, pending: String::new(), end: None }
    }

    /// Adds to the text.
    pub fn write(&mut self, text: &str) {
        self.pending.push_str(text);
    }

    /// Nothing comes after `end`, which goes out after the text.
    pub fn close(&mut self, end: GenerateEvent) {
        self.end = Some(end);
    }

    /// Whether the reader has gone.
    pub fn is_gone(&self) -> bool {
        self.reply.is_closed()
    }

    /// Sends what the reader has room for.
    pub fn flush(&mut self) -> Sent {
        if !self.pending.is_empty() {
            match self.reply.try_send(GenerateEvent::Text(std::mem::take(&mut self.pending))) {
                Ok(()) => {}
                Err(TrySendError::Full(GenerateEvent::Text(text))) => {
                    self.pending = text;
                    return Sent::Waits;
                }
                Err(_) => return Sent::Gone,
            }
        }
        let Some(end) = self.end.take() else { return Sent::All };
        match self.reply.try_send(end) {
            Ok(()) => Sent::All,
            Err(TrySendError::Full(end)) => {
                self.end = Some(end);
                Sent::Waits
            }
            Err(TrySendError::Closed(_)) => Sent::Gone,
        }
    }

    /// Ready when the reader has room or has gone.
    pub async fn room(&self) {
        // Either answer is a reason to flush.
        _ = self.reply.reserve().await;
    }
}

/// Waits until one of `outlets` can go on, or `or` is ready.
pub(super) async fn any_room<T>(
    outlets: &[Outlet],
    mut or: impl FnMut(&mut Context<'_>) -> Poll<T>,
) -> Option<T> {
    let mut rooms: Vec<_> = outlets.iter().map(|outlet| Box::pin(outlet.room())).collect();
    std::future::poll_fn(|context| {
        if let Poll::Ready(value) = or(context) {
            return Poll::Ready(Some(value));
        }
        let ready = rooms.iter_mut().any(|room| room.as_mut().poll(context).is_ready());
        if ready { Poll::Ready(None) } else { Poll::Pending }
    })
    .await
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use lore_core::ModelError;

    use super::*;

    #[test]
    fn a_slow_reader_gets_joined_pieces_then_the_end() {
        let (reply, mut events) = tokio::sync::mpsc::channel(2);
        let mut outlet = Outlet::new(reply);
        for piece in ["a", "b", "c", "d"] {
            outlet.write(piece);
            outlet.flush();
        }
        let end = GenerateEvent::Failed(ModelError::Stopped { model: "m".into() });
        outlet.close(end.clone());
        assert_eq!(outlet.flush(), Sent::Waits);
        let mut text = |text: &str| assert_eq!(events.try_recv().unwrap(), GenerateEvent::Text(text.into()));
        text("a");
        assert_eq!(outlet.flush(), Sent::Waits, "the text takes the room, the end waits");
        text("b");
        assert_eq!(outlet.flush(), Sent::All);
        text("cd");
        assert_eq!(events.try_recv().unwrap(), end);
        drop(events);
        outlet.write("e");
        assert_eq!(outlet.flush(), Sent::Gone);
    }
}
