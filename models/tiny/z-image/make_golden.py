"""Makes the tiny Z-Image of this folder and what the reference computes with it.

    pip install -r requirements.txt
    OMP_NUM_THREADS=1 python make_golden.py
"""

import copy
import json
import sys
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    ZImageImg2ImgPipeline,
    ZImagePipeline,
    ZImageTransformer2DModel,
)
from safetensors.torch import save_file

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from tiny_qwen3 import PROMPTS, make_text_encoder, make_tokenizer, random_weights  # noqa: E402

GOLDEN = HERE / "golden"
LATENT = 4
HIDDEN = 16


def randn(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def save(name, **tensors):
    GOLDEN.mkdir(exist_ok=True)
    tensors = {key: value.detach().contiguous().clone() for key, value in tensors.items()}
    save_file(tensors, GOLDEN / f"{name}.safetensors")


def make_models():
    torch.manual_seed(1)
    tokenizer = make_tokenizer()
    encoder = make_text_encoder(len(tokenizer), HIDDEN, layers=3)
    # 40 is no multiple of 3: the feed-forward layers are int(40 / 3 * 8) = 106 wide.
    transformer = ZImageTransformer2DModel(
        in_channels=LATENT,
        dim=40,
        n_layers=2,
        n_refiner_layers=2,
        n_heads=2,
        n_kv_heads=2,
        cap_feat_dim=HIDDEN,
        axes_dims=[4, 8, 8],
        axes_lens=[640, 32, 32],
    ).eval()
    random_weights(transformer, std=0.1)
    # 1,024 numbers add up here: larger weights would turn the last digit of an angle of 734 into an error of 1e-3.
    transformer.t_embedder.mlp[2].weight.mul_(0.2)
    # The file keeps bf16: one layer of 256 × 1024 numbers has that size in every Z-Image.
    for parameter in transformer.parameters():
        parameter.data = parameter.data.to(torch.bfloat16).to(torch.float32)
    vae = AutoencoderKL(
        block_out_channels=(8, 8, 16, 16),
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        layers_per_block=1,
        latent_channels=LATENT,
        norm_num_groups=4,
        scaling_factor=0.3611,
        shift_factor=0.1159,
        use_quant_conv=False,
        use_post_quant_conv=False,
    ).eval()
    random_weights(vae)
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=False)
    return tokenizer, encoder, transformer, vae, scheduler


def golden_text(pipeline):
    embeds = [pipeline._encode_prompt([prompt])[0] for prompt in PROMPTS]
    # All at once they are padded to the same length, which must not change them.
    together = pipeline._encode_prompt(list(PROMPTS))
    for alone, padded in zip(embeds, together):
        assert torch.allclose(alone, padded, atol=1e-5)
    tokenizer, tensors = pipeline.tokenizer, {}
    for index, (prompt, embed) in enumerate(zip(PROMPTS, embeds)):
        text = tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}],
            tokenize=False,
            add_generation_prompt=True,
            enable_thinking=True,
        )
        ids = tokenizer(text, truncation=True, max_length=512).input_ids
        assert len(ids) == len(embed)
        tensors |= {f"ids_{index}": torch.tensor(ids), f"embeds_{index}": embed}
    save("text", **tensors)
    GOLDEN.joinpath("prompts.json").write_text(json.dumps(PROMPTS))


def golden_transformer(transformer):
    """15, 42 and 64 image tokens; captions of 5 and 37, of 32 and of 20."""
    tensors = {}
    for index, (size, captions, time) in enumerate(
        [((10, 6), (5, 37), 0.1), ((14, 12), (32,), 0.7345), ((16, 16), (20,), 0.0)]
    ):
        count = len(captions)
        latents = randn(10 + index, count, LATENT, *size)
        features = [randn(20 + n, n, HIDDEN) for n in captions]
        times = torch.full((count,), time)
        out = transformer(list(latents.unsqueeze(2)), times, features).sample
        tensors |= {f"latents_{index}": latents, f"time_{index}": times}
        tensors |= {f"caption_{index}_{at}": part for at, part in enumerate(features)}
        tensors |= {f"out_{index}": torch.stack(out).squeeze(2)}
    # Two pictures of one caption, as a job with two pictures runs them.
    latents, caption = randn(30, 2, LATENT, 10, 6), randn(31, 9, HIDDEN)
    out = transformer(list(latents.unsqueeze(2)), torch.tensor([0.25, 0.25]), [caption, caption]).sample
    tensors |= dict(latents_3=latents, time_3=torch.tensor([0.25]), caption_3_0=caption)
    save("transformer", **tensors, out_3=torch.stack(out).squeeze(2), **mistakes(transformer, tensors))


def mistakes(transformer, tensors):
    """Case 0 as the reference would compute it with one thing wrong: none of it may pass for right."""
    captions = [tensors["caption_0_0"], tensors["caption_0_1"]]

    def run(changed):
        return torch.stack(
            changed(list(tensors["latents_0"].unsqueeze(2)), tensors["time_0"], captions).sample
        ).squeeze(2)

    found, pad = {}, transformer._pad_with_ids

    def unpadded_offset(feat, size, start, device, mask=None):
        if start[0] != 1:
            lengths = {len(caption) + (-len(caption)) % 32: len(caption) for caption in captions}
            start = (lengths[start[0] - 1] + 1, 0, 0)
        return pad(feat, size, start, device, mask)

    transformer._pad_with_ids = unpadded_offset
    found["wrong_offset"] = run(transformer)
    transformer._pad_with_ids = pad

    embedder, right = transformer.rope_embedder, transformer.rope_embedder.__call__
    transformer.rope_embedder = lambda ids: right(ids[:, [0, 2, 1]])
    found["wrong_axes"] = run(transformer)
    transformer.rope_embedder = embedder

    other = copy.deepcopy(transformer)
    other.x_pad_token.zero_()
    found["wrong_picture_filling"] = run(other)
    other = copy.deepcopy(transformer)
    other.cap_pad_token.zero_()
    found["wrong_caption_filling"] = run(other)

    other = copy.deepcopy(transformer)
    for block in [*other.noise_refiner, *other.layers]:
        linear = block.adaLN_modulation[0]
        for parameter in (linear.weight, linear.bias):
            scale, gate, inner_scale, inner_gate = parameter.chunk(4)
            parameter.copy_(torch.cat([gate, scale, inner_gate, inner_scale]))
    found["wrong_modulation"] = run(other)
    return found


def golden_vae(vae):
    pictures, latents = randn(40, 2, 3, 24, 40).clamp(-1, 1), randn(41, 2, LATENT, 3, 5)
    moments = vae.encode(pictures).latent_dist
    decoded = vae.decode(latents / vae.config.scaling_factor + vae.config.shift_factor).sample
    save(
        "vae",
        pictures=pictures,
        mean=moments.mean,
        log_variance=moments.logvar,
        latents=latents,
        decoded=decoded,
    )


def golden_scheduler(scheduler):
    """Euler steps through fixed outputs of a model, from the sigmas the pipeline gives."""
    tensors = {}
    for steps in (2, 8, 9):
        sigmas = torch.linspace(1.0, 1 / steps, steps).tolist()
        scheduler.set_timesteps(sigmas=sigmas, mu=0.7)
        sample, samples = randn(50, 1, LATENT, 6, 10), []
        outputs = [randn(60 + step, 1, LATENT, 6, 10) for step in range(steps)]
        tensors[f"noise_{steps}"] = sample
        tensors[f"timesteps_{steps}"] = scheduler.timesteps.clone()
        for output, time in zip(outputs, scheduler.timesteps):
            sample = scheduler.step(output, time, sample).prev_sample
            samples.append(sample)
        tensors |= {f"outputs_{steps}": torch.stack(outputs), f"samples_{steps}": torch.stack(samples)}
    without = FlowMatchEulerDiscreteScheduler(shift=1.0)
    without.set_timesteps(sigmas=torch.linspace(1.0, 1 / 8, 8).tolist())
    save("scheduler", **tensors, wrong_timesteps_8=without.timesteps)


def golden_pipeline(pipeline):
    prompts, negative = [PROMPTS[0], PROMPTS[3]], ["blue", "the house on the right"]
    noise = randn(70, 2, LATENT, 10, 6)
    common = dict(prompt=prompts, height=80, width=48, num_inference_steps=2)

    def run(**more):
        return pipeline(**(common | {"prompt": list(prompts)} | more), latents=noise.clone()).images

    save(
        "pipeline",
        noise=noise,
        turbo=run(guidance_scale=0.0, output_type="latent"),
        pictures=run(guidance_scale=0.0, output_type="pt"),
        guided=run(guidance_scale=3.5, negative_prompt=list(negative), output_type="latent"),
    )
    GOLDEN.joinpath("pipeline.json").write_text(json.dumps(dict(prompts=prompts, negative=negative)))


def golden_from_picture(pipeline):
    from_picture = ZImageImg2ImgPipeline(**pipeline.components)
    from_picture.set_progress_bar_config(disable=True)
    picture = torch.rand(1, 3, 80, 48, generator=torch.Generator().manual_seed(80))
    generator = torch.Generator().manual_seed(81)
    # The pipeline draws the same two: one for the encoder's distribution, one for the start.
    draws = [torch.randn(1, LATENT, 10, 6, generator=generator) for _ in range(2)]
    latents = from_picture(
        prompt=PROMPTS[0],
        image=picture,
        strength=0.6,
        num_inference_steps=5,
        guidance_scale=0.0,
        height=80,
        width=48,
        generator=torch.Generator().manual_seed(81),
        output_type="latent",
    ).images
    save(
        "from_picture",
        picture=2 * picture - 1,
        encoder_noise=draws[0],
        noise=draws[1],
        latents=latents,
    )


@torch.no_grad()
def main():
    torch.set_num_threads(1)
    tokenizer, encoder, transformer, vae, scheduler = make_models()
    pipeline = ZImagePipeline(
        scheduler=scheduler,
        vae=vae,
        text_encoder=encoder,
        tokenizer=tokenizer,
        transformer=transformer,
    )
    pipeline.set_progress_bar_config(disable=True)
    pipeline.save_pretrained(HERE)
    transformer.to(torch.bfloat16).save_pretrained(HERE / "transformer", max_shard_size="400KB")
    HERE.joinpath("transformer/diffusion_pytorch_model.safetensors").unlink(missing_ok=True)
    transformer.to(torch.float32)
    encoder.save_pretrained(HERE / "text_encoder", max_shard_size="20KB")
    HERE.joinpath("text_encoder/model.safetensors").unlink(missing_ok=True)
    golden_text(pipeline)
    golden_transformer(transformer)
    golden_vae(vae)
    golden_scheduler(scheduler)
    golden_pipeline(pipeline)
    golden_from_picture(pipeline)
    for path in sorted(HERE.rglob("*.safetensors")):
        print(f"{path.stat().st_size / 1e6:7.3f} MB  {path.relative_to(HERE)}")


if __name__ == "__main__":
    main()
