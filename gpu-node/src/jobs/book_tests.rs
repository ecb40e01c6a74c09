//! The book: who attaches, who leaves, what runs again.

use shared::node::{
    image::ImageInput,
    jobs::{Artifact, CreateNodeJob},
};

use super::*;
use crate::jobs::{Keep, StopCause};

struct FakeClock(Mutex<Instant>);

impl FakeClock {
    fn advance(&self, by: Duration) {
        *locked(&self.0) += by;
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Instant {
        *locked(&self.0)
    }
}

fn book(max_count: usize, max_bytes: u64) -> (JobBook, Arc<FakeClock>) {
    let clock = Arc::new(FakeClock(Mutex::new(Instant::now())));
    let retention = Retention { max_age: Duration::from_secs(600), max_count, max_bytes };
    (JobBook::new(retention, clock.clone(), Arc::default()), clock)
}

fn order(number: u8) -> CreateNodeJob {
    CreateNodeJob {
        id: JobId::from_random([number; 16]),
        model: "tiny".to_owned(),
        image: ImageInput::from_prompt("a fish".to_owned()),
    }
}

fn start(book: &JobBook, number: u8) -> Arc<Run> {
    book.open(order(number).into(), Origin::native(), |_| Ok(())).unwrap().0
}

fn complete(book: &JobBook, number: u8, bytes: usize) {
    let run = start(book, number);
    let artifact = Artifact {
        index: 0,
        content_type: "image/png".to_owned(),
        bytes: bytes as u64,
        sha256: String::new(),
        width: 1,
        height: 1,
        seed: 0,
    };
    let stored = StoredArtifact { artifact, bytes: vec![0; bytes].into() };
    let event = NodeEvent::Completed {
        artifacts: vec![stored.artifact.clone()],
        model: "tiny".to_owned(),
        model_revision: "1".to_owned(),
        engine_version: "1".to_owned(),
        queued_ms: 0,
        run_ms: 0,
    };
    book.settle(&run, event, vec![stored]);
}

fn known(book: &JobBook, numbers: std::ops::RangeInclusive<u8>) -> Vec<u8> {
    numbers.filter(|number| book.find(order(*number).id).is_some()).collect()
}

#[test]
fn the_same_order_attaches_and_another_body_conflicts() {
    let (book, _) = book(10, 1000);
    let open = |order: CreateNodeJob| book.open(order.into(), Origin::native(), |_| Ok(()));
    assert!(open(order(1)).unwrap().1);
    assert!(!open(order(1)).unwrap().1, "it runs already");
    let other = CreateNodeJob { model: "large".to_owned(), ..order(1) };
    assert!(matches!(open(other), Err(Error::Conflict(_))));
}

#[test]
fn an_order_that_could_not_start_leaves_no_trace() {
    let (book, _) = book(10, 1000);
    let full = Error::QueueFull { retry_after_ms: 1 };
    assert!(book.open(order(1).into(), Origin::native(), |_| Err(full)).is_err());
    assert!(book.find(order(1).id).is_none());
}

#[test]
fn the_oldest_leave_when_there_are_too_many() {
    let (book, clock) = book(2, 1000);
    for number in 1..=3 {
        complete(&book, number, 1);
        clock.advance(Duration::from_secs(1));
    }
    assert_eq!(known(&book, 1..=3), [2, 3]);
}

#[test]
fn the_oldest_leave_when_results_are_too_large() {
    let (book, clock) = book(10, 100);
    for number in 1..=3 {
        complete(&book, number, 50);
        clock.advance(Duration::from_secs(1));
    }
    assert_eq!(known(&book, 1..=3), [2, 3]);
}

#[test]
fn previews_count_as_results_do() {
    let (book, clock) = book(10, 100);
    for number in 1..=2 {
        let preview = NodeEvent::Preview { index: 0, step: 1, jpeg: "A".repeat(60) };
        start(&book, number).push(preview);
        complete(&book, number, 1);
        clock.advance(Duration::from_secs(1));
    }
    assert_eq!(known(&book, 1..=2), [2]);
}

#[test]
fn the_newest_stays_even_when_it_alone_is_too_large() {
    let (book, _) = book(10, 100);
    complete(&book, 1, 500);
    assert_eq!(known(&book, 1..=1), [1]);
}

#[test]
fn what_ended_is_forgotten_after_its_time_and_what_runs_never() {
    let (book, clock) = book(10, 1000);
    complete(&book, 1, 1);
    start(&book, 2);
    clock.advance(Duration::from_secs(601));
    assert_eq!(known(&book, 1..=2), [2]);
}

#[test]
fn what_a_caller_asked_to_be_kept_longer_loses_its_data_first() {
    let (book, clock) = book(10, 1000);
    let keep = Keep { data: Duration::from_secs(3600), record: Duration::from_secs(86_400) };
    let origin = Origin { keep: Some(keep), ..Origin::native() };
    let run = book.open(order(1).into(), origin, |_| Ok(())).unwrap().0;
    book.settle(&run, NodeEvent::Cancelled, Vec::new());
    clock.advance(Duration::from_secs(3600));
    assert_eq!(book.find(run.order.id).unwrap().order.image.prompt, "a fish");
    clock.advance(Duration::from_secs(1));
    let left = book.find(run.order.id).unwrap();
    assert!(left.view().is_data_removed && left.order.image.prompt.is_empty());
    assert_eq!(left.created_at(), run.created_at());
    clock.advance(Duration::from_secs(86_400));
    assert!(book.find(run.order.id).is_none());
}

#[test]
fn only_what_failed_runs_again_under_its_id() {
    let (book, _) = book(10, 1000);
    let run = start(&book, 1);
    let id = run.order.id;
    assert!(matches!(book.reopen(id, |_| Ok(())), Err(Error::Conflict(_))));
    let failed = NodeEvent::Failed { code: "x".into(), detail: "y".into(), is_retryable: false };
    book.settle(&run, failed, Vec::new());
    let again = book.reopen(id, |_| Ok(())).unwrap();
    assert_eq!(again.view().phase(), Phase::Queued);
    assert_eq!(book.tally("tiny"), Tally { completed: 0, failed: 1, retried: 1 });
    let other = order(2).id;
    assert!(matches!(book.reopen(other, |_| Ok(())), Err(Error::NotFound(_))));
}

fn fail(book: &JobBook, number: u8, begins: bool) {
    let run = start(book, number);
    if begins {
        run.push(NodeEvent::Started);
    }
    run.push(NodeEvent::Preview { index: 0, step: 1, jpeg: "A".repeat(60) });
    let failed = NodeEvent::Failed { code: "x".into(), detail: "y".into(), is_retryable: false };
    book.settle(&run, failed, Vec::new());
}

#[test]
fn what_never_began_takes_no_place_of_what_did() {
    let (book, clock) = book(10, 1000);
    complete(&book, 1, 1);
    fail(&book, 2, true);
    for number in 3..=20 {
        clock.advance(Duration::from_secs(1));
        fail(&book, number, false);
    }
    assert_eq!(known(&book, 1..=20), [1, 2, 20], "one in ten may be one that never began");
}

#[test]
fn what_was_fetched_leaves_before_what_nobody_has() {
    let (book, clock) = book(10, 100);
    for number in 1..=2 {
        complete(&book, number, 50);
        clock.advance(Duration::from_secs(1));
    }
    book.find(order(2).id).unwrap().fetch_all();
    complete(&book, 3, 50);
    assert_eq!(known(&book, 1..=3), [1, 3]);
}

#[test]
fn a_failure_stays_known_without_its_previews_when_there_is_no_room() {
    let (book, _) = book(10, 100);
    complete(&book, 1, 60);
    fail(&book, 2, true);
    let left = book.find(order(2).id).unwrap();
    assert_eq!((left.phase(), left.kept_bytes()), (Phase::Failed, 0));
    assert_eq!(left.next_number(), 4, "its events were started, preview, failed");
    assert_eq!(known(&book, 1..=1), [1]);
}

#[test]
fn what_an_engine_still_works_on_does_not_run_again_yet() {
    let (book, _) = book(10, 1000);
    let run = start(&book, 1);
    run.push(NodeEvent::Started);
    run.stop(StopCause::RunTooLong);
    let again = book.reopen(run.order.id, |_| Ok(()));
    assert!(matches!(again, Err(Error::Unavailable { .. })));
    book.settle(&run, NodeEvent::Cancelled, Vec::new());
    assert!(book.reopen(run.order.id, |_| Ok(())).is_ok());
}

#[tokio::test]
async fn a_result_nobody_fetched_keeps_a_drain_waiting_only_while_it_is_fresh() {
    let (book, clock) = book(10, 1000);
    complete(&book, 1, 1);
    assert!(book.has_unfetched(Duration::from_secs(10)));
    clock.advance(Duration::from_secs(11));
    book.wait_until_fetched(Duration::from_secs(10)).await;
}
