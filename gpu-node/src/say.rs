//! What a person at the terminal reads. A pipe that nobody reads any more is no reason to stop.

use std::{
    fmt::Display,
    io::{self, Write},
};

/// Writes a line to standard error, if anybody is there.
pub fn say(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
