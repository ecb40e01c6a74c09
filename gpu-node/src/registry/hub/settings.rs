//! Which hub, as whom, and where its files are kept: the variables that Python's client reads too.

use std::{fmt, path::PathBuf};

use reqwest::Url;

use super::{cache::HubCache, error::HubError};

const PUBLIC_HUB: &str = "https://huggingface.co";

/// How to reach a hub.
#[derive(Debug, Clone)]
pub struct HubSettings {
    pub(super) endpoint: Url,
    pub(super) token: Option<Token>,
    pub(super) cache: HubCache,
    /// Nothing may be asked of the network.
    pub is_offline: bool,
}

/// The text of `HF_TOKEN`, which is sent to the hub and printed nowhere.
#[derive(Clone)]
pub(super) struct Token(String);

impl Token {
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl HubSettings {
    /// Reads `HF_ENDPOINT`, `HF_TOKEN`, `HF_HUB_OFFLINE` and what says where the cache is.
    pub fn from_env() -> Result<Self, HubError> {
        Self::from_vars(&|name| std::env::var(name).ok())
    }

    fn from_vars(var: &dyn Fn(&str) -> Option<String>) -> Result<Self, HubError> {
        let set = |name: &str| plain(var(name));
        let endpoint = set("HF_ENDPOINT").unwrap_or_else(|| PUBLIC_HUB.to_owned());
        let parsed = Url::parse(&endpoint).ok();
        let parsed = parsed.filter(|url| matches!(url.scheme(), "http" | "https"));
        Ok(Self {
            endpoint: parsed.ok_or(HubError::Endpoint(endpoint))?,
            token: set("HF_TOKEN").map(Token),
            cache: HubCache::new(cache_root(&set)),
            is_offline: set("HF_HUB_OFFLINE")
                .is_some_and(|v| matches!(&*v.to_uppercase(), "1" | "ON" | "YES" | "TRUE")),
        })
    }
}

impl HubCache {
    /// The cache that the environment names.
    pub(in crate::registry) fn from_env() -> Self {
        Self::new(cache_root(&|name| plain(std::env::var(name).ok())))
    }
}

/// A variable that says nothing is as good as none.
fn plain(value: Option<String>) -> Option<String> {
    value.map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

fn cache_root(set: &dyn Fn(&str) -> Option<String>) -> PathBuf {
    let folder = |name: &str| set(name).map(|value| from_home(set, &value));
    folder("HF_HUB_CACHE").unwrap_or_else(|| {
        let user_cache = || folder("XDG_CACHE_HOME").unwrap_or_else(|| from_home(set, "~/.cache"));
        folder("HF_HOME").unwrap_or_else(|| user_cache().join("huggingface")).join("hub")
    })
}

fn from_home(set: &dyn Fn(&str) -> Option<String>, path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), set("HOME")) {
        (Some(rest), Some(home)) => PathBuf::from(home).join(rest),
        _ => PathBuf::from(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(vars: &[(&str, &str)]) -> Result<HubSettings, HubError> {
        let vars: Vec<(String, String)> =
            vars.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        HubSettings::from_vars(&|name| {
            vars.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
        })
    }

    #[test]
    fn the_cache_is_where_python_puts_it() {
        for (vars, root) in [
            (&[("HOME", "/home/ada")][..], "/home/ada/.cache/huggingface/hub"),
            (&[("HOME", "/home/ada"), ("XDG_CACHE_HOME", "/c")], "/c/huggingface/hub"),
            (&[("HF_HOME", "/volume/hf"), ("XDG_CACHE_HOME", "/c")], "/volume/hf/hub"),
            (&[("HF_HOME", "~/hf"), ("HOME", "/home/ada")], "/home/ada/hf/hub"),
            (&[("HF_HUB_CACHE", "/models"), ("HF_HOME", "/volume/hf")], "/models"),
        ] {
            assert_eq!(settings(vars).unwrap().cache, HubCache::new(root.into()));
        }
    }

    #[test]
    fn the_public_hub_is_asked_without_a_token_unless_told_otherwise() {
        let plain = settings(&[("HF_TOKEN", " ")]).unwrap();
        assert_eq!(plain.endpoint.as_str(), "https://huggingface.co/");
        assert!(plain.token.is_none() && !plain.is_offline);
        let vars = [("HF_ENDPOINT", "http://mirror:8080/hf"), ("HF_HUB_OFFLINE", "true")];
        let told = settings(&vars).unwrap();
        assert_eq!(told.endpoint.as_str(), "http://mirror:8080/hf");
        assert!(told.is_offline);
        assert!(matches!(settings(&[("HF_ENDPOINT", "mirror")]), Err(HubError::Endpoint(_))));
    }

    #[test]
    fn a_token_is_never_printed() {
        let settings = settings(&[("HF_TOKEN", "hf_secret")]).unwrap();
        assert_eq!(settings.token.as_ref().unwrap().expose(), "hf_secret");
        assert!(!format!("{settings:?}").contains("secret"));
    }
}
