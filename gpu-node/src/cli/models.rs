//! `gpu-node models list|pull|verify|clean`: what the models folder holds, what of it is here, and whether it is whole.

use std::{
    io::{Write, stdout},
    path::PathBuf,
};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};

use crate::registry::{
    HubError, HubSettings, Manifest, PullObserver, Registry, Source, WeightsError, is_here,
    leftovers_of, pull_model, remove_leftover, size_of, verify_files,
};
use crate::say::say;

#[derive(Args)]
pub struct ModelsArgs {
    /// The folder of `<name>/manifest.toml`.
    #[arg(long, env = "MODELS_DIR", default_value = "models", global = true)]
    models_dir: PathBuf,
    #[command(subcommand)]
    command: ModelsCommand,
}

#[derive(Subcommand)]
enum ModelsCommand {
    /// Every model, one line each.
    List,
    /// Bring models from their hub into the cache, and go on where an earlier pull stopped.
    ///
    /// Reads HF_TOKEN, HF_ENDPOINT, HF_HOME and HF_HUB_CACHE, as Python's client does, and shares its cache.
    Pull {
        /// The models, by their names in `models list`.
        #[arg(required_unless_present = "all")]
        names: Vec<String>,
        /// Every model that comes from a hub.
        #[arg(long, conflicts_with = "names")]
        all: bool,
        /// Only say whether the models are here; HF_HUB_OFFLINE=1 does the same.
        #[arg(long)]
        offline: bool,
    },
    /// Remove what pulls that never ended left in the cache of hubs; nothing that a pull is at.
    ///
    /// Beginnings are kept where a model is not here as a whole: the next pull goes on with them.
    Clean {
        /// Remove those beginnings too.
        #[arg(long)]
        all: bool,
    },
    /// Compare every file with its manifest, or with what the hub said of it: size and checksum.
    Verify {
        /// Only this model.
        name: Option<String>,
    },
}

/// Runs the command.
pub fn run(args: ModelsArgs) -> Result<()> {
    let registry = Registry::open(&args.models_dir)?;
    match args.command {
        ModelsCommand::List => list(&registry),
        ModelsCommand::Pull { names, all, offline } => pull(&registry, &names, all, offline),
        ModelsCommand::Clean { all } => clean(&registry, all),
        ModelsCommand::Verify { name } => verify(&registry, name.as_deref()),
    }
}

fn list(registry: &Registry) -> Result<()> {
    let mut out = stdout().lock();
    for model in registry.models() {
        writeln!(
            out,
            "{:<28} {:<9} {:<16} {:<12} {:>8.1} MB  {}{}{}",
            model.name,
            model.modality.as_str(),
            model.architecture,
            model.revision,
            size_mb(model),
            model.licence,
            if is_here(model) { "" } else { "  (not pulled)" },
            left_over(model)
        )?;
    }
    Ok(())
}

fn left_over(model: &Manifest) -> String {
    let bytes: u64 = leftovers_of(model).iter().map(|leftover| leftover.bytes).sum();
    match bytes {
        0 => String::new(),
        bytes => format!("  ({:.1} MB of pulls that never ended)", bytes as f64 / 1e6),
    }
}

fn clean(registry: &Registry, all: bool) -> Result<()> {
    let mut out = stdout().lock();
    for model in registry.models() {
        // Several models may be of one repository, and a beginning does not say whose it is.
        let is_same = |other: &&Manifest| other.source.repository() == model.source.repository();
        let is_awaited = registry.models().iter().filter(is_same).any(|model| !is_here(model));
        for leftover in leftovers_of(model) {
            let (path, mb) = (leftover.path.display(), leftover.bytes as f64 / 1e6);
            if is_awaited && !all {
                writeln!(
                    out,
                    "{}: kept {path}, {mb:.1} MB: the next pull goes on with it",
                    model.name
                )?;
            } else if remove_leftover(model, &leftover).with_context(|| path.to_string())? {
                writeln!(out, "{}: removed {path}, {mb:.1} MB", model.name)?;
            } else {
                writeln!(out, "{}: kept {path}, {mb:.1} MB: a pull is at it", model.name)?;
            }
        }
    }
    Ok(())
}

fn size_mb(model: &Manifest) -> f64 {
    size_of(model) as f64 / 1e6
}

fn pull(registry: &Registry, names: &[String], all: bool, is_offline: bool) -> Result<()> {
    let mut settings = HubSettings::from_env()?;
    settings.is_offline |= is_offline;
    let is_from_hub = |model: &&Manifest| matches!(model.source, Source::Hub { .. });
    let find = |name: &String| registry.find(name).with_context(|| format!("no model {name:?}"));
    let chosen: Vec<&Manifest> = if all {
        registry.models().iter().filter(is_from_hub).collect()
    } else {
        names.iter().map(find).collect::<Result<_>>()?
    };
    let mut out = stdout().lock();
    let mut missing = 0;
    for model in chosen {
        let bar = Bar::new(&model.name);
        let outcome = pull_model(model, &settings, &bar);
        bar.0.finish_and_clear();
        match outcome {
            Ok(0) => writeln!(out, "{}: here, {:.1} MB", model.name, size_mb(model))?,
            Ok(count) => {
                writeln!(out, "{}: {count} files pulled, {:.1} MB", model.name, size_mb(model))?;
            }
            // One gated model must not keep the others from coming.
            Err(error) if all => {
                missing += 1;
                writeln!(out, "{}: {error}", model.name)?;
            }
            Err(error) => return Err(error).with_context(|| model.name.clone()),
        }
    }
    if missing > 0 {
        bail!("{missing} of the models could not be pulled");
    }
    Ok(())
}

/// Draws how a pull goes; only its troubles where nobody watches.
struct Bar(ProgressBar);

impl Bar {
    fn new(model: &str) -> Self {
        let bar = ProgressBar::new(0).with_prefix(model.to_owned());
        let template = "{prefix} {bar:24} {bytes} of {total_bytes}, {bytes_per_sec}, {eta}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self(bar)
    }

    fn say(&self, line: &str) {
        self.0.suspend(|| say(line));
    }
}

impl PullObserver for Bar {
    fn expects(&self, bytes: u64) {
        self.0.inc_length(bytes);
    }

    fn advanced(&self, bytes: u64) {
        self.0.inc(bytes);
    }

    fn took_back(&self, bytes: u64) {
        self.0.dec(bytes);
    }

    fn retries(&self, _: &str, why: &HubError) {
        self.say(&format!("{why}; trying again"));
    }

    fn waits(&self, path: &str) {
        self.say(&format!("another process is pulling {path}; waiting for it"));
    }
}

fn verify(registry: &Registry, name: Option<&str>) -> Result<()> {
    let mut out = stdout().lock();
    let chosen: Vec<&Manifest> = registry
        .models()
        .iter()
        .filter(|model| name.is_none_or(|name| model.name == name))
        .collect();
    if chosen.is_empty() {
        bail!("no model of that name");
    }
    let mut broken = 0;
    for model in chosen {
        match verify_files(model, |_| ()) {
            Err(WeightsError::NotPulled { .. }) if name.is_none() => {
                writeln!(out, "{}: not pulled", model.name)?;
            }
            Ok(()) => writeln!(
                out,
                "{}: {} files, {:.1} MB, whole",
                model.name,
                model.files.len(),
                size_mb(model)
            )?,
            Err(error) => {
                broken += 1;
                writeln!(out, "{}: {error}", model.name)?;
            }
        }
    }
    if broken > 0 {
        bail!("{broken} of the models cannot be used as they are");
    }
    Ok(())
}
