"""Makes the tiny Stable Diffusion XL beside this folder, and whole runs that start from pictures or take one step.

Run in this folder: `python make_xl.py`, after `make_golden.py`, with the same versions.
"""

import json
import shutil
import sys

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from diffusers.models.autoencoders import vae as autoencoder
from diffusers.pipelines.stable_diffusion import pipeline_stable_diffusion_img2img as from_picture
from diffusers.pipelines.stable_diffusion_xl import (
    pipeline_stable_diffusion_xl_img2img as xl_from_picture,
)
from diffusers.schedulers import scheduling_euler_ancestral_discrete as ancestral
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from make_golden import BETAS, GOLDEN, HERE, randn, spread_weights

sys.path.append(str(HERE.parent))
from diffusion_parts import publish_clip_tokenizer  # noqa: E402

XL = HERE.parent / "stable-diffusion-xl"
PROMPTS = ["a red fish on the left", "blue house"]
NEGATIVE = ["blue", "the red"]
SIZE = dict(height=16, width=24)
TURBO = BETAS | dict(timestep_spacing="trailing")


def save(folder, name, **tensors):
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {key: value.detach().contiguous() for key, value in tensors.items()}
    save_file(tensors, folder / f"{name}.safetensors")


def make_xl():
    folder = HERE / "tokenizer"
    files = [str(folder / "vocab.json"), str(folder / "merges.txt")]
    first = CLIPTokenizer(*files, model_max_length=16)
    second = CLIPTokenizer(*files, model_max_length=16, pad_token="!")
    end = first.eos_token_id
    size = dict(vocab_size=len(first), max_position_embeddings=16, num_attention_heads=4)
    # The published encoders still say that their prompts end with 2, which means: with the highest id.
    one = CLIPTextModel(
        CLIPTextConfig(
            **size, hidden_size=32, intermediate_size=64, num_hidden_layers=2, eos_token_id=2
        )
    )
    two = CLIPTextModelWithProjection(
        CLIPTextConfig(
            **size,
            hidden_size=24,
            intermediate_size=48,
            num_hidden_layers=3,
            projection_dim=20,
            hidden_act="gelu",
            eos_token_id=end,
        )
    )
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 2),
        cross_attention_dim=56,
        attention_head_dim=(2, 4),
        norm_num_groups=4,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=20 + 6 * 8,
    )
    vae = AutoencoderKL(
        block_out_channels=(8, 16),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        down_block_types=["DownEncoderBlock2D"] * 2,
        up_block_types=["UpDecoderBlock2D"] * 2,
        sample_size=16,
        scaling_factor=0.13025,
    )
    return StableDiffusionXLPipeline(
        vae=spread_weights(vae, 54),
        text_encoder=spread_weights(one, 51),
        text_encoder_2=spread_weights(two, 52),
        tokenizer=first,
        tokenizer_2=second,
        unet=spread_weights(unet, 53),
        scheduler=EulerDiscreteScheduler(**BETAS, timestep_spacing="leading"),
        force_zeros_for_empty_prompt=True,
        add_watermarker=False,
    )


def golden_parts(pipeline):
    prompts = PROMPTS + ["", "the Red, red FISH! 42 " * 4]
    (XL / "golden").mkdir(exist_ok=True)
    (XL / "golden" / "prompts.json").write_text(json.dumps(prompts))
    tensors = {}
    for number, tokenizer, encoder in [
        (1, pipeline.tokenizer, pipeline.text_encoder),
        (2, pipeline.tokenizer_2, pipeline.text_encoder_2),
    ]:
        ids = tokenizer(
            prompts, padding="max_length", max_length=16, truncation=True, return_tensors="pt"
        ).input_ids
        out = encoder(ids, output_hidden_states=True)
        tensors |= {
            f"ids_{number}": ids,
            f"penultimate_{number}": out.hidden_states[-2],
            f"last_{number}": out.last_hidden_state,
            f"pooled_{number}": out.text_embeds if number == 2 else out.pooler_output,
        }
    save(XL / "golden", "text", **tensors)

    latents, text, pooled = randn(60, 2, 4, 7, 10), randn(61, 2, 16, 56), randn(62, 2, 20)
    sizes = torch.tensor([[64.0, 48, 3, 5, 32, 40], [16, 24, 0, 0, 16, 24]])
    added = dict(text_embeds=pooled, time_ids=sizes)
    out = pipeline.unet(latents, 321, text, added_cond_kwargs=added).sample
    told = dict(text=text, pooled=pooled, sizes=sizes)
    save(XL / "golden", "unet", latents=latents, **told, out=out)

    pictures, noise = randn(63, 2, 3, 24, 16), randn(65, 2, 4, 12, 8)
    latents = randn(64, 2, 4, 7, 5)
    moments = pipeline.vae.encode(pictures).latent_dist
    factor = pipeline.vae.config.scaling_factor
    save(
        XL / "golden",
        "vae",
        pictures=pictures,
        noise=noise,
        encoded=factor * (moments.mean + moments.std * noise),
        latents=latents,
        decoded=pipeline.vae.decode(latents / factor).sample,
    )


def draws(noise):
    """A stand-in for the library's random numbers: one given tensor after the other."""
    tensors = iter(noise)
    return lambda *_, **__: next(tensors).clone()


def golden_pipeline(pipeline):
    noise = randn(70, 3, 2, 4, 8, 12)
    common = dict(prompt=PROMPTS, num_inference_steps=2, **SIZE)
    guided = common | dict(negative_prompt=NEGATIVE, guidance_scale=5.0)

    def latents(arguments):
        return pipeline(**arguments, latents=noise[0].clone(), output_type="latent").images

    tensors = dict(
        noise=noise,
        latents=latents(guided),
        pictures=pipeline(**guided, latents=noise[0].clone(), output_type="pt").images,
        zeros=latents(common | dict(guidance_scale=5.0)),
        empty=latents(guided | dict(negative_prompt=["", ""])),
        unguided=latents(common | dict(guidance_scale=0.0)),
    )
    euler = pipeline.scheduler
    pipeline.scheduler = EulerAncestralDiscreteScheduler(**TURBO)
    ancestral.randn_tensor = draws(noise[1:])
    tensors["turbo"] = latents(common | dict(guidance_scale=0.0))
    pipeline.scheduler = euler
    save(XL / "golden", "pipeline", **tensors)


def golden_turbo():
    """The runs that SD-Turbo is made for, with the tiny Stable Diffusion of this folder."""
    pipeline = StableDiffusionPipeline.from_pretrained(HERE, safety_checker=None)
    pipeline.set_progress_bar_config(disable=True)
    noise, tensors = randn(80, 3, 2, 4, 8, 12), {}
    for name, scheduler, prediction in [
        ("euler", EulerDiscreteScheduler, "epsilon"),
        ("ancestral", EulerAncestralDiscreteScheduler, "epsilon"),
        ("ancestral_v", EulerAncestralDiscreteScheduler, "v_prediction"),
    ]:
        for steps in [1, 2]:
            pipeline.scheduler = scheduler(**TURBO, prediction_type=prediction)
            ancestral.randn_tensor = draws(noise[1:])
            tensors[f"{name}_{steps}"] = pipeline(
                prompt=PROMPTS,
                num_inference_steps=steps,
                guidance_scale=0.0,
                latents=noise[0].clone(),
                output_type="latent",
                **SIZE,
            ).images
    save(GOLDEN, "turbo", noise=noise, **tensors)


def golden_from_picture(xl):
    # The noise the encoder's result is drawn with, the first noise of a run, then one for each step.
    noise = randn(90, 7, 2, 4, 8, 12)
    picture = randn(91, 2, 3, 16, 24).mul(0.3).add(0.5).clamp(0, 1)
    parts = StableDiffusionPipeline.from_pretrained(HERE, safety_checker=None).components
    del parts["feature_extractor"], parts["image_encoder"]
    plain = StableDiffusionImg2ImgPipeline(
        **parts, feature_extractor=None, requires_safety_checker=False
    )
    parts = {key: value for key, value in xl.components.items() if value is not None}
    large = StableDiffusionXLImg2ImgPipeline(**parts, add_watermarker=False)
    cases = [
        ("ddim", plain, DDIMScheduler, dict(clip_sample=False, set_alpha_to_one=False)),
        ("euler", plain, EulerDiscreteScheduler, {}),
        ("euler_ancestral", plain, EulerAncestralDiscreteScheduler, {}),
        ("dpmpp_multistep", plain, DPMSolverMultistepScheduler, {}),
        ("xl", large, EulerDiscreteScheduler, {}),
    ]
    tensors = dict(noise=noise, picture=picture)
    for name, pipeline, scheduler, extra in cases:
        pipeline.set_progress_bar_config(disable=True)
        pipeline.scheduler = scheduler(**BETAS, timestep_spacing="leading", **extra)
        numbers = draws(noise)
        for module in [autoencoder, from_picture, xl_from_picture, ancestral]:
            module.randn_tensor = numbers
        tensors[name] = pipeline(
            prompt=PROMPTS,
            negative_prompt=NEGATIVE,
            image=picture,
            strength=0.5,
            num_inference_steps=5,
            guidance_scale=5.0,
            output_type="latent",
        ).images
    save(GOLDEN, "from_picture", **tensors)


@torch.no_grad()
def main():
    torch.set_num_threads(1)
    shutil.rmtree(XL, ignore_errors=True)
    pipeline = make_xl()
    pipeline.set_progress_bar_config(disable=True)
    pipeline.save_pretrained(XL)
    for folder in ["tokenizer", "tokenizer_2"]:
        for name in ["vocab.json", "merges.txt"]:
            shutil.copy(HERE / "tokenizer" / name, XL / folder)
        publish_clip_tokenizer(XL / folder, lists_tokens=False)
    golden_parts(pipeline)
    golden_pipeline(pipeline)
    golden_turbo()
    golden_from_picture(pipeline)
    for path in sorted(XL.rglob("*.safetensors")):
        print(f"{path.stat().st_size / 1e6:7.3f} MB  {path.relative_to(XL.parent)}")


if __name__ == "__main__":
    main()
