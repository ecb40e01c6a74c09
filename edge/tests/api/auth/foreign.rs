//! Issuers with ids of their own and tokens the database can't read, such as Clerk.

use edge::{
    auth::foreign_person,
    config::{IssuerConfig, TokenAlgorithm},
    error::Error,
    ports::system::Clock,
};
use serde_json::{Value, json};

use crate::support::{
    app::{DATABASE_SECRET, TestApp, config},
    issuer::{JWKS_URL, hs256, signed_token},
    keys::KeyPair,
    world::World,
};

const CLERK: &str = "https://clerk.example";
const PARTY: &str = "https://app.example";

fn app() -> TestApp {
    let mut config = config();
    config.issuers.push(IssuerConfig {
        issuer: CLERK.to_owned(),
        audience: None,
        authorized_parties: vec![PARTY.to_owned()],
        algorithms: vec![TokenAlgorithm::Rs256],
        jwks_url: Some(JWKS_URL.to_owned()),
        hs256_secret: None,
        is_foreign: true,
    });
    let app = TestApp::on(World::empty(), config);
    app.key_sets.publish(vec![KeyPair::rs256().jwk("k1")]);
    app
}

/// A session's token as Clerk writes it: no audience, no role.
fn session(app: &TestApp) -> Value {
    let now_s = app.world.clock.now_ms() / 1000;
    json!({
        "iss": CLERK, "azp": PARTY, "sub": "user_2abc123", "sid": "sess_1", "iat": now_s, "nbf": now_s - 10,
        "exp": now_s + 60, "v": 2, "fva": [0, -1],
    })
}

fn verify(app: &TestApp, claims: &Value) -> Result<edge::caller::Caller, Error> {
    let token = signed_token(claims, &KeyPair::rs256(), "k1");
    app.world.clock.run(app.state.tokens.verify(&token))
}

#[test]
fn a_session_token_without_an_audience_is_believed_for_its_party() {
    let app = app();
    let caller = verify(&app, &session(&app)).unwrap();
    assert_eq!(caller.user_id, foreign_person(CLERK, "user_2abc123"));
    assert_eq!(caller.role, None);
    assert_ne!(caller.user_id, foreign_person("https://other.example", "user_2abc123"));
}

#[test]
fn the_database_is_shown_a_token_that_it_can_read_and_that_says_no_more() {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
    let app = app();
    for _ in 0..2 {
        let caller = verify(&app, &session(&app)).unwrap();
        let token = caller.token.reveal();
        let (signed, signature) = token.rsplit_once('.').unwrap();
        assert_eq!(BASE64.encode(hs256(signed.as_bytes(), DATABASE_SECRET.as_bytes())), signature);
        let claims = BASE64.decode(signed.split_once('.').unwrap().1).unwrap();
        let claims: Value = serde_json::from_slice(&claims).unwrap();
        assert_eq!(claims["sub"], caller.user_id.to_string());
        assert_eq!(
            (&claims["role"], &claims["aud"]),
            (&json!("authenticated"), &json!("authenticated"))
        );
        assert_eq!(claims["app_metadata"], json!({ "role": null }));
        assert!(claims["exp"].as_u64().unwrap() <= app.world.clock.now_ms() / 1000 + 900);
    }
}

#[test]
fn another_party_none_or_a_token_without_a_user_is_refused() {
    let app = app();
    let with = |name: &str, value: Value| {
        let mut claims = session(&app);
        claims[name] = value;
        verify(&app, &claims).unwrap_err()
    };
    let now_s = app.world.clock.now_ms() / 1000;
    for (error, reason) in [
        (with("azp", json!("https://evil.example")), "for another party"),
        (with("azp", Value::Null), "for another party"),
        (with("sub", json!("")), "without a user"),
        (with("exp", json!(now_s - 60)), "expired"),
        (with("iss", json!("https://clerk.example.evil")), "unknown issuer"),
    ] {
        assert!(matches!(error, Error::Unauthenticated { reason: r } if r == reason), "{error:?}");
    }
}

#[test]
fn a_foreign_id_in_the_form_of_one_of_ours_is_not_ours() {
    let app = app();
    let alice = app.world.alice.user_id;
    let mut claims = session(&app);
    claims["sub"] = json!(alice.to_string());
    assert_ne!(verify(&app, &claims).unwrap().user_id, alice);
}
