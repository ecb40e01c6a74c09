"""Makes the tiny Stable Diffusion 3.5 of this folder and what the reference libraries compute with it.

Run in this folder: `python make_golden.py`. Everything is f32 on the CPU from fixed seeds; noise is stored
as an input, so no two random generators are ever compared.
"""

import sys
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    SD3Transformer2DModel,
    StableDiffusion3Img2ImgPipeline,
    StableDiffusion3Pipeline,
)
from diffusers.models.autoencoders import vae as autoencoder
from diffusers.pipelines.stable_diffusion_3 import (
    pipeline_stable_diffusion_3_img2img as from_picture,
)
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

HERE = Path(__file__).parent
GOLDEN = HERE / "golden"
sys.path.append(str(HERE.parent))
from diffusion_parts import (  # noqa: E402
    clip_tokenizer,
    draws,
    publish_clip_tokenizer,
    randn,
    save,
    spread_weights,
    t5_encoder,
    t5_tokenizer,
)

POSITIONS = 16


def clip_encoder(tokenizer, seed, width, activation, projection):
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=3,
        num_attention_heads=2,
        max_position_embeddings=POSITIONS,
        hidden_act=activation,
        projection_dim=projection,
        # As published: an old mistake, which the library takes for "the highest id".
        bos_token_id=0,
        eos_token_id=2,
        pad_token_id=1,
    )
    return spread_weights(CLIPTextModelWithProjection(config), seed)


def transformer(seed, **changes):
    """Three blocks: two in which the picture also looks at itself alone, and the last."""
    config = dict(
        sample_size=16,
        patch_size=2,
        in_channels=16,
        num_layers=3,
        attention_head_dim=12,
        num_attention_heads=2,
        joint_attention_dim=64,
        caption_projection_dim=24,
        pooled_projection_dim=40,
        out_channels=16,
        pos_embed_max_size=14,
        dual_attention_layers=(0, 1),
        qk_norm="rms_norm",
    )
    return spread_weights(SD3Transformer2DModel(**(config | changes)), seed, spread=0.14)


def golden_transformer(model, name, seed):
    # Batch 2; odd numbers of patches on each side, of which one side is the whole table.
    latents, words, pooled = randn(seed, 2, 16, 6, 28), randn(seed + 1, 2, 9, 64), randn(seed + 2, 2, 40)
    outputs = {
        f"out_{int(time)}": model(latents, words, pooled, torch.full((2,), time)).sample
        for time in (321.0, 1000.0, 8.92857)
    }
    save(GOLDEN, name, latents=latents, words=words, pooled=pooled, **outputs)


def golden_vae(vae):
    pictures, latents = randn(20, 2, 3, 24, 16), randn(21, 2, 16, 7, 5)
    moments = vae.encode(pictures).latent_dist
    noise = randn(22, 2, 16, 12, 8)
    sample = moments.mean + moments.std * noise
    settings = vae.config
    save(
        GOLDEN,
        "vae",
        pictures=pictures,
        mean=moments.mean,
        log_variance=moments.logvar,
        noise=noise,
        encoded=(sample - settings.shift_factor) * settings.scaling_factor,
        latents=latents,
        decoded=vae.decode(latents / settings.scaling_factor + settings.shift_factor).sample,
    )


def golden_pipeline(pipeline):
    prompts, away = ["a red fish on the left", "blue house"], ["blue", ""]
    words, away_words, pooled, away_pooled = pipeline.encode_prompt(
        prompt=prompts, prompt_2=None, prompt_3=None, negative_prompt=away
    )
    save(
        GOLDEN, "words", words=words, away_words=away_words, pooled=pooled, away_pooled=away_pooled
    )
    noise = randn(40, 2, 16, 10, 14)
    arguments = dict(
        prompt=prompts,
        negative_prompt=away,
        num_inference_steps=2,
        guidance_scale=4.5,
        height=20,
        width=28,
    )

    def run(output, **changes):
        return pipeline(**(arguments | changes), latents=noise.clone(), output_type=output).images

    save(
        GOLDEN,
        "pipeline",
        noise=noise,
        latents=run("latent"),
        pictures=run("pt"),
        without_guidance=run("latent", guidance_scale=1.0),
    )


def golden_from_picture(pipeline):
    # The noise the encoder's result is drawn with, then that of the run.
    noise, picture = randn(50, 2, 2, 16, 10, 14), randn(51, 2, 3, 20, 28).mul(0.3).add(0.5).clamp(0, 1)
    run = StableDiffusion3Img2ImgPipeline(
        **{key: value for key, value in pipeline.components.items() if value is not None}
    )
    run.set_progress_bar_config(disable=True)
    autoencoder.randn_tensor = from_picture.randn_tensor = draws(noise)
    latents = run(
        prompt=["a red fish on the left", "blue house"],
        negative_prompt=["blue", ""],
        image=picture,
        height=20,
        width=28,
        strength=0.6,
        num_inference_steps=5,
        guidance_scale=4.5,
        output_type="latent",
    ).images
    save(GOLDEN, "from_picture", noise=noise, picture=picture, latents=latents)


@torch.no_grad()
def main():
    torch.set_num_threads(1)
    tokenizer = clip_tokenizer(HERE / "tokenizer", POSITIONS)
    tokenizer_2 = clip_tokenizer(HERE / "tokenizer_2", POSITIONS, pad_token="!")
    tokenizer_3 = t5_tokenizer(256)
    vae = AutoencoderKL(
        block_out_channels=(8, 16),
        layers_per_block=1,
        latent_channels=16,
        norm_num_groups=4,
        down_block_types=["DownEncoderBlock2D"] * 2,
        up_block_types=["UpDecoderBlock2D"] * 2,
        sample_size=16,
        scaling_factor=1.5305,
        shift_factor=0.0609,
        use_quant_conv=False,
        use_post_quant_conv=False,
    )
    pipeline = StableDiffusion3Pipeline(
        transformer=transformer(4),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=spread_weights(vae, 5),
        text_encoder=clip_encoder(tokenizer, 1, 24, "quick_gelu", 24),
        tokenizer=tokenizer,
        text_encoder_2=clip_encoder(tokenizer_2, 2, 32, "gelu", 16),
        tokenizer_2=tokenizer_2,
        text_encoder_3=t5_encoder(len(tokenizer_3), 64, 3),
        tokenizer_3=tokenizer_3,
    )
    pipeline.set_progress_bar_config(disable=True)
    pipeline.save_pretrained(HERE)
    for folder in ["tokenizer", "tokenizer_2"]:
        publish_clip_tokenizer(HERE / folder, lists_tokens=True)
    golden_transformer(pipeline.transformer, "transformer", 10)
    # As 3.0 and 3.5 large: no second attention; 3.0 without norms of queries and keys.
    plain = transformer(6, dual_attention_layers=(), qk_norm=None, num_layers=2)
    plain.save_pretrained(HERE / "transformer_plain")
    golden_transformer(plain, "transformer_plain", 14)
    golden_vae(pipeline.vae)
    golden_pipeline(pipeline)
    golden_from_picture(pipeline)
    for path in sorted(HERE.rglob("*.safetensors")):
        print(f"{path.stat().st_size / 1e6:7.3f} MB  {path.relative_to(HERE)}")


if __name__ == "__main__":
    main()
