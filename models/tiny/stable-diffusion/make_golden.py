"""Makes the tiny Stable Diffusion of this folder and what the reference libraries compute with it.

Run in this folder: `python make_golden.py`. Everything is f32 on the CPU from fixed seeds; noise is stored
as an input, so no two random generators are ever compared.
"""

import json
import string
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from diffusers.schedulers import scheduling_euler_ancestral_discrete as ancestral
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

HERE = Path(__file__).parent
GOLDEN = HERE / "golden"
WORDS = ["red", "blue", "fish", "house", "on", "the", "left", "a"]
BETAS = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1)


def randn(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def spread_weights(module, seed):
    """The usual initialisation is so small that mistakes would hide in the rounding."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in sorted(module.named_parameters()):
        if parameter.dim() > 1:
            parameter.data.normal_(0.0, 0.08, generator=generator)
        elif name.endswith("bias"):
            parameter.data.normal_(0.0, 0.05, generator=generator)
        else:
            parameter.data.normal_(1.0, 0.1, generator=generator)
    return module.eval()


def save(name, **tensors):
    GOLDEN.mkdir(exist_ok=True)
    tensors = {key: value.detach().contiguous() for key, value in tensors.items()}
    save_file(tensors, GOLDEN / f"{name}.safetensors")
    print(f"{name}: {len(tensors)} tensors")


def make_tokenizer():
    """A CLIP tokenizer with letters, their word ends, and a few merged words."""
    symbols = sorted(string.ascii_lowercase + string.digits + string.punctuation)
    symbols += [f"{symbol}</w>" for symbol in symbols]
    merges = []
    for word in WORDS:
        parts = list(word[:-1]) + [f"{word[-1]}</w>"]
        while len(parts) > 1:
            pair = (parts[0], parts[1])
            if pair not in merges:
                merges.append(pair)
            parts = ["".join(pair)] + parts[2:]
            if parts[0] not in symbols:
                symbols.append(parts[0])
    tokens = symbols + ["<|startoftext|>", "<|endoftext|>"]
    folder = HERE / "tokenizer"
    folder.mkdir(exist_ok=True)
    vocabulary = {token: index for index, token in enumerate(tokens)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    lines = ["#version: 0.2"] + [" ".join(pair) for pair in merges]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n")
    tokenizer = CLIPTokenizer(
        str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=16
    )
    return tokenizer, vocabulary


def make_models(vocabulary):
    text = CLIPTextConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=16,
        hidden_act="quick_gelu",
        bos_token_id=vocabulary["<|startoftext|>"],
        eos_token_id=vocabulary["<|endoftext|>"],
        pad_token_id=vocabulary["<|endoftext|>"],
    )
    encoder = spread_weights(CLIPTextModel(text), 1)
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=32,
        attention_head_dim=(2, 4),
        norm_num_groups=8,
    )
    vae = AutoencoderKL(
        block_out_channels=(16, 32),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        down_block_types=["DownEncoderBlock2D"] * 2,
        up_block_types=["UpDecoderBlock2D"] * 2,
        sample_size=16,
    )
    return encoder, spread_weights(unet, 2), spread_weights(vae, 3)


def golden_text(encoder, tokenizer):
    prompts = ["a red fish on the left", "blue house", "", "the Red, red FISH! 42 " * 4]
    ids = tokenizer(
        prompts, padding="max_length", max_length=16, truncation=True, return_tensors="pt"
    ).input_ids
    save("text", ids=ids, out=encoder(ids).last_hidden_state)
    (GOLDEN / "prompts.json").write_text(json.dumps(prompts))
    # The same encoder with the activation of Stable Diffusion 2.
    encoder.config.hidden_act = "gelu"
    gelu = CLIPTextModel(encoder.config).eval()
    gelu.load_state_dict(encoder.state_dict())
    save("text_gelu", ids=ids, out=gelu(ids).last_hidden_state)
    encoder.config.hidden_act = "quick_gelu"


def golden_unet(unet):
    # Batch 2; an odd height, so that the way up must follow the sizes of the way down.
    latents, text = randn(10, 2, 4, 7, 10), randn(11, 2, 16, 32)
    save(
        "unet",
        latents=latents,
        text=text,
        out_321=unet(latents, 321, text).sample,
        out_0=unet(latents, 0, text).sample,
        out_fraction=unet(latents, 640.4545, text).sample,
    )
    # The second style: linear projections, two transformers per layer, 8 latent channels, sines first.
    other = UNet2DConditionModel(
        in_channels=8,
        out_channels=8,
        block_out_channels=(8, 16, 16),
        layers_per_block=2,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=8,
        attention_head_dim=(1, 2, 4),
        transformer_layers_per_block=(1, 2, 1),
        norm_num_groups=4,
        use_linear_projection=True,
        flip_sin_to_cos=False,
        freq_shift=1,
    )
    spread_weights(other, 4).save_pretrained(HERE / "unet_linear")
    latents, text = randn(12, 1, 8, 8, 12), randn(13, 1, 5, 8)
    save("unet_linear", latents=latents, text=text, out=other(latents, 77, text).sample)


def golden_vae(vae):
    pictures, latents = randn(20, 1, 3, 24, 16), randn(21, 2, 4, 7, 5)
    moments = vae.encode(pictures).latent_dist
    save(
        "vae",
        pictures=pictures,
        mean=moments.mean,
        log_variance=moments.logvar,
        latents=latents,
        decoded=vae.decode(latents / vae.config.scaling_factor).sample,
    )


def run_scheduler(scheduler, steps, noise):
    """Every step on the same fixed model outputs: a scheduler's mistakes add up and cannot hide."""
    scheduler.set_timesteps(steps)
    sample = randn(30, 1, 4, 6, 6) * scheduler.init_noise_sigma
    outputs = randn(31, steps, 1, 4, 6, 6)
    samples, inputs = [sample], []
    for index, timestep in enumerate(scheduler.timesteps):
        inputs.append(scheduler.scale_model_input(sample, timestep))
        ancestral.randn_tensor = lambda *_, index=index, **__: noise[index]
        sample = scheduler.step(outputs[index], timestep, sample).prev_sample
        samples.append(sample)
    return scheduler.timesteps.double(), torch.stack(inputs), torch.stack(samples), outputs


def golden_schedulers():
    kinds = dict(
        ddim=(DDIMScheduler, dict(clip_sample=False, set_alpha_to_one=False)),
        euler=(EulerDiscreteScheduler, {}),
        euler_ancestral=(EulerAncestralDiscreteScheduler, {}),
        dpmpp_multistep=(DPMSolverMultistepScheduler, {}),
    )
    cases = []
    for kind, (scheduler, extra) in kinds.items():
        for spacing in ["leading", "trailing", "linspace"]:
            for prediction in ["epsilon", "v_prediction", "sample"]:
                if (kind, prediction) == ("euler_ancestral", "sample"):
                    continue
                steps = {"leading": 7, "trailing": 12, "linspace": 20}[spacing]
                config = BETAS | dict(timestep_spacing=spacing, prediction_type=prediction) | extra
                cases.append((kind, scheduler, config, steps))
    plain = dict(beta_schedule="linear")
    cosine = dict(beta_schedule="squaredcos_cap_v2", timestep_spacing="leading")
    zero = BETAS | dict(
        rescale_betas_zero_snr=True, timestep_spacing="trailing", prediction_type="v_prediction"
    )
    for kind, (scheduler, _) in kinds.items():
        cases += [(kind, scheduler, config, 5) for config in (plain, cosine, zero)]
    cases.append(("euler", EulerDiscreteScheduler, BETAS | dict(final_sigmas_type="sigma_min"), 5))
    cases.append(("dpmpp_multistep", DPMSolverMultistepScheduler, BETAS | dict(solver_order=1), 5))

    noise, listed = randn(32, 20, 1, 4, 6, 6), []
    tensors = dict(noise=noise)
    for index, (kind, scheduler, config, steps) in enumerate(cases):
        listed.append(dict(scheduler=kind, steps=steps, config=config))
        parts = run_scheduler(scheduler(**config), steps, noise)
        names = ["timesteps", "inputs", "samples", "outputs"]
        tensors |= {f"{index}.{name}": part for name, part in zip(names, parts)}
    # The outputs are the same for equal step counts.
    for index, case in enumerate(listed):
        tensors[f"outputs.{case['steps']}"] = tensors.pop(f"{index}.outputs")
    save("schedulers", **tensors)
    (GOLDEN / "schedulers.json").write_text(json.dumps(listed, indent=1))


def golden_pipeline(pipeline):
    noise = randn(40, 2, 4, 8, 12)
    arguments = dict(
        prompt=["a red fish on the left", "blue house"],
        negative_prompt=["blue", "the red"],
        num_inference_steps=2,
        guidance_scale=5.0,
        height=16,
        width=24,
    )
    latents = pipeline(**arguments, latents=noise.clone(), output_type="latent").images
    pictures = pipeline(**arguments, latents=noise.clone(), output_type="pt").images
    without = pipeline(
        **(arguments | dict(guidance_scale=1.0)), latents=noise.clone(), output_type="latent"
    ).images
    save("pipeline", noise=noise, latents=latents, pictures=pictures, without_guidance=without)


@torch.no_grad()
def main():
    torch.set_num_threads(1)
    tokenizer, vocabulary = make_tokenizer()
    encoder, unet, vae = make_models(vocabulary)
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=DDIMScheduler(**BETAS, clip_sample=False, set_alpha_to_one=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    pipeline.save_pretrained(HERE)
    golden_text(encoder, tokenizer)
    golden_unet(unet)
    golden_vae(vae)
    golden_schedulers()
    golden_pipeline(pipeline)
    write_old_style()
    for path in sorted(HERE.rglob("*.safetensors")):
        print(f"{path.stat().st_size / 1e6:7.3f} MB  {path.relative_to(HERE)}")


def write_old_style():
    """What libraries of 2022 wrote: `text_model.` before every key of the encoder."""
    weights = load_file(HERE / "text_encoder" / "model.safetensors")
    if any(key.startswith("text_model.") for key in weights):
        weights = {key.removeprefix("text_model."): value for key, value in weights.items()}
    else:
        weights = {f"text_model.{key}": value for key, value in weights.items()}
    folder = HERE / "text_encoder_prefixed"
    folder.mkdir(exist_ok=True)
    save_file(weights, folder / "model.safetensors")
    config = (HERE / "text_encoder" / "config.json").read_text()
    (folder / "config.json").write_text(config)


if __name__ == "__main__":
    main()
