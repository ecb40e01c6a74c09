//! Issuers with ids of their own and tokens the database can't read, such as Clerk.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use edge::{
    auth::foreign_person,
    config::{IssuerConfig, Secret, SigningKey, TokenAlgorithm, TokenSigning},
    error::Error,
    ports::{
        auth::{SignatureAlgorithm, Signatures},
        system::Clock,
    },
};
use serde_json::{Value, json};

use crate::support::{
    app::{DATABASE_SECRET, TestApp, config},
    issuer::{JWKS_URL, hs256, signed_token},
    keys::{KeyPair, PureRustSignatures},
    world::World,
};

const CLERK: &str = "https://clerk.example";
const PARTY: &str = "https://app.example";

fn app() -> TestApp {
    app_signing(TokenSigning::Hs256(Secret::new(DATABASE_SECRET)))
}

fn app_signing(signing: TokenSigning) -> TestApp {
    let mut config = config();
    config.supabase.token_signing = Some(signing);
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

/// What the database is shown for her: what was signed of it, its signature, its header and its claims.
fn shown(app: &TestApp) -> (String, Vec<u8>, Value, Value) {
    let caller = verify(app, &session(app)).unwrap();
    let (signed, signature) = caller.token.reveal().rsplit_once('.').unwrap();
    let part = |text: &str| serde_json::from_slice::<Value>(&BASE64.decode(text).unwrap()).unwrap();
    let (header, claims) = signed.split_once('.').unwrap();
    let claims = part(claims);
    assert_eq!(claims["sub"], caller.user_id.to_string());
    (signed.to_owned(), BASE64.decode(signature).unwrap(), part(header), claims)
}

#[test]
fn the_database_is_shown_a_token_that_it_can_read_and_that_says_no_more() {
    let app = app();
    for _ in 0..2 {
        let (signed, signature, header, claims) = shown(&app);
        assert_eq!(header, json!({ "alg": "HS256", "typ": "JWT" }));
        assert_eq!(hs256(signed.as_bytes(), DATABASE_SECRET.as_bytes()), signature);
        assert_eq!(
            (&claims["role"], &claims["aud"]),
            (&json!("authenticated"), &json!("authenticated"))
        );
        assert_eq!(claims["iss"], "https://auth.example/auth/v1");
        assert_eq!(claims["app_metadata"], json!({ "role": null }));
        assert!(claims["exp"].as_u64().unwrap() <= app.world.clock.now_ms() / 1000 + 900);
    }
}

#[test]
fn a_project_with_signing_keys_is_shown_a_token_of_the_key_it_knows_by_name() {
    let pair = KeyPair::es256(7);
    let mut jwk = pair.private_jwk("current");
    jwk.as_object_mut().unwrap().remove("kid");
    let key = SigningKey { kid: "current".to_owned(), jwk: Secret::new(jwk.to_string()) };
    let app = app_signing(TokenSigning::Es256(key));
    for _ in 0..2 {
        let (signed, signature, header, claims) = shown(&app);
        assert_eq!(header, json!({ "alg": "ES256", "kid": "current", "typ": "JWT" }));
        assert_eq!(signature.len(), 64, "two numbers of 32 bytes, as JWS has it");
        let (es256, public) = (SignatureAlgorithm::Es256, pair.jwk("current"));
        let verifying = PureRustSignatures.verify(es256, &public, signed.as_bytes(), &signature);
        assert!(app.world.clock.run(verifying).unwrap());
        assert_eq!(claims["role"], "authenticated");
    }
}

#[test]
fn a_key_that_cannot_sign_is_our_fault_and_not_the_callers() {
    let key = SigningKey { kid: "k".to_owned(), jwk: Secret::new("{}") };
    let app = app_signing(TokenSigning::Es256(key));
    assert!(matches!(verify(&app, &session(&app)), Err(Error::Internal { .. })));
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
