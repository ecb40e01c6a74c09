//! The internet in memory: what lies at which address, and who asked for it.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use edge::{
    error::{Error, Result},
    ports::{
        system::Clock,
        web::{FetchFailure, Fetched, Web},
    },
};
use shared::address::Address;

use super::clock::FakeClock;

type Answer = std::result::Result<Fetched, FetchFailure>;

#[derive(Default)]
struct Internet {
    pages: HashMap<String, (u64, Answer)>,
    names: HashMap<String, Vec<IpAddr>>,
    is_resolver_away: bool,
    asked: Vec<String>,
}

/// Every server there is.
#[derive(Clone)]
pub struct FakeWeb {
    clock: FakeClock,
    internet: Arc<Mutex<Internet>>,
}

/// As much of a PNG file as anybody here looks at.
pub fn png() -> Vec<u8> {
    b"\x89PNG\r\n\x1a\nand so on".to_vec()
}

impl FakeWeb {
    pub fn new(clock: FakeClock) -> Self {
        Self { clock, internet: Arc::default() }
    }

    /// Puts bytes at an address.
    pub fn serve(&self, url: &str, bytes: Vec<u8>) {
        self.answer(url, 0, Ok(Fetched { status: 200, location: None, bytes }));
    }

    /// Makes an address lead to another.
    pub fn redirect(&self, url: &str, location: &str) {
        let location = Some(location.to_owned());
        self.answer(url, 0, Ok(Fetched { status: 302, location, bytes: Vec::new() }));
    }

    /// Makes an address answer so, after so long.
    pub fn answer(&self, url: &str, after_ms: u64, answer: Answer) {
        self.internet.lock().unwrap().pages.insert(url.to_owned(), (after_ms, answer));
    }

    /// What a name resolves to; of others nobody knows.
    pub fn name(&self, name: &str, ips: &[&str]) {
        let ips = ips.iter().map(|ip| ip.parse().unwrap()).collect();
        self.internet.lock().unwrap().names.insert(name.to_owned(), ips);
    }

    /// Whether anybody can be asked about names.
    pub fn set_resolver_away(&self, is_away: bool) {
        self.internet.lock().unwrap().is_resolver_away = is_away;
    }

    /// The addresses that were asked.
    pub fn asked(&self) -> Vec<String> {
        self.internet.lock().unwrap().asked.clone()
    }
}

#[async_trait]
impl Web for FakeWeb {
    async fn fetch(&self, address: &Address, max_bytes: usize, timeout_ms: u32) -> Answer {
        let (after_ms, answer) = {
            let mut internet = self.internet.lock().unwrap();
            internet.asked.push(address.to_string());
            let page = internet.pages.get(&address.to_string()).cloned();
            page.unwrap_or((0, Err(FetchFailure::Unreachable)))
        };
        self.clock.sleep_ms(after_ms.min(timeout_ms.into())).await;
        match answer {
            _ if after_ms >= u64::from(timeout_ms) => Err(FetchFailure::TooSlow),
            Ok(fetched) if fetched.bytes.len() > max_bytes => Err(FetchFailure::TooLarge),
            answer => answer,
        }
    }

    async fn resolve(&self, name: &str) -> Result<Option<Vec<IpAddr>>> {
        let internet = self.internet.lock().unwrap();
        if internet.is_resolver_away {
            return Err(Error::unavailable("DNS", "away"));
        }
        Ok(internet.names.get(name).cloned())
    }
}
