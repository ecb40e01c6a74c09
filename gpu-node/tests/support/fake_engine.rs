//! An engine that does as the test says: it waits for permission before each step, fails when its prompt asks for it,
//! and counts what happened to it.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use gpu_node::{
    engines::{
        Engine, EngineError, Members, Sink,
        image::{EncodedImage, ImageEngine, ImageEvent, ImageJob},
    },
    scheduler::LoadEngine,
};

#[derive(Default)]
struct State {
    is_held: bool,
    permits: usize,
    are_loads_held: bool,
    loads_to_fail: usize,
    loads: Vec<String>,
    unloads: Vec<String>,
    runs: usize,
    joins: bool,
}

/// What the engines of one node do; shared with the test.
#[derive(Default)]
pub struct Script {
    state: Mutex<State>,
    changed: Condvar,
}

impl Script {
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.state.lock().unwrap());
        self.changed.notify_all();
        result
    }

    fn wait_while(&self, condition: impl FnMut(&mut State) -> bool) -> MutexGuard<'_, State> {
        self.changed.wait_while(self.state.lock().unwrap(), condition).unwrap()
    }

    /// From now on every step waits for [`Script::allow_steps`] or [`Script::let_go`].
    pub fn hold(&self) {
        self.change(|state| state.is_held = true);
    }

    pub fn allow_steps(&self, count: usize) {
        self.change(|state| state.permits += count);
    }

    pub fn hold_loads(&self) {
        self.change(|state| state.are_loads_held = true);
    }

    /// Nothing waits any more.
    pub fn let_go(&self) {
        self.change(|state| (state.is_held, state.are_loads_held) = (false, false));
    }

    pub fn fail_next_load(&self) {
        self.change(|state| state.loads_to_fail += 1);
    }

    /// From now on jobs of the same number of steps run in one pass.
    pub fn let_join(&self) {
        self.change(|state| state.joins = true);
    }

    /// Passes so far, those of several jobs counted once.
    pub fn runs(&self) -> usize {
        self.state.lock().unwrap().runs
    }

    /// Waits until so many runs have begun.
    pub async fn until_runs(self: &Arc<Self>, count: usize) {
        let script = self.clone();
        let begun = move || drop(script.wait_while(|state| state.runs < count));
        tokio::task::spawn_blocking(begun).await.unwrap();
    }

    /// Names of the models, in the order of their loads.
    pub fn loads(&self) -> Vec<String> {
        self.state.lock().unwrap().loads.clone()
    }

    pub fn unloads(&self) -> Vec<String> {
        self.state.lock().unwrap().unloads.clone()
    }

    fn before_step(&self) {
        let mut state = self.wait_while(|state| state.is_held && state.permits == 0);
        state.permits = state.permits.saturating_sub(1);
    }
}

/// What loads the model of that name.
pub fn load_fake(model: &str, script: &Arc<Script>) -> LoadEngine<ImageEngine> {
    let (model, script) = (model.to_owned(), script.clone());
    Box::new(move || {
        drop(script.wait_while(|state| state.are_loads_held));
        script.change(|state| {
            if state.loads_to_fail > 0 {
                state.loads_to_fail -= 1;
                return Err(EngineError::Failed("the weights are torn".to_owned()));
            }
            state.loads.push(model.clone());
            Ok(Box::new(FakeEngine { model: model.clone(), script: script.clone() }) as ImageEngine)
        })
    })
}

struct FakeEngine {
    model: String,
    script: Arc<Script>,
}

impl Drop for FakeEngine {
    fn drop(&mut self) {
        self.script.change(|state| state.unloads.push(self.model.clone()));
    }
}

impl Engine for FakeEngine {
    type Input = ImageJob;
    type Event = ImageEvent;
    type Output = Vec<EncodedImage>;

    fn run(
        &mut self,
        job: ImageJob,
        sink: &mut dyn Sink<ImageEvent>,
    ) -> Result<Vec<EncodedImage>, EngineError> {
        self.script.change(|state| state.runs += 1);
        match job.prompt.as_str() {
            "fail" => return Err(EngineError::Failed("the card fell off".to_owned())),
            "run out of memory" => return Err(EngineError::OutOfMemory("1 GB more".to_owned())),
            "ask too much" => return Err(EngineError::InvalidInput("too many fish".to_owned())),
            "panic" => panic!("the engine was asked to panic"),
            _ => {}
        }
        let last_step = if job.prompt == "go on for ever" { u32::MAX } else { job.steps };
        for step in 1..=last_step {
            self.script.before_step();
            sink.emit(ImageEvent::Step { step, steps: job.steps })?;
            if job.prompt == "break" {
                return Err(EngineError::Failed("the card fell off".to_owned()));
            }
            if step <= job.previews {
                for index in 0..job.num_images {
                    let jpeg = format!("{index} after {step}").into_bytes();
                    sink.emit(ImageEvent::Preview { index, step, jpeg })?;
                }
            }
        }
        Ok(pictures(&job))
    }

    fn joins(&self, together: &[&ImageJob], next: &ImageJob) -> bool {
        let joins = self.script.state.lock().unwrap().joins;
        joins && together.iter().all(|job| job.steps == next.steps)
    }

    fn run_together(
        &mut self,
        jobs: Vec<ImageJob>,
        members: &mut dyn Members<ImageEvent, Vec<EncodedImage>>,
    ) {
        self.script.change(|state| state.runs += 1);
        let steps = jobs[0].steps;
        let mut left: Vec<usize> = (0..jobs.len()).collect();
        for step in 1..=steps {
            self.script.before_step();
            left.retain(|place| {
                let goes_on = members.emit(*place, ImageEvent::Step { step, steps }).is_ok();
                if !goes_on {
                    members.ended(*place, Err(EngineError::Cancelled));
                }
                goes_on
            });
        }
        for place in left {
            if jobs[place].prompt == "panic" {
                panic!("the engine was asked to panic");
            }
            members.ended(place, Ok(pictures(&jobs[place])));
        }
    }
}

/// Each file says what it was made of: `a fish #7`, and ` from 3x2` for a picture that came in.
fn pictures(job: &ImageJob) -> Vec<EncodedImage> {
    let sources: String = job
        .images
        .iter()
        .map(|image| format!(" from {}x{}", image.width(), image.height()))
        .collect();
    let images = 0..u64::from(job.num_images);
    images
        .map(|index| EncodedImage {
            bytes: format!("{} #{}{sources}", job.prompt, job.seed + index).into_bytes(),
            content_type: job.format.content_type(),
            width: job.width,
            height: job.height,
            seed: job.seed + index,
        })
        .collect()
}
