//! Pictures as they come: previews, then each finished one.

use shared::node::jobs::NodeEvent;

use super::answer::{CompletedImage, PartialImage, Wanted};
use crate::{
    http::openai::events::{Outbox, Streamed},
    jobs::AwaitedJob,
};

pub(super) struct ImageStream {
    wanted: Wanted,
    job: AwaitedJob,
    /// Previews of each picture so far.
    previews: Vec<usize>,
    outbox: Outbox,
}

impl ImageStream {
    pub(super) fn new(wanted: Wanted, job: AwaitedJob, pictures: u32) -> Self {
        Self { wanted, job, previews: vec![0; pictures as usize], outbox: Outbox::default() }
    }

    fn preview(&mut self, index: u32, jpeg: String) {
        let Some(count) = self.previews.get_mut(index as usize) else { return };
        let event = PartialImage::new(&self.wanted, index, *count, jpeg);
        *count += 1;
        self.outbox.push_named(&event.r#type, &event);
    }
}

impl Streamed for ImageStream {
    fn outbox(&mut self) -> &mut Outbox {
        &mut self.outbox
    }

    async fn advance(&mut self) {
        match self.job.next().await {
            Some(NodeEvent::Preview { index, jpeg, .. }) => self.preview(index, jpeg),
            Some(event) if !event.is_end() => {}
            end => match self.job.results(end) {
                Ok(stored) => {
                    for stored in stored {
                        let event = CompletedImage::new(&self.wanted, &stored);
                        self.outbox.push_named(&event.r#type, &event);
                    }
                    self.outbox.close();
                }
                Err(error) => self.outbox.fail(&error),
            },
        }
    }
}
