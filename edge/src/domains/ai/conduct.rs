//! A run from its reservation to its bill. Everyone who asked for it hears of it through the sink.

use shared::{
    api::assistant::AnswerEvent,
    errors::{ErrorBody, ErrorCode},
};

use super::{
    generate::{generate, tokens_max},
    text_ports::TextPorts,
    write::{Progress, within},
};
use crate::{
    domains::{credits::price_of_text, jobs::patience::patiently},
    error::{Error, Result},
    ports::{
        gates::Reservation,
        text::{
            AnswerShape, NewTextRun, RunEnd, TextAnswer, TextBill, TextFailure, TextRun, TextSink,
        },
    },
};

/// How long the end of a stream waits for the bill, which it shows.
const BILL_MS: u64 = 3_000;

/// Runs it to its end.
pub async fn conduct(ports: &TextPorts<'_>, run: &TextRun, sink: &mut dyn TextSink) {
    let began_ms = ports.clock.now_ms();
    if let Err(failure) = reserve(ports, run).await {
        return sink.end(RunEnd::Failed { failure });
    }
    let mut progress = Progress::default();
    let result = Box::pin(generate(ports, run, &mut progress, sink)).await;
    let bill = bill_of(run, &result, &progress, ports.clock.now_ms().saturating_sub(began_ms));
    let settled = within(ports.clock, BILL_MS, ports.texts.settle(run.run_id, &bill)).await;
    let charged = settled.and_then(Result::ok);
    let credits = charged.unwrap_or_else(|| expected(&bill));
    tell_end(ports, run, sink, &result, (&bill, credits));
    let charged = match charged {
        Some(credits) => credits,
        None => settle_later(ports, run, &bill).await.unwrap_or(credits),
    };
    if let Err(error) = ports.account.settle(run.user_id, run.run_id, charged).await {
        tracing::warn!(run = %run.run_id, %error, "a reservation was not ended");
    }
}

/// What the database will charge, if its price is ours.
fn expected(bill: &TextBill) -> i64 {
    match bill.is_charged {
        true => price_of_text(bill.usage.prompt_tokens + bill.usage.completion_tokens),
        false => 0,
    }
}

/// Holds what it may cost: in the account, which answers at once, and in the database, which is the record.
async fn reserve(ports: &TextPorts<'_>, run: &TextRun) -> std::result::Result<(), TextFailure> {
    if !ports.fleet.has_model(&run.order.model).await? {
        return Err(TextFailure::NoNode);
    }
    let max_tokens = tokens_max(&run.order)?;
    let (user, id) = (run.user_id, run.run_id);
    let mut reservation = ports.account.reserve_text(user, id, max_tokens, None).await?;
    if reservation == Reservation::NeedsLedger {
        let ledger = ports.jobs.ledger(&run.token, None).await?;
        reservation = ports.account.reserve_text(user, id, max_tokens, Some(ledger)).await?;
    }
    match reservation {
        Reservation::Granted => {}
        Reservation::NoCredit { balance, reserved } => {
            return Err(TextFailure::NoCredit { balance, reserved });
        }
        Reservation::TooManyOpen { .. } => return Err(TextFailure::TooManyOpen),
        Reservation::NeedsLedger => {
            let cause = "the account asked for the ledger twice".to_owned();
            return Err(TextFailure::PartAway { cause });
        }
    }
    let new = NewTextRun {
        id,
        kind: &run.order.task,
        model: &run.order.model,
        room: &run.room,
        request_id: &run.request_id,
        max_tokens,
    };
    if let Err(error) = ports.texts.open(&run.token, &new).await {
        // If only the answer was lost, the row frees itself: nothing will have been written under it.
        give_back(ports, run).await;
        return Err(error.into());
    }
    Ok(())
}

async fn give_back(ports: &TextPorts<'_>, run: &TextRun) {
    if let Err(error) = ports.account.settle(run.user_id, run.run_id, 0).await {
        tracing::warn!(run = %run.run_id, %error, "a reservation was not given back");
    }
}

fn bill_of(
    run: &TextRun,
    result: &std::result::Result<TextAnswer, TextFailure>,
    progress: &Progress,
    duration_ms: u64,
) -> TextBill {
    // Words that were shown are paid for, however it ended; a tool that failed gave its caller nothing.
    let was_shown = run.order.shape == AnswerShape::Text && progress.first_word_ms.is_some();
    let status = match result {
        Ok(_) => "completed",
        Err(TextFailure::Abandoned) => "cancelled",
        Err(_) => "failed",
    };
    TextBill {
        status: status.to_owned(),
        usage: progress.usage,
        is_charged: result.is_ok() || was_shown,
        switches: progress.switches,
        first_token_ms: progress.first_word_ms.map(|ms| ms.saturating_sub(run.asked_ms)),
        duration_ms,
        error: result.as_ref().err().map(|failure| failure.code().to_owned()),
    }
}

fn tell_end(
    ports: &TextPorts<'_>,
    run: &TextRun,
    sink: &mut dyn TextSink,
    result: &std::result::Result<TextAnswer, TextFailure>,
    (bill, credits): (&TextBill, i64),
) {
    // A failure before the first word is its caller's answer itself, and no event.
    let is_streamed = run.order.shape == AnswerShape::Text;
    if is_streamed && (result.is_ok() || bill.is_charged) {
        let usage = bill.usage;
        sink.tell(AnswerEvent::Usage {
            prompt_tokens: usage.prompt_tokens,
            completion_tokens: usage.completion_tokens,
            total_tokens: usage.prompt_tokens + usage.completion_tokens,
            credits,
        });
        sink.tell(match result {
            Ok(TextAnswer::Text { finish_reason }) => {
                AnswerEvent::Done { run_id: run.run_id, finish_reason: finish_reason.clone() }
            }
            Ok(_) => AnswerEvent::Done { run_id: run.run_id, finish_reason: "stop".to_owned() },
            Err(failure) => AnswerEvent::Error { problem: problem_of(run, failure) },
        });
    }
    sink.end(match result {
        Ok(answer) => RunEnd::Answered { written_ms: ports.clock.now_ms(), answer: answer.clone() },
        Err(failure) => RunEnd::Failed { failure: failure.clone() },
    });
}

/// In a stream the status was sent long ago: the event says what an answer of its own would have.
fn problem_of(run: &TextRun, failure: &TextFailure) -> ErrorBody {
    let detail = match Error::from(failure.clone()) {
        Error::JobFailed { detail } => detail,
        _ => "The answer broke off.".to_owned(),
    };
    ErrorBody {
        request_id: run.request_id.clone(),
        instance: format!("/api/ai-assistant/runs/{}/events", run.run_id),
        ..ErrorBody::new(ErrorCode::Unavailable, 502, detail)
    }
}

/// The answer is out; its bill waits for the database. If that stays away, the run's row frees itself uncharged.
async fn settle_later(ports: &TextPorts<'_>, run: &TextRun, bill: &TextBill) -> Option<i64> {
    let settled = patiently(ports.clock, || ports.texts.settle(run.run_id, bill)).await;
    settled
        .inspect_err(|error| tracing::error!(run = %run.run_id, %error, "a text was not billed"))
        .ok()
}
