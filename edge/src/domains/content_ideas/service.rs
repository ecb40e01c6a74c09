//! Content ideas: from a creator's profile to what the AI service wrote, in the product's own shape.

use shared::{
    api::creator_tools::{ContentIdea, ContentIdeas, CreateContentIdeas, IdeasMetadata},
    ids::JobId,
    language::Language,
};

use crate::{
    domains::ai::{
        orders::ideas_order,
        service::{AiService, Asked},
    },
    error::{Error, Result},
    ports::{
        system::rfc3339,
        text::{CacheState, IdeaDraft, TextAnswer},
    },
};

/// Has ideas written. There may be fewer than asked for; there are none that the model did not write.
pub async fn create_content_ideas(
    ai: &AiService,
    asked: &Asked,
    ask: &CreateContentIdeas,
    (language, model): (Language, &str),
) -> Result<(ContentIdeas, CacheState)> {
    let answered = ai.answer(asked, ideas_order(ask, language, model)).await?;
    let TextAnswer::Ideas { ideas } = answered.answer else {
        return Err(Error::internal("an answer of another shape than ideas"));
    };
    let generated_at = rfc3339(answered.written_ms);
    let metadata = IdeasMetadata {
        generated_at: generated_at.clone(),
        count: ideas.len() as u64,
        profile: ask.creator_profile.id.clone(),
        options: ask.options.clone(),
    };
    let shown = |(draft, index)| shown(draft, idea_id(answered.run_id, index), &generated_at);
    let ideas = ideas.into_iter().zip(1..).map(shown).collect();
    Ok((ContentIdeas { ideas, metadata }, answered.cache))
}

/// The same each time that the same answer is given.
fn idea_id(run_id: JobId, index: u32) -> String {
    let mixed = run_id.0.as_u128().rotate_left(index.wrapping_mul(7) % 128) ^ u128::from(index);
    JobId::from_random(mixed.to_be_bytes()).to_string()
}

fn shown(draft: IdeaDraft, id: String, generated_at: &str) -> ContentIdea {
    ContentIdea {
        id,
        title: draft.title,
        description: draft.description,
        content_type: draft.content_type,
        estimated_engagement: draft.estimated_engagement,
        estimated_revenue: draft.estimated_revenue,
        difficulty: draft.difficulty,
        time_required: draft.time_required,
        caption: draft.caption,
        hashtags: draft.hashtags,
        tips: draft.tips,
        generated_at: generated_at.to_owned(),
    }
}
