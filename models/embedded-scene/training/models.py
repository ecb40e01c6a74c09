"""The shapes of the three networks and of the noise schedule; random weights come out, training fills them."""

import diffusers
import transformers

PIXELS = 96
LATENT = PIXELS // 8
TOKENS = 40
VOCABULARY = 1536
HIDDEN = 128


def vae():
    return diffusers.AutoencoderKL(
        in_channels=3, out_channels=3, latent_channels=4, block_out_channels=(16, 32, 64, 64), layers_per_block=1,
        norm_num_groups=8, sample_size=PIXELS, down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4)


def unet():
    return diffusers.UNet2DConditionModel(
        sample_size=LATENT, in_channels=4, out_channels=4, block_out_channels=(48, 96, 128), layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=HIDDEN, attention_head_dim=4, norm_num_groups=16)


def text_encoder():
    return transformers.CLIPTextModel(transformers.CLIPTextConfig(
        vocab_size=VOCABULARY, hidden_size=HIDDEN, intermediate_size=4 * HIDDEN, projection_dim=HIDDEN,
        num_hidden_layers=3, num_attention_heads=4, max_position_embeddings=TOKENS, hidden_act="quick_gelu",
        bos_token_id=VOCABULARY - 2, eos_token_id=VOCABULARY - 1, pad_token_id=VOCABULARY - 1))


def scheduler():
    return diffusers.DDIMScheduler(
        num_train_timesteps=1000, beta_start=.00085, beta_end=.012, beta_schedule="scaled_linear", clip_sample=False,
        set_alpha_to_one=False, steps_offset=1, prediction_type="v_prediction")


def count(module):
    return sum(p.numel() for p in module.parameters())
