"""Makes the tiny FLUX.2-klein of this folder and what the reference computes with it.

    pip install -r requirements.txt
    OMP_NUM_THREADS=1 python make_golden.py
"""

import copy
import json
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import torch
from diffusers import (
    AutoencoderKLFlux2,
    Flux2KleinPipeline,
    Flux2Transformer2DModel,
    FlowMatchEulerDiscreteScheduler,
)
from diffusers.pipelines.flux2.pipeline_flux2_klein import compute_empirical_mu
from safetensors.torch import save_file

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from tiny_qwen3 import PROMPTS, make_text_encoder, make_tokenizer, random_weights  # noqa: E402

GOLDEN = HERE / "golden"
LATENT = 4
HIDDEN = 8
# The pipeline reads the states after layers 9, 18 and 27, so the tiny encoder has 28 as well.
LAYERS = 28


def randn(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def save(name, **tensors):
    GOLDEN.mkdir(exist_ok=True)
    tensors = {key: value.detach().contiguous().clone() for key, value in tensors.items()}
    save_file(tensors, GOLDEN / f"{name}.safetensors")


def make_models():
    torch.manual_seed(2)
    tokenizer = make_tokenizer()
    encoder = make_text_encoder(len(tokenizer), HIDDEN, LAYERS)
    transformer = Flux2Transformer2DModel(
        patch_size=1,
        in_channels=4 * LATENT,
        num_layers=2,
        num_single_layers=3,
        attention_head_dim=24,
        num_attention_heads=2,
        joint_attention_dim=3 * HIDDEN,
        axes_dims_rope=(4, 8, 8, 4),
        rope_theta=2000,
        mlp_ratio=2.5,
        guidance_embeds=False,
    ).eval()
    random_weights(transformer, std=0.12)
    vae = AutoencoderKLFlux2(
        block_out_channels=(8, 8, 16, 16),
        layers_per_block=1,
        latent_channels=LATENT,
        norm_num_groups=4,
    ).eval()
    random_weights(vae)
    vae.bn.running_mean.copy_(0.3 * randn(3, 4 * LATENT))
    vae.bn.running_var.copy_(0.2 + torch.rand(4 * LATENT, generator=torch.Generator().manual_seed(4)))
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True)
    return tokenizer, encoder, transformer, vae, scheduler


def golden_text(pipeline):
    embeds, ids = pipeline.encode_prompt(list(PROMPTS))
    assert torch.equal(ids[0, :, 3], torch.arange(512)) and not ids[..., :3].any()
    tokenizer, tensors = pipeline.tokenizer, {}
    for index, prompt in enumerate(PROMPTS):
        text = tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}],
            tokenize=False,
            add_generation_prompt=True,
            enable_thinking=False,
        )
        padded = tokenizer(text, truncation=True, max_length=512, padding="max_length")
        tensors |= {f"ids_{index}": torch.tensor(padded.input_ids)}
        tensors |= {f"mask_{index}": torch.tensor(padded.attention_mask)}
        tensors |= {f"embeds_{index}": embeds[index]}
    save("text", **tensors)
    GOLDEN.joinpath("prompts.json").write_text(json.dumps(PROMPTS))


def golden_transformer(transformer):
    """Two pictures of 5 × 3, then one of 4 × 7 with references of 2 × 3 and 5 × 2 behind it."""
    tensors = {}
    for index, (count, size, references, time) in enumerate(
        [(2, (5, 3), (), 0.8125), (1, (4, 7), ((2, 3), (5, 2)), 0.3)]
    ):
        latents = randn(10 + index, count, 4 * LATENT, *size)
        text = randn(20 + index, count, 7, 3 * HIDDEN)
        others = [randn(30 + at, 1, 4 * LATENT, *size) for at, size in enumerate(references)]
        packed = Flux2KleinPipeline._pack_latents(latents)
        ids = Flux2KleinPipeline._prepare_latent_ids(latents)
        if others:
            packed_others = [Flux2KleinPipeline._pack_latents(other) for other in others]
            packed = torch.cat([packed, *packed_others], dim=1)
            ids = torch.cat([ids, Flux2KleinPipeline._prepare_image_ids(others)], dim=1)
        def run(changed, ids=ids):
            out = changed(
                hidden_states=packed,
                encoder_hidden_states=text,
                timestep=torch.full((count,), time),
                img_ids=ids,
                txt_ids=Flux2KleinPipeline._prepare_text_ids(text),
            ).sample[:, : size[0] * size[1]]
            return out.permute(0, 2, 1).reshape(latents.shape)

        out = run(transformer)
        tensors |= {f"latents_{index}": latents, f"text_{index}": text, f"out_{index}": out}
        tensors |= {f"time_{index}": torch.tensor([time])}
        tensors |= {f"reference_{index}_{at}": other for at, other in enumerate(others)}
    # The last case as the reference would compute it with one thing wrong: none of it may pass for right.
    tensors["wrong_axes"] = run(transformer, ids[..., [0, 2, 1, 3]])
    tensors["wrong_times"] = run(transformer, ids * torch.tensor([0, 1, 1, 1]))
    other = copy.deepcopy(transformer)
    for linear in [
        other.double_stream_modulation_img.linear,
        other.double_stream_modulation_txt.linear,
        other.single_stream_modulation.linear,
    ]:
        parts = list(linear.weight.chunk(linear.out_features // linear.in_features))
        for at in range(0, len(parts), 3):
            parts[at], parts[at + 1] = parts[at + 1], parts[at]
        linear.weight.copy_(torch.cat(parts))
    tensors["wrong_modulation"] = run(other)
    other = copy.deepcopy(transformer)
    scale, shift = other.norm_out.linear.weight.chunk(2)
    other.norm_out.linear.weight.copy_(torch.cat([shift, scale]))
    tensors["wrong_last_modulation"] = run(other)
    save("transformer", **tensors)


def golden_vae(pipeline):
    vae = pipeline.vae
    pictures, latents = randn(40, 2, 3, 32, 48).clamp(-1, 1), randn(41, 2, 4 * LATENT, 3, 5)
    mean = vae.bn.running_mean.view(1, -1, 1, 1)
    spread = torch.sqrt(vae.bn.running_var.view(1, -1, 1, 1) + vae.config.batch_norm_eps)
    encoded = pipeline._encode_vae_image(pictures, None)
    decoded = vae.decode(pipeline._unpatchify_latents(latents * spread + mean)).sample
    # Without the statistics of the batch norm.
    wrong = vae.decode(pipeline._unpatchify_latents(latents)).sample
    save(
        "vae",
        pictures=pictures,
        encoded=encoded,
        latents=latents,
        decoded=decoded,
        wrong_decoded=wrong,
    )


def golden_scheduler(scheduler):
    """Sizes below and above 4,300 tokens, where the rule for the shift changes."""
    tensors, cases = {}, []
    for index, (tokens, steps) in enumerate([(15, 2), (4096, 4), (4301, 4), (1024, 50)]):
        mu = compute_empirical_mu(tokens, steps)
        scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / steps, steps), mu=mu)
        cases.append(dict(tokens=tokens, steps=steps, mu=mu))
        tensors[f"timesteps_{index}"] = scheduler.timesteps.clone()
        if index == 1:
            sample, samples = randn(50, 1, 4 * LATENT, 3, 5), []
            outputs = [randn(60 + step, 1, 4 * LATENT, 3, 5) for step in range(steps)]
            tensors |= dict(noise=sample, outputs=torch.stack(outputs))
            for output, time in zip(outputs, scheduler.timesteps):
                sample = scheduler.step(output, time, sample).prev_sample
                samples.append(sample)
            tensors["samples"] = torch.stack(samples)
    save("scheduler", **tensors)
    GOLDEN.joinpath("scheduler.json").write_text(json.dumps(cases, indent=1))


def golden_pipeline(pipeline):
    prompts = [PROMPTS[0], PROMPTS[3]]
    noise = randn(70, 2, 4 * LATENT, 5, 3)
    common = dict(height=80, width=48, num_inference_steps=2)

    def run(**more):
        return pipeline(**(common | dict(prompt=list(prompts)) | more)).images

    latents = run(latents=noise, output_type="latent")
    pictures = run(latents=noise, output_type="pt")
    # The undistilled models steer away from the empty prompt.
    pipeline.register_to_config(is_distilled=False)
    guided = run(latents=noise, output_type="latent", guidance_scale=4.0)
    pipeline.register_to_config(is_distilled=True)
    # One reference of the right size, one with sides that are no multiples of 16.
    draw = np.random.default_rng(5)
    references = [draw.integers(0, 256, size, dtype=np.uint8) for size in [(64, 80, 3), (75, 100, 3)]]
    edited = run(
        prompt=prompts[0],
        image=[PIL.Image.fromarray(reference) for reference in references],
        latents=noise[:1],
        output_type="latent",
    )
    save(
        "pipeline",
        noise=noise,
        latents=latents,
        pictures=pictures,
        guided=guided,
        edited=edited,
        **{f"reference_{at}": torch.from_numpy(each) for at, each in enumerate(references)},
    )
    GOLDEN.joinpath("pipeline.json").write_text(json.dumps(dict(prompts=prompts)))


@torch.no_grad()
def main():
    torch.set_num_threads(1)
    tokenizer, encoder, transformer, vae, scheduler = make_models()
    pipeline = Flux2KleinPipeline(
        scheduler=scheduler,
        vae=vae,
        text_encoder=encoder,
        tokenizer=tokenizer,
        transformer=transformer,
        is_distilled=True,
    )
    pipeline.set_progress_bar_config(disable=True)
    pipeline.save_pretrained(HERE)
    golden_text(pipeline)
    golden_transformer(transformer)
    golden_vae(pipeline)
    golden_scheduler(scheduler)
    golden_pipeline(pipeline)
    for path in sorted(HERE.rglob("*.safetensors")):
        print(f"{path.stat().st_size / 1e6:7.3f} MB  {path.relative_to(HERE)}")


if __name__ == "__main__":
    main()
