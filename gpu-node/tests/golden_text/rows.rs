//! A row's logits are the same bits whatever else is computed with it and however its prompt was cut.

use gpu_node::engines::{
    EngineError,
    text::model::{SequenceRows, TextModel, WantedLogits},
};

use super::support::{FAMILIES, Golden, Run, all_logits, cpu, tiny};

#[test]
fn neighbours_of_other_lengths_change_no_bit() {
    for name in FAMILIES {
        let prompts = Golden::of(name).prompts();
        let alone: Vec<f32> =
            prompts.iter().flat_map(|prompt| all_logits(cpu(&tiny(name)), prompt)).collect();
        let mut run = Run::new(cpu(&tiny(name)), 16);
        let parts: Vec<_> = prompts
            .iter()
            .map(|prompt| (run.open(), prompt.as_slice(), WantedLogits::All))
            .collect();
        assert!(run.pass(&parts) == alone, "{name}");
    }
}

#[test]
fn pieces_of_a_prompt_change_no_bit() {
    for name in FAMILIES {
        let prompts = Golden::of(name).prompts();
        let alone: Vec<Vec<f32>> =
            prompts.iter().map(|prompt| all_logits(cpu(&tiny(name)), prompt)).collect();
        for piece in [1, 7, 32, 33] {
            let mut run = Run::new(cpu(&tiny(name)), 16);
            let (long, short) = (run.open(), run.open());
            let mut found = (Vec::new(), Vec::new());
            let mut short_pieces = prompts[1].chunks(3);
            for tokens in prompts[0].chunks(piece) {
                let mut parts = vec![(long, tokens, WantedLogits::All)];
                parts.extend(short_pieces.next().map(|tokens| (short, tokens, WantedLogits::All)));
                let mut logits = run.pass(&parts);
                let rest = logits.split_off(tokens.len() * run.model.shape().vocab_size);
                found.0.extend(logits);
                found.1.extend(rest);
            }
            assert!(found.0 == alone[0], "{name} in pieces of {piece}");
            assert!(found.1[..] == alone[1][..found.1.len()], "{name} beside pieces of {piece}");
        }
    }
}

#[test]
fn only_wanted_rows_become_logits() {
    let prompts = Golden::of("qwen3").prompts();
    let expected = all_logits(cpu(&tiny("qwen3")), &prompts[1]);
    let mut run = Run::new(cpu(&tiny("qwen3")), 16);
    let parts = [
        (run.open(), prompts[0].as_slice(), WantedLogits::None),
        (run.open(), prompts[1].as_slice(), WantedLogits::Last),
        (run.open(), prompts[2].as_slice(), WantedLogits::None),
    ];
    assert_eq!(run.pass(&parts), expected[expected.len() - 320..]);
    assert!(run.pass(&[(0, &[5], WantedLogits::None)]).is_empty());
}

#[test]
fn a_used_cache_leaves_no_trace() {
    let prompts = Golden::of("mistral").prompts();
    let expected = all_logits(cpu(&tiny("mistral")), &prompts[2]);
    let mut run = Run::new(cpu(&tiny("mistral")), 4);
    let first = run.open();
    run.pass(&[(first, &prompts[0], WantedLogits::Last)]);
    // The same blocks again, for another sequence.
    let rows = [SequenceRows {
        tokens: &prompts[2],
        start: 0,
        blocks: &[1, 3],
        wanted: WantedLogits::All,
    }];
    let logits = run.model.forward(&rows).unwrap();
    let found: Vec<f32> = (0..40).flat_map(|row| logits.row(row).unwrap().to_vec()).collect();
    assert!(found == expected);
}

#[test]
fn tokens_and_blocks_that_do_not_exist_are_refused() {
    let mut model = cpu(&tiny("llama"));
    model.allocate_blocks(2).unwrap();
    let tokens = [4; 33];
    let rows =
        |tokens, blocks| SequenceRows { tokens, start: 0, blocks, wanted: WantedLogits::Last };
    let mut error = |rows| model.forward(&[rows]).unwrap_err();
    assert!(matches!(error(rows(&[320], &[0])), EngineError::InvalidInput(_)));
    assert!(matches!(error(rows(&tokens, &[0])), EngineError::Failed(_)));
    assert!(matches!(error(rows(&tokens, &[0, 2])), EngineError::Failed(_)));
}
