//! `gpu-node models list|verify`: what the models folder holds, and whether it is whole.

use std::{
    io::{Write, stdout},
    path::PathBuf,
};

use anyhow::{Result, bail};
use clap::{Args, Subcommand};

use crate::registry::{Manifest, Registry, is_here, verify_files};

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
    /// Compare every file with its manifest: size and SHA-256.
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
        ModelsCommand::Verify { name } => verify(&registry, name.as_deref()),
    }
}

fn list(registry: &Registry) -> Result<()> {
    let mut out = stdout().lock();
    for model in registry.models() {
        writeln!(
            out,
            "{:<28} {:<9} {:<16} {:<12} {:>8.1} MB  {}{}",
            model.name,
            model.modality.as_str(),
            model.architecture,
            model.revision,
            size_mb(model),
            model.licence,
            if is_here(model) { "" } else { "  (not on this machine)" }
        )?;
    }
    Ok(())
}

fn size_mb(model: &Manifest) -> f64 {
    model.files.iter().filter_map(|file| file.bytes).sum::<u64>() as f64 / 1e6
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
        if name.is_none() && !is_here(model) {
            writeln!(out, "{}: not on this machine", model.name)?;
            continue;
        }
        match verify_files(model, |_| ()) {
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
