//! Signature and claims: what is accepted, and everything that is not, with one and the same answer.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use edge::{caller::Caller, error::Error, ports::system::Clock};
use serde_json::{Value, json};

use crate::support::{
    app::TestApp,
    issuer::{HS256_SECRET, ISSUER, claims, hs256, hs256_token, signed_token, token},
    keys::KeyPair,
    world::caller,
};

/// Needs a token, and changes nothing.
const GUARDED: &str = "/api/admin/settings/prices";

fn verify(app: &TestApp, token: &str) -> Result<Caller, Error> {
    app.world.clock.run(app.state.tokens.verify(token))
}

fn with(mut claims: Value, name: &str, value: Value) -> Value {
    claims[name] = value;
    claims
}

fn without(mut claims: Value, name: &str) -> Value {
    claims.as_object_mut().unwrap().remove(name);
    claims
}

#[test]
fn accepts_every_algorithm_of_its_issuer() {
    let app = TestApp::new();
    let pairs = [KeyPair::es256(7), KeyPair::rs256(), KeyPair::ed_dsa(7)];
    app.key_sets.publish(pairs.iter().map(|pair| pair.jwk(pair.alg())).collect());
    let claims = claims(&app.world.clock, 1, None);
    let tokens = pairs.iter().map(|pair| signed_token(&claims, pair, pair.alg()));
    for token in tokens.chain([hs256_token(&claims, HS256_SECRET.as_bytes())]) {
        let found = verify(&app, &token).unwrap();
        assert_eq!(found.user_id, caller(1, None).user_id);
        assert_eq!(found.email.as_deref(), Some("person-1@example.org"));
        assert_eq!(found.role, None, "user_metadata gives no role");
        assert_eq!(found.token.reveal(), token);
    }
    assert_eq!(app.key_sets.fetches(), 1);
}

#[test]
fn accepts_an_audience_in_a_list_and_a_clock_that_differs_a_little() {
    let app = TestApp::new();
    let now_s = app.world.clock.now_ms() / 1000;
    let valid = claims(&app.world.clock, 1, Some("tuteur"));
    let accepted = [
        with(valid.clone(), "aud", json!(["other", "authenticated"])),
        with(valid.clone(), "exp", json!(now_s - 30)),
        with(valid.clone(), "nbf", json!(now_s + 30)),
        with(valid, "nbf", json!(now_s - 10)),
    ];
    for claims in accepted {
        let found = verify(&app, &hs256_token(&claims, HS256_SECRET.as_bytes()));
        assert_eq!(found.unwrap().role.as_deref(), Some("tuteur"), "{claims}");
    }
}

/// Every forgery we could think of, with its name.
fn bad_tokens(app: &TestApp) -> Vec<(&'static str, String)> {
    let clock = &app.world.clock;
    let now_s = clock.now_ms() / 1000;
    let valid = claims(clock, 1, None);
    let secret = HS256_SECRET.as_bytes();
    let key = KeyPair::es256(7);
    app.key_sets.publish(vec![key.jwk("one"), KeyPair::rs256().jwk("rsa")]);
    let public = key.jwk("one");
    let claimed = |name: &'static str, claims: Value| (name, hs256_token(&claims, secret));
    let headed = |name, header: Value| (name, token(&header, &valid, |signed| key.sign(signed)));
    let hs_with = |name, secret: &[u8]| {
        let header = json!({"alg": "HS256", "kid": "one"});
        (name, token(&header, &valid, |signed| hs256(signed, secret)))
    };
    let good = hs256_token(&valid, secret);
    let parts: Vec<&str> = good.split('.').collect();
    let admin = BASE64.encode(
        with(valid.clone(), "sub", json!("11111111-1111-4111-8111-111111111111")).to_string(),
    );
    let none = BASE64.encode(json!({"alg": "none"}).to_string());
    vec![
        ("empty", String::new()),
        ("garbage", "garbage".to_owned()),
        ("two parts", format!("{}.{}", parts[0], parts[1])),
        ("four parts", format!("{good}.x")),
        ("empty parts", "..".to_owned()),
        ("not base64", format!("{}.{}.!!!", parts[0], parts[1])),
        ("padded base64", format!("{good}==")),
        ("not JSON", format!("{}.{}.{}", parts[0], BASE64.encode("hello"), parts[2])),
        ("claims that are a list", format!("{}.{}.{}", parts[0], BASE64.encode("[]"), parts[2])),
        ("another's claims", format!("{}.{admin}.{}", parts[0], parts[2])),
        ("no signature", format!("{}.{}.", parts[0], parts[1])),
        ("alg none", format!("{none}.{}.", parts[1])),
        ("alg none with a signature", format!("{none}.{}.{}", parts[1], parts[2])),
        headed("alg None", json!({"alg": "None", "kid": "one"})),
        headed("alg in lower case", json!({"alg": "es256", "kid": "one"})),
        headed("alg HS512", json!({"alg": "HS512", "kid": "one"})),
        headed("alg of another key", json!({"alg": "RS256", "kid": "one"})),
        headed("another key's name", json!({"alg": "ES256", "kid": "rsa"})),
        headed("unknown kid", json!({"alg": "ES256", "kid": "two"})),
        headed("critical header", json!({"alg": "ES256", "kid": "one", "crit": ["exp"]})),
        headed("empty critical header", json!({"alg": "ES256", "kid": "one", "crit": []})),
        hs_with("HS256 with the public key", public.to_string().as_bytes()),
        hs_with("HS256 with the key's x", public["x"].as_str().unwrap().as_bytes()),
        hs_with("HS256 with nothing", b""),
        hs_with("HS256 with another secret", b"another secret that nobody should accept"),
        ("its own key in the header", {
            let own = KeyPair::es256(9);
            let header = json!({"alg": "ES256", "kid": "one", "jwk": own.jwk("one"), "jku": "https://evil.example"});
            token(&header, &valid, |signed| own.sign(signed))
        }),
        ("another's key under our kid", signed_token(&valid, &KeyPair::es256(9), "one")),
        claimed("expired", with(valid.clone(), "exp", json!(now_s - 31))),
        claimed("without exp", without(valid.clone(), "exp")),
        claimed("exp as a text", with(valid.clone(), "exp", json!("tomorrow"))),
        claimed("exp null", with(valid.clone(), "exp", Value::Null)),
        claimed("exp before time began", with(valid.clone(), "exp", json!(i64::MIN))),
        claimed("exp beyond all calendars", with(valid.clone(), "exp", json!(u64::MAX))),
        claimed("not valid yet", with(valid.clone(), "nbf", json!(now_s + 31))),
        claimed("nbf beyond all calendars", with(valid.clone(), "nbf", json!(1e300))),
        claimed("another issuer", with(valid.clone(), "iss", json!("https://evil.example"))),
        claimed(
            "issuer with a slash more",
            with(valid.clone(), "iss", json!(format!("{ISSUER}/"))),
        ),
        claimed("without iss", without(valid.clone(), "iss")),
        claimed("another audience", with(valid.clone(), "aud", json!("other"))),
        claimed("audiences of others", with(valid.clone(), "aud", json!(["other", "more"]))),
        claimed("no audience in a list", with(valid.clone(), "aud", json!([]))),
        claimed("without aud", without(valid.clone(), "aud")),
        claimed("sub that is no UUID", with(valid.clone(), "sub", json!("alice"))),
        claimed("without sub", without(valid.clone(), "sub")),
        claimed("role anon", with(valid.clone(), "role", json!("anon"))),
        claimed("role service_role", with(valid.clone(), "role", json!("service_role"))),
        claimed("without role", without(valid.clone(), "role")),
        claimed("oversized", with(valid.clone(), "padding", json!("x".repeat(8 * 1024)))),
    ]
}

#[test]
fn refuses_every_bad_token_with_the_same_answer() {
    let app = TestApp::new();
    let mut answers = Vec::new();
    for (name, token) in bad_tokens(&app) {
        if name == "empty" {
            continue;
        }
        let answer = app.get(GUARDED).token(&token).header("x-request-id", "same").send();
        assert_eq!(answer.status, 401, "{name}");
        assert_eq!(
            answer.header("www-authenticate"),
            Some("Bearer error=\"invalid_token\""),
            "{name}"
        );
        answers.push((name, answer.text().to_owned()));
    }
    for (name, body) in &answers {
        assert_eq!(body, &answers[0].1, "{name}");
    }
}

#[test]
fn a_signature_too_long_or_too_short_never_reaches_the_runtime() {
    let app = TestApp::new();
    let pairs = [KeyPair::es256(7), KeyPair::rs256(), KeyPair::ed_dsa(7)];
    app.key_sets.publish(pairs.iter().map(|pair| pair.jwk(pair.alg())).collect());
    let claims = claims(&app.world.clock, 1, None);
    for alg in pairs.iter().map(KeyPair::alg) {
        for bytes in [0, 1, 63, 65, 255] {
            let header = json!({ "alg": alg, "kid": alg });
            let found = verify(&app, &token(&header, &claims, |_| vec![7; bytes]));
            assert!(
                matches!(found, Err(Error::Unauthenticated { .. })),
                "{alg} {bytes}: {found:?}"
            );
        }
    }
}

#[test]
fn a_bad_token_is_refused_for_the_reason_it_was_made_for() {
    let app = TestApp::new();
    let mut reasons = Vec::new();
    for (name, token) in bad_tokens(&app) {
        match verify(&app, &token) {
            Err(Error::Unauthenticated { reason }) => reasons.push(format!("{name}: {reason}")),
            other => panic!("{name}: {other:?}"),
        }
    }
    insta::assert_snapshot!(reasons.join("\n"));
}

#[test]
fn no_credentials_are_told_apart_from_bad_ones() {
    let app = TestApp::new();
    let answer = app.get(GUARDED).send();
    answer.problem(401);
    assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    for scheme in ["Basic YTpi", "Bearer", "Bearer a b"] {
        let answer = app.get(GUARDED).header("authorization", scheme).send();
        answer.problem(401);
    }
}

#[test]
fn a_known_token_stops_being_accepted_when_it_expires() {
    let app = TestApp::new();
    let key = KeyPair::es256(7);
    app.key_sets.publish(vec![key.jwk("one")]);
    let token = signed_token(&claims(&app.world.clock, 1, None), &key, "one");
    let first = verify(&app, &token).unwrap();
    app.key_sets.publish(Vec::new());
    app.world.clock.advance_ms(300_000);
    assert_eq!(verify(&app, &token).unwrap(), first, "kept, without keys and without a fetch");
    assert_eq!(app.key_sets.fetches(), 1);
    app.key_sets.publish(vec![key.jwk("one")]);
    app.world.clock.advance_ms(3_300_000);
    assert_eq!(verify(&app, &token).unwrap(), first, "its key is asked for again");
    app.world.clock.advance_ms(31_000);
    assert!(matches!(verify(&app, &token), Err(Error::Unauthenticated { reason: "expired" })));
}

#[test]
fn a_token_of_one_issuer_cannot_use_the_keys_of_another() {
    let mut config = crate::support::app::config();
    config.issuers[0].algorithms = vec![edge::config::TokenAlgorithm::Es256];
    config.issuers[0].hs256_secret = None;
    let mut other = crate::support::issuer::issuer_config();
    other.issuer = "https://other.example".to_owned();
    other.jwks_url = None;
    other.algorithms = vec![edge::config::TokenAlgorithm::Hs256];
    config.issuers.push(other);
    let app = TestApp::on(crate::support::world::World::empty(), config);
    let key = KeyPair::es256(7);
    app.key_sets.publish(vec![key.jwk("one")]);
    let ours = claims(&app.world.clock, 1, None);
    let theirs = with(ours.clone(), "iss", json!("https://other.example"));
    let secret = HS256_SECRET.as_bytes();
    assert!(verify(&app, &signed_token(&ours, &key, "one")).is_ok());
    assert!(verify(&app, &hs256_token(&theirs, secret)).is_ok());
    assert!(verify(&app, &signed_token(&theirs, &key, "one")).is_err());
    assert!(verify(&app, &hs256_token(&ours, secret)).is_err());
}
