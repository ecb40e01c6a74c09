"""A tiny Qwen3 text encoder with its tokenizer and chat template, in the layout of the image models that read it.

Not run by itself: `z-image/make_golden.py` and `flux-2/make_golden.py` import it.
"""

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import Qwen2TokenizerFast, Qwen3Config, Qwen3ForCausalLM
import torch

# Writes a conversation as Qwen3 does, as far as one message of a user goes.
TEMPLATE = """
{%- for message in messages -%}
{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{ '<|im_start|>assistant\\n' }}
{%- if enable_thinking is defined and not enable_thinking -%}
{{ '<think>\\n\\n</think>\\n\\n' }}
{%- endif -%}
{%- endif -%}
""".strip()

WORDS = [
    "a red fish on the left of a blue house under the moon",
    "un poisson rouge à gauche d'une maison bleue sous la lune",
    "the user and the assistant think of a green boat and 12 stars",
]

# Of several lengths; the third is cut at 512 tokens, the fifth has letters that NFC puts together.
PROMPTS = [
    "a red fish on the left",
    "",
    "the boat and the house, " * 60,
    "une étoile verte à côté du lapin 🐇, 37 fois",
    "cafe\u0301 bleu",
]


def make_tokenizer():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=296,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(WORDS, trainer)
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in special])
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in ["<think>", "</think>"]])
    wrapped = Qwen2TokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        unk_token=None,
        bos_token=None,
    )
    wrapped.chat_template = TEMPLATE
    wrapped.model_max_length = 131072
    return wrapped


def random_weights(model, std=0.08):
    """Larger than the usual initialisation, so that a wrong constant does not hide in the rounding."""
    for name, parameter in model.named_parameters():
        if "norm" in name and parameter.dim() == 1 and name.endswith("weight"):
            torch.nn.init.normal_(parameter, mean=1.0, std=0.1)
        elif "pad_token" in name:
            torch.nn.init.normal_(parameter, std=0.5)
        elif parameter.dim() == 1:
            torch.nn.init.normal_(parameter, std=0.1)
        else:
            torch.nn.init.normal_(parameter, std=std)


def make_text_encoder(tokens, hidden, layers):
    encoder = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=tokens,
            hidden_size=hidden,
            intermediate_size=2 * hidden,
            num_hidden_layers=layers,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=8,
            max_position_embeddings=1024,
            rope_theta=1000000.0,
            tie_word_embeddings=True,
        )
    ).eval()
    random_weights(encoder, std=0.15)
    return encoder
