//! A lane with a tiny model: who waits together runs together, and who is cancelled hears so before the others end.

use std::sync::{
    Arc, Mutex,
    mpsc::{Receiver, Sender, channel},
};

use gpu_node::{
    engines::{
        Engine,
        image::{
            EncodedImage, ImageEngine, ImageEvent, ImageJob, stable_diffusion::StableDiffusion,
        },
    },
    scheduler::{Lane, LaneJob, LaneSettings, MemoryBudget, Metrics, Observer, Outcome, Place},
};
use shared::{ids::JobId, node::image::SchedulerKind};

use super::support::{Bench, Watch, job, tiny};

fn id(number: u8) -> JobId {
    format!("00000000-0000-4000-8000-0000000000{number:02}").parse().unwrap()
}

/// What became of the jobs, in its order.
#[derive(Debug, Clone, PartialEq)]
enum Told {
    Step(u8, u32),
    Ended(u8, &'static str),
}

/// A job's number and how it ended.
type End = (u8, Outcome<Vec<EncodedImage>>);

struct Watcher {
    number: u8,
    told: Arc<Mutex<Vec<Told>>>,
    /// Told and waited for when the job starts.
    gate: Mutex<Option<(Sender<()>, Receiver<()>)>>,
    /// Called after a step.
    after_step: Box<dyn Fn(u32) + Send + Sync>,
    end: Sender<End>,
}

impl Observer<ImageEngine> for Watcher {
    fn queued(&self, _: Place) {}

    fn started(&self) {
        if let Some((begun, go)) = self.gate.lock().unwrap().take() {
            begun.send(()).unwrap();
            go.recv().unwrap();
        }
    }

    fn emitted(&self, event: ImageEvent) {
        if let ImageEvent::Step { step, .. } = event {
            self.told.lock().unwrap().push(Told::Step(self.number, step));
            (self.after_step)(step);
        }
    }

    fn ended(&self, outcome: Outcome<Vec<EncodedImage>>) {
        self.told.lock().unwrap().push(Told::Ended(self.number, outcome.name()));
        self.end.send((self.number, outcome)).unwrap();
    }
}

/// A lane that runs the first job while the others gather behind it.
struct Line {
    lane: Arc<Lane<ImageEngine>>,
    watch: Arc<Mutex<Watch>>,
    told: Arc<Mutex<Vec<Told>>>,
    ends: (Sender<End>, Receiver<End>),
}

impl Line {
    fn start(budget: Option<u64>) -> Self {
        let bench = Bench::new(&tiny("stable-diffusion"), StableDiffusion::load);
        // The model is counted with one picture.
        let (pipeline, watch) = (bench.pipeline.with_pixels_max(24 * 16), bench.watch);
        let mut pipeline = Some(pipeline);
        let load = move || Ok(Box::new(pipeline.take().unwrap()) as ImageEngine);
        let settings = LaneSettings { model: "tiny".into(), capacity: 8, memory_bytes: 1_000 };
        let (budget, metrics) = (Arc::new(MemoryBudget::new(budget)), Arc::new(Metrics::default()));
        let lane = Lane::start(settings, Box::new(load), budget, metrics).unwrap();
        Self { lane: Arc::new(lane), watch, told: Arc::default(), ends: channel() }
    }

    fn submit(
        &self,
        number: u8,
        gate: Option<(Sender<()>, Receiver<()>)>,
        after_step: Box<dyn Fn(u32) + Send + Sync>,
    ) {
        let observer = Watcher {
            number,
            told: self.told.clone(),
            gate: Mutex::new(gate),
            after_step,
            end: self.ends.0.clone(),
        };
        let input = order(number);
        let observer = Arc::new(observer);
        self.lane.submit(LaneJob { id: id(number), input, weight: 1.0, observer }).unwrap();
    }

    /// The first job has begun; it goes on with a word to what this gives.
    fn occupy(&self) -> Sender<()> {
        let ((begun, has_begun), (go, gate)) = (channel(), channel());
        self.submit(1, Some((begun, gate)), Box::new(|_| {}));
        has_begun.recv().unwrap();
        go
    }

    fn next_end(&self) -> End {
        self.ends.1.recv().unwrap()
    }
}

fn order(number: u8) -> ImageJob {
    let prompt = ["a red fish", "blue house", "the river", "on the left"][usize::from(number) % 4];
    let base = job(prompt, number.into());
    ImageJob { scheduler: SchedulerKind::EulerAncestral, steps: 4, ..base }
}

fn pictures_of(outcome: Outcome<Vec<EncodedImage>>) -> Option<Vec<EncodedImage>> {
    if let Outcome::Completed { output, .. } = outcome { Some(output) } else { None }
}

#[test]
fn a_cancelled_job_ends_while_the_others_of_its_pass_go_on_to_the_same_bytes() {
    let line = Line::start(None);
    let go = line.occupy();
    line.submit(2, None, Box::new(|_| {}));
    // The third is cancelled after its second step, and waits for nothing.
    let lane = line.lane.clone();
    let cancel = move |step| {
        if step == 2 {
            lane.cancel(id(3))
        }
    };
    line.submit(3, None, Box::new(cancel));
    line.submit(4, None, Box::new(|_| {}));
    go.send(()).unwrap();
    let ends = [(); 4].map(|()| line.next_end());
    assert_eq!([1, 3, 2, 4], [0, 1, 2, 3].map(|at: usize| ends[at].0));
    assert_eq!(ends[1].1, Outcome::Cancelled);

    let told = line.told.lock().unwrap().clone();
    let at = |what: &Told| told.iter().position(|told| told == what).unwrap();
    assert!(at(&Told::Step(2, 1)) < at(&Told::Step(4, 1)), "they run in one pass");
    assert!(at(&Told::Step(4, 1)) < at(&Told::Step(2, 2)), "they run in one pass");
    assert!(at(&Told::Ended(3, "cancelled")) < at(&Told::Step(2, 4)), "{told:?}");
    assert!(!told.contains(&Told::Step(3, 3)));
    // With guidance a picture is twice in its batch, which the model sees as one.
    assert_eq!(line.watch.lock().unwrap().batches, [1, 1, 1, 1, 3, 3, 3, 2]);

    let mut bench = Bench::new(&tiny("stable-diffusion"), StableDiffusion::load);
    for (number, outcome) in ends.into_iter().filter(|(number, _)| *number != 3) {
        let alone = bench.alone(&[order(number)]).remove(0).0;
        assert_eq!(pictures_of(outcome), Some(alone), "job {number}");
    }
}

#[test]
fn as_many_join_as_the_memory_budget_has_room_for() {
    let bench = Bench::new(&tiny("stable-diffusion"), StableDiffusion::load);
    let (second, third) = (order(2), order(3));
    let of_two = bench.pipeline.with_pixels_max(24 * 16).pass_bytes(&[&second, &third]);
    assert!(of_two > 0);
    // The model itself takes 1,000.
    let line = Line::start(Some(1_000 + of_two));
    let go = line.occupy();
    (2..=6).for_each(|number| line.submit(number, None, Box::new(|_| {})));
    go.send(()).unwrap();
    let ended = [(); 6].map(|()| line.next_end());
    assert!(ended.iter().all(|(_, outcome)| outcome.name() == "completed"));
    let expected = [1, 2, 2, 1].map(|pictures| [pictures; 4]).concat();
    assert_eq!(line.watch.lock().unwrap().batches, expected);
}
