//! Hidden states, as the text encoders of image and music models and the embeddings read them.

use candle_core::{DType, Device};
use gpu_node::engines::text::{
    config::DecoderConfig,
    decoder::{CardDecoder, HiddenStates, PaddedPrompt, Tap},
};

use super::support::{FAMILIES, Golden, assert_close, cpu, source, tiny};

fn numbers(tensor: &candle_core::Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn the_states_after_each_layer_agree() {
    for name in FAMILIES {
        let golden = Golden::of(name);
        let (prompts, expected) = (golden.prompts(), golden.numbers("hidden_2"));
        let model = cpu(&tiny(name));
        let taps = [Tap::AfterLayers(0), Tap::AfterLayers(1), Tap::AfterLayers(2), Tap::Normed];
        let found = model.hidden_states(&[&prompts[2]], &taps).unwrap();
        for (at, (found, expected)) in
            found.iter().zip(expected.chunks(40 * model.hidden())).enumerate()
        {
            assert_eq!(found.dims(), [40, 64]);
            assert_close(&format!("{name} after layer {at}"), &numbers(found), expected);
        }
    }
}

#[test]
fn taps_come_in_the_order_they_are_asked_for_and_for_all_sequences() {
    let prompts = Golden::of("qwen3").prompts();
    let model = cpu(&tiny("qwen3"));
    let sequences: Vec<&[u32]> = prompts.iter().map(Vec::as_slice).collect();
    let taps = [Tap::Normed, Tap::AfterLayers(2), Tap::AfterLayers(3)];
    let together = model.hidden_states(&sequences, &taps).unwrap();
    for (at, tap) in taps.into_iter().enumerate() {
        let alone: Vec<f32> = sequences
            .iter()
            .flat_map(|tokens| numbers(&model.hidden_states(&[tokens], &[tap]).unwrap()[0]))
            .collect();
        assert!(numbers(&together[at]) == alone, "{tap:?}");
    }
    assert!(model.hidden_states(&sequences, &[Tap::AfterLayers(4)]).is_err());
}

#[test]
fn padding_sees_the_prompt_and_is_seen_by_none() {
    let prompt = &Golden::of("qwen3").prompts()[1];
    let model = cpu(&tiny("qwen3"));
    let taps = [Tap::AfterLayers(3)];
    let run = |model: &dyn HiddenStates, padding: [u32; 3]| {
        let tokens = [prompt.as_slice(), padding.as_slice()].concat();
        let padded = [PaddedPrompt { tokens: &tokens, padding: 3 }];
        numbers(&model.padded_hidden_states(&padded, &taps).unwrap()[0])
    };
    let (found, other) = (run(&model, [5, 5, 5]), run(&model, [5, 9, 5]));
    let end = prompt.len() * model.hidden();
    assert!(found[..end] == numbers(&model.hidden_states(&[prompt], &taps).unwrap()[0]));
    let rows = |states: &[f32]| -> Vec<Vec<f32>> {
        states[end..].chunks(model.hidden()).map(<[f32]>::to_vec).collect()
    };
    let (found_rows, other_rows) = (rows(&found), rows(&other));
    assert!(found_rows[0] == other_rows[0] && found_rows[2] == other_rows[2]);
    assert!(found_rows[1] != other_rows[1] && found_rows[0] != found_rows[1]);

    let config = DecoderConfig::read(&tiny("qwen3")).unwrap();
    let place = (DType::F32, &Device::Cpu);
    let card = CardDecoder::load(config, &source(&tiny("qwen3")), place).unwrap();
    assert_close("padding on a card", &run(&card, [5, 5, 5]), &found);
}
