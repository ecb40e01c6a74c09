//! Addresses that a caller names and a server is to fetch from: only what leads to the public internet, and only when it
//! is written so plainly that no two parsers can read it differently.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use thiserror::Error;

/// Names that never lead outside, by their last labels.
const INNER_NAMES: [&str; 10] = [
    "localhost",
    "local",
    "internal",
    "intranet",
    "lan",
    "home",
    "corp",
    "private",
    "test",
    "home.arpa",
];

/// An absolute http or https address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    is_https: bool,
    host: Host,
    port: Option<u16>,
    /// Path and query, beginning with `/`.
    path: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    Name(String),
    Ip(IpAddr),
}

/// Why an address is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AddressProblem {
    #[error("must be an absolute address beginning with https://")]
    Scheme,
    #[error("must consist of visible ASCII characters, others encoded")]
    Characters,
    #[error("must not carry a user name or password")]
    Credentials,
    #[error("must name a host plainly: lower-case labels, or an address in its usual notation")]
    Host,
    #[error("must have a port from 1 to 65535, or none")]
    Port,
    #[error("must lead to the public internet")]
    NotPublic,
}

impl FromStr for Address {
    type Err = AddressProblem;

    fn from_str(text: &str) -> Result<Self, AddressProblem> {
        let (is_https, rest) = match (strip(text, "https://"), strip(text, "http://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Err(AddressProblem::Scheme),
        };
        // Browsers' parsers drop some of the others and turn a backslash into a slash.
        if !rest.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\') {
            return Err(AddressProblem::Characters);
        }
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(AddressProblem::Credentials);
        }
        let (host, port) = split_port(authority)?;
        let slash = if path.starts_with('/') { "" } else { "/" };
        Ok(Self { is_https, host: host_of(host)?, port, path: format!("{slash}{path}") })
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.origin(), self.path)
    }
}

impl Address {
    /// Whether it is fetched over TLS.
    pub fn is_https(&self) -> bool {
        self.is_https
    }

    /// Scheme, host and port, as an `Origin` header has them.
    pub fn origin(&self) -> String {
        let scheme = if self.is_https { "https" } else { "http" };
        let host = match &self.host {
            Host::Name(name) => name.clone(),
            Host::Ip(IpAddr::V4(ip)) => ip.to_string(),
            Host::Ip(IpAddr::V6(ip)) => format!("[{ip}]"),
        };
        match self.port {
            Some(port) => format!("{scheme}://{host}:{port}"),
            None => format!("{scheme}://{host}"),
        }
    }

    /// Its host, when that is a name that somebody must resolve.
    pub fn name(&self) -> Option<&str> {
        match &self.host {
            Host::Name(name) => Some(name),
            Host::Ip(_) => None,
        }
    }

    /// Whether it is https and, as far as its text tells, leads outside. What a name resolves to is not known here.
    pub fn require_public(&self) -> Result<(), AddressProblem> {
        if !self.is_https {
            return Err(AddressProblem::Scheme);
        }
        let is_public = match &self.host {
            Host::Ip(ip) => is_public_ip(*ip),
            Host::Name(name) => {
                let is_inner = |inner: &&str| {
                    name == *inner
                        || name.strip_suffix(*inner).is_some_and(|rest| rest.ends_with('.'))
                };
                name.contains('.') && !INNER_NAMES.iter().any(is_inner)
            }
        };
        if is_public { Ok(()) } else { Err(AddressProblem::NotPublic) }
    }

    /// Where a `Location` found here leads.
    pub fn join(&self, location: &str) -> Result<Self, AddressProblem> {
        if let Some(rest) = location.strip_prefix("//") {
            let scheme = if self.is_https { "https" } else { "http" };
            return format!("{scheme}://{rest}").parse();
        }
        if location.starts_with('/') {
            return format!("{}{location}", self.origin()).parse();
        }
        let path = self.path.split('?').next().unwrap_or_default();
        if location.starts_with('?') {
            return format!("{}{path}{location}", self.origin()).parse();
        }
        let scheme = location.split(['/', '?', '#']).next().unwrap_or_default();
        if scheme.contains(':') {
            return location.parse();
        }
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{}{folder}/{location}", self.origin()).parse()
    }
}

fn strip<'a>(text: &'a str, scheme: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(scheme.len())?;
    head.eq_ignore_ascii_case(scheme).then_some(rest)
}

fn split_port(authority: &str) -> Result<(&str, Option<u16>), AddressProblem> {
    let after_host = authority.rfind(']').map_or(0, |end| end + 1);
    let Some(colon) = authority[after_host..].find(':').map(|at| at + after_host) else {
        return Ok((authority, None));
    };
    let digits = &authority[colon + 1..];
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    let port = digits.parse().ok().filter(|port| is_plain && *port > 0);
    Ok((&authority[..colon], Some(port.ok_or(AddressProblem::Port)?)))
}

fn host_of(text: &str) -> Result<Host, AddressProblem> {
    if let Some(inner) = text.strip_prefix('[') {
        let ip = inner.strip_suffix(']').and_then(|ip| ip.parse::<Ipv6Addr>().ok());
        return ip.map(|ip| Host::Ip(ip.into())).ok_or(AddressProblem::Host);
    }
    // Only four decimal numbers are read as an address; what else ends in a number (octal, hexadecimal, a single one) is
    // an address for some and a name for others.
    if let Ok(ip) = text.parse::<Ipv4Addr>() {
        return Ok(Host::Ip(ip.into()));
    }
    let name = text.to_ascii_lowercase();
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    let is_number = last.starts_with(|c: char| c.is_ascii_digit());
    if name.len() > 253 || !name.split('.').all(is_label) || is_number {
        return Err(AddressProblem::Host);
    }
    Ok(Host::Name(name))
}

/// Whether an address is one of the public internet, whatever form it is wrapped in.
pub fn is_public_ip(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let is_special = matches!(
        (a, b, c),
        (0 | 10 | 127 | 224..=255, _, _)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 168, _)
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (198, 18 | 19, _)
            | (198, 51, 100)
            | (203, 0, 113)
    );
    !is_special
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [first, second, third, fourth, fifth, sixth, high, low] = ip.segments();
    let inner = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match (first, second, third, fourth, fifth, sixth) {
        // IPv4 in IPv6: mapped, translated (NAT64), and 6to4, which has it in front.
        (0, 0, 0, 0, 0, 0xffff) | (0x64, 0xff9b, 0, 0, 0, 0) => inner(high, low),
        (0x2002, ..) => inner(second, third),
        // Teredo, ORCHID and the documentation's.
        (0x2001, 0..=0x1ff | 0xdb8, ..) | (0x3fff, 0..=0xfff, ..) => false,
        // Everything public lies in 2000::/3.
        _ => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(text: &str) -> Result<(), AddressProblem> {
        text.parse::<Address>().and_then(|address| address.require_public())
    }

    #[test]
    fn the_public_internet_is_allowed() {
        for text in [
            "https://files.example/a.png?x=1#top",
            "HTTPS://Files.Example/",
            "https://a-b.c_d.example.org:8443/x",
            "https://8.8.8.8/x",
            "https://[2606:4700::1111]/x",
            "https://xn--nxasmq6b.example/",
            "https://example.org?x",
            "https://3.example.org/",
            "https://1.1.1.1:443/",
        ] {
            assert_eq!(verdict(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn addresses_that_lead_inside_are_not_in_any_notation() {
        for host in [
            "127.0.0.1",
            "127.8.9.1",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "192.0.2.1",
            "198.18.0.1",
            "198.51.100.7",
            "203.0.113.7",
            "[::1]",
            "[::]",
            "[fe80::1]",
            "[fc00::1]",
            "[fd12:3456::1]",
            "[ff02::1]",
            "[2001:db8::1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[::ffff:10.0.0.1]",
            "[64:ff9b::7f00:1]",
            "[2002:7f00:1::]",
            "[2001::1]",
            "[::127.0.0.1]",
            "localhost",
            "LOCALHOST",
            "a.localhost",
            "printer.local",
            "db.internal",
            "metadata.google.internal",
            "router.lan",
            "intranet",
            "x.home.arpa",
            "a.test",
        ] {
            assert_eq!(
                verdict(&format!("https://{host}/x")),
                Err(AddressProblem::NotPublic),
                "{host}"
            );
        }
    }

    #[test]
    fn hosts_that_parsers_read_differently_are_refused() {
        for host in [
            "2130706433",
            "0x7f000001",
            "0x7f.1",
            "0177.0.0.1",
            "127.1",
            "127.0.1",
            "0127.0.0.1",
            "1.2.3.4.5",
            "127.0.0.1.",
            "localhost.",
            "a..b",
            ".a",
            "-a.b",
            "a-.b",
            "a%2eb.example",
            "%6c%6f",
            "[::1%25eth0]",
            "[127.0.0.1]",
            "a.0x1",
            "a.09",
            "",
        ] {
            assert_eq!(verdict(&format!("https://{host}/x")), Err(AddressProblem::Host), "{host}");
        }
    }

    #[test]
    fn credentials_other_schemes_and_odd_characters_are_refused() {
        use AddressProblem::{Characters, Credentials, Port, Scheme};
        for (text, problem) in [
            ("https://user:secret@files.example/", Credentials),
            ("https://files.example@127.0.0.1/", Credentials),
            ("http://files.example/", Scheme),
            ("ftp://files.example/", Scheme),
            ("file:///etc/passwd", Scheme),
            ("//files.example/", Scheme),
            ("files.example", Scheme),
            ("data:image/png;base64,AAAA", Scheme),
            ("https:\\\\127.0.0.1\\", Scheme),
            ("https://files.example\\@127.0.0.1/", Characters),
            ("https://files.example/a b", Characters),
            ("https://127。0。0。1/", Characters),
            ("https://ⓛocalhost/", Characters),
            ("https://files.example/\u{0}", Characters),
            ("https://files.example:0/", Port),
            ("https://files.example:65536/", Port),
            ("https://files.example:+1/", Port),
            ("https://[::1", Port),
            ("https://::1/", Port),
        ] {
            assert_eq!(verdict(text), Err(problem), "{text}");
        }
    }

    #[test]
    fn redirects_are_read_as_a_browser_reads_them() {
        let base: Address = "https://files.example:8443/a/b?x=1".parse().unwrap();
        for (location, leads_to) in [
            ("c", "https://files.example:8443/a/c"),
            ("/c?y", "https://files.example:8443/c?y"),
            ("?y", "https://files.example:8443/a/b?y"),
            ("//cdn.example/c", "https://cdn.example/c"),
            ("http://127.0.0.1/c", "http://127.0.0.1/c"),
            ("c?u=http://x", "https://files.example:8443/a/c?u=http://x"),
        ] {
            assert_eq!(base.join(location).unwrap().to_string(), leads_to, "{location}");
        }
        assert_eq!(base.join("javascript:alert(1)"), Err(AddressProblem::Scheme));
        assert_eq!(base.join("//u@cdn.example/"), Err(AddressProblem::Credentials));
    }
}
