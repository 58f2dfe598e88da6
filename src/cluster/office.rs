//! The controller's task: the one place where decisions become entries.
//!
//! Whoever asks while an entry is on its way waits and shares the next: one entry is in flight at a time, so each is
//! decided upon applied state, and a lost one leaves nothing to repair.

use super::controller::{Command, Decision, Inputs};
use super::{Change, Image};
use crate::types::ErrorCode;
use tokio::sync::oneshot;

/// A command with whoever waits for its answer.
pub trait Job: Send {
    /// Decides upon `image`; the answer is kept for [`Job::finish`].
    fn decide(&mut self, image: &Image, inputs: &mut Inputs<'_>) -> Vec<Change>;
    /// Tells the answer, if what was decided took effect.
    fn finish(self: Box<Self>, outcome: Result<(), ErrorCode>);
}

struct Waiting<C: Command> {
    command: C,
    answer: Result<C::Answer, ErrorCode>,
    asker: oneshot::Sender<Result<C::Answer, ErrorCode>>,
}

/// A job for the controller, and where its answer will come.
pub fn job<C: Command>(command: C) -> (Box<dyn Job>, oneshot::Receiver<Result<C::Answer, ErrorCode>>) {
    let (asker, answer) = oneshot::channel();
    (Box::new(Waiting { command, answer: Err(ErrorCode::NotController), asker }), answer)
}

impl<C: Command> Job for Waiting<C> {
    fn decide(&mut self, image: &Image, inputs: &mut Inputs<'_>) -> Vec<Change> {
        let decision: Decision<C::Answer> = self.command.decide(image, inputs);
        let (changes, answer) = match decision {
            Ok((changes, answer)) => (changes, Ok(answer)),
            Err(code) => (Vec::new(), Err(code)),
        };
        self.answer = answer;
        changes
    }

    fn finish(self: Box<Self>, outcome: Result<(), ErrorCode>) {
        // Whoever asked may have gone: then nobody needs to be told.
        let _ = self.asker.send(outcome.and(self.answer));
    }
}
