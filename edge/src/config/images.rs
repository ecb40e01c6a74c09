//! The settings of Sorami's images: whom to tell, how much work a quality is, where pictures to start from may lie.

use shared::{
    api::images::ImageQuality,
    limits::STEPS_MAX,
    signing::{SecretError, SigningSecret},
};

use super::{Environment, Reader, Secret};

/// The product's own server.
#[derive(Debug, Clone)]
pub struct WebhookConfig {
    pub url: Secret,
    /// As it stands in `X-Webhook-Secret`.
    pub secret: Secret,
    pub signing: SigningSecret,
}

/// Steps of each quality; `None`: the model's own number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ImageSteps {
    pub low: Option<u32>,
    pub medium: Option<u32>,
    pub high: Option<u32>,
}

impl ImageSteps {
    /// The steps of a quality.
    pub fn of(self, quality: ImageQuality) -> Option<u32> {
        match quality {
            ImageQuality::Low => self.low,
            ImageQuality::Medium => self.medium,
            ImageQuality::High => self.high,
        }
    }
}

impl Reader<'_> {
    pub(super) fn webhook(&mut self, environment: Environment) -> Option<WebhookConfig> {
        let url = self.https("WEBHOOK_URL", environment)?;
        let secret = self.required("WEBHOOK_SECRET");
        let signing = match SigningSecret::parse(&secret) {
            Ok(signing) => Some(signing),
            // It was named as missing already.
            Err(SecretError::Empty) if secret.is_empty() => None,
            Err(problem) => {
                self.problems.push(format!("WEBHOOK_SECRET can't be used: {problem}"));
                None
            }
        };
        Some(WebhookConfig { url: Secret(url), secret: Secret(secret), signing: signing? })
    }

    /// An address that is called over TLS, but from a developer's own machine.
    pub(super) fn https(&mut self, name: &str, environment: Environment) -> Option<String> {
        let url = self.optional(name)?;
        let is_plain = environment == Environment::Local && url.starts_with("http://");
        if !is_plain && !url.starts_with("https://") {
            self.problems.push(format!("{name} must begin with https://"));
        }
        Some(url)
    }

    /// Three numbers with commas between them, for low, medium and high; an empty one is the model's own.
    pub(super) fn image_steps(&mut self, name: &str) -> ImageSteps {
        let text = self.optional(name).unwrap_or_else(|| "8,,30".to_owned());
        let number = |text: &str| match text.trim() {
            "" => Some(None),
            digits => {
                let steps = digits.parse::<u32>().ok();
                steps.filter(|steps| (1..=STEPS_MAX).contains(&u64::from(*steps))).map(Some)
            }
        };
        let numbers: Vec<_> = text.split(',').map(number).collect();
        match numbers[..] {
            [Some(low), Some(medium), Some(high)] => ImageSteps { low, medium, high },
            _ => {
                self.problems.push(format!("{name} must be like 8,,30: steps up to {STEPS_MAX}"));
                ImageSteps::default()
            }
        }
    }

    pub(super) fn input_image_origins(&mut self, environment: Environment) -> Vec<String> {
        let origins = self.origins("INPUT_IMAGE_ORIGINS");
        if !origins.is_empty() && environment != Environment::Local {
            self.problems.push("INPUT_IMAGE_ORIGINS is for local deployments alone".to_owned());
        }
        origins
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        Config,
        tests::{minimal, problems, read},
    };
    use super::*;

    fn config(name: &'static str, text: &'static str) -> Config {
        let mut variables = minimal();
        variables.insert(name, text);
        read(&variables).unwrap()
    }

    #[test]
    fn steps_are_read_by_quality_and_an_empty_one_is_the_models_own() {
        assert_eq!(config("LEASE_SECONDS", "30").image_steps.of(ImageQuality::High), Some(30));
        let steps = config("IMAGE_STEPS", " 4, 6 ,").image_steps;
        assert_eq!(steps, ImageSteps { low: Some(4), medium: Some(6), high: None });
        for text in ["8", "8,9", "8,9,10,11", "0,,", "151,,", "a,,", "-1,,"] {
            assert_eq!(problems("IMAGE_STEPS", text).len(), 1, "{text}");
        }
    }

    #[test]
    fn a_webhook_needs_a_usable_secret_and_https_but_on_a_developers_machine() {
        assert_eq!(problems("WEBHOOK_URL", "https://a.example"), ["WEBHOOK_SECRET is missing"]);
        assert_eq!(problems("WEBHOOK_URL", "ftp://a.example").len(), 2);
        let mut variables = minimal();
        variables.insert("WEBHOOK_URL", "http://localhost:3000/api/webhooks/image-completion");
        variables.insert("WEBHOOK_SECRET", "sorami-webhook-secret-key-2025");
        let webhook = read(&variables).unwrap().webhook.unwrap();
        assert!(!format!("{webhook:?}").contains("sorami"), "it does not print");
        variables.insert("ENVIRONMENT", "production");
        assert_eq!(read(&variables).unwrap_err().0, ["WEBHOOK_URL must begin with https://"]);
        variables.insert("WEBHOOK_URL", "https://a.example/");
        variables.insert("WEBHOOK_SECRET", "whsec_*");
        assert!(read(&variables).unwrap_err().0[0].contains("not base64"));
    }

    #[test]
    fn origins_that_are_not_public_are_for_local_deployments_alone() {
        let origins = config("INPUT_IMAGE_ORIGINS", "http://127.0.0.1:9000/").input_image_origins;
        assert_eq!(origins, ["http://127.0.0.1:9000"]);
        let mut variables = minimal();
        variables.insert("INPUT_IMAGE_ORIGINS", "http://127.0.0.1:9000");
        variables.insert("ENVIRONMENT", "staging");
        assert_eq!(read(&variables).unwrap_err().0.len(), 1);
    }
}
