//! Huntaze's tools for creators: content ideas, messages and prices. Field names are the product's own.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    language::{LANGUAGE_RULE, Language},
    limits::{
        IDEAS_DEFAULT, IDEAS_MAX, MESSAGE_FACTS_MAX_CHARS, PHRASE_MAX_CHARS, PHRASES_MAX, PRICE_MAX,
    },
    validate::{Fields, FromBody, ListLimits},
};

/// Phrases such as a niche or a goal.
const PHRASES: ListLimits =
    ListLimits { min: 0, max: PHRASES_MAX, item_max_chars: PHRASE_MAX_CHARS };

/// An enum whose words are the wire's.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        pub enum $name { $(#[serde(rename = $word)] $variant),+ }

        impl $name {
            /// The word on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl FromStr for $name {
            type Err = ();
            fn from_str(word: &str) -> Result<Self, ()> {
                match word { $($word => Ok(Self::$variant),)+ _ => Err(()) }
            }
        }
    };
}

words!(
    /// What kind of content.
    ContentType { Photo = "photo", Video = "video", Story = "story", Live = "live" }
);
words!(
    /// How far ideas may leave the beaten track.
    Creativity { Conservative = "conservative", Balanced = "balanced", Creative = "creative" }
);
words!(
    /// Where content is published.
    Platform { Onlyfans = "onlyfans", Instagram = "instagram", Tiktok = "tiktok" }
);
words!(
    /// How hard an idea is to make.
    Difficulty { Easy = "easy", Medium = "medium", Hard = "hard" }
);
/// The order for content ideas.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreateContentIdeas {
    pub creator_profile: CreatorProfile,
    pub options: IdeaOptions,
    /// Of the ideas; `Accept-Language` if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<Language>,
}

/// Who the ideas are for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreatorProfile {
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 100))]
    pub id: String,
    /// One to ten phrases.
    #[cfg_attr(feature = "openapi", schema(min_items = 1, max_items = 10))]
    pub niche: Vec<String>,
    /// The kinds of content wanted; all if empty.
    #[cfg_attr(feature = "openapi", schema(max_items = 4))]
    pub content_types: Vec<ContentType>,
    #[cfg_attr(feature = "openapi", schema(max_items = 20))]
    pub audience_preferences: Vec<String>,
    pub performance_history: PerformanceHistory,
    #[cfg_attr(feature = "openapi", schema(max_items = 20))]
    pub current_goals: Vec<String>,
    pub constraints: CreatorConstraints,
}

/// What was published, and how it went.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PerformanceHistory {
    /// Titles, or objects with a `title`: what ideas must not repeat. The first twelve count, with 80 characters each.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<Object>, max_items = 50))]
    pub top_performing_content: Vec<Value>,
    /// Numbers and texts; the first twelve count, with 80 characters each.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub engagement_patterns: Map<String, Value>,
    /// Category → revenue; the first twelve count.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub revenue_by_category: Map<String, Value>,
}

/// What the creator has to work with.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreatorConstraints {
    #[cfg_attr(feature = "openapi", schema(max_items = 20))]
    pub equipment: Vec<String>,
    #[cfg_attr(feature = "openapi", schema(max_items = 20))]
    pub location: Vec<String>,
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 120))]
    pub time_availability: String,
}

/// How many ideas of which kind. Everything may be left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct IdeaOptions {
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 20, default = 5))]
    pub count: u64,
    pub creativity: Creativity,
    pub include_hashtags: bool,
    pub include_captions: bool,
    #[cfg_attr(feature = "openapi", schema(max_items = 3))]
    pub target_platforms: Vec<Platform>,
}

impl Default for IdeaOptions {
    fn default() -> Self {
        Self {
            count: IDEAS_DEFAULT,
            creativity: Creativity::Balanced,
            include_hashtags: false,
            include_captions: false,
            target_platforms: Vec::new(),
        }
    }
}

impl FromBody for CreateContentIdeas {
    fn from_fields(fields: &mut Fields<'_>) -> Self {
        let (profile, options) = (fields.object("creatorProfile"), fields.object("options"));
        Self {
            creator_profile: profile.unwrap_or_default(),
            options: options.unwrap_or_default(),
            language: fields.optional_parsed("language", LANGUAGE_RULE),
        }
    }
}

impl FromBody for CreatorProfile {
    fn from_fields(fields: &mut Fields<'_>) -> Self {
        let rule = "must be photo, video, story or live";
        Self {
            id: fields.text("id", 100),
            niche: fields.texts("niche", ListLimits { min: 1, max: 10, ..PHRASES }),
            content_types: fields.choices("contentTypes", (0, 4), rule),
            audience_preferences: fields.texts("audiencePreferences", PHRASES),
            performance_history: fields.object("performanceHistory").unwrap_or_default(),
            current_goals: fields.texts("currentGoals", PHRASES),
            constraints: fields.object("constraints").unwrap_or_default(),
        }
    }
}

impl FromBody for PerformanceHistory {
    fn from_fields(fields: &mut Fields<'_>) -> Self {
        let revenue_by_category = fields.members("revenueByCategory", 50);
        if revenue_by_category.values().any(|revenue| !revenue.is_number()) {
            fields.reject("revenueByCategory", "type", "must have numbers as values");
        }
        Self {
            top_performing_content: fields.values("topPerformingContent", 0, 50).to_vec(),
            engagement_patterns: fields.members("engagementPatterns", 50),
            revenue_by_category,
        }
    }
}

impl FromBody for CreatorConstraints {
    fn from_fields(fields: &mut Fields<'_>) -> Self {
        Self {
            equipment: fields.texts("equipment", PHRASES),
            location: fields.texts("location", PHRASES),
            time_availability: fields.text("timeAvailability", 120),
        }
    }
}

impl FromBody for IdeaOptions {
    fn from_fields(fields: &mut Fields<'_>) -> Self {
        let creativity = "must be conservative, balanced or creative";
        let platforms = "must be onlyfans, instagram or tiktok";
        Self {
            count: fields.optional_integer("count", 1, IDEAS_MAX).unwrap_or(IDEAS_DEFAULT),
            creativity: fields
                .optional_parsed("creativity", creativity)
                .unwrap_or(Creativity::Balanced),
            include_hashtags: fields.optional_flag("includeHashtags").unwrap_or(false),
            include_captions: fields.optional_flag("includeCaptions").unwrap_or(false),
            target_platforms: fields.optional_choices("targetPlatforms", (0, 3), platforms),
        }
    }
}

/// Ideas, and what they were made from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ContentIdeas {
    pub ideas: Vec<ContentIdea>,
    pub metadata: IdeasMetadata,
}

/// One idea.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ContentIdea {
    /// The same idea of the same answer keeps it.
    pub id: String,
    pub title: String,
    pub description: String,
    pub content_type: ContentType,
    /// 0 to 100: the share of the audience that will react.
    pub estimated_engagement: u32,
    /// In the account's currency.
    pub estimated_revenue: u32,
    pub difficulty: Difficulty,
    pub time_required: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caption: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hashtags: Option<Vec<String>>,
    pub tips: Vec<String>,
    /// RFC 3339.
    pub generated_at: String,
}

/// What the ideas were made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct IdeasMetadata {
    /// RFC 3339.
    pub generated_at: String,
    /// Ideas in this answer; fewer than asked for if the model did not find more.
    pub count: u64,
    /// The profile's id.
    pub profile: String,
    /// As they were applied, defaults included.
    pub options: IdeaOptions,
}

/// The order for a private message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreateMessage {
    /// What it is for.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 200))]
    pub purpose: String,
    /// Whom it is for, by name.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 80))]
    pub recipient: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(max_length = 80))]
    pub tone: Option<String>,
    /// Facts that the message may use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(max_length = 600))]
    pub context: Option<String>,
    /// A message with gaps, to be followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(max_length = 600))]
    pub template: Option<String>,
    /// Of the message; `Accept-Language` if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<Language>,
}

impl FromBody for CreateMessage {
    fn from_fields(fields: &mut Fields<'_>) -> Self {
        Self {
            purpose: fields.text("purpose", 200),
            recipient: fields.text("recipient", 80),
            tone: fields.optional_text("tone", 80),
            context: fields.optional_text("context", MESSAGE_FACTS_MAX_CHARS),
            template: fields.optional_text("template", MESSAGE_FACTS_MAX_CHARS),
            language: fields.optional_parsed("language", LANGUAGE_RULE),
        }
    }
}

/// A message, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GeneratedMessage {
    pub message: String,
    pub language: Language,
    /// RFC 3339.
    pub generated_at: String,
}

/// The order for advice on a price.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OptimizePrice {
    /// What is sold.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 120))]
    pub content_type: String,
    #[cfg_attr(feature = "openapi", schema(minimum = 0, maximum = 100_000))]
    pub current_price: f64,
    /// ISO 4217, such as `EUR`.
    #[cfg_attr(feature = "openapi", schema(pattern = "^[A-Z]{3}$"))]
    pub currency: String,
    /// Phrases about who buys.
    #[cfg_attr(feature = "openapi", schema(max_items = 20))]
    pub audience: Vec<String>,
    /// Past sales, a phrase each.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(max_items = 20))]
    pub history: Vec<String>,
    /// Of the advice; `Accept-Language` if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<Language>,
}

impl FromBody for OptimizePrice {
    fn from_fields(fields: &mut Fields<'_>) -> Self {
        let currency = fields.text("currency", 3);
        let is_code = currency.len() == 3 && currency.bytes().all(|b| b.is_ascii_uppercase());
        if !is_code && !currency.is_empty() {
            fields.reject("currency", "format", "must be three capital letters (ISO 4217)");
        }
        Self {
            content_type: fields.text("contentType", 120),
            current_price: fields.number("currentPrice", 0.0, PRICE_MAX),
            currency,
            audience: fields.texts("audience", PHRASES),
            history: fields.optional_texts("history", PHRASES),
            language: fields.optional_parsed("language", LANGUAGE_RULE),
        }
    }
}

/// Advice on a price: `minPrice ≤ recommendedPrice ≤ maxPrice`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PriceAdvice {
    pub recommended_price: f64,
    pub min_price: f64,
    pub max_price: f64,
    pub currency: String,
    pub reasoning: String,
    /// RFC 3339.
    pub generated_at: String,
}
