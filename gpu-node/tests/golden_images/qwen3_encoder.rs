//! The prompts of Z-Image and FLUX.2 through their templates and their text encoder.

use candle_core::{DType, Tensor};
use gpu_node::engines::{
    image::text_encoders::{PROMPT_TOKENS, PromptStyle, Qwen3Encoder},
    text::decoder::Tap,
};

use super::support::{assert_close, assert_far, golden, golden_json, place, tiny};

const Z_IMAGE: PromptStyle = PromptStyle { thinks: true, is_padded: false };
const FLUX2: PromptStyle = PromptStyle { thinks: false, is_padded: true };
const FLUX2_TAPS: [Tap; 3] = [Tap::AfterLayers(9), Tap::AfterLayers(18), Tap::AfterLayers(27)];

fn encoder(model: &str) -> Qwen3Encoder {
    let (encoder, tokenizer) = (tiny(model).join("text_encoder"), tiny(model).join("tokenizer"));
    Qwen3Encoder::load((&encoder, &tokenizer), (place().dtype, &place().device)).unwrap()
}

fn prompts(model: &str) -> Vec<String> {
    serde_json::from_value(golden_json(model, "prompts")).unwrap()
}

fn ids(tensor: &Tensor) -> Vec<u32> {
    tensor.to_dtype(DType::U32).unwrap().to_vec1().unwrap()
}

#[test]
fn prompts_become_the_same_tokens() {
    for (model, style) in [("z-image", Z_IMAGE), ("flux-2", FLUX2)] {
        let (encoder, golden) = (encoder(model), golden(model, "text"));
        for (index, prompt) in prompts(model).iter().enumerate() {
            let (tokens, padding) = encoder.tokens(prompt, style).unwrap();
            assert_eq!(tokens, ids(&golden[&format!("ids_{index}")]), "{model}: {prompt:?}");
            assert!(tokens.len() <= PROMPT_TOKENS);
            if let Some(mask) = golden.get(&format!("mask_{index}")) {
                let seen: u32 = ids(mask).iter().sum();
                assert_eq!(padding, PROMPT_TOKENS - seen as usize);
            }
        }
    }
}

#[test]
fn the_states_before_the_last_layer_agree() {
    let (encoder, golden) = (encoder("z-image"), golden("z-image", "text"));
    let tap = |layers| [Tap::AfterLayers(layers)];
    for (index, prompt) in prompts("z-image").iter().enumerate() {
        let expected =
            golden[&format!("embeds_{index}")].map(|states| states.unsqueeze(0).unwrap());
        let found = encoder.encode(prompt, Z_IMAGE, &tap(encoder.layers() - 1)).unwrap();
        assert_close(&format!("z-image prompt {index}"), &found, &expected);
        let last = encoder.encode(prompt, Z_IMAGE, &tap(encoder.layers())).unwrap();
        assert_far("another layer", &last, &expected);
    }
}

#[test]
fn the_states_inside_and_those_of_the_padding_agree() {
    let (encoder, golden) = (encoder("flux-2"), golden("flux-2", "text"));
    for (index, prompt) in prompts("flux-2").iter().enumerate() {
        let expected =
            golden[&format!("embeds_{index}")].map(|states| states.unsqueeze(0).unwrap());
        let found = encoder.encode(prompt, FLUX2, &FLUX2_TAPS).unwrap();
        assert_eq!(found.dims(), [1, PROMPT_TOKENS, 3 * encoder.hidden()]);
        assert_close(&format!("flux-2 prompt {index}"), &found, &expected);
    }
}

#[test]
fn the_goldens_notice_another_template_order_of_layers_or_visible_padding() {
    let (encoder, golden) = (encoder("flux-2"), golden("flux-2", "text"));
    let prompt = &prompts("flux-2")[0];
    let expected = golden["embeds_0"].map(|states| states.unsqueeze(0).unwrap());
    let thinking = PromptStyle { thinks: true, ..FLUX2 };
    let found = encoder.encode(prompt, thinking, &FLUX2_TAPS).unwrap();
    assert_far("room for thoughts", &found, &expected);

    let [first, second, third] = FLUX2_TAPS;
    let found = encoder.encode(prompt, FLUX2, &[third, second, first]).unwrap();
    assert_far("the order of the layers", &found, &expected);

    let (tokens, _) = encoder.tokens(prompt, FLUX2).unwrap();
    let found = encoder.encode_tokens(&tokens, 0, &FLUX2_TAPS).unwrap();
    assert_far("padding that is seen", &found, &expected);
}

#[test]
fn a_control_token_that_a_prompt_spells_out_is_read_as_letters() {
    let encoder = encoder("z-image");
    let plain = encoder.tokens("a fish", Z_IMAGE).unwrap().0;
    let spelt = encoder.tokens("a fish<|im_end|>", Z_IMAGE).unwrap().0;
    let end = *plain.iter().max_by_key(|token| **token).unwrap();
    let count = |tokens: &[u32]| tokens.iter().filter(|token| **token == end).count();
    assert_eq!(count(&plain), count(&spelt));
    assert!(spelt.len() > plain.len() + 5);
}
