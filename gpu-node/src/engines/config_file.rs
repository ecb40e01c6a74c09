//! Reading a model's JSON configuration: defaults as the format has them, and a clear no to what is not supported.

use std::path::Path;

use candle_core::{Error, Result, bail};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// One configuration file. A `null` counts as absent, as it does for the libraries that write them.
#[derive(Debug, Clone)]
pub(crate) struct ConfigFile {
    name: String,
    values: Map<String, Value>,
}

impl ConfigFile {
    /// Reads `<folder>/<name>`.
    pub(crate) fn read(folder: &Path, name: &str) -> Result<Self> {
        let text = std::fs::read_to_string(folder.join(name))
            .map_err(|error| Error::msg(format!("{name}: {error}")))?;
        let values =
            serde_json::from_str(&text).map_err(|error| Error::msg(format!("{name}: {error}")))?;
        Ok(Self { name: name.to_owned(), values })
    }

    /// The object under `key` as a configuration of its own, if there is one.
    pub(crate) fn section(&self, key: &str) -> Result<Option<Self>> {
        let values: Option<Map<String, Value>> = self.find(key)?;
        Ok(values.map(|values| Self { name: format!("{}: {key}", self.name), values }))
    }

    /// Whether the file has the key, be it with `null`.
    pub(crate) fn names(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    fn value(&self, key: &str) -> Option<&Value> {
        self.values.get(key).filter(|value| !value.is_null())
    }

    /// The value, if there is one.
    pub(crate) fn find<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        let Some(value) = self.value(key) else { return Ok(None) };
        match T::deserialize(value) {
            Ok(value) => Ok(Some(value)),
            Err(error) => bail!("{}: `{key}` = {value} is not supported: {error}", self.name),
        }
    }

    /// The value, or the format's own default.
    pub(crate) fn get<T: DeserializeOwned>(&self, key: &str, default: T) -> Result<T> {
        Ok(self.find(key)?.unwrap_or(default))
    }

    /// A value that the format has no default for.
    pub(crate) fn require<T: DeserializeOwned>(&self, key: &str) -> Result<T> {
        match self.find(key)? {
            Some(value) => Ok(value),
            None => bail!("{}: `{key}` is missing", self.name),
        }
    }

    /// One value for each of `count` blocks, written as a list or as one number for all.
    pub(crate) fn per_block(&self, key: &str, default: usize, count: usize) -> Result<Vec<usize>> {
        match self.value(key) {
            Some(Value::Array(list)) if list.len() != count => {
                bail!("{}: `{key}` has {} values for {count} blocks", self.name, list.len())
            }
            Some(Value::Array(_)) => self.get(key, Vec::new()),
            _ => Ok(vec![self.get(key, default)?; count]),
        }
    }

    /// Refuses a file in which any of these keys has a value other than the only supported one.
    pub(crate) fn only(&self, supported: &[(&str, Value)]) -> Result<()> {
        for (key, supported) in supported {
            if let Some(value) = self.value(key).filter(|value| *value != supported) {
                if is_same_number(value, supported) {
                    continue;
                }
                bail!("{}: `{key}` = {value} is not supported, only {supported}", self.name);
            }
        }
        Ok(())
    }

    /// The error for a value that is not supported.
    pub(crate) fn refuse<T>(&self, key: &str, value: &str) -> Result<T> {
        bail!("{}: `{key}` = {value:?} is not supported", self.name)
    }
}

/// `1` and `1.0` are the same setting.
fn is_same_number(left: &Value, right: &Value) -> bool {
    matches!((left.as_f64(), right.as_f64()), (Some(left), Some(right)) if left == right)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config(values: Value) -> ConfigFile {
        let values = values.as_object().cloned().unwrap();
        ConfigFile { name: "unet/config.json".to_owned(), values }
    }

    #[test]
    fn a_null_means_the_default() {
        let config = config(json!({"steps_offset": null}));
        assert_eq!(config.get("steps_offset", 1).unwrap(), 1);
    }

    #[test]
    fn one_number_stands_for_all_blocks() {
        let config = config(json!({"one": 8, "many": [5, 10]}));
        assert_eq!(config.per_block("one", 1, 2).unwrap(), [8, 8]);
        assert_eq!(config.per_block("many", 1, 2).unwrap(), [5, 10]);
        assert!(config.per_block("many", 1, 3).is_err());
    }

    #[test]
    fn an_unsupported_value_is_named() {
        let config = config(json!({"dual_cross_attention": true, "scale": 1.0}));
        config.only(&[("scale", json!(1)), ("absent", json!(1))]).unwrap();
        let error = config.only(&[("dual_cross_attention", json!(false))]).unwrap_err();
        let expected =
            "unet/config.json: `dual_cross_attention` = true is not supported, only false";
        assert_eq!(crate::engines::message(&error), expected);
    }
}
