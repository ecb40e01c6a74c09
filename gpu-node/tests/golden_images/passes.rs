//! The comparisons of this program once more, computed as a card computes: through candle's operations, and in bf16.

use std::{env, process::Command};

/// One run of this program by itself, as the choice holds for a whole process.
fn pass(dtype: &str, names: &[&str], least: u32) {
    let output = Command::new(env::current_exe().unwrap())
        .args(names)
        .args(["--skip", "passes::"])
        .env("PARITY_DEVICE", "card")
        .env("PARITY_DTYPE", dtype)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    let passed = told.split_once("test result: ok. ").and_then(|(_, rest)| rest.split_once(' '));
    let passed: u32 = passed.unwrap().0.parse().unwrap();
    assert!(passed >= least, "only {passed} comparisons were made");
}

#[test]
fn a_cards_operations_stay_within_the_same_tolerance() {
    pass("f32", &["agree"], 35);
}

#[test]
fn bf16_stays_within_twice_the_references_own_error() {
    pass("bf16", &["agree", "notice"], 50);
}
