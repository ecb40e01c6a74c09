//! Every maximum in one place, each with its reason.

/// A field of a scene: a phrase, not a paragraph; five of them fill the prompt of a 77-token encoder.
pub const SCENE_FIELD_MAX_CHARS: usize = 120;

/// JSON bodies: far above any valid one, far below what costs memory.
pub const JSON_BODY_MAX_BYTES: usize = 1024 * 1024;

/// Bodies with texts to embed: 2,048 paragraphs at once.
pub const EMBEDDINGS_BODY_MAX_BYTES: usize = 16 * 1024 * 1024;

/// Prompts a node accepts; longer ones would be cut by every text encoder we run.
pub const PROMPT_MAX_CHARS: usize = 4_000;

/// The prompt of an order for images: what is added for its style fits into a node's limit beside it.
pub const IMAGE_ORDER_PROMPT_MAX_CHARS: usize = 3_500;

/// The style of an order for images: a phrase.
pub const IMAGE_STYLE_MAX_CHARS: usize = 120;

/// The caller's own id of a generation: far above any id in use, and short enough for a path in storage.
pub const GENERATION_ID_MAX_CHARS: usize = 128;

/// Addresses: what every browser and proxy takes.
pub const URL_MAX_CHARS: usize = 2_048;

/// Images per order at the edge, and of requests that a node runs together.
pub const IMAGES_PER_CALL_MAX: u64 = 8;

/// Images per job of a node: as many as OpenAI's `n` may ask for, in one batch.
pub const IMAGES_PER_JOB_MAX: u64 = 10;

/// Denoising steps: beyond it no scheduler we run improves.
pub const STEPS_MAX: u64 = 150;

/// Pixels on a side: the largest any supported model was trained for.
pub const IMAGE_SIDE_MAX: u64 = 2_048;

/// A picture that a run starts from, as a file: what a phone's camera makes.
pub const INPUT_IMAGE_MAX_BYTES: usize = 10 * 1024 * 1024;

/// Pictures one call may bring along.
pub const INPUT_IMAGES_MAX: usize = 4;

/// Bodies that bring pictures along, in base64.
pub const IMAGE_BODY_MAX_BYTES: usize = 32 * 1024 * 1024;

/// Previews of one picture: each costs a decoding.
pub const PREVIEWS_MAX: u64 = 3;

/// Seconds a caller may wait for a result (`Prefer: wait`).
pub const WAIT_MAX_SECONDS: u64 = 60;

/// Length of an `Idempotency-Key`: a UUID or a ULID with room to spare.
pub const IDEMPOTENCY_KEY_MAX_CHARS: usize = 255;

/// Jobs, scenes or rows on one page.
pub const PAGE_MAX: u64 = 100;

/// Credits a job costs whose kind the setting `prices` does not name; the database's functions say the same.
pub const JOB_CREDITS_DEFAULT: i64 = 1;

/// Jobs of one user under way at once; more wait for their own earlier ones.
pub const OPEN_JOBS_PER_USER_MAX: u64 = 4;

/// Deliveries after which a job is given up: a poisoned job must not circle for ever.
pub const JOB_ATTEMPTS_MAX: u32 = 8;

/// Content ideas in one answer, as Huntaze's own front end has it.
pub const IDEAS_MAX: u64 = 20;

/// Content ideas when nobody says how many.
pub const IDEAS_DEFAULT: u64 = 5;

/// What a person asks the assistant: a page of text.
pub const MESSAGE_MAX_CHARS: usize = 4_000;

/// What a creator is known by, such as a niche or a goal: a phrase.
pub const PHRASE_MAX_CHARS: usize = 120;

/// Phrases in one list: more than that, a small model no longer weighs.
pub const PHRASES_MAX: usize = 20;

/// The facts for a private message, and a template of one: a paragraph each.
pub const MESSAGE_FACTS_MAX_CHARS: usize = 600;

/// Earlier turns of a conversation: more would push the question out of a small model's context.
pub const TURNS_MAX: usize = 20;

/// Tokens of one answer of the assistant.
pub const ANSWER_TOKENS_MAX: u64 = 2_000;

/// Tokens of an answer when nobody says how many: several paragraphs.
pub const ANSWER_TOKENS_DEFAULT: u64 = 512;

/// Prices an adviser may be asked about, in any currency.
pub const PRICE_MAX: f64 = 100_000.0;

/// Credits per thousand tokens, prompt and answer together.
pub const TEXT_CREDITS_PER_1000_TOKENS: i64 = 1;

/// Texts of one user under way at once: a conversation in each of a few windows.
pub const OPEN_TEXTS_PER_USER_MAX: u64 = 4;
