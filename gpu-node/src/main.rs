//! The command line: one binary that serves, generates to a file, or looks after its models.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use gpu_node::{
    cli::{generate, models},
    config::ServeConfig,
    say::say,
    serve,
};

#[derive(Parser)]
#[command(version, about = "Runs Chandelle's models on this machine")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve jobs over HTTP until SIGTERM.
    Serve(Box<ServeConfig>),
    /// Make a picture from a prompt and write it to a file, or write a text.
    Generate(Box<generate::GenerateArgs>),
    /// List, pull, verify or clean what the models folder holds.
    Models(models::ModelsArgs),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Serve(config) => return serve::run(*config),
        Command::Generate(args) => generate::run(*args),
        Command::Models(args) => models::run(args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(format_args!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
