//! Runs: who hears what, what stops them, and what is given once.

use std::sync::Arc;

use futures_util::StreamExt;
use shared::ids::JobId;

use super::*;
use crate::jobs::Phase;

fn run(first_number: u64) -> Arc<Run> {
    let order = CreateNodeJob {
        id: JobId::from_random([1; 16]),
        model: "tiny".to_owned(),
        image: ImageInput::from_prompt("a fish".to_owned()),
    };
    Arc::new(Run::new(order.into(), Origin::native(), first_number))
}

fn failed() -> NodeEvent {
    NodeEvent::Failed { code: "x".to_owned(), detail: "y".to_owned(), is_retryable: true }
}

#[tokio::test]
async fn a_follower_hears_the_past_then_the_present_then_the_end() {
    let run = run(1);
    run.push(NodeEvent::Queued { position: 0, estimated_ms: None });
    let mut followed = Box::pin(run.clone().follow(None));
    assert_eq!(followed.next().await.unwrap().0, 1);
    let (next, ()) = tokio::join!(followed.next(), async { run.push(NodeEvent::Started) });
    assert_eq!(next, Some((2, NodeEvent::Started)));
    run.end(NodeEvent::Cancelled, Vec::new(), Instant::now());
    assert_eq!(followed.next().await, Some((3, NodeEvent::Cancelled)));
    assert_eq!(followed.next().await, None);
}

#[tokio::test]
async fn a_follower_who_comes_back_hears_only_what_it_missed() {
    let run = run(1);
    run.push(NodeEvent::Started);
    run.push(NodeEvent::Progress { step: 1, steps: 2 });
    run.end(failed(), Vec::new(), Instant::now());
    let missed: Vec<u64> = run.clone().follow(Some(1)).map(|(number, _)| number).collect().await;
    assert_eq!(missed, [2, 3]);
    let nothing: Vec<_> = run.follow(Some(3)).collect().await;
    assert!(nothing.is_empty());
}

#[tokio::test]
async fn a_number_from_before_a_restart_hides_nothing() {
    let run = run(1);
    run.end(failed(), Vec::new(), Instant::now());
    let heard: Vec<u64> = run.follow(Some(40)).map(|(number, _)| number).collect().await;
    assert_eq!(heard, [1]);
}

#[tokio::test]
async fn a_later_run_of_the_same_id_goes_on_counting() {
    let first = run(1);
    first.push(NodeEvent::Started);
    first.end(failed(), Vec::new(), Instant::now());
    assert!(first.may_run_again());
    let second = run(first.next_number());
    second.end(NodeEvent::Cancelled, Vec::new(), Instant::now());
    let heard: Vec<u64> = second.clone().follow(Some(2)).map(|(number, _)| number).collect().await;
    assert_eq!(heard, [3]);
    assert!(!second.may_run_again());
}

#[test]
fn a_run_that_was_stopped_never_completes() {
    let run = run(1);
    run.push(NodeEvent::Started);
    assert!(run.stop(StopCause::Asked));
    assert_eq!(run.view().phase(), Phase::Cancelled);
    run.end(failed(), Vec::new(), Instant::now());
    assert_eq!(run.view().end, Some(NodeEvent::Cancelled));
    assert!(!run.stop(StopCause::RunTooLong), "it has ended");
}

#[test]
fn the_first_cause_of_a_stop_stays() {
    let run = run(1);
    run.stop(StopCause::RunTooLong);
    run.stop(StopCause::Asked);
    run.end(NodeEvent::Cancelled, Vec::new(), Instant::now());
    assert_eq!(run.view().phase(), Phase::TimedOut);
}

#[test]
fn news_are_given_once() {
    let run = run(1);
    run.push(NodeEvent::Started);
    assert_eq!(run.take_news(), [NodeEvent::Started]);
    assert!(run.take_news().is_empty());
    run.push(NodeEvent::Progress { step: 1, steps: 2 });
    assert_eq!(run.take_news(), [NodeEvent::Progress { step: 1, steps: 2 }]);
}

#[test]
fn a_run_that_was_stopped_has_ended_for_its_callers_when_it_was() {
    let run = run(1);
    run.push(NodeEvent::Started);
    run.stop(StopCause::Asked);
    let told = run.view().ended_at;
    assert!(told.is_some());
    assert!(run.standing().phase.is_end() && !run.standing().is_over);
    run.end(failed(), Vec::new(), Instant::now());
    assert_eq!(run.view().ended_at, told);
    assert!(run.standing().is_over);
}

#[test]
fn what_is_left_of_a_run_goes_on_counting_where_it_did() {
    let run = run(1);
    run.push(NodeEvent::Started);
    run.end(failed(), Vec::new(), Instant::now());
    assert_eq!(run.without_data().next_number(), run.next_number());
}
