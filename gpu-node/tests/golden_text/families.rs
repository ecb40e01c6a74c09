//! Every family and setting computes what the reference library does, and the goldens notice a wrong one.

use gpu_node::engines::text::{config::DecoderConfig, decoder::CpuDecoder, model::WantedLogits};
use serde_json::{Value, json};

use super::support::{
    FAMILIES, Golden, Run, all_logits, assert_close, assert_far, changed, cpu, likeliest, source,
    tiny,
};

#[test]
fn every_family_agrees_at_every_length() {
    for name in FAMILIES {
        let golden = Golden::of(name);
        for (at, prompt) in golden.prompts().iter().enumerate() {
            let logits = all_logits(cpu(&tiny(name)), prompt);
            let expected = golden.numbers(&format!("logits_{at}"));
            assert_close(&format!("{name}, {} tokens", prompt.len()), &logits, &expected);
        }
    }
}

#[test]
fn sixteen_greedy_tokens_agree() {
    for name in FAMILIES {
        let golden = Golden::of(name);
        let mut run = Run::new(cpu(&tiny(name)), 8);
        let at = run.open();
        let mut logits = run.pass(&[(at, &golden.prompts()[1], WantedLogits::Last)]);
        let mut answer = Vec::new();
        for _ in 0..16 {
            answer.push(likeliest(&logits));
            logits = run.pass(&[(at, &answer[answer.len() - 1..], WantedLogits::Last)]);
        }
        assert_eq!(answer, golden.tokens("greedy"), "{name}");
    }
}

#[test]
fn configurations_of_either_version_are_the_same_model() {
    for name in FAMILIES {
        let old = std::fs::read(tiny(name).join("config_v4.json")).unwrap();
        let old: Value = serde_json::from_slice(&old).unwrap();
        assert!(old.get("rope_parameters").is_none() && old.get("rope_theta").is_some());
        let folder = changed(name, |config| *config = old);
        let mut old = DecoderConfig::read(folder.path()).unwrap();
        assert_eq!(old.end_tokens, [2]);
        let new = DecoderConfig::read(&tiny(name)).unwrap();
        assert_eq!(new.end_tokens, [2, 3]);
        old.end_tokens.clone_from(&new.end_tokens);
        assert_eq!(old, new, "{name}");
    }
}

#[test]
fn other_settings_with_the_same_weights_agree() {
    let mut tried = 0;
    for name in FAMILIES {
        let Ok(variants) = std::fs::read(tiny(name).join("variants.json")) else { continue };
        let variants: serde_json::Map<String, Value> = serde_json::from_slice(&variants).unwrap();
        let golden = Golden::of(name);
        for (variant, changes) in variants {
            let folder = changed(name, |config| {
                let changes = changes.as_object().unwrap().clone();
                let config = config.as_object_mut().unwrap();
                // As files come that no library has completed.
                config.remove("layer_types");
                config.extend(changes);
            });
            let logits = all_logits(cpu(folder.path()), &golden.prompts()[0]);
            let expected = golden.numbers(&format!("logits_0.{variant}"));
            assert_close(&format!("{name} with {variant}"), &logits, &expected);
            assert_far(&format!("{name} without {variant}"), &logits, &golden.numbers("logits_0"));
            tried += 1;
        }
    }
    assert_eq!(tried, 7);
}

#[test]
fn a_wrong_setting_is_noticed() {
    type Wrong = (&'static str, &'static str, fn(&mut DecoderConfig));
    let wrong: [Wrong; 9] = [
        ("llama", "another rope theta", |config| {
            let slower = |frequency: &mut f32| *frequency *= 0.9;
            config.rope.frequencies.iter_mut().skip(1).for_each(slower);
        }),
        ("llama", "reversed pairs", |config| config.rope.frequencies.reverse()),
        ("qwen3", "other pairs of the halves", |config| config.rope.frequencies.swap(0, 1)),
        ("qwen3", "missing norms of the heads", |config| config.has_head_norms = false),
        ("qwen2", "missing biases", |config| config.biases.qkv = false),
        ("mistral", "a longer window", |config| {
            config.layers.iter_mut().for_each(|layer| layer.window = Some(25));
        }),
        ("mistral", "another epsilon", |config| config.norm_eps = 1e-2),
        ("qwen3_moe", "fewer experts per token", |config| {
            config.experts.as_mut().unwrap().per_token = 2;
        }),
        ("qwen3_moe", "shares that are not scaled", |config| {
            config.experts.as_mut().unwrap().normalises_shares = false;
        }),
    ];
    for (name, what, change) in wrong {
        let golden = Golden::of(name);
        let mut config = DecoderConfig::read(&tiny(name)).unwrap();
        change(&mut config);
        let model = CpuDecoder::load(config, &source(&tiny(name))).unwrap();
        let logits = all_logits(model, &golden.prompts()[0]);
        assert_far(&format!("{name}: {what}"), &logits, &golden.numbers("logits_0"));
    }
}

#[test]
fn what_is_not_computed_is_refused_by_name() {
    let refused: [(&str, &str, Value, &str); 11] = [
        ("llama", "model_type", json!("gemma3"), "`model_type` = \"gemma3\" is not supported"),
        ("llama", "hidden_act", json!("gelu"), "`hidden_act` = \"gelu\" is not supported"),
        ("llama", "rope_parameters", json!({"rope_type": "longrope"}), "\"longrope\" is not"),
        ("llama", "rope_parameters", json!({"rope_type": "linear"}), "`factor` is missing"),
        ("llama", "partial_rotary_factor", json!(0.5), "`partial_rotary_factor` = 0.5"),
        ("llama", "num_key_value_heads", json!(3), "3 heads of keys do not divide 4"),
        ("llama", "head_dim", json!(7), "a head of 7 numbers has no halves"),
        ("llama", "hidden_size", Value::Null, "`hidden_size` is missing"),
        ("mistral", "sliding_window", json!(0), "`sliding_window` = \"0\""),
        ("qwen3", "layer_types", json!(["full_attention"]), "does not have 3 entries"),
        ("qwen3_moe", "num_experts_per_tok", json!(9), "9 of 8 experts cannot be chosen"),
    ];
    for (name, key, value, reason) in refused {
        let folder = changed(name, |config| config[key] = value);
        let error = DecoderConfig::read(folder.path()).unwrap_err().to_string();
        assert!(error.contains(reason), "{key}: {error}");
    }
    let folder = changed("llama", |config| config["intermediate_size"] = json!(95));
    let config = DecoderConfig::read(folder.path()).unwrap();
    let error = CpuDecoder::load(config, &source(folder.path())).unwrap_err().to_string();
    assert!(error.contains("gate_proj.weight is [96, 64] instead of [95, 64]"), "{error}");
}
