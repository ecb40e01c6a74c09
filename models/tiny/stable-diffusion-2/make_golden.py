"""Makes the tiny Stable Diffusion 2.1 of this folder and what the reference libraries compute with it.

Run in this folder: `python make_golden.py`. Everything is f32 on the CPU from fixed seeds; noise is stored
as an input, so no two random generators are ever compared. The settings are those of the published files: what
is predicted is v, projections are linear, heads are equally wide in all blocks, the attention asks to be upcast,
prompts are padded with `!`. `scheduler_turbo/` is what SD-Turbo has in the place of `scheduler/`.
"""

import sys
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    EulerDiscreteScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from diffusers.models.attention_processor import AttnProcessor
from transformers import CLIPTextConfig, CLIPTextModel

HERE = Path(__file__).parent
GOLDEN = HERE / "golden"
sys.path.append(str(HERE.parent))
from diffusion_parts import (  # noqa: E402
    PROMPTS,
    clip_tokenizer,
    publish_clip_tokenizer,
    randn,
    save,
    spread_weights,
)

POSITIONS = 16
NOISES = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1)
# Older settings that the published files still have, and that no sampler reads.
NOISES |= dict(clip_sample=False, set_alpha_to_one=False)


def text_encoder(tokenizer):
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=24,
        intermediate_size=96,
        # One less than the model was trained with: as published, the file ends before the last layer.
        num_hidden_layers=3,
        num_attention_heads=3,
        max_position_embeddings=POSITIONS,
        hidden_act="gelu",
        projection_dim=12,
        bos_token_id=0,
        eos_token_id=2,
        pad_token_id=1,
    )
    return spread_weights(CLIPTextModel(config), 1)


def unet():
    model = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=24,
        # The published (5, 10, 20, 20) of (320, 640, 1280, 1280): heads of one width, here 16.
        attention_head_dim=(1, 2),
        norm_num_groups=8,
        use_linear_projection=True,
        upcast_attention=True,
    )
    model = spread_weights(model, 2)
    # The file keeps bf16, for its size.
    for parameter in model.parameters():
        parameter.data = parameter.data.to(torch.bfloat16).to(torch.float32)
    return model


def golden_parts(pipeline):
    ids = pipeline.tokenizer(
        PROMPTS, padding="max_length", max_length=POSITIONS, truncation=True, return_tensors="pt"
    ).input_ids
    save(GOLDEN, "text", ids=ids, out=pipeline.text_encoder(ids).last_hidden_state)
    latents, text = randn(10, 2, 4, 7, 10), randn(11, 2, POSITIONS, 24)
    out = pipeline.unet(latents, 321, text).sample
    # The attention that runs by default does not know `upcast_attention`; this one obeys it.
    fast = pipeline.unet.attn_processors
    pipeline.unet.set_attn_processor(AttnProcessor())
    upcast = pipeline.unet(latents, 321, text).sample
    pipeline.unet.set_attn_processor(fast)
    save(GOLDEN, "unet", latents=latents, text=text, out=out, upcast=upcast)


def golden_runs(pipeline):
    noise = randn(40, 2, 4, 8, 12)
    common = dict(prompt=PROMPTS[:2], height=16, width=24)
    guided = dict(negative_prompt=["blue", "the red"], num_inference_steps=2, guidance_scale=5.0)

    def run(output, **changes):
        return pipeline(**common, **changes, latents=noise.clone(), output_type=output).images

    save(
        GOLDEN,
        "pipeline",
        noise=noise,
        latents=run("latent", **guided),
        pictures=run("pt", **guided),
    )
    # SD-Turbo is the same network, taught to predict the noise: one step from trailing timesteps, no guidance.
    pipeline.scheduler = turbo_scheduler()
    one_step = dict(num_inference_steps=1, guidance_scale=0.0)
    save(
        GOLDEN,
        "turbo",
        noise=noise,
        latents=run("latent", **one_step),
        pictures=run("pt", **one_step),
    )


def turbo_scheduler():
    return EulerDiscreteScheduler.from_config(NOISES | dict(timestep_spacing="trailing"))


@torch.no_grad()
def main():
    torch.set_num_threads(1)
    tokenizer = clip_tokenizer(HERE / "tokenizer", POSITIONS, pad_token="!")
    vae = AutoencoderKL(
        block_out_channels=(8, 16),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        down_block_types=["DownEncoderBlock2D"] * 2,
        up_block_types=["UpDecoderBlock2D"] * 2,
        sample_size=16,
    )
    pipeline = StableDiffusionPipeline(
        vae=spread_weights(vae, 3),
        text_encoder=text_encoder(tokenizer),
        tokenizer=tokenizer,
        unet=unet(),
        scheduler=DDIMScheduler(**NOISES, prediction_type="v_prediction"),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    pipeline.save_pretrained(HERE)
    publish_clip_tokenizer(HERE / "tokenizer", lists_tokens=False)
    pipeline.unet.to(torch.bfloat16).save_pretrained(HERE / "unet")
    pipeline.unet.to(torch.float32)
    turbo_scheduler().save_pretrained(HERE / "scheduler_turbo")
    golden_parts(pipeline)
    golden_runs(pipeline)
    for path in sorted(HERE.rglob("*.safetensors")):
        print(f"{path.stat().st_size / 1e6:7.3f} MB  {path.relative_to(HERE)}")


if __name__ == "__main__":
    main()
