//! Chance, from the runtime's generator.

use worker::{js_sys, wasm_bindgen::JsCast};

use crate::ports::system::Random;

/// `crypto.getRandomValues`.
pub struct WorkerRandom;

impl Random for WorkerRandom {
    fn bytes(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        let scope: web_sys::WorkerGlobalScope = js_sys::global().unchecked_into();
        // It throws only for requests above 64 KiB, or where there is no generator at all.
        if let Ok(crypto) = scope.crypto() {
            drop(crypto.get_random_values_with_u8_array(&mut bytes));
        }
        bytes
    }
}
