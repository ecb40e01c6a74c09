//! The rows of `parameters.rs` that are about pictures.

use super::parameters::{
    NO_PERSON, Parameter,
    Treatment::{self, Honoured, Limited, NoEffect, Refused},
    row,
};

const ONE_PICTURE: &str = "a model here makes still pictures of pixels";
const STEPS: &str = "extra: 1 to 150; the model's own when absent; not with `quality`";
const METADATA: &str =
    "extra: with `false` the files do not say how they were made, as they otherwise do";
const QUALITY: Treatment = Limited(
    "`auto`, `medium` and `standard`: the model's own steps; `low`: half of them; `high` and `hd`: half as many again; `xhigh` and `max` are refused",
);
const PARTIAL_IMAGES: Treatment = Honoured(
    "0 to 3 of each picture, only with `stream`; always small JPEG files, as their `output_format` says",
);
const COUNT: Treatment = Honoured(
    "1 to 10, made as one batch; picture `i` has the seed `seed + i`; in a stream their events are told apart by `index`",
);
const FORMAT: Treatment = Limited("`png`, `jpeg` and `webp`");
const COMPRESSION: Treatment = Honoured(
    "0 to 100, of a JPEG or WebP; when absent a JPEG has 92 and a WebP loses nothing; for PNG, which never does, only 100",
);
const SIZE: Treatment =
    Honoured("`auto` (the model's own) or `WIDTHxHEIGHT`, sides as the model allows");
const RESPONSE_FORMAT: Treatment = Honoured(
    "`b64_json` unless it says `url`: an address that needs no token and works as long as the node keeps results (`RESULTS_MAX_AGE_S`, ten minutes); a stream brings `b64_json` alone",
);
const IMAGE_MODEL: Treatment = Honoured("required: an image model of `GET /v1/models`");
const MODERATION: Treatment = Limited("`low`: this node has no moderation model");
const BACKGROUND: Treatment = Limited("`auto` and `opaque`: no model here paints transparency");
const PROMPT: Treatment =
    Honoured("up to 4000 characters; the model reads as far as it was made to");

/// `POST /v1/images/generations`.
pub const IMAGES: &[Parameter] = &[
    row("background", BACKGROUND),
    row("complexity", Refused("no model here plans a picture before it paints")),
    row("frame_count", Refused(ONE_PICTURE)),
    row("frame_duration_ms", Refused(ONE_PICTURE)),
    row(
        "guidance",
        Honoured("extra: how strictly to follow the prompt, 0 to 50; the model's own when absent"),
    ),
    row("metadata", Honoured(METADATA)),
    row("model", IMAGE_MODEL),
    row("moderation", MODERATION),
    row("n", COUNT),
    row("negative_prompt", Honoured("extra: what the picture should not show")),
    row("output_compression", COMPRESSION),
    row("output_format", FORMAT),
    row("partial_images", PARTIAL_IMAGES),
    row("prompt", PROMPT),
    row("quality", QUALITY),
    row("response_format", RESPONSE_FORMAT),
    row("safety_identifier", NoEffect(NO_PERSON)),
    row(
        "scheduler",
        Honoured("extra: a scheduler of the node's own protocol; the model's own when absent"),
    ),
    row("seed", Honoured("extra: random when absent, and told with each picture")),
    row("size", SIZE),
    row("steps", Honoured(STEPS)),
    row("stream", Honoured("hanging up cancels the job, streamed or not")),
    row("style", Refused("no model here was trained for it: say it in the prompt")),
    row("svg", Refused(ONE_PICTURE)),
    row("user", NoEffect(NO_PERSON)),
];

/// `POST /v1/images/edits`, as a form or as JSON.
pub const IMAGE_EDITS: &[Parameter] = &[
    row("background", BACKGROUND),
    row("complexity", Refused("no model here plans a picture before it paints")),
    row("frame_count", Refused(ONE_PICTURE)),
    row("frame_duration_ms", Refused(ONE_PICTURE)),
    row(
        "guidance",
        Honoured("extra: how strictly to follow the prompt, 0 to 50; the model's own when absent"),
    ),
    row(
        "image",
        Honoured(
            "in a form a PNG, JPEG or WebP file of at most 10 MiB, or several as `image[]`; in JSON the same in base64; how many a model takes is the model's",
        ),
    ),
    row("images", Honoured("for JSON, instead of `image`")),
    row("images[].file_id", Refused("the node keeps no files")),
    row("images[].image_url", Limited("a base64 data URL: the node fetches nothing by itself")),
    row("input_fidelity", Refused("say with `strength` how far a result may go")),
    row("markup", Refused("no model here reads marks")),
    row("mask", Refused("no model here fills a marked area: the whole picture is painted anew")),
    row("metadata", Honoured(METADATA)),
    row("model", IMAGE_MODEL),
    row("moderation", MODERATION),
    row("n", COUNT),
    row("negative_prompt", Honoured("extra: what the picture should not show")),
    row("output_compression", COMPRESSION),
    row("output_format", FORMAT),
    row("partial_images", PARTIAL_IMAGES),
    row("prompt", PROMPT),
    row("quality", QUALITY),
    row("response_format", RESPONSE_FORMAT),
    row("safety_identifier", NoEffect(NO_PERSON)),
    row(
        "scheduler",
        Honoured("extra: a scheduler of the node's own protocol; the model's own when absent"),
    ),
    row("seed", Honoured("extra: random when absent, and told with each picture")),
    row("size", SIZE),
    row("steps", Honoured(STEPS)),
    row("stream", Honoured("hanging up cancels the job, streamed or not")),
    row(
        "strength",
        Honoured(
            "extra: how far from the picture a result may go: 0 keeps it, 1 forgets it; the model's own when absent",
        ),
    ),
    row("svg", Refused(ONE_PICTURE)),
    row("user", NoEffect(NO_PERSON)),
];
