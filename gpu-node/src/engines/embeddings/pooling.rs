//! How a text's token states become one vector, as the sentence-transformers library writes it down.

use std::path::Path;

use candle_core::{Result, bail};
use serde_json::Value;

use crate::engines::config_file::ConfigFile;

/// Which token states make the vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooling {
    /// The mean of all tokens.
    Mean,
    /// The first token, which reads all others.
    First,
    /// The last token, the only one that has read all others in a causal model.
    Last,
}

impl Pooling {
    /// What `modules.json` and `1_Pooling/config.json` say, or `default` where there are none.
    pub(super) fn read(folder: &Path, default: Self) -> Result<Self> {
        let Ok(text) = std::fs::read_to_string(folder.join("modules.json")) else {
            return Ok(default);
        };
        let modules: Vec<Value> = match serde_json::from_str(&text) {
            Ok(modules) => modules,
            Err(error) => bail!("modules.json: {error}"),
        };
        let mut pooling = default;
        for module in &modules {
            let field = |key: &str| module.get(key).and_then(Value::as_str).unwrap_or_default();
            match field("type").rsplit('.').next().unwrap_or_default() {
                "Transformer" | "Normalize" => {}
                "Pooling" => pooling = Self::read_one(folder, field("path"))?,
                other => bail!("modules.json: a module {other:?} is not supported"),
            }
        }
        Ok(pooling)
    }

    fn read_one(folder: &Path, path: &str) -> Result<Self> {
        if path.contains(['/', '\\', '.']) {
            bail!("modules.json: a module lies outside the folder");
        }
        let name = format!("{path}/config.json");
        let file = ConfigFile::read(folder, &name)?;
        if let Some(mode) = file.find::<String>("pooling_mode")? {
            return match mode.as_str() {
                "mean" => Ok(Self::Mean),
                "cls" => Ok(Self::First),
                "lasttoken" => Ok(Self::Last),
                other => file.refuse("pooling_mode", other),
            };
        }
        let is = |mode: &str| file.get(&format!("pooling_mode_{mode}"), false);
        for other in ["max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens"] {
            if is(other)? {
                return file.refuse("pooling_mode", other);
            }
        }
        match (is("mean_tokens")?, is("cls_token")?, is("lasttoken")?) {
            (true, false, false) => Ok(Self::Mean),
            (false, true, false) => Ok(Self::First),
            (false, false, true) => Ok(Self::Last),
            _ => file.refuse("pooling_mode", "none or several together"),
        }
    }

    /// The vector of one text, of `dimensions` numbers and length 1, from its states of `width` numbers each.
    pub(super) fn apply(self, states: &[f32], width: usize, dimensions: usize) -> Vec<f32> {
        let states: Vec<&[f32]> =
            states.chunks_exact(width).map(|state| &state[..dimensions]).collect();
        let chosen = match self {
            Self::Mean => states.as_slice(),
            Self::First => &states[..states.len().min(1)],
            Self::Last => &states[states.len().saturating_sub(1)..],
        };
        let mut sum = vec![0_f64; dimensions];
        for state in chosen {
            for (sum, x) in sum.iter_mut().zip(*state) {
                *sum += f64::from(*x);
            }
        }
        let length = sum.iter().map(|x| x * x).sum::<f64>().sqrt().max(1e-12);
        sum.into_iter().map(|x| (x / length) as f32).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chosen_states_make_a_vector_of_length_one() {
        let states = [3.0, 4.0, 9.0, 0.0, 2.0, 9.0];
        assert_eq!(Pooling::First.apply(&states, 3, 2), [0.6, 0.8]);
        assert_eq!(Pooling::Last.apply(&states, 3, 2), [0.0, 1.0]);
        let mean = Pooling::Mean.apply(&states, 3, 2);
        assert!((mean[0] - 1.0 / 5_f32.sqrt()).abs() < 1e-6, "{mean:?}");
    }

    #[test]
    fn modules_that_are_not_computed_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let read = |modules: &str, pooling: &str| {
            std::fs::create_dir_all(folder.path().join("1_Pooling")).unwrap();
            std::fs::write(folder.path().join("modules.json"), modules).unwrap();
            std::fs::write(folder.path().join("1_Pooling/config.json"), pooling).unwrap();
            Pooling::read(folder.path(), Pooling::Mean).map_err(|error| error.to_string())
        };
        let module = r#"[{"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}]"#;
        assert_eq!(read(module, r#"{"pooling_mode_cls_token": true}"#), Ok(Pooling::First));
        assert_eq!(read(module, r#"{"pooling_mode": "lasttoken"}"#), Ok(Pooling::Last));
        let refused = [
            (r#"[{"type": "sentence_transformers.models.Dense"}]"#, "{}", "\"Dense\""),
            (r#"[{"type": "x.Pooling", "path": "../other"}]"#, "{}", "outside"),
            (module, r#"{"pooling_mode_max_tokens": true}"#, "\"max_tokens\""),
            (module, "{}", "none or several"),
        ];
        for (modules, pooling, reason) in refused {
            let error = read(modules, pooling).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
        let empty = tempfile::tempdir().unwrap();
        assert_eq!(Pooling::read(empty.path(), Pooling::Last).unwrap(), Pooling::Last);
    }
}
