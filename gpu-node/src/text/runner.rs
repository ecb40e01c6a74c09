//! The border between the service and what runs text models: a lane in the node, a script in the tests.

use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use crate::{
    engines::text::request::{TextEvent, TextInput, TextUsage},
    scheduler::{Failure, LaneControl, Refused, TextLane, TextObserver},
};

/// Runs requests of one model, several at once.
pub trait TextRunner: LaneControl {
    /// Takes the request in or refuses it, without waiting.
    fn submit(&self, input: TextInput) -> Result<TextRun, Refused>;
}

/// A request under way; dropping it cancels it.
pub struct TextRun {
    /// Ends after [`RunEvent::Ended`].
    pub events: UnboundedReceiver<RunEvent>,
    /// Whatever must be dropped for the runner to stop, beside the receiver.
    pub guard: Box<dyn Send>,
}

/// What a run says.
#[derive(Debug, Clone, PartialEq)]
pub enum RunEvent {
    Said(TextEvent),
    /// It is over, with every continuation at its end or with a reason why not.
    Ended(Result<(), Failure>),
}

impl TextRunner for TextLane {
    fn submit(&self, input: TextInput) -> Result<TextRun, Refused> {
        let (sender, events) = mpsc::unbounded_channel();
        let ticket = self.submit(input, Box::new(Forward(sender)))?;
        Ok(TextRun { events, guard: Box::new(ticket) })
    }
}

/// Hands a lane's words on. What a caller does not take yet is kept: an answer's length bounds it.
struct Forward(UnboundedSender<RunEvent>);

impl TextObserver for Forward {
    fn emitted(&mut self, event: TextEvent) {
        // Whoever hung up has dropped its ticket too.
        let _ = self.0.send(RunEvent::Said(event));
    }

    fn ended(self: Box<Self>, outcome: Result<TextUsage, Failure>) {
        let _ = self.0.send(RunEvent::Ended(outcome.map(drop)));
    }
}
