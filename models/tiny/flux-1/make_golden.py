"""Makes the tiny FLUX.1 of this folder and what the reference libraries compute with it.

Run in this folder: `python make_golden.py`. Everything is f32 on the CPU from fixed seeds; noise is stored
as an input, so no two random generators are ever compared. The folder itself is as FLUX.1-dev is published;
`transformer_schnell/` and `scheduler_schnell/` are what FLUX.1-schnell has in their place.
"""

import sys
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    FluxImg2ImgPipeline,
    FluxPipeline,
    FluxTransformer2DModel,
)
from diffusers.models.autoencoders import vae as autoencoder
from diffusers.pipelines.flux import pipeline_flux_img2img as from_picture
from transformers import CLIPTextConfig, CLIPTextModel

HERE = Path(__file__).parent
GOLDEN = HERE / "golden"
sys.path.append(str(HERE.parent))
from diffusion_parts import (  # noqa: E402
    clip_tokenizer,
    draws,
    randn,
    save,
    spread_weights,
    t5_encoder,
    t5_tokenizer,
)

POSITIONS = 16


def clip_encoder(tokenizer, seed):
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=24,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=POSITIONS,
        hidden_act="quick_gelu",
        # As published: an old mistake, which the library takes for "the highest id".
        bos_token_id=0,
        eos_token_id=2,
        pad_token_id=1,
    )
    return spread_weights(CLIPTextModel(config), seed)


def transformer(seed, has_guidance):
    model = FluxTransformer2DModel(
        patch_size=1,
        in_channels=64,
        num_layers=1,
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=24,
        guidance_embeds=has_guidance,
        axes_dims_rope=[4, 6, 6],
    )
    return spread_weights(model, seed, spread=0.14)


def golden_transformer(model, name, seed):
    # Batch 2; odd numbers of patches on each side.
    latents, words, pooled = randn(seed, 2, 16, 6, 14), randn(seed + 1, 2, 9, 32), randn(seed + 2, 2, 24)
    has_guidance = model.config.guidance_embeds

    def run(time, guidance):
        out = model(
            FluxPipeline._pack_latents(latents, 2, 16, 6, 14),
            words,
            pooled,
            torch.full((2,), time / 1000),
            FluxPipeline._prepare_latent_image_ids(2, 3, 7, "cpu", torch.float32),
            torch.zeros(9, 3),
            torch.full((2,), guidance) if has_guidance else None,
        ).sample
        return FluxPipeline._unpack_latents(out, 12, 28, 2)

    save(
        GOLDEN,
        name,
        latents=latents,
        words=words,
        pooled=pooled,
        out_1000=run(1000.0, 3.5),
        out_321=run(321.0, 3.5),
        other_guidance=run(321.0, 1.5),
    )


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


def golden_pipeline(pipeline, name, length):
    prompts = ["a red fish on the left", "blue house"]
    words, pooled, _ = pipeline.encode_prompt(prompts, max_sequence_length=length)
    noise = randn(40, 2, 16, 10, 14)
    arguments = dict(
        prompt=prompts,
        num_inference_steps=2,
        guidance_scale=3.5,
        height=20,
        width=28,
        max_sequence_length=length,
    )

    def run(output):
        packed = pipeline._pack_latents(noise, 2, 16, 10, 14)
        return pipeline(**arguments, latents=packed, output_type=output).images

    save(
        GOLDEN,
        name,
        words=words,
        pooled=pooled,
        noise=noise,
        latents=pipeline._unpack_latents(run("latent"), 20, 28, 2),
        pictures=run("pt"),
    )


def golden_from_picture(pipeline):
    # The noise the encoder's result is drawn with, then that of the run.
    noise, picture = randn(50, 2, 2, 16, 10, 14), randn(51, 2, 3, 20, 28).mul(0.3).add(0.5).clamp(0, 1)
    run = FluxImg2ImgPipeline(
        **{key: value for key, value in pipeline.components.items() if value is not None}
    )
    run.set_progress_bar_config(disable=True)
    autoencoder.randn_tensor = from_picture.randn_tensor = draws(noise)
    packed = run(
        prompt=["a red fish on the left", "blue house"],
        image=picture,
        height=20,
        width=28,
        strength=0.6,
        num_inference_steps=5,
        guidance_scale=3.5,
        output_type="latent",
    ).images
    latents = run._unpack_latents(packed, 20, 28, 2)
    save(GOLDEN, "from_picture", noise=noise, picture=picture, latents=latents)


@torch.no_grad()
def main():
    torch.set_num_threads(1)
    tokenizer = clip_tokenizer(HERE / "tokenizer", POSITIONS)
    tokenizer_2 = t5_tokenizer(512)
    vae = AutoencoderKL(
        block_out_channels=(8, 16),
        layers_per_block=1,
        latent_channels=16,
        norm_num_groups=4,
        down_block_types=["DownEncoderBlock2D"] * 2,
        up_block_types=["UpDecoderBlock2D"] * 2,
        sample_size=16,
        scaling_factor=0.3611,
        shift_factor=0.1159,
        use_quant_conv=False,
        use_post_quant_conv=False,
    )
    parts = dict(
        vae=spread_weights(vae, 5),
        text_encoder=clip_encoder(tokenizer, 1),
        tokenizer=tokenizer,
        text_encoder_2=t5_encoder(len(tokenizer_2), 32, 3),
        tokenizer_2=tokenizer_2,
    )
    schedule = dict(use_dynamic_shifting=True, base_shift=0.5, max_shift=1.15)
    dev = FluxPipeline(
        transformer=transformer(4, True),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0, **schedule),
        **parts,
    )
    schnell = FluxPipeline(
        transformer=transformer(6, False),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=1.0),
        **parts,
    )
    dev.save_pretrained(HERE)
    # In two files, as the publisher's.
    for path in (HERE / "transformer").glob("*.safetensors*"):
        path.unlink()
    dev.transformer.save_pretrained(HERE / "transformer", max_shard_size="150KB")
    schnell.transformer.save_pretrained(HERE / "transformer_schnell")
    schnell.scheduler.save_pretrained(HERE / "scheduler_schnell")
    for pipeline, name, length in ((dev, "dev", 512), (schnell, "schnell", 256)):
        pipeline.set_progress_bar_config(disable=True)
        golden_transformer(pipeline.transformer, f"transformer_{name}", 10)
        golden_pipeline(pipeline, name, length)
    golden_vae(dev.vae)
    golden_from_picture(dev)
    for path in sorted(HERE.rglob("*.safetensors")):
        print(f"{path.stat().st_size / 1e6:7.3f} MB  {path.relative_to(HERE)}")


if __name__ == "__main__":
    main()
