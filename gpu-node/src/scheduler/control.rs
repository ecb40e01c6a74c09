//! What every lane can be told, whatever its models do.

use super::{EmbeddingLane, Lane, LaneStatus, TextLane};
use crate::engines::Engine;

/// A model's lane, seen by who starts and ends the node.
pub trait LaneControl: Send + Sync {
    /// How it is doing.
    fn status(&self) -> LaneStatus;

    /// Requests that run now.
    fn running(&self) -> usize;

    /// Requests it takes, running and waiting, before it refuses the next one.
    fn places(&self) -> usize;

    /// Brings the model into memory.
    fn preload(&self);

    /// Takes nothing new and hands back what waits; what runs goes on.
    fn close(&self);

    /// Stops what runs, because the node will not wait longer.
    fn stop_running(&self);
}

impl<E> LaneControl for Lane<E>
where
    E: Engine + 'static,
    E::Input: Send,
{
    fn status(&self) -> LaneStatus {
        self.status()
    }

    fn running(&self) -> usize {
        self.status().is_running.into()
    }

    fn places(&self) -> usize {
        self.capacity() + 1
    }

    fn preload(&self) {
        self.preload();
    }

    fn close(&self) {
        self.close();
    }

    fn stop_running(&self) {
        self.stop_running();
    }
}

impl LaneControl for TextLane {
    fn status(&self) -> LaneStatus {
        self.status()
    }

    fn running(&self) -> usize {
        self.running()
    }

    fn places(&self) -> usize {
        self.places()
    }

    fn preload(&self) {
        self.preload();
    }

    fn close(&self) {
        self.close();
    }

    fn stop_running(&self) {
        self.stop_running();
    }
}

impl LaneControl for EmbeddingLane {
    fn status(&self) -> LaneStatus {
        self.status()
    }

    fn running(&self) -> usize {
        self.running()
    }

    fn places(&self) -> usize {
        self.places()
    }

    fn preload(&self) {
        self.preload();
    }

    fn close(&self) {
        self.close();
    }

    fn stop_running(&self) {
        self.stop_running();
    }
}
